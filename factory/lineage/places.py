"""Which tables lie here, and which of their columns name other rows: what a lineage can follow.

    places(Path("."))   → {"rollouts_base": Place("rollouts_base", …, columns=("id", "model", …)), …}

A place is a table (`rollouts_base`) or the rejects of a stage (`rejects/demonstrations`), whose rejected rows name others in their JSON.
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from factory.errors import DataError
from factory.lineage.names import LISTS, REQUESTS, SCALARS
from factory.storage import REJECTS, TABLES


@dataclass(frozen=True)
class Place:
    """`columns` in the file's order; `scalars`, `lists` and `requests` are those of them that name other rows and requests."""

    name: str
    path: Path
    columns: tuple[str, ...]

    @property
    def scalars(self) -> tuple[str, ...]:
        return tuple(name for name in SCALARS if name in self.columns)

    @property
    def lists(self) -> tuple[str, ...]:
        return tuple(name for name in LISTS if name in self.columns)

    @property
    def requests(self) -> str:
        """The column with request keys, "" without one."""
        return next((name for name in REQUESTS if name in self.columns), "")

    @property
    def rejects(self) -> bool:
        return self.name.startswith("rejects/")

    @property
    def scan(self) -> str:
        """As SQL reads it."""
        return f"read_parquet({quoted(str(self.path))})"


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def places(root: Path) -> dict[str, Place]:
    """Every table and rejects file with its columns, from the footers. Raises DataError where there is none, or one is no Parquet file."""
    files = {path.stem: path for path in sorted((root / TABLES).glob("*.parquet"))}
    files |= {f"rejects/{path.stem}": path for path in sorted((root / REJECTS).glob("*.parquet"))}
    if not files:
        raise DataError(
            f"{(root / TABLES).absolute()} holds no table: run it where a line was made (`dvc repro` makes one, `dvc pull` fetches it)"
        )
    return {name: Place(name, path, columns_of(path)) for name, path in files.items()}


def columns_of(path: Path) -> tuple[str, ...]:
    """Raises DataError for a file that is not Parquet."""
    try:
        return tuple(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file ({str(error).splitlines()[0][:160]}): make it again") from None
