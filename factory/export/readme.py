"""README.md beside exported data: what it is, and how the trainer is started with it.

readme(dataset, "trl", "pairs", written_out=False, prefixed=False)   → "# orm_pairs_r1 for TRL\\n…"
"""

from factory.export.reward import package_of
from factory.publish.checks import Released
from factory.words import amount

NAMES = {"trl": "TRL", "verl": "verl", "openrlhf": "OpenRLHF", "verifiers": "verifiers"}
READ = {  # checked against these versions' readers
    "trl": "TRL 1.16", "verl": "verl 0.9.1", "openrlhf": "OpenRLHF 0.11.2", "verifiers": "verifiers 0.4.0",
}  # fmt: skip
PLAIN = "{% for message in messages %}{{ message.content }}{% endfor %}"  # a chat template that adds nothing

TRL = {
    "examples": """from datasets import load_dataset
from trl import SFTTrainer
SFTTrainer("MODEL", train_dataset=load_dataset("parquet", data_files="train.parquet", split="train")).train()""",
    "pairs": """from datasets import load_dataset
from trl import DPOTrainer  # or RewardTrainer
DPOTrainer("MODEL", train_dataset=load_dataset("parquet", data_files="train.parquet", split="train")).train()""",
    "prompts": """from datasets import load_dataset
from trl import GRPOTrainer  # or RLOOTrainer
from reward import reward_func
GRPOTrainer("MODEL", reward_func, train_dataset=load_dataset("parquet", data_files="train.parquet", split="train")).train()""",
    "steps": """from datasets import load_dataset
from transformers import AutoModelForTokenClassification, AutoTokenizer
from trl.experimental.prm import PRMConfig, PRMTrainer  # TRL 1.0 to 1.10
rows = load_dataset("parquet", data_files="train.parquet", split="train")
model = AutoModelForTokenClassification.from_pretrained("MODEL", num_labels=2)
args = PRMConfig(output_dir="prm", step_separator="\\n")
PRMTrainer(model, args, processing_class=AutoTokenizer.from_pretrained("MODEL"), train_dataset=rows).train()""",
}
VERL = {
    "examples": """torchrun --nproc_per_node=8 -m verl.trainer.sft_trainer \\
    data.train_files=train.parquet data.messages_key=messages model.path=MODEL""",
    "prompts": """python -m verl.trainer.main_ppo algorithm.adv_estimator=grpo \\
    data.train_files=train.parquet data.val_files=train.parquet actor_rollout_ref.model.path=MODEL \\
    reward.custom_reward_function.path=reward.py{template}""",
}
OPENRLHF = {
    "examples": """python -m openrlhf.cli.train_sft --model.model_name_or_path MODEL --data.dataset train.jsonl \\
    --data.input_key prompt --data.output_key completion {template}""",
    "pairs": """python -m openrlhf.cli.train_rm --model.model_name_or_path MODEL --data.dataset train.jsonl \\
    --data.prompt_key prompt --data.chosen_key chosen --data.rejected_key rejected --data.apply_chat_template{margin}
python -m openrlhf.cli.train_dpo --model.model_name_or_path MODEL --data.dataset train.jsonl \\
    --data.prompt_key prompt --data.chosen_key chosen --data.rejected_key rejected --data.apply_chat_template""",
    "prompts": """python -m openrlhf.cli.train_ppo_ray --actor.model_name_or_path MODEL --data.prompt_dataset train.jsonl \\
    --data.input_key input --data.label_key label{template} --reward.remote_url reward.py""",
}
COLUMNS = {
    ("trl", "examples"): "`prompt` and `completion`", ("trl", "pairs"): "`prompt`, `chosen`, `rejected`",
    ("trl", "steps"): "`prompt`, `completions` (steps), `labels` (one a step)",
    ("trl", "prompts"): "`prompt`; `answer`, `answer_kind` and `decimals` go to the reward function",
    ("verl", "examples"): "`messages`: the prompt's turns and the answer's",
    ("verl", "prompts"): "`data_source`, `prompt`, `ability`, `reward_model` (style, ground_truth), `extra_info` (the answer's kind, …)",
    ("openrlhf", "examples"): "`prompt` and `completion`", ("openrlhf", "pairs"): "`prompt`, `chosen`, `rejected`",
    ("openrlhf", "prompts"): "`input`, and `label`: the answer, its kind and its tolerance, as JSON",
    ("verifiers", "prompts"): "`prompt`, `question`, `answer`, `info`",
}  # fmt: skip


