"""Foreign problems beside benchmarks, and beside each other: what the line does with its own problems, here as warnings with their rows.

    looked = look(table, "problems", problems, settings(["gsm8k_test.jsonl"]))
    looked.findings[0].says     → "no problem is a question of gsm8k_test.jsonl"
    looked.matched[0]           → Matched("8c1f…", "gsm8k_test.jsonl", "Janet's ducks …", "18", "verbatim", 1.0)

The rules are docs/contamination.md's: containment of n-grams, or all numbers and most words of a question; near-duplicates by shingles.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from factory.foreign.checking import NotChecked
from factory.gate.expectations import Finding, short
from factory.params import load
from factory.problems.decontaminate import Benchmark, matches
from factory.problems.dedup import CONTRADICTION, deduplicate
from factory.schemas import Problem

PARAMS = Path("params.yaml")
GRAM, NEAR = 8, 0.9  # tokens; similarity of shingles: the profiles' problems.contamination_ngram and near_duplicate, where no params are
EXAMPLES = 3
LIKE, LIKE_REASON = "no problem is a near-duplicate of another one", "near-duplicate"
SAME, BENCHMARK = "problems with the same words have the same answer", "no problem is a question of a benchmark"
UNNAMED = "no benchmark is named: --against FILE, or problems.benchmarks in a params.yaml here"


@dataclass(frozen=True)
class Settings:
    """`benchmarks`: their files."""

    benchmarks: tuple[str, ...] = ()
    gram: int = GRAM
    near: float = NEAR


@dataclass(frozen=True)
class Matched:
    """A row whose problem is a benchmark's question. `evidence`: verbatim or reworded; `share` of the question that the row has."""

    id: str
    benchmark: str
    question: str
    answer: str
    evidence: str
    share: float


@dataclass
class Looked:
    """`places`: of each finding the rows that break it."""

    findings: list[Finding] = field(default_factory=list)
    places: list[tuple[int, ...]] = field(default_factory=list)
    left: list[NotChecked] = field(default_factory=list)
    matched: list[Matched] = field(default_factory=list)

    def add(self, kind: str, says: str, places: Sequence[int], of: int, examples: Sequence[tuple[str, str]]) -> None:
        told = dict.fromkeys((key, short(value)) for key, value in examples[:EXAMPLES])
        self.findings.append(Finding(kind, "", says, False, not places, len(places), of, "", tuple(told), "problem"))
        self.places.append(tuple(places))


def settings(named: Sequence[str]) -> Settings:
    """The benchmarks that are named, else those of a params.yaml here, whose thresholds hold in any case."""
    if not PARAMS.is_file():
        return Settings(tuple(named))
    problems = load(PARAMS).problems
    return Settings(tuple(named or problems.benchmarks), problems.contamination_ngram, problems.near_duplicate)


def look(table: pa.Table, kind: str, problems: Mapping[str, Problem], given: Settings) -> Looked:
    """`problems`: what the rows say of theirs. Raises DataError for a benchmark that cannot be read, before anything is compared."""
    found, benchmarks = Looked(), [Benchmark.read(path, given.gram) for path in given.benchmarks]
    asked, rows = _asked(table, kind, problems)
    if not asked:
        reason = f"no column of {kind} is a problem"
        found.left += [NotChecked(says, False, reason) for says in (BENCHMARK, LIKE)]
        return found
    ids = table.column("id").to_pylist()
    if not benchmarks:
        found.left.append(NotChecked(BENCHMARK, False, UNNAMED))
    _beside_benchmarks(found, asked, rows, ids, benchmarks)
    _beside_each_other(found, asked, rows, ids, given.near)
    return found


def _asked(table: pa.Table, kind: str, problems: Mapping[str, Problem]) -> tuple[list[Problem], list[list[int]]]:
    """The problems, and of each the rows that are of it. In a table of problems those with one text and answer are one."""
    rows = defaultdict[str, list[int]](list)
    if kind == "problems":
        known = {problem.problem: problem for problem in problems.values()}
        pairs = dict[tuple[str, str], list[int]]()
        for at, pair in enumerate(zip(*(table.column(name).to_pylist() for name in ("problem", "answer")))):
            pairs.setdefault(pair, []).append(at)
        numbered = [(f"{at:020}", text, answer) for at, (text, answer) in enumerate(pairs)]
        return [replace(known[text], id=key, instance=key, answer=answer) for key, text, answer in numbered], list(pairs.values())
    for at, key in enumerate(table.column("problem_id").to_pylist() if "problem_id" in table.column_names else ()):
        if key in problems:
            rows[key].append(at)
    return [replace(problems[key], id=key, instance=key) for key in rows], list(rows.values())


def _beside_benchmarks(
    found: Looked, asked: Sequence[Problem], rows: Sequence[Sequence[int]], ids: Sequence[str], benchmarks: Sequence[Benchmark]
) -> None:
    told = matches([(problem.problem, problem.answer) for problem in asked], benchmarks)
    for number, benchmark in enumerate(benchmarks):
        pairs = [(at, match) for places, match in zip(rows, told, strict=True) if match and match.benchmark == number for at in places]
        held = [
            Matched(ids[at], benchmark.name, benchmark.asked[match.at], benchmark.answers[match.at], match.evidence, round(match.share, 3))
            for at, match in sorted(pairs)
        ]
        examples = [(item.id, f"{item.evidence}, {item.share:.0%}: {item.question}") for item in held]
        says = f"no problem is a question of {benchmark.name}"
        found.add("problems_of_no_benchmark", says, sorted(at for at, _ in pairs), len(ids), examples)
        found.matched += held


def _beside_each_other(found: Looked, asked: Sequence[Problem], rows: Sequence[Sequence[int]], ids: Sequence[str], near: float) -> None:
    _, doubles = deduplicate(asked, near)
    places = {problem.id: list(held) for problem, held in zip(asked, rows, strict=True)}
    for kind, says, reason in (
        ("problems_unlike_each_other", LIKE, LIKE_REASON), ("one_answer_a_problem", SAME, CONTRADICTION),
    ):  # fmt: skip
        told = {json.loads(item.row)["id"]: item.parent_id for item in doubles if item.reason == reason}
        bad = sorted((at, other) for key, other in told.items() for at in places[key])
        examples = [(ids[at], f"like {ids[places[other][0]]}" if other else reason) for at, other in bad]
        found.add(kind, says, [at for at, _ in bad], len(ids), examples)
