"""`dvc.lock`: the stages as they ran last, and as a graph, which stage made which path of which others.

    stages = read_stages(Path("dvc.lock"))
    stages["rollouts@r1"]                     → Stage("rollouts@r1", command="python -m pipelines.rollouts r1", params={…}, …)
    graph = read_lock()
    graph["release@plans_sft"].outs           → {"data/audits/plans_sft.json": "5a1c…", "data/datasets/plans_sft": "90be….dir"}
    ancestors(graph, "release@plans_sft")     → ["inputs", "problems", …, "plans@sft", "release@plans_sft"], makers before users

Nothing here needs DVC to be installed. What looks like a key or password in params is hidden.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from factory.errors import DataError, GateError
from factory.storage import MODELS

LOCK = Path("dvc.lock")
_SECRET = re.compile(r"(^|_)(api_?key|access_?key|key|token|secret|password|passwd|authorization|credentials)$", re.IGNORECASE)
_LOOKS_SECRET = re.compile(r"\b(hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|AKIA[A-Z0-9]{12,})")
_IN_ADDRESS = re.compile(r"(?<=://)[^/@\s]+@|(?<=[?&])(?:api_?key|key|token)=[^&\s]+", re.IGNORECASE)


@dataclass(frozen=True)
class Out:
    """A file or folder as the lock has it."""

    path: str
    md5: str
    size: int


@dataclass(frozen=True)
class Stage:
    """`params` are flat: {"rollouts.samples": 4, …}. `deps`: all that it read."""

    title: str
    command: str
    params: dict[str, Any]
    deps: tuple[Out, ...]
    outs: tuple[Out, ...]

    @property
    def data(self) -> tuple[Out, ...]:
        """What it read that a stage made, no code."""
        return tuple(out for out in self.deps if out.path.startswith("data/"))

    def out(self, path: str) -> Out | None:
        return next((out for out in self.outs if out.path == path), None)


@dataclass(frozen=True)
class Locked:
    """One stage in the graph: path → hash of what it read and wrote (`….dir` of a folder). `made_by`: (stage, path) of every path under
    data/ that it read and another stage wrote."""

    deps: dict[str, str]
    outs: dict[str, str]
    made_by: tuple[tuple[str, str], ...] = ()


def read_yaml(path: Path) -> Any:
    """A document of DVC's, None where there is no file. Raises DataError for what is no YAML."""
    try:
        with path.open("rb") as stream:
            return yaml.load(stream, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        return None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} cannot be read ({str(error).splitlines()[0]}): restore it, `git checkout {path.name}`") from None


def cache() -> Path:
    """The folder of DVC's cache; a file of it lies in files/md5. Raises DataError where DVC knows none."""
    answer = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True, check=False)
    if answer.returncode:
        raise DataError(f"`dvc cache dir` failed: {(answer.stderr.strip().splitlines() or ['no output'])[-1]}")
    return Path(answer.stdout.strip().splitlines()[-1])


def parse_yaml(text: str | bytes, what: str) -> Any:
    """A document of DVC's or params, None of an empty one. Raises DataError, with `what` it is, for what is no YAML."""
    try:
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise DataError(f"{what} is no YAML") from None


def read_stages(path: Path = LOCK) -> dict[str, Stage] | None:
    """By title, those of former lines too, which DVC keeps; None where there is no lock. Raises DataError for what is none of DVC's."""
    document = read_yaml(path)
    if document is None and not path.exists():
        return None
    if (found := stages_of(document)) is None:
        raise DataError(f"{path} is no lock of DVC: restore it from git, or run `dvc repro`")
    return found


def stages_of(document: Any) -> dict[str, Stage] | None:
    """The stages of a lock's document, from wherever it was read; None for what is no lock of DVC."""
    try:
        return {title: _stage(title, stage) for title, stage in document["stages"].items()}
    except (KeyError, TypeError, AttributeError, ValueError):
        return None


def _stage(title: str, found: Mapping[str, Any]) -> Stage:
    params = flat(list((found.get("params") or {}).values()))
    deps, outs = (tuple(map(_out, found.get(part) or [])) for part in ("deps", "outs"))
    return Stage(title, str(found.get("cmd", "")), params, deps, outs)


def _out(entry: dict[str, Any]) -> Out:
    return Out(entry["path"], str(entry.get("md5", "")), int(entry.get("size", 0)))


def read_lock(titles: Set[str] | None = None, path: Path = LOCK) -> dict[str, Locked]:
    """The stages of `titles`, or all in the file, as a graph. Raises GateError when it is missing or not DVC's."""
    try:
        stages = read_stages(path)
    except DataError as error:
        raise GateError(str(error)) from None
    if stages is None:
        raise GateError(f"{path} is missing: it says what the datasets were made of; `dvc repro` writes it")
    read = {
        title: Locked({out.path: out.md5 for out in stage.deps}, {out.path: out.md5 for out in stage.outs})
        for title, stage in stages.items()
        if titles is None or title in titles
    }
    return {title: replace(stage, made_by=tuple(_makers(read, title))) for title, stage in read.items()}


def _overlap(one: str, other: str) -> bool:
    """Whether one of them is the other or lies in it."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _makers(graph: Mapping[str, Locked], title: str) -> Iterator[tuple[str, str]]:
    for path in graph[title].deps:
        if path.startswith("data/"):
            yield from (
                (maker, path) for maker, stage in graph.items() if maker != title and any(_overlap(path, out) for out in stage.outs)
            )


def ancestors(graph: Mapping[str, Locked], title: str, *, through_models: bool = True) -> list[str]:
    """The stages that `title` came out of, itself last; without `through_models` not those behind a model that it read."""
    found: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in found:
            return
        found[name] = None
        for maker, path in graph[name].made_by:
            if through_models or not path.startswith(f"{MODELS}/"):
                visit(maker)

    visit(title)
    order = ordered(graph)
    return sorted(found, key=order.index)


def ordered(graph: Mapping[str, Locked]) -> list[str]:
    """All stages, makers before users, otherwise in the lock's own order."""
    done: dict[str, None] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in done or name in above:
            return
        for maker, _ in graph[name].made_by:
            visit(maker, (*above, name))
        done[name] = None

    for name in graph:
        visit(name, ())
    return list(done)


def flat(documents: list[Any]) -> dict[str, Any]:
    """Nested mappings as dotted names, secrets hidden."""
    found: dict[str, Any] = {}
    for document in documents:
        _flatten(document, "", found)
    return found


def _flatten(value: Any, name: str, found: dict[str, Any]) -> None:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            _flatten(inner, f"{name}.{key}" if name else str(key), found)
    else:
        last = name.rpartition(".")[2]
        found[name] = "(hidden)" if _SECRET.search(last) and isinstance(value, str) else hidden(value)


def hidden(value: Any) -> Any:
    """The same without what looks like a key or password, in texts at any depth."""
    if isinstance(value, str):
        return _IN_ADDRESS.sub(_masked, _LOOKS_SECRET.sub("(hidden)", value))
    if isinstance(value, dict):
        return {key: hidden(inner) for key, inner in value.items()}
    return [hidden(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _masked(found: re.Match[str]) -> str:
    return "(hidden)@" if found[0].endswith("@") else f"{found[0].partition('=')[0]}=(hidden)"