def readme(dataset: Released, target: str, use: str, written_out: bool, prefixed: bool) -> str:
    licence = dataset.licence + (f" (rows of {', '.join(sorted(dataset.licences))} among them)" if dataset.licences else "")
    parts = [
        f"# {dataset.name} for {NAMES[target]}",
        f"{amount(dataset.rows, 'row')} of `{dataset.name}` ({dataset.collection}), licence {licence}. "
        f"Columns as {READ[target]} reads them: {COLUMNS[target, use]}; `id` is the row's, for `factory trace`.",
        f"```{'python' if target == 'trl' else 'sh'}\n{_start(dataset, target, use, written_out)}\n```",
    ]
    if use == "prompts":
        where = f"`{package_of(dataset.name)}/__init__.py`" if target == "verifiers" else "`reward.py`"
        parts.append(
            f"The reward is {where}: the grader that made this data, 1 for a right response and 0 for every other. It imports `factory`, "
            "which must be installed where the trainer runs. It grades the response alone. The line's own training adds a bonus by "
            "`buffer` and a reward model's score."
        )
        parts.append(_prefix(target, written_out, prefixed))
    elif dataset.kind == "demonstrations":
        parts.append("Wrong attempts stand in the completions, and a plain trainer learns them too: the line's own can mask their loss.")
    elif use == "steps":
        parts.append(
            "A label is true while the solution is right up to and with its step; from the first wrong step on all are false. Steps end in "
            "a newline, which is the step separator. TRL 1.16 has no trainer for it any more; its stepwise supervision is a format still."
        )
    elif dataset.kind == "corpus":
        parts.append("Plain text for pretraining: no chat template.")
    return "\n\n".join(parts) + "\n"


def _start(dataset: Released, target: str, use: str, written_out: bool) -> str:
    if target == "trl":
        return TRL[use]
    if target == "verl":
        template = f" \\\n    actor_rollout_ref.model.custom_chat_template=\"'{PLAIN}'\"" if written_out else ""
        return VERL[use].format(template=template)
    if target == "openrlhf":
        chat = "--data.apply_chat_template"
        templates = {
            "examples": '--data.input_template ""' if dataset.kind == "corpus" else chat, "prompts": "" if written_out else f" {chat}",
        }  # fmt: skip
        margin = " --model.margin_loss_enable" if dataset.kind == "orm_pairs" else ""
        return OPENRLHF[use].format(template=templates.get(use, ""), margin=margin)
    package = package_of(dataset.name)
    return f"pip install -e .  # the package {package}, beside this file\nvf-eval {package.replace('_', '-')} --help"


def _prefix(target: str, written_out: bool, prefixed: bool) -> str:
    if written_out:
        more = " A chat template that adds nothing keeps it so (`custom_chat_template` above)." if target == "verl" else ""
        return (
            "Each prompt is text already, by the chat template of the model named with `--tokenizer`, and ends in the beginning of the "
            f"answer (the restart's prefix): use it with that model.{more} The response goes on from there."
        )
    if not prefixed:
        return "No row has a prefix: prompts are conversations, which the trainer renders."
    return (
        "A restart's prefix is an assistant's turn at the end of `prompt`. Without more only the rows without one are loaded; with "
        "`prefixed` (`load_environment(prefixed=True)`, or the taskset's config) those with one, and the server must go on with the "
        "turn: sampling `continue_final_message: true` and `add_generation_prompt: false` of vLLM."
    )
