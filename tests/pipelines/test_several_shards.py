"""A dataset that is too large for one file: whoever reads it reads all of its shards, in their order, as if they were one file."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification
from typer.testing import CliRunner

from factory import storage
from factory.cli.main import app
from factory.coat import grammar
from factory.export.write import export
from factory.foreign.sources import opened
from factory.gate.background import kind_of
from factory.lineage.trace import Line, trace
from factory.params import Params, parse
from factory.reports.columns import distributions
from factory.reports.scan import Scan
from factory.schemas import Template
from factory.tables import TABLES
from factory.templates.library import build_library
from factory.templates.lookup import load_templates
from pipelines import distill, format_tuning, orm, planner, planner_adjust, planner_dpo, ppo, pretraining
from trainers import run, tokenizer

sys.path.append(str(Path(__file__).parents[1]))
from laid_out import lay_out

torch.set_num_threads(1)
FEW_TOKENS = {"tokens": 300, "batch": 4, "lr": 1e-3}
ON_POLICY = {"iterations": 2, "batch": 4, "lr": 1e-3, "max_tokens": 6, "temperature": 1.0}
STAGES: dict[str, tuple[Callable[[Params], None], tuple[str, ...], str]] = {  # how it is run, what it reads, the model that it makes
    "pretraining": (lambda params: pretraining.main(params, "base"), ("corpus",), "base"),
    "format_tuning": (format_tuning.main, ("demonstrations",), "format_tuned"),
    "orm": (lambda params: orm.main(params, "r1"), ("orm_pairs_r1",), "orm_r1"),
    "ppo": (lambda params: ppo.main(params, "r1"), ("restarts_r1",), "policy_r1"),
    "distill": (lambda params: distill.main(params, "r1"), ("distillation_r1",), "distilled_r1"),
    "planner": (lambda params: planner.main(params, "first"), ("structure", "plans_first"), "planner_first"),
    "planner_dpo": (planner_dpo.main, ("trajectory_pairs",), "planner_dpo"),
    "planner_adjust": (planner_adjust.main, ("adjustments",), "planner_adjust"),
}  # fmt: skip


def small(document: dict[str, Any]) -> Params:
    """The line's own params with a few steps of each training."""
    document["format_tuning"] |= FEW_TOKENS
    for section in ("distill", "planner_sft", "planner_adjust"):
        document[section] |= FEW_TOKENS
    for section in ("orm", "planner_dpo"):
        document[section] |= {"epochs": 1, "batch": 4}
    document["ppo"] |= {"iterations": 2, "batch": 8, "minibatch": 8, "max_tokens": 6}
    document["pretraining"]["base"] |= {"hidden": 16, "layers": 1, "heads": 2, "intermediate": 16, "batch": 2}
    return parse(document)


@pytest.fixture(scope="session")
def models(written_line: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal model and a reward model that know the small line's words."""
    folder = tmp_path_factory.mktemp("models")
    texts = [
        text
        for _, datasets, _ in STAGES.values()
        for dataset in datasets
        for row in pq.read_table(written_line.root / storage.TABLES / f"{dataset}.parquet").to_pylist()
        for name in ("prompt", "prefix", "completion", "chosen", "rejected")
        for text in flat(row.get(name))
    ]
    words = tokenizer.build(texts, grammar.ACTIONS.values(), 256)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        max_position_embeddings=256, pad_token_id=words.pad_token_id, eos_token_id=words.eos_token_id,
    )  # fmt: skip
    run.save_model(LlamaForCausalLM(config), words, folder / "causal")
    config.num_labels, config.reward_mean, config.reward_std = 1, 0.0, 1.0
    run.save_model(LlamaForSequenceClassification(config), words, folder / "reward")
    return folder


def flat(value: Any) -> list[str]:
    """The words of a text, of a conversation, or of nothing."""
    return [turn["content"] for turn in value] if isinstance(value, list) else [value] if value else []


def trained(stage: str, params: Params, models: Path) -> dict[str, bytes]:
    """The files of the model that a stage makes of what lies here, and its log."""
    shutil.rmtree(storage.MODELS, ignore_errors=True)
    for name in ("base", "format_tuned", "planner_dpo", "planner_sft", "policy_r1"):
        shutil.copytree(models / "causal", storage.MODELS / name)
    shutil.copytree(models / "reward", storage.MODELS / "orm_r1")
    main, _, made = STAGES[stage]
    main(params)
    files = [*sorted((storage.MODELS / made).rglob("*.safetensors")), storage.LOGS / f"{made}.csv"]
    return {str(path): path.read_bytes() for path in files}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.slow
def test_a_training_has_the_same_bytes_of_one_shard_and_of_three(small_line, models: Path, stage: str) -> None:
    params, found = small(yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))), []
    start = (models / "causal/model.safetensors").read_bytes()
    for parts in (1, 3):
        for dataset in STAGES[stage][1]:
            lay_out(dataset, params, parts)
        found.append(trained(stage, params, models))
    assert found[0] == found[1]
    assert all(content != start for content in found[0].values())


