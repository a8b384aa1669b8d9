"""`factory solve`: a problem solved with templates, step by step, and what happened on the way.

factory solve "Ann has 12 pens and buys 3 boxes of 4 pens. How many pens has she now?" --answer 24 --page trace.html
factory solve --problems dev.jsonl --json traces.jsonl
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from factory.cli.printing import coloured, console, print_table
from factory.errors import DataError
from factory.outputs import file_for

if TYPE_CHECKING:
    from rich.console import Console

    from factory.params import Params
    from factory.templates.traces import Trace

STYLES = {"plain": "bold", "good": "bold green", "bad": "bold yellow"}
LIBRARY = "data/library.duckdb"
PROBLEM, GOLD = ("problem", "question", "prompt"), ("answer", "gold", "target")
MARK = "####"
LARGEST = 2**63 - 1  # of a number in a request's key
HOTTEST = 10.0  # of a temperature: far above it every token is as likely, and inf is no number of JSON
EPILOG = """
The planner plans: roles.planner, or with --planner a trained one; else roles.labeller chooses from the templates that fit. roles.inference
carries the steps out. With --model one model does all of it, whatever params.yaml says of roles. Every answer is kept in the request
store (FACTORY_STORE): a run that was killed goes on where it was.

Exit codes: 0 answered, right or wrong; 1 nothing could be asked; 2 wrong usage; 3 the loop ended without an answer (of one problem).

\b
Examples:
  factory solve "Ann has 12 pens and buys 3 boxes of 4 pens. How many pens has she now?" --answer 24
  factory solve "…" --library data/datasets/templates --rounds 6 --tokens 1200 --page trace.html
  factory solve "…" --planner data/models/planner_dpo --evaluator critic
  factory solve "…" --planner data/models/planner_dpo --evaluator data/models/planner_adjust
  factory solve --problems dev.jsonl -n 100 --json traces.jsonl
  factory solve "…" --model Qwen2.5-7B-Instruct@1 --server http://localhost:8000/v1
  factory solve --trace trace.json --page trace.html
