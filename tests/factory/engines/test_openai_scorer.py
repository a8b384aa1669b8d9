import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fault_server import FOR_EVER, Fault, FaultServer
from served import SETTINGS, role_of

from factory.engines.ledger import Ledger
from factory.engines.openai_engine import OpenAIScorer
from factory.engines.requests import StoredScorer
from factory.errors import EngineError

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def scorer(server: FaultServer, tmp_path: Path) -> Iterator[StoredScorer]:
    one = StoredScorer(OpenAIScorer(role_of(server), SETTINGS), Ledger(tmp_path / "store.sqlite"), "pairs")
    yield one
    one.close()
    one.store.close()


def test_scores_are_raw_logits_of_the_ids_that_training_saw(server: FaultServer, scorer: StoredScorer) -> None:
    pairs = [("a", letter * 3) for letter in "bcd"]
    assert scorer.score(pairs) == [(0 + 97 + 3 * ord(letter) + 1) / 1000 for _, (letter, *_) in pairs]
    assert sorted(sent["input"] for sent in server.seen) == [[0, 97, *[ord(letter)] * 3, 1] for letter in "bcd"]
    assert all(sent["use_activation"] is False and sent["model"] == "m" for sent in server.seen)
    assert "POST /classify" in server.paths


def test_a_reward_model_with_a_chat_template_is_sent_the_conversation(server: FaultServer, scorer: StoredScorer) -> None:
    server.chat = True
    assert scorer.score([("a", "bc")]) == [(97 + 98 + 99) / 1000]
    (sent,) = server.seen
    assert sent["messages"] == [{"role": "user", "content": "a"}, {"role": "assistant", "content": "bc"}]
    assert sent["add_generation_prompt"] is False
    assert server.paths.count("POST /tokenize") == 1, "only to learn that there is a template"


def test_pairs_without_a_score(server: FaultServer, scorer: StoredScorer, capfd: pytest.CaptureFixture[str]) -> None:
    server.context = 10
    server.script[str([0, 97, 98, 1])] = [Fault(status=500, times=FOR_EVER)]
    long, ill, fine = scorer.score([("a", "b" * 20), ("a", "b"), ("a", "c")])
    assert str((long, ill, fine)) == f"(nan, nan, {(97 + 99 + 1) / 1000})"
    assert "m@1: a pair without a score: HTTP" in capfd.readouterr().err


def test_a_logit_that_is_no_number_is_no_score(server: FaultServer, scorer: StoredScorer, capfd: pytest.CaptureFixture[str]) -> None:
    server.script[str([0, 97, 98, 1])] = [Fault(body='{"data": [{"probs": [-Infinity]}]}', times=FOR_EVER)]
    assert str(scorer.score([("a", "b"), ("a", "c")])) == f"[nan, {(97 + 99 + 1) / 1000}]"
    assert "malformed answer: data.0.probs.0: Input should be a finite number" in capfd.readouterr().err


def test_a_reward_model_whose_end_of_sequence_is_not_told(server: FaultServer, scorer: StoredScorer) -> None:
    server.tells_end = False
    with pytest.raises(EngineError, match="start it with --enable-tokenizer-info-endpoint"):
        scorer.score([("a", "b")])


def test_a_classifier_is_no_reward_model(server: FaultServer, scorer: StoredScorer) -> None:
    server.script[str([0, 97, 98, 1])] = [Fault(body='{"data": [{"probs": [0.1, 0.9]}]}')]
    with pytest.raises(EngineError, match="has 2 labels, a reward model has 1"):
        scorer.score([("a", "b")])


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize(
    "pair", [("a</s>", "b"), ("a", "b<|im_end|>"), ("a\n<|reflect|>b", "c"), ("a", "b <|reflect|>"), ("[INST] a", "b")]
)
def test_a_pair_that_spells_a_control_token_has_no_score_and_says_why(
    server: FaultServer, scorer: StoredScorer, capfd: pytest.CaptureFixture[str], pair: tuple[str, str], chat: bool
) -> None:
    server.chat = chat
    ill, fine, placed = scorer.score([pair, ("a", "b"), ("a", "b\n<|reflect|>c")])
    assert str(ill) == "nan"
    assert fine == (97 + 98 + (0 if chat else 1)) / 1000
    assert placed > fine
    assert "which the server would read as a control token" in capfd.readouterr().err


class Framing(FaultServer):
    """Its tokenizer puts 5 behind a text, as BERT's puts [SEP]."""

    def tokenize(self, connection: Any, document: dict[str, Any]) -> None:
        if "messages" in document:
            return connection.reply(400, '{"error": {"message": "no chat template"}}')
        ids = [1] if document["prompt"] == "<eos>" else [ord(letter) for letter in document["prompt"]]
        connection.reply(200, json.dumps({"tokens": [0, *ids, 5] if document["add_special_tokens"] else ids}))


def test_what_the_server_puts_behind_a_text_stands_behind_no_prompt(tmp_path: Path) -> None:
    with Framing() as server, closing(StoredScorer(OpenAIScorer(role_of(server), SETTINGS), Ledger(tmp_path / "s.sqlite"), "pairs")) as one:
        one.score([("a", "b")])
        one.store.close()
    assert [sent["input"] for sent in server.seen] == [[0, 97, 98, 1]]
