"""`factory trace`: where a row comes from and what was made of it; `factory trace diff`: how two rows' origins differ.

factory trace 9dc2902d
factory trace restarts_r1#17 --depth 1
factory trace diff 0006f482 0002e2b5
"""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from factory.cli.printing import coloured, console, print_table
from factory.errors import DataError
from factory.lineage.names import LISTS, SCALARS
from factory.words import amount

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from factory.lineage.asked import Asked
    from factory.lineage.diff import Compared, Difference
    from factory.lineage.trace import Origin, Trace

CELL = 160  # characters of a value in one line
REQUESTS = 3  # of one row, printed; --json has all that were looked up
SAID = ("model", "prompt_version", "seed", "round", "request_ids", "request_id", *SCALARS, *LISTS, "id", "steps")  # elsewhere, or twice
BRIEF = ("problem", "answer", "verdict", "reason", "name", "plan")  # of a parent, printed
EPILOG = """
An id is the id column of any table or reject, of a problem, a key of the request store, or the beginning of one of these that fits no
other; TABLE/ID says whose, and TABLE#NUMBER is a row as `load_dataset` counts it, from 0. Up: the rows that it names, their requests,
models, prompts and stages. Down: all rows that name it or what was made of it, the datasets that hold it, the models trained on those.

\b
Examples:
  factory trace 9dc2902d
  factory trace demonstrations#12 --depth 1
  factory trace 7d132899fd6a --json > trace.json
  factory trace diff 0006f482 0002e2b5
"""


