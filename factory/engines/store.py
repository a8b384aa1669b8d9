"""The durable store of requests: what was once answered is never asked again, whatever kills the process.

One SQLite file (WAL, one transaction a chunk, safe from several processes at once, not on a network file system), outside DVC's
outs. A row of `answers`:

    key 9f0c…  stage rollouts  model base@1c3f…  prompt_tokens 19  completion_tokens 12  request, answer: JSON, compressed

The key is a hash of everything that decides an answer (keys.py). Raw answers are stored, so that parsing can change and
replay for free. A failure is no answer: it is written down with its reason and asked again in the next run.
"""

import contextlib
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import platformdirs

from factory.errors import EngineError

LAYOUT = 2
BUSY_SECONDS = 60.0  # how long a writer waits for another process
_LOOKUP = 500  # keys of one SELECT

_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, stage TEXT NOT NULL, model TEXT NOT NULL, made_at REAL NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, request BLOB NOT NULL, answer BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS failures (
    key TEXT PRIMARY KEY, stage TEXT NOT NULL, model TEXT NOT NULL, failed_at REAL NOT NULL, attempts INTEGER NOT NULL,
    reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS lookups (
    stage TEXT PRIMARY KEY, hits INTEGER NOT NULL, misses INTEGER NOT NULL, seconds REAL NOT NULL DEFAULT 0);
"""
_UPGRADES = {1: "ALTER TABLE lookups ADD COLUMN seconds REAL NOT NULL DEFAULT 0"}

_REMEDIES = {
    "SQLITE_READONLY": "cannot be written to: make it and its folder writable, or point FACTORY_STORE elsewhere",
    "SQLITE_CANTOPEN": "cannot be opened: check the path and its permissions, or point FACTORY_STORE elsewhere",
    "SQLITE_FULL": "has no room left: free disk space and run again, nothing answered is lost",
    "SQLITE_BUSY": f"has been locked by another process for {BUSY_SECONDS:.0f} s: let it finish or end it, then run again",
    "SQLITE_NOTADB": "is no request store: point FACTORY_STORE elsewhere or move the file away",
    "SQLITE_CORRUPT": "is damaged: move it away (its answers will be asked for again) or restore a copy",
    "SQLITE_IOERR": "cannot be read or written: check the disk, or point FACTORY_STORE elsewhere",
}


def default_path() -> Path:
    """FACTORY_STORE, or `requests.sqlite` in the user's cache. Raises EngineError for a relative FACTORY_STORE."""
    if not (given := os.environ.get("FACTORY_STORE")):
        return platformdirs.user_cache_path("coat-factory") / "requests.sqlite"
    if not Path(given).is_absolute():
        raise EngineError(f"FACTORY_STORE is {given!r}: expected an absolute path of a file, so that all copies of a project share it")
    return Path(given)


@dataclass(frozen=True)
class Answered:
    """An answer on its way into the store; `answer` and `request` are JSON documents."""

    key: str
    request: dict[str, Any]
    answer: dict[str, Any]
    prompt_tokens: int = 0
    completion_tokens: int = 0


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


class Store:
    def __init__(self, path: Path) -> None:
        """Opens or creates the file. Raises EngineError when it cannot be written to, is damaged, or is of another layout."""
        self.path, self.lock = path, threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(
                f"request store {path}: {error.strerror}: make its folder writable, or point FACTORY_STORE elsewhere"
            ) from None
        with self._explained():
            self.connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._enter_wal()
            self.connection.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing, a power cut at most the last commits
            self.connection.execute("PRAGMA cache_size = -65536")  # KiB: the keys' index of a million answers stays in memory
            self.connection.execute("PRAGMA wal_autocheckpoint = 8192")  # pages: keys are random, so that many commits share pages
            with self._transaction():
                layout = self.connection.execute("PRAGMA user_version").fetchone()[0]
                if layout not in (0, *_UPGRADES, LAYOUT):
                    raise EngineError(
                        f"request store {path} has layout {layout}, this version reads {LAYOUT}: point FACTORY_STORE elsewhere"
                    )
                for statement in [*filter(str.strip, _TABLES.split(";")), *(_UPGRADES[step] for step in range(layout or LAYOUT, LAYOUT))]:
                    self.connection.execute(statement)
                self.connection.execute(f"PRAGMA user_version = {LAYOUT}")

    def close(self) -> None:
        """After the last thread has done with it; what comes later is an EngineError."""
        with self.lock:
            self.connection.close()

    def _enter_wal(self) -> None:
        """Two processes that create the file at once: SQLite answers the second with "locked" at once, whatever its timeout."""
        until = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > until:
                    raise
                time.sleep(0.05)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """One thread at a time, and SQLite's errors with their remedy."""
        try:
            with self.lock:
                yield
        except sqlite3.DatabaseError as error:
            name = getattr(error, "sqlite_errorname", "")
            remedy = next((text for start, text in _REMEDIES.items() if name.startswith(start)), "failed: point FACTORY_STORE elsewhere")
            raise EngineError(f"request store {self.path} {remedy} ({error})") from None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def find(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The stored answers among `keys`."""
        found = {}
        with self._explained():
            for begin in range(0, len(keys), _LOOKUP):
                part = keys[begin : begin + _LOOKUP]
                marks = ",".join("?" * len(part))
                for key, answer in self.connection.execute(f"SELECT key, answer FROM answers WHERE key IN ({marks})", part):
                    found[key] = self._unpack(answer)
        return found

    def request(self, key: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """What was asked and what was answered under a row's request id, None for an unknown one."""
        with self._explained():
            row = self.connection.execute("SELECT request, answer FROM answers WHERE key = ?", (key,)).fetchone()
        return (self._unpack(row[0]), self._unpack(row[1])) if row else None

    def add(self, stage: str, model: str, answers: Iterable[Answered], failures: dict[str, str] | None = None) -> None:
        """Commit a chunk: answers, and failures as key → reason. The first answer to a key stays."""
        now = time.time()
        rows = [
            (item.key, stage, model, now, item.prompt_tokens, item.completion_tokens, _pack(item.request), _pack(item.answer))
            for item in answers
        ]
        lost = [(key, stage, model, now, reason) for key, reason in (failures or {}).items()]
        with self._explained(), self._transaction():
            self.connection.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self.connection.executemany("DELETE FROM failures WHERE key = ?", [(row[0],) for row in rows])
            self.connection.executemany(
                "INSERT INTO failures VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT (key) DO UPDATE SET"
                " failed_at = excluded.failed_at, attempts = attempts + 1, reason = excluded.reason, stage = excluded.stage",
                lost,
            )

    def count(self, stage: str, hits: int = 0, misses: int = 0, seconds: float = 0.0) -> None:
        """Add lookups, and seconds in which a stage's requests were under way."""
        with self._explained(), self._transaction():
            self.connection.execute(
                "INSERT INTO lookups VALUES (?, ?, ?, ?) ON CONFLICT (stage) DO UPDATE SET"
                " hits = hits + excluded.hits, misses = misses + excluded.misses, seconds = seconds + excluded.seconds",
                (stage, hits, misses, seconds),
            )

    def failures(self) -> list[tuple[str, str, int, str]]:
        """(key, stage, attempts, reason) of every request that stays unanswered."""
        with self._explained():
            return self.connection.execute("SELECT key, stage, attempts, reason FROM failures ORDER BY stage, key").fetchall()

    def usage(self) -> list[StageUsage]:
        query = """
            SELECT stage, coalesce(requests, 0), coalesce(prompt, 0), coalesce(completion, 0), coalesce(failed, 0), coalesce(bytes, 0),
                coalesce(hits, 0), coalesce(misses, 0), coalesce(seconds, 0)
            FROM (SELECT stage FROM answers UNION SELECT stage FROM failures UNION SELECT stage FROM lookups)
            LEFT JOIN (SELECT stage, count(*) AS requests, sum(prompt_tokens) AS prompt, sum(completion_tokens) AS completion,
                sum(length(request) + length(answer)) AS bytes FROM answers GROUP BY stage) USING (stage)
            LEFT JOIN (SELECT stage, count(*) AS failed FROM failures GROUP BY stage) USING (stage)
            LEFT JOIN lookups USING (stage) ORDER BY stage"""
        with self._explained():
            return [StageUsage(*row) for row in self.connection.execute(query)]

    def spent(self) -> list[tuple[str, str, int, int]]:
        """(stage, model, prompt tokens, completion tokens) of everything answered."""
        query = "SELECT stage, model, sum(prompt_tokens), sum(completion_tokens) FROM answers GROUP BY stage, model ORDER BY stage, model"
        with self._explained():
            return self.connection.execute(query).fetchall()

    def entries(self, chosen: Chosen, limit: int = -1) -> Iterator[Entry]:
        """Answered requests in the order in which they landed; memory stays flat however many there are."""
        columns = "key, stage, model, made_at, prompt_tokens, completion_tokens, request, answer"
        where, values = chosen.clause()
        with self._explained():
            for row in self.connection.execute(f"SELECT {columns} FROM answers WHERE {where} ORDER BY rowid LIMIT ?", (*values, limit)):
                key, stage, model, made_at, prompt, completion, request, answer = row
                yield Entry(key, stage, model, made_at, prompt, completion, self._unpack(request), self._unpack(answer))

    def count_entries(self, chosen: Chosen) -> int:
        where, values = chosen.clause()
        with self._explained():
            return self.connection.execute(f"SELECT count(*) FROM answers WHERE {where}", values).fetchone()[0]

    def vacuum(self, dropped: Chosen | None = None) -> tuple[int, int]:
        """Forget some answers for good, and give their space back to the disk. Returns (answers dropped, bytes given back)."""
        before = self._bytes()
        with self._explained():
            count = 0
            if dropped:
                where, values = dropped.clause()
                with self._transaction():
                    count = self.connection.execute(f"DELETE FROM answers WHERE {where}", values).rowcount
            self.connection.execute("VACUUM")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return count, before - self._bytes()

    def _bytes(self) -> int:
        return sum(file.stat().st_size for file in self.path.parent.glob(f"{self.path.name}*"))

    def _unpack(self, blob: bytes) -> dict[str, Any]:
        try:
            return orjson.loads(zlib.decompress(blob))
        except (zlib.error, ValueError):
            raise EngineError(f"request store {self.path} {_REMEDIES['SQLITE_CORRUPT']}") from None


def stats(path: Path) -> list[StageUsage]:
    """Usage per stage, [] when there is no store yet."""
    if not path.exists():
        return []
    store = Store(path)
    try:
        return store.usage()
    finally:
        store.close()


def spent(path: Path) -> list[tuple[str, str, int, int]]:
    """(stage, model, prompt tokens, completion tokens) of everything answered, [] when there is no store yet."""
    if not path.exists():
        return []
    store = Store(path)
    try:
        return store.spent()
    finally:
        store.close()


def _pack(document: dict[str, Any]) -> bytes:
    return zlib.compress(orjson.dumps(document, default=str), level=1)
