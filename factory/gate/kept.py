"""Rows of another table that an audited one names, on disk: only those rows, only the columns that checks need, in memory none.

    kept = keep(Folder(AUDITS, "restarts_r1"), "rollouts", TABLES / "rollouts_r1.parquet", Rollout, ("problem_id", "completion"), {"51aa…"})
    kept["51aa…"].completion      → "12 + 7 = 19\\n…"
    kept["51aa…"].seed            → AttributeError: nobody said that it is needed

A mapping like any other, that travels to other processes as its folder: `ids.npy` (sorted, mapped into memory), `places.npy` and the rows
of each row group as JSON one behind the other.
"""

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import orjson

from factory.errors import DataError
from factory.gate.source import Part, Source
from factory.problems.processes import mapped
from factory.schemas import Row, field_types

V = TypeVar("V")
RECENT = 2_000  # rows in memory: neighbours ask for the same


class Folder:
    """A folder for kept rows that is gone with the last of them; what a killed process left is gone with the next one of the same name."""

    def __init__(self, place: Path, name: str) -> None:
        place.mkdir(parents=True, exist_ok=True)
        for left in place.glob(f".{name}.kept.*"):
            shutil.rmtree(left, ignore_errors=True)
        self._held = tempfile.TemporaryDirectory(prefix=f".{name}.kept.", dir=place)
        self.path = Path(self._held.name).absolute()


class Piece(NamedTuple):
    """Of a row group: the ids of its rows that are kept, and where each ends in the group's file."""

    ids: np.ndarray  # (rows,) bytes
    ends: np.ndarray  # (rows,) int64


class Kept(Mapping[str, V], Generic[V]):
    """`row_type` None: the values are those of the one column."""

    def __init__(self, folder: Path, row_type: type[Row] | None, columns: tuple[str, ...], held: Folder | None = None) -> None:
        self.folder, self.row_type, self.columns, self._held = folder, row_type, columns, held
        self._open()

    def _open(self) -> None:
        self._ids = np.load(self.folder / "ids.npy", mmap_mode="r")
        self._places = np.load(self.folder / "places.npy", mmap_mode="r")  # (rows, 3): file, start, length
        self._files: dict[int, int] = {}
        self._recent: dict[str, V] = {}
        self._lists = [place for place, name in enumerate(self.columns) if _is_tuple(self.row_type, name)]

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "row_type": self.row_type, "columns": self.columns}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def __getitem__(self, key: str) -> V:
        if (found := self._recent.get(key)) is not None:
            return found
        name = key.encode() if isinstance(key, str) else b""
        if not name or len(name) > self._ids.dtype.itemsize:
            raise KeyError(key)
        place = int(np.searchsorted(self._ids, np.array(name, self._ids.dtype)))
        if place == len(self._ids) or self._ids[place] != name:
            raise KeyError(key)
        if len(self._recent) >= RECENT:
            self._recent.clear()
        value = self._recent[key] = self._read(place, key)
        return value

    def _read(self, place: int, key: str) -> V:
        number, start, length = map(int, self._places[place])
        if number not in self._files:
            self._files[number] = os.open(self.folder / f"{number:05d}.rows", os.O_RDONLY)
        values = orjson.loads(os.pread(self._files[number], length, start))
        if self.row_type is None:
            return values[0]
        for place in self._lists:
            values[place] = tuple(values[place])
        row = object.__new__(self.row_type)
        row.__dict__.update(zip(self.columns, values), id=key)
        return row  # type: ignore[return-value]

    def __iter__(self) -> Iterator[str]:
        return (key.decode() for key in self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __del__(self) -> None:
        for file in self.__dict__.get("_files", {}).values():
            os.close(file)


def _is_tuple(row_type: type[Row] | None, name: str) -> bool:
    return row_type is not None and getattr(field_types(row_type)[name], "__origin__", None) is tuple


def keep(
    held: Folder, name: str, path: Path, row_type: type[Row], columns: Sequence[str], wanted: Collection[str], *, by: str = "id",
    processes: int | None = None,
) -> Kept[Any]:  # fmt: skip
    """The rows of `path` whose `by` is among `wanted`. `by` another column than "id": its values have one `columns` value each, the last
    one counts. Raises DataError where the table cannot be read or lacks a column."""
    folder, source = held.path / name, Source(path)
    folder.mkdir()
    np.save(folder / "wanted.npy", names(wanted))
    chosen = tuple(name for name in columns if name != "id")
    lack = [name for name in (by, *chosen) if name not in source.schema.names]
    if lack:
        raise DataError(f"{path} lacks the column {', '.join(lack)}; it has {', '.join(source.schema.names)}")
    work = partial(_kept, folder, source, by, chosen, by == "id")
    pieces = list(mapped(work, list(enumerate(source.parts)), source.processes(processes)))
    ids = np.concatenate([piece.ids for piece in pieces]) if pieces else np.empty(0, "S1")
    places = np.concatenate([_places(number, piece.ends) for number, piece in enumerate(pieces)]) if pieces else np.empty((0, 3), np.int64)
    order = np.argsort(ids, kind="stable")
    ids, places = ids[order], places[order]
    last = np.append(ids[1:] != ids[:-1], True) if len(ids) else np.empty(0, bool)
    np.save(folder / "ids.npy", ids[last])
    np.save(folder / "places.npy", places[last])
    return Kept(folder, row_type if by == "id" else None, chosen, held)


def names(ids: Collection[str]) -> np.ndarray:
    """(n,) bytes, sorted."""
    found = np.array([key.encode() for key in ids] or [b""])
    found.sort()
    return found


def _places(number: int, ends: np.ndarray) -> np.ndarray:
    """(rows, 3): file, start, length."""
    starts = np.append(np.zeros(1, np.int64), ends[:-1]) if len(ends) else ends
    return np.stack([np.full(len(ends), number), starts, ends - starts], axis=1)


def _kept(folder: Path, source: Source, by: str, columns: tuple[str, ...], whole: bool, task: tuple[int, Part]) -> Piece:
    number, part = task
    wanted = np.load(folder / "wanted.npy", mmap_mode="r")
    ids: list[bytes] = []
    ends: list[int] = []
    end = 0
    with (folder / f"{number:05d}.rows").open("wb") as file:
        for batch in source.batches(part, [by, *columns], 10_000):
            keys = np.array([(key or "").encode() for key in batch.column(0).to_pylist()])
            found = np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)
            inside = np.flatnonzero((wanted[found] == keys) & (keys != b""))
            if not whole:  # of equal neighbours one is enough
                inside = inside[np.append(keys[inside][1:] != keys[inside][:-1], True)] if len(inside) else inside
            values = [batch.column(place).take(inside).to_pylist() for place in range(1, 1 + len(columns))]
            for key, *row in zip(keys[inside].tolist(), *values):
                text = orjson.dumps(row)
                file.write(text)
                end += len(text)
                ids.append(key)
                ends.append(end)
    return Piece(np.array(ids) if ids else np.empty(0, "S1"), np.array(ends, np.int64))
