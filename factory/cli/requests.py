"""`factory requests`: look into the store of everything that models were asked.

factory requests stats
factory requests show 9f0c --stage rollouts_base
factory requests export answers.jsonl --stage demonstrations
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from factory.cli.printing import coloured, console, print_table
from factory.errors import DataError
from factory.outputs import file_for
from factory.words import amount

if TYPE_CHECKING:
    from factory.engines.ledger import Ledger

requests = typer.Typer(no_args_is_help=True, help="The store of everything that models were asked.")

Stage = Annotated[str, typer.Option("--stage", help="Only this stage's, as `factory requests stats` names it.")]
Model = Annotated[str, typer.Option("--model", help="Only this model's: name@revision.")]


@contextmanager
def opened(reading: bool = True) -> Iterator["Ledger"]:
    """Raises DataError when there is no store yet."""
    from factory.engines.ledger import Ledger
    from factory.engines.store import default_path

    if not default_path().exists():
        raise DataError(f"{default_path()} does not exist yet: the first stage that asks a model makes it")
    store = Ledger.reader(default_path()) if reading else Ledger(default_path())
    try:
        yield store
    finally:
        store.close()


@requests.command("stats")
def stats() -> None:
    """Requests, tokens and hits by stage, over all runs and all copies of the project that share the store."""
    with opened() as store:
        cells = [
            [row.stage, f"{row.requests:,}", f"{row.prompt_tokens:,}", f"{row.completion_tokens:,}", f"{row.failures:,}", f"{row.hits:,}",
             f"{row.reused:,}", f"{row.misses:,}", f"{row.seconds:,.0f}", f"{row.bytes / 1e6:.1f}"]
            for row in store.usage()
        ]  # fmt: skip
        headers = ["stage", "requests", "tokens in", "tokens out", "failed", "hits", "of another max_tokens", "misses", "seconds", "MB"]
        print_table(headers, cells, str(store.path))


@requests.command(
    "show", epilog="Examples: factory requests show 9f0c · factory requests show --stage plans -n 1 · factory requests show --failed"
)
def show(
    key: Annotated[str, typer.Argument(help="How a request's key begins: the request_ids of rows.")] = "",
    stage: Stage = "",
    model: Model = "",
    n: Annotated[int, typer.Option("-n", min=1, max=100_000, help="How many.")] = 3,
    failed: Annotated[bool, typer.Option("--failed", help="Requests that stay without an answer, and why.")] = False,
) -> None:
    """What was asked and what was answered, to the letter."""
    from factory.engines.ledger import Chosen

    with opened() as store:
        if failed:
            lost = [row for row in store.failures() if row[0].startswith(key) and stage in ("", row[1])]
            print_table(["key", "stage", "attempts", "reason"], [[row[0][:12], row[1], f"{row[2]:,}", row[3]] for row in lost[:n]])
            console().print(f"{min(n, len(lost)):,} of {amount(len(lost), 'request')} without an answer", style="dim")
            return
        chosen, output = Chosen(key, stage, model), console()
        found = list(store.entries(chosen, n))
        if not found:
            raise DataError("no stored request fits: `factory requests stats` names the stages, rows name their request_ids")
        for entry in found:
            output.rule(f"{entry.key[:12]} {entry.stage}, {entry.model}", align="left")
            for title, document in (("asked", entry.request), ("answered", entry.answer)):
                output.print(f"{title}: {_rest(document)}", style="dim", markup=False)
                output.print(coloured(_said(document)))
        output.print(f"{len(found):,} of {store.count_entries(chosen):,}", style="dim")


def _said(document: dict[str, Any]) -> str:
    """A conversation turn by turn, or a text."""
    text = document.get("prompt", document.get("text", document.get("score", "")))
    if isinstance(text, list) and text and isinstance(text[0], list):
        return "\n".join(f"[{role}]\n{content}" for role, content in text)
    return text if isinstance(text, str) else json.dumps(text)


def _rest(document: dict[str, Any]) -> str:
    """The short fields in one line."""
    long = ("prompt", "text", "token_ids", "logprobs", "drawn", "version")
    fields = {name: value for name, value in document.items() if name not in long}
    return ", ".join(f"{name} {value}" for name, value in fields.items() if value not in (None, [], ""))


@requests.command("export", epilog="Example: factory requests export answers.jsonl --stage rollouts_base")
def export(
    path: Annotated[Path, typer.Argument(help="The JSONL file to write; it must not exist.")], stage: Stage = "", model: Model = ""
) -> None:
    """Requests and raw answers as JSONL, one object a line, in the order in which they landed."""
    from factory.engines.ledger import Chosen
    from factory.whole import whole_file

    if path.exists():
        raise DataError(f"{path} exists: name another file")
    file_for(path, "the file")
    count = 0
    with opened() as store, whole_file(path) as temporary, temporary.open("w") as stream:
        for entry in store.entries(Chosen("", stage, model)):
            stream.write(json.dumps(vars(entry), ensure_ascii=False) + "\n")
            count += 1
        if not count:
            raise DataError("no stored request fits: `factory requests stats` names the stages")
    typer.echo(f"{amount(count, 'request')} in {path}, {os.path.getsize(path) / 1e6:.1f} MB")


@requests.command("batches", epilog="Examples: factory requests batches · factory requests batches --forget batch_68a1")
def batches(
    forget: Annotated[
        str, typer.Option("--forget", metavar="BATCH", help="Take it out: its requests will be asked, and paid, again.")
    ] = "",
) -> None:
    """Batches at a provider's whose answers are not all in the store yet: the next run of their stage waits for them."""
    from factory.engines import batch_book

    with opened(reading=not forget) as store:
        found = batch_book.batches(store)
        if not forget:
            cells = [
                [batch.name or batch.tag, batch.stage, batch.model, f"{batch.requests:,}",
                 time.strftime("%F %R", time.localtime(batch.begun_at)), batch.url]
                for batch in found
            ]  # fmt: skip
            return print_table(["batch", "stage", "model", "requests", "begun", "at"], cells, str(store.path))
        chosen = [batch for batch in found if forget in (batch.name, batch.tag)]
        if not chosen:
            raise DataError(f"no batch {forget} is under way: `factory requests batches` names them")
        batch_book.forget(store, chosen[0].tag)
        typer.echo(f"{amount(chosen[0].requests, 'request')} of {forget} forgotten: asked again by the next run")


@requests.command("vacuum", epilog="Examples: factory requests vacuum · factory requests vacuum --stage evaluate --older-than 30 --dry-run")
def vacuum(
    stage: Stage = "",
    model: Model = "",
    older_than: Annotated[float | None, typer.Option("--older-than", min=0, metavar="DAYS", help="Only answers of that age.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be forgotten, and keep it.")] = False,
) -> None:
    """Give free space back to the disk; with a stage, a model or an age, forget those answers first. A later run pays for them again.
    Stages that run at the same time wait for it."""
    from factory.engines.ledger import Chosen

    before = None if older_than is None else time.time() - older_than * 86400
    chosen = Chosen("", stage, model, before) if stage or model or before else None
    with opened(reading=dry_run) as store:
        if dry_run:
            typer.echo(f"would forget {amount(store.count_entries(chosen) if chosen else 0, 'answer')}")
            return
        dropped, freed = store.vacuum(chosen)
        typer.echo(f"{amount(dropped, 'answer')} forgotten, {freed / 1e6:.1f} MB given back")
