"""Measures say what they say, and a dataset that is lopsided, repeats itself or hides its origin trips its warning."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from factory import storage
from factory.gate import measures, provenance
from factory.gate.expectations import Audit, validate
from factory.gate.gather import gather
from factory.gate.release import release
from factory.identity import row_id
from factory.language.conversation import said
from factory.schemas import Demonstration, Example, OrmPair, Restart, Rollout, Trajectory
from factory.storage import read_rows, to_table
from factory.tables import TABLES


def audited(line, dataset: str, row_type: type, rows: list, *, kind: str = "") -> Audit:
    """Of rows in memory; the background is that of the table on disk."""
    return validate(kind or dataset, to_table(row_type, rows), gather(dataset, line.params))


_SOUND: dict[str, Audit] = {}


def sound(line, dataset: str, row_type: type) -> Audit:
    """Of the table as it lies in every test's line before the test changes it, audited once."""
    if dataset not in _SOUND:
        _SOUND[dataset] = audited(line, dataset, row_type, rows_of(dataset, row_type))
    return _SOUND[dataset]


def rows_of(dataset: str, row_type: type) -> list:
    return read_rows(storage.TABLES / f"{dataset}.parquet", row_type)


def copies(rows: list, count: int, **changes: object) -> list:
    return [replace(row, id=row_id(row.id, number), **changes) for row in rows for number in range(count)]


def warned(audit: Audit, name: str) -> bool:
    (finding,) = (one for one in audit.findings if one.column == name)
    assert not finding.critical
    assert audit.success
    for one in audit.measures:
        if one.name == name:
            assert one.success == finding.success
    return not finding.success


def test_the_auc_of_length_is_the_share_of_pairs_in_which_the_chosen_text_is_longer() -> None:
    right, wrong = np.array([3.0, 5.0, 5.0]), np.array([1.0, 5.0, 9.0])
    value, error = measures.clustered_auc(right, wrong, np.array([0, 1, 2]))
    assert value == pytest.approx((1 + 0 + 0 + 1 + 0.5 + 0 + 1 + 0.5 + 0) / 9)
    assert error is not None
    assert measures.clustered_auc(right, wrong, np.array([0, 0, 0]))[1] is None


def test_the_interval_of_the_auc_holds_what_other_draws_say_and_widens_with_texts_that_stand_together() -> None:
    generator = np.random.default_rng(0)

    def drawn(groups: int, each: int) -> tuple[float, float]:
        shift = np.repeat(generator.normal(size=groups), each)
        right, wrong = shift + generator.normal(size=groups * each), shift + generator.normal(size=groups * each)
        clusters = np.repeat(np.arange(groups), each)
        value, error = measures.clustered_auc(right, wrong, clusters)
        assert error is not None
        return value, error

    found = np.array([drawn(60, 4) for _ in range(400)])
    assert (np.abs(found[:, 0] - 0.5) < 1.96 * found[:, 1]).mean() == pytest.approx(0.95, abs=0.03)
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.15)


@pytest.mark.slow
def test_longer_chosen_texts_trip_both_measures_of_length(small_line) -> None:
    rows = rows_of("orm_pairs_r1", OrmPair)
    assert not warned(sound(small_line, "orm_pairs_r1", OrmPair), "repeated_pairs")
    parents = {row.id: row for row in rows_of("rollouts_r1", Rollout)}
    padded = [replace(parents[row.chosen_id], completion="Look at it again.\n" * 9 + row.chosen) for row in rows]
    small_line.write("rollouts_r1", Rollout, [*(parents | {row.id: row for row in padded}).values()])
    longer = [replace(row, chosen=parent.completion) for row, parent in zip(rows, padded)]
    audit = audited(small_line, "orm_pairs_r1", OrmPair, longer)
    assert warned(audit, "length_auc")
    assert warned(audit, "longer_chosen")
    (auc,) = (one for one in audit.measures if one.name == "length_auc")
    assert auc.value == 1.0
    assert auc.bounds == {"min_value": 0.35, "max_value": 0.65}
    (share,) = (one for one in audit.measures if one.name == "longer_chosen")
    assert share.counts == {"longer": len(rows), "shorter": 0, "equal": 0}


