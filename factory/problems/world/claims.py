"""What the laptop's line claims of its models, in the world's groups. Sources: Satori §5 (tables 1, 3, 4), ReasonFlux §4."""

from factory.evaluation.claim import Claim

CLAIMS = (
    Claim(1, "r1 at least 15 points above the base", "policy_r1", "base", 0.15),
    Claim(1, "r1 at least 8 points above format tuning", "policy_r1", "format_tuned", 0.08),
    Claim(1, "r1 at least 8 points above tuning on plain solutions", "policy_r1", "cot_control", 0.08),
    Claim(2, "r2 not below r1", "policy_r2", "policy_r1", not_below=True),
    Claim(3, "r1 above plain CoT with the same PPO, search", "policy_r1", "policy_cot", group="search"),
    Claim(4, "r1 ends right after a wrong first attempt more often than format tuning", "policy_r1", "format_tuned", correction=True),
    Claim(5, "plans by DPO above plans by SFT", "dpo", "sft"),
    Claim(5, "plans by DPO that agree above plans by SFT", "dpo_agreed", "sft"),
    Claim(5, "plans by DPO that agree not below no template", "dpo_agreed", "direct", not_below=True),
    Claim(5, "plans by SFT above a random template", "sft", "random_template"),
    Claim(5, "oracle above no template", "oracle", "direct"),
    Claim(5, "oracle above plans by DPO", "oracle", "dpo"),
)
