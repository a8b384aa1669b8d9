"""`handed_on`: the small line's datasets as the gate lays them out, without the audit's seconds; and a tiny model with a chat template."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from factory import storage
from factory.export.write import Exported, export
from factory.gate.background import kind_of
from factory.gate.release import conversational
from factory.schemas import Restart
from factory.storage import read_rows, read_table
from factory.tables import TABLES
from factory.whole import write_json


def release(name: str, purpose: str = "train") -> None:
    """Table → data/datasets/<name>, manifest and a passed audit."""
    import pyarrow.parquet as pq

    table = conversational(read_table(storage.TABLES / f"{name}.parquet"), TABLES[kind_of(name)])
    shard = storage.DATASETS / name / "data" / "train-00000-of-00001.parquet"
    shard.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, shard)
    told = {
        "name": name,
        "purpose": purpose,
        "rows": table.num_rows,
        "table": name,
        "split": "train",
        "columns": {},
        "lineage": {},
    }
    words = {"collection": "coat-test", "notice": "", "licence": "apache-2.0", "licences": {}}
    write_json(storage.DATASETS / name / "manifest.json", {**told, "sha256": hashlib.sha256(shard.read_bytes()).hexdigest()})
    write_json(
        storage.AUDITS / f"{name}.json", {"success": True, "purpose": purpose, "rows": table.num_rows, "findings": [], "release": words}
    )


@pytest.fixture
def handed_on(small_line: Any) -> Any:
    """Restarts of r1 begin the answer, those of r2 do not."""
    path = storage.TABLES / "restarts_r2.parquet"
    small_line.write("restarts_r2", Restart, [replace(row, prefix="", buffer="0") for row in read_rows(path, Restart)])
    for name in small_line.params.datasets:
        if (storage.TABLES / f"{name}.parquet").exists():
            release(name)
    return small_line


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers, whose chat template closes an assistant's turn, as all do."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from factory.coat import grammar
    from trainers import run, tokenizer

    folder = tmp_path_factory.mktemp("models") / "tiny"
    question = "Tom has 12 apples. He buys 7 more. How many apples has Tom now?\n"
    texts = [f"{question}Solve:\nTry it.\n12 + 7 = 19\n\\boxed{{19}}", f"{question}Plan:\nput together (add, total)"]
    words = tokenizer.build(texts * 4, grammar.ACTIONS.values(), 128)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, tie_word_embeddings=True,
        max_position_embeddings=256, pad_token_id=words.pad_token_id, eos_token_id=words.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    run.save_model(LlamaForCausalLM(config), words, folder)
    return folder


@pytest.fixture
def exported(handed_on: Any, tmp_path: Path) -> Callable[..., tuple[Path, Exported]]:
    def made(name: str, target: str, tokenizer: Path | None = None) -> tuple[Path, Exported]:
        out = tmp_path / "out" / f"{target}_{name}"
        shutil.rmtree(out, ignore_errors=True)
        return out, export(name, target, out, tokenizer)

    return made
