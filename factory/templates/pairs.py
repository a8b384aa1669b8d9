"""Which of many are one, by a labeller's word: pairs are asked as conversations, yes or no, and what is agreed on is united.

    found = judged([Pair(0, 2, 11.4)], rows, "templates", labeller, Asking("same", sampling, orders=2, seed=1))
    → [Judged(Pair(0, 2, 11.4), answers=("yes", "yes"), request_ids=("9f0c…", "51aa…"))]
    united(3, found)    → [0, 1, 0]

With two orders a pair is asked both ways round and needs yes twice, since small models prefer a place; with one it is asked in the order of
the rows. What cannot be read, and a request that fails, is no yes. With `odds` one word is asked for and its probability told: a model that
says no to everything may still say it less surely of two that are one (`controls` says how surely). Groups grow from the best score down,
and two groups of which a member of one was refused a member of the other stay two: agreement is not carried over a refusal. Neither depends
on the order of the pairs.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, expm1, log
from typing import NamedTuple

from factory.engines.asking import sampling_params
from factory.engines.protocol import Completion, Engine, Request
from factory.identity import seed_for
from factory.language.documents import objects_in
from factory.params import Sampling
from factory.templates.questions import QUESTIONS

YES, NO, UNREADABLE, FAILED = "yes", "no", "unreadable", "failed"
ANSWER_SCHEMA = json.dumps({
    "type": "object", "properties": {"answer": {"enum": [YES, NO]}}, "required": ["answer"], "additionalProperties": False,
})  # fmt: skip
LONGEST = 2_000  # characters of an answer that are worth reading
LEAST = 1e-6  # the smaller of two probabilities, of which odds are made
_WORD = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_FIRST = re.compile(r"[\W_]*(?:answer\W+)?(yes|no)\b", re.IGNORECASE)


class Pair(NamedTuple):
    """Places of two rows, the smaller one first, and how much they are alike by whoever proposes them."""

    first: int
    second: int
    score: float


@dataclass(frozen=True)
class Asking:
    """How pairs are asked: greedily, with the tokens of `sampling`, in one order or both. `odds`: for one token, with its probability."""

    question: str
    sampling: Sampling
    orders: int
    seed: int
    odds: bool = False


@dataclass(frozen=True)
class Judged:
    pair: Pair
    answers: tuple[str, ...]  # yes · no · unreadable · failed, one an order
    request_ids: tuple[str, ...]
    odds: tuple[float | None, ...] = ()  # natural log-odds of yes, one an order, within ±14; None: unread, or no probability was told
    least: float | None = None  # mean odds from which on two are one; None: the words decide

    @property
    def agreed(self) -> bool:
        if self.least is None:
            return all(answer == YES for answer in self.answers)
        return self.sureness is not None and self.sureness >= self.least

    @property
    def sureness(self) -> float | None:
        """The mean over the orders, None where one is missing."""
        told = [odds for odds in self.odds if odds is not None]
        return sum(told) / len(told) if told and len(told) == len(self.odds) else None


def judged(pairs: Sequence[Pair], rows: Sequence[object], variable: str, labeller: Engine, asking: Asking) -> list[Judged]:
    """All pairs at once, in their order. `variable`: what the question calls the two of `rows`."""
    structured = not asking.odds and getattr(labeller, "structured", False)
    schema = ANSWER_SCHEMA if QUESTIONS.asks_json(asking.question) and structured else None
    greedy = replace(sampling_params(asking.sampling), temperature=0.0)
    if asking.odds:
        greedy = replace(greedy, max_tokens=1, logprobs=True)
    seed = seed_for(asking.seed, "templates", asking.question)
    requests = [
        Request(QUESTIONS.render(asking.question, **{variable: shown}, json=bool(schema)), greedy, seed=seed, schema=schema)
        for pair in pairs
        for shown in [(rows[pair.first], rows[pair.second]), (rows[pair.second], rows[pair.first])][: asking.orders]
    ]
    answers = iter(labeller.generate(requests))
    found = []
    for pair in pairs:
        own = [next(answers) for _ in range(asking.orders)]
        odds = tuple(map(read_odds, own)) if asking.odds else ()
        found.append(Judged(pair, tuple(map(read_answer, own)), tuple(answer.request_id for answer in own), odds))
    return found


def read_odds(completion: Completion) -> float | None:
    """Natural log-odds of yes, by the probability of the first token: what is not said is taken for the other word."""
    said = read_answer(completion)
    if said not in (YES, NO) or not completion.logprobs:
        return None
    first = min(completion.logprobs[0], 0.0)
    odds = log(max(exp(first), LEAST)) - log(max(-expm1(first), LEAST))
    return odds if said == YES else -odds


def read_answer(completion: Completion) -> str:
    """yes · no · unreadable · failed. JSON with an answer, or a text that begins with one of the two words and does not hold the other."""
    if completion.finish_reason == "error":
        return FAILED
    text = completion.text[:LONGEST]
    for document in objects_in(text):
        said = str(document.get("answer", "")).strip().lower()
        return said if said in (YES, NO) else UNREADABLE
    first, words = _FIRST.match(text), {word.lower() for word in _WORD.findall(text)}
    return first[1].lower() if first and len(words) == 1 else UNREADABLE


def united(count: int, found: Sequence[Judged]) -> list[int]:
    """For each of `count` rows the smallest row of its group."""
    groups = [{place} for place in range(count)]
    refused = {frozenset((item.pair.first, item.pair.second)) for item in found if not item.agreed}
    for item in sorted((item for item in found if item.agreed), key=lambda item: (-item.pair.score, item.pair)):
        one, other = groups[item.pair.first], groups[item.pair.second]
        if one is not other and not any(frozenset((here, there)) in refused for here in one for there in other):
            one |= other
            for place in other:
                groups[place] = one
    return [min(group) for group in groups]
