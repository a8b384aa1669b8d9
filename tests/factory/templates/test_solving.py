"""Every branch of the loop, on a local server whose answers are scripted."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted import PROBLEM, ScriptedServer, solver

from factory.engines.store import Store
from factory.errors import DataError
from factory.identity import seed_for
from factory.templates.lookup import Lookup, load_templates
from factory.templates.solver import Settings
from factory.templates.solving import solve_all
from factory.templates.traces import SCHEMA, Trace, read_trace

KEEP, STOP = '{"remark": "Right.", "choice": "keep"}', '{"remark": "It is answered.", "choice": "stop"}'
TWO = '{"plan": [{"name": "equal groups"}, {"name": "take away"}]}'
STEPS = ["3 boxes of 4 are 3 * 4 = 12 apples.", r"12 - 2 = 10 apples are left. \boxed{10}"]
USUAL = {
    "propose": [TWO], "instantiate": STEPS, "evaluate": [KEEP], "revise": ['{"plan": [{"name": "take away"}]}'],
    "conclude": [r"So the answer is \boxed{10}."], "solve": [r"It is \boxed{10}."],
}  # fmt: skip


class Bench:
    def __init__(self, folder: Path, templates: list[Any]) -> None:
        self.store, self.templates = Store(folder / "store.sqlite"), templates
        self.server = ScriptedServer({})

    def __call__(self, answers: dict[str, list[str]] | None = None, **values: Any) -> Trace:
        """One problem solved by a server that answers as usual but for `answers`."""
        self.server = ScriptedServer({**USUAL, **(answers or {})})
        with self.server:
            made, close = solver(self.server, self.store, self.templates, **values)
            (trace,) = solve_all([PROBLEM], made)
            close()
        return trace


@pytest.fixture
def bench(tmp_path: Path, planner_kit) -> Iterator[Bench]:
    made = Bench(tmp_path, planner_kit.library())
    yield made
    made.store.close()


def kinds(trace: Trace) -> list[str]:
    return [event.kind for event in trace.events]


def did(trace: Trace) -> list[tuple[int, str]]:
    return [(event.place, event.choice) for event in trace.events if event.kind == "adjust" and event.choice]


def test_steps_are_carried_out_and_kept_until_one_has_the_answer(bench: Bench) -> None:
    trace = bench()
    assert kinds(trace) == ["plan", "retrieve", "retrieve", "instantiate", "evaluate", "instantiate", "evaluate"]
    assert trace.plan == ("equal groups", "take away")
    assert trace.solution == tuple(STEPS)
    assert (trace.answer, trace.ended.how, trace.ended.ran_out) == ("10", "answered", "")
    assert [event.template for event in trace.events if event.kind == "retrieve"] == [bench.templates[2].id, bench.templates[1].id]
    assert (trace.totals.rounds, trace.totals.requests) == (2, 5)
    assert trace.totals.tokens == sum(event.tokens for event in trace.events) > 0
    assert all(event.request_id for event in trace.events if event.role)
    _, second = [prompt for question, prompt in bench.server.asked if question == "instantiate"]
    assert "Step 1: 3 boxes of 4 are 3 * 4 = 12 apples." in second
    assert second.endswith("Now do step 2, take away: Take away the next number.")


def test_without_a_box_in_the_last_step_the_answer_is_asked_for(bench: Bench) -> None:
    trace = bench({"instantiate": [STEPS[0], "12 - 2 = 10."]})
    assert kinds(trace)[-1] == "conclude"
    assert trace.answer == "10"
    assert "12 - 2 = 10.\n\nFinish the solution." in bench.server.asked[-1][1]


def test_a_step_is_done_again_with_what_was_said_of_it(bench: Bench) -> None:
    wrong = '{"remark": "3 * 4 is 12.", "choice": "redo"}'
    trace = bench({"instantiate": ["3 * 4 = 7 apples.", *STEPS], "evaluate": [wrong, KEEP]})
    assert did(trace) == [(1, "redo")]
    assert trace.solution == tuple(STEPS)
    assert "What was wrong with an earlier try: 3 * 4 is 12." in [text for name, text in bench.server.asked if name == "instantiate"][1]
    assert "earlier try" not in [text for name, text in bench.server.asked if name == "instantiate"][2]


def test_another_template_is_fetched_for_a_step(bench: Bench, planner_kit) -> None:
    bench.templates.append(planner_kit.template("equal shares", tags=("divide", "groups"), steps=("Divide.",)))
    trace = bench({"evaluate": ['{"remark": "No groups.", "choice": "fetch"}', KEEP], "instantiate": [STEPS[0], *STEPS]})
    assert did(trace) == [(1, "fetch")]
    first = [event for event in trace.events if event.kind == "retrieve" and event.place == 1]
    assert [event.name for event in first] == ["equal groups (multiply, groups)", "equal shares (divide, groups)"]
    assert first[0].score > 0
    assert trace.totals.rounds == 3


def test_where_there_is_no_other_template_the_rest_of_the_plan_is_revised_from_that_step_on(bench: Bench) -> None:
    trace = bench({"evaluate": ['{"remark": "No.", "choice": "fetch"}', KEEP], "propose": ['{"plan": [{"name": "put together"}]}'],
                   "revise": [TWO], "instantiate": ["3 + 4 = 7", *STEPS]})  # fmt: skip
    assert [event.note for event in trace.events if event.kind == "retrieve" and event.note] == ["no other template found"]
    assert did(trace) == [(1, "revise")]
    assert trace.plan == ("equal groups", "take away")
    assert trace.solution == tuple(STEPS)
    revise = next(text for name, text in bench.server.asked if name == "revise")
    assert "Done so far: nothing" in revise
    assert "What was said: No." in revise


def test_the_rest_of_the_plan_is_revised_behind_a_right_step(bench: Bench) -> None:
    revise = '{"remark": "Two are eaten.", "choice": "revise"}'
    trace = bench({"propose": ['{"plan": [{"name": "equal groups"}, {"name": "put together"}]}'], "evaluate": [revise, KEEP]})
    assert did(trace) == [(1, "revise")]
    assert trace.plan == ("equal groups", "take away")
    assert trace.solution == tuple(STEPS)
    asked = next(text for name, text in bench.server.asked if name == "revise")
    assert "Step 1: 3 boxes of 4 are 3 * 4 = 12 apples.\n\nWhat was said: Two are eaten.\n\nTemplates:\n" in asked


def test_stop_leaves_the_rest_of_the_plan_undone(bench: Bench) -> None:
    trace = bench({"evaluate": [STOP]})
    assert did(trace) == [(1, "stop")]
    assert trace.totals.rounds == 1
    assert kinds(trace)[-1] == "conclude"
    assert trace.solution == (STEPS[0], r"So the answer is \boxed{10}.")
    assert trace.plan == ("equal groups",)


@pytest.fixture
def adjusted(bench: Bench):
    """The loop with a trained planner and a trained evaluator, which says so much in turn."""

    def solved(*said: str, **values: Any) -> Trace:
        answers = {"plan": ["equal groups (groups)\nput together (gain)"], "evaluate": [*said, "next"], "revise": ["take away (loss)"]}
        return bench({**answers, **values.pop("answers", {})}, adjusts=True, **values)

    return solved


def test_a_trained_evaluator_is_asked_as_it_was_trained(adjusted, bench: Bench) -> None:
    trace = adjusted("next")
    (prompt,) = [text for name, text in bench.server.asked if name == "evaluate"]  # not of the step with the answer
    assert prompt.startswith(f"{PROBLEM}\n\nA plan for this problem")
    assert f"Step 1: {STEPS[0]}\n\nWhat is done after step 1, equal groups? Answer in one word:\nnext: " in prompt
    assert trace.plan == ("equal groups (groups)", "put together (gain)")
    assert [(event.role, event.choice) for event in trace.events if event.kind == "evaluate"] == [("evaluator", "keep")]


def test_a_trained_evaluator_has_the_rest_changed(adjusted) -> None:
    trace = adjusted("change")
    assert did(trace) == [(1, "revise")]
    assert trace.plan == ("equal groups (groups)", "take away (loss)")
    assert trace.solution == tuple(STEPS)


def test_a_change_into_the_same_is_asked_for_again_and_then_none(adjusted, bench: Bench) -> None:
    trace = adjusted("change", answers={"revise": ["put together (gain)", "take away (loss)"]})
    assert [event.note for event in trace.events if event.question == "revise"] == ["the same plan again", ""]
    assert trace.plan == ("equal groups (groups)", "take away (loss)")
    trace = adjusted("change", answers={"revise": ["put together (gain)"]}, seed=2)
    assert did(trace) == [(1, "keep")]
    assert trace.plan == ("equal groups (groups)", "put together (gain)")


def test_of_a_trained_evaluator_the_other_template_is_the_planners(adjusted, bench: Bench) -> None:
    """Not the library's next best for the planned name: the planner goes on from the templates before it."""
    changed = {"revise": ["equal groups (groups)", "put together (gain)\ntake away (loss)"], "instantiate": [STEPS[0], *STEPS]}
    trace = adjusted("other", answers=changed)
    assert did(trace) == [(1, "revise")]
    assert trace.plan == ("put together (gain)", "take away (loss)")
    assert [event.note for event in trace.events if event.question == "revise"] == ["the same plan again", ""]
    never = adjusted("other", "other", answers={"revise": [TWO], "instantiate": STEPS}, seed=2)
    assert did(never) == [(1, "keep")]  # the planner has no other one


