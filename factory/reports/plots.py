"""Small plots of distributions as inline SVG, to stand side by side; with a second distribution drawn over the first as a line.

    plot(Numbers("completion", "characters", {118: 41, …}))                 → Figure("<svg …>", "completion, characters: median 380, …")
    plot(Categories("buffer", {"0": 900, "+": 100}), over=Categories(…))    → Figure("<svg …>", "buffer")

Colours are classes that the page's style gives, for light and dark; every plot says its numbers in its caption or beside its bars.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from factory.reports.columns import Categories, Distribution, Numbers, written
from factory.reports.page import Figure
from factory.reports.readable import visible

WIDTH, HEIGHT, FOOT = 264, 96, 18
CELLS = 22
FEW = 12  # values that have a cell each
WIDEST = 44  # of a bar
LINE = 19  # height of a category's line
NAME, COUNT = 112, 64  # widths of a category's name and count
LETTERS = 17  # of a name


def plot(now: Distribution, over: Distribution | None = None) -> Figure | None:
    """None where there is nothing to draw; `over` is an earlier state of the same column."""
    if isinstance(now, Numbers):
        earlier = over if isinstance(over, Numbers) and over.counts else None
        return _numbers(now, earlier) if now.counts or earlier else None
    earlier_ = over if isinstance(over, Categories) else None
    return _categories(now, earlier_) if now.counts or (earlier_ and earlier_.counts) else None


def _svg(width: float, height: float, title: str, body: Sequence[str]) -> str:
    """Drawn at its own size, so that letters are as large as the page's small print."""
    return (
        f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img">'
        f"<title>{escape(title)}</title>{''.join(body)}</svg>"
    )


def _text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{f" class={chr(34)}{kind}{chr(34)}" if kind else ""}>{escape(words)}</text>'
    )


# -- numbers


@dataclass(frozen=True)
class Bins:
    """Cells of numbers: `of` gives a value's; `labels` stand below the first and last, or below each where these are few values."""

    of: Callable[[float], int]
    cells: int
    labels: tuple[str, ...]
    more: bool = False  # the last cell holds all that is above the 99th percentile


def bins(parts: Sequence[Numbers]) -> Bins:
    """A cell a value where there are few; else cells of a round width, up to the 99th percentile."""
    values = sorted({value for part in parts for value in part.counts})
    if len(values) <= FEW and parts[0].unit != "characters":
        places = {value: number for number, value in enumerate(values)}
        return Bins(places.__getitem__, len(values), tuple(map(written, values)))
    low, high = values[0], max(part.at(0.99) for part in parts)
    whole = all(float(value).is_integer() for value in values)
    width = _round_up((high - low) / CELLS or 1.0, whole)
    start = floor(low / width) * width
    cells = max(1, floor((high - start) / width + 1e-9) + 1)
    more = values[-1] >= start + width * cells
    last = f"≥ {written(start + width * (cells - 1))}" if more else written(values[-1])
    return Bins(lambda value: min(cells - 1, max(0, floor((value - start) / width + 1e-9))), cells, (written(start), last), more)


def _round_up(width: float, whole: bool) -> float:
    """To 1, 2, 2.5 or 5 times a power of ten; whole numbers have whole cells."""
    power = 10.0 ** floor(log10(width))
    found = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= width * (1 - 1e-9))
    return max(1, ceil(found)) if whole else found


def _shares(part: Numbers, cut: Bins) -> list[float]:
    heights = [0] * cut.cells
    for value, count in part.counts.items():
        heights[cut.of(value)] += count
    return [height / part.rows for height in heights]


