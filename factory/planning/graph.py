"""`dvc.yaml` as a params file expands it, without DVC, which reads `params.yaml` only.

    expanded(Path("dvc.yaml"), document)
    → [Expanded("rollouts@base", deps=("pipelines/rollouts.py", …), outs=("data/tables/rollouts_base.parquet", …), params=("seed", …)), …]

What DVC knows and this line uses: `foreach` over a mapping of the params, `${key}`, `${item}`, `${item.name}`, and `${a.b}` of the params.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from factory.errors import ParamsError
from factory.line import stages_of
from factory.params import Params
from factory.params.yaml_file import read_yaml
from factory.planning.findings import Finding
from factory.words import amount

_PLACE = re.compile(r"\$\{([\w.-]+)\}")
LINE = Path("dvc.yaml")


@dataclass(frozen=True)
class Expanded:
    """`deps` and `outs` are relative to the folder of dvc.yaml, as it writes them; `params`: keys of the params file."""

    title: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: tuple[str, ...]


def line_of(params_file: Path) -> Path:
    """The dvc.yaml beside a params file, else that of the project."""
    beside = params_file.parent / LINE
    return beside if beside.exists() else LINE


def expanded(line: Path, document: dict[str, Any]) -> list[Expanded]:
    """Raises ParamsError for a file that is no graph, or names a key that the params lack."""
    stages = read_yaml(line).get("stages") or {}
    found = []
    for name, stage in stages.items():
        if "foreach" not in stage:
            found.append(_stage(line, name, stage, document))
            continue
        path = _PLACE.fullmatch(str(stage["foreach"]))
        items = _value(document, path[1], f"{line}: foreach of {name}") if path else stage["foreach"]
        if not isinstance(items, dict):
            raise ParamsError(f"{line}: {name} has a foreach over {str(stage['foreach'])!r}: expected a mapping of the params")
        for key, item in items.items():
            found.append(_stage(line, f"{name}@{key}", stage["do"], {**document, "key": key, "item": item}))
    return found


def _stage(line: Path, title: str, stage: dict[str, Any], known: dict[str, Any]) -> Expanded:
    def written(entries: list[Any]) -> tuple[str, ...]:
        names = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]
        return tuple(_PLACE.sub(lambda place: str(_value(known, place[1], f"{line}: {title}")), name) for name in names)

    outs = written([*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])])
    return Expanded(title, written(stage.get("deps", [])), outs, written(stage.get("params", [])))


def _value(known: Any, path: str, where: str) -> Any:
    """What a dotted path means. Raises ParamsError where the params lack it."""
    for part in path.split("."):
        if not isinstance(known, dict) or part not in known:
            raise ParamsError(f"{where} needs the key {path}, which the params lack")
        known = known[part]
    return known


def has(document: dict[str, Any], path: str) -> bool:
    try:
        _value(document, path, "")
    except ParamsError:
        return False
    return True


def check(params: Params, document: dict[str, Any], line: Path = LINE) -> Iterator[Finding]:
    """The stages of the params are those of dvc.yaml, each finds its keys, and every dependency is made by a stage or lies there."""
    try:
        stages = expanded(line, document)
    except (ParamsError, OSError) as error:
        said = str(error) if isinstance(error, ParamsError) else f"{line}: {(error.strerror or str(error)).lower()}"
        yield Finding("graph", str(line), "wrong", said, "correct the params, or run inside the project")
        return
    ours, theirs = {stage.title for stage in stages_of(params)}, {stage.title for stage in stages}
    faults = [
        *_differences(line, ours, theirs), *_keys(line, stages, document), *_dependencies(line, stages), *_circles(line, stages),
    ]  # fmt: skip
    yield from faults
    if not faults:
        yield Finding("graph", str(line), "ok", f"{amount(len(stages), 'stage')}; every dependency is made by one of them or lies there")


def _differences(line: Path, ours: set[str], theirs: set[str]) -> Iterator[Finding]:
    if extra := sorted(theirs - ours):
        said = f"{line} has {_some(extra)}, for which the params have no section: `dvc repro` stops there"
        yield Finding("graph", str(line), "wrong", said, "add the sections, or a dvc.yaml of its own beside the params")
    if lacking := sorted(ours - theirs):
        yield Finding("graph", str(line), "wrong", f"{line} has no {_some(lacking)}, which the params ask for", "add them to dvc.yaml")


def _keys(line: Path, stages: list[Expanded], document: dict[str, Any]) -> Iterator[Finding]:
    """DVC stops where a tracked key is not there."""
    for stage in stages:
        if lacking := [key for key in stage.params if not has(document, key)]:
            yield Finding("graph", stage.title, "wrong", f"depends on the params {', '.join(lacking)}, which are not there", "add them")


def _dependencies(line: Path, stages: list[Expanded]) -> Iterator[Finding]:
    made = {os.path.normpath(out) for stage in stages for out in stage.outs}
    for stage in stages:
        lacking = [dep for dep in stage.deps if not _made(os.path.normpath(dep), made) and not (line.parent / dep).exists()]
        if lacking:
            yield Finding("graph", stage.title, "missing", f"no stage makes {_some(lacking)}, and it is not there", f"see {line}")


def _made(dep: str, made: set[str]) -> bool:
    """An out, a folder that holds one, or something in one."""
    return any(dep == out or out.startswith(f"{dep}/") or dep.startswith(f"{out}/") for out in made)


def _circles(line: Path, stages: list[Expanded]) -> Iterator[Finding]:
    makers = {os.path.normpath(out): stage.title for stage in stages for out in stage.outs}
    needs = {
        stage.title: {makers[out] for dep in stage.deps for out in makers if _made(os.path.normpath(dep), {out})} for stage in stages
    }  # fmt: skip
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        yield Finding(
            "graph", str(line), "wrong", f"a circle: {' needs '.join(reversed(error.args[1]))}", "start the round from an earlier model"
        )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
