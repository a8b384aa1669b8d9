"""`factory grade`: grade the answers of a file.

factory grade answers.jsonl --gold answer --response completion --rules all --out graded.jsonl
zcat answers.jsonl.gz | factory grade - --out - > graded.jsonl
"""

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from factory.cli.printing import print_table
from factory.errors import DataError
from factory.outputs import file_for
from factory.words import amount

if TYPE_CHECKING:
    from factory.files import Source
    from factory.grading.grader import Grader
    from factory.grading.protocol import Grade
    from factory.grading.rows import Columns
    from factory.schemas import Rule

# as in factory.grading.rows, which is too heavy for --help (a test compares them)
GOLD = "gold, answer, ground_truth, target, expected"
RESPONSE = "response, completion, generated_text, prediction, output, solution"
ADDED = ("verdict", "reason", "extracted", "rule")
VERDICTS = ("correct", "wrong", "unparsable", "timeout")
SLICE = 1000  # rows between two reports of progress
QUIET, EVERY = 5.0, 10.0  # seconds before the first line of progress, and between lines, where there is no terminal
MOST_REASONS, SHOWN = 10_000, 8  # different reasons that are counted, and that are shown

EPILOG = """
Exit codes: 0 graded, whatever the verdicts; 1 the file or a column cannot be graded; 2 wrong usage; 3 fewer correct rows than --fail-under.

\b
Examples:
  factory grade answers.jsonl
  factory grade rollouts.parquet --gold answer --kind answer_kind --rules all --out graded.parquet
  factory grade predictions.csv --gold target --answer prediction --kind choice
  factory grade answers.jsonl.gz --rules box,hash --fail-under 0.8
  zcat answers.jsonl.gz | factory grade - --out - > graded.jsonl
"""


def _text(flag: str, metavar: str, words: str) -> typer.models.OptionInfo:
    return typer.Option(flag, metavar=metavar, help=words, show_default=False)


File = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        show_default=False,
        help="JSONL or a JSON array, CSV, TSV or Parquet by its ending, .gz and .zst too. - is JSONL from standard input.",
    ),
]
Gold = Annotated[str, _text("--gold", "COLUMN", f"The gold answers. Without it the first column there is of {GOLD}.")]
Answer = Annotated[str, _text("--answer", "COLUMN", "Answers that are extracted already: no rule is applied.")]
Response = Annotated[
    str,
    _text("--response", "COLUMN", f"What a model wrote, without the prompt. Without it the first column there is of {RESPONSE}."),
]
Kind = Annotated[
    str, _text("--kind", "KIND", "number, math, choice, label, literal, table, text, or the column with each row's. Without it math.")
]
_RULES = "box, hash, tag, final_answer, answer_is, last_line, last_maths"
Rules = Annotated[
    str, _text("--rules", "RULES", f"Which rules may find the answer in a response: all, or some of {_RULES}. Without it box.")
]
Decimals = Annotated[
    int | None,
    typer.Option("--decimals", min=0, max=100, metavar="N", help="To how many decimals answers are asked for. Without it they are exact."),
]
Out = Annotated[str, _text("--out", "FILE", "The rows with their verdicts, by its ending. - is JSONL on standard output.")]
Prefix = Annotated[str, _text("--prefix", "TEXT", "What the names of the added columns begin with.")]
Seconds = Annotated[float, typer.Option("--seconds", min=0.1, metavar="N", help="The time of one answer that needs computer algebra.")]
Memory = Annotated[int, typer.Option("--memory-mb", min=64, metavar="N", help="The memory of one answer that needs computer algebra.")]
Workers = Annotated[int, typer.Option("--workers", min=1, metavar="N", help="Processes for computer algebra.")]
FailUnder = Annotated[
    float | None,
    typer.Option("--fail-under", min=0, max=1, metavar="SHARE", help="Exit with 3 when a smaller share of the rows is correct."),
]


