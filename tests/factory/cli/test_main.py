"""The command line as a user meets it: real processes for the boundary, real files behind every command."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from factory import storage
from factory.cli.main import app, coloured
from factory.engines.protocol import Completion, Request, SamplingParams
from factory.errors import DataError, GateError
from factory.gate.release import release
from factory.schemas import CorpusText, Demonstration

ROOT = Path(__file__).parents[3]
LAPTOP = ROOT / "pipelines/profiles/laptop.yaml"


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTORY_STORE", str(tmp_path / "requests.sqlite"))
    monkeypatch.setenv("COLUMNS", "200")


def ask(*words: str) -> str:
    answer = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.output


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "factory.cli", *words], cwd=cwd, capture_output=True, text=True, check=False)


def test_help_answers_at_once_and_shows_every_command(tmp_path: Path) -> None:
    started = time.monotonic()
    answer = run("--help", cwd=tmp_path)
    assert time.monotonic() - started < 2.0  # 0.1 s on an idle machine; the heavy imports alone take longer
    for name in ("status", "show", "profile", "templates", "requests", "timings"):
        assert name in answer.stdout
    heavy = ("torch", "pandas", "pyarrow", "pydantic", "rich.table")
    code = f"import sys, factory.cli.main; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_mistakes_are_one_line_and_exit_with_one(tmp_path: Path) -> None:
    answer = run("status", cwd=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: params.yaml is missing here")
    assert "Traceback" not in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_an_unreadable_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder belongs")
    (tmp_path / "params.yaml").write_text(LAPTOP.read_text(encoding="utf-8"), encoding="utf-8")
    answer = run("show", "demonstrations", cwd=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: ")
    assert "Traceback" not in answer.stderr


def test_status_tells_rows_rejects_seconds_and_a_shut_gate(small_line) -> None:
    rows = storage.read_rows(storage.TABLES / "demonstrations.parquet", Demonstration)
    storage.write_rejects("demonstrations", [storage.reject("demonstrations", rows[0], "leaks the answer")])
    Path(".factory").mkdir()
    entries = [{"stage": "demonstrations", "seconds": seconds, "peak_mb": 300, "at": "2026-01-01T00:00:00"} for seconds in (9.9, 4.5)]
    Path(".factory/timings.jsonl").write_text("\n".join(json.dumps(entry) for entry in entries) + '\n{"stage": "demo', encoding="utf-8")
    small_line.change("corpus", CorpusText, completion="<|ponder|>")
    with pytest.raises(GateError, match="may not be used"):
        release("corpus", small_line.params)
    output = [line.strip() for line in ask("status").splitlines()]
    line = next(text for text in output if text.startswith("demonstrations"))
    assert "6 demonstrations, 6 cot_demonstrations" in line
    assert line.split()[-3:] == ["85.7", "%", "4.5"]
    assert "REFUSED by the gate" in next(text for text in output if text.startswith("release@corpus"))
    assert "REFUSED" not in next(text for text in output if text.startswith("release@plans"))


def test_status_and_requests_show_what_the_store_holds(small_line, tmp_path: Path) -> None:
    from factory.engines.requests import StoredEngine
    from factory.engines.store import Store

    class Echo:
        family, model = "echo", "echo@1"

        def generate(self, requests: list[Request]) -> list[Completion]:
            return [Completion(text="a b", token_ids=(1, 2), finish_reason="stop", prompt_tokens=3) for _ in requests]

    asked = [Request(prompt=f"q{number}", sampling=SamplingParams(max_tokens=4)) for number in range(5)]
    for _ in range(2):
        StoredEngine(Echo(), Store(tmp_path / "requests.sqlite"), "rollouts").generate(asked)
    for words in (("status",), ("requests", "stats")):
        line = next(text for text in ask(*words).splitlines() if text.split()[:2] == ["rollouts", "5"])
        assert line.split()[1:4] == ["5", "15", "10"]
    assert "hits" in ask("requests", "stats")


def test_requests_without_a_store_say_so(small_line) -> None:
    with pytest.raises(DataError, match="does not exist yet"):
        ask("requests", "stats")


def test_show_prints_rows_and_an_id_brings_the_lineage(small_line) -> None:
    output = ask("show", "demonstrations", "-n", "2")
    assert sum(line.startswith("demonstrations ") for line in output.splitlines()) == 2
    assert "<|explore|>Add again." in output
    assert "base@3fa9" not in output
    row = storage.read_rows(storage.TABLES / "demonstrations.parquet", Demonstration)[3]
    output = ask("show", "demonstrations", "--id", row.id[:8])
    assert row.id in output
    assert "base@3fa9" in output
    assert "1 of 6 rows" in output


def test_show_of_an_unknown_name_lists_what_there_is(small_line) -> None:
    answer = run("show", "demonstration", cwd=small_line.root)
    assert answer.returncode == 1
    assert "no dataset or table 'demonstration': there is corpus, cot_demonstrations, demonstrations" in answer.stderr


def test_show_can_be_cut_short(small_line) -> None:
    command = f"{sys.executable} -m factory.cli show restarts_r1 -n 12 | head -1"
    answer = subprocess.run(["bash", "-c", command], cwd=small_line.root, capture_output=True, text=True, check=False)
    assert "restarts_r1" in answer.stdout
    assert answer.stderr == ""


def test_tokens_are_coloured_and_escapes_are_not_obeyed(small_line) -> None:
    text = coloured("a\x1b[2J\n<|reflect|>[red]b")
    assert "\x1b" not in text.plain
    assert "[red]b" in text.plain
    assert [str(span.style) for span in text.spans] == ["bold yellow"]
    small_line.change("demonstrations", Demonstration, critique="\x1b]0;owned\x07")
    output = run("show", "demonstrations", "-n", "6", cwd=small_line.root).stdout
    assert "\\x1b]0;owned\\x07" in output
    assert "\x1b]" not in output


def project(tmp_path: Path) -> Path:
    """A git repository with params.yaml committed and two profiles."""
    root = tmp_path / "project"
    (root / "pipelines/profiles").mkdir(parents=True)
    laptop = LAPTOP.read_text(encoding="utf-8")
    (root / "params.yaml").write_text(laptop)
    (root / "pipelines/profiles/laptop.yaml").write_text(laptop)
    (root / "pipelines/profiles/other.yaml").write_text(laptop.replace("seed: 1\n", "seed: 2\n"))
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "one"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


def test_profiles_change_params_and_say_how_to_go_back(tmp_path: Path) -> None:
    root = project(tmp_path)
    assert run("profile", "list", cwd=root).stdout.splitlines() == ["* laptop", "  other"]
    assert "+seed: 2" in run("profile", "diff", "other", cwd=root).stdout
    answer = run("profile", "use", "other", cwd=root)
    assert answer.returncode == 0
    assert "+seed: 2" in answer.stdout
    assert "factory profile use laptop" in answer.stdout
    assert (root / "params.yaml").read_text() == (root / "pipelines/profiles/other.yaml").read_text()
    assert run("profile", "use", "laptop", cwd=root).returncode == 0  # a profile is never lost: no --force
    assert "is the profile laptop" in run("profile", "diff", cwd=root).stdout


def test_a_profile_is_not_put_over_edits(tmp_path: Path) -> None:
    root = project(tmp_path)
    edited = (root / "params.yaml").read_text().replace("seed: 1\n", "seed: 7\n")
    (root / "params.yaml").write_text(edited)
    answer = run("profile", "use", "other", cwd=root)
    assert answer.returncode == 1
    assert "--force" in answer.stderr
    assert (root / "params.yaml").read_text() == edited
    assert "-seed: 7" in run("profile", "use", "other", "--force", cwd=root).stdout
    assert "seed: 2\n" in (root / "params.yaml").read_text()


def test_committed_edits_may_be_replaced(tmp_path: Path) -> None:
    root = project(tmp_path)
    (root / "params.yaml").write_text((root / "params.yaml").read_text().replace("seed: 1\n", "seed: 7\n"))
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qam", "two"], cwd=root, check=True)
    answer = run("profile", "use", "other", cwd=root)
    assert answer.returncode == 0
    assert "git checkout params.yaml" in answer.stdout


def test_a_broken_or_unknown_profile_is_refused(tmp_path: Path) -> None:
    root = project(tmp_path)
    before = (root / "params.yaml").read_text()
    (root / "pipelines/profiles/broken.yaml").write_text(before.replace("seed: 1\n", "sead: 1\n"))
    assert "unknown key sead" in run("profile", "use", "broken", cwd=root).stderr
    assert "no profile 'lap': expected one of broken, laptop, other" in run("profile", "use", "lap", cwd=root).stderr
    assert (root / "params.yaml").read_text() == before


def test_templates_are_searched_and_shown(small_line) -> None:
    from factory.templates.library import LIBRARY, build_library

    release("templates", small_line.params)
    build_library(storage.DATASETS / "templates", LIBRARY)
    assert "put together" in ask("templates", "search", "joined amounts")
    output = ask("templates", "show", "Put Together")
    assert "Take the result so far.\nAdd the next number." in output
    assert "solve_rate: 0.5" in output
    assert "did you mean put together?" in run("templates", "show", "put togethr", cwd=small_line.root).stderr
    assert "no template has a word of 'zzz'" in run("templates", "search", "zzz", cwd=small_line.root).stderr
    shutil.rmtree(storage.DATASETS / "templates")
    assert "error: " in run("templates", "show", "put together", cwd=small_line.root).stderr


def test_timings_are_a_markdown_table_in_the_lines_order(small_line) -> None:
    Path(".factory").mkdir()
    entries = [("corpus", 2.0, 200), ("problems", 1.0, 100), ("corpus", 3.0, 250), ("gone@r9", 5.0, 1)]
    lines = [json.dumps({"stage": name, "seconds": seconds, "peak_mb": peak, "at": ""}) for name, seconds, peak in entries]
    Path(".factory/timings.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert ask("timings").splitlines()[2:] == ["| problems | 1.0 | 100 |", "| corpus | 3.0 | 250 |", "| all 2 | 4.0 | 250 |"]


def test_params_are_the_laptop_profile() -> None:
    """As they are committed: whoever edits them, or uses another profile, has broken nothing."""
    edited = subprocess.run(["git", "status", "--porcelain", "params.yaml"], cwd=ROOT, capture_output=True, text=True, check=False)
    if edited.returncode or edited.stdout:
        pytest.skip("params.yaml is not as it was committed")
    assert LAPTOP.read_text(encoding="utf-8") == (ROOT / "params.yaml").read_text(encoding="utf-8")


def test_the_laptop_on_vllm_differs_in_its_engine_and_the_heads_of_its_base_alone() -> None:
    ours, theirs = (yaml.safe_load((ROOT / f"pipelines/profiles/{name}.yaml").read_text()) for name in ("laptop", "laptop-vllm"))
    for role, entry in theirs["roles"].items():
        assert entry["engine"] == ("transformers" if role == "reward_model" else "vllm")
        assert {**entry, "engine": "transformers"} == ours["roles"][role]
    assert theirs["base_model"]["hidden"] // theirs["base_model"]["heads"] == 32, "vLLM on a CPU computes no heads of 36"
    differing = {key for key in ours["base_model"] if ours["base_model"][key] != theirs["base_model"][key]}
    assert differing == {"hidden", "heads"}
    assert {key for key in ours if ours[key] != theirs[key]} == {"roles", "base_model"}


@pytest.mark.parametrize("content", [b"", b'{"id": "1"}\n', b"PAR1" + bytes(400) + b"PAR1", None])
def test_a_damaged_table_is_one_line(small_line, content: bytes | None) -> None:
    table = storage.TABLES / "corpus.parquet"
    table.write_bytes(table.read_bytes()[:-100] if content is None else content)
    for words in (("show", "corpus"), ("show", "corpus", "--id", "c"), ("status",)):
        answer = run(*words, cwd=small_line.root)
        assert answer.returncode == 1
        assert answer.stderr.startswith("error: data/tables/corpus.parquet is not a readable Parquet file (")
        assert len(answer.stderr.splitlines()) == 1


def test_show_reads_no_more_than_it_shows(small_line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "GROUP_ROWS", 2)
    rows = storage.read_rows(storage.TABLES / "demonstrations.parquet", Demonstration)
    path = small_line.write("demonstrations", Demonstration, rows)
    footer = pq.read_metadata(path)
    chunk = footer.row_group(1).column(footer.schema.names.index("completion"))
    content = bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    path.write_bytes(content)
    assert "1 of 6 rows" in ask("show", "demonstrations", "-n", "1")
    assert "1 of 6 rows" in ask("show", "demonstrations", "--id", rows[5].id)
    with pytest.raises(DataError, match="not a readable Parquet file"):
        ask("show", "demonstrations", "--id", rows[2].id)
