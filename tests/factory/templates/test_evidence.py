"""One rule decides on induced and on imported templates."""

import json

import pytest

from factory.params.sections import TemplateImport
from factory.templates.evidence import best_supported, decide
from factory.templates.induce import Solved, induce
from factory.templates.proving import imported, proven


@pytest.mark.parametrize(("right", "least", "status"), [(0, 0.0, "quarantined"), (1, 0.8, "quarantined"), (1, 0.6, "accepted")])
def test_a_template_is_quarantined_when_it_solved_none_or_provably_too_few(planner_kit, right, least, status):
    """1 of 4 has the interval [.05, .70]: below .8, and not below .6."""
    template = decide(planner_kit.library()[0], [(place < right, f"r{place}") for place in range(4)], least)
    assert (template.status, template.resolved, template.solve_rate) == (status, 4, right / 4)
    assert template.request_ids == ("r0", "r1", "r2", "r3")


def test_a_finding_of_the_lint_quarantines_what_solves_everything(planner_kit):
    sound = planner_kit.template("put together")
    assert decide(sound, [(True, "r")], 0.0).status == "accepted"
    assert decide(planner_kit.template("put together", steps=("Add 7 to 12.",)), [(True, "r")], 0.0).status == "quarantined"


@pytest.mark.parametrize(("least", "status"), [(0.6, "accepted"), (0.8, "quarantined")])
@pytest.mark.slow
def test_an_imported_template_is_judged_as_an_induced_one(planner_kit, tmp_path, least, status):
    """Both are right once of four: 1 of 4 has the interval [.05, .70]. By the plain rate the imported one would fall at .6 too."""
    problems = [planner_kit.problem(f"Tom has {n}. Tom gets 7.", "+") for n in range(12, 16)]
    params = planner_kit.params(templates={"min_solve_rate": least, "resolve": 4, "min_support": 1, "imports": []})
    asked = []

    def once(request):
        asked.append(request)
        return planner_kit.follow(request) if len(asked) == 1 else r"\boxed{0}"

    labeller = planner_kit.RuleEngine(planner_kit.analyse)
    (induced,), *_ = induce([Solved(row, row.solution, (row.id,)) for row in problems], labeller, planner_kit.RuleEngine(once), params)
    row = {"name": "Join", "tags": ["sum"], "description": "Join amounts.", "scope": "Amounts.", "steps": ["Add the next number."]}
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(row | {"example": {"problem": "Tom has 12. Tom gets 7.", "solution": "12 + 7 = 19", "answer": "19"}}))
    section = params.templates.model_copy(update={"imports": [TemplateImport(path=str(file), licence="MIT", source="org/repo@1")]})
    params = params.model_copy(update={"templates": section})
    asked.clear()
    (other,) = proven(imported(params, [])[0], [], planner_kit.RuleEngine(once), params)
    assert [(one.status, one.resolved, one.solve_rate) for one in (induced, other)] == [(status, 4, 0.25)] * 2


def test_of_a_small_library_the_best_supported_stay_and_the_others_are_retired(planner_kit):
    few = planner_kit.template("a", parents=("p1", "r1", "r2", "r3"), solve_rate=1.0)
    many = planner_kit.template("b", parents=("p1", "p2", "p3"), solve_rate=0.25)
    same = planner_kit.template("c", parents=("p1", "p2", "p4"), solve_rate=0.75)
    out = planner_kit.template("d", parents=("p1", "p2", "p3", "p4"), status="quarantined")
    library, problems = [few, many, same, out], {"p1", "p2", "p3", "p4"}
    assert best_supported(library, problems, None) == best_supported(library, problems, 3) == library
    found = {row.name: row.status for row in best_supported(library, problems, 1)}
    assert found == {"a": "retired", "b": "retired", "c": "accepted", "d": "quarantined"}
    assert [row.name for row in best_supported(library, problems, 2) if row.status == "accepted"] == ["b", "c"]
