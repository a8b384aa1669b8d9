"""Answers that are cells: a list on one line, or the rows of a Markdown, tab- or comma-separated table.

    compare_table("Spain, 1,234, 50%", "spain, 1234, 50")  → ("correct", "")
    compare_table("| a | 5 cm |", "a, 5 m")                → ("wrong", "cell 2 differs: 5 cm against 5 m")

Cells are compared in order: numbers exactly, text with case and spaces folded. Symmetric; nothing raises.
"""

import csv
import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from factory.grading.kinds import normalise, plain
from factory.grading.numbers import parse_number
from factory.grading.protocol import LONGEST_ANSWER, Outcome
from factory.grading.units import SIGNS, UNITS

_SEPARATOR = re.compile(r"[\s|:\-]*-[\s|:\-]*")  # the row under the head of a Markdown table
_THOUSANDS = re.compile(r"(?<![\d,.])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)")
_PIPE = re.compile(r"(?<!\\)\|")
_HELD = "\ue000"  # stands for the comma of a thousand while commas are split: no text has this private character
_MEASURED = re.compile(
    r"([-+\N{MINUS SIGN}]?)(\\?[$€£¢]?)([-+\N{MINUS SIGN}]?[\d.,/ ]{1,300})(?<! ) ?((?:\\?%|°|[$€£¢]|[A-Za-z ²³^/·.\d]{1,40})?)", re.ASCII
)
_UNIT_WORD = re.compile(r"([A-Za-z]+)([²³]|\^?[23])?")
_BETWEEN_UNITS = frozenset({"per", "square", "sq", "cubic", "squared", "cubed"})


class Rows(NamedTuple):
    """The cells of a table by row; `headed`: the first row stands over a separator, so it names the columns."""

    rows: list[list[str]]
    headed: bool = False


def compare_table(answer: str, gold: str) -> Outcome:
    """Every cell must agree. A row of column names that only one side has is left out; one row may stand for many (`a, b` for a column)."""
    if max(len(answer), len(gold)) > LONGEST_ANSWER:
        return "unparsable", f"longer than {LONGEST_ANSWER:,} characters"
    first, second = read_table(answer), read_table(gold)
    if first.headed != second.headed and sum(map(len, first.rows)) != sum(map(len, second.rows)):
        first, second = (Rows(table.rows[table.headed :]) for table in (first, second))
    if not first.rows or not second.rows:
        return "unparsable", "no cells" if not first.rows else "the gold answer: no cells"
    shapes = [len(row) for row in first.rows], [len(row) for row in second.rows]
    if sum(shapes[0]) != sum(shapes[1]):
        return "wrong", f"{sum(shapes[0])} cells against {sum(shapes[1])}"
    if shapes[0] != shapes[1] and min(map(len, shapes)) > 1:
        return "wrong", "rows of other lengths"
    pairs = zip((cell for row in first.rows for cell in row), (cell for row in second.rows for cell in row), strict=True)
    for place, (ours, theirs) in enumerate(pairs, 1):
        if not _same(ours, theirs):
            return "wrong", f"cell {place} differs: {ours[:40]} against {theirs[:40]}"
    return "correct", ""


def read_table(text: str) -> Rows:
    """Markdown where every line has a pipe and is no list, else tabs, else commas; `1,234` is one number, quotes keep commas in a cell."""
    lines = [line.strip(" \r") for line in text.strip("\n").splitlines() if line.strip() and not line.lstrip().startswith("```")]
    if lines and all(_PIPE.search(line) for line in lines):
        rows = [_piped(line) for line in lines if not _SEPARATOR.fullmatch(line)]
        return Rows(rows, len(lines) > 1 and bool(_SEPARATOR.fullmatch(lines[1])))
    if any("\t" in line for line in lines):
        return Rows([[cell.strip() for cell in line.split("\t")] for line in lines])
    return Rows([row for row in map(_listed, lines) if row])


def _piped(line: str) -> list[str]:
    inner = line.strip().removeprefix("|")
    inner = inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner
    return [cell.replace("\\|", "|").strip() for cell in _PIPE.split(inner)]


def _listed(line: str) -> list[str]:
    held = _THOUSANDS.sub(lambda number: number[0].replace(",", _HELD), line)
    try:
        row = next(csv.reader([held], skipinitialspace=True), [])
    except csv.Error:
        row = held.split(",")
    return [cell.replace(_HELD, ",").strip() for cell in row]


def _same(first: str, second: str) -> bool:
    if normalise(plain(first)) == normalise(plain(second)):
        return True
    ours, theirs = _measured(first), _measured(second)
    return ours is not None and theirs is not None and ours[0] == theirs[0] and (not ours[1] or not theirs[1] or ours[1] == theirs[1])


@lru_cache(maxsize=1 << 14)
def _measured(cell: str) -> tuple[Fraction, tuple[str, ...]] | None:
    """A number and its unit, () for none; None where the cell is something else, a number with a word that is no unit too."""
    bare = plain(cell).strip().rstrip(".")
    match = _MEASURED.fullmatch(bare)
    if match is None:
        return None
    sign, currency, digits, behind = match.groups()
    value = parse_number(sign + digits)
    unit = _unit(behind.strip())
    if value is None or unit is None or (currency and (unit or not currency.lstrip("\\"))):
        return None
    return value, (SIGNS[currency.lstrip("\\")],) if currency else unit


def _unit(text: str) -> tuple[str, ...] | None:
    if not text.strip("\\ "):
        return () if not text else None
    if text.lstrip("\\") in SIGNS:
        return (SIGNS[text.lstrip("\\")],)
    if text == "°":
        return ("degree",)
    names = []
    for word in re.findall(r"[^\s/·]+|/", text):
        match = _UNIT_WORD.fullmatch(word)
        if word == "/" or word.lower() in _BETWEEN_UNITS:
            names.append("per" if word == "/" else word.lower())
        elif match and (unit := UNITS.get(match[1]) or (UNITS.get(match[1].lower()) if len(match[1]) > 3 else None)):
            names.append(unit + {"²": "2", "³": "3"}.get(match[2] or "", (match[2] or "").lstrip("^")))
        else:
            return None
    return tuple(names)
