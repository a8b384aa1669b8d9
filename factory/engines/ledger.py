"""What the request store holds, for people: usage by stage, single requests, what failed, and forgetting.

Ledger.reader(default_path()).usage()    → [StageUsage(stage="rollouts_base", requests=3600, prompt_tokens=421508, …), …]
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from factory.engines.store import Store

Row = TypeVar("Row")


@dataclass(frozen=True)
class StageUsage:
    """What one stage has cost so far. `hits` and `misses` count lookups over all runs, `failures` requests that stay unanswered."""

    stage: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    failures: int
    bytes: int
    hits: int
    misses: int
    seconds: float  # in which its requests were under way
    reused: int = 0  # answers that were made under another max_tokens: among the hits


@dataclass(frozen=True)
class Entry:
    """One answered request as it is stored."""

    key: str
    stage: str
    model: str
    made_at: float  # seconds since 1970
    prompt_tokens: int
    completion_tokens: int
    request: dict[str, Any]
    answer: dict[str, Any]


@dataclass(frozen=True)
class Chosen:
    """Which answers: all that fit every field that is given."""

    key: str = ""  # how it begins
    stage: str = ""
    model: str = ""
    before: float | None = None  # seconds since 1970

    def clause(self) -> tuple[str, tuple[object, ...]]:
        beyond = self.key and self.key + "g"  # keys are hex digits
        parts = {"key >= ?": self.key, "key < ?": beyond, "stage = ?": self.stage, "model = ?": self.model, "made_at < ?": self.before}
        given = {text: value for text, value in parts.items() if value}
        return " AND ".join(["1", *given]), tuple(given.values())


class Ledger(Store):
    """The store with its books open."""

    def failures(self) -> list[tuple[str, str, int, str]]:
        """(key, stage, attempts, reason) of every request that stays unanswered."""
        with self.explained():
            return self.connection.execute("SELECT key, stage, attempts, reason FROM failures ORDER BY stage, key").fetchall()

    def usage(self) -> list[StageUsage]:
        query = """
            SELECT stage, coalesce(requests, 0), coalesce(prompt, 0), coalesce(completion, 0), coalesce(failed, 0), coalesce(bytes, 0),
                coalesce(hits, 0), coalesce(misses, 0), coalesce(seconds, 0), coalesce(reused, 0)
            FROM (SELECT stage FROM answers UNION SELECT stage FROM failures UNION SELECT stage FROM lookups)
            LEFT JOIN (SELECT stage, count(*) AS requests, sum(prompt_tokens) AS prompt, sum(completion_tokens) AS completion,
                sum(length(request) + length(answer)) AS bytes FROM answers GROUP BY stage) USING (stage)
            LEFT JOIN (SELECT stage, count(*) AS failed FROM failures GROUP BY stage) USING (stage)
            LEFT JOIN lookups USING (stage)
            LEFT JOIN (SELECT stage, sum(reused) AS reused FROM {limits} GROUP BY stage) USING (stage) ORDER BY stage"""
        with self.explained():
            there = self.connection.execute(
                "SELECT 1 FROM sqlite_master WHERE name = 'limits'"
            ).fetchone()  # from the first run that needs it
            limits = "limits" if there else "(SELECT '' AS stage, 0 AS reused)"
            return [StageUsage(*row) for row in self.connection.execute(query.format(limits=limits))]

    def limits(self) -> dict[tuple[str, str], set[int]]:
        """(stage, model) → every max_tokens under which it was asked, as far as limits.py knows."""
        found: dict[tuple[str, str], set[int]] = {}
        with self.explained():
            if self.connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'limits'").fetchone():
                for stage, model, limit in self.connection.execute("SELECT stage, model, max_tokens FROM limits"):
                    found.setdefault((stage, model), set()).add(limit)
        return found

    def spent(self) -> list[tuple[str, str, int, int]]:
        """(stage, model, prompt tokens, completion tokens) of everything answered."""
        query = "SELECT stage, model, sum(prompt_tokens), sum(completion_tokens) FROM answers GROUP BY stage, model ORDER BY stage, model"
        with self.explained():
            return self.connection.execute(query).fetchall()

    def entries(self, chosen: Chosen, limit: int = -1) -> Iterator[Entry]:
        """Answered requests in the order in which they landed; memory stays flat however many there are."""
        columns = "key, stage, model, made_at, prompt_tokens, completion_tokens, request, answer"
        where, values = chosen.clause()
        with self.explained():
            for row in self.connection.execute(f"SELECT {columns} FROM answers WHERE {where} ORDER BY rowid LIMIT ?", (*values, limit)):
                key, stage, model, made_at, prompt, completion, request, answer = row
                yield Entry(key, stage, model, made_at, prompt, completion, self.unpack(request), self.unpack(answer))

    def count_entries(self, chosen: Chosen) -> int:
        where, values = chosen.clause()
        with self.explained():
            return self.connection.execute(f"SELECT count(*) FROM answers WHERE {where}", values).fetchone()[0]

    def vacuum(self, dropped: Chosen | None = None) -> tuple[int, int]:
        """Forget some answers for good, and give their space back to the disk. Returns (answers dropped, bytes given back)."""
        before = self._bytes()
        with self.explained():
            count = 0
            if dropped:
                where, values = dropped.clause()
                with self.transaction():
                    count = self.connection.execute(f"DELETE FROM answers WHERE {where}", values).rowcount
                    self.connection.execute(f"DELETE FROM failures WHERE {where.replace('made_at', 'failed_at')}", values)
            self.connection.execute("VACUUM")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return count, before - self._bytes()

    def _bytes(self) -> int:
        return sum(file.stat().st_size for file in self.path.parent.glob(f"{self.path.name}*"))


def stats(path: Path) -> list[StageUsage]:
    """Usage per stage, [] when there is no store yet."""
    return _read(path, Ledger.usage)


def spent(path: Path) -> list[tuple[str, str, int, int]]:
    """(stage, model, prompt tokens, completion tokens) of everything answered, [] when there is no store yet."""
    return _read(path, Ledger.spent)


def _read(path: Path, look: Callable[[Ledger], list[Row]]) -> list[Row]:
    if not path.exists():
        return []
    with closing(Ledger.reader(path)) as ledger:
        return look(ledger)
