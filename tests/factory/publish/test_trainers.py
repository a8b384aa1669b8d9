"""Every published config in a plain trainer of TRL: one line loads it, one trains. docs/publishing.md has the table."""

import re
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer

from factory.gate.background import kind_of

DOCS = Path(__file__).parents[3] / "docs/publishing.md"
SFT = ("corpus", "demonstrations", "cot_demonstrations", "distillation_r1", "structure", "plans_sft", "adjustments")
CASES = [
    *((name, "SFT") for name in SFT), ("orm_pairs_r1", "Reward"), ("orm_pairs_r1", "DPO"), ("trajectory_pairs", "DPO"),
    ("restarts_r1", "GRPO"), ("process_rewards", "PRM"),
]  # fmt: skip
LITTLE = {
    "max_steps": 1,
    "per_device_train_batch_size": 2,
    "bf16": False,
    "gradient_checkpointing": False,
    "report_to": "none",
    "use_cpu": True,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained Llama (hidden 16, one layer) with a chat template."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from factory.coat import grammar
    from trainers import run, tokenizer

    torch.set_num_threads(1)
    words = tokenizer.build(["Tom has 3 apples. He buys 7 more.\n3 + 7 = 10\n\\boxed{10}"], grammar.ACTIONS.values(), 512)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=512, pad_token_id=words.pad_token_id, eos_token_id=words.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("model")
    run.save_model(LlamaForCausalLM(config), words, folder / "tiny")
    return str(folder / "tiny")


@pytest.fixture
def repo(line, hub: HubServer, tmp_path: Path) -> str:
    """A snapshot of what was published."""
    line.send()
    for path, entry in hub.files("org/coat").items():
        (tmp_path / "snapshot" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "snapshot" / path).write_bytes(hub.content(entry))
    return str(tmp_path / "snapshot")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_config_trains_in_two_lines(repo: str, model: str, tmp_path: Path, name: str, kind: str) -> None:
    import trl
    from datasets import load_dataset

    if kind == "PRM":
        return stepwise(load_dataset(repo, name, split="train", cache_dir=str(tmp_path / "cache")))
    more = {"num_generations": 2, "max_completion_length": 4} if kind == "GRPO" else {}
    args = getattr(trl, f"{kind}Config")(output_dir=str(tmp_path / "out"), **LITTLE, **more)
    rewards = {
        "reward_funcs": lambda completions, answer, **_: [float(text[0]["content"] == gold) for text, gold in zip(completions, answer)]
    }
    rows = load_dataset(repo, name, split="train", cache_dir=str(tmp_path / "cache"))
    trainer = getattr(trl, f"{kind}Trainer")(model, args=args, train_dataset=rows, **(rewards if kind == "GRPO" else {}))
    trainer.train()
    assert trainer.state.global_step == 1
    assert trainer.state.log_history


def stepwise(rows: Any) -> None:
    """This TRL has no PRMTrainer any more: its documented format, which tests/factory/export/test_trl.py trains on where it has one."""
    from datasets import List, Value

    assert [rows.features[name] for name in ("prompt", "completions", "labels")] == [
        Value("string"),
        List(Value("string")),
        List(Value("bool")),
    ]
    assert all(len(row["completions"]) == len(row["labels"]) > 0 for row in rows)


def test_the_table_of_the_docs_has_every_dataset_of_the_line(line) -> None:
    """By kind: rounds are the same again. Templates are a library; `structure` is what trains of it."""
    told = dict(re.findall(r"^\| `(\w+)` \| `(\w+?)(?:Trainer)?`", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    kinds = {kind_of(name) for name in line.params.datasets}
    assert kinds - {"templates"} == set(told)
    assert {(kind_of(name), kind) for name, kind in CASES} >= set(told.items())
