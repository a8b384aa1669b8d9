"""The columns and files that each trainer documents, whole or not at all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from factory.errors import DataError, GateError
from factory.export import write
from factory.export.write import export
from factory.schemas import Restart
from factory.storage import read_rows

ROLES = {"system", "user", "assistant"}


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return pq.read_table(path).to_pylist()


def is_conversation(value: Any) -> bool:
    return bool(value) and all(set(turn) == {"role", "content"} and turn["role"] in ROLES for turn in value)


@pytest.mark.slow
def test_trl_reads_prompt_and_completion(exported: Callable) -> None:
    """TRL's docs, "Dataset formats and types": prompt-completion, conversational."""
    out, told = exported("demonstrations", "trl")
    rows = rows_of(out / "train.parquet")
    assert told.rows == len(rows) == 6
    assert all(is_conversation(row["prompt"]) and [turn["role"] for turn in row["completion"]] == ["assistant"] for row in rows)


@pytest.mark.slow
def test_trl_reads_pairs_with_an_explicit_prompt(exported: Callable) -> None:
    """TRL's docs, "Dataset formats and types": preference, and the column margin of RewardTrainer."""
    row = rows_of(exported("orm_pairs_r1", "trl")[0] / "train.parquet")[0]
    assert is_conversation(row["prompt"])
    assert [turn["role"] for turn in (*row["chosen"], *row["rejected"])] == ["assistant", "assistant"]
    assert row["margin"] == 2.0
    assert "margin" not in rows_of(exported("trajectory_pairs", "trl")[0] / "train.parquet")[0]


def test_trl_reads_steps_with_their_labels(exported: Callable) -> None:
    """TRL's docs, "Dataset formats and types": stepwise supervision is a text, a list of texts, and as many booleans."""
    out, told = exported("process_rewards", "trl")
    assert told.use == "steps"
    types = pq.read_schema(out / "train.parquet")
    assert [str(types.field(name).type) for name in ("prompt", "completions", "labels")] == [
        "string",
        "list<element: string>",
        "list<element: bool>",
    ]
    rows = rows_of(out / "train.parquet")
    assert told.rows == len(rows) == 12
    assert all(len(row["completions"]) == len(row["labels"]) > 1 for row in rows)
    assert {row["labels"][-1] for row in rows} == {True, False}
    assert "step_separator" in (out / "README.md").read_text(encoding="utf-8")


def test_trl_reads_prompts_with_the_columns_of_the_reward_function(exported: Callable) -> None:
    """TRL's docs, GRPOTrainer, "Using a custom reward function": all other columns are passed to it."""
    row = rows_of(exported("restarts_r2", "trl")[0] / "train.parquet")[0]
    assert is_conversation(row["prompt"])
    assert (row["prompt"][-1]["role"], row["answer_kind"], row["decimals"], row["buffer"]) == ("user", "number", None, "0")


def test_verl_reads_five_fields(exported: Callable) -> None:
    """verl's docs/preparation/prepare_data.rst: "each data field should consist of the following 5 fields"."""
    rows = rows_of(exported("restarts_r2", "verl")[0] / "train.parquet")
    for number, row in enumerate(rows):
        assert list(row) == ["data_source", "prompt", "ability", "reward_model", "extra_info"]
        assert row["data_source"] == "restarts_r2"
        assert is_conversation(row["prompt"])
        assert set(row["reward_model"]) == {"style", "ground_truth"}
        assert row["reward_model"]["style"] == "rule"
        assert (row["extra_info"]["split"], row["extra_info"]["index"]) == ("train", number)


def test_verl_tunes_on_whole_conversations(exported: Callable) -> None:
    """verl's trainer/config/sft_trainer_engine.yaml: messages_key."""
    row = rows_of(exported("plans_sft", "verl")[0] / "train.parquet")[0]
    assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]


@pytest.mark.slow
def test_openrlhf_reads_json_lines_by_keys(exported: Callable) -> None:
    """OpenRLHF's docs, common_options.rst: input_key, output_key, label_key, chosen_key, rejected_key; its README gives them."""
    out, _ = exported("restarts_r2", "openrlhf")
    row = rows_of(out / "train.jsonl")[0]
    assert is_conversation(row["input"])
    assert set(json.loads(row["label"])) == {"answer", "answer_kind", "decimals"}
    assert "--data.input_key input --data.label_key label --data.apply_chat_template" in (out / "README.md").read_text(encoding="utf-8")
    pair = rows_of(exported("orm_pairs_r1", "openrlhf")[0] / "train.jsonl")[0]
    assert is_conversation(pair["prompt"] + pair["chosen"])
    assert is_conversation(pair["prompt"] + pair["rejected"])


