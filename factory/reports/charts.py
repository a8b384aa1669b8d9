"""Charts as inline SVG, without a library or a script, so that a report opens anywhere.

bars([Bar("base", "heldout", 0.41, 0.38, 0.44), …])      → "<svg …>": one bar a series within each label, whiskers for the interval
curves({"policy_r1": [(1, -0.2), (2, -0.18), …]})        → "<svg …>"
histogram([0.0, 0.25, 1.0, …])                           → "<svg …>": shares of ten equal bins of [0, 1]; or {0.25: 14, …}
costs([Point("majority", "4", 148.0, 0.52, 0.48, 0.56), …], "tokens a problem")    → "<svg …>": a line a series, x logarithmic
stacked(["<svg …>", …])                                  → a picture of its own, one chart under the other
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#2c6fbb", "#e08a2e", "#3f9b6c", "#a3486b", "#6b6b6b", "#7d5ba6")
POINTS = 400  # of a curve: of more the least and the greatest of each stretch are drawn
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 760, 260, 46, 28, 52


@dataclass(frozen=True)
class Bar:
    label: str
    series: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Point:
    """`label` stands beside it; `x` > 0; `low` and `high` are the ends of the interval of `y`."""

    series: str
    label: str
    x: float
    y: float
    low: float
    high: float


def _y(value: float, low: float, high: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / ((high - low) or 1.0))


def _text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _box(x: float, y: float, width: float, height: float, colour: int) -> str:
    fill = COLOURS[colour % len(COLOURS)]
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _short(value: float, spread: float) -> str:
    """With as many digits as the scale needs."""
    return f"{value:.2f}" if spread >= 0.05 else f"{value:.2g}"


def _frame(title: str, low: float, high: float, body: Sequence[str], series: Sequence[str]) -> str:
    """Horizontal grid with five values, a legend, then the body."""
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>']
    for step in range(5):
        value = low + (high - low) * step / 4
        y = _y(value, low, high)
        parts += [_line(LEFT, y, WIDTH - 8, y, "#ddd"), _text(LEFT - 6, y + 4, _short(value, high - low), "end")]
    for number, name in enumerate(series):
        x = LEFT + min(130.0, (WIDTH - LEFT - 8) / len(series)) * number
        parts += [_box(x, 6, 10, 10, number), _text(x + 15, 15, name, "start")]
    return "".join([*parts, *body, "</svg>"])


def bars(values: Sequence[Bar], title: str = "accuracy with 95 % intervals") -> str:
    labels, series = list(dict.fromkeys(bar.label for bar in values)), list(dict.fromkeys(bar.series for bar in values))
    slot = (WIDTH - LEFT - 12) / max(1, len(labels))
    width = min(34.0, slot * 0.8 / max(1, len(series)))
    body = []
    for bar in values:
        place, order = labels.index(bar.label), series.index(bar.series)
        x = LEFT + slot * (place + 0.5) + width * (order - len(series) / 2)
        top, foot, middle = _y(bar.value, 0, 1), _y(0, 0, 1), x + width / 2
        body.append(_box(x, top, width - 2, foot - top, order))
        body.append(_line(middle, _y(bar.low, 0, 1), middle, _y(bar.high, 0, 1), "#222"))
        body.append(_text(middle, _y(bar.high, 0, 1) - 4, f"{bar.value:.2f}"))
    body += [_text(LEFT + slot * (number + 0.5), HEIGHT - BOTTOM + 18, label) for number, label in enumerate(labels)]
    return _frame(title, 0, 1, body, series)


def curves(series: Mapping[str, Sequence[tuple[float, float]]], title: str = "reward by iteration") -> str:
    points = [point for line in series.values() for point in line]
    low, high = min(y for _, y in points), max(y for _, y in points)
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    scale = (WIDTH - LEFT - 16) / ((last - first) or 1)
    body = []
    for number, line in enumerate(series.values()):
        path = " ".join(f"{LEFT + (x - first) * scale:.1f},{_y(y, low, high):.1f}" for x, y in thinned(line))
        body.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[number % len(COLOURS)]}" stroke-width="2"/>')
    body += [_text(LEFT, HEIGHT - BOTTOM + 18, f"{first:g}"), _text(WIDTH - 16, HEIGHT - BOTTOM + 18, f"{last:g}")]
    return _frame(title, low, high, body, list(series))


def thinned(line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most POINTS of them, with both ends, so that every peak stays: in each stretch the least and the greatest y, in order."""
    if len(line) <= POINTS:
        return list(line)
    stretch = math.ceil((len(line) - 2) / (POINTS // 2 - 1))
    kept = [line[0]]
    for start in range(1, len(line) - 1, stretch):
        part = line[start : min(start + stretch, len(line) - 1)]
        kept += sorted({min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])})
    return [*kept, line[-1]]


