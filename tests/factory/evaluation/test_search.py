"""The search on a tiny random model and reward model, and on a rule engine whose best path is known."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from factory.engines.protocol import Completion, Request
from factory.engines.requests import StoredEngine, StoredScorer
from factory.engines.store import Store
from factory.evaluation.search import Judge, Searcher, Settings, search, search_all
from factory.grading import Grader, extract
from factory.identity import row_id
from factory.language.conversation import flat
from factory.language.prompting import Prompts
from factory.schemas import Conversation, Problem

PROMPTS = Prompts.of("laptop")
SMALL = Settings(tokens=120, width=3, step_tokens=16, answer_tokens=40, temperature=1.0, value="path", chooses="visits", steps="line")


def searcher(opened: tuple[StoredEngine, StoredScorer], **changes: Any) -> Searcher:
    engine, scorer = opened
    return Searcher(engine, Judge(scorer, 0.1, 0.5), PROMPTS, replace(SMALL, **changes))


@pytest.mark.parametrize("steps", ["line", "paragraph"])
@pytest.mark.parametrize("value", ["path", "rollout"])
@pytest.mark.slow
def test_tokens_never_exceed_the_budget_and_all_are_counted(tiny: Callable, problems: list[Problem], steps: str, value: str) -> None:
    engine, scorer = tiny()
    for tokens in (8, 31, 120, 400):
        engine.usage.requests = engine.usage.completion_tokens = engine.usage.prompt_tokens = scorer.usage.requests = 0
        made = searcher((engine, scorer), tokens=tokens, steps=steps, value=value, seed=tokens)
        found = search_all(problems, made)
        assert max(row.tokens for row in found) <= tokens
        assert sum(row.tokens for row in found) == engine.usage.completion_tokens
        assert sum(row.read for row in found) == engine.usage.prompt_tokens
        assert (sum(row.requests for row in found), sum(row.judged for row in found)) == (engine.usage.requests, scorer.usage.requests)
    assert any(row.nodes > 10 for row in found)


@pytest.mark.slow
def test_there_is_an_answer_or_the_reason_why_not(tiny: Callable, problems: list[Problem]) -> None:
    found = [row for tokens in (8, 120, 400) for row in search_all(problems, searcher(tiny(), tokens=tokens))]
    answered, failed = [row for row in found if row.answer is not None], [row for row in found if row.answer is None]
    assert answered
    assert all(extract(row.text) == (row.answer, "box") and not row.failure for row in answered)
    assert failed
    assert all(not row.text and row.failure.startswith("no path of base@1 came to an answer") for row in failed)
    assert any(row.failure.endswith("within 8 tokens") for row in failed)


@pytest.mark.parametrize("value", ["path", "rollout"])
@pytest.mark.slow
def test_alone_or_among_others_and_again_the_answer_is_the_same(tiny: Callable, problems: list[Problem], value: str) -> None:
    together = search_all(problems, searcher(tiny("together"), value=value))
    alone = [search_all([problem], searcher(tiny(f"alone {problem.id}"), value=value))[0] for problem in problems]
    again = search_all([*reversed(problems)], searcher(tiny("again"), value=value))
    assert together == alone == [*reversed(again)]
    assert together != search_all(problems, searcher(tiny("seed"), value=value, seed=2))


@pytest.mark.slow
def test_what_the_store_knows_is_not_asked_again(tiny: Callable, problems: list[Problem]) -> None:
    first = search_all(problems, searcher(tiny()))
    engine, scorer = tiny()
    engine.backend.answer = scorer.backend.answer = None  # whoever asks them breaks
    assert search_all(problems, searcher((engine, scorer))) == first


@pytest.mark.slow
def test_a_request_that_cannot_be_answered_is_a_stated_failure(tiny: Callable, problems: list[Problem]) -> None:
    long = replace(problems[0], id="long", problem="why? " * 80)  # the context holds 256 characters
    answers, (found, other) = search("mcts", [long, problems[1]], searcher(tiny()), Grader())
    assert "a request failed: the prompt has 4" in found.failure
    assert (found.tokens, found.nodes, found.requests) == (0, 1, 4)
    assert (answers[0].verdict, answers[0].finish_reason, answers[0].completion) == ("unparsable", "error", "")
    assert other == search_all([problems[1]], searcher(tiny("other")))[0]


def test_the_statistics_of_a_reward_model_lie_in_its_folder(tiny: Callable, folders: tuple[Path, Path]) -> None:
    _, scorer = tiny()
    judge = Judge.of(scorer, str(folders[1]))
    assert (judge.mean, judge.std) == (0.1, 0.5)
    assert judge.value(0.1) == 0.5
    assert judge.value(0.6) == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-4)
    assert judge.value(math.nan) == 0.0
    assert judge.value(1e6) == 1.0
    assert Judge.of(scorer, "org/somebody-elses@0123456") == Judge(scorer, 0.0, 1.0)


# -- a game: lines of one digit each, and after three of them the box with their sum; 24 (8 + 8 + 8) is right


class Digits:
    family, model = "digits", "digits@1"

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        return [self._say(request) for request in requests]

    def _say(self, request: Request) -> Completion:
        said = [int(line) for line in flat(request.prompt).partition("Solve:\n")[2].split()]
        digits = [int(row_id(request.seed, place), 16) % 8 + 1 for place in range(3)]  # 1 to 8
        line = "\n" in request.sampling.stop
        if len(said) == 3:
            text = rf"\boxed{{{sum(said)}}}"
        elif line:
            text = str(digits[0])
        else:
            rest = digits[: 3 - len(said)]
            text = "".join(f"{digit}\n" for digit in rest) + rf"\boxed{{{sum(said) + sum(rest)}}}"
        return Completion(text, tuple(range(len(text.split()))), "stop", 5, row_id(flat(request.prompt), request.seed))


class Sum:
    model = "sum@1"

    def score(self, pairs: Sequence[tuple[Conversation, str]]) -> list[float]:
        return [sum(int(line) for line in text.split() if line.isdigit()) / (1 + text.count("\n")) - 4.5 for _, text in pairs]


@pytest.mark.parametrize(("value", "least"), [("path", 20), ("rollout", 20)])
@pytest.mark.slow
def test_the_search_climbs_to_what_the_reward_model_values(tmp_path: Path, problems: list[Problem], value: str, least: int) -> None:
    """Of eight digits a line one is 8: a sample has 24 once in 512; the mean of three digits is 13.5."""
    store = Store(tmp_path / "store.sqlite")
    engine, scorer = StoredEngine(Digits(), store, "test"), StoredScorer(Sum(), store, "test")
    settings = Settings(tokens=400, width=8, step_tokens=8, answer_tokens=8, steps="line", value=value, chooses="value")
    found = search_all(problems, Searcher(engine, Judge(scorer), PROMPTS, settings))
    sums = [int(row.answer or 0) for row in found]
    assert sum(sums) / len(sums) >= least
    assert all(row.tokens <= 400 for row in found)
    store.close()


def test_steps_that_are_written_alike_are_one_node(tmp_path: Path, problems: list[Problem]) -> None:
    class Always(Digits):
        def _say(self, request: Request) -> Completion:
            return super()._say(replace(request, seed=1))

    store = Store(tmp_path / "store.sqlite")
    engine, scorer = StoredEngine(Always(), store, "test"), StoredScorer(Sum(), store, "test")
    settings = Settings(tokens=400, width=4, step_tokens=8, answer_tokens=8, value="path", steps="line")
    (found,) = search_all(problems[:1], Searcher(engine, Judge(scorer), PROMPTS, settings))
    # three digits and a box, one node each behind the root; the tree is closed after 4 × 4 samples of a token
    assert (found.nodes, found.requests, found.tokens, found.judged, found.ran_out) == (5, 16, 16, 4, False)
    store.close()


def test_a_paragraph_is_not_cut_behind_a_heading(tmp_path: Path, problems: list[Problem]) -> None:
    class Headed(Digits):
        def _say(self, request: Request) -> Completion:
            said = flat(request.prompt).partition("Solve:\n")[2]
            text = "**Step 1:**" if not said else "We add." if said.endswith("**\n\n") else r"\boxed{0}"
            return Completion(text, tuple(range(len(text.split()))), "stop", 5, row_id(flat(request.prompt), request.seed))

    store = Store(tmp_path / "store.sqlite")
    engine, scorer = StoredEngine(Headed(), store, "test"), StoredScorer(Sum(), store, "test")
    settings = Settings(tokens=400, width=2, step_tokens=40, answer_tokens=40, value="path", steps="paragraph")
    (found,) = search_all(problems[:1], Searcher(engine, Judge(scorer), PROMPTS, settings))
    assert found.text == "**Step 1:**\n\nWe add.\n\n\\boxed{0}"
    assert (found.nodes, found.requests) == (3, 6)  # heading and paragraph are one node, asked for in two turns
    store.close()


def test_settings_that_leave_no_room_are_refused() -> None:
    with pytest.raises(ValueError, match="tokens 7, width 4, step_tokens 40: expected 8, 1 and 8 or more"):
        Settings(tokens=7)