def test_openrlhf_gets_a_corpus_as_plain_text(exported: Callable) -> None:
    out, _ = exported("corpus", "openrlhf")
    assert isinstance(rows_of(out / "train.jsonl")[0]["prompt"], str)
    assert '--data.input_template ""' in (out / "README.md").read_text(encoding="utf-8")


def test_verifiers_gets_a_package_with_question_answer_and_info(exported: Callable) -> None:
    """verifiers' docs, environments.md: columns prompt, answer, info; a taskset is a package that exports one Taskset."""
    out, told = exported("restarts_r1", "verifiers")
    assert told.files == ("README.md", "coat_restarts_r1/__init__.py", "coat_restarts_r1/train.jsonl", "pyproject.toml")
    row = rows_of(out / "coat_restarts_r1" / "train.jsonl")[0]
    assert set(row) == {"prompt", "question", "answer", "info"}
    assert [turn["role"] for turn in row["prompt"]] == ["user", "assistant"], "the prefix is a turn begun"
    assert row["info"]["prefixed"] is True
    assert row["question"] == row["prompt"][0]["content"]


@pytest.mark.parametrize("target", ["trl", "verl", "openrlhf"])
def test_a_prefix_asks_for_the_model_that_will_be_trained(handed_on: Any, tmp_path: Path, target: str) -> None:
    with pytest.raises(GateError, match=f"{target} would close that turn: name the folder of the model .* with --tokenizer"):
        export("restarts_r1", target, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_prefix_stands_at_the_end_of_the_written_out_prompt(exported: Callable, tiny: Path) -> None:
    prefixes = {row.id: row.prefix for row in read_rows(Path("data/tables/restarts_r1.parquet"), Restart)}
    for row in rows_of(exported("restarts_r1", "trl", tiny)[0] / "train.parquet"):
        assert row["prompt"].endswith("Solve:\n" + prefixes[row["id"]])
    out, _ = exported("restarts_r1", "verl", tiny)
    for row in rows_of(out / "train.parquet"):
        assert row["prompt"][-1]["content"].endswith(prefixes[row["extra_info"]["id"]])
    assert "custom_chat_template" in (out / "README.md").read_text(encoding="utf-8")
    out, _ = exported("restarts_r1", "openrlhf", tiny)
    assert all(row["input"].endswith(prefixes[row["id"]]) for row in rows_of(out / "train.jsonl"))
    assert "--data.apply_chat_template" not in (out / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_folder_without_a_tokenizer_is_named(handed_on: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"--tokenizer .*empty holds no tokenizer \(tokenizer\.json\): name the folder of the model"):
        export("restarts_r1", "trl", tmp_path / "out", tmp_path / "empty")


@pytest.mark.slow
def test_only_an_export_is_replaced(exported: Callable, tmp_path: Path) -> None:
    out, first = exported("plans_sft", "trl")
    before = (out / "train.parquet").read_bytes()
    assert export("plans_sft", "trl", out) == first
    assert (out / "train.parquet").read_bytes() == before, "the same data, the same bytes"
    assert export("plans_sft", "trl", out / ".." / out.name) == first
    assert (out / "train.parquet").read_bytes() == before, "by a way through itself it is replaced too, and not lost"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match="mine exists and is no export: name another folder"):
        export("plans_sft", "trl", tmp_path / "mine")


def test_what_costs_nothing_to_see_is_refused_before_dvc_looks_at_every_file(
    handed_on: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "unchanged", lambda _: pytest.fail("DVC was asked"))
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file is no folder"):
        export("plans_sft", "trl", tmp_path / "file" / "out")
    with pytest.raises(GateError, match="verifiers takes prompts"):
        export("plans_sft", "verifiers", tmp_path / "out")
    with pytest.raises(GateError, match="--tokenizer"):
        export("restarts_r1", "verl", tmp_path / "out")
    with pytest.raises(DataError, match=r"--tokenizer .*file is no folder"):
        export("restarts_r1", "verl", tmp_path / "out", tmp_path / "file")


def test_a_broken_export_leaves_nothing(handed_on: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "readme", broken)
    with pytest.raises(OSError, match="No space left"):
        export("plans_sft", "trl", tmp_path / "exports" / "plans_sft")
    assert list((tmp_path / "exports").iterdir()) == []


def test_export_json_says_what_of(exported: Callable) -> None:
    out, _ = exported("plans_sft", "trl")
    told = json.loads((out / "export.json").read_text(encoding="utf-8"))
    assert (told["dataset"], told["target"], told["rows"], told["licence"]) == ("plans_sft", "trl", 6, "apache-2.0")
    assert list(told["sha256"]) == ["train-00000-of-00001.parquet"]
