"""Equations and comparisons of a worked text, read by the grader's algebra; words between them part them.

    statements("Then S = 4h·h/2 = 3h², so h < 2.")[0]
    → Statement(sides=("S", "4h·h/2", "3h²"), nodes=(("sym", "S"), ("div", …), ("mul", …)), signs=("=", "="), line=0, lead="Then")

A side that cannot be read whole and in one way only is None among the nodes: `1/2bc`, `a_n+1`, `P(A|B)`, segments such as AB, e as an
eccentricity. Nothing is evaluated as code.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from factory.grading.expressions import parse_expression
from factory.grading.latex import Unreadable, tokens
from factory.grading.trees import Node, free_symbols

LONGEST = 120  # characters of a side
MOST_LINES = 200  # of one text
_FUNCTIONS = (
    "sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|log|ln|exp|sqrt|frac|dfrac|tfrac|binom|times|cdot|div|left|right|"
    "pi|alpha|beta|theta|omega|lambda"
)
_SIGNS = str.maketrans({"−": "-", "–": "-", "＝": "=", "，": ",", "（": "(", "）": ")", "：": ":", "；": ";", "∗": "*", "‖": "|"})
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉ₙₖₘₐₓᵢⱼ₊₋", "0123456789nkmaxij+-")
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹ⁿᵏᵐˣ⁺⁻⁽⁾", "0123456789nkmx+-()")
_REWRITTEN = (
    (re.compile(r"[₀-₉ₙₖₘₐₓᵢⱼ₊₋]*[ₙₖₘₐₓᵢⱼ][₀-₉ₙₖₘₐₓᵢⱼ₊₋]*"), lambda found: "_{" + found[0].translate(_LOWERED) + "}"),
    (
        re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹ⁿᵏᵐˣ⁺⁻⁽⁾]*[ⁿᵏᵐˣ][⁰¹²³⁴⁵⁶⁷⁸⁹ⁿᵏᵐˣ⁺⁻⁽⁾]*"),
        lambda found: "^{" + found[0].translate(_RAISED) + "}",
    ),
    (re.compile(r"\*\*|\$|\\[()\[\]]|\\(?:left|right)(?![a-z])|\\[,;!]"), lambda found: " "),
    (re.compile(r"(?<![A-Za-z\\])\\?lg\s?"), lambda found: r" \log_{10} "),
    (re.compile(r"(?<![A-Za-z\\])(sin|cos|tan|ln)(?=[A-Za-df-su-zα-ω](?![a-z]))"), lambda found: rf" \{found[1]} "),
    (re.compile(r"√\[([^\[\]]*)\](?!\s?[{(])"), lambda found: f"√({found[1]})"),
    (re.compile(r"(?<![A-Za-z])\|([a-z])\|(?=[²^])"), lambda found: found[1]),  # |a|² is a²
)
_CHOICES = re.compile(
    r"(?<![A-Za-z\\])([CA])(?:_?\{(\d{1,3})\}\^\{(\d{1,3})\}|_?(\d{1,2})\^(\d)(?!\d)|([₀-₉]{1,3})([⁰¹²³⁴-⁹]{1,2})|\((\d{1,3}),\s?(\d{1,3})\))"
)
_WORD = re.compile(
    rf"(?<![\\A-Za-z_{{])(?:(?!(?:{_FUNCTIONS})(?![A-Za-z]))(?=[A-Za-z]*[a-z])[A-Za-z]{{3,}}|"
    r"(?i:is|of|to|at|or|we|so|if|by|in|on|an|as|be|it|no|do|up|cm|km|kg)(?![A-Za-z]))"
)
_NAMES = re.compile(r"(?<![\\A-Za-z])[A-Z]{2,}(?![a-z])|(?<=\S):(?=\S)|\s:\s")  # segments, ratios
_PIECE = re.compile(r"[⇒→⟹∴∵⟺⇔;。、]|\.(?=\s|$)|:\s|§|\\(?:Rightarrow|implies|to|rightarrow|quad|qquad)(?![a-z])|\\\\")
_SIGN = re.compile(r"<=|>=|\\(?:le|leq|ge|geq|approx|ne|neq)(?![a-z])|[=≈<>≤≥≠]")
_SAME = {"\\le": "≤", "\\leq": "≤", "<=": "≤", "\\ge": "≥", "\\geq": "≥", ">=": "≥", "\\approx": "≈", "\\ne": "≠", "\\neq": "≠"}
_INNER = re.compile(r"(?:(?<=\s)|(?<![^,;]))\([^()]*[=<>≤≥≈][^()]*\)|(?P<glued>\([^()]*[=<>≤≥≈][^()]*\))")  # P(X=1), (since a=2)
_LABEL = re.compile(r"^\s*(?:[-•*]\s|\(?\d{1,2}[.)、]\s|[①-⑳]|\(\d\)\s)+")
_TWO_WAYS = re.compile(
    r"/\s?(?:\d+(?:\.\d+)?|(?!(?:log|ln|sin|cos|tan)(?![a-z]))[a-zα-ω])\s?(?:[a-zα-ω√(]|\\pi|\\sqrt)|[_^]\d*[a-z][+-]|[_^]\d+[a-z]|[A-Z]\s?\(|√[a-z]{2}|√\d+\.?\d*[a-z]{2}|(?:sin|cos|tan|ln|log)\s?[^\s(+*/×·=-]+\s?\(|÷.*[/÷]|/[^+=-]*÷|\d\s+\d"
)


class Statement(NamedTuple):
    """`sides` as they are written, `nodes` as they are read (None: not), `signs` between them: = ≈ < > ≤ ≥ ≠. `lead`: the words and arrows
    since the statement before on this line, or since the line's beginning."""

    sides: tuple[str, ...]
    nodes: tuple[Node | None, ...]
    signs: tuple[str, ...]
    line: int
    lead: str


