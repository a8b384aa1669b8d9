"""Each check says yes to a sound row and no to the corruption that it is there for; suites and checks name each other."""

import importlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from factory.errors import DataError, ParamsError
from factory.gate import checks, template_checks
from factory.gate.background import Background, kind_of
from factory.gate.expectations import short, validate
from factory.gate.gather import gather
from factory.gate.table import TABLE, checks_of, document, needs_of, suite
from factory.language.conversation import begun, said
from factory.params import load
from factory.schemas import Demonstration, OrmPair, Restart, Template, TrajectoryPair, field_types
from factory.storage import TABLES, read_rows, read_table
from factory.tables import TABLES as ROW_TYPES
from factory.tables import Adjustment, DrawnRollout, ProcessReward

BREAKS = {
    "demonstrations": (Demonstration, {
        "control_tokens_in_place": {"prompt": said("user", "Tom</s> has 3.\nSolve:\n")},
        "tokens_known": {"completion": "1\n<|ponder|>2\n\\boxed{9}"}, "coat_valid": {"completion": "<|reflect|>1\n\\boxed{9}"},
        "explore_then_continue": {"completion": "1\n<|reflect|>No.\n<|explore|>Other.\n<|reflect|>No.\n\\boxed{9}"},
        "is_right": {"completion": "\\boxed{999}"}, "type_fits": {"type": "I"}, "spans_inside": {"wrong_spans": (3, 1)},
        "prompt_of_problem": {"prompt": said("user", "Solve:\n")}, "problem_known": {"problem_id": "nowhere"},
        "split_is_train": {"problem_id": "nowhere"},
    }),
    "restarts_r1": (Restart, {
        "control_tokens_in_place": {"prefix": "3 + 4 = 8 <|im_end|>\n<|reflect|>"},
        "prefix_of_parent": {"prefix": "Try it"}, "ends_in_reflect": {"prefix": "Try it."}, "box_marked": {"prefix_has_answer": True},
        "answer_of_problem": {"answer": "1,000"}, "sign_of_parent": {"parent_id": "nowhere"}, "rate_of_rollouts": {"pass_rate": 0.25},
    }),
    "orm_pairs_r1": (OrmPair, {
        "control_tokens_in_place": {"rejected": "[INST] 7"},
        "chosen_differs": {"chosen": "x", "rejected": "x"}, "signs_differ": {"chosen": "\\boxed{999}"},
        "pair_of_parents": {"chosen_id": "x"},
    }),
    "templates": (Template, {
        "control_tokens_in_place": {"steps": ("Take the result.", "Add <|endoftext|>.")},
        "has_steps": {"steps": ()}, "has_tags": {"tags": ("add", " ")}, "example_right": {"example_answer": "999"},
        "proven": {"solve_rate": 0.0}, "split_is_train": {"parents": ()},
    }),
    "adjustments": (Adjustment, {
        "control_tokens_in_place": {"steps": ("3 + 7 = 10 <|im_end|>",)}, "state_of_parent": {"steps": ("3 + 7 = 11",)},
        "answer_not_given": {"steps": ("\\boxed{9}",)}, "values_of_parents": {"value_fetch": 0.5}, "choice_of_values": {"choice": "fetch"},
        "choice_said": {"completion": "stop"}, "interval_holds_gain": {"interval": ()},
        "prompt_of_problem": {"prompt": said("user", "What?")},
    }),
    "process_rewards": (ProcessReward, {
        "asks_problem": {"prompt": "What?"}, "label_a_step": {"labels": (True,)}, "false_from_first_wrong": {"labels": (False, True, True)},
        "last_of_verdict": {"labels": (True, True)}, "steps_of_parent": {"completions": ("\\boxed{1}",)},
        "exact_again": {"compared": False, "exact_step": None}, "first_wrong_of_source": {"by": "critic"},
        "control_tokens_in_place": {"completions": ("3 + 4 = 7 <|im_end|>",)}, "split_is_train": {"problem_id": "nowhere"},
    }),
    "trajectory_pairs": (TrajectoryPair, {
        "rewards_differ": {"reward_rejected": 1.0}, "rewards_of_parents": {"reward_chosen": 0.9}, "plans_readable": {"chosen": "a plan"},
        "chosen_differs": {"rejected": "put together (add, total)"},
    }),
}  # fmt: skip