def test_rounds_run_out_and_the_answer_is_still_asked_for(bench: Bench) -> None:
    trace = bench({"evaluate": ['{"remark": "Again.", "choice": "redo"}']}, rounds=1)
    assert (trace.totals.rounds, trace.ended.ran_out, trace.answer) == (1, "rounds", "10")
    assert bench(rounds=0).ended.ran_out == "rounds"
    assert kinds(bench(rounds=0)) == ["plan", "retrieve", "retrieve", "conclude"]


@pytest.mark.parametrize("budget", [8, 20, 40, 80, 140, 200])
@pytest.mark.slow
def test_tokens_are_never_exceeded(bench: Bench, budget: int) -> None:
    """Answers of about ten words each; some budgets are too small for a plan, others for an evaluation."""
    endless = {"instantiate": ["12 apples and so on and on"], "evaluate": ['{"remark": "Not yet at all.", "choice": "redo"}']}
    values = {"plan_tokens": 20, "step_tokens": 20, "check_tokens": 20, "answer_tokens": 30, "tries": 90}
    trace = bench(endless, tokens=budget, rounds=99, **values)
    assert trace.totals.tokens <= budget
    assert (trace.ended.ran_out, trace.answer) == ("tokens", "10")


def test_a_cut_off_answer_is_a_stated_failure(bench: Bench) -> None:
    trace = bench({"solve": ["It is " * 40 + r"\boxed{10}"]}, tokens=20)
    assert (trace.ended.how, trace.ended.ran_out, trace.answer) == ("failed", "tokens", None)
    assert trace.ended.reason == "no answer was found in what m@1 wrote, which was cut off"
    assert trace.totals.tokens == 20


