"""Small plots: to scale, well formed, and with what is beyond the 99th percentile in a cell of its own."""

import xml.etree.ElementTree as ET

import pytest

from factory.reports.columns import Categories, Numbers
from factory.reports.plots import bins, plot


def parts(figure, kind: str) -> list[ET.Element]:
    return [part for part in ET.fromstring(figure.svg).iter() if kind in part.attrib.get("class", "").split()]


def test_few_values_have_a_bar_each_and_many_are_cut_at_round_places() -> None:
    few = plot(Numbers("pass_rate", "", {0: 10, 0.25: 5, 1: 20}))
    assert len(parts(few, "bar")) == 3
    assert [text.text for text in ET.fromstring(few.svg).iter("text")] == ["0", "0.25", "1"]
    tall = {float(bar.attrib["height"]) for bar in parts(few, "bar")}
    assert max(tall) == pytest.approx(2 * sorted(tall)[1], rel=0.02)
    many = bins([Numbers("n", "characters", dict.fromkeys(range(3, 1000), 1))])
    assert (many.labels[0], many.of(3), many.of(10**6)) == ("0", 0, many.cells - 1)


def test_what_is_far_above_is_one_marked_bar() -> None:
    figure = plot(Numbers("n", "characters", dict.fromkeys(range(100), 10) | {10**6: 1}))
    (rest,) = parts(figure, "rest")
    assert rest.attrib["class"] == "bar rest"
    assert "≥" in figure.svg
    assert "most 1,000,000" in figure.caption


@pytest.mark.parametrize("counts", [{5: 3}, {0: 1}, {0.3: 1, 0.30001: 2}, {-1e9: 1, 1e9: 1}, dict.fromkeys([n / 7 for n in range(50)], 1)])
def test_any_numbers_can_be_drawn(counts: dict) -> None:
    for unit in ("", "characters"):
        assert parts(plot(Numbers("x", unit, counts)), "bar")
        assert parts(plot(Numbers("x", unit, counts), Numbers("x", unit, {1: 4})), "before")


def test_a_state_before_is_drawn_over_it_with_the_same_cells() -> None:
    figure = plot(Numbers("n", "", {0: 9, 1: 1}), Numbers("n", "", {0: 1, 5: 9}))
    (line,) = parts(figure, "before")
    assert len(line.attrib["points"].split()) == 2 * 3  # 0, 1 and 5, a step each
    assert "median 5 → 0" in figure.caption
    groups = plot(Categories("type", {"I": 3, "II": 1}), Categories("type", {"III": 4}))
    assert len(parts(groups, "bar")) == len(parts(groups, "before")) == 3
    assert [text.text for text in ET.fromstring(groups.svg).iter("text")] == ["I", "75.0 %", "II", "25.0 %", "III", "0.0 %"]


def test_nothing_is_drawn_of_nothing_and_names_are_escaped() -> None:
    assert plot(Numbers("x", "", {}, 4)) is None
    assert plot(Categories("x", {})) is None
    figure = plot(Categories("<b>", {"<script>alert(1)</script>": 1, "a\x1b[31m\nb": 2}))
    ET.fromstring(figure.svg)
    assert "<script" not in figure.svg
    assert "\x1b" not in figure.svg