def test_pairs_that_say_the_same_over_and_over_are_seen(small_line) -> None:
    audit = audited(small_line, "orm_pairs_r1", OrmPair, copies(rows_of("orm_pairs_r1", OrmPair), 5))
    assert warned(audit, "repeated_pairs")
    assert not next(one for one in audit.findings if one.says == "no two rows say the same").success


@pytest.mark.parametrize(("name", "keep", "times"), [("plus_share", "+", 4), ("plain_share", "0", 200), ("plus_share", "-", 4)])
def test_lopsided_restarts_are_seen(small_line, name: str, keep: str, times: int) -> None:
    rows = rows_of("restarts_r1", Restart)
    assert not warned(sound(small_line, "restarts_r1", Restart), name)
    plain = [replace(rows[0], buffer="0", parent_id=None, prefix="", backtrack=0)]
    more = [row for row in rows if row.buffer == keep] if keep != "0" else plain
    assert warned(audited(small_line, "restarts_r1", Restart, [*rows, *copies(more, times)]), name)


def test_a_teachers_beginnings_are_counted() -> None:
    found = measures.teacher_share({"buffer": pa.chunked_array([["t", "t", "t", "0"]])})
    assert (found.value, found.counts) == (0.75, {"0": 1, "t": 3})


def test_pass_rates_at_the_ends_are_counted_apart(small_line) -> None:
    rates = pa.chunked_array([[0.0, 0.0, 0.0, 0.05, 0.1, 1.0, None]])
    never, always = measures.never_solved({"pass_rate": rates}), measures.always_solved({"pass_rate": rates})
    assert (never.value, always.value) == (0.5, 0.1667)
    assert {key: count for key, count in never.counts.items() if count} == {"0": 3, "(0, 0.1)": 1, "[0.1, 0.2)": 1, "1": 1}
    assert sum(never.counts.values()) == 6
    rows = rows_of("restarts_r1", Restart)
    small_line.write("rollouts_r1", Rollout, [replace(row, pass_rate=0.0) for row in rows_of("rollouts_r1", Rollout)])
    audit = audited(small_line, "restarts_r1", Restart, [replace(row, pass_rate=0.0) for row in rows])
    assert warned(audit, "never_solved")
    assert not warned(audit, "always_solved")


def test_one_type_and_one_depth_alone_are_seen(small_line) -> None:
    audit = sound(small_line, "demonstrations", Demonstration)
    assert warned(audit, "type_share")
    assert warned(audit, "depth_share")
    assert next(one for one in audit.measures if one.name == "depth_share").counts == {"2": 6}
    even = measures.type_share({"type": pa.chunked_array([["I", "II-I", "I", "III-I"]])})
    assert even.value == 0.5


def test_samples_that_repeat_each_other_are_seen(small_line) -> None:
    rows = rows_of("distillation_r1", Example)
    assert not warned(sound(small_line, "distillation_r1", Example), "repeated")
    audit = audited(small_line, "distillation_r1", Example, copies(rows, 3))
    assert warned(audit, "repeated")
    assert next(one for one in audit.measures if one.name == "repeated").counts == {"rows": 3 * len(rows), "distinct": len(rows)}


def test_plans_that_repeat_each_other_are_seen() -> None:
    problems, plans = pa.chunked_array([[1, 1, 2]], pa.uint64()), pa.chunked_array([[7, 7, 7]], pa.uint64())
    assert measures.repeated_plans({"problem_id.hash": problems, "plan.hash": plans}).value == pytest.approx(1 / 3, abs=1e-4)