def test_no_answer_in_what_was_written_is_a_stated_failure(bench: Bench) -> None:
    trace = bench({"instantiate": ["I do not know."], "conclude": ["Nor do I."]})
    assert trace.ended.reason == "no answer was found in what m@1 wrote"
    assert trace.solution[-1] == "Nor do I."


@pytest.mark.parametrize("question", ["propose", "instantiate", "evaluate", "conclude"])
def test_a_failed_request_is_a_stated_failure(bench: Bench, question: str) -> None:
    trace = bench({"instantiate": ["12 apples"], question: ["!no such luck"]})
    assert (trace.ended.how, trace.answer) == ("failed", None)
    assert trace.ended.reason.startswith(f"the question {question!r} to m@1 failed: ")
    assert "no such luck" in trace.ended.reason
    assert (trace.events[-1].note, trace.events[-1].finish) == ("failed", "error")
    assert read_trace(json.loads(json.dumps(trace.document()))) == trace


@pytest.mark.parametrize(
    "text", ["Hm.", "", '{"choice": "maybe"}', "Choice: keep\nChoice: stop", "[1, 2", "x" * 30_000, "Choice: \x00\ud800"]
)
@pytest.mark.slow
def test_an_evaluation_that_cannot_be_read_is_asked_for_again_and_then_keeps(bench: Bench, text: str) -> None:
    trace = bench({"evaluate": [text]}, check_tokens=40)
    assert [event.note for event in trace.events if event.kind == "evaluate"] == ["no choice can be read in it"] * 4
    assert (trace.answer, did(trace)) == ("10", [])