@dataclass
class Tally:
    """What the summary tells. `reasons`: how often, and in which row first."""

    total: int
    done: int = 0
    by_worker: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    rules: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    report: Callable[[], None] = lambda: None

    def add(self, grade: "Grade") -> None:
        self.done += 1
        self.by_worker += grade.by == "worker"
        self.verdicts[grade.verdict] += 1
        if grade.rule:
            self.rules[grade.rule, grade.verdict] += 1
        if grade.verdict != "correct":
            key = grade.verdict, grade.reason
            if key not in self.reasons and len(self.reasons) >= MOST_REASONS:
                key = grade.verdict, "other reasons"
            self.reasons.setdefault(key, [0, self.done])[0] += 1

    @property
    def speed(self) -> float:
        return self.done / max(1e-9, time.monotonic() - self.started)


def grade(
    file: File, gold: Gold = "", answer: Answer = "", response: Response = "", kind: Kind = "math", rules: Rules = "",
    decimals: Decimals = None, out: Out = "", prefix: Prefix = "", seconds: Seconds = 5.0, memory_mb: Memory = 1024, workers: Workers = 2,
    fail_under: FailUnder = None,
) -> None:  # fmt: skip
    """Grade a file of answers: a verdict for every row, and a summary.

    A verdict is correct, wrong, unparsable (no answer was found, or one that cannot be read as its kind) or timeout. With --out the rows
    are written in their order with the columns verdict, reason, extracted and rule behind them, whole or not at all. What is no row
    (malformed JSON) stays in its place as unparsable, in a column named malformed.

    The rules say where in a response its answer is: box alone, as training wants it, or all for models that were not told to box. Of a
    conversation, a list of {"role", "content"}, the last content counts. docs/grading.md says which answers are the same.
    """
    from factory.files import opened_rows
    from factory.grading.grader import NO_ANSWER, Grader
    from factory.grading.protocol import ALL_RULES
    from factory.grading.rows import chosen
    from factory.reports.readable import visible

    names = rules_named(rules, gold, answer, response)
    check_output(file, out)
    with opened_rows(file) as source:
        columns = chosen(source, gold, answer, response, kind, decimals)
        added = [prefix + name for name in ADDED]
        if out and (there := [name for name in added if name in source.columns]):
            raise DataError(f"{source.name} has a column {there[0]!r} already: name ours apart, as with --prefix {prefix}graded_")
        with Grader(names, seconds=seconds, memory_mb=memory_mb, workers=workers) as grader:
            tally = grade_all(grader, source, columns, out, added)
        with contextlib.redirect_stdout(sys.stderr) if out == "-" else contextlib.nullcontext():
            summarise(tally, f"{source.name}: {columns.described()}" + ("" if answer else f", rules {', '.join(names)}"))
            lost = tally.reasons.get(("unparsable", NO_ANSWER), [0])[0]
            if lost and len(names) < len(ALL_RULES) and not answer:
                typer.echo(f"In {amount(lost, 'response')} the rules {', '.join(names)} found no answer: --rules all looks in more places.")
            if out not in ("", "-"):
                typer.echo(f"{amount(tally.done, 'row')} in {visible(out)}")
    share = tally.verdicts["correct"] / tally.done
    if fail_under is not None and share < fail_under:
        typer.echo(f"{100 * share:.2f} % of the rows are correct, fewer than the {100 * fail_under:g} % of --fail-under", err=True)
        raise typer.Exit(3)


def grade_all(grader: "Grader", source: "Source", columns: "Columns", out: str, added: Sequence[str]) -> Tally:
    """Grades batch by batch, and writes each to `out` if there is one."""
    from factory.files import ending
    from factory.grading.outputs import written
    from factory.grading.rows import grade_rows

    tally = Tally(source.rows)
    tables = source.schema is not None and ending(Path(out))[0] == "parquet"  # then whole columns go from one file to the other
    wanted = columns.needed() if tables or not out else None
    with written(out, source, added) if out else contextlib.nullcontext() as write, progress(tally, out):
        for batch in source.reader.batches(wanted, tables):
            grades: list[Grade] = []
            for start in range(0, len(batch.records), SLICE):
                grades += grade_rows(grader, batch.records[start : start + SLICE], columns)
                for made in grades[start:]:
                    tally.add(made)
                tally.report()
            if write:
                write(batch, [(made.verdict, made.reason, made.extracted, made.rule) for made in grades])
        tally.seconds = max(1e-9, time.monotonic() - tally.started)
    return tally


