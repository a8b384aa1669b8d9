"""`dvc.lock` as a graph: which stage made which path, of which others.

graph = read_lock()
graph["release@plans_sft"].outs               → {"data/audits/plans_sft.json": "5a1c…", "data/datasets/plans_sft": "90be….dir"}
ancestors(graph, "release@plans_sft")     → ["inputs", "problems", …, "plans@sft", "release@plans_sft"], makers before users
models_behind(graph, "release@plans")     → ["base"]: whose text its rows hold
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from factory.errors import GateError
from factory.storage import MODELS

LOCK = Path("dvc.lock")


@dataclass(frozen=True)
class Locked:
    """One stage as it ran last: path → hash of what it read and wrote (`….dir` of a folder). `made_by`: (stage, path) of every path under
    data/ that it read and another stage wrote."""

    deps: dict[str, str]
    outs: dict[str, str]
    made_by: tuple[tuple[str, str], ...] = ()


def read_lock(titles: Set[str] | None = None, path: Path = LOCK) -> dict[str, Locked]:
    """The stages of `titles`, or all in the file, in which DVC keeps those of former lines. Raises GateError when it is missing or not
    DVC's."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        stages = yaml.load(path.read_text(encoding="utf-8"), loader)["stages"]
        read = {
            title: Locked(_hashes(stage, "deps"), _hashes(stage, "outs"))
            for title, stage in stages.items()
            if titles is None or title in titles
        }
    except FileNotFoundError:
        raise GateError(f"{path} is missing: it says what the datasets were made of; `dvc repro` writes it") from None
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
        raise GateError(f"{path} is no lock of DVC: restore it from git, or run `dvc repro`") from None
    return {title: replace(stage, made_by=tuple(_makers(read, title))) for title, stage in read.items()}


def _hashes(stage: Mapping[str, list[dict[str, str]]], part: str) -> dict[str, str]:
    return {entry["path"]: str(entry.get("md5", "")) for entry in stage.get(part, [])}


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