@pytest.mark.parametrize(("asked", "said_", "fits"), [
    ("How many?", "Seven.\n\\boxed{7}", True), ("How many?", "一共有七个苹果。", False), ("苹果有多少个?", "一共有七个苹果。", True),
    ("How many?", "The angle α and β sum to π: 180° — naïve café.", True),
    ("How many?", "The answer (ответ) is 7, as we saw before.", True),
    ("How many?", "Ответ: семь.", False), ("いくつ?", "林檎は七個", True), ("5 + 2?", "", True), ("How many?", "꿈이 있다 seven", False),
])  # fmt: skip
def test_a_text_in_another_script_than_its_prompt_is_seen(small_line, asked: str, said_: str, fits: bool) -> None:
    row = replace(rows_of("distillation_r1", Example)[0], prompt=said("user", asked), completion=said_)
    assert provenance.in_script(row, gather("distillation_r1", small_line.params)) == fits


def test_rows_in_another_script_are_a_warning_with_its_rows(small_line) -> None:
    rows = rows_of("distillation_r1", Example)
    foreign = replace(rows[0], completion="答案是一共有这么多个苹果。\n" + rows[0].completion)
    audit = audited(small_line, "distillation_r1", Example, [foreign, *rows[1:]])
    assert warned(audit, "in_script")
    assert audit.positions[[one.column for one in audit.findings].index("in_script")] == (0,)


@pytest.mark.parametrize("changes", [{"model": ""}, {"model": "base"}, {"model": "base@"}, {"prompt_version": "@1"}, {"round": " "}])
def test_a_row_without_its_lineage_is_a_warning(small_line, changes: dict) -> None:
    rows = rows_of("distillation_r1", Example)
    assert not warned(sound(small_line, "distillation_r1", Example), "lineage_named")
    assert warned(audited(small_line, "distillation_r1", Example, [replace(rows[0], **changes), *rows[1:]]), "lineage_named")


def test_a_gold_solution_names_no_revision_and_pairs_and_restarts_name_round_and_parents(small_line) -> None:
    background = gather("restarts_r1", small_line.params)
    assert provenance.lineage_named(replace(rows_of("distillation_r1", Example)[0], model="gold"), background)
    restart, pair = rows_of("restarts_r1", Restart)[0], rows_of("orm_pairs_r1", OrmPair)[0]
    assert provenance.origin_named(restart, background)
    assert provenance.origin_named(pair, background)
    assert not provenance.origin_named(replace(restart, parent_id=None), background)
    assert not provenance.origin_named(replace(pair, chosen_id=""), background)
    assert not provenance.origin_named(replace(pair, round=""), background)


def test_words_of_a_template_without_licence_are_seen(small_line) -> None:
    background, row = gather("structure", small_line.params), rows_of("structure", Example)[0]
    assert provenance.licensed(row, background)
    bare = {key: replace(template, licence=" ") for key, template in background.templates.items()}
    assert not provenance.licensed(row, replace(background, templates=bare))


@pytest.mark.slow
def test_the_audit_says_measures_and_what_columns_hold(small_line) -> None:
    release("orm_pairs_r1", small_line.params)
    document = json.loads((storage.AUDITS / "orm_pairs_r1.json").read_text())
    rows = rows_of("orm_pairs_r1", OrmPair)
    lengths = sorted(len(row.chosen) for row in rows)
    assert document["columns"]["chosen"]["of"] == "characters"
    assert (document["columns"]["chosen"]["n"], document["columns"]["chosen"]["max"]) == (len(rows), lengths[-1])
    assert document["columns"]["prompt"]["min"] == min(len(row.prompt[0].content) for row in rows)
    assert document["columns"]["margin"]["of"] == "values"
    assert {one["name"] for one in document["measures"]} == {"length_auc", "longer_chosen", "repeated_pairs"}
    assert set(document["measures"][0]) == {"name", "says", "value", "low", "high", "bounds", "success", "counts"}


@pytest.mark.slow
def test_every_kind_of_row_can_be_audited_where_its_rows_are_sound(small_line) -> None:
    assert audited(small_line, "restarts_r1", Rollout, small_line.rollouts, kind="rollouts").measures
    rows = rows_of("trajectories", Trajectory)
    known = {**gather("trajectory_pairs", small_line.params).problems}
    audit = validate(
        "trajectories", to_table(TABLES["trajectories"], rows), replace(gather("adjustments", small_line.params), problems=known)
    )
    assert {one.name for one in audit.measures} == {"repeated_plans"}