def trace(
    what: Annotated[list[str], typer.Argument(metavar="ID | diff ID ID", help="What to trace, or `diff` and two of them.")],
    depth: Annotated[int | None, typer.Option("--depth", metavar="N", min=0, help="Steps up and down at most.", show_default="all")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything that is known, as one JSON object.")] = False,
) -> None:
    """Where a row comes from: problem, requests, models, prompts, params, revision; and everything that was made of it."""
    from factory.lineage.diff import compare
    from factory.lineage.trace import Line
    from factory.lineage.trace import trace as traced

    line = Line(Path("."))
    if what[0] == "diff" and len(what) == 3:
        compared = compare(*(traced(line, one, depth, down=False) for one in what[1:]))
        _json(compared) if as_json else _show_diff(compared)
        return
    if len(what) != 1:
        raise DataError(f"expected one id, or diff and two ids, found {' '.join(what)!r}")
    found = traced(line, what[0], depth)
    _json(found) if as_json else _show(found)


def _json(found: Any) -> None:
    typer.echo(json.dumps(dataclasses.asdict(found), ensure_ascii=False, indent=2, default=str))


def _show(found: "Trace") -> None:
    from rich.tree import Tree

    output = console()
    if found.request:
        tree = Tree(_said("request", found.request.key))
        _add_request(tree, found.request)
        output.print(tree)
    if found.origin:
        tree = Tree(_title(found.origin))
        _add_origin(tree, found.origin, whole=not found.request)
        output.print(tree)
    for title, lines in (("made by", _by(found)), ("run", _run(found)), ("made of it", _made(found))):
        branch = Tree(_said("", title))
        for line in lines:
            branch.add(line)
        output.print(branch)


def _said(label: str, text: str, *rest: str) -> "Text":
    """A dim label, the text, and dim words behind it."""
    from rich.text import Text

    from factory.reports.readable import visible

    found = Text()
    found.append(f"{label} " if label else "", style="dim")
    found.append(visible(text), style="" if label else "bold")
    for words in filter(None, rest):
        found.append(f"  {visible(words)}", style="dim")
    return found


def _title(origin: "Origin") -> "Text":
    return _said("", f"{origin.place} {origin.id}", f"by {', '.join(origin.via)}" if origin.via else "", "(above)" if origin.again else "")


def _add_origin(tree: "Tree", origin: "Origin", whole: bool = False) -> None:
    if origin.again:
        return
    for name, value in origin.row.items():
        if name not in SAID and (whole or name in BRIEF) and (text := _one_line(value)):
            tree.add(_said(f"{name}:", "").append_text(coloured(text)))
    if origin.row.get("model"):
        rest = (f"{name} {origin.row[name]}" for name in ("prompt_version", "seed", "round") if name in origin.row)
        tree.add(_said("model", str(origin.row["model"]), *rest))
    lost = [request.key[:20] for request in origin.requests if not request.found]
    if lost:
        which = lost[0] if len(lost) == 1 else f"{lost[0]} and {len(lost) - 1:,} more"
        tree.add(_said("requests", which, "not in this request store: FACTORY_STORE names another; recorded answers are in none"))
    for request in [request for request in origin.requests[:REQUESTS] if request.found]:
        _add_request(tree.add(_said("request", request.key[:20])), request)
    known = [request for request in origin.requests if request.found]
    if origin.asked > REQUESTS and known:
        tokens = f"{amount(sum(item.prompt_tokens for item in known), 'token')} in, {sum(item.completion_tokens for item in known):,} out"
        tree.add(_said("requests", f"{origin.asked:,} in all", f"{tokens} of the {len(known):,} in the store"))
    for parent in origin.parents:
        _add_origin(tree.add(_title(parent)), parent)
    for table, count in origin.more.items():
        tree.add(_said("and", f"{count:,} more of {table}"))


def _add_request(tree: "Tree", request: "Asked") -> None:
    cost = "" if request.dollars is None else f"${request.dollars:.6f}"
    tree.add(_said("asked of", request.model, f"{request.family}, for {request.stage}"))
    tree.add(_said("sampling", ", ".join(f"{name} {value}" for name, value in (request.sampling or {}).items())))
    tree.add(_said("tokens", f"{request.prompt_tokens:,} in, {request.completion_tokens:,} out", cost))
    tree.add(_said("prompt:", "").append_text(coloured(_one_line(request.prompt))))
    tree.add(_said("answer:", "").append_text(coloured(_one_line(request.answer))))


def _one_line(value: Any) -> str:
    """A value in one line of at most CELL characters, "" for an empty one."""
    if value is None or value in ("", [], ()):
        return ""
    if isinstance(value, list):
        value = " ".join(
            f"[{item['role']}] {item['content']}" if isinstance(item, dict) and "role" in item else str(item) for item in value
        )
    text = " ⏎ ".join(str(value).splitlines()) if not isinstance(value, float) else f"{value:.4g}"
    return text if len(text) <= CELL else f"{text[:CELL]} …"


def _by(found: "Trace") -> "Iterable[Text]":
    if found.source:
        settings = ", ".join(f"{key} {value}" for key, value in found.source.settings.items() if key != "name")
        yield _said("source", found.source.source, settings, f"licence {found.source.licence or 'not stated'}")
    for stage in found.stages:
        same = {True: "the file is dvc.lock's", False: "the file is NOT the one in dvc.lock", None: "not compared"}[stage.same]
        yield _said("stage", stage.stage, stage.path, f"md5 {stage.md5[:12]}", same)
        yield _said("  params", ", ".join(f"{name} {value}" for name, value in stage.params.items()))
    for model in found.models:
        if not model.stage:
            yield _said("model", model.model, "no stage of this dvc.lock makes it")
            continue
        here = {True: "the folder here", False: "the folder here has ANOTHER revision", None: "not compared"}[model.here]
        of = f"of {', '.join(path.removeprefix('data/') for path in model.of)}" if model.of else ""
        yield _said("model", model.model, f"by {model.stage}", of, f"md5 {model.md5[:12]}", amount(model.size, "byte"), here)
    for prompt in found.prompts:
        yield _said("prompt", prompt.version, prompt.file or "no file here has these words: they changed since")


def _run(found: "Trace") -> "Iterable[Text]":
    if not found.lock_md5:
        yield _said("", "no dvc.lock here", "stages, params and models' hashes are not known")
    else:
        yield _said("dvc.lock", found.lock_md5, "changed since it was committed" if found.changed else "")
        yield _said("git", found.revision or "not committed")
    if found.published:
        others = [f"other rows of {name}" for name in found.published["changed"]]
        told = found.published
        where = f" at {told['endpoint']}" if told["endpoint"] else ""  # an earlier version did not write it down
        yield _said("Hub", f"{told['repo']}@{told['commit']}{where}", ", ".join([*told["datasets"], *others]))


def _made(found: "Trace") -> "Iterable[Text]":
    for level in found.made:
        ids = ", ".join(level.ids[:3]) + (", …" if level.rows > 3 else "")
        yield _said(f"{amount(level.steps, 'step')}:", f"{level.rows:,} {level.place}", f"by {', '.join(level.via)}", ids)
    for dataset in found.datasets:
        audit = f"audit passed {dataset.passed} of {dataset.expectations}" if dataset.audit else "no audit"
        trained = f"trained on it: {', '.join(path.removeprefix('data/models/') for path in dataset.trained)}" if dataset.trained else ""
        yield _said("dataset", dataset.name, f"{dataset.rows:,} of {amount(dataset.of, 'row')}", audit, trained)
    if not found.made and not found.datasets:
        yield _said("", "nothing here")


def _show_diff(compared: "Compared") -> None:
    output = console()
    if compared.same:
        output.print(f"{compared.first} and {compared.second}: the same origin", markup=False)
        return
    sections = {"origin": compared.facts, "row": compared.row, "requests": compared.requests, "params": compared.params}
    for title, differences in sections.items():
        if differences:
            print_table([title, compared.first, compared.second], [_cells(item) for item in differences])
    for name, lines in compared.texts.items():
        output.print(name, style="bold", markup=False)
        for line in lines:
            text = coloured(line)
            text.stylize({"-": "red", "+": "green", "@": "dim"}.get(line[:1], ""))
            output.print(text)


def _cells(item: "Difference") -> list[str]:
    from factory.reports.readable import visible

    return [item.name, visible(_one_line(item.first)), visible(_one_line(item.second))]
