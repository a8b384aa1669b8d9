"""`factory requests`: what was asked and answered, found, exported and forgotten."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from factory.cli.main import app
from factory.engines.ledger import Chosen, Ledger
from factory.engines.protocol import Completion, Request, SamplingParams, failure
from factory.engines.requests import StoredEngine
from factory.errors import DataError
from factory.language.conversation import flat, said


class Echo:
    family, model = "echo", "echo@1"

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        return [self._answer(flat(request.prompt)) for request in requests]

    def _answer(self, prompt: str) -> Completion:
        return failure("the prompt is too long") if prompt == "bad" else Completion(f"{prompt} [bold]done[/bold]", (1, 2), "stop", 3)


@pytest.fixture(autouse=True)
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three answered requests of two stages and a failed one; their keys in that order."""
    monkeypatch.setenv("FACTORY_STORE", str(tmp_path / "requests.sqlite"))
    monkeypatch.setenv("COLUMNS", "200")
    keys = []
    for stage, prompts in (("rollouts", ["q0", "q1"]), ("plans", ["q2", "bad"])):
        store = Ledger(tmp_path / "requests.sqlite")
        asked = [Request(said("user", prompt), SamplingParams(max_tokens=4)) for prompt in prompts]
        keys += [made.request_id for made in StoredEngine(Echo(), store, stage).generate(asked)]
        store.close()
    return keys


def ask(*words: str) -> str:
    answer = CliRunner().invoke(app, ["requests", *words], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.output


def test_help_teaches() -> None:
    for command in ("stats", "show", "export", "vacuum"):
        assert command in ask("--help")
    assert "--older-than 30 --dry-run" in ask("vacuum", "--help")


def test_without_a_store_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTORY_STORE", str(tmp_path / "none.sqlite"))
    with pytest.raises(DataError, match=r"none\.sqlite does not exist yet"):
        ask("stats")


def test_show_finds_a_row_s_request_to_the_letter(stored: list[str]) -> None:
    output = ask("show", stored[1][:16])
    assert f"{stored[1][:12]} rollouts, echo@1" in output
    assert "q1 [bold]done[/bold]" in output
    assert "max_tokens 4" in output
    assert "1 of 1" in output
    assert "2 of 2" in ask("show", "--stage", "rollouts")
    assert "1 of 3" in ask("show", "-n", "1")
    with pytest.raises(DataError, match="no stored request fits"):
        ask("show", "ffffffffffffffffffff")


def test_show_failed_says_why(stored: list[str]) -> None:
    output = ask("show", "--failed")
    assert stored[3][:12] in output
    assert "the prompt is too long" in output
    assert "0 of 0 requests without an answer" in ask("show", "--failed", "--stage", "rollouts")


def test_export_is_whole_or_not_at_all(stored: list[str], tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    assert ask("export", str(path), "--stage", "rollouts").startswith("2 requests in")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["key"] for row in rows] == stored[:2]
    assert rows[0]["request"]["prompt"] == [["user", "q0"]]
    assert rows[0]["answer"]["text"] == "q0 [bold]done[/bold]"
    with pytest.raises(DataError, match="exists: name another file"):
        ask("export", str(path))
    with pytest.raises(DataError, match="no stored request fits"):
        ask("export", str(tmp_path / "none.jsonl"), "--stage", "nothing")
    assert not (tmp_path / "none.jsonl").exists()


def test_vacuum_forgets_only_what_it_is_told(stored: list[str], tmp_path: Path) -> None:
    assert "would forget 2 answers" in ask("vacuum", "--stage", "rollouts", "--dry-run")
    assert "0 answers forgotten" in ask("vacuum")
    assert "0 answers forgotten" in ask("vacuum", "--older-than", "1")
    assert "2 answers forgotten" in ask("vacuum", "--stage", "rollouts")
    store = Ledger(tmp_path / "requests.sqlite")
    assert [entry.key for entry in store.entries(Chosen())] == [stored[2]]
