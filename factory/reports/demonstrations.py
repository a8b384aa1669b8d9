"""What the demonstrations are: types, lengths, actions, lead-ins, where candidates end, what the hints give away, tokens per accepted row.

    types_of(rows)     → [TypeRecord(type="III-I", rows=320, of=1457, words_median=38, words_p90=59, reflect=1.0, …), …]
    lead_ins_of(rows)  → [LeadIns(situation="explore", counts={"This time,": 171, "Another way:": 160, …}, other=0), …]

Lengths are in words: what white space separates, a meta-action token being one (factory knows no tokenizer). After Satori App. C.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log

from factory.coat import grammar
from factory.coat.demonstrations import lead_ins
from factory.reports.agreement import Share
from factory.reports.charts import Bar, bars, curves
from factory.reports.hints import HintRecord, accepted_hints, judged_hints
from factory.reports.page import Block, Figure, Prose, Table
from factory.reports.usage import costs, read_usage
from factory.schemas import CriticJudgement, Demonstration, Problem, Reject, choices, field_types
from factory.storage import LOGS, REJECTS, TABLES, read_rows

TYPES = choices(field_types(Demonstration)["type"])
USAGE = LOGS / "demonstrations_usage.csv"
MOST = 12  # reasons with a row of their own
PHRASES = {"verify": lead_ins.VERIFY, "criticise": lead_ins.CRITIQUE, "explore": lead_ins.EXPLORE}


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
class LeadIns:
    """How reflections or explorations begin. `counts` has every phrase of the situation, used or not; `other`: begins with none."""

    situation: str
    counts: dict[str, int]
    other: int

    @property
    def entropy(self) -> float:
        """Of the known phrases, in [0, 1]: 1 when all are used alike, 0 when only one is (or nothing was counted)."""
        total = sum(self.counts.values())
        shares = [count / total for count in self.counts.values() if count]
        return -sum(share * log(share) for share in shares) / log(len(self.counts)) if len(shares) > 1 else 0.0


@dataclass(frozen=True)
class Yield:
    """Rollouts that never became candidates, candidates, and why they are not rows. `accepted` is of the candidates."""

    refused: tuple[tuple[str, int], ...]
    accepted: Share
    rejects: tuple[tuple[str, int], ...]


def words(text: str) -> int:
    for token in grammar.ACTIONS.values():
        text = text.replace(token, f" {token} ")
    return len(text.split())


def p90(values: Sequence[int]) -> int:
    """The smallest value that nine tenths do not exceed (nearest rank)."""
    return sorted(values)[ceil(0.9 * len(values)) - 1]


def types_of(rows: Sequence[Demonstration]) -> list[TypeRecord]:
    found = []
    for kind in TYPES:
        own = [row for row in rows if row.type == kind]
        if not own:
            continue
        lengths = [words(row.completion) for row in own]
        actions = [grammar.action_counts(row.completion) for row in own]
        reflect, explore, go_on = (sum(count[name] for count in actions) / len(own) for name in ("reflect", "explore", "continue"))
        steps = statistics.median(len(grammar.split_steps(row.completion)) for row in own)
        named = sum(row.critic == "reference" for row in own)
        found.append(TypeRecord(kind, len(own), len(rows), statistics.median(lengths), p90(lengths), steps, reflect, explore, go_on, named))
    return found


def lead_ins_of(rows: Sequence[Demonstration]) -> list[LeadIns]:
    """A reflection that an exploration follows criticises, another one verifies."""
    said: dict[str, Counter[str]] = {situation: Counter() for situation in PHRASES}
    for row in rows:
        steps = [step for step in grammar.parse(row.completion) if step.action]
        for number, step in enumerate(steps):
            following = steps[number + 1].action if number + 1 < len(steps) else None
            situation = {"reflect": "criticise" if following == "explore" else "verify", "explore": "explore"}.get(step.action or "")
            if situation:
                said[situation][next((phrase for phrase in PHRASES[situation] if step.text.startswith(phrase)), "")] += 1
    return [
        LeadIns(situation, {phrase: said[situation][phrase] for phrase in phrases}, said[situation][""])
        for situation, phrases in PHRASES.items()
        if said[situation]
    ]


def yield_of(rows: int, rejects: Sequence[Reject], problems: Sequence[Problem]) -> Yield:
    """A rejected rollout names its problem as its parent, a rejected candidate the rollout that it was made from."""
    known = {problem.id for problem in problems}
    refused = [row for row in rejects if row.parent_id in known]
    candidates = [row for row in rejects if row.parent_id not in known]
    return Yield(grouped(refused), Share(rows, rows + len(candidates)), grouped(candidates))


def grouped(rejects: Sequence[Reject], most: int = MOST) -> tuple[tuple[str, int], ...]:
    """The `most` commonest reasons and one line for the rest; reasons that differ only behind `: ` are one when there are more."""
    counts = Counter(row.reason for row in rejects)
    if len(counts) > most:
        counts = Counter(row.reason.split(": ")[0] for row in rejects)
    shown, rest = counts.most_common(most), counts.most_common()[most:]
    return (*shown, *([(f"{len(rest)} other reasons", sum(count for _, count in rest))] if rest else []))


# -- the section of the report, and of `factory audit demonstrations`


def demonstrations() -> Iterable[Block]:
    """Everything that the tables and logs of the working directory tell; nothing when there is no demonstration yet."""
    path = TABLES / "demonstrations.parquet"
    rows = read_rows(path, Demonstration) if path.exists() else []
    if not rows:
        return
    problems = _table("problems", Problem)
    yield from type_blocks(types_of(rows), {kind: [words(row.completion) for row in rows if row.type == kind] for kind in TYPES})
    yield from lead_in_blocks(lead_ins_of(rows))
    rejects = REJECTS / "demonstrations.parquet"
    if rejects.exists():
        yield from yield_blocks(yield_of(len(rows), read_rows(rejects, Reject), problems))
    hints = [*judged_hints(_table("critic_judgements", CriticJudgement), problems), accepted_hints(rows, problems)]
    yield from hint_blocks([record for record in hints if record.hints])
    if USAGE.exists():
        yield from cost_blocks(len(rows))


def _table(name: str, kind: type) -> list:
    path = TABLES / f"{name}.parquet"
    return read_rows(path, kind) if path.exists() else []


def type_blocks(records: Sequence[TypeRecord], lengths: Mapping[str, Sequence[int]]) -> Iterable[Block]:
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


def _cumulative(values: Sequence[int]) -> list[tuple[float, float]]:
    """One point a length, however many demonstrations have it."""
    return list({value: number / len(values) for number, value in enumerate(sorted(values), start=1)}.items())


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
