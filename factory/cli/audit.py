"""`factory audit`: data that somebody else made; what the demonstrations are, and how far a critic and the grader can be trusted.

factory audit solutions.jsonl --as rollouts --map completion=response --out audits/solutions
factory audit demonstrations
factory audit critics --data ../shared/data
factory audit grading rollouts_base -n 200
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from factory.cli.columns import pairs
from factory.cli.printing import print_table
from factory.errors import DataError
from factory.outputs import file_for
from factory.words import amount

if TYPE_CHECKING:
    from factory.language.steps import By
    from factory.params import Grading, Params
    from factory.reports.opinions import Attempt, Opinions
    from factory.reports.page import Block
    from factory.schemas import Rule

ELSEWHERE = Path(__file__).parents[3] / "shared" / "data"


class FileFirst(TyperGroup):
    """What is none of the commands is data to audit: `factory audit solutions.jsonl` means `factory audit data solutions.jsonl`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["data", *args]
        return super().parse_args(ctx, args)


audit = typer.Typer(
    no_args_is_help=True, cls=FileFirst,
    help="Data that somebody else made (factory audit FILE); the demonstrations; how far a critic and the grader can be trusted.",
)  # fmt: skip
Markdown = Annotated[bool, typer.Option("--markdown", help="As Markdown, for the docs.")]


def show(title: str, blocks: "Iterable[Block]", markdown: bool) -> None:
    """Tables and sentences; figures are the report's."""
    from factory.reports.page import Prose, Section, Table
    from factory.reports.page import markdown as written
    from factory.reports.readable import visible

    found = tuple(blocks)
    if markdown:
        typer.echo(written(title, "", [Section("Tables", found)]))
        return
    for block in found:
        if isinstance(block, Prose):
            typer.echo(visible(block.text) + "\n")
        elif isinstance(block, Table):
            print_table(list(block.headers), [[visible(cell) for cell in row] for row in block.rows], visible(block.caption))


class Steps(StrEnum):
    line = "line"
    paragraph = "paragraph"


DATA = """
The name may be a file (.jsonl, .json, .csv, .tsv, .parquet, and .gz or .zst), a folder of Parquet shards, a dataset of this line, or
org/name on the Hub. Kind and columns are guessed by the usual names and said; --as and --map overrule that. What cannot be checked (no
parents, no answers, no lineage) is told with its reason. Problems are compared with each other, and with benchmarks (--against, else
problems.benchmarks of a params.yaml here): what is found there is a warning. The exit status is 1 when a critical expectation fails or a
record is no row.

\b
Examples:
  factory audit solutions.jsonl
  factory audit solutions.csv --as rollouts --map completion=model_output --map answer=gold --out audits/solutions
  factory audit questions.jsonl --against gsm8k_test.jsonl --against math_test.jsonl
  factory audit org/name --revision 4f1c2ab --config main --split train --out audits/name
"""


@audit.command("data", epilog=DATA)
def data_(
    name: Annotated[str, typer.Argument(metavar="FILE|FOLDER|DATASET|HUB-ID", help="What to audit.")],
    kind: Annotated[str | None, typer.Option("--as", metavar="KIND", help="The kind of its rows: rollouts, restarts, problems, …")] = None,
    given: Annotated[list[str], typer.Option("--map", metavar="OURS=THEIRS", help="A column here and which of theirs it is.")] = [],  # noqa: B006
    steps: Annotated[Steps | None, typer.Option("--steps", help="What a step is: line or paragraph. Without it by the texts.")] = None,
    against: Annotated[list[str], typer.Option("--against", metavar="FILE", help="A benchmark that it should not hold.")] = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Write the page, Markdown, rows and rejects here.")] = None,
    revision: Annotated[str | None, typer.Option("--revision", help="Of the Hub: a commit, branch or tag.")] = None,
    config: Annotated[str | None, typer.Option("--config", help="Of the Hub: which configuration.")] = None,
    split: Annotated[str | None, typer.Option("--split", help="Of the Hub: which split.")] = None,
    markdown: Markdown = False,
) -> None:
    """Data that somebody else made, by the gate's checks: columns mapped, what is missing told, what fails with its rows."""
    from factory.foreign.audit import audit as read
    from factory.foreign.telling import place_of, summary_blocks, write

    if out:
        place_of(out)  # before the work
    by: By | None = "line" if steps is Steps.line else "paragraph" if steps else None
    found = read(name, kind=kind, given=pairs("--map", given), steps=by, revision=revision, config=config, split=split, against=against)
    if out:
        write(out, found)
    show(f"Audit of {found.name}", summary_blocks(found), markdown)
    if out:
        typer.echo(f"The whole audit: {out / 'index.html'}")
    if not found.audit.success:
        raise typer.Exit(1)


@audit.command("demonstrations", epilog="Examples: factory audit demonstrations · factory audit demonstrations --markdown")
def demonstrations_(markdown: Markdown = False) -> None:
    """The demonstrations here: type mix, words, actions, lead-ins, yield and rejects, what hints give away, tokens and cost per row.

    Reads data/tables, data/rejects and data/logs of the working directory. A low entropy of lead-ins or a type that is missing shows in
    what a tuned model says; a reason with many rejects says which critic or prompt to correct first. The report has the same with charts.
    """
    from factory.reports.demonstrations import demonstrations
    from factory.reports.report import critics

    blocks = list(demonstrations())
    if not blocks:
        raise DataError(f"no demonstrations in {Path.cwd()}: `dvc repro demonstrations` makes them")
    show("Demonstrations", [*critics(), *blocks], markdown)


