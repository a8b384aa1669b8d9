"""What differs between two revisions beside their rows: gates, metrics, params, and which stages' code, params or data changed.

list(changed_params(Revision.of("HEAD~3")))   → [Table(("param", "before", "now"), (("restarts.per_sign", "100", "120"),), …)]
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from factory.lock import flat, hidden
from factory.params import Params
from factory.reports.page import Block, Table
from factory.reports.revision import LINE, LOCK, METRICS, PARAMS, Locked, Revision, locked
from factory.storage import AUDITS

FILES = 4  # files, params and paths that are named of a stage


def gates(params: Params, old: Revision) -> Iterator[Block]:
    """Expectations that hold on one side alone, and verdicts that differ."""
    lines = []
    for name in params.datasets:
        path = AUDITS / f"{name}.json"
        before = old.file(str(path))
        if before is None or not path.exists():
            continue
        sides = [json.loads(file.read_text(encoding="utf-8")) for file in (before, path)]
        held = [{(item["says"], item["column"]): item["success"] for item in side["findings"]} for side in sides]
        for key in dict.fromkeys([*held[1], *held[0]]):
            words = [{True: "holds", False: "fails", None: "not asked"}[side.get(key)] for side in held]
            if words[0] != words[1]:
                lines.append((name, *key, *words))
        if sides[0]["success"] != sides[1]["success"]:
            lines.append((name, "the gate's verdict", "", *("passed" if side["success"] else "REFUSED" for side in sides)))
    if lines:
        yield Table(("dataset", "expectation", "column", "before", "now"), tuple(lines), "Expectations whose result differs")


def metrics(old: Revision) -> Iterator[Block]:
    path = Path(METRICS)
    now = flat([json.loads(path.read_text(encoding="utf-8"))]) if path.exists() else {}
    lines: list[tuple[str, ...]] = []
    rest: list[tuple[str, ...]] = []
    for name, one, other in differences(flat([old.metrics]), now):
        numbers = isinstance(one, int | float) and isinstance(other, int | float)
        cells = (name, _value(one), _value(other), f"{other - one:+.4g}" if numbers else "")
        main = name.endswith(".pass@1") and ".groups." not in name
        (lines if main else rest).append(cells)
    headers = ("metric", "before", "now", "difference")
    if lines:
        yield Table(headers, tuple(lines), "Accuracies that differ")
    if rest:
        yield Table(headers, tuple(rest), "Every other metric that differs", fold=True)


def now_params() -> dict[str, Any]:
    path = Path(PARAMS)
    return flat([yaml.safe_load(path.read_text(encoding="utf-8"))]) if path.exists() else {}


def changed_params(old: Revision) -> Iterator[Block]:
    lines = [(name, _value(one), _value(other)) for name, one, other in differences(flat([old.params]), now_params())]
    if lines:
        yield Table(("param", "before", "now"), tuple(lines), "Params that differ", fold=False)


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys([*other, *one]):
        if one.get(name) != other.get(name):
            yield name, one.get(name), other.get(name)


def _value(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(hidden(value))


def stages(old: Revision) -> Iterator[Block]:
    """Stages of both locks whose code, params or data differ, and whether what they wrote does."""
    lock, line = Path(LOCK), Path(LINE)
    if not lock.exists():
        return
    text = line.read_text(encoding="utf-8") if line.exists() else None
    params = yaml.safe_load(Path(PARAMS).read_text(encoding="utf-8")) if Path(PARAMS).exists() else {}
    ours = locked(lock.read_text(encoding="utf-8"), text, params, LOCK)
    lines = []
    for title in dict.fromkeys([*ours, *old.stages]):
        one, other = old.stages.get(title), ours.get(title)
        if one is None or other is None:
            lines.append((title, "only now" if one is None else "only before", "", "", ""))
        elif cells := _stage(one, other):
            lines.append((title, *cells))
    if lines:
        yield Table(("stage", "code", "params", "data that it reads", "what it writes"), tuple(lines), "Stages that differ", fold=True)


def _stage(one: Locked, other: Locked) -> tuple[str, str, str, str] | None:
    deps = [path for path, _, _ in differences(one.deps, other.deps)]
    code, data = [path for path in deps if not path.startswith("data/")], [path for path in deps if path.startswith("data/")]
    params = [name for name, _, _ in differences(one.params, other.params)]
    outs = [path for path, _, _ in differences(one.outs, other.outs)]
    if not (deps or params or outs):
        return None
    return _few(code), _few(params), _few(data), _few(outs) or "same"


def _few(names: list[str]) -> str:
    return ", ".join(names[:FILES]) + (f" and {len(names) - FILES} more" if len(names) > FILES else "")