@pytest.mark.slow
def test_on_policy_distillation_has_the_same_bytes_of_one_shard_and_of_three(small_line, models: Path) -> None:
    document, found = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")), []
    document["distillations"]["r1"]["on_policy"] = ON_POLICY
    for parts in (1, 3):
        lay_out("distillation_r1", small_line.params, parts)
        found.append(trained("distill", small(document), models))
    assert found[0] == found[1]


EXPORTS = {  # of each use one dataset, to every trainer that takes it
    "demonstrations": ("trl", "verl", "openrlhf"), "orm_pairs_r1": ("trl", "openrlhf"), "process_rewards": ("trl",),
    "restarts_r2": ("trl", "verl", "openrlhf", "verifiers"),
}  # fmt: skip


def rows_in(folder: Path) -> list[dict[str, Any]]:
    (file,) = folder.rglob("train.*")
    if file.suffix == ".parquet":
        return list(pq.read_table(file).to_pylist())
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("dataset", EXPORTS)
@pytest.mark.slow
def test_exports_hold_the_rows_of_all_shards_in_order(small_line, dataset: str) -> None:
    if kind_of(dataset) == "restarts":  # without prefixes no tokenizer is needed
        rows = storage.read_rows(storage.TABLES / f"{dataset}.parquet", TABLES["restarts"])
        small_line.write(dataset, TABLES["restarts"], [replace(row, prefix="", buffer="0") for row in rows])
    found = []
    for parts in (1, 3):
        lay_out(dataset, small_line.params, parts)
        told = [export(dataset, target, Path(f"exports/{target}{parts}")) for target in EXPORTS[dataset]]
        found.append([rows_in(Path(f"exports/{one.target}{parts}")) for one in told])
    ids = [row.id for row in storage.read_rows(storage.TABLES / f"{dataset}.parquet", TABLES[kind_of(dataset)])]
    assert found[0] == found[1]
    assert all([row.get("id") or (row.get("extra_info") or row["info"])["id"] for row in rows] == ids for rows in found[0])


def test_load_dataset_reads_three_shards_as_one(small_line) -> None:
    from datasets import load_dataset

    found = []
    for parts in (1, 3):
        folder = lay_out("restarts_r1", small_line.params, parts)
        found.append(load_dataset(str(folder), split="train", cache_dir=f"cache{parts}"))
    assert found[0].features == found[1].features
    assert found[0].to_list() == found[1].to_list()
    assert len(found[0]) == 12


def test_the_command_shows_the_rows_of_all_shards(small_line) -> None:
    ids = [row.id for row in storage.read_rows(storage.TABLES / "restarts_r1.parquet", TABLES["restarts"])]
    asked = (["show", "restarts_r1", "-n", "12"], ["show", "restarts_r1", "-n", "3"], ["show", "restarts_r1", "--id", ids[-1]])
    found = []
    for parts in (1, 3):
        lay_out("restarts_r1", small_line.params, parts)
        found.append([CliRunner().invoke(app, words).output for words in asked])
    assert found[0] == found[1]
    assert all(key in found[0][0] for key in ids)
    assert ids[-1] in found[0][2]


@pytest.mark.slow
def test_a_trace_finds_rows_of_every_shard_by_id_and_by_number(small_line) -> None:
    ids = [row.id for row in storage.read_rows(storage.TABLES / "restarts_r1.parquet", TABLES["restarts"])]
    found = []
    for parts in (1, 3):
        lay_out("restarts_r1", small_line.params, parts)
        line = Line(Path("."))
        found.append([replace(trace(line, f"restarts_r1/{key}").datasets[0], sha256="") for key in (ids[0], ids[5], ids[-1])])
        assert [line.index.number("restarts_r1", place).id for place in range(12)] == ids
        assert line.index.number("restarts_r1", 12) is None
    assert found[0] == found[1]
    assert {(one.name, one.rows, one.of) for one in found[0]} == {("restarts_r1", 1, 12)}


def test_a_report_measures_and_an_audit_of_files_reads_all_shards(small_line) -> None:
    found = []
    for parts in (1, 3):
        folder = lay_out("restarts_r1", small_line.params, parts)
        with Scan.of(folder) as scan:
            measured = list(distributions(scan))
        with opened(str(folder)) as data:
            found.append((measured, data.kind, [record.values for record in data.records()]))
    assert found[0] == found[1]
    assert len(found[0][2]) == 12


@pytest.mark.slow
def test_a_library_is_built_of_all_shards(small_line) -> None:
    first, *_ = storage.read_rows(storage.TABLES / "templates.parquet", Template)
    small_line.write("templates", Template, [replace(first, id=f"t{number}", name=f"template {number}") for number in range(9)])
    found = []
    for parts in (1, 3):
        folder = lay_out("templates", small_line.params, parts)
        assert build_library(folder, Path("library.duckdb")) == 9
        found.append((load_templates(folder), load_templates(Path("library.duckdb"))))
    assert found[0] == found[1]
    assert [row.id for row in found[0][0]] == [f"t{number}" for number in range(9)]
