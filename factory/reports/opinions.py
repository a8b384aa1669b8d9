"""A second opinion on verdicts: Math-Verify alone and, where a model is configured for it, a judge, beside the grader.

    second_opinions([Attempt(gold="1/3", answer="0.333333", kind="math")], grading)
    → Opinions((Opinion("1/3", "0.333333", "math", ours="wrong", reason="different values", by="fast", mathverify="correct", …),), …)

All are given the answer that our rules found, so that only the comparison differs; what they say changes no verdict. Of many attempts a
sample of distinct (gold, answer, kind) is asked about, in the order of their hashes. Run: `factory audit grading`.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

from factory.engines.protocol import Completion, Engine, Request, SamplingParams
from factory.errors import DataError
from factory.files import row_reader
from factory.grading.extraction import extract
from factory.grading.grader import Grader, Task, gold_answer
from factory.grading.protocol import KINDS
from factory.grading.workers import Pool
from factory.language.prompting import Prompts
from factory.params import Grading, Params
from factory.problems.values import BadRow, text_of
from factory.reports.agreement import Share
from factory.reports.drawn import Draw
from factory.reports.page import Block, Prose, Table
from factory.reports.scan import Scan, literal
from factory.schemas import AnswerKind, Rule, Verdict
from factory.storage import TABLES
from factory.words import amount

MATHVERIFY = "factory.grading.symbolic:mathverify_alone"
MATHS: tuple[AnswerKind, ...] = ("number", "math")  # the kinds that Math-Verify knows
WORD = SamplingParams(max_tokens=8)  # greedy
LONGEST_CELL = 100  # characters
_WORD = re.compile(r"\s*(same|different)(?=[\s.,;:!]|$)", re.IGNORECASE)

Said = Literal["same", "different", "unparsable"]


class Attempt(NamedTuple):
    """An answer beside its gold answer, both extracted. `answer` is None where none was found; `verdict`, where one is on record; `rows`:
    how many attempts say the same."""

    gold: str
    answer: str | None
    kind: AnswerKind
    problem: str = ""
    verdict: Verdict | None = None
    rows: int = 1


@dataclass(frozen=True)
class Opinion:
    """What is said of one (gold, answer, kind). `rows` attempts say it; `stale` of them have another verdict than the grader gives now."""

    gold: str
    answer: str
    kind: AnswerKind
    problem: str
    ours: Verdict
    reason: str
    by: Literal["fast", "worker"]
    mathverify: Verdict | None  # None: not of a kind that it knows
    judge: Said | None  # None: there is no judge, or it was not asked
    rows: int
    stale: int

    def right(self, voice: str) -> bool | None:
        """Whether one of VOICES calls the answer correct rather than anything else. None: it says nothing of this one."""
        if voice == "grader":
            return self.ours == "correct"
        if voice == "fast path":
            return self.ours == "correct" if self.by == "fast" else None
        if voice == "math-verify":
            return self.mathverify == "correct" if self.mathverify else None
        return self.judge == "same" if self.judge in ("same", "different") else None

    @property
    def differs(self) -> bool:
        return len({self.right(voice) for voice in VOICES} - {None}) > 1


VOICES = ("grader", "fast path", "math-verify", "judge")
PAIRS = [pair for pair in combinations(VOICES, 2) if pair != ("grader", "fast path")]


@dataclass(frozen=True)
class Opinions:
    """`distinct` (gold, answer, kind) of `kinds` there were, in `rows` attempts; `silent` attempts more held no answer."""

    found: tuple[Opinion, ...]
    kinds: tuple[AnswerKind, ...]
    distinct: int
    rows: int
    silent: int
    judge: str  # the model, "" for none


def second_opinions(
    attempts: Iterable[Attempt], grading: Grading, *, judge: Engine | None = None, prompts: str = "instruct", most: int = 500
) -> Opinions:
    """Of `most` distinct (gold, answer, kind) or fewer, within the limits of `grading`; without a judge only the kinds of Math-Verify.

    Raises EngineError when a worker cannot be started or the judge cannot be reached.
    """
    kinds = KINDS if judge else MATHS
    draw = Draw(most)
    silent = 0
    for attempt in attempts:
        if attempt.kind in kinds:
            if attempt.answer is None or not attempt.answer.strip():
                silent += attempt.rows
            else:
                key = (gold_answer(attempt.gold, attempt.kind), attempt.answer, attempt.kind)
                draw.add(key, attempt.problem, attempt.verdict, attempt.rows)
    same = draw.found()
    drawn = list(same)
    problems = [same[key].problem for key in drawn]
    with Grader.of(grading) as grader:
        grades = grader.grade_answers(Task(answer, gold, kind) for gold, answer, kind in drawn)
    theirs = _mathverify(drawn, grading)
    said = _judged(judge, Prompts.of(prompts), drawn, problems) if judge else [None] * len(drawn)
    found = []
    for key, problem, grade, word in zip(drawn, problems, grades, said, strict=True):
        stale = sum(count for verdict, count in same[key].verdicts.items() if verdict not in (None, grade.verdict))
        rows = sum(same[key].verdicts.values())
        found.append(Opinion(*key, problem, grade.verdict, grade.reason, grade.by, theirs.get(key), word, rows, stale))
    return Opinions(tuple(found), kinds, len(draw.seen), draw.rows, silent, judge.model if judge else "")


def _mathverify(drawn: Sequence[tuple[str, str, AnswerKind]], grading: Grading) -> dict[tuple[str, str, AnswerKind], Verdict]:
    asked = [key for key in drawn if key[2] in MATHS]
    if not asked:
        return {}
    with Pool(grading.workers, grading.seconds, grading.memory_mb, MATHVERIFY) as pool:
        answers = pool.run([(gold, answer) for gold, answer, _ in asked])
    return {key: verdict for key, (verdict, _) in zip(asked, answers, strict=True)}


def _judged(judge: Engine, prompts: Prompts, drawn: Sequence[tuple[str, str, AnswerKind]], problems: Sequence[str]) -> list[Said | None]:
    requests = [
        Request(prompts.render("judge", problem=problem, gold=gold, answer=answer), WORD)
        for (gold, answer, _), problem in zip(drawn, problems, strict=True)
    ]
    return [read_word(completion) for completion in judge.generate(requests)]


def read_word(completion: Completion) -> Said | None:
    """The first word of a judge's answer, when it is one of the two. None: the request failed."""
    if completion.finish_reason == "error":
        return None
    match = _WORD.match(completion.text)
    if not match:
        return "unparsable"
    return "same" if match[1].lower() == "same" else "different"


