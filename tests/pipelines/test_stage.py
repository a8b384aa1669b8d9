"""The boundary of a stage: what the machine refuses is told as what it is, and nothing that a row says can end it. Real processes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from factory.schemas import CorpusText
from factory.storage import TABLES, read_rows

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STAGE = """
import os
from pathlib import Path
from factory import storage, whole
from pipelines import stage

def main(params):
    {body}

stage.run("try", main)
"""
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def run(folder: Path, body: str, *, shell: str = "{}", env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    script = folder / "stage.py"
    script.write_text(STAGE.format(body=body), encoding="utf-8")
    (folder / "params.yaml").write_bytes((ROOT / "pipelines/profiles/laptop.yaml").read_bytes())
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell.format(f"{sys.executable} {script}")], cwd=folder, capture_output=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | (env or {}), encoding="utf-8", timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "shell", "said"),
    [
        ("Path('/dev/full').open('w').write('x' * 100_000)", "{}", "no space left on device; free some space and run it again"),
        ("whole.write_json(Path('x.json'), 'y' * 3_000_000)", "ulimit -f 1000; {}", "file too large; allow larger files"),
        ("[open(os.devnull) for _ in range(500)]", "ulimit -n 100; {}", "too many open files: /dev/null; allow more open files"),
        ("Path('params.yaml/x').write_text('')", "{}", "not a directory: params.yaml/x"),
        ("whole.write_json(Path('.factory/locks'), 1)", "{}", "is a directory: "),
        ("bytearray(1 << 45)", "{}", "out of memory: use a machine with more"),
        ("storage.read_table(Path('stage.py'))", "{}", "stage.py is not a readable Parquet file (Parquet magic bytes not found"),
        ("raise OSError('Cannot load tokenizer for x\\nmore')", "{}", "Cannot load tokenizer for x"),
    ],
)
def test_what_the_machine_refuses_is_told_as_what_it_is(tmp_path: Path, body: str, shell: str, said: str) -> None:
    answer = run(tmp_path, body, shell=shell.replace("{}", "exec {}"))
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"error: try: {said}")
    assert len(answer.stderr.splitlines()) == 1
    assert said.startswith("no space") or "space" not in answer.stderr


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    (tmp_path / ".factory").mkdir()
    drop = "os.geteuid() or os.seteuid(65534)"  # root may write anywhere
    answer = run(tmp_path, f"{drop}; whole.write_json(Path('{tmp_path}/closed/x.json'), 1)")
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: try: permission denied: ")
    assert answer.stderr.rstrip().endswith("; this user needs the right to read and write it")
    assert "/closed/" in answer.stderr or os.geteuid() == 0  # nobody may not even look into root's temporary folder


def test_output_that_nobody_reads_is_one_line_and_finished_work_stays_finished(tmp_path: Path) -> None:
    answer = run(tmp_path, "[print('x' * 1000) for _ in range(10_000)]", shell="{} | head -1 > /dev/null")
    assert answer.stderr.startswith("error: try: whatever read its output")
    assert len(answer.stderr.splitlines()) == 1
    assert answer.returncode == 1
    answer = run(tmp_path, "__import__('time').sleep(1); whole.write_json(Path('x.json'), 1)", shell="{} | true")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert (tmp_path / "x.json").exists()
    assert '"stage": "try"' in (tmp_path / ".factory/timings.jsonl").read_text(encoding="utf-8")


def test_a_library_that_was_there_before_is_not_called_leaked_at_the_end() -> None:
    """Thirty lines of nanobind's behind each stage that Triton or DuckDB had been imported for."""
    code = "import duckdb\nfrom pipelines.stage import expect_many_rows\nexpect_many_rows()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_stage_prints_any_text_on_any_terminal(tmp_path: Path) -> None:
    body = "print(chr(0xe9) + chr(0x1f600) + chr(0xd83d)); whole.write_json(Path('x.json'), chr(0xe9))"
    answer = run(tmp_path, body, env=ASCII)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines()[0] == "\\xe9\\U0001f600\\ud83d"
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '"é"\n'
    answer = run(
        tmp_path,
        "print(chr(0xe9) + chr(0xd83d))",
        env={"PYTHONIOENCODING": "latin-1:strict", "LC_ALL": "C.UTF-8"},
        shell="{} | iconv -f latin1 -t utf8",
    )
    assert answer.stdout.splitlines()[0] == "é\\ud83d"


def test_the_line_runs_in_the_c_locale(small_line) -> None:
    rows = read_rows(TABLES / "corpus.parquet", CorpusText)
    small_line.write("corpus", CorpusText, [replace(row, completion=row.completion.replace("Ann has", "Zoë hat ∑😀")) for row in rows])
    environment = os.environ | ASCII | {"PYTHONPATH": str(ROOT), "FACTORY_STORE": str(small_line.root / "s.sqlite"), "COLUMNS": "200"}
    for module, *words in (("pipelines.release", "corpus"), ("factory.cli", "status"), ("factory.cli", "show", "corpus", "-n", "6")):
        answer = subprocess.run(
            [sys.executable, "-m", module, *words], cwd=small_line.root, capture_output=True, check=False, env=environment
        )
        assert answer.returncode == 0, answer.stderr.decode()[-2000:]
        assert answer.stdout.isascii()
        assert b"Traceback" not in answer.stderr
    assert b"Zo\\xeb hat \\u2211\\U0001f600" in answer.stdout