def test_an_evaluation_that_is_cut_off_is_none(bench: Bench) -> None:
    trace = bench({"evaluate": ["so " * 50 + "\nChoice: stop"]}, check_tokens=20)
    assert {event.note for event in trace.events if event.kind == "evaluate"} == {"cut off"}
    assert trace.solution == tuple(STEPS)


def test_a_planned_name_that_finds_no_template_is_left_out(bench: Bench) -> None:
    trace = bench({"propose": ["zebra (stripes)\nequal groups (multiply, groups)\ntake away (subtract, loss)"]})
    missing, *found = [event for event in trace.events if event.kind == "retrieve"]
    assert (missing.planned, missing.template, missing.note) == ("zebra (stripes)", "", "no template found: left out")
    assert [event.place for event in found] == [1, 2]
    assert trace.answer == "10"


@pytest.mark.parametrize("plan", ["zebra (stripes)", "I would think about it first.", ""])
def test_without_any_template_the_problem_is_solved_directly(bench: Bench, plan: str) -> None:
    trace = bench({"propose": [plan]})
    assert trace.plan == ()
    assert bench.server.asked[-1][0] == "solve"
    assert (trace.answer, trace.totals.rounds) == ("10", 0)
    assert bench.server.times("propose") == (1 if plan.startswith("zebra") else 2)  # what cannot be read is asked for again


def test_a_step_is_done_over_so_often_and_no_more(bench: Bench) -> None:
    trace = bench({"evaluate": ['{"remark": "No.", "choice": "redo"}'], "instantiate": ["12 apples"]}, tries=2)
    assert did(trace) == [(1, "redo"), (1, "redo"), (1, "keep"), (2, "redo"), (2, "redo"), (2, "keep")]
    never = {"evaluate": ['{"remark": "No.", "choice": "revise"}'], "instantiate": ["12 apples"], "revise": [TWO]}
    revised = bench(never, revisions=2, seed=2)
    assert [choice for _, choice in did(revised)] == ["revise", "revise", "keep", "keep"]


def test_an_empty_step_is_done_again(bench: Bench) -> None:
    assert did(bench({"instantiate": ["  ", *STEPS], "evaluate": [KEEP]})) == [(1, "redo")]


def test_nothing_is_evaluated_where_it_is_not_wanted(bench: Bench) -> None:
    trace = bench(evaluates=False)
    assert (bench.server.times("evaluate"), trace.answer) == (0, "10")


def test_the_same_trace_comes_from_the_store_and_nothing_is_asked_again(bench: Bench) -> None:
    first = bench({"instantiate": ["3 * 4 = 7 apples.", *STEPS], "evaluate": ['{"remark": "No.", "choice": "redo"}', KEEP]})
    again = bench({"propose": ["!the server would fail now"]})
    assert (again.id, again, bench.server.asked) == (first.id, first, [])
    assert bench(seed=2).id != first.id