@audit.command("critics", epilog="Examples: factory audit critics · factory audit critics --data ../shared/data --markdown")
def critics_(
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of public data: recorded/, gsm8k/. Without it COAT_DATA, or ../shared/data.")
    ] = None,
    markdown: Markdown = False,
) -> None:
    """Critics on real solutions that people have labelled: coverage, agreement, false accepts, false alarms, the wrong step named right.

    `reference` compares a solution's equations with the gold solution's, `arithmetic` only checks that they hold; both are free. Claude and
    GPT-3.5 are recorded judgements of MR-GSM8K, asked through the engine `recorded`: their yield and rejects by reason follow. Low coverage
    says that a free critic is not enough for such problems; false accepts, that wrong solutions would be taught as right.
    """
    from factory.reports.calibration import calibration

    folder = data or Path(os.environ.get("COAT_DATA", ELSEWHERE))
    if not (folder / "recorded").is_dir():
        raise DataError(f"{folder}/recorded is no folder: say where the public data is with --data or COAT_DATA")
    show("Critics", calibration(folder), markdown)


@audit.command(
    "grading", epilog="Examples: factory audit grading · factory audit grading rollouts_base -n 200 · factory audit grading a.parquet"
)
def grading_(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME|FILE]",
            help="A rollouts table, or a file (.jsonl, .json, .csv, .tsv, .parquet): gold, answer or response; kind, problem if there are.",
        ),
    ] = None,
    most: Annotated[int, typer.Option("-n", min=1, help="How many distinct answers to ask about at most.")] = 500,
    rules: Annotated[
        str | None,
        typer.Option("--rules", help="What finds the answer in a response: rule,rule or all. Without it those of params.yaml, or box."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write every opinion here, as JSON lines.")] = None,
    markdown: Markdown = False,
) -> None:
    """Verdicts beside a second opinion: Math-Verify alone, a model with roles.judge in params.yaml; and the answers on which they differ.

    Without a name all rollouts of data/tables. The shares say how often verdicts differ, and only the rows who is right: read those.
    Math-Verify knows the kinds number and math; of the others only a judge says something. Nothing here changes a verdict.
    """
    from factory.params import load
    from factory.reports.opinions import opinion_blocks
    from factory.reports.page import Prose

    if out:
        file_for(out)
    params = load() if Path("params.yaml").exists() else None
    limits = _limits(params, rules)
    opinions = _opinions(_attempts(name, limits.rules), params, limits, most)
    if not opinions.found:
        silent = amount(opinions.silent, "row holds", "rows hold")
        raise DataError(f"no answers of the kinds {', '.join(opinions.kinds)} ({silent} no answer): nothing to judge")
    if out:
        _write(out, opinions)
    notes = [] if opinions.judge else [Prose("No model was asked: there is no roles.judge in params.yaml.")]
    show("Grading", [*notes, *opinion_blocks(opinions)], markdown)


def _limits(params: "Params | None", rules: str | None) -> "Grading":
    from factory.grading.grader import MEMORY_MB, SECONDS, WORKERS
    from factory.grading.protocol import ALL_RULES, BOX
    from factory.params import Grading

    limits = params.grading if params else Grading(rules=list(BOX), seconds=SECONDS, memory_mb=MEMORY_MB, workers=WORKERS)
    if rules is None:
        return limits
    named = list(ALL_RULES) if rules == "all" else [rule for rule in ALL_RULES if rule in rules.split(",")]
    if unknown := set(rules.split(",")) - {*ALL_RULES, "all"}:
        raise DataError(f"--rules: no rule {sorted(unknown)[0]!r}: expected all, or some of {', '.join(ALL_RULES)}")
    return limits.model_copy(update={"rules": named})


def _attempts(name: str | None, rules: "Sequence[Rule]") -> "Iterator[Attempt]":
    """Raises DataError when there is no such file or table."""
    from factory.files import ending
    from factory.reports.opinions import of_file, of_rollouts
    from factory.storage import TABLES

    if name and (Path(name).is_file() or any(ending(Path(name)))):
        yield from of_file(Path(name), rules)
        return
    there = sorted(TABLES.glob("rollouts_*.parquet"))
    tables = [path for path in there if name in (None, path.stem)]
    if not tables:
        known = ", ".join(path.stem for path in there) or f"none in {TABLES.absolute()}, `dvc repro` makes them"
        raise DataError(f"no rollouts table{f' or file {name!r}' if name else ''}: there is {known}")
    yield from of_rollouts(tables)


def _opinions(attempts: "Iterable[Attempt]", params: "Params | None", limits: "Grading", most: int) -> "Opinions":
    from factory.engines.select import Engines
    from factory.reports.opinions import second_opinions

    role = params.roles.get("judge") if params else None
    if not params or not role:
        return second_opinions(attempts, limits, most=most)
    with Engines(params.requests, "audit", params.budget) as engines:
        return second_opinions(attempts, limits, judge=engines.engine(role, "judge"), most=most)


def _write(path: Path, opinions: "Opinions") -> None:
    import orjson

    from factory.whole import whole_file

    rows = [dataclasses.asdict(opinion) | {"differs": opinion.differs} for opinion in opinions.found]
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}") from None
