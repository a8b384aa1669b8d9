"""An audit of somebody else's data, whole: read, put into shape, checked, and told as the line's own datasets are.

found = audit("solutions.jsonl", kind=None, given={"problem": "q"}, steps="line", against=["gsm8k_test.jsonl"])
found.audit.success, len(found.rejects), found.not_checked[0].reason   → (True, 3, "no column gives the problem's answer")
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from factory import storage
from factory.errors import DataError
from factory.foreign.checking import NotChecked, checked
from factory.foreign.columns import AUDITED, LOOKED_AT, TURNS, guess, mapped
from factory.foreign.overlap import Matched, look, settings
from factory.foreign.shaping import Shape, shaped
from factory.foreign.sources import opened
from factory.gate.expectations import Audit, validate
from factory.gate.gather import gather
from factory.language.steps import By
from factory.params import load
from factory.schemas import Reject
from factory.tables import TABLES
from factory.words import amount


@dataclass(frozen=True)
class Foreign:
    """`columns`: ours → theirs; `made`: what followed from them; `same`: rows that say what another row says; `guessed`: whether the kind
    was guessed; `matched`: rows whose problem is a benchmark's question."""

    name: str
    kind: str
    guessed: bool
    steps: By
    columns: Mapping[str, str]
    made: tuple[str, ...]
    absent: tuple[str, ...]
    unused: tuple[str, ...]
    same: int
    table: pa.Table
    audit: Audit
    not_checked: tuple[NotChecked, ...]
    rejects: tuple[Reject, ...]
    matched: tuple[Matched, ...] = ()

    @property
    def reasons(self) -> Counter[str]:
        return Counter(item.reason for item in self.rejects)

    @property
    def lines(self) -> dict[str, int]:
        """Reason → the first record's line, or its number."""
        return {item.reason: json.loads(item.row)["line"] for item in reversed(self.rejects)}

    def document(self) -> dict[str, Any]:
        """The gate's, and what is not checked."""
        more = {"kind": self.kind, "guessed": self.guessed, "steps": self.steps, "columns": dict(self.columns), "made": list(self.made)}
        left = [vars(item) for item in self.not_checked]
        more |= {"absent": list(self.absent), "rejects": dict(self.reasons), "not_checked": left}
        return {**self.audit.document(), **more, "matched": [vars(item) for item in self.matched]}


def audit(
    name: str, *, kind: str | None, given: Mapping[str, str], steps: By | None, revision: str | None = None, config: str | None = None,
    split: str | None = None, against: Sequence[str] = (), processes: int | None = None,
) -> Foreign:  # fmt: skip
    """`given`: ours → theirs. `against`: files of benchmarks; without them those of a params.yaml here. A dataset of the line here is
    audited with its problems and parents. Raises DataError for data that cannot be read, of which nothing is a row, or whose kind nobody
    can tell, and for a benchmark that cannot be read."""
    if kind is None and not given and (own := _of_line(name)):
        return own
    if kind is not None and kind not in AUDITED:
        raise DataError(f"--as {kind} is no kind of rows: expected one of {', '.join(AUDITED)}")
    compared = settings(against)
    with opened(name, revision, config, split) as found:
        first = list(islice((record for record in found.records() if not record.broken), LOOKED_AT))
        if not first:
            broken = Counter(record.broken for record in found.records()).most_common(1)
            why = f"{broken[0][0]}: {broken[0][1]:,}" if broken else "it is empty"
            raise DataError(f"{name} has no rows that can be read ({why}): expected a JSON object a line, an array of them, CSV or Parquet")
        columns = list(dict.fromkeys(column for record in first for column in record.values))
        rows = [record.values for record in first]
        told = kind or found.kind or guess({*given, *columns}, rows)
        ours = mapped(told, columns, given)
        turns = _turns(told, ours, columns)
        shape = Shape(told, ours, steps or _steps(rows, ours), turns)
        read = shaped(shape, found.records(), processes)
    if not read.table.num_rows:
        why = "; ".join(f"{count:,} {reason}" for reason, count in Counter(item.reason for item in read.rejects).most_common(3))
        raise DataError(
            f"{name}: none of {amount(len(read.rejects), 'record')} is a row of {told} ({why}): say --as KIND, --map OURS=THEIRS"
        )
    shaper = shape.shaper()
    if read.marked:
        shaper.marked = shaper.solved = True
    judged, left = checked(told, read.table, shaper, read.problems, TABLES[told], len(read.rejects), processes)
    looked = look(read.table, told, read.problems, compared)
    judged = replace(judged, findings=(*judged.findings, *looked.findings), positions=(*judged.positions, *looked.places))
    if shaper.marked:
        shaper.made |= {"solution"}
        shaper.absent -= {"solution"}
    used = {*ours.values(), *([turns] if turns else [])}
    return Foreign(
        found.name, told, kind is None and not found.kind, shaper.steps, ours | ({"prompt": turns, "completion": turns} if turns else {}),
        tuple(sorted(shaper.made)), tuple(name for name in shaper.types if name in shaper.absent),
        tuple(column for column in columns if column not in used), read.same, read.table,
        replace(judged, dataset=found.name), (*left, *looked.left), tuple(read.rejects), tuple(looked.matched),
    )  # fmt: skip


def _of_line(name: str) -> Foreign | None:
    """A dataset of the line here, with its problems and parents, as the gate audits it; None where the params list none of this name."""
    path = storage.TABLES / f"{name}.parquet"
    if not Path("params.yaml").is_file() or not path.is_file() or Path(name).exists():
        return None
    params = load()
    if name not in params.datasets:
        return None
    table = storage.read_table(path)
    judged = validate(name, table, gather(name, params))
    return Foreign(
        name, judged.table, False, params.steps, {column: column for column in table.column_names}, (), (), (), 0, table, judged, (), ()
    )  # fmt: skip


def _turns(kind: str, ours: Mapping[str, str], columns: list[str]) -> str | None:
    """The column of whole conversations, where no other one holds question and answer."""
    if "completion" in ours and "prompt" in ours:
        return None
    needs = {"prompt", "completion"} <= set(TABLES[kind].__dataclass_fields__)
    return next((name for name in TURNS if name in columns), None) if needs else None


def _steps(rows: list[dict[str, Any]], ours: Mapping[str, str]) -> By:
    """Paragraphs where at least half of the answers have some, else lines."""
    texts = [str(row.get(ours.get("completion", ours.get("chosen", "")), "")) for row in rows]
    return "paragraph" if 2 * sum("\n\n" in text for text in texts) >= max(len(texts), 1) else "line"
