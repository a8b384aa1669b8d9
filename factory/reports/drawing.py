"""The line as a picture: a box a stage with its rows and yield, from the problems down, in layers; a shield where a gate stands.

    picture(graph, {"restarts@r1": Count(rows={"restarts_r1": 1100}, rejects=412, gate="passed")})   → "<svg …>"

An arrow that follows from others is left out (nearly every stage reads the problems): the box says in its title all that it reads. Layers
are longest paths; boxes of a layer stand in the order in which their arrows cross least (Sugiyama's barycentres, three sweeps).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from factory.reports.graph import Graph

BOX, TALL, GAP, DROP = 180, 58, 20, 30  # a box's width and height, and what is between two, across and down
BAR = 36  # width of the bar of what was kept
SWEEPS = 3
LETTERS = 24  # of a line in a box
SIGNS = {"passed": "✓ gate", "refused": "✗ gate", "not audited": "? gate"}


@dataclass(frozen=True)
class Count:
    """`rows`: table → rows, of those that are there; `rejects`: None where the stage rejects nothing or has not run. `gate`: passed,
    refused or not audited, "" without a gate."""

    rows: Mapping[str, int]
    rejects: int | None = None
    gate: str = ""
    trains: bool = False
    makes: str = ""  # of a stage that writes no table

    @property
    def kept(self) -> float | None:
        """The first table's share of what it and the rejects have, in [0, 1]."""
        if self.rejects is None or not self.rows:
            return None
        first = next(iter(self.rows.values()))
        return first / (first + self.rejects) if first + self.rejects else None


Place = tuple[str, int]  # a stage, or a bend ("from>to", layer) of an arrow that passes a layer


def picture(graph: Graph, counts: Mapping[str, Count]) -> str:
    edges = graph.reduced()
    level = _levels(graph, edges)
    layers, paths = _layers(graph, edges, level)
    x = _across(layers, paths)
    left = min(x.values()) - BOX / 2 - 8
    width = max(x.values()) + BOX / 2 + 8 - left
    height = len(layers) * (TALL + DROP) - DROP + 12
    body = [_arrow([(x[place] - left, place[1]) for place in path]) for path in paths]
    body += [
        _box(title, x[title, level[title]] - left, level[title] * (TALL + DROP) + 4, counts.get(title, Count({})), graph.edges[title])
        for title in graph.stages
    ]
    return (
        f'<svg class="line" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}" role="img">'
        f"<title>the line: {len(graph.stages)} stages, from the problems down</title>"
        f"{_tip('tip')}{''.join(body)}</svg>"
    )


def _tip(name: str) -> str:
    return (
        f'<defs><marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="tip" d="M0 0 L8 4 L0 8 z"/></marker></defs>'
    )


def column(graph: Graph, counts: Mapping[str, Count]) -> str:
    """The same for a narrow window: the boxes below one another in the line's order, each with the names of what it is made of."""
    edges, step, wide = graph.reduced(), TALL + 16, 300
    body = []
    order = graph.order()
    for number, title in enumerate(order):
        y = number * step + 4
        body.append(
            _box(
                title,
                wide / 2,
                y,
                counts.get(title, Count({})),
                graph.edges[title],
                wide,
                _fit(f"from {', '.join(edges[title])}" if edges[title] else "", 46),
            )
        )
        if number and order[number - 1] in edges[title]:
            body.append(f'<path class="arrow" d="M{wide / 2} {y - 16} V{y - 2}" marker-end="url(#tip-narrow)"/>')
    height = len(graph.stages) * step
    return (
        f'<svg class="line" viewBox="0 0 {wide} {height}" width="{wide}" height="{height}" role="img">'
        f"<title>the line: {len(graph.stages)} stages in its order</title>{_tip('tip-narrow')}{''.join(body)}</svg>"
    )


def _levels(graph: Graph, edges: Mapping[str, Sequence[str]]) -> dict[str, int]:
    level: dict[str, int] = {}

    def of(title: str) -> int:
        if title not in level:
            level[title] = -1  # a circle, which DVC allows in no line, would end here
            level[title] = max((of(source) + 1 for source in edges[title]), default=0)
        return level[title]

    for title in graph.stages:
        of(title)
    return level


def _layers(graph: Graph, edges: Mapping[str, Sequence[str]], level: Mapping[str, int]) -> tuple[list[list[Place]], list[list[Place]]]:
    """The places of each layer, boxes and bends, and each arrow's places from its source down."""
    layers: list[list[Place]] = [[] for _ in range(max(level.values()) + 1)]
    for title in graph.stages:
        layers[level[title]].append((title, level[title]))
    paths = []
    for title, sources in edges.items():
        for source in sources:
            bends = [(f"{source}>{title}", at) for at in range(level[source] + 1, level[title])]
            paths.append([(source, level[source]), *bends, (title, level[title])])
            for bend in bends:
                layers[bend[1]].append(bend)
    above: dict[Place, list[Place]] = {}
    below: dict[Place, list[Place]] = {}
    for path in paths:
        for one, other in pairwise(path):
            above.setdefault(other, []).append(one)
            below.setdefault(one, []).append(other)
    for _ in range(SWEEPS):
        for number in range(1, len(layers)):
            _sort(layers[number], layers[number - 1], above)
        for number in range(len(layers) - 2, -1, -1):
            _sort(layers[number], layers[number + 1], below)
    return layers, paths


