"""Which batches a provider has under way, and which requests are in each: written down before anything is waited for.

    book = BatchBook(store, "o3@2025-04", "https://api.openai.com/v1")
    book.begin("5b1c…", "rollouts_base", ["9f0c…", "77ab…"])     # before the provider is asked
    book.submitted("5b1c…", "batch_68a1")                        # … and when it has answered
    book.held()                                                 → {"9f0c…": "5b1c…", "77ab…": "5b1c…"}

Two tables beside the answers of the request store. A batch without a name may or may not be at the provider: a kill came between the two
lines above, and its tag, which the provider is sent as metadata, finds it in the list there. A request leaves the book when its answer is
in the store, or when its batch has ended without one; those that nobody asks for any more stay in it, and are found when somebody does.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from factory.engines.store import Store

_TABLES = (
    """CREATE TABLE IF NOT EXISTS batches (
    tag TEXT PRIMARY KEY, stage TEXT NOT NULL, model TEXT NOT NULL, url TEXT NOT NULL, name TEXT, begun_at REAL NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS batch_requests (key TEXT PRIMARY KEY, tag TEXT NOT NULL, line INTEGER NOT NULL) WITHOUT ROWID",
)
_EMPTY = "DELETE FROM batches WHERE NOT EXISTS (SELECT 1 FROM batch_requests WHERE tag = batches.tag)"


@dataclass(frozen=True)
class Batch:
    """`name`: the provider's; None where it is not known whether it has it."""

    tag: str
    stage: str
    model: str
    url: str
    name: str | None
    begun_at: float  # seconds since 1970
    requests: int  # without an answer in the store


def there(store: Store) -> bool:
    with store.explained():
        return bool(store.connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'batch_requests'").fetchone())


def batches(store: Store, where: str = "1", values: Sequence[object] = ()) -> list[Batch]:
    """Those that still owe an answer, oldest first; none of a store without a book."""
    if not there(store):
        return []
    query = f"""SELECT tag, stage, model, url, name, begun_at, count(*) FROM batches JOIN batch_requests USING (tag)
        WHERE {where} AND NOT EXISTS (SELECT 1 FROM answers WHERE key = batch_requests.key) GROUP BY tag ORDER BY begun_at"""
    with store.explained():
        return [Batch(*row) for row in store.connection.execute(query, tuple(values))]


def forget(store: Store, tag: str) -> None:
    with store.explained(), store.transaction():
        store.connection.execute("DELETE FROM batch_requests WHERE tag = ?", (tag,))
        store.connection.execute("DELETE FROM batches WHERE tag = ?", (tag,))


class BatchBook:
    """Of one model at one address."""

    def __init__(self, store: Store, model: str, url: str) -> None:
        self.store, self.model, self.url = store, model, url
        with store.explained(), store.transaction():
            for table in _TABLES:
                store.connection.execute(table)
            # what a kill between the commit of an answer and that of the book left here
            store.connection.execute("DELETE FROM batch_requests WHERE EXISTS (SELECT 1 FROM answers WHERE key = batch_requests.key)")
            store.connection.execute(_EMPTY)

    def open(self) -> list[Batch]:
        return batches(self.store, "model = ? AND url = ?", (self.model, self.url))

    def held(self) -> dict[str, str]:
        """Request → tag of its batch."""
        query = "SELECT key, tag FROM batch_requests JOIN batches USING (tag) WHERE model = ? AND url = ?"
        with self.store.explained():
            return dict(self.store.connection.execute(query, (self.model, self.url)).fetchall())

    def lines(self, tag: str) -> dict[int, str]:
        """Line of the input file, from 1 → request, of those without an answer."""
        with self.store.explained():
            return dict(self.store.connection.execute("SELECT line, key FROM batch_requests WHERE tag = ?", (tag,)).fetchall())

    def begin(self, tag: str, stage: str, keys: Sequence[str]) -> None:
        rows = [(key, tag, line) for line, key in enumerate(keys, 1)]
        with self.store.explained(), self.store.transaction():
            self.store.connection.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, NULL, ?)", (tag, stage, self.model, self.url, time.time())
            )
            self.store.connection.executemany("INSERT OR REPLACE INTO batch_requests VALUES (?, ?, ?)", rows)

    def submitted(self, tag: str, name: str) -> None:
        with self.store.explained(), self.store.transaction():
            self.store.connection.execute("UPDATE batches SET name = ? WHERE tag = ?", (name, tag))

    def done(self, tag: str, keys: Iterable[str]) -> None:
        """Requests that have an answer, or get none from this batch; with the last of them the batch leaves the book."""
        with self.store.explained(), self.store.transaction():
            self.store.connection.executemany("DELETE FROM batch_requests WHERE key = ? AND tag = ?", [(key, tag) for key in keys])
            self.store.connection.execute(f"{_EMPTY} AND tag = ?", (tag,))
