"""Which tables lie here, and which of their columns name other rows: what a lineage can follow.

    places(Path("."))   → {"rollouts_base": Place("rollouts_base", …, columns=("id", "model", …), rows=3600), …}

A place is a table (`rollouts_base`) or the rejects of a stage (`rejects/demonstrations`), whose rejected rows name others in their JSON.
"""

from collections.abc import Iterable
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
    rows: int

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


def scan(files: Iterable[Path]) -> str:
    """Several files as one table with the columns of all, as SQL reads it; `filename` says which. What it reads of one costs a tenth of
    what a query of its own would."""
    return f"read_parquet([{', '.join(quoted(str(file)) for file in files)}], union_by_name = true, filename = true)"


def places(root: Path) -> dict[str, Place]:
    """Every table and rejects file with its columns, from the footers. Raises DataError where there is none, or one is no Parquet file."""
    files = {path.stem: path for path in sorted((root / TABLES).glob("*.parquet"))}
    files |= {f"rejects/{path.stem}": path for path in sorted((root / REJECTS).glob("*.parquet"))}
    if not files:
        raise DataError(
            f"{(root / TABLES).absolute()} holds no table: run it where a line was made (`dvc repro` makes one, `dvc pull` fetches it)"
        )
    return {name: _place(name, path) for name, path in files.items()}


def _place(name: str, path: Path) -> Place:
    """Raises DataError for a file that is not Parquet."""
    try:
        footer = pq.read_metadata(path)
        return Place(name, path, tuple(footer.schema.to_arrow_schema().names), footer.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a readable Parquet file ({str(error).splitlines()[0][:160]}): make it again") from None