def _sort(layer: list[Place], fixed: Sequence[Place], linked: Mapping[Place, Sequence[Place]]) -> None:
    order = {place: number for number, place in enumerate(fixed)}
    before = {place: number for number, place in enumerate(layer)}

    def middle(place: Place) -> float:
        ends = [order[end] for end in linked.get(place, ()) if end in order]
        return sum(ends) / len(ends) if ends else before[place]

    layer.sort(key=lambda place: (middle(place), before[place]))


def _across(layers: Sequence[Sequence[Place]], paths: Sequence[Sequence[Place]]) -> dict[Place, float]:
    """x of every place: below the middle of what leads to it, a box's or a bend's room from its neighbours."""
    linked: dict[Place, list[Place]] = {}
    for path in paths:
        for one, other in pairwise(path):
            linked.setdefault(one, []).append(other)
            linked.setdefault(other, []).append(one)
    x = {place: (number - (len(layer) - 1) / 2) * (BOX + GAP) for layer in layers for number, place in enumerate(layer)}
    for sweep in range(8):
        for layer in layers if sweep % 2 == 0 else list(reversed(layers)):
            wanted = [sum(x[end] for end in linked.get(place, [place])) / len(linked.get(place, [place])) for place in layer]
            for place, value in zip(layer, _apart(layer, wanted), strict=True):
                x[place] = value
    return x


def _room(place: Place) -> float:
    return 24.0 if ">" in place[0] else float(BOX + GAP)


def _apart(layer: Sequence[Place], wanted: Sequence[float]) -> list[float]:
    """As near to what is wanted as neighbours allow, in their order: blocks that touch stand around their mean."""
    blocks: list[list[float]] = []  # [sum of wanted starts, members, offset of the next member]
    starts: list[tuple[int, float]] = []
    for number, place in enumerate(layer):
        half = _room(place) / 2
        blocks.append([wanted[number] - half, 1.0, _room(place)])
        starts.append((len(blocks) - 1, 0.0))
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] + blocks[-2][2] > blocks[-1][0] / blocks[-1][1]:
            total, members, width = blocks.pop()
            shift = blocks[-1][2]
            blocks[-1] = [blocks[-1][0] + total - members * shift, blocks[-1][1] + members, shift + width]
            starts = [(at, offset) if at < len(blocks) else (len(blocks) - 1, offset + shift) for at, offset in starts]
    return [blocks[at][0] / blocks[at][1] + offset + _room(place) / 2 for place, (at, offset) in zip(layer, starts, strict=True)]


def _arrow(points: Sequence[tuple[float, int]]) -> str:
    """From the foot of the source to the head of the target, upright through the layers between."""
    (x, layer), *rest = points
    y = layer * (TALL + DROP) + TALL + 4
    path = [f"M{x:.1f} {y}"]
    for number, (x2, layer2) in enumerate(rest):
        y2 = layer2 * (TALL + DROP) + 4
        middle = (y + y2) / 2
        last = number == len(rest) - 1
        path.append(f"C{x:.1f} {middle:.1f} {x2:.1f} {middle:.1f} {x2:.1f} {y2 - (2 if last else 0)}")
        if not last:
            path.append(f"V{y2 + TALL}")
        x, y = x2, y2 + TALL
    return f'<path class="arrow" d="{" ".join(path)}" marker-end="url(#tip)"/>'


def _box(title: str, x: float, y: float, count: Count, reads: Sequence[str], wide: int = BOX, source: str = "") -> str:
    left, kept, at = x - wide / 2, count.kept, "middle" if count.trains else "start"
    lines = [f"{number:,} {name.removesuffix('_' + title.partition('@')[2])}" for name, number in count.rows.items()]
    kind = "model" if count.trains else "rows" if count.rows or count.makes else "empty"
    said = ", ".join(lines) if lines else "a model" if count.trains else count.makes or "no rows yet"
    start, letters = x if count.trains else left + 9, round(LETTERS * wide / BOX)
    told = f"{title}: reads {', '.join(reads) or 'what lies outside'}"
    parts = [
        f'<g class="stage {kind}"><title>{escape(told)}</title>',
        f'<rect x="{left:.1f}" y="{y}" width="{wide}" height="{TALL}" rx="{TALL / 2 if count.trains else 5}"/>',
        _text(start, y + 19, _fit(title, letters), "name", at), _text(start, y + 35, _fit(said, letters), "", at),
    ]  # fmt: skip
    if kept is not None:
        parts.append(f'<rect class="lost" x="{left + 9:.1f}" y="{y + 43}" width="{BAR}" height="7"/>')
        parts.append(f'<rect class="kept" x="{left + 9:.1f}" y="{y + 43}" width="{BAR * kept:.1f}" height="7"/>')
        parts.append(
            _text(
                left + BAR + 15,
                y + 50,
                f"{100 * kept:.0f} %, {_brief(count.rejects or 0)} out" if count.rejects else "nothing lost",
                "small",
            )
        )
    if count.gate:
        parts.append(_text(left + wide - 8, y + 50, SIGNS[count.gate], f"gate {count.gate.split(' ')[0]}", "end"))
    if source and not count.trains:
        parts.append(_text(left + wide - 8, y + 19, _fit(source, 25), "small", "end"))
    elif source:
        parts.append(_text(x, y + 50, source, "small", "middle"))
    return "".join([*parts, "</g>"])


def _brief(number: int) -> str:
    """`588`, `4.4k`, `12k`, `1.2M`: as much as there is room for."""
    if number < 1_000:
        return str(number)
    return f"{number / 1e3:.1f}k" if number < 9_950 else f"{number / 1e3:.0f}k" if number < 999_500 else f"{number / 1e6:.1f}M"


def _fit(text: str, letters: int = LETTERS) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{escape(words)}</text>'
