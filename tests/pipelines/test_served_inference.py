"""An inference model on a server follows the plans of a planner of the line, which is sampled here."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "factory/templates"))
import scripted
from scripted import ScriptedServer
from test_evaluate import make_models

from factory import storage
from factory.gate.release import release
from factory.params import Role
from factory.params.consistency import check
from factory.schemas import Trajectory
from factory.templates.interplay import NOTHING
from pipelines import trajectories

pytestmark = pytest.mark.slow


def test_trajectories_are_planned_here_and_solved_there(small_line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTORY_STORE", str(small_line.root / "requests.sqlite"))
    monkeypatch.setitem(scripted.ASKED, "A plan for this problem:", "guided")
    make_models(storage.MODELS, [problem.problem for problem in small_line.problems])
    release("templates", small_line.params)
    section = small_line.params.trajectories.model_copy(update={"problems": 3, "samples": 2, "similar": 1, "decodes": 1, "nothing": True})
    with ScriptedServer({"guided": ["\\boxed{9}"], "solve": ["\\boxed{9}"]}) as server:
        served = Role(engine="openai", model="m@1", base_url=server.url, listed_as="*")
        params = small_line.params.model_copy(update={"roles": {**small_line.params.roles, "inference": served}, "trajectories": section})
        check(params)
        trajectories.main(params)
        asked = {name for name, _ in server.asked}
    rows = storage.read_rows(storage.TABLES / "trajectories.parquet", Trajectory)
    assert len({row.problem_id for row in rows}) == 3
    assert {row.model.split("@")[0] for row in rows} == {"planner_sft"}
    assert NOTHING in {row.plan for row in rows}
    assert asked <= {"guided", "solve"}
    assert asked
    answers = {text for row in rows for text in row.instantiations}
    assert answers == {"\\boxed{9}"}
