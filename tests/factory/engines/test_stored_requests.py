import math
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from served import asked, said

from factory.engines.keys import request_key
from factory.engines.ledger import Ledger
from factory.engines.progress import Meter
from factory.engines.protocol import Completion, Request, SamplingParams
from factory.engines.requests import StoredEngine, StoredScorer
from factory.errors import EngineError
from factory.language.conversation import flat
from factory.schemas import Conversation, Message

GREEDY = SamplingParams(max_tokens=8)


class Echo:
    """An engine that answers with its prompt reversed and the ordinal; it fails what starts with `bad`, and `flaky` once."""

    family, model = "echo", "echo@1"

    def __init__(self) -> None:
        self.chunks: list[list[Request]] = []
        self.flaky_failed = False

    @property
    def asked(self) -> list[Request]:
        return [request for chunk in self.chunks for request in chunk]

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.chunks.append(list(requests))
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Completion:
        prompt = said(request)
        if prompt.startswith("bad") or (prompt == "flaky" and not self.flaky_failed):
            self.flaky_failed = self.flaky_failed or prompt == "flaky"
            return Completion(text="", token_ids=(), finish_reason="error", prompt_tokens=0, error=f"cannot answer {prompt}")
        ids = tuple(range(len(prompt)))
        logprobs = tuple(-0.1 * number for number in ids) if request.sampling.logprobs else None
        return Completion(f"{prompt[::-1]}<|reflect|>\n{request.ordinal}", ids, "length", 2, logprobs=logprobs)


def engine_at(path: Path, stage: str = "rollouts", chunk: int = 4) -> tuple[StoredEngine, Echo]:
    echo = Echo()
    return StoredEngine(echo, Ledger(path), stage, chunk), echo


