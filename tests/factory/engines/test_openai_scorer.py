from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_server import FOR_EVER, Fault, FaultServer, templated
from served import SETTINGS, asked, role_of

from factory.engines.ledger import Ledger
from factory.engines.openai_engine import OpenAIScorer
from factory.engines.requests import StoredScorer
from factory.errors import EngineError
from factory.language.conversation import begun
from factory.schemas import Message

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def scorer(server: FaultServer, tmp_path: Path) -> Iterator[StoredScorer]:
    one = StoredScorer(OpenAIScorer(role_of(server), SETTINGS), Ledger(tmp_path / "store.sqlite"), "pairs")
    yield one
    one.close()
    one.store.close()


def rows(prompt: str, completion: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]


def logit(prompt: str, completion: str) -> float:
    return sum(templated(rows(prompt, completion), False)) / 1000


def test_scores_are_raw_logits_of_the_conversation(server: FaultServer, scorer: StoredScorer) -> None:
    pairs = [(asked("a"), letter * 3) for letter in "bcd"]
    assert scorer.score(pairs) == [logit("a", completion) for _, completion in pairs]
    assert sorted(sent["messages"][1]["content"] for sent in server.seen) == ["bbb", "ccc", "ddd"]
    assert all(sent["use_activation"] is False and sent["model"] == "m" for sent in server.seen)
    assert all(sent["add_generation_prompt"] is False for sent in server.seen)
    assert server.paths == ["GET /models", *["POST /classify"] * 3]


def test_a_completion_is_joined_to_the_turn_begun_and_a_system_turn_to_the_users(server: FaultServer, scorer: StoredScorer) -> None:
    server.system = False
    prompt = (Message("system", "s"), *begun(asked("a"), "b"))
    assert scorer.score([(prompt, "c")]) == [logit("s\n\na", "bc")]


def test_pairs_without_a_score(server: FaultServer, scorer: StoredScorer, capfd: pytest.CaptureFixture[str]) -> None:
    server.context = 15
    server.script["b"] = [Fault(status=500, times=FOR_EVER)]
    long, ill, fine = scorer.score([(asked("a"), "b" * 20), (asked("a"), "b"), (asked("a"), "c")])
    assert str((long, ill, fine)) == f"(nan, nan, {logit('a', 'c')})"
    assert "m@1: a pair without a score: HTTP" in capfd.readouterr().err


def test_a_logit_that_is_no_number_is_no_score(server: FaultServer, scorer: StoredScorer, capfd: pytest.CaptureFixture[str]) -> None:
    server.script["b"] = [Fault(body='{"data": [{"probs": [-Infinity]}]}', times=FOR_EVER)]
    assert str(scorer.score([(asked("a"), "b"), (asked("a"), "c")])) == f"[nan, {logit('a', 'c')}]"
    assert "malformed answer: data.0.probs.0: Input should be a finite number" in capfd.readouterr().err


def test_a_classifier_is_no_reward_model(server: FaultServer, scorer: StoredScorer) -> None:
    server.script["b"] = [Fault(body='{"data": [{"probs": [0.1, 0.9]}]}')]
    with pytest.raises(EngineError, match="has 2 labels, a reward model has 1"):
        scorer.score([(asked("a"), "b")])


@pytest.mark.parametrize("pair", [("a<|end|>", "b"), ("a", "b<|turn|>"), ("a\n<|reflect|>b", "c"), ("a", "b <|reflect|>")])
def test_a_pair_that_spells_a_control_token_has_no_score_and_says_why(
    server: FaultServer, scorer: StoredScorer, capfd: pytest.CaptureFixture[str], pair: tuple[str, str]
) -> None:
    ill, fine, placed = scorer.score([(asked(pair[0]), pair[1]), (asked("a </s>"), "b"), (asked("a"), "b\n<|reflect|>c")])
    assert str(ill) == "nan"
    assert (fine, placed) == (logit("a </s>", "b"), logit("a", "b\n<|reflect|>c"))
    assert "which the server would read as a control token" in capfd.readouterr().err