@pytest.fixture
def line(written_line, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The small line itself, in which nobody writes."""
    monkeypatch.chdir(written_line.root)
    return written_line


@cache
def sound(dataset: str) -> Background:
    """What the checks of a dataset know of the line that is the working folder."""
    return gather(dataset, load(Path("params.yaml")))


@pytest.fixture(scope="module", autouse=True)
def closed() -> Iterator[None]:
    """What was gathered reads from open files."""
    yield
    sound.cache_clear()


@pytest.mark.parametrize(("dataset", "name"), [(dataset, name) for dataset, (_, breaks) in BREAKS.items() for name in breaks])
def test_a_check_sees_its_corruption_and_nothing_in_sound_rows(line, dataset: str, name: str) -> None:
    row_type, breaks = BREAKS[dataset]
    background = sound(dataset)
    check = checks_of(kind_of(dataset))[name]
    rows = read_rows(TABLES / f"{dataset}.parquet", row_type)
    assert all(check(row, background) for row in rows)
    assert not check(replace(rows[0], **breaks[name]), background)


@pytest.mark.parametrize(("status", "resolved", "rate", "proven"), [
    ("accepted", 8, 0.125, True), ("accepted", 8, 0.0, False), ("accepted", 0, None, False), ("accepted", 3, None, False),
    ("accepted", 0, 0.5, False), ("quarantined", 8, 0.0, True), ("quarantined", 0, None, True), ("quarantined", 0, 0.5, False),
    ("retired", 4, 0.25, True), ("quarantined", 4, 0.3, False),
])  # fmt: skip
def test_what_is_accepted_was_tried_and_solved_something(
    line, planner_kit, status: str, resolved: int, rate: float | None, proven: bool
) -> None:
    row = planner_kit.template(status=status, resolved=resolved, solve_rate=rate)
    assert template_checks.proven(row, sound("templates")) == proven


@pytest.mark.parametrize(("name", "breaks"), [
    ("rate_of_counts", {"right": 3}), ("rate_of_counts", {"right": -1}), ("rate_of_counts", {"pass_rate": 0.75}),
    ("rate_of_counts", {"samples": 0, "right": 0}), ("rate_of_counts", {"pass_low": 0.6}), ("rate_of_counts", {"pass_high": 0.4}),
    ("rate_of_verdict", {"verdict": "correct", "right": 0}), ("rate_of_verdict", {"verdict": "unparsable", "right": 2}),
])  # fmt: skip
def test_a_pass_rate_is_right_of_samples_in_its_interval_and_fits_the_verdict(line, name: str, breaks: dict) -> None:
    background = sound("restarts_r1")
    check = checks_of("rollouts")[name]
    assert all(check(row, background) for row in line.rollouts)
    assert not check(replace(line.rollouts[0], **breaks), background)


@pytest.mark.parametrize(("name", "breaks"), [
    ("state_of_parent", {"parents": ()}), ("state_of_parent", {"parents": ("nowhere",)}), ("state_of_parent", {"template_ids": ("t2",)}),
    ("state_of_parent", {"place": 2}), ("state_of_parent", {"prompt": said("user", "Plan: 2 + 7 = 9")}),
    ("values_of_parents", {"n_keep": 8}), ("values_of_parents", {"gain": -0.5}), ("values_of_parents", {"interval": (-1.0, 1.0)}),
    ("values_of_parents", {"parents": ("nowhere",)}), ("choice_of_values", {"gain": 0.5}), ("choice_of_values", {"value_keep": 0.0}),
    ("choice_of_values", {"value_keep": 0.0, "gain": 0.25, "margin": 0.25}), ("choice_of_values", {"value_fetch": None}),
    ("choice_of_values", {"value_keep": 0.0, "gain": 0.25, "margin": 0.25, "choice": "stop"}), ("choice_said", {"completion": "Hm."}),
    ("interval_holds_gain", {"interval": (-0.5, 0.0)}), ("interval_holds_gain", {"interval": (-1.5, 0.5)}),
])  # fmt: skip
def test_a_wrong_label_of_an_adjustment_is_seen(line, name: str, breaks: dict) -> None:
    background = sound("adjustments")
    row = read_rows(TABLES / "adjustments.parquet", Adjustment)[0]
    assert checks_of("adjustments")[name](row, background)
    assert not checks_of("adjustments")[name](replace(row, **breaks), background)


def test_an_adjustment_that_gains_the_margin_is_the_label(line) -> None:
    background = sound("adjustments")
    row = read_rows(TABLES / "adjustments.parquet", Adjustment)[0]
    better = replace(row, choice="fetch", value_keep=0.0, value_fetch=0.25, gain=0.25, margin=0.25)
    check = checks_of("adjustments")["choice_of_values"]
    assert check(better, background)
    assert not check(replace(better, choice="keep"), background)
    assert check(replace(better, choice="keep", margin=0.5), background)


def test_a_problem_that_was_not_sampled_has_no_pass_rate(line) -> None:
    background = sound("restarts_r1")
    row = read_rows(TABLES / "restarts_r1.parquet", Restart)[0]
    elsewhere = replace(row, problem_id=line.problems[7].id)
    assert checks.rate_of_rollouts(replace(elsewhere, pass_rate=None), background)
    assert not checks.rate_of_rollouts(elsewhere, background)
    assert not checks.rate_of_rollouts(replace(row, pass_rate=None), background)


def test_plain_steps_between_explore_and_continue_belong_to_the_explore(line) -> None:
    background = sound("demonstrations")
    row = read_rows(TABLES / "demonstrations.parquet", Demonstration)[0]
    apart = replace(row, completion=row.completion.replace("<|continue|>", "Look.\n<|continue|>"))
    assert checks.explore_then_continue(apart, background)


def test_plain_problems_have_neither_prefix_nor_parent(line) -> None:
    background = sound("restarts_r1")
    row = read_rows(TABLES / "restarts_r1.parquet", Restart)[0]
    plain = replace(row, buffer="0", prefix="", parent_id=None)
    assert checks.prefix_of_parent(plain, background)
    assert not checks.prefix_of_parent(replace(plain, prefix="x\n<|reflect|>"), background)
    assert not checks.prefix_of_parent(replace(plain, parent_id=row.parent_id), background)


def test_a_teachers_beginning_is_the_gold_solutions_of_a_problem_that_no_rollout_solved(line) -> None:
    background = sound("restarts_r1")
    row = read_rows(TABLES / "restarts_r1.parquet", Restart)[0]
    whole = next(problem for problem in line.problems if problem.id == row.problem_id)
    problem = replace(whole, solution="3 + 4 = 7\n7 + 1 = 8\n\\boxed{8}")
    known = replace(background, problems=dict(background.problems) | {problem.id: problem})
    begun = replace(row, buffer="t", prefix="3 + 4 = 7\n", parent_id=problem.id, backtrack=2, pass_rate=0.0)
    assert checks.prefix_of_parent(begun, known)
    assert checks.ends_in_reflect(begun, known)
    for changes in ({"prefix": "3 + 4 = 8\n"}, {"prefix": "3 + 4 = 7"}, {"backtrack": 1}, {"backtrack": 0}, {"parent_id": row.parent_id}):
        assert not checks.prefix_of_parent(replace(begun, **changes), known)
    assert not checks.prefix_of_parent(begun, background)  # another solution, or none
    assert not checks.ends_in_reflect(replace(begun, prefix="3 + 4 = 7\n<|reflect|>"), known)
    assert not checks.sign_of_parent(begun, known)
    known.__dict__["pass_rates"] = {problem.id: 0.0}
    assert checks.sign_of_parent(begun, known)


def test_a_templates_held_out_example_is_seen(line) -> None:
    background = sound("templates")
    row = read_rows(TABLES / "templates.parquet", Template)[0]
    assert template_checks.example_from_train(row, background)
    assert not template_checks.example_from_train(replace(row, example_problem=line.problems[7].problem), background)


def test_a_meta_action_token_is_in_place_where_a_model_wrote_it_alone(line) -> None:
    background, step = sound("demonstrations"), "7\n<|reflect|>But wait."
    problem, rollout = line.problems[0], line.rollouts[0]
    assert checks.control_tokens_in_place(replace(rollout, completion=step), background)
    assert not checks.control_tokens_in_place(replace(rollout, prompt=begun(rollout.prompt, step)), background)
    assert not checks.control_tokens_in_place(replace(rollout, completion=f"{step} <|reflect|>"), background)
    assert not checks.control_tokens_in_place(replace(problem, problem=step), background)
    assert not checks.control_tokens_in_place(replace(problem, solution=step), background)


@pytest.mark.slow
def test_rows_that_spell_control_tokens_are_counted_and_close_no_gate(small_line) -> None:
    small_line.change("demonstrations", Demonstration, critique="It ends in <|im_end|>.")
    audit = validate("demonstrations", read_table(TABLES / "demonstrations.parquet"), gather("demonstrations", small_line.params))
    (finding,) = (one for one in audit.findings if one.column == "control_tokens_in_place")
    assert audit.success
    assert (finding.critical, finding.success, finding.unexpected, finding.of) == (False, False, 1, 6)


def test_every_entry_reads_columns_that_its_tables_have() -> None:
    for entry in TABLE:
        for kind in entry.kinds:
            row_type = DrawnRollout if kind == "drawn_rollouts" else ROW_TYPES[kind]
            known = {*field_types(row_type), *checks_of(kind)}
            read = [name.partition(".")[0] for name in entry.reads] or entry.columns
            assert set(read) <= known, (kind, entry.says)
        for table, columns in entry.needs.items():
            made = {"pass_rates": {"pass_rate"}, "sides": {"text", "instance"}}
            assert columns <= made.get(table, set(field_types(ROW_TYPES[table]) if table in ROW_TYPES else ())), entry.says


def test_a_check_that_reads_what_it_does_not_declare_fails(line) -> None:
    background = sound("orm_pairs_r1")
    parent = next(iter(background.rollouts.values()))
    assert parent.completion
    with pytest.raises(AttributeError, match="verdict"):
        _ = parent.verdict
    assert needs_of("orm_pairs")["rollouts"] == {"problem_id", "completion"}


def test_the_table_is_a_document_that_another_engine_can_run() -> None:
    for kind in ("restarts", "orm_pairs", "templates"):
        for item in document(kind)["expectations"]:
            assert set(item) == {"type", "kwargs", "meta"}
            assert item["meta"]["says"]
            if function := item["meta"].get("python"):
                module, _, name = function.partition(":")
                assert callable(getattr(importlib.import_module(module), name))
    (prefix,) = (item for item in document("restarts")["expectations"] if item["kwargs"].get("column") == "prefix_of_parent")
    assert prefix["meta"]["needs"] == {"problems": ["solution"], "rollouts": ["completion", "problem_id"]}


def test_a_table_that_is_held_to_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="the table answers is held to nothing"):
        suite("answers", "train")
    with pytest.raises(ParamsError, match="is no table"):
        kind_of("restart_r1")


def test_short_values_are_one_line() -> None:
    assert short("a\n\x1b[31mb") == "a\\n\\x1b[31mb"
    assert len(short("x" * 1000)) == 100
    assert short(0.25) == "0.25"