# What there is to judge


def of_line(params: Params) -> Iterator[Attempt]:
    """Rollouts of all policies that have some, without the problems' texts."""
    yield from of_rollouts([path for name in params.policies if (path := TABLES / f"rollouts_{name}.parquet").exists()], texts=False)


def of_rollouts(paths: Iterable[Path], *, texts: bool = True) -> Iterator[Attempt]:
    """Tables of rollouts, those of one answer and verdict as one attempt. Raises DataError for a rollout of an unknown problem."""
    problems = literal(str(TABLES / "problems.parquet"))
    for path in paths:
        with Scan.of(path) as scan:
            if lost := scan.ask(
                f"SELECT id, problem_id FROM {{rows}} WHERE problem_id NOT IN (SELECT id FROM read_parquet({problems})) LIMIT 1"
            ):
                _unknown(*lost[0])
            text = "p.problem" if texts else "''"
            query = (
                f"SELECT p.answer, r.answer, p.answer_kind, {text} AS text, r.verdict, count(*) FROM {{rows}} r"
                f" JOIN read_parquet({problems}) p ON r.problem_id = p.id GROUP BY ALL ORDER BY ALL"
            )
            for gold, answer, kind, problem, verdict, count in scan.each(query):
                yield Attempt(gold, answer, kind, problem, verdict, count)


def _unknown(rollout: str, problem: str) -> NoReturn:
    raise DataError(f"rollout {rollout}: its problem {problem} is not in problems.parquet: `dvc repro rollouts`")


def of_file(path: Path, rules: Sequence[Rule]) -> Iterator[Attempt]:
    """JSON lines, an array of them, CSV, TSV or Parquet with gold, and answer or response (its answer is found by `rules`); kind (else
    `math`) and problem if there are.

    Raises DataError naming the row that has not this form.
    """
    reader = row_reader(path, "json", strict=True)
    for batch in reader.batches():
        for record in batch.records:
            at = f"{path}:{record.line}"
            if record.broken:
                raise DataError(f"{at} is {record.broken}")
            try:
                yield _attempt(dict.fromkeys(reader.header) | record.values, rules)
            except BadRow as error:
                raise DataError(f"{at}: {error}") from None


