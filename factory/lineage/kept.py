"""The ids that rejected rows' JSON names, in narrow columns beside the line: a gigabyte of JSON takes a second and a half of processor time
to read, and says the same until its stage runs again.

    narrow(root, place, index.ask)      → .factory/lineage/restarts_r1@149013245-1764347155.parquet: id, row_id, row_problem_id

Made by the first trace that needs it; the name has the table's size and time, so that another table is read anew. Small tables have none.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from factory.lineage.names import IN_REJECTS
from factory.lineage.places import Place, quoted
from factory.whole import whole_file

FOLDER = Path(".factory/lineage")
LARGE = 32 << 20  # bytes of a table of rejects


def said(name: str) -> str:
    """SQL: what a rejected row's JSON has under a name, "" for nothing."""
    return f'regexp_extract(row, \'"{name}": "([^"]+)"\', 1)'


def narrow(root: Path, place: Place, ask: Callable[[str], Any]) -> Path | None:
    """None for a small table, and where nothing can be written: then the JSON itself is read."""
    about = place.path.stat()
    if about.st_size < LARGE:
        return None
    kept = root / FOLDER / f"{place.path.stem}@{about.st_size}-{about.st_mtime_ns}.parquet"
    if not kept.exists():
        columns = ", ".join(f"{said(name)} AS row_{name}" for name in IN_REJECTS)
        try:
            with whole_file(kept) as temporary:
                ask(f"COPY (SELECT id, {columns} FROM {place.scan}) TO {quoted(str(temporary))} (FORMAT parquet, COMPRESSION zstd)")
            for older in kept.parent.glob(f"{place.path.stem}@*.parquet"):
                if older != kept:
                    older.unlink(missing_ok=True)
        except OSError:
            return None
    return kept