def test_order_ids_chunks_and_replay(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    engine, echo = engine_at(path)
    requests = [Request(prompt=asked("x" * (10 - number) + "é"), sampling=SamplingParams(8, logprobs=True)) for number in range(10)]
    first = engine.generate(requests)
    assert [completion.text for completion in first] == [f"{said(request)[::-1]}<|reflect|>\n0" for request in requests]
    assert [completion.request_id for completion in first] == [request_key("echo", "echo@1", request) for request in requests]
    assert [len(chunk) for chunk in echo.chunks] == [4, 4, 2]
    assert [len(said(request)) for request in echo.asked] == sorted(len(said(request)) for request in requests)

    replayed, silent = engine_at(path, stage="plans")
    assert replayed.generate([*requests[5:], *requests[:5]]) == [*first[5:], *first[:5]], "ids, log-probabilities, reasons and all"
    assert silent.asked == []
    plans, rollouts = replayed.store.usage()
    assert (rollouts.requests, rollouts.misses, plans.requests, plans.hits, plans.misses) == (10, 10, 0, 10, 0)


def test_only_what_is_missing_is_asked(tmp_path: Path) -> None:
    engine, echo = engine_at(tmp_path / "requests.sqlite")
    engine.generate([Request(asked("a"), GREEDY), Request(asked("b"), GREEDY)])
    engine.generate([Request(asked("a"), GREEDY), Request(asked("c"), GREEDY), Request(asked("b"), GREEDY)])
    assert [said(request) for request in echo.asked] == ["a", "b", "c"]
    assert engine.generate([]) == []


def test_equal_prompts_with_other_ordinals_are_other_requests(tmp_path: Path) -> None:
    engine, echo = engine_at(tmp_path / "requests.sqlite")
    twice = Request(asked("a"), GREEDY, ordinal=2)
    texts = [completion.text for completion in engine.generate([Request(asked("a"), GREEDY, ordinal=1), twice, twice])]
    assert texts == ["a<|reflect|>\n1", "a<|reflect|>\n2", "a<|reflect|>\n2"]
    assert len(echo.asked) == 2, "the very same request is asked once"


def test_failures_are_recorded_and_never_replayed(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    engine, _ = engine_at(path)
    requests = [Request(asked("bad one"), GREEDY), Request(asked("flaky"), GREEDY), Request(asked("good"), GREEDY)]
    bad, flaky, good = engine.generate(requests)
    assert (bad.finish_reason, bad.error, bad.request_id) == ("error", "cannot answer bad one", request_key("echo", "echo@1", requests[0]))
    assert (flaky.finish_reason, good.finish_reason) == ("error", "length"), "one bad prompt does not hurt the others of its batch"
    assert engine.store.failures() == sorted(
        [(bad.request_id, "rollouts", 1, "cannot answer bad one"), (flaky.request_id, "rollouts", 1, "cannot answer flaky")]
    )
    assert (engine.usage.requests, engine.usage.failed, engine.usage.completion_tokens) == (3, 2, 4)

    again, second = engine_at(path)
    second.flaky_failed = True
    again.generate(requests)
    assert {said(request) for request in second.asked} == {"bad one", "flaky"}
    assert again.store.failures() == [(bad.request_id, "rollouts", 2, "cannot answer bad one")]


@pytest.mark.parametrize("prompt", [asked("a\ud83d"), asked("\udfff\0"), (*asked("x"), Message("assistant", "\ud800"))])
def test_half_a_character_stops_nothing(prompt: Conversation, tmp_path: Path) -> None:
    """Neither in a prompt nor in an engine's answer or reason; both are the same when they come from the store."""

    class Halves(Echo):
        def _answer(self, request: Request) -> Completion:
            bad = "\0" in said(request)
            answer = super()._answer(request)
            return replace(answer, text="7\udfff", **({"finish_reason": "error", "error": "no \ud800"} if bad else {}))

    texts = []
    for _ in range(2):
        engine = StoredEngine(Halves(), Ledger(tmp_path / "requests.sqlite"), "rollouts")
        texts.append(engine.generate([Request(prompt, GREEDY)])[0])
    assert texts[0] == texts[1]
    assert texts[0].text == "7\ufffd"
    assert [row[3] for row in engine.store.failures()] == ["no \ufffd"] * ("\0" in flat(prompt))


class Lengths:
    model = "lengths@1"

    def __init__(self) -> None:
        self.asked: list[tuple[Conversation, str]] = []

    def score(self, pairs: Sequence[tuple[Conversation, str]]) -> list[float]:
        self.asked += pairs
        return [float("nan") if completion == "long" else len(flat(prompt)) / 3 for prompt, completion in pairs]


def test_scores_replay_exactly_and_what_has_none_is_asked_again(tmp_path: Path) -> None:
    pairs = [(asked(prompt), completion) for prompt, completion in (("abcd", "x"), ("ab", "x"), ("abcd", "long"), ("abcd", "x"))]
    for count in (3, 1):
        scorer = Lengths()
        scores = StoredScorer(scorer, Ledger(tmp_path / "requests.sqlite"), "demonstrations", chunk=2).score(pairs)
        assert scores[:2] == [4 / 3, 2 / 3]
        assert scores[3] == scores[0]
        assert math.isnan(scores[2])
        assert len(scorer.asked) == count
    assert [row[3] for row in Ledger(tmp_path / "requests.sqlite").failures()] == [
        "the reward model gives no score: too long for its context, or it failed"
    ]


class Breaking(Echo):
    """Breaks off in its first batch."""

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        raise EngineError("out of memory")


def test_an_engine_that_broke_off_is_not_waited_for(tmp_path: Path) -> None:
    engine = StoredEngine(Breaking(), Ledger(tmp_path / "requests.sqlite"), "rollouts")
    for message in ("out of memory", "echo@1 broke off before .out of memory.: open it again"):
        with pytest.raises(EngineError, match=message):
            engine.generate([Request(asked("a"), GREEDY)])


def test_answers_of_two_processes_agree_with_the_store(tmp_path: Path) -> None:
    """Both ask before either has stored: the second goes on with the first one's answer."""
    path, request = tmp_path / "requests.sqlite", Request(asked("a"), GREEDY)
    first, _ = engine_at(path)

    class Late(Echo):
        def generate(self, requests: Sequence[Request]) -> list[Completion]:
            first.generate([request])
            return [replace(completion, text="another draw") for completion in super().generate(requests)]

    late = StoredEngine(Late(), Ledger(path), "rollouts").generate([request])
    assert late == first.generate([request])


SLOW = """
import os, sys, time
from pathlib import Path
from factory.engines.protocol import Completion, Request, SamplingParams
from factory.engines.requests import StoredEngine
from factory.engines.ledger import Ledger
from factory.schemas import Message

class Slow:
    family, model = "slow", "slow@1"
    def generate(self, requests):
        with open(sys.argv[2], "a") as log:
            log.writelines(f"{request.prompt[0].content}\\n" for request in requests)
        time.sleep(float(sys.argv[3]))
        return [Completion(f"to {request.prompt[0].content}", (1, 2), "stop", 1) for request in requests]

engine = StoredEngine(Slow(), Ledger(Path(sys.argv[1])), "rollouts", chunk=5)
completions = engine.generate([Request((Message("user", f"p{number:03}"),), SamplingParams(8)) for number in range(100)])
assert [completion.text for completion in completions] == [f"to p{number:03}" for number in range(100)]
"""


@pytest.mark.slow
def test_killed_half_way_nothing_answered_is_asked_again(tmp_path: Path) -> None:
    store, first, second = tmp_path / "requests.sqlite", tmp_path / "first.log", tmp_path / "second.log"
    victim = subprocess.Popen([sys.executable, "-c", SLOW, str(store), str(first), "0.1"])
    until = time.monotonic() + 120
    while time.monotonic() < until and (not first.exists() or len(first.read_text().splitlines()) < 50):
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    asked = first.read_text().splitlines()
    assert 50 <= len(asked) < 100

    subprocess.run([sys.executable, "-c", SLOW, str(store), str(second), "0"], check=True)
    again = second.read_text().splitlines()
    assert set(asked) | set(again) == {f"p{number:03}" for number in range(100)}
    assert len(set(asked) & set(again)) <= 5, "no more than the chunk that was under way"
    assert len(again) == len(set(again))


def test_plain_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, 4.0, 12.0, 15.0])
    monkeypatch.setattr("factory.engines.progress.time.monotonic", lambda: next(clock))
    with Meter("rollouts", 4000) as meter:
        for _ in range(3):
            meter.advance(1000, 60_000)
    assert capsys.readouterr().err == "rollouts: 2,000 of 4,000 requests, 10,000 tokens/s, 12 s left\n"