def test_a_run_that_was_ended_in_its_middle_goes_on_where_it_was(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def kill(text: str) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("factory.templates.solving.read_choice", kill)
        with pytest.raises(Killed):
            bench()
    assert [name for name, _ in bench.server.asked] == ["propose", "instantiate", "evaluate"]
    trace = bench({"instantiate": STEPS[1:]})
    assert [name for name, _ in bench.server.asked] == ["instantiate", "evaluate"]
    assert trace.solution == tuple(STEPS)


def test_many_problems_are_solved_at_once(bench: Bench) -> None:
    server = ScriptedServer({**USUAL, "instantiate": [STEPS[1]]}, delay=0.02)
    with server:
        made, close = solver(server, bench.store, bench.templates)
        traces = solve_all([f"{PROBLEM} It is {day}." for day in range(6)], made)
        close()
    assert [trace.problem[-5:] for trace in traces] == [f"is {day}." for day in range(6)]
    assert {trace.answer for trace in traces} == {"10"}
    assert server.stats.max_in_flight > 1


def test_a_trace_is_read_back_and_another_one_refused(bench: Bench) -> None:
    trace = bench()
    document = json.loads(json.dumps(trace.document()))
    assert document["schema"] == SCHEMA
    assert read_trace(document) == trace
    assert read_trace(document).id == document["id"] == trace.id
    assert replace(trace, measured={"seconds": 99.0}).id == trace.id
    for broken, says in (
        ([], "this is no trace"), ({"schema": 99}, "has schema 99, this version reads 1"),
        ({**document, "events": [{"kind": 3}]}, "kind is 3"),
        ({**document, "events": [{"kindred": "plan"}]}, "cannot be read"), ({**document, "problem": None}, "None is no text"),
        ({key: value for key, value in document.items() if key != "totals"}, "'totals'"),
        ({**document, "measured": {"seconds": "long"}}, "cannot be read"), ({**document, "asked": {"models": 3}}, "cannot be read"),
        ({**document, "ended": {"how": "well"}}, "'well'"), ({**document, "grade": ["x"]}, "cannot be read"),
        ({**document, "grade": {"verdict": "correct"}}, "'gold'"), ({**document, "plan": "a step"}, "'a step' is no list"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=says):
            read_trace(broken)


def test_settings_that_make_no_sense_are_refused() -> None:
    for values in ({"rounds": -1}, {"tokens": 3}):
        with pytest.raises(ValueError, match="expected 0 or more"):
            Settings(**values)  # type: ignore[arg-type]


@given(
    st.lists(st.sampled_from([KEEP, STOP, "Hm.", "redo: x", "fetch: x", "revise: x"]), max_size=9), st.integers(0, 6), st.integers(8, 900)
)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.slow
def test_whatever_is_said_it_ends_within_its_bounds(bench: Bench, said: list[str], rounds: int, tokens: int) -> None:
    seed = seed_for(said, rounds, tokens)  # so that nothing comes from the store
    trace = bench({"evaluate": [*said, KEEP], "instantiate": ["12 apples", "and more"]}, rounds=rounds, tokens=tokens, seed=seed)
    assert trace.totals.rounds <= rounds
    assert trace.totals.tokens <= tokens
    assert (trace.answer is None) == (trace.ended.how == "failed")
    assert len(trace.plan) <= 4


def test_a_library_is_read_from_each_of_its_forms(tmp_path: Path, planner_kit, monkeypatch: pytest.MonkeyPatch) -> None:
    from factory.schemas import Template
    from factory.storage import write_rows
    from factory.templates.library import build_library

    rows = [*planner_kit.library(), planner_kit.template("undone", status="quarantined")]
    rows.sort(key=lambda row: row.id)
    write_rows(tmp_path / "set/data/train.parquet", Template, rows)
    build_library(tmp_path / "set", tmp_path / "library.duckdb")
    for path in ("set", "set/data/train.parquet", "library.duckdb"):
        assert load_templates(tmp_path / path) == [row for row in rows if row.status == "accepted"]
    write_rows(tmp_path / "none.parquet", Template, [row for row in rows if row.status != "accepted"])
    (tmp_path / "text.duckdb").write_text("no database")
    for path, says in (
        ("none.parquet", "1 template, none of them accepted"),
        ("gone", "is missing"),
        ("text.duckdb", "no template library"),
    ):
        with pytest.raises(DataError, match=says.replace("no template", "not a template")):
            load_templates(tmp_path / path)


def test_looking_up(planner_kit) -> None:
    lookup = Lookup(planner_kit.library())
    found = lookup.retrieve("Put  Together (loss)")
    assert found is not None
    assert found.template.name == "put together"  # its exact name before what shares a tag
    assert found.score > 0
    second = lookup.retrieve("Put  Together (loss)", without={found.template.id})
    assert second is not None
    assert second.template.name == "take away"
    assert lookup.retrieve("zebra (stripes)") is None
    assert [template.name for template in lookup.fitting("There are groups of apples.", 1)] == ["equal groups"]
    assert len(lookup.fitting("zzz", 2)) == 2
    assert Lookup([]).retrieve("anything") is None
    assert Lookup([]).fitting("anything", 3) == []