"""


def _file(flag: str, words: str) -> Any:
    return typer.Option(flag, metavar="FILE", help=words, show_default=False)


def solve(
    problem: Annotated[str, typer.Argument(help="The problem in words; - reads it from standard input.", show_default=False)] = "",
    library: Annotated[
        str, typer.Option("--library", metavar="PATH", help="A library (.duckdb), a Parquet file or a dataset folder of templates.")
    ] = LIBRARY,
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", min=0, max=LARGEST, help="Steps that are carried out at most, those done again too.")
    ] = 12,
    tokens: Annotated[
        int, typer.Option("--tokens", metavar="N", min=8, max=LARGEST, help="Tokens that are generated at most, for each problem.")
    ] = 3000,
    step_tokens: Annotated[
        int,
        typer.Option(
            "--step-tokens", metavar="N", min=8, max=LARGEST, help="Of one plan, step or evaluation; more for a model that thinks."
        ),
    ] = 200,
    answer_tokens: Annotated[int, typer.Option("--answer-tokens", metavar="N", min=8, max=LARGEST, help="Of the final answer.")] = 512,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", min=0, max=LARGEST, help="Without it that of params.yaml.", show_default=False)
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", metavar="T", min=0, max=HOTTEST, help="0: greedy. What is asked again is sampled.")
    ] = 0.0,
    planner: Annotated[
        str, typer.Option("--planner", metavar="MODEL", help="A trained planner: a folder, or a Hub id at a commit.", show_default=False)
    ] = "",
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="Plays all roles: a folder, a Hub id at a commit, or with --server its "
            "name@version (a version of your own choice, part of every request's key).",
            show_default=False,
        ),
    ] = "",
    server: Annotated[
        str,
        typer.Option("--server", metavar="URL", help="Where --model is served, as OpenAI does: http://host:8000/v1.", show_default=False),
    ] = "",
    evaluator: Annotated[
        str,
        typer.Option(
            "--evaluator", metavar="ROLE|MODEL", help="Who evaluates steps: planner, critic, or a trained one's folder.", show_default=False
        ),
    ] = "",
    answer: Annotated[str, typer.Option("--answer", metavar="TEXT", help="The gold answer, to grade the result.", show_default=False)] = "",
    kind: Annotated[
        str, typer.Option("--kind", metavar="KIND", help="Of the answer: number, math, choice, label, literal, table or text.")
    ] = "math",
    problems: Annotated[
        str, _file("--problems", "Many problems: JSONL, CSV or Parquet with a column problem or question, and answer to grade.")
    ] = "",
    answer_after: Annotated[
        str, typer.Option("--answer-after", metavar="MARK", help="Of a row's answer counts what stands behind it, where it is there.")
    ] = MARK,
    n: Annotated[int | None, typer.Option("-n", metavar="N", min=1, help="So many of --problems, the first.", show_default=False)] = None,
    json_: Annotated[str, _file("--json", "The trace as JSON, one a line of many problems. - is standard output, without the view.")] = "",
    page: Annotated[str, _file("--page", "The trace as one HTML page.")] = "",
    trace: Annotated[str, _file("--trace", "Show traces that --json wrote, and solve nothing.")] = "",
) -> None:
    """Solve a problem with the template library: plan, look up, carry out, evaluate, adjust, answer. Shows what happened.

    A planned step whose template is not in the library is left out; without any the problem is solved directly. Within its rounds and
    tokens it ends with an answer or with what it lacked.
    """
    from factory.schemas import AnswerKind, choices
    from factory.storage import MODELS

    if kind not in choices(AnswerKind):
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(choices(AnswerKind))}", param_hint="--kind")
    if sum(map(bool, (problem, problems, trace))) != 1:
        raise typer.BadParameter("give one of a problem, --problems FILE and --trace FILE", param_hint="PROBLEM")
    if server and not model:
        raise typer.BadParameter("name the model that is asked there, --model name@version", param_hint="--server")
    for flag, name in (("--planner", planner), ("--model", "" if server else model)):
        if name and "@" not in name and not Path(name).is_dir() and MODELS not in Path(name).parents:
            raise DataError(f"{flag} {name} is no folder here: expected a model's folder, or org/name@commit of the Hub")
    for flag, path in (("--json", json_), ("--page", page)):
        if path not in ("", "-"):
            file_for(Path(path), flag)  # before the work
    if trace:
        found = _saved(Path(trace))
    else:
        asked = _rows(problems, n, answer_after) if problems else [(_words(problem), _whole(answer))]
        bounds = {"rounds": rounds, "tokens": tokens, "temperature": temperature, "answer_tokens": answer_tokens}
        bounds |= dict.fromkeys(("plan_tokens", "step_tokens", "check_tokens"), step_tokens)
        found = _solved(asked, library, bounds, seed, planner, evaluator, kind, (model, server))
    if json_ not in ("", "-"):
        _write(Path(json_), _lines(found))
    if page:
        from factory.reports.traces import page as written

        _write(Path(page), written(found))
    if json_ == "-":
        sys.stdout.write(_lines(found))
    elif len(found) == 1:
        show(found[0])
    else:
        from factory.reports.solved import summary

        print_table(["", ""], summary(found))
    if len(found) == 1 and found[0].ended.how == "failed":
        raise typer.Exit(3)


def _words(problem: str) -> str:
    from factory.engines.bodies import whole

    text = whole(sys.stdin.buffer.read().decode("utf-8", "replace") if problem == "-" else problem).strip()
    if not text:
        raise DataError("the problem has no words: write it in quotes, or give - and the text on standard input")
    return text


def _whole(text: str) -> str:
    from factory.engines.bodies import whole

    return whole(text)


def _rows(name: str, n: int | None, mark: str) -> list[tuple[str, str]]:
    """(problem, gold answer or "") of the first n rows; of an answer that has `mark` in it (GSM8K's `####`) what is behind it. Raises
    DataError for a file without such a column, or with a row that is none."""
    from factory.engines.bodies import whole
    from factory.files import row_reader

    found: list[tuple[str, str]] = []
    for batch in row_reader(Path(name)).batches():
        for record in batch.records:
            if len(found) == n:
                return found
            texts = [whole(str(record.values[key])).strip() for key in PROBLEM if record.values.get(key)]
            if record.broken or not texts:
                what = record.broken or f"no column {' or '.join(PROBLEM)} with words in it"
                raise DataError(f"{name}, row {record.line}: {what}")
            gold = next((whole(str(record.values[key])) for key in GOLD if record.values.get(key) not in (None, "")), "")
            found.append((texts[0], gold.rpartition(mark)[2].strip() if mark else gold))
    if not found:
        raise DataError(f"{name} has no rows: expected one problem a row")
    return found


def _solved(
    asked: Sequence[tuple[str, str]],
    library: str,
    bounds: dict[str, Any],
    seed: int | None,
    planner: str,
    evaluator: str,
    kind: Any,
    played_by: tuple[str, str],
) -> "list[Trace]":
    from factory.engines.select import Engines
    from factory.params import load
    from factory.templates.lookup import Lookup, load_templates
    from factory.templates.solver import Settings, solver_of
    from factory.templates.solving import grade_all, solve_all

    params = _played(load(), *played_by)
    lookup = Lookup(load_templates(Path(library)))
    told = params.seed if seed is None else seed
    settings = Settings(**bounds, seed=told, steps=params.steps, rules=tuple(params.grading.rules), kind=kind)
    failing = params.requests.model_copy(update={"max_failed_share": 1.0})  # a failed request is stated in its trace
    with Engines(failing, "solve", params.budget) as engines:
        solver = solver_of(params, engines, lookup, settings, planner, evaluator)
        traces = solve_all([problem for problem, _ in asked], solver)
    return grade_all(traces, [gold for _, gold in asked], kind, params.grading)


def _played(params: "Params", model: str, server: str) -> "Params":
    """The params with one model as labeller and inference model and no trained planner, asked with the prompts `instruct`; a folder runs
    on the engine of roles.inference where that is one of this program. Not checked against the rest of the line, whose stages may need more
    of a role than the loop does."""
    from factory.params import Role

    if not model:
        return params
    inference = params.roles.get("inference")
    if server:
        role = Role(engine="openai", model=model, base_url=server)
    elif inference and inference.engine == "vllm":
        role = inference.model_copy(update={"model": model, "prompts": "instruct"})
    else:
        role = Role(engine="transformers", model=model)
    others = {name: kept for name, kept in params.roles.items() if name != "planner"}
    return params.model_copy(update={"roles": {**others, "labeller": role, "inference": role}})


def _lines(traces: "Sequence[Trace]") -> str:
    import orjson

    return "".join(orjson.dumps(trace.document()).decode() + "\n" for trace in traces)


def _write(path: Path, text: str) -> None:
    from factory.whole import whole_file

    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _saved(path: Path) -> "list[Trace]":
    import orjson

    from factory.templates.traces import read_trace

    if not path.is_file():
        raise DataError(f"{path} is missing: `factory solve … --json {path}` writes it")
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                found.append(read_trace(orjson.loads(line)))
            except (orjson.JSONDecodeError, DataError) as error:
                raise DataError(f"{path}, line {number}: {error}") from None
    if not found:
        raise DataError(f"{path} has no trace in it")
    return found


def show(trace: "Trace") -> None:
    from factory.reports.readable import visible
    from factory.reports.traces import ended, entries, models, took

    output = console()
    output.print(coloured(trace.problem))
    for entry in entries(trace):
        _print(output, entry.title, STYLES[entry.state])
        for line in filter(None, (entry.text,)):
            output.print(coloured("\n".join("  " + part for part in line.split("\n"))))
        if entry.told:
            output.print(f"  {entry.told}", style="dim", markup=False)
    _print(output, ended(trace), STYLES["good" if trace.ended.how == "answered" else "bad"])
    output.print(visible(f"{took(trace)}\n{models(trace)}"), style="dim", markup=False)


def _print(output: "Console", text: str, style: str) -> None:
    output.print()
    output.print(text, style=style, markup=False)
