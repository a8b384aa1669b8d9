"""`factory status` and `factory timings`: what the last runs left behind."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from factory import storage
from factory.engines.protocol import Completion, Request, SamplingParams
from factory.engines.requests import StoredEngine
from factory.engines.store import Store
from factory.errors import GateError
from factory.gate.release import release
from factory.language.conversation import said
from factory.schemas import CorpusText, Demonstration


def test_status_tells_rows_rejects_seconds_and_a_shut_gate(small_line, ask: Callable[..., str]) -> None:
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
