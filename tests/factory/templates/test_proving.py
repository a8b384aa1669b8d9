"""Imported libraries in the line: rejects that no dataset may hold, evidence from a template's own example."""

import json
from pathlib import Path

import pytest

from factory.gate.expectations import validate
from factory.gate.release import gather
from factory.params.sections import TemplateImport
from factory.schemas import Template
from factory.storage import to_table
from factory.templates.importing import gradable
from factory.templates.proving import imported, proven

ADD = {
    "name": "Join", "tags": ["sum"], "description": "Join amounts.", "scope": "Amounts come together.", "steps": ["Add the next number."],
    "example": {"problem": "Tom has 12. Tom gets 7.", "solution": "12 + 7 = 19", "answer": "19"},
}  # fmt: skip
ROWS = [
    ADD,
    {**ADD, "name": "Never right", "description": "Lose it.", "steps": ["Take away the next number."]},
    {**ADD, "name": "Wrong", "description": "Wrong.", "example": {"problem": "1 and 1?", "solution": "1 + 1 = 3", "answer": "3"}},
    {**ADD, "name": "No answer", "description": "Mute.", "example": {"problem": "1 and 1?", "solution": "See it."}},
    {**ADD, "name": "No steps", "steps": []},
    {**ADD, "name": "No tags", "tags": []},
    {**ADD, "name": "A token", "scope": "Say <|reflect|> and go on."},
]


def with_imports(params, path: Path, rows: list):
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    item = TemplateImport(path=str(path), licence="MIT", source="org/repo@1")
    return params.model_copy(update={"templates": params.templates.model_copy(update={"imports": [item], "resolve": 2})})


def test_what_no_dataset_may_hold_is_a_reject_and_the_rest_is_tried(planner_kit, tmp_path):
    held = planner_kit.problem("Ann has 5. Ann gets 2.", "+", "heldout")
    known = {**ADD, "name": "Known", "example": {"problem": held.problem, "solution": "5 + 2 = 7", "answer": "7"}}
    params = with_imports(planner_kit.params(), tmp_path / "a.jsonl", [*ROWS, known])
    rows, rejects = imported(params, [held])
    assert sorted(row.reason for row in rejects) == [
        "a control token in its text", "its example is a problem of dev, heldout or unseen", "no steps", "no tags",
    ]  # fmt: skip
    engine = planner_kit.RuleEngine(planner_kit.follow)
    found = {row.name: row for row in proven(rows, planner_kit.library(), engine, params)}
    assert {name: (row.status, row.resolved, row.solve_rate) for name, row in found.items()} == {
        "Join": ("accepted", 2, 1.0), "Never right": ("quarantined", 2, 0.0), "Wrong": ("quarantined", 0, None),
        "No answer": ("quarantined", 0, None),
    }  # fmt: skip
    assert len(engine.asked) == 4
    assert len(found["Join"].request_ids) == 2
    assert {(row.licence, row.source) for row in found.values()} == {("MIT", "org/repo@1")}


@pytest.mark.slow
def test_a_failed_request_is_no_attempt_and_no_imports_ask_nothing(planner_kit, tmp_path):
    params = with_imports(planner_kit.params(), tmp_path / "a.jsonl", [ADD])
    rows, _ = imported(params, [])
    assert [row.status for row in proven(rows, [], planner_kit.RuleEngine(lambda request: "!"), params)] == ["quarantined"]
    nobody = planner_kit.RuleEngine(planner_kit.follow)
    assert imported(planner_kit.params(), []) == ([], [])
    assert proven([], planner_kit.library(), nobody, planner_kit.params()) == []
    assert nobody.asked == []


@pytest.mark.parametrize(
    ("answer", "graded"), [("19", True), ("√5/2", True), ("Option B", False), ("", False), ("so it is shown " * 9, False)]
)
def test_what_can_be_graded(planner_kit, answer, graded):
    assert gradable(planner_kit.template(example_answer=answer)) == graded


@pytest.mark.slow
def test_the_gate_lets_imported_rows_through_and_asks_for_licence_and_source(small_line, planner_kit, tmp_path):
    params = with_imports(planner_kit.params(), tmp_path / "a.jsonl", ROWS)
    rows = proven(imported(params, [])[0], [], planner_kit.RuleEngine(planner_kit.follow), params)
    background = gather("templates", small_line.params)
    assert validate("templates", to_table(Template, rows), background).failures() == []
    for column, says in (("licence", "every template has a licence"), ("source", "every template says where it comes from")):
        table = to_table(Template, [planner_kit.template(**{column: ""})])
        assert says in [finding.says for finding in validate("templates", table, background).failures()]
