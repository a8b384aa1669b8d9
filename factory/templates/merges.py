"""What became one and what did not: a record of every pair of templates or tags that were looked at, for people to check.

    Merge(kind="template", gone="1f0c…", kept="07ab…", gone_name="swap parts", kept_name="replace parts", merges=True, why="labeller",
          score=11.4, answers=("yes", "yes"), request_ids=("9f0c…", "51aa…"), model="m@3fa9", prompt_version="templates/same@1f0c9a27")

The stage `templates` writes them to data/logs/template_merges.parquet; the lint makes the same records of a published library, without
asking anybody. `gone` and `kept` are ids of templates as they were before they were merged; of tags they are empty. A `control` is a pair
of known truth, made of templates' halves (`controls`): its score is 1 for one pattern, 0 for two, `merges` what the labeller says.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from factory.identity import row_id
from factory.schemas import Row
from factory.storage import LOGS, read_rows, write_rows
from factory.words import amount

MERGES = LOGS / "template_merges.parquet"
Kind = Literal["template", "tag", "single tag", "control"]  # single tag: dropped, since too many tags occur once


@dataclass(frozen=True, kw_only=True)
class Merge(Row):
    """`merges`: whether they are one now (of the lint: would be). `score`: of the retrieval or of likeness, whichever proposed the pair."""

    kind: Kind
    gone: str = ""
    kept: str = ""
    gone_name: str
    kept_name: str
    merges: bool
    why: str
    score: float
    answers: tuple[str, ...] = ()  # yes · no · unreadable · failed, one a request
    request_ids: tuple[str, ...] = ()
    model: str = ""
    prompt_version: str = ""


def record(kind: Kind, gone: tuple[str, str], kept: tuple[str, str], merges: bool, why: str, score: float, **asked: object) -> Merge:
    """`gone` and `kept`: (id, name)."""
    key = row_id("merge", kind, gone, kept)
    values = {"gone": gone[0], "gone_name": gone[1], "kept": kept[0], "kept_name": kept[1]}
    return Merge(id=key, kind=kind, merges=merges, why=why, score=score, **values, **asked)  # type: ignore[arg-type]


def write_merges(rows: Iterable[Merge]) -> None:
    write_rows(MERGES, Merge, list(rows))


def read_merges(path: Path = MERGES) -> list[Merge]:
    """Raises DataError where there are none."""
    return read_rows(path, Merge)


def counted(rows: Iterable[Merge]) -> str:
    """One line for people: `templates: 31 pairs asked, 6 merged, 2 answers unreadable; tags: 9 united, 4 dropped`."""
    rows = list(rows)
    asked = [row for row in rows if row.kind == "template" and row.answers]
    named = sum(row.kind == "template" and not row.answers for row in rows)
    unread = sum(answer not in ("yes", "no") for row in rows for answer in row.answers)
    controls = [row for row in rows if row.kind == "control"]
    held = f"; {sum(row.merges == (row.score > 0) for row in controls):,} of {len(controls):,} controls right" if controls else ""
    tags, dropped = sum(row.kind == "tag" and row.merges for row in rows), sum(row.kind == "single tag" for row in rows)
    return (
        f"{named:,} merged by their names; {amount(len(asked), 'pair')} asked, {sum(row.merges for row in asked):,} merged, "
        f"{amount(unread, 'answer')} unreadable{held}; {amount(tags, 'tag')} united, {dropped:,} dropped"
    )