def rules_named(rules: str, gold: str, answer: str, response: str) -> "tuple[Rule, ...]":
    """Raises BadParameter for unknown rules, and for options that contradict each other."""
    from factory.grading.protocol import ALL_RULES, BOX

    if answer and (response or rules):
        raise typer.BadParameter(
            f"the answers are extracted already: leave out {'--response' if response else '--rules'}", param_hint="--answer"
        )
    if gold and gold in (answer, response):
        raise typer.BadParameter(f"{gold} cannot be the gold answers and the others", param_hint="--gold")
    words = [word.strip() for word in rules.split(",") if word.strip()]
    if unknown := [word for word in words if word not in (*ALL_RULES, "all")]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of all, {', '.join(ALL_RULES)}", param_hint="--rules")
    return (ALL_RULES if "all" in words else tuple(rule for rule in ALL_RULES if rule in words)) or BOX


def check_output(file: str, out: str) -> None:
    from factory.files import ENDINGS, ending

    path = Path(out)
    if out in ("", "-"):
        return
    if not ending(path)[0] or path.is_dir():
        raise typer.BadParameter(f"{out} is no file with one of the endings {', '.join(ENDINGS)}, or -", param_hint="--out")
    file_for(path)
    if file != "-" and path.exists() and Path(file).exists() and path.samefile(file):
        raise typer.BadParameter(f"{out} is the file that is graded: name another", param_hint="--out")


@contextlib.contextmanager
def progress(tally: Tally, out: str) -> Iterator[None]:
    """Reports on standard error: a bar on a terminal, else a line now and then once it takes long."""
    tally.started = time.monotonic()
    if not sys.stderr.isatty() or (out == "-" and sys.stdout.isatty()):
        due = tally.started + QUIET

        def line() -> None:
            nonlocal due
            if time.monotonic() >= due and tally.done < tally.total:
                due = time.monotonic() + EVERY
                left = (tally.total - tally.done) / tally.speed
                typer.echo(
                    f"{tally.done:,} of {amount(tally.total, 'row')} graded, {tally.speed:,.0f} rows/s, {left:,.0f} s left", err=True
                )

        tally.report = line
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn())
    with Progress(*shown, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=tally.total, speed="")
        tally.report = lambda: bar.update(task, completed=tally.done, speed=f"{tally.speed:,.0f} rows/s")
        yield


def summarise(tally: Tally, title: str) -> None:
    """Verdicts with Wilson intervals, rules, reasons, accuracy and speed."""
    from factory.evaluation.statistics import wilson
    from factory.reports.readable import visible

    typer.echo(visible(title))
    n, right = tally.done, tally.verdicts["correct"]
    cells = []
    for verdict in VERDICTS:
        low, high = wilson(count := tally.verdicts[verdict], n)
        cells.append([verdict, f"{count:,}", f"{100 * count / n:.2f} %", f"{100 * low:.2f} to {100 * high:.2f} %"])
    print_table(["verdict", "rows", "share", "95 % interval"], cells)
    if tally.rules:
        found = Counter({rule: sum(tally.rules[rule, verdict] for verdict in VERDICTS) for rule, _ in tally.rules})
        cells = [[rule, f"{count:,}", f"{100 * tally.rules[rule, 'correct'] / count:.2f} %"] for rule, count in found.most_common()]
        print_table(["answer found by", "rows", "correct"], cells)
    if tally.reasons:
        often = sorted(tally.reasons.items(), key=lambda item: (-item[1][0], item[1][1]))
        cells = [[verdict, visible(reason), f"{count:,}", f"{row:,}"] for (verdict, reason), (count, row) in often[:SHOWN]]
        print_table(
            ["not correct", "reason", "rows", "first row"], cells, f"{SHOWN} of {len(often):,} reasons" if len(often) > SHOWN else ""
        )
    if judged := right + tally.verdicts["wrong"]:
        also = f"; {100 * right / judged:.2f} % of the {amount(judged, 'answer')} that could be judged"
    typer.echo(f"Accuracy {100 * right / n:.2f} % of {amount(n, 'row')}, failures counted as wrong" + (also if judged else ""))
    typer.echo(f"{tally.seconds:,.1f} s, {n / tally.seconds:,.0f} rows/s; {tally.by_worker:,} needed computer algebra")
