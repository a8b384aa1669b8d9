"""A few problems of a profile, before or after the line has read them, and how many there will be.

found = sample(params, past)     → Sample(problems=[Problem(…), …], said="the first 200 rows of train.jsonl", faults=[])
sizes(params, past)              → Sizes(train=5978, dev=373, heldout=1121, unseen=0, said="7,473 rows of train.jsonl, at most")
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from factory.errors import DataError
from factory.files import opened_rows, row_reader
from factory.params import Params, Source
from factory.planning.findings import Finding
from factory.planning.history import History
from factory.planning.questions import example
from factory.problems.decontaminate import Benchmark, decontaminate
from factory.problems.records import DUPLICATE, Raw, from_records, mapped_columns
from factory.problems.sources import read_problems
from factory.schemas import Problem
from factory.storage import TABLES, iter_rows
from factory.words import amount

MOST = 200
FORMATS = {"jsonl": "json", "json": "json", "csv": "csv", "tsv": "tsv", "parquet": "parquet"}
SPLITS = ("train", "dev", "heldout", "unseen")


@dataclass(frozen=True)
class Sample:
    """`said`: where the problems come from; `faults`: what is wrong with the sources, or may be. `real` False: an example stands in for
    them."""

    problems: list[Problem]
    said: str
    faults: list[Finding] = field(default_factory=list)
    real: bool = True


@dataclass(frozen=True)
class Sizes:
    """Problems a split; `exact` False: rows that may yet be rejected are counted, or nothing is known (then as many as are asked for)."""

    train: int | None
    dev: int | None
    heldout: int | None
    unseen: int | None
    said: str
    exact: bool

    @classmethod
    def counted(cls, counts: Counter[str], said: str, *, exact: bool) -> "Sizes":
        return cls(counts["train"], counts["dev"], counts["heldout"], counts["unseen"], said, exact)


UNKNOWN = Sizes(None, None, None, None, "not counted", exact=False)


def sample(params: Params, past: History, benchmarks: Sequence[Benchmark] = ()) -> Sample:
    """From the line's own table where it was made with these params, else from the sources themselves. A source that cannot be read, or
    lacks a mapped column, is a fault; so is one of which too many rows are rejected, `benchmarks` being those of the params."""
    if past.ran("problems"):
        try:
            rows = (row for row in iter_rows(TABLES / "problems.parquet", Problem) if row.split == "train")
            if found := list(islice(rows, MOST)):
                return Sample(found, f"{amount(len(found), 'train problem')} of data/tables/problems.parquet")
        except DataError:  # a table of an older schema: `dvc repro` makes it again
            pass
    problems, places, faults = list[Problem](), list[str](), list[Finding]()
    for source in params.problems.sources:
        try:
            found, place, rejected = _of_source(params, source, benchmarks)
        except (DataError, OSError) as error:
            faults.append(Finding("files", f"problems.sources.{source.name}", "wrong", str(error)))
            continue
        problems += found
        faults += rejected
        if found:
            places.append(place)
    if not problems:
        return Sample([example()], "one example (no source can be read here yet)", faults, real=False)
    return Sample(problems[:MOST], " and ".join(places), faults)


def _of_source(params: Params, source: Source, benchmarks: Sequence[Benchmark]) -> tuple[list[Problem], str, list[Finding]]:
    """Its first problems, their place, and whether too many are rejected; none where the source is not here. Raises DataError."""
    if source.kind == "world":
        if (world := params.problems.world) is None:
            return [], "", []
        few = world.model_copy(update={"train": min(world.train, MOST), "dev": 1, "heldout": 1, "unseen": 1})
        (read,) = read_problems(params.problems.model_copy(update={"sources": [source], "world": few}), params.seed)
        return [row for row in read.problems if row.split == "train"], f"{MOST} problems of the world", []
    path = Path(source.path or "")
    if source.kind == "hub" or not path.is_file():  # what is not there is said elsewhere
        return [], "", []
    rows = _first_rows(source, path)
    columns = {column for row in rows if not row.broken for column in row.record}
    for ours, theirs in mapped_columns(source).items():
        if rows and theirs not in columns:
            has = f"{path} has no column {theirs!r} for {ours} in its first {amount(len(rows), 'row')}"
            there = ", ".join(sorted(columns)[:20])
            raise DataError(f"{has}; it has {there}: correct problems.sources.{source.name}.columns")
    problems, rejects = from_records(source, rows)
    if not problems:
        reason = Counter(row.reason for row in rejects).most_common(1)[0][0] if rejects else "it has no rows"
        raise DataError(
            f"{path}: none of its first {amount(len(rows), 'row')} is a problem ({reason}): correct its columns or its answer_kind"
        )
    reasons = [row.reason for row in rejects if row.reason != DUPLICATE]
    if params.purpose == "train":  # an audit keeps what overlaps
        reasons += [row.reason for row in decontaminate(problems, benchmarks)[1]]
    return problems, f"the first {amount(len(rows), 'row')} of {path}", _rejected(params, source, len(rows), Counter(reasons))


def _rejected(params: Params, source: Source, rows: int, reasons: Counter[str]) -> list[Finding]:
    """A finding where more than `max_reject_share` of its first rows go. Of a file that is read whole, the stage `problems` stops."""
    most, bad, whole = params.problems.max_reject_share, reasons.total(), rows < MOST
    if bad <= most * rows:
        return []
    reason, often = reasons.most_common(1)[0]
    of = f"{bad} of its {'' if whole else 'first '}{amount(rows, 'row')}"
    said = f"{source.path}: {of} are rejected, more than problems.max_reject_share {most:g}"
    remedy = f"correct problems.sources.{source.name}, or raise the share"
    key = f"problems.sources.{source.name}"
    return [Finding("files", key, "wrong" if whole else "warning", f"{said} ({often} × {reason})", remedy)]


def _first_rows(source: Source, path: Path) -> list[Raw]:
    rows: list[Raw] = []
    for batch in row_reader(path, FORMATS.get(source.kind, ""), strict=True).batches():
        rows += [Raw(f"{path}:{record.line}", dict(record.values), record.broken) for record in batch.records[:MOST]]
        if len(rows) >= MOST:
            break
    return rows[:MOST]


def sizes(params: Params, past: History) -> Sizes:
    """Raises nothing: what cannot be counted is not known."""
    if past.ran("problems"):
        counts = Counter(past.column("problems", "split"))
        return Sizes.counted(counts, f"{amount(counts.total(), 'problem')} of the line's table", exact=True)
    found, said, exact, known = Counter[str](), list[str](), True, True
    for source in params.problems.sources:
        if source.kind == "world" and (world := params.problems.world):
            found.update({split: getattr(world, split) for split in SPLITS})
            said.append("the world's sizes")
            continue
        exact = False
        rows = _rows(source)
        if rows is None:
            known = False
            said.append(f"{source.path} is not here to be counted")
            continue
        rows = min(rows, source.cap or rows)
        shares = {source.split: 1.0} if source.split else params.problems.split_shares
        found.update({split: round(rows * share) for split, share in shares.items()})
        said.append(f"{amount(rows, 'row')} of {source.path}")
    if not known:
        return Sizes(None, None, None, None, " and ".join(said), exact=False)
    return Sizes.counted(found, " and ".join(said), exact=exact)


def _rows(source: Source) -> int | None:
    if source.kind == "hub" or not source.path or not Path(source.path).is_file():
        return None
    try:
        with opened_rows(source.path) as opened:
            return opened.rows - opened.broken
    except DataError:
        return None