def histogram(values: Iterable[float] | Mapping[float, int], title: str = "distribution", bins: int = 10) -> str:
    """`values`: each one, or value → how often."""
    counted = values if isinstance(values, Mapping) else Counter(values)
    counts, total = [0] * bins, max(1, sum(counted.values()))
    for value, count in counted.items():
        counts[min(bins - 1, max(0, int(value * bins)))] += count
    top = max(counts) / total or 1.0
    slot = (WIDTH - LEFT - 12) / bins
    body = []
    for number, count in enumerate(counts):
        y = _y(count / total, 0, top)
        body.append(_box(LEFT + slot * number + 2, y, slot - 4, _y(0, 0, top) - y, 0))
        body.append(_text(LEFT + slot * (number + 0.5), HEIGHT - BOTTOM + 18, f"{number / bins:.1f}-{(number + 1) / bins:.1f}"))
    return _frame(title, 0, top, body, ())


def costs(points: Sequence[Point], axis: str, title: str = "accuracy with 95 % intervals") -> str:
    """What accuracy costs: the points of a series in order of x. Raises ValueError without a point, or for one whose x is not above 0."""
    if not points or min(point.x for point in points) <= 0:
        raise ValueError("a chart of costs needs points, each with a cost above 0")
    series = list(dict.fromkeys(point.series for point in points))
    low, high = min(point.low for point in points), max(point.high for point in points)
    low, high = math.floor(low * 20) / 20, math.ceil(high * 20) / 20
    first, last = math.log10(min(point.x for point in points)) - 0.05, math.log10(max(point.x for point in points)) + 0.1
    scale = (WIDTH - LEFT - 16) / (last - first)

    def across(x: float) -> float:
        return LEFT + (math.log10(x) - first) * scale

    body = []
    for tick in _ticks(10**first, 10**last):
        body += [_line(across(tick), TOP, across(tick), HEIGHT - BOTTOM, "#eee"), _text(across(tick), HEIGHT - BOTTOM + 16, f"{tick:g}")]
    for number, name in enumerate(series):
        colour, own = COLOURS[number % len(COLOURS)], sorted((point for point in points if point.series == name), key=lambda point: point.x)
        places = [(across(point.x), _y(point.y, low, high)) for point in own]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for point, (x, y) in zip(own, places, strict=True):
            body.append(f'<g opacity="0.4">{_line(x, _y(point.low, low, high), x, _y(point.high, low, high), colour)}</g>')
            body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
            body.append(_text(x + 5, y - 5, point.label, "start"))
    body.append(_text((LEFT + WIDTH) / 2, HEIGHT - BOTTOM + 34, axis))
    return _frame(title, low, high, body, series)


def _ticks(first: float, last: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between the two."""
    powers = range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    return [tick for power in powers for tick in (10.0**power, 2 * 10.0**power, 5 * 10.0**power) if first <= tick <= last]


def stacked(charts: Sequence[str]) -> str:
    """A file that a browser shows without the report's page around it."""
    placed = [
        chart.replace("<svg ", f'<svg y="{HEIGHT * place}" width="{WIDTH}" height="{HEIGHT}" ', 1) for place, chart in enumerate(charts)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT * len(charts)}" font-family="sans-serif" font-size="11">'
        f'<rect width="{WIDTH}" height="{HEIGHT * len(charts)}" fill="white"/>{"".join(placed)}</svg>\n'
    )
