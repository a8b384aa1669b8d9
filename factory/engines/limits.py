"""Answers that were made under another `max_tokens` and are the same under the one that is asked for now.

    limits = Limits(store, "rollouts_base", "base@1c3f…")
    limits.find({"77ab…": request of max_tokens 512}, key_of)     → {"77ab…": ("9f0c…", {"text": "3 + 4 = 7\\n", …})}, made under 256

`max_tokens` is part of a request's key, and stays it: rows name the key under which their answer was really made, so that a row whose
answer did not change keeps its request_ids and its id, and nothing behind it is asked again. An answer that ended by itself fits every
larger limit; it fits a smaller one if it and the token that ended it are no longer than that. What was cut fits no other limit.

Which limits a stage has asked a model under is a small table beside the answers, so that a look-up needs their keys and no index. A store
of before is read through once. Limits that only this run uses are not looked at: a killed run and a whole one give the same rows.

Exact where a seed gives the same beginning whatever the limit: greedy answers, and `transformers` (a generator a row). On vLLM and on
servers that take seeds, up to rounding. Where no seed is sent, what was cut is drawn anew and may end by itself this time, so that
answers are a little shorter than drawn afresh: of a share p that ends under the old limit, p + (1 - p)p instead of p.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from factory.engines.protocol import Request
from factory.engines.store import Store

NEAREST = 8  # limits that are looked at, where a stage has asked under many

_TABLE = """CREATE TABLE IF NOT EXISTS limits (
    stage TEXT NOT NULL, model TEXT NOT NULL, max_tokens INTEGER NOT NULL, reused INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (stage, model, max_tokens)) WITHOUT ROWID"""


def fits(answer: Mapping[str, Any], made_under: int, wanted: int) -> bool:
    """Whether a stored answer is one under the limit `wanted` too."""
    if answer.get("finish_reason") != "stop":
        return False
    if made_under <= wanted:
        return True
    counted = answer.get("counted")
    tokens = len(answer["token_ids"]) if counted is None else counted
    empty = not (answer["text"] or answer.get("reasoning"))
    return (tokens > 0 or empty) and tokens < wanted  # the token that ends it has a place too; where nobody tells tokens: no


class Limits:
    """Of one stage and model. Safe from several threads."""

    def __init__(self, store: Store, stage: str, model: str) -> None:
        self.store, self.stage, self.model = store, stage, model
        self.before: list[int] | None = None  # limits of earlier runs
        self.noted: set[int] = set()
        self.reused: dict[tuple[int, int], int] = {}  # (made under, wanted) → answers

    def find(self, missing: Mapping[str, Request], key_of: Callable[[Request], str]) -> dict[str, tuple[str, dict[str, Any]]]:
        """Of requests without an answer: key → (the key of an answer that fits, the answer). Writes down the limits of all."""
        if self.before is None:
            self.before = self._open()
        self._note({request.sampling.max_tokens for request in missing.values()})
        others: dict[str, int] = {}  # key under another limit → that limit
        ranks: dict[str, list[str]] = {}
        for key, request in missing.items():
            limits = self._nearest(request.sampling.max_tokens) if not request.sampling.ignore_eos else []
            ranks[key] = [key_of(replace(request, sampling=replace(request.sampling, max_tokens=limit))) for limit in limits]
            others |= zip(ranks[key], limits, strict=True)
        stored = self.store.find(list(others)) if others else {}
        found: dict[str, tuple[str, dict[str, Any]]] = {}
        used: dict[int, int] = {}
        for key, candidates in ranks.items():
            wanted = missing[key].sampling.max_tokens
            for other in candidates:
                if other in stored and fits(stored[other], limit := others[other], wanted):
                    found[key] = other, stored[other]
                    used[limit] = used.get(limit, 0) + 1
                    self.reused[limit, wanted] = self.reused.get((limit, wanted), 0) + 1
                    break
        self._count(used)
        return found

    def told(self) -> list[str]:
        """A line for people about each pair of limits."""
        return [
            f"{count:,} answers made under max_tokens {made:,} ended by themselves and serve {wanted:,}; what was cut is asked again"
            for (made, wanted), count in sorted(self.reused.items())
        ]

    def _nearest(self, wanted: int) -> list[int]:
        """Those of earlier runs: smaller ones first, the largest of them first of all."""
        near = sorted((limit for limit in self.before or () if limit != wanted), key=lambda limit: abs(limit - wanted))[:NEAREST]
        return sorted(near, key=lambda limit: (limit > wanted, abs(limit - wanted)))

    def _open(self) -> list[int]:
        query = "SELECT max_tokens FROM limits WHERE stage = ? AND model = ? ORDER BY max_tokens"
        with self.store.explained():
            if not self.store.connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'limits'").fetchone():
                earlier = self._read_through()
                with self.store.transaction():
                    self.store.connection.execute(_TABLE)
                    self.store.connection.executemany("INSERT OR IGNORE INTO limits (stage, model, max_tokens) VALUES (?, ?, ?)", earlier)
            return [limit for (limit,) in self.store.connection.execute(query, (self.stage, self.model))]

    def _read_through(self) -> set[tuple[str, str, int]]:
        """(stage, model, max_tokens) of all answers in a store that has no table of them yet; about 6 s a million."""
        rows = self.store.connection.execute("SELECT stage, model, request FROM answers")
        asked = ((stage, model, self.store.unpack(request).get("max_tokens")) for stage, model, request in rows)
        return {(stage, model, limit) for stage, model, limit in asked if isinstance(limit, int)}

    def _note(self, limits: Iterable[int]) -> None:
        if not (fresh := set(limits) - self.noted):
            return
        self.noted |= fresh
        rows = [(self.stage, self.model, limit) for limit in fresh - set(self.before or ())]
        if rows:
            with self.store.explained(), self.store.transaction():
                self.store.connection.executemany("INSERT OR IGNORE INTO limits (stage, model, max_tokens) VALUES (?, ?, ?)", rows)

    def _count(self, used: Mapping[int, int]) -> None:
        if used:
            rows = [(count, self.stage, self.model, limit) for limit, count in used.items()]
            with self.store.explained(), self.store.transaction():
                self.store.connection.executemany(
                    "UPDATE limits SET reused = reused + ? WHERE stage = ? AND model = ? AND max_tokens = ?", rows
                )
