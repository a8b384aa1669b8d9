"""The line as a graph: which stage reads what another one makes, from dvc.yaml and the params that expand it.

    graph = line_graph(params)
    graph.stages["restarts@r1"].tables          → ("restarts_r1",)
    graph.edges["restarts@r1"]                  → ("problems", "rollouts@r1"): in the line's order, gates left out
    graph.reduced()["restarts@r1"]              → ("rollouts@r1",): problems are reached through it
    graph.behind("restarts@r1")                 → ["problems", …, "rollouts@r1"]: all it came out of; through_models=False: only rows

A dataset's reader is led past the gate to the stage that makes the rows; `gates` says which stages' tables pass one. DVC takes no dvc.yaml
as a dependency: a stage that reads something else gives the report's picture another arrow when the report is next made.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from factory.errors import DataError
from factory.line import Stage, stages_of
from factory.params import Params

LINE = Path("dvc.yaml")
ENDS = ("inputs", "report")  # hashes of what lies outside, and the page itself
_NAME = re.compile(r"\$\{(key|item\.\w+)\}")


@dataclass(frozen=True)
class Graph:
    """`edges`: stage → the stages whose tables, datasets or models it reads; `rows` of these those that it reads rows of. `gates`: dataset
    → the stage that makes its rows. `known`: whether dvc.yaml was there to tell the edges."""

    stages: Mapping[str, Stage]
    edges: Mapping[str, tuple[str, ...]]
    rows: Mapping[str, tuple[str, ...]]
    gates: Mapping[str, str]
    known: bool = True

    def behind(self, title: str, *, through_models: bool = True) -> list[str]:
        edges, found = self.edges if through_models else self.rows, set[str]()
        waiting = list(edges.get(title, ()))
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += edges.get(name, ())
        return [name for name in self.stages if name in found]

    def reduced(self) -> dict[str, tuple[str, ...]]:
        """The edges that follow from no other two."""
        behind = {title: set(self.behind(title)) for title in self.stages}
        return {
            title: tuple(source for source in sources if not any(source in behind[other] for other in sources if other != source))
            for title, sources in self.edges.items()
        }

    def order(self) -> list[str]:
        """Every stage behind those that it reads of, one after another along the line."""
        done: dict[str, None] = {}

        def visit(title: str, above: frozenset[str]) -> None:
            if title not in done and title not in above:
                for source in self.edges[title]:
                    visit(source, above | {title})
                done[title] = None

        for title in self.stages:
            visit(title, frozenset())
        return list(done)

    def maker(self, table: str) -> Stage | None:
        return next((stage for stage in self.stages.values() if table in stage.tables), None)


def line_graph(params: Params, file: Path = LINE) -> Graph:
    """Without dvc.yaml its stages have no edges. Raises DataError for one that is no pipeline of DVC."""
    stages = {stage.title: stage for stage in stages_of(params)}
    plain = {title: stage for title, stage in stages.items() if title not in ENDS and not title.startswith("release@")}
    if not file.exists():
        return Graph(plain, dict.fromkeys(plain, ()), dict.fromkeys(plain, ()), {}, known=False)
    try:
        expanded = dict(_expanded(yaml.safe_load(file.read_text(encoding="utf-8"))["stages"], params))
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{file} is no pipeline that can be drawn ({str(error).splitlines()[0][:120]}): restore it from git") from None
    made = {out: title for title, (_, outs) in expanded.items() if title in stages for out in outs}
    gates = {}
    for title in stages:
        dataset = title.removeprefix("release@")
        if title != dataset and (maker := made.get(f"data/tables/{dataset}.parquet")):
            gates[dataset] = maker
    edges: dict[str, tuple[str, ...]] = {}
    rows: dict[str, tuple[str, ...]] = {}
    for title in plain:
        deps = [dep for dep in expanded.get(title, ((), ()))[0] if dep.startswith("data/")]
        sources = {dep: _makers(dep, made, gates) - {title, *ENDS} for dep in deps}
        edges[title] = _ordered(plain, set().union(*sources.values()))
        rows[title] = _ordered(plain, set().union(*(found for dep, found in sources.items() if not dep.startswith("data/models"))))
    return Graph(plain, edges, rows, gates)


def _ordered(stages: Mapping[str, Stage], titles: set[str]) -> tuple[str, ...]:
    return tuple(title for title in stages if title in titles)


def _makers(dep: str, made: Mapping[str, str], gates: Mapping[str, str]) -> set[str]:
    found = {title for out, title in made.items() if out == dep or out.startswith(f"{dep}/") or dep.startswith(f"{out}/")}
    return {gates.get(title.removeprefix("release@"), title) if title.startswith("release@") else title for title in found}


def _expanded(written: Mapping[str, Any], params: Params) -> Any:
    """(title, (deps, outs)) of every stage, `foreach` over sections of the params carried out."""
    for name, stage in written.items():
        if "foreach" not in stage:
            yield name, _ends(stage, "", None)
            continue
        section = re.fullmatch(r"\$\{(\w+)\}", str(stage["foreach"]))
        if not section:
            raise ValueError(f"{name}: foreach is {stage['foreach']!r}, expected a section of the params")
        for key, item in (getattr(params, section[1], None) or {}).items():
            yield f"{name}@{key}", _ends(stage["do"], key, item)


def _ends(stage: Mapping[str, Any], key: str, item: Any) -> tuple[list[str], list[str]]:
    def filled(text: Any) -> str:
        path = text if isinstance(text, str) else next(iter(text))
        return _NAME.sub(lambda found: key if found[1] == "key" else str(getattr(item, found[1].removeprefix("item."))), path)

    outs = [*stage.get("outs", []), *stage.get("metrics", [])]
    return [filled(dep) for dep in stage.get("deps", [])], [filled(out) for out in outs]