def _numbers(now: Numbers, over: Numbers | None) -> Figure:
    cut = bins([part for part in (now, over) if part and part.counts])
    shares, before = _shares(now, cut) if now.counts else [], _shares(over, cut) if over else []
    top, slot, ground = max([*shares, *before]), WIDTH / cut.cells, HEIGHT - FOOT
    width = min(slot - 1, WIDEST)
    body = []
    for number, share in enumerate(shares):
        if share:
            tall, kind = max(1.0, (ground - 4) * share / top), "bar rest" if cut.more and number == cut.cells - 1 else "bar"
            x = slot * (number + 0.5) - width / 2
            body.append(f'<rect class="{kind}" x="{x:.1f}" y="{ground - tall:.1f}" width="{width:.1f}" height="{tall:.1f}"/>')
    if before:
        steps = [(slot * (number + side), ground - (ground - 4) * share / top) for number, share in enumerate(before) for side in (0, 1)]
        body.append(f'<polyline class="before" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in steps)}"/>')
    elif now.counts and (len(now.counts) > FEW or now.unit == "characters"):
        x = slot * (cut.of(now.at(0.5)) + 0.5)
        body.append(f'<line class="median" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{ground}"/>')
    body.append(f'<line class="axis" x1="0" y1="{ground}" x2="{WIDTH}" y2="{ground}"/>')
    if len(cut.labels) == cut.cells and slot >= 7 * max(map(len, cut.labels)):
        body += [_text(slot * (number + 0.5), HEIGHT - 4, label, "middle") for number, label in enumerate(cut.labels)]
    else:
        body += [_text(0, HEIGHT - 4, cut.labels[0]), _text(WIDTH, HEIGHT - 4, cut.labels[-1], "end")]
    return Figure(_svg(WIDTH, HEIGHT, f"distribution of {visible(now.name)}", body), _said(now, over))


def _said(now: Numbers, over: Numbers | None) -> str:
    name = visible(now.name) + (f", {now.unit}" if now.unit else "")
    if not now.counts:
        return f"{name}: none now"
    if over:
        return (
            f"{name}: median {written(over.at(0.5))} → {written(now.at(0.5))}, "
            f"95 % up to {written(over.at(0.95))} → {written(now.at(0.95))}"
        )
    share = f"; none in {now.none:,}" if now.none else ""
    return f"{name}: median {written(now.at(0.5))}, 95 % up to {written(now.at(0.95))}, most {written(max(now.counts))}{share}"


def ranged(name: str, value: float, low: float | None, high: float | None, least: float | None, most: float | None) -> Figure:
    """A value with its interval on a scale that shows the bounds it should lie in, None where there is none on that side."""
    ends = [part for part in (value, low, high, least, most) if part is not None]
    first, last = min(0.0, *ends), max(*ends, 1.0 if max(ends) <= 1 else max(ends) * 1.05)
    scale = (WIDTH - 12) / ((last - first) or 1.0)

    def across(part: float) -> float:
        return 6 + (part - first) * scale

    start, end = across(first if least is None else least), across(last if most is None else most)
    body = [
        f'<rect class="room" x="{start:.1f}" y="6" width="{end - start:.1f}" height="14"/>',
        f'<line class="axis" x1="6" y1="13" x2="{WIDTH - 6}" y2="13"/>',
    ]
    if low is not None and high is not None:
        body.append(f'<line class="interval" x1="{across(low):.1f}" y1="13" x2="{across(high):.1f}" y2="13"/>')
    body.append(f'<circle class="value" cx="{across(value):.1f}" cy="13" r="4"/>')
    body += [_text(6, 34, written(first)), _text(WIDTH - 6, 34, written(last), "end")]
    return Figure(_svg(WIDTH, 38, f"{visible(name)} in the range it should lie in", body), f"{visible(name)}: {written(value)}")


# -- categories


def _categories(now: Categories, over: Categories | None) -> Figure:
    names = list(now.shown | dict.fromkeys(over.shown if over else (), 0))
    totals = [max(1, part.rows) for part in (now, over) if part]
    largest = max(
        [count / totals[0] for count in now.shown.values()] + [count / totals[-1] for count in (over.shown if over else {}).values()]
    )
    body, room = [], WIDTH - NAME - COUNT
    for number, name in enumerate(names):
        y, count = LINE * number, now.shown.get(name, 0)
        share = count / totals[0]
        body.append(_text(NAME - 6, y + 13, _short(name), "end"))
        body.append(f'<rect class="bar" x="{NAME}" y="{y + 3}" width="{max(1.0, room * share / largest):.1f}" height="{LINE - 6}"/>')
        if over:
            x = NAME + room * over.shown.get(name, 0) / totals[-1] / largest
            body.append(f'<line class="before" x1="{x:.1f}" y1="{y + 1}" x2="{x:.1f}" y2="{y + LINE - 1}"/>')
        body.append(_text(WIDTH, y + 13, f"{count:,}" if not over else f"{100 * share:.1f} %", "end"))
    none = f"; none in {now.none:,}" if now.none else ""
    return Figure(_svg(WIDTH, LINE * len(names), f"rows by {visible(now.name)}", body), f"{visible(now.name)}{none}")


def _short(name: str) -> str:
    text = visible(name).replace("\n", " ") or "(empty)"
    return text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"
