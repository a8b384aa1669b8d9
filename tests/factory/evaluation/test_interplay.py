"""The loop as an arm: an answer a problem, with all that it generated and asked."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "templates"))
from scripted import ScriptedServer, solver

from factory.engines.store import Store
from factory.evaluation.interplay import interplay

pytestmark = pytest.mark.slow

ANSWERS = {
    "propose": ["equal groups (multiply, groups)"], "evaluate": ["keep: right."], "conclude": [r"\boxed{12}"],
    "instantiate": ["3 * 4 = 12"],
}  # fmt: skip


def test_answers_are_graded_and_cost_what_the_loop_cost(tmp_path: Path, planner_kit) -> None:
    problems = [
        planner_kit.problem("Tom has 3 bags of 4.", "*", split="dev"),
        planner_kit.problem("Tom has 3 and gets 4.", "+", split="dev"),
    ]
    store = Store(tmp_path / "store.sqlite")
    with ScriptedServer(dict(ANSWERS)) as server:
        made, close = solver(server, store, planner_kit.library())
        answers, traces = interplay("interplay", problems, made)
        close()
    with ScriptedServer({**ANSWERS, "instantiate": ["!down"]}) as server:
        made, close = solver(server, store, planner_kit.library(), seed=2)
        (failed,), _ = interplay("interplay", problems[:1], made)
        close()
    store.close()
    assert [(row.verdict, row.finish_reason, row.arm, row.split) for row in answers] == [
        ("correct", "stop", "interplay", "dev"), ("wrong", "stop", "interplay", "dev"),
    ]  # fmt: skip
    assert [(row.tokens, row.calls) for row in answers] == [(trace.totals.tokens, 4) for trace in traces]
    assert answers[0].completion == "3 * 4 = 12\n\n\\boxed{12}"
    assert (failed.verdict, failed.finish_reason, failed.completion, failed.calls) == ("unparsable", "error", "", 2)
