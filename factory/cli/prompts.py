"""`factory prompts`: what the models are asked, and what they are really sent.

factory prompts show critic
factory prompts show generator --row 9d02
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from factory.cli.printing import console, print_fields
from factory.errors import DataError, EngineError, ParamsError
from factory.planning.questions import ASKS, OF_TEMPLATES, asked, example, library, values
from factory.words import amount

if TYPE_CHECKING:
    from factory.params import Role
    from factory.schemas import Conversation, Problem

prompts = typer.Typer(no_args_is_help=True, help="What the models are asked: the set or folder of prompts of each role.")


@prompts.command("show", epilog="Examples: factory prompts show critic · factory prompts show generator --row 9d02")
def prompts_show(
    role: Annotated[str, typer.Argument(help=f"A role of params.yaml: {', '.join(ASKS)}.")],
    row: Annotated[str, typer.Option("--row", help="The beginning of an id: of a problem, or of a row with a prompt.")] = "",
) -> None:
    """Each question of a role as its model gets it: the chat template applied, special tokens in colour, with the number of tokens."""
    from factory.engines.dialect import holds_schemas
    from factory.language.prompting import Prompts
    from factory.params import load
    from factory.templates.questions import QUESTIONS

    params = load()
    if role not in ASKS:
        raise ParamsError(f"{role} is asked nothing: expected {', '.join(ASKS)}")
    if role not in params.roles:
        raise ParamsError(f"params.yaml has no roles.{role}: it names {', '.join(params.roles) or 'none'}")
    asking = Prompts.of(params.asked_with(role))
    found = _row_with_prompt(row)
    if found:
        _print(params.roles[role], [found])
        return
    given = values(_problem(row), params.steps, library()[:3])
    json = holds_schemas(params.roles[role])  # then questions that can ask for JSON do
    questions = [(f"{name}  {asking.version(name)}  {asking.files[name]}", asked(asking, name, given, json=json)) for name in ASKS[role]]
    if role == "labeller":
        questions += [(f"{name}  {QUESTIONS.version(name)}", asked(asking, name, given, json=json)) for name in OF_TEMPLATES]
    _print(params.roles[role], questions)


def _print(role: "Role", questions: "list[tuple[str, Conversation]]") -> None:
    from rich.text import Text

    from factory.engines.sent import sent
    from factory.reports.readable import visible

    output = console()
    try:
        found = sent(role, [conversation for _, conversation in questions])
    except EngineError as error:
        output.print(f"{error}. The conversations:", style="dim", markup=False)
        for title, conversation in questions:
            output.rule(title, align="left")
            print_fields(output, [(message.role, visible(message.content)) for message in conversation])
        return
    for (title, _), what in zip(questions, found, strict=True):
        output.rule(title, align="left")
        if what.refused:
            output.print(what.refused, style="bold red", markup=False)
            continue
        text = Text()
        for piece in what.pieces:
            text.append(visible(piece.text), style="bold magenta" if piece.special else "")
        output.print(text)
        output.print(f"{amount(what.tokens, 'token')}, then the model answers", style="dim")


def _row_with_prompt(row: str) -> "tuple[str, Conversation] | None":
    """The row whose id begins so, in any table with prompts: what its model was asked, a restart with the words that it goes on from."""
    from factory.language.conversation import begun

    for table, item in _found(row):
        if prompt := getattr(item, "prompt", None):
            return f"{table} {item.id}", begun(prompt, getattr(item, "prefix", ""))
    return None


def _problem(row: str) -> "Problem":
    """The problem whose id begins so, else the first of the train split, else an example. Raises DataError for an id that is nowhere."""
    from factory.schemas import Problem
    from factory.storage import TABLES, read_rows

    problems = read_rows(TABLES / "problems.parquet", Problem) if (TABLES / "problems.parquet").exists() else []
    if row:
        found = [problem for problem in problems if problem.id.startswith(row)]
        if not found:
            raise DataError(f"no problem and no row with a prompt has an id that begins with {row}: `factory show problems` shows some")
        return found[0]
    train = [problem for problem in problems if problem.split == "train"]
    if train:
        return train[0]
    return example()


def _found(row: str) -> Iterator[tuple[str, Any]]:
    from factory.gate.background import kind_of
    from factory.schemas import Conversation, field_types
    from factory.storage import TABLES, find_rows, rows_at
    from factory.tables import TABLES as ROW_TYPES

    for path in sorted(TABLES.glob("*.parquet")) if row else ():
        try:
            row_type = ROW_TYPES[kind_of(path.stem)]
        except ParamsError:
            continue
        if field_types(row_type).get("prompt") == Conversation and (places := find_rows(path, row, 1)):
            yield path.stem, rows_at(path, row_type, places)[0]
