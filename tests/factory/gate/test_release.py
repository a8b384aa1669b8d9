"""The gate, on real Parquet files: what is sound becomes a dataset, every corruption is stopped with its rows named."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from factory import storage
from factory.errors import DataError, GateError, ParamsError
from factory.gate.background import kind_of
from factory.gate.gather import gather
from factory.gate.release import release
from factory.language.conversation import flat
from factory.schemas import (
    Conversation,
    CorpusText,
    Demonstration,
    Example,
    Message,
    OrmPair,
    Problem,
    Restart,
    Rollout,
    Template,
    TrajectoryPair,
    arrow_schema,
    field_types,
    released_answers,
)
from factory.tables import TABLES as ROW_TYPES
from factory.tables import Adjustment
from factory.whole import restored


def stopped(line, dataset: str, says: str, *, rows: int = 1) -> str:
    """The release is refused for this reason, and the audit on disk tells the same."""
    with pytest.raises(GateError) as caught:
        release(dataset, line.params)
    message = str(caught.value)
    audit = json.loads((storage.AUDITS / f"{dataset}.json").read_text())
    finding = next(item for item in audit["findings"] if not item["success"] and says in item["says"])
    assert finding["critical"]
    assert finding["unexpected"] == rows
    assert not audit["success"]
    assert str(storage.AUDITS / f"{dataset}.json") in message
    assert dataset in message
    assert len(message.splitlines()) <= 2
    assert not (storage.DATASETS / dataset).exists()
    return message


@pytest.mark.slow
def test_every_dataset_of_the_line_passes(small_line) -> None:
    for dataset in small_line.params.datasets:
        audit = release(dataset, small_line.params)
        assert audit.success, audit.failures()
        manifest = json.loads((storage.DATASETS / dataset / "manifest.json").read_text())
        assert manifest["purpose"] == "train"
        assert manifest["rows"] == audit.rows > 0


@pytest.mark.slow
def test_a_release_loads_with_datasets_and_has_the_same_bytes_twice(small_line) -> None:
    from datasets import load_dataset

    release("restarts_r1", small_line.params)
    folder = storage.DATASETS / "restarts_r1"
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    loaded = load_dataset(str(folder), split="train", cache_dir=str(small_line.root / "cache"))
    restarts = storage.read_rows(storage.TABLES / "restarts_r1.parquet", Restart)
    assert [row["prefix"] for row in loaded] == [row.prefix for row in restarts]
    assert loaded.features.arrow_schema.names == arrow_schema(Restart).names
    assert loaded.features.arrow_schema.field("prompt").type == arrow_schema(Restart).field("prompt").type
    assert storage.read_rows(folder, Restart) == restarts
    release("restarts_r1", small_line.params)
    assert before == {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


CONVERSATIONAL = {
    "demonstrations": ("completion",), "cot_demonstrations": ("completion",), "plans_sft": ("completion",), "structure": ("completion",),
    "adjustments": ("completion",),
    "distillation_r1": ("completion",), "orm_pairs_r1": ("chosen", "rejected"), "trajectory_pairs": ("chosen", "rejected"),
    "restarts_r1": (),
}  # fmt: skip


@pytest.mark.parametrize("dataset", CONVERSATIONAL)
@pytest.mark.slow
def test_a_released_dataset_is_conversational(small_line, dataset: str) -> None:
    from datasets import load_dataset
    from trl.data_utils import is_conversational

    release(dataset, small_line.params)
    row_type, answers = ROW_TYPES[kind_of(dataset)], CONVERSATIONAL[dataset]
    rows = storage.read_rows(storage.TABLES / f"{dataset}.parquet", row_type)
    files = sorted(str(path) for path in (storage.DATASETS / dataset).rglob("*.parquet"))
    loaded = load_dataset("parquet", data_files=files, split="train", cache_dir=str(small_line.root / "cache"))
    assert len(loaded) == len(rows) > 0
    for example, row in zip(loaded, rows, strict=True):
        assert example["prompt"] == [{"role": "user", "content": flat(row.prompt)}]
        for name in ("prompt", *answers):
            assert is_conversational({name: example[name]}), name
        for name in answers:
            assert example[name] == [{"role": "assistant", "content": getattr(row, name)}]
        assert example.get("prefix") == getattr(row, "prefix", None)
    assert released_answers(row_type) == list(answers)
    assert storage.read_rows(storage.DATASETS / dataset, row_type) == rows
    manifest = json.loads((storage.DATASETS / dataset / "manifest.json").read_text())
    assert all("struct<role: string, content: string>" in manifest["columns"][name] for name in ("prompt", *answers))


def test_every_dataset_with_answers_to_a_prompt_is_known_here(small_line) -> None:
    kinds = {kind_of(dataset) for dataset in small_line.params.datasets}
    assert {kind for kind in kinds if field_types(ROW_TYPES[kind]).get("prompt") == Conversation} == set(map(kind_of, CONVERSATIONAL))


def test_what_was_said_with_system_and_assistant_turns_is_released_as_it_was(small_line) -> None:
    first = storage.read_rows(storage.TABLES / "plans_sft.parquet", Example)[0]
    turns = (Message("system", "Be terse.\n"), Message("user", "é?"), Message("assistant", "e."), *first.prompt)
    small_line.change("plans_sft", Example, prompt=turns)
    release("plans_sft", small_line.params)
    assert storage.read_rows(storage.DATASETS / "plans_sft", Example)[0].prompt == turns
    shard = pq.read_table(next((storage.DATASETS / "plans_sft").rglob("*.parquet")))
    assert [turn["role"] for turn in shard.column("prompt")[0].as_py()] == ["system", "user", "assistant", "user"]


def test_the_card_has_front_matter_that_the_hub_reads(small_line) -> None:
    release("demonstrations", small_line.params)
    _, front, body = (storage.DATASETS / "demonstrations" / "README.md").read_text().split("---\n", 2)
    matter = yaml.safe_load(front)
    assert matter["license"] == "apache-2.0"
    assert matter["size_categories"] == ["n<1K"]
    assert matter["configs"][0]["data_files"][0] == {"split": "train", "path": "data/train-*.parquet"}
    assert "| `III-I` | 6 |" in body
    assert "| model | `base@3fa9` | 6 |" in body
    assert "| all five types occur | `type` | warning |" in body


def test_an_unknown_token_in_a_demonstration_is_stopped(small_line) -> None:
    rows = storage.read_rows(storage.TABLES / "demonstrations.parquet", Demonstration)
    broken = small_line.change("demonstrations", Demonstration, completion=rows[0].completion.replace("<|explore|>", "<|ponder|>"))
    message = stopped(small_line, "demonstrations", "no token but the meta-actions")
    assert f"{broken}: " in message
    assert "<|ponder|>" in message


def test_a_prefix_that_its_parent_never_wrote_is_stopped(small_line) -> None:
    broken = small_line.change("restarts_r1", Restart, prefix="9 + 9 = 99\n<|reflect|>")
    message = stopped(small_line, "restarts_r1", "prefix of its parent's completion")
    assert "1 of 12 rows" in message
    assert f"{broken}: 9 + 9 = 99\\n<|reflect|>" in message


def test_a_prefix_from_a_parent_of_the_other_sign_is_stopped(small_line) -> None:
    first = storage.read_rows(storage.TABLES / "restarts_r1.parquet", Restart)[0]
    small_line.change("restarts_r1", Restart, buffer="-" if first.buffer == "+" else "+")
    stopped(small_line, "restarts_r1", "right parents")


@pytest.mark.parametrize("dataset", ["demonstrations", "restarts_r1", "orm_pairs_base", "plans_sft", "trajectory_pairs", "distillation_r1"])
@pytest.mark.slow
def test_a_problem_on_both_sides_of_the_split_is_stopped(small_line, dataset: str) -> None:
    train, heldout = small_line.problems[0], small_line.problems[7]
    twin = replace(heldout, instance=train.instance)
    small_line.write("problems", Problem, [twin if row is heldout else row for row in small_line.problems])
    stopped(small_line, dataset, "both sides", rows=2 if dataset == "restarts_r1" else 1)


def test_the_same_text_in_other_letters_counts_as_both_sides(small_line) -> None:
    text = small_line.problems[0].problem.upper().replace(".", " !")
    twin = replace(small_line.problems[7], problem=text)
    small_line.write("problems", Problem, [*small_line.problems[:7], twin, *small_line.problems[8:]])
    stopped(small_line, "distillation_r1", "both sides")


@pytest.mark.parametrize(("dataset", "rows"), [("demonstrations", 1), ("templates", 1), ("structure", 1), ("restarts_r1", 2)])
@pytest.mark.slow
def test_a_row_from_a_held_out_problem_is_stopped(small_line, dataset: str, rows: int) -> None:
    first, second, *others = small_line.problems
    small_line.write("problems", Problem, [first, replace(second, split="heldout"), *others])
    stopped(small_line, dataset, "train split", rows=rows)


def test_a_preference_pair_of_equal_rewards_is_stopped(small_line) -> None:
    small_line.change("trajectory_pairs", TrajectoryPair, reward_chosen=0.25)
    stopped(small_line, "trajectory_pairs", "the chosen plan has the higher reward")


@pytest.mark.slow
def test_an_adjustment_with_a_wrong_label_or_without_its_interval_is_stopped(small_line) -> None:
    small_line.change("adjustments", Adjustment, choice="fetch", completion="other")
    stopped(small_line, "adjustments", "the choice is the one that gains the margin")
    small_line.change("adjustments", Adjustment, choice="keep", completion="next", interval=())
    message = stopped(small_line, "adjustments", "an interval of two ends holds the gain")
    assert "values, gain and interval are those of the recorded decodes" in message


def test_a_pair_of_equal_completions_is_stopped(small_line) -> None:
    first = storage.read_rows(storage.TABLES / "orm_pairs_r1.parquet", OrmPair)[0]
    small_line.change("orm_pairs_r1", OrmPair, rejected=first.chosen)
    stopped(small_line, "orm_pairs_r1", "two texts")


def test_a_corpus_text_about_a_training_instance_is_stopped(small_line) -> None:
    small_line.change("corpus", CorpusText, instance=small_line.problems[0].instance)
    stopped(small_line, "corpus", "stands in no split")


def test_a_wrong_distillation_answer_is_stopped(small_line) -> None:
    small_line.change("distillation_r1", Example, completion="1 + 1 = 2\n\\boxed{2}")
    stopped(small_line, "distillation_r1", "graded correct")


def test_an_unproven_template_is_stopped(small_line) -> None:
    small_line.change("templates", Template, resolved=0, solve_rate=None)
    stopped(small_line, "templates", "solved a source problem again")


def test_a_missing_column_and_a_wrong_type_are_one_line(small_line) -> None:
    path = storage.TABLES / "restarts_r1.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["prefix"]), path)
    with pytest.raises(DataError, match=r"^restarts_r1 lacks the column prefix: rebuild it[^\n]*$"):
        release("restarts_r1", small_line.params)
    pq.write_table(table.set_column(table.column_names.index("backtrack"), "backtrack", table.column("answer")), path)
    with pytest.raises(DataError, match=r"^restarts_r1: column backtrack is string, expected int64$"):
        release("restarts_r1", small_line.params)


def test_a_null_and_a_repeated_id_are_stopped_before_the_rows_are_read(small_line) -> None:
    path = storage.TABLES / "restarts_r1.parquet"
    table = pq.read_table(path)
    nullable = [field.with_nullable(True) for field in table.schema]
    records = table.to_pylist()
    records[1]["id"], records[0]["prompt"] = records[0]["id"], None
    pq.write_table(pa.Table.from_pylist(records, schema=pa.schema(nullable)), path)
    stopped(small_line, "restarts_r1", "prompt is never null")
    stopped(small_line, "restarts_r1", "no id stands twice", rows=2)


def test_a_prompt_that_is_not_there_is_stopped(small_line) -> None:
    path = storage.TABLES / "orm_pairs_r1.parquet"
    table = pq.read_table(path)
    records = table.to_pylist()
    records[0]["prompt"] = None
    pq.write_table(pa.Table.from_pylist(records, schema=pa.schema([field.with_nullable(True) for field in table.schema])), path)
    stopped(small_line, "orm_pairs_r1", "prompt is never null")


def test_an_empty_table_is_stopped(small_line) -> None:
    small_line.write("demonstrations", Demonstration, [])
    with pytest.raises(GateError, match="at least one row"):
        release("demonstrations", small_line.params)


def test_a_refused_table_takes_its_older_release_away(small_line) -> None:
    release("corpus", small_line.params)
    folder = storage.DATASETS / "corpus"
    folder.rename(folder.with_name(".corpus.aside.part"))  # where a kill may leave it
    small_line.change("corpus", CorpusText, completion="<|ponder|>")
    stopped(small_line, "corpus", "no token but")
    assert not restored(folder).exists()


@pytest.mark.slow
def test_audit_data_is_marked_in_every_row_and_needs_its_notice(small_line) -> None:
    notice = "benchmark test data, not for training"
    settings = small_line.params.release.model_copy(update={"notice": notice})
    params = small_line.params.model_copy(update={"purpose": "audit", "release": settings})
    small_line.write("problems", Problem, [replace(row, split="heldout") for row in small_line.problems])
    release("restarts_r1", params)
    folder = storage.DATASETS / "restarts_r1"
    assert json.loads((folder / "manifest.json").read_text())["purpose"] == "audit"
    shard = pq.read_table(folder / "data" / "test-00000-of-00001.parquet")
    assert set(shard.column("notice").to_pylist()) == {notice}
    assert notice in (folder / "README.md").read_text()
    silent = params.model_copy(update={"release": settings.model_copy(update={"notice": ""})})
    with pytest.raises(GateError, match="marked as audit data"):
        release("restarts_r1", silent)


def test_an_unlisted_dataset_is_one_line(small_line) -> None:
    with pytest.raises(ParamsError, match="lists no dataset 'restart'"):
        gather("restart", small_line.params)


def test_parents_come_from_the_table_that_the_params_name(small_line) -> None:
    Path("data/tables/rollouts_r1.parquet").unlink()
    with pytest.raises(DataError, match=r"rollouts_r1\.parquet is missing"):
        release("orm_pairs_r1", small_line.params)
    found = gather("restarts_r2", small_line.params).rollouts
    named = {row.parent_id for row in storage.read_rows(storage.TABLES / "restarts_r2.parquet", Restart)}
    every = {row.id: row for row in storage.read_rows(storage.TABLES / "rollouts_r2.parquet", Rollout)}
    assert set(found) == named <= set(every)
    assert all(found[key].completion == every[key].completion for key in named)
