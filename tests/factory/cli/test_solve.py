"""`factory solve`: the view, the files that it writes, graded results, many problems, and mistakes in one line."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from factory.cli.main import app
from factory.schemas import Template
from factory.storage import write_rows
from factory.templates.traces import read_trace

sys.path.insert(0, str(Path(__file__).parents[1] / "templates"))
from scripted import PROBLEM, ScriptedServer

ROOT = Path(__file__).parents[3]
EVIL = "<script>alert(1)</script> & \x1b[31m12 apples"
ANSWERS = {
    "propose": ["equal groups (multiply, groups)\nzebra (stripes)"], "instantiate": [EVIL], "evaluate": ["keep: it is right."],
    "conclude": [r"So \boxed{10}."], "solve": [r"It is \boxed{12}."],
}  # fmt: skip


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(dict(ANSWERS)) as made:
        yield made


@pytest.fixture
def project(tmp_path: Path, planner_kit, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params whose every role is the server, and a library."""
    monkeypatch.chdir(tmp_path)
    document = yaml.safe_load((ROOT / "pipelines/recorded_gsm8k/params.yaml").read_text(encoding="utf-8"))
    for name in ("critic", "labeller", "inference"):
        document["roles"][name] = {"engine": "openai", "model": "m@1", "base_url": server.url}
    document["requests"] |= {"timeout": 2, "retries": 0}
    Path("params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    write_rows(Path("library.parquet"), Template, sorted(planner_kit.library(), key=lambda row: row.id))
    return tmp_path


def solve(*words: str, **options: Any) -> Any:
    return CliRunner().invoke(app, ["solve", "--library", "library.parquet", *words], catch_exceptions=False, **options)


@pytest.mark.slow
def test_a_problem_is_solved_shown_and_written(project: Path) -> None:
    done = solve(PROBLEM, "--answer", "10", "--json", "out/trace.json", "--page", "trace.html")
    assert done.exit_code == 0
    for words in (
        "step 1 · template\n  equal groups (multiply, groups)\n  score ", "zebra (stripes)\n  no template found: left out",
        "keep: it is right.",
        "answer 10, correct (gold 10)", "1 step carried out, 4 requests", "labeller m@1, inference m@1; library ",
    ):  # fmt: skip
        assert words in done.output
    assert "\x1b[31m" not in done.output
    trace = read_trace(json.loads((project / "out/trace.json").read_text(encoding="utf-8")))
    assert (trace.answer, trace.grade) == ("10", {"gold": "10", "verdict": "correct"})
    assert solve("--trace", "out/trace.json", "--page", "again.html").output == done.output
    assert (project / "again.html").read_text(encoding="utf-8") == (project / "trace.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_page_stands_alone_escapes_and_knows_the_dark(project: Path) -> None:
    solve(f"{PROBLEM} <b>", "--page", "trace.html")
    page = (project / "trace.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; \\x1b[31m12 apples" in page
    assert "now? &lt;b&gt;" in page
    assert "prefers-color-scheme: dark" in page
    assert not any(words in page for words in ("<script", "<b>", "src=", 'href="http', "url(", "\x1b"))


@pytest.mark.slow
def test_json_on_standard_output_and_the_problem_on_standard_input(project: Path) -> None:
    document = json.loads(solve("-", "--json", "-", input=f"\n{PROBLEM}\n").stdout)
    assert (document["schema"], document["problem"]) == (1, PROBLEM)
    document = json.loads(solve("-", "--json", "-", input=PROBLEM.encode() + b"\xff").stdout)  # no text of any encoding
    assert document["problem"] == PROBLEM + "\ufffd"
    assert solve(PROBLEM + "\udcff").exit_code == 0  # as a shell hands over such a byte


@pytest.mark.slow
def test_many_problems_are_traces_row_by_row_and_nothing_is_asked_twice(project: Path, server: ScriptedServer) -> None:
    rows = [{"question": f"{PROBLEM} Day {day}.", "answer": gold} for day, gold in enumerate(("10", "11", "10"))]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = solve("--problems", "rows.jsonl", "--json", "traces.jsonl", "-n", "2")
    first = Path("traces.jsonl").read_bytes()
    assert [json.loads(line)["problem"][-6:] for line in first.splitlines()] == ["Day 0.", "Day 1."]
    assert "1, 50.0% (9.5% to 90.5%)" in done.output
    asked = len(server.asked)
    solve("--problems", "rows.jsonl", "--json", "again.jsonl", "-n", "2")
    assert len(server.asked) == asked
    ids = [[json.loads(line)["id"] for line in Path(name).read_bytes().splitlines()] for name in ("traces.jsonl", "again.jsonl")]
    assert ids[0] == ids[1]
    solve("--problems", "rows.jsonl", "--json", "traces.jsonl")
    assert len(server.asked) == asked * 3 // 2  # the third row alone


@pytest.mark.slow
def test_a_trained_planner_is_asked_as_in_training_and_another_role_may_evaluate(project: Path, server: ScriptedServer) -> None:
    document = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    document["roles"]["planner"] = {"engine": "openai", "model": "m@2", "base_url": server.url, "listed_as": "m"}
    Path("params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    server.answers["plan"] = ["equal groups (multiply, groups)"]
    done = solve(PROBLEM, "--evaluator", "critic")
    assert [name for name, _ in server.asked] == ["plan", "instantiate", "evaluate", "conclude"]
    for words in ("planner · plan · ", "critic · evaluate · ", "planner m@2, critic m@1, inference m@1; "):
        assert words in done.output


@pytest.mark.slow
def test_one_served_model_plays_all_roles_of_a_params_file_whose_line_samples_its_own_planner(
    project: Path, server: ScriptedServer
) -> None:  # fmt: skip
    Path("params.yaml").write_bytes((ROOT / "pipelines/profiles/qwen-0.5b.yaml").read_bytes())
    done = solve(PROBLEM, "--model", "m@1", "--server", server.url, "--answer", "10")
    assert "answer 10, correct (gold 10)" in done.output
    assert "labeller m@1, inference m@1; library " in done.output
    assert [name for name, _ in server.asked] == ["propose", "instantiate", "evaluate", "conclude"]


@pytest.mark.slow
def test_an_answer_behind_a_mark_is_graded_as_what_is_behind_it(project: Path) -> None:
    rows = [{"question": PROBLEM, "answer": "3 * 4 = 12\n12 - 2 = 10\n#### 10"}]
    Path("gsm.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert "answer 10, correct (gold 10)" in solve("--problems", "gsm.jsonl").output
    assert "gold 3 * 4 = 12" in solve("--problems", "gsm.jsonl", "--answer-after", "").output


def test_a_failed_request_is_a_stated_end_and_exit_code_3(project: Path, server: ScriptedServer) -> None:
    server.answers["instantiate"] = ["!out of order"]
    done = solve(PROBLEM, "--json", "trace.json")
    assert done.exit_code == 3
    assert "no answer: the question 'instantiate' to m@1 failed: " in done.output
    assert "out of order" in done.output
    assert json.loads(Path("trace.json").read_text(encoding="utf-8"))["ended"]["how"] == "failed"
    assert solve("--trace", "trace.json").exit_code == 3


@pytest.mark.parametrize("flag", ["--seed", "--rounds", "--tokens", "--step-tokens", "--answer-tokens"])
def test_a_number_that_no_key_holds_is_a_usage_error(project: Path, flag: str) -> None:
    done = solve(PROBLEM, flag, str(2**63))
    assert done.exit_code == 2
    assert f"Invalid value for '{flag}'" in done.output


@pytest.mark.parametrize("temperature", ["inf", "nan", "-1", "1e9"])
def test_a_temperature_that_no_model_has_is_a_usage_error(project: Path, temperature: str) -> None:
    """inf was null in the trace, and noise in the answer."""
    assert solve(PROBLEM, "--temperature", temperature).exit_code == 2


def test_half_a_character_in_a_file_of_problems_is_replaced(project: Path) -> None:
    Path("half.jsonl").write_text('{"problem": "What is \\ud83d 1 + 1?", "answer": "\\ud83d2"}\n', encoding="utf-8")
    document = json.loads(solve("--problems", "half.jsonl", "--json", "-").stdout)
    assert document["problem"] == "What is \ufffd 1 + 1?"
    assert document["grade"]["gold"] == "\ufffd2"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("  ",), "the problem has no words: write it in quotes"),
        (("P?", "--library", "gone.duckdb"), "gone.duckdb is missing: name a library, its .duckdb, a Parquet file or a"),
        (("P?", "--evaluator", "nobody"), "params.yaml has no roles.nobody that evaluates: expected planner, "),
        (("P?", "--evaluator", "reward_model"), "params.yaml has no roles.reward_model that evaluates: expected planner, "),
        (("P?", "--planner", "data/models/none"), "data/models/none"),
        (("P?", "--planner", "none"), "--planner none is no folder here: expected a model's folder, or org/name@commit of the Hub"),
        (("P?", "--model", "none"), "--model none is no folder here: expected a model's folder"),
        (("P?", "--json", "bare.jsonl/x"), "--json bare.jsonl/x cannot be written: "),
        (("P?", "--page", "."), "--page . is a folder: name a file"),
        (("--problems", "gone.jsonl"), "gone.jsonl is missing"),
        (("--problems", "bare.jsonl"), "bare.jsonl, row 2: no column problem or question or prompt with words in it"),
        (("--trace", "bare.jsonl"), "bare.jsonl, line 1: this is no trace"),
        (("--trace", "params.yaml"), "params.yaml, line 1: "),
    ],
)
def test_a_mistake_is_one_line(project: Path, run: Callable[..., subprocess.CompletedProcess], words: tuple[str, ...], says: str) -> None:
    Path("bare.jsonl").write_text('{"problem": "x"}\n{"other": 1}\n', encoding="utf-8")
    done = run("solve", "--library", "library.parquet", *words, cwd=project)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert "Traceback" not in done.stderr


def test_without_params_or_with_two_kinds_of_problem_nothing_runs(project: Path, run: Callable[..., subprocess.CompletedProcess]) -> None:
    assert run("solve", cwd=project).returncode == 2
    assert run("solve", "P?", "--problems", "x", cwd=project).returncode == 2
    assert run("solve", "P?", "--kind", "colour", cwd=project).returncode == 2
    assert run("solve", "P?", "--server", "http://localhost:1/v1", cwd=project).returncode == 2
    Path("params.yaml").unlink()
    assert "params.yaml is missing here" in run("solve", "P?", cwd=project).stderr
