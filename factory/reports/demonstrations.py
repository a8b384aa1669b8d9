"""What the demonstrations are: types, lengths, actions, lead-ins, where candidates end, what the hints give away, tokens per accepted row.

    records(tallies(scan))   → [TypeRecord(type="III-I", rows=320, of=1457, words_median=38, words_p90=59, reflect=1.0, …), …]

Lengths are in words: what white space separates, a meta-action token being one (factory knows no tokenizer). After Satori App. C.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil
from pathlib import Path

from factory.reports.agreement import Share
from factory.reports.charts import Bar, bars, curves
from factory.reports.demonstration_counts import LeadIns, Tally, lead_ins, tallies
from factory.reports.hints import HintRecord, accepted_hints, judged_hints
from factory.reports.page import Block, Figure, Prose, Table
from factory.reports.scan import Scan, literal
from factory.reports.usage import costs, read_usage
from factory.storage import LOGS, REJECTS, TABLES, count_rows

USAGE = LOGS / "demonstrations_usage.csv"
MOST = 12  # reasons with a row of their own


@dataclass(frozen=True)
class TypeRecord:
    """One type's rows. Actions are means a demonstration."""

    type: str
    rows: int
    of: int
    words_median: float
    words_p90: int
    steps_median: float
    reflect: float
    explore: float
    go_on: float
    by_reference: int  # rows that the reference critic had a part in


@dataclass(frozen=True)
class Yield:
    """Rollouts that never became candidates, candidates, and why they are not rows. `accepted` is of the candidates."""

    refused: tuple[tuple[str, int], ...]
    accepted: Share
    rejects: tuple[tuple[str, int], ...]


def _rank(counts: Mapping[int, int], share: float) -> int:
    left = ceil(share * sum(counts.values()))
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return value
    raise ValueError("no value has a rank among none")


