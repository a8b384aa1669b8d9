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
from typing import Any, Self
from urllib.parse import quote

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


class Store:
    """Safe to use from several threads and processes; one writes at a time."""

    def __init__(self, path: Path) -> None:
        """Opens or creates the file. Raises EngineError when it cannot be written to, is damaged, or is no store of this layout."""
        self.path, self.lock = path, threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(
                f"request store {path}: {error.strerror}: make its folder writable, or point FACTORY_STORE elsewhere"
            ) from None
        with self.explained():
            self.connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._known_layout()
            self._enter_wal()
            self.connection.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing, a power cut at most the last commits
            self.connection.execute("PRAGMA cache_size = -65536")  # KiB: the keys' index of a million answers stays in memory
            self.connection.execute("PRAGMA wal_autocheckpoint = 8192")  # pages: keys are random, so that many commits share pages
            if self._known_layout() != LAYOUT:
                self._lay_out()

    @classmethod
    def reader(cls, path: Path) -> Self:
        """To look and not to touch: needs no right to write. A store of an older layout is brought up to date first."""
        store = cls.__new__(cls)
        store.path, store.lock = path, threading.RLock()
        still = "" if Path(f"{path}-wal").exists() else "&immutable=1"  # no writer: SQLite needs no file beside it
        with store.explained():
            store.connection = sqlite3.connect(
                f"file:{quote(str(path))}?mode=ro{still}", timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True
            )
            if store._known_layout() == LAYOUT:
                return store
        store.close()
        return cls(path)

    def _known_layout(self) -> int:
        """0 for an empty file. Raises EngineError for a file of another program or version, before anything is changed in it."""
        query = "SELECT user_version, EXISTS (SELECT 1 FROM sqlite_master) FROM pragma_user_version"  # at once: another may just lay it out
        layout, filled = self.connection.execute(query).fetchone()
        if layout not in (0, *_UPGRADES, LAYOUT):
            raise EngineError(f"request store {self.path} has layout {layout}, this version reads {LAYOUT}: point FACTORY_STORE elsewhere")
        if not layout and filled:
            raise EngineError(f"request store {self.path} {_REMEDIES['SQLITE_NOTADB']}")
        return layout

    def _lay_out(self) -> None:
        with self.transaction():
            layout = self._known_layout()  # another process may have been first
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
    def explained(self) -> Iterator[None]:
        """One thread at a time, and SQLite's errors with their remedy."""
        try:
            with self.lock:
                yield
        except sqlite3.DatabaseError as error:
            name = getattr(error, "sqlite_errorname", "")
            remedy = next((text for start, text in _REMEDIES.items() if name.startswith(start)), "failed: point FACTORY_STORE elsewhere")
            raise EngineError(f"request store {self.path} {remedy} ({error})") from None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def find(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The stored answers among `keys`."""
        found = {}
        with self.explained():
            for begin in range(0, len(keys), _LOOKUP):
                part = keys[begin : begin + _LOOKUP]
                marks = ",".join("?" * len(part))
                for key, answer in self.connection.execute(f"SELECT key, answer FROM answers WHERE key IN ({marks})", part):
                    found[key] = self.unpack(answer)
        return found

    def add(self, stage: str, model: str, answers: Iterable[Answered], failures: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
        """Commit answers, and failures as key → reason. The first answer to a key stays: where another process was first, its answer is
        returned, and is the one to go on with."""
        now = time.time()
        rows = {
            item.key: (item.key, stage, model, now, item.prompt_tokens, item.completion_tokens, _pack(item.request), _pack(item.answer))
            for item in answers
        }
        lost = [(key, stage, model, now, reason, key) for key, reason in (failures or {}).items()]
        earlier: dict[str, dict[str, Any]] = {}
        with self.explained(), self.transaction():
            added = self.connection.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows.values()).rowcount
            if rows and added < len(rows):
                earlier = {key: document for key, document in self.find(list(rows)).items() if _pack(document) != rows[key][-1]}
            self.connection.executemany("DELETE FROM failures WHERE key = ?", [(key,) for key in rows])
            self.connection.executemany(
                "INSERT INTO failures SELECT ?, ?, ?, ?, 1, ? WHERE NOT EXISTS (SELECT 1 FROM answers WHERE key = ?)"
                " ON CONFLICT (key) DO UPDATE SET"
                " failed_at = excluded.failed_at, attempts = attempts + 1, reason = excluded.reason, stage = excluded.stage",
                lost,
            )
        return earlier

    def count(self, stage: str, hits: int = 0, misses: int = 0, seconds: float = 0.0) -> None:
        """Add lookups, and seconds in which a stage's requests were under way."""
        with self.explained(), self.transaction():
            self.connection.execute(
                "INSERT INTO lookups VALUES (?, ?, ?, ?) ON CONFLICT (stage) DO UPDATE SET"
                " hits = hits + excluded.hits, misses = misses + excluded.misses, seconds = seconds + excluded.seconds",
                (stage, hits, misses, seconds),
            )

    def unpack(self, blob: bytes) -> dict[str, Any]:
        try:
            return orjson.loads(zlib.decompress(blob))
        except (zlib.error, ValueError):
            raise EngineError(f"request store {self.path} {_REMEDIES['SQLITE_CORRUPT']}") from None


def _pack(document: dict[str, Any]) -> bytes:
    return zlib.compress(orjson.dumps(document), level=1)
