"""benchmarks/real_templates.py with a local server as its model: the library, the lint, the searches and every arm."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import scripted
from scripted import ScriptedServer

from factory.schemas import Template
from factory.storage import read_rows
from factory.templates.traces import read_trace

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
ANALYSES = [
    json.dumps({"steps": ["Multiply the groups."], "description": "D.", "scope": "S.", "tags": ["groups"], "name": "multiply groups"}),
    json.dumps({"steps": ["Take 7 away."], "description": "D.", "scope": "S.", "tags": ["loss"], "name": "take away"}),
    "I cannot say.",
    json.dumps({"steps": ["Share it."], "description": "D.", "scope": "S.", "tags": ["shares"], "name": "share equally"}),
]
ANSWERS = {
    "analyse": ANALYSES, "again": ["Hm."], "guided": [r"It is \boxed{12}."], "solve": [r"It is \boxed{11}."],
    "propose": ['{"plan": [{"name": "multiply groups"}]}'], "instantiate": [r"3 * 4 = 12. \boxed{12}"],
    "evaluate": ["Hm.", '{"remark": "Right.", "choice": "keep"}'],
}  # fmt: skip


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the script prints about four solutions and three problems whose answer is 12."""
    monkeypatch.setitem(scripted.ASKED, "\n\nSolution:\n", "analyse")
    monkeypatch.setitem(scripted.ASKED, "A plan for this problem:", "guided")
    monkeypatch.setitem(scripted.ASKED, "That cannot be read: ", "again")
    for name, n in (("solved", 4), ("others", 3)):
        rows = [
            {"question": f"{name} {n}: Tom has 3 boxes of 4 pens and {i} of 7 rulers.", "answer": "3 * 4 = 12\n#### 12"} for i in range(n)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with ScriptedServer(dict(ANSWERS)) as server:
        command = [sys.executable, str(ROOT / "benchmarks/real_templates.py"), "--server", server.url, "--model", "m@1", "--out", "out",
                   "--problems", "solved.jsonl", "--test", "others.jsonl", "--arms", "random,guided,step by step,loop"]  # fmt: skip
        environment = {**os.environ, "FACTORY_STORE": str(tmp_path / "store.sqlite"), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_server_with_any_problems_gives_every_table_and_files_that_the_commands_read(tmp_path: Path, printed: str) -> None:
    for words in (
        "| analyses read | 3 of 4, 75 %", "| rejected: request failed | 1 |", "| accepted | 2 of 3, 67 %",
        "| quarantined: a finding that blocks it | 1 |", "| `own-number` | yes | 1 | take away: steps hold 7",
        "| the capital of France | abstains", "| direct | 3 | 0, 0.0 %", "| random | 3 | 3, 100.0 %",
        "| guided | 3 | 3, 100.0 % [", "] | +100.0 [+100.0, +100.0] | 3 | 0 |", "| step by step | 3 | 3, 100.0 %", "| loop | 3 | 3,",
        "| `propose`, for `guided` | 3 of 3,", "| `evaluate`, in the loop | 2 of 3, 67 % [21, 94] | 1 no choice can be read in it |",
        "Evaluations: 3 keep.",
    ):  # fmt: skip
        assert words in printed
    templates = read_rows(tmp_path / "out/templates.parquet", Template)
    assert sorted((row.name, row.status) for row in templates) == [
        ("multiply groups", "accepted"), ("share equally", "accepted"), ("take away", "quarantined"),
    ]  # fmt: skip
    traces = [read_trace(json.loads(line)) for line in (tmp_path / "out/traces.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [trace.grade for trace in traces] == [{"gold": "12", "verdict": "correct"}] * 3
    rows = [json.loads(line) for line in (tmp_path / "out/answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["arm"] for row in rows[::3]] == ["direct", "random", "guided", "step by step", "loop"]
