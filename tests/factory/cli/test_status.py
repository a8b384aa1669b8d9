"""`factory status` and `factory timings`: what the last runs left behind, and what the running ones show."""

import fcntl
import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from factory import live, storage
from factory.cli.status import sparkline
from factory.engines.protocol import Completion, Request, SamplingParams
from factory.engines.requests import StoredEngine
from factory.engines.store import Store
from factory.errors import GateError
from factory.gate.release import release
from factory.language.conversation import said
from factory.rejects import reject, write_rejects
from factory.schemas import CorpusText, Demonstration


@pytest.mark.slow
def test_status_tells_rows_rejects_seconds_and_a_shut_gate(small_line, ask: Callable[..., str]) -> None:
    rows = storage.read_rows(storage.TABLES / "demonstrations.parquet", Demonstration)
    write_rejects("demonstrations", [reject("demonstrations", rows[0], "leaks the answer")])
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


def test_status_and_requests_show_what_the_store_holds(small_line, tmp_path: Path, ask: Callable[..., str]) -> None:
    class Echo:
        family, model = "echo", "echo@1"

        def generate(self, requests: list[Request]) -> list[Completion]:
            return [Completion(text="a b", token_ids=(1, 2), finish_reason="stop", prompt_tokens=3) for _ in requests]

    asked = [Request(prompt=said("user", f"q{number}"), sampling=SamplingParams(max_tokens=4)) for number in range(5)]
    for _ in range(2):
        StoredEngine(Echo(), Store(tmp_path / "requests.sqlite"), "rollouts").generate(asked)
    for words in (("status",), ("requests", "stats")):
        line = next(text for text in ask(*words).splitlines() if text.split()[:2] == ["rollouts", "5"])
        assert line.split()[1:4] == ["5", "15", "10"]
    assert "hits" in ask("requests", "stats")


def test_timings_are_a_markdown_table_in_the_lines_order(small_line, ask: Callable[..., str]) -> None:
    Path(".factory").mkdir()
    entries = [("corpus@base", 2.0, 200), ("problems", 1.0, 100), ("corpus@base", 3.0, 250), ("gone@r9", 5.0, 1)]
    lines = [json.dumps({"stage": name, "seconds": seconds, "peak_mb": peak, "at": ""}) for name, seconds, peak in entries]
    Path(".factory/timings.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert ask("timings").splitlines()[2:] == ["| problems | 1.0 | 100 |", "| corpus@base | 3.0 | 250 |", "| all 2 | 4.0 | 250 |"]


@contextmanager
def training(name: str, lines: list[dict[str, object]], torn: str = "") -> Iterator[Path]:
    """A live log as a run that is under way leaves it: whole lines, perhaps the beginning of one, and the lock."""
    path = live.LIVE / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        stream.write("".join(json.dumps(line) + "\n" for line in lines) + torn)
        stream.flush()
        yield path


def logged(step: int, of: int, **values: float | None) -> dict[str, object]:
    """Two seconds and 100 tokens a step."""
    return {"step": step, "of": of, "seconds": 2.0 * step, "tokens_seen": 100 * step, **values}


@pytest.mark.slow
def test_status_shows_what_trains_now_and_nothing_else(small_line, ask: Callable[..., str]) -> None:
    curve = [logged(0, 60), *(logged(step, 60, reward=step / 10, policy_loss=9.0, value_loss=None) for step in range(1, 9))]
    with training("format_tuned", [logged(0, 5), logged(5, 5, loss=0.5)]):
        pass
    with training("policy_r1", curve, torn='{"step": 9, "of'):
        output = ask("status")
    assert "Training now" in output
    (row,) = [line.split() for line in output.splitlines() if "policy_r1" in line and "/" in line]
    assert row[:8] == ["policy_r1", "8/60", "13", "%", "reward", "0.8", "▁▂▃▄▅▆▇█", "50"]
    assert row[8:10] == ["104", "s"] or row[8:10] == ["2", "min"]  # 52 steps of two seconds
    assert not any("format_tuned" in line and "5/5" in line for line in output.splitlines())
    assert "Training now" not in ask("status")


def test_a_run_is_known_by_its_lock_its_last_whole_line_and_recent_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    slow = [logged(0, 100), *({**logged(step, 100, loss=math.exp(-step)), "seconds": 1000.0 + step} for step in range(1, 41))]
    with training("base", [*slow, {"step": "?"}, logged(41, 100, loss=None) | {"seconds": 1041.0}]):
        (found,) = live.runs()
    assert (found.step, found.total, found.measure, found.value) == (41, 100, "loss", None)  # a loss that was no number
    assert found.left == pytest.approx(59.0)  # the start, which took 1000 s, is forgotten after 20 steps
    assert found.tokens_per_second == pytest.approx(100.0)
    assert len(found.curve) == 24
    assert sorted(found.curve, reverse=True) == list(found.curve)
    assert live.runs() == []
    assert [(run.name, run.running) for run in live.runs(ended={"base"})] == [("base", False)]


def test_a_run_before_its_first_step_and_an_empty_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with training("base", []), training("orm_r1", [logged(0, 12)]):
        (found,) = live.runs()
    assert (found.name, found.step, found.curve, found.tokens_per_second, found.left) == ("orm_r1", 0, (), None, None)
    assert sparkline(()) == ""
    assert sparkline((2.0, 2.0)) == "▄▄"


def test_a_long_log_is_read_at_even_distances_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with training("base", [logged(step, 9000, loss=float(step)) for step in range(9001)]) as path:
        found = live.read_run(path, running=True)
    assert found is not None
    assert (found.step, found.value, found.left) == (9000, 9000.0, 0.0)
    gaps = [later - earlier for earlier, later in zip(found.curve, found.curve[1:], strict=False)]
    assert gaps == pytest.approx([375.0] * 23, rel=0.1)


def test_watch_says_when_nothing_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert ask("status", "--watch") == "nothing is training\n"


@pytest.mark.slow
def test_watch_redraws_a_terminal_and_ctrl_c_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    with training("base", [logged(0, 9), logged(4, 9, loss=0.25)]) as path:
        command = [sys.executable, "-m", "factory.cli", "status", "--watch"]
        kept = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored, and a child would inherit that
        watch = subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment, start_new_session=True)
        signal.signal(signal.SIGINT, kept)
        shown = _read_until(ours, b"4/9")
        with path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(logged(5, 9, loss=0.125)) + "\n")
        shown += _read_until(ours, b"5/9")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(timeout=300) == 0
    os.close(theirs)
    os.close(ours)
    assert b"\x1b[1A" in shown  # the second table is drawn over the first


def _read_until(terminal: int, words: bytes) -> bytes:
    found, deadline = b"", time.monotonic() + 300
    while words not in found:
        assert time.monotonic() < deadline, found
        if select.select([terminal], [], [], 1)[0]:
            found += os.read(terminal, 65536)
    return found