def written(text: str) -> list[str]:
    """The lines of a text; one that begins with a sign of equality goes on the line before."""
    text = re.sub(r"\n\s*(?=[=≈])", " ", text.translate(_SIGNS))
    text = "".join(unicodedata.normalize("NFKC", letter) if "\U0001d400" <= letter <= "\U0001d7ff" else letter for letter in text)
    return text.split("\n")[:MOST_LINES]


def statements(text: str, imaginary: bool = False) -> list[Statement]:
    """All of a text, in order. `imaginary`: i is the imaginary unit; else what holds an i is not read."""
    return [statement for number, line in enumerate(written(text)) for statement in _of_line(line, number, imaginary)]


def _of_line(line: str, number: int, imaginary: bool) -> Iterator[Statement]:
    line = _CHOICES.sub(_chosen, line)
    for pattern, plain in _REWRITTEN:
        line = pattern.sub(plain, line)
    words: list[str] = []

    def word(found: re.Match[str]) -> str:
        words.append(found[0])
        return f"§{len(words) - 1}§"

    line = _NAMES.sub("☐", _INNER.sub(lambda found: "☐" if found["glued"] else ";", line))
    marked = _WORD.sub(word, _LABEL.sub("", line))
    lead: list[str] = []
    for piece, sign in _pieces(marked):
        if numbered := re.fullmatch(r"\s*\d+\s*", piece) if sign == "§word" else None:
            lead.append(words[int(numbered[0])])
            continue
        signs = [_SAME.get(found, found) for found in _SIGN.findall(piece)]
        if signs:
            sides = tuple(_trimmed(side) for side in _SIGN.split(piece))
            yield Statement(sides, tuple(read(side, imaginary) for side in sides), tuple(signs), number, " ".join(lead))
            lead = []
        lead.append(sign)


def _pieces(line: str) -> Iterator[tuple[str, str]]:
    """(text, what parts it from the next); a word's number is a piece of its own, with the sign `§word`."""
    start = depth = 0
    at = 0
    while at < len(line):
        letter = line[at]
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(letter, 0)
        if letter == "§":
            yield line[start:at], ""
            end = line.index("§", at + 1)
            yield line[at + 1 : end], "§word"
            start = at = end + 1
            depth = 0
            continue
        match = _PIECE.match(line, at)
        comma = letter == "," and depth <= 0 and not re.match(r",\d{3}(?!\d)", line[at:])
        if match or comma:
            yield line[start:at], match[0] if match else ","
            start = at = match.end() if match else at + 1
            depth = 0 if match else depth
            continue
        at += 1
    yield line[start:], ""


def _chosen(found: re.Match[str]) -> str:
    """C_6^4 and A_6^4 as what they count."""
    above, below = [part for part in found.groups()[1:] if part is not None][:2]
    above, below = above.translate(_LOWERED), below.translate(_RAISED)
    if found[1] == "C":
        return rf"\binom{{{above}}}{{{below}}}"
    return f"({above}!/({above}-{below})!)" if int(below) <= int(above) else found[0]


def _trimmed(side: str) -> str:
    """Without brackets at its ends that have no other half here."""
    side = side.strip(" ,")
    while side.endswith(("(", "[")):
        side = side[:-1].rstrip()
    while side.endswith((")", "]")) and side.count(")") + side.count("]") > side.count("(") + side.count("["):
        side = side[:-1].rstrip()
    while side.startswith(("(", "[")) and side.count("(") + side.count("[") > side.count(")") + side.count("]"):
        side = side[1:].lstrip()
    return side


@lru_cache(maxsize=1 << 14)
def read(side: str, imaginary: bool = False) -> Node | None:
    """The tree of a side; None for what is not read whole, or has two readings."""
    if not side or len(side) > LONGEST or _TWO_WAYS.search(side):
        return None
    try:
        node, rest = parse_expression(tokens(side))
    except (Unreadable, RecursionError, ValueError):
        return None
    return None if rest or not _meant(node, imaginary) else node


def _meant(node: Node, imaginary: bool) -> bool:
    """Whether e and i are what the grader takes them for: e only as the base of a power, i only among complex numbers."""
    if node == ("const", "i"):
        return imaginary
    if node == ("const", "e"):
        return False
    parts = node[2:] if node[0] == "pow" and node[1] == ("const", "e") else node[1:]
    return all(_meant(part, imaginary) for part in parts if isinstance(part, tuple) and part and isinstance(part[0], str))


def closed(node: Node | None) -> bool:
    """Whether it is a number."""
    return node is not None and not free_symbols(node)
