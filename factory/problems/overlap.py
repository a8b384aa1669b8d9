"""Which of many benchmark questions a text says, looked up by n-grams for a batch of texts at a time.

    Overlaps([Question(0, 0, Text.of("Janet's ducks lay 16 eggs …", 8), "18")]).find([("Solve: Janet's ducks lay 16 eggs …", "18")])
    → [Match(benchmark=0, at=0, evidence="verbatim", share=1.0)]

Grams of all benchmarks stand in one table. Pairs of a text and a question that share enough of them are few, and are compared word by word.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from factory.problems.grams import Batch, Postings, Words, unique_pairs
from factory.problems.wording import CONTAINED, FEWEST, LONG, Text, answers_agree, changed, reworded

REWORDED = 3  # tokens of a gram by which a reworded question is found
RARE = 32  # questions that have it, at most
FEWEST_RARE = 0.12  # share of a question's rare trigrams from which it is compared
CANDIDATES = 8  # questions a text is compared with


class Question(NamedTuple):
    """`benchmark`: its number; `at`: the question's in it."""

    benchmark: int
    at: int
    text: Text
    answer: str


class Match(NamedTuple):
    """`share`: of the question's n-grams (verbatim) or words (reworded) that the text has."""

    benchmark: int
    at: int
    evidence: Literal["verbatim", "reworded"]
    share: float


class Overlaps:
    """Of some questions. What it holds can be pickled."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self.questions = questions
        self.words = Words(question.text.words for question in questions)
        self._batch = self.words.numbered([question.text.words for question in questions])
        by_n, short = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
        for number, (_, _, text, _) in enumerate(questions):
            (by_n[text.n] if len(text.words) >= text.n else short[len(text.words)]).append(number)
        self._long = {n: self._postings(n, numbers) for n, numbers in sorted(by_n.items())}
        self._short = {size: self._postings(size, numbers) for size, numbers in sorted(short.items())}
        self._trigrams = Postings.of(*self._batch.grams(REWORDED), RARE)
        sizes = np.diff(self._trigrams.starts)
        # a rare trigram counts more: 1 where it stands in one question, 1/2 in three, …
        self._weights = 1 / np.log2(1 + sizes)
        self._total = np.bincount(self._trigrams.owners, np.repeat(self._weights, sizes), len(questions))

    def _postings(self, size: int, numbers: Sequence[int]) -> Postings:
        grams, owners = self._batch.grams(size)
        wanted = np.isin(owners, numbers)
        return Postings.of(grams[wanted], owners[wanted])

    def find(self, texts: Sequence[tuple[str, str]]) -> list[Match | None]:
        """The best match of each (text, answer): of the first benchmark that has it verbatim, else the surest reworded one."""
        compared = [Text.of(text, 0) for text, _ in texts]
        batch = self.words.numbered([text.words for text in compared])
        found: dict[int, list[Match]] = defaultdict(list)
        self._verbatim(compared, batch, found)
        self._reworded(texts, compared, batch, found)
        return [min(found[at], key=_preference) if at in found else None for at in range(len(texts))]

    def _verbatim(self, texts: Sequence[Text], batch: Batch, found: dict[int, list[Match]]) -> None:
        for size, postings in self._short.items():
            grams, of = batch.grams(size)
            for at, number, _ in zip(*map(np.ndarray.tolist, postings.found(grams, of)), strict=True):
                if size >= FEWEST or len(texts[at].words) == size or sum(map(len, self.questions[number].text.words)) >= LONG:
                    found[at].append(self._match(number, "verbatim", 1.0))
        for n, postings in self._long.items():
            grams, of = batch.grams(n)
            at, numbers, shared = postings.found(grams, of)
            asked = np.isin(of, np.unique(at))
            own = np.bincount(unique_pairs(of[asked], grams[asked])[0], minlength=len(texts))  # different grams of each text
            sizes = np.bincount(postings.owners, minlength=len(self.questions))
            enough = shared >= CONTAINED * np.minimum(sizes[numbers], own[at])
            for text, number, count in zip(at[enough].tolist(), numbers[enough].tolist(), shared[enough].tolist(), strict=True):
                question = self.questions[number].text
                if question.within(texts[text]) or texts[text].within(question) or not changed(question, texts[text]):
                    found[text].append(self._match(number, "verbatim", count / int(sizes[number])))

    def _reworded(self, given: Sequence[tuple[str, str]], texts: Sequence[Text], batch: Batch, found: dict[int, list[Match]]) -> None:
        grams, of = batch.grams(REWORDED)
        at, numbers, weights = self._trigrams.found(grams, of, self._weights)
        shares = weights / self._total[numbers]
        enough = shares >= FEWEST_RARE
        order = np.lexsort((numbers[enough], -shares[enough], at[enough]))
        asked: dict[int, int] = defaultdict(int)
        for text, number, share in zip(*(column[enough][order].tolist() for column in (at, numbers, shares)), strict=True):
            if text in found or asked[text] == CANDIDATES:
                continue
            asked[text] += 1
            question = self.questions[number]
            if sure := reworded(question.text, texts[text], share, answers_agree(question.answer, given[text][1])):
                found[text].append(self._match(number, "reworded", sure))

    def _match(self, number: int, evidence: Literal["verbatim", "reworded"], share: float) -> Match:
        return Match(self.questions[number].benchmark, self.questions[number].at, evidence, share)


def _preference(match: Match) -> tuple[bool, int, float, int]:
    verbatim = match.evidence == "verbatim"
    return not verbatim, match.benchmark if verbatim else 0, -match.share, match.at
