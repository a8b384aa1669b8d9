"""Each export in TRL's own trainers, one step of a tiny model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, load_dataset

pytestmark = pytest.mark.slow
PLAIN: dict[str, Any] = {
    "max_steps": 1, "per_device_train_batch_size": 2, "bf16": False, "gradient_checkpointing": False, "use_cpu": True, "report_to": [],
    "save_strategy": "no", "disable_tqdm": True, "logging_steps": 1,
}  # fmt: skip


def rows(out: Path) -> Dataset:
    return load_dataset("parquet", data_files=str(out / "train.parquet"), split="train")


def losses(trainer: Any) -> list[float]:
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize(
    "name", ["demonstrations", "cot_demonstrations", "distillation_r1", "plans_sft", "structure", "adjustments", "corpus"]
)
def test_sft_trainer_tokenizes_examples(exported: Callable, tiny: Path, tmp_path: Path, name: str) -> None:
    from trl import SFTConfig, SFTTrainer

    out, told = exported(name, "trl")
    trainer = SFTTrainer(str(tiny), args=SFTConfig(output_dir=str(tmp_path / "t"), **PLAIN), train_dataset=rows(out))
    assert len(trainer.train_dataset) == told.rows
    first = trainer.train_dataset[0]
    assert len(first["input_ids"]) > 4
    if name != "corpus":
        assert 0 < first["labels"].count(-100) < len(first["labels"]), "the loss is on the answer alone"
    if name == "demonstrations":
        assert losses(trainer)[0] > 0


@pytest.mark.parametrize("name", ["orm_pairs_r1", "trajectory_pairs"])
def test_dpo_and_reward_trainers_take_pairs(exported: Callable, tiny: Path, tmp_path: Path, name: str) -> None:
    from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

    out, told = exported(name, "trl")
    dpo = DPOTrainer(str(tiny), args=DPOConfig(output_dir=str(tmp_path / "d"), **PLAIN), train_dataset=rows(out))
    reward = RewardTrainer(str(tiny), args=RewardConfig(output_dir=str(tmp_path / "r"), **PLAIN), train_dataset=rows(out))
    assert len(dpo.train_dataset) == len(reward.train_dataset) == told.rows
    assert losses(dpo)[0] == pytest.approx(0.6931, abs=1e-3), "no step yet: -log σ(0)"
    assert losses(reward)[0] > 0


def test_grpo_trainer_calls_our_grader_and_goes_on_from_the_prefix(
    exported: Callable, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from trl import GRPOConfig, GRPOTrainer

    out, _ = exported("restarts_r1", "trl", tiny)
    monkeypatch.syspath_prepend(str(out))
    sys.modules.pop("reward", None)
    from reward import reward_func

    seen: list[str] = []

    def watched(completions: list[str], prompts: list[str], **given: Any) -> list[float | None]:
        seen.extend(prompts)
        return reward_func(completions=completions, **given)

    config = GRPOConfig(output_dir=str(tmp_path / "g"), num_generations=2, max_completion_length=4, **PLAIN)
    trainer = GRPOTrainer(str(tiny), reward_funcs=watched, args=config, train_dataset=rows(out))
    prompts = rows(out)["prompt"]
    ids, *_ = trainer._tokenize_prompts([prompts[0]])
    begun = prompts[0].partition("Solve:")[2]
    assert trainer.processing_class.decode(ids[0]).endswith(begun), "no turn is closed"
    trainer.train()
    assert seen
    assert set(seen) <= set(prompts)
    assert [entry["rewards/watched/mean"] for entry in trainer.state.log_history if "rewards/watched/mean" in entry] == [0.0]


def test_prm_trainer_labels_the_last_token_of_each_step(exported: Callable, tiny: Path, tmp_path: Path) -> None:
    """TRL 1.0 to 1.10 have it; the released dataset is in the same columns."""
    prm = pytest.importorskip("trl.experimental.prm", reason="this TRL has no trainer of process reward models")
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    out, told = exported("process_rewards", "trl")
    words, model = AutoTokenizer.from_pretrained(tiny), AutoModelForTokenClassification.from_pretrained(tiny, num_labels=2)
    args = prm.PRMConfig(output_dir=str(tmp_path / "p"), step_separator="\n", **PLAIN)
    trainer = prm.PRMTrainer(model, args, train_dataset=rows(out), processing_class=words)
    assert len(trainer.train_dataset) == told.rows
    for row, ours in zip(trainer.train_dataset, rows(out), strict=True):
        assert [label for label in row["labels"] if label != -100] == [int(label) for label in ours["labels"]]
        assert words.decode(row["input_ids"]).endswith("\n".join(ours["completions"]) + "\n")
    assert losses(trainer)[0] > 0