def _median(counts: Mapping[int, int]) -> float:
    """The mean of the two in the middle where there is an even number."""
    total = sum(counts.values())
    return (_rank(counts, 0.5) + _rank(counts, (total // 2 + 1) / total)) / 2


def records(found: Mapping[str, Tally]) -> list[TypeRecord]:
    total = sum(sum(tally.words.values()) for tally in found.values())
    made = []
    for kind, tally in found.items():
        rows = sum(tally.words.values())
        reflect, explore, go_on = (tally.actions[name] / rows for name in ("reflect", "explore", "continue"))
        lengths = (_median(tally.words), _rank(tally.words, 0.9), _median(tally.steps))
        made.append(TypeRecord(kind, rows, total, *lengths, reflect, explore, go_on, tally.by_reference))
    return made


def yield_of(rows: int, refused: Mapping[str, int], candidates: Mapping[str, int]) -> Yield:
    """Reason → rejects, of rollouts that never became candidates and of candidates."""
    return Yield(grouped(refused), Share(rows, rows + sum(candidates.values())), grouped(candidates))


def grouped(rejects: Mapping[str, int], most: int = MOST) -> tuple[tuple[str, int], ...]:
    """The `most` commonest reasons and one line for the rest; reasons that differ only behind `: ` are one when there are more."""
    counts = Counter(dict(sorted(rejects.items())))
    if len(counts) > most:
        counts = Counter()
        for reason, count in sorted(rejects.items()):
            counts[reason.split(": ")[0]] += count
    shown, rest = counts.most_common(most), counts.most_common()[most:]
    return (*shown, *([(f"{len(rest)} other reasons", sum(count for _, count in rest))] if rest else []))


def rejected(path: Path, problems: Path) -> tuple[Counter[str], Counter[str]]:
    """Reasons of rejected rollouts, whose parent is their problem, and of candidates, whose parent is the rollout they were made from."""
    known = f"parent_id IN (SELECT id FROM read_parquet({literal(str(problems))}))" if problems.exists() else "false"
    with Scan.of(path) as scan:
        return scan.counts("reason", f"coalesce({known}, false)"), scan.counts("reason", f"NOT coalesce({known}, false)")


# -- the section of the report, and of `factory audit demonstrations`


def demonstrations() -> Iterable[Block]:
    """Everything that the tables and logs of the working directory tell; nothing when there is no demonstration yet. No table is read as
    rows: what is counted is counted by SQL, and of hints only texts and their problems are looked at, one after the other."""
    path, judgements, problems = (TABLES / f"{name}.parquet" for name in ("demonstrations", "critic_judgements", "problems"))
    total = count_rows(path) if path.exists() else 0
    if not total:
        return
    with Scan.of(path) as scan:
        found = tallies(scan)
        yield from type_blocks(records(found), {kind: tally.words for kind, tally in found.items()})
        yield from lead_in_blocks(lead_ins(scan))
    rejects = REJECTS / "demonstrations.parquet"
    if rejects.exists():
        yield from yield_blocks(yield_of(total, *rejected(rejects, problems)))
    if problems.exists():
        hints = [*(judged_hints(judgements, problems) if judgements.exists() else ()), accepted_hints(path, problems)]
        yield from hint_blocks([record for record in hints if record.hints])
    if USAGE.exists():
        yield from cost_blocks(total)


def type_blocks(records: Sequence[TypeRecord], lengths: Mapping[str, Mapping[int, int]]) -> Iterable[Block]:
    mix = [(record.type, Share(record.rows, record.of)) for record in records]
    chart = bars([Bar(kind, "share", share.hits / share.of, *share.interval) for kind, share in mix], "type mix")
    yield Figure(chart, "Types: shares of all demonstrations")
    yield Table(
        ("type", "rows", "share", "by reference", "words, median", "words, 90 %", "steps, median", "reflects", "explores", "continues"),
        tuple(
            (r.type, f"{r.rows:,}", _percent(r.rows, r.of), f"{r.by_reference:,}", f"{r.words_median:g}", f"{r.words_p90:,}",
             f"{r.steps_median:g}", f"{r.reflect:.2f}", f"{r.explore:.2f}", f"{r.go_on:.2f}")
            for r in records
        ),
        "Types: lengths in words (a meta-action token is one), actions a demonstration",
    )  # fmt: skip
    yield Figure(
        curves({kind: _cumulative(values) for kind, values in lengths.items() if values}, "words of a demonstration"),
        "Length: share of a type's demonstrations (upwards) with at most so many words (to the right)",
    )


def _cumulative(counts: Mapping[int, int]) -> list[tuple[float, float]]:
    """One point a length, however many demonstrations have it."""
    total, upto = sum(counts.values()), accumulate(counts[value] for value in sorted(counts))
    return [(value, number / total) for value, number in zip(sorted(counts), upto, strict=True)]


def lead_in_blocks(records: Sequence[LeadIns]) -> Iterable[Block]:
    rows = []
    for record in records:
        total = sum(record.counts.values()) + record.other
        said = {**record.counts, **({"(another)": record.other} if record.other else {})}
        spread = f"{record.entropy:.3f}"
        rows += [(record.situation, phrase, f"{count:,}", _percent(count, total), spread) for phrase, count in said.items()]
    if rows:
        yield Table(
            ("to", "lead-in", "times", "share", "entropy"), tuple(rows),
            "Lead-ins; entropy of each purpose's phrases: 1 when all are used alike, 0 when only one is",
        )  # fmt: skip


def yield_blocks(record: Yield) -> Iterable[Block]:
    lost = sum(count for _, count in record.refused)
    yield Prose(f"Yield: {record.accepted.text} of the candidates became rows; {lost:,} rollouts were refused before.")
    for caption, counts in (("Refused rollouts", record.refused), ("Rejected candidates by reason", record.rejects)):
        total = sum(count for _, count in counts)
        if counts:
            yield Table(("reason", "rows", "share"), tuple((why, f"{count:,}", _percent(count, total)) for why, count in counts), caption)


def hint_blocks(records: Sequence[HintRecord]) -> Iterable[Block]:
    if records:
        yield Table(
            ("hints", "n", "give the final answer", "of these accepted", "give a step's value", "one not seen before"),
            tuple(
                (r.whose, f"{r.hints:,}", Share(r.answers, r.hints).text, f"{r.answers_accepted:,}", Share(r.values, r.hints).text,
                 "" if r.new_values is None else Share(r.new_values, r.hints).text)
                for r in records
            ),
            "Hints: a step's value is a result of the gold solution that the problem does not state",
        )  # fmt: skip


def cost_blocks(accepted: int) -> Iterable[Block]:
    found = costs(read_usage(USAGE), accepted)
    if found:
        yield Table(
            ("role", "model", "requests", "failed", "tokens in", "tokens out", "tokens per row", "dollars", "dollars per row"),
            tuple(
                (c.role, c.model, f"{c.requests:,}", f"{c.failed:,}", f"{c.prompt_tokens:,}", f"{c.completion_tokens:,}",
                 f"{c.tokens_per_row:,.0f}", "" if c.dollars is None else f"{c.dollars:.2f}",
                 "" if c.dollars_per_row is None else f"{c.dollars_per_row:.4f}")
                for c in found
            ),
            f"Tokens and cost per accepted row ({accepted:,} rows); a model that runs here has no price",
        )  # fmt: skip


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""