def _attempt(row: dict[str, Any], rules: Sequence[Rule]) -> Attempt:
    """Raises BadRow."""
    if "gold" not in row or not row.keys() & {"answer", "response"}:
        raise BadRow(f"the columns are {', '.join(row) or 'none'}: expected gold, and answer or response")
    gold, problem, kind = text_of(row["gold"], "gold"), text_of(row.get("problem"), "problem", "user"), row.get("kind") or "math"
    if gold is None:
        raise BadRow("gold is empty: expected a text")
    if kind not in KINDS:
        raise BadRow(f"kind is {str(kind)[:40]!r}: expected one of {', '.join(KINDS)}")
    if "answer" in row:
        return Attempt(gold, text_of(row["answer"], "answer"), kind, problem or "")
    response = text_of(row["response"], "response", "assistant")
    found = extract(response, rules, kind) if response is not None else None
    return Attempt(gold, found.text if found else None, kind, problem or "")


# What they say, for people


def opinion_blocks(opinions: Opinions, listed: int | None = None) -> Iterator[Block]:
    """Sentences, a line a pair of opinions, and the answers that not all agree on (at most `listed`)."""
    if not opinions.found:
        return
    yield Prose(_sample(opinions))
    lines = [line for pair in PAIRS if (line := _pair(opinions.found, *pair))]
    headers = ("one", "other", "answers", "differ", "differ, 95 % interval", "only one: correct", "only other: correct", "rows that differ")
    if lines:
        yield Table(headers, tuple(lines), "Verdicts that differ, over distinct answers: correct, or anything else")
    apart = [opinion for opinion in opinions.found if opinion.differs]
    shown = apart[:listed]
    if shown:
        rest = f" (the first {len(shown)} of {len(apart)})" if len(shown) < len(apart) else ""
        yield Table(
            ("kind", "gold", "answer", "rows", "grader", "reason", "by", "math-verify", "judge"),
            tuple(
                (row.kind, _cell(row.gold), _cell(row.answer), f"{row.rows:,}", row.ours, _cell(row.reason), row.by, row.mathverify or "",
                 row.judge or "")
                for row in shown
            ),
            f"Every answer on which verdicts differ{rest}",
        )  # fmt: skip


def _sample(opinions: Opinions) -> str:
    found, judged = opinions.found, [row.judge for row in opinions.found if row.judge]
    rows, stale = sum(row.rows for row in found), sum(row.stale for row in found)
    whole = len(found) == opinions.distinct
    parts = [
        f"{'All' if whole else f'{len(found):,} of'} {opinions.distinct:,} distinct (gold, answer, kind) of the kinds "
        f"{_listed(row.kind for row in found)}, {f'{rows:,}' if whole else f'which stand for {rows:,} of {opinions.rows:,}'} rows; "
        f"{amount(opinions.silent, 'row more holds', 'rows more hold')} no answer."
    ]
    if stale:
        parts.append(f"{amount(stale, 'row has', 'rows have')} another verdict on record than the grader gives now.")
    if opinions.judge:
        unread, failed = judged.count("unparsable"), len(found) - len(judged)
        lost = f"{unread:,} of its answers say neither same nor different, {amount(failed, 'request')} failed"
        parts.append(f"Judge: {opinions.judge}; {lost}.")
    return " ".join(parts)


def _listed(kinds: Iterable[AnswerKind]) -> str:
    there: Collection[AnswerKind] = set(kinds)
    return ", ".join(kind for kind in KINDS if kind in there)


def _pair(found: Sequence[Opinion], one: str, other: str) -> tuple[str, ...] | None:
    said = [(row, row.right(one), row.right(other)) for row in found]
    both = [(row, first, second) for row, first, second in said if first is not None and second is not None]
    if not both:
        return None
    only_one = sum(first and not second for _, first, second in both)
    only_other = sum(second and not first for _, first, second in both)
    rows = sum(row.rows for row, first, second in both if first != second)
    share = Share(only_one + only_other, len(both))
    return one, other, f"{share.of:,}", f"{share.hits:,}", share.percent, f"{only_one:,}", f"{only_other:,}", f"{rows:,}"


def _cell(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_CELL else line[: LONGEST_CELL - 1] + "…"
