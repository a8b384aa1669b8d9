"""LaTeX or plain text → tokens: the only place that knows how people and models write the same thing in many ways.

    tokens(r"\\dfrac{1}{2}\\text{ cm}")   → frac { 1 } { 2 } word:cm
    tokens("1,234.5 m²")                  → 1234.5 m ^ 2

Unicode becomes ASCII or a command, layout (`\\left`, `\\,`, `$`) goes, numbers are read exactly. Nothing is evaluated.
"""

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from factory.grading.protocol import LONGEST_ANSWER
from factory.grading.spellings import (
    ALGEBRA,
    FUNCTIONS,
    GREEK,
    LAYOUT,
    LOWERED,
    OPERATORS,
    PLAIN_FUNCTIONS,
    PLAIN_NAMES,
    RAISED,
    RELATIONS,
    RENAMED,
    SPACES,
    TO_ASCII,
    UPRIGHT,
)  # fmt: skip

LONGEST_NUMBER = 1_000  # digits
DEEPEST = 60  # brackets in brackets


class Unreadable(Exception):
    """The text is no answer that this package reads. `algebra`: a computer algebra system may still know it (sums, integrals, limits)."""

    def __init__(self, reason: str, algebra: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.algebra = reason, algebra


class Token(NamedTuple):
    """`kind`: num · name · word · func · op · rel · sep · open · close · unit. `upright`: it stood in `\\text{…}`."""

    kind: str
    text: str
    value: Fraction | None = None
    spaced: bool = False  # white space in front of it
    upright: bool = False  # inside \text{…}


_DOUBLED = re.compile(
    r"\\\\(?=(?:left|right|d?frac|tfrac|sqrt|text|boxed|pi|le|ge|leq|geq|cdot|times|infty|in|cup|circ|pm|sin|cos|tan|log|ln)\b)"
)
_SHORT_ARG = re.compile(r"\\([dtc]?frac|[dt]?binom)\s*(\d)|\\(sqrt)\s*(\d+)")
_SHORT_SECOND = re.compile(r"\\([dtc]?frac|[dt]?binom)\s*(\{[^{}]*\})\s*(\d)")
_WRAPPED = re.compile(r"\\(?:boxed|fbox|beginboxed|ensuremath)\s*(?=\{)")
_GLUED = re.compile(r"(?<=[\d)])(or|and)(?=[A-Z(\d])")
_NUMBER_SETS = re.compile(r"\\in\s*(?:\\math(?:bf|rm|bb)\s*\{?([ZNRQ])\}?|([ZNRQ])(?![A-Za-z]))")
_CONDITION = re.compile(r"\s*\(\s*([a-z])\s*\\in\s*\\mathbb\{([ZNRQ])\}\s*\)\s*\Z")
_DEGREES = re.compile(r"\^\s?\{?\\circ\}?\s*([CF])\b")
_GLUED_SPACE = re.compile(r"(\\q?quad)(?=[A-Za-z])")
_LEAD_IN = re.compile(r"(?:\\text\{\s*)?(?:the\s+)?(?:final\s+)?answer\s*(?:is|:|=)\s*:?\s*\}?", re.I)
_TAILS = (r"\,", r"\;", r"\!", "\\ ", ".", ",", ";")
_BOUNDARY = r"(?:,\\!\s?|\s?\{\s?,\s?\}\s?|\\,|\\!|\\ |\s)"
_TOKEN = re.compile(
    rf"""
      (?P<space>(?:\s|~|\\[,;:!>\ ])+)
    | (?P<group>(?<![\d._^])\d{{1,3}}(?:{_BOUNDARY}\d{{3}})+(?:\.\d+)?(?![\d/]))
    | (?P<comma>(?<![\d.,])[1-9]\d{{0,2}}(?:,\d{{3}})+(?:\.\d+)?(?![\d]|,\d))
    | (?P<repeat>\d*\.\d*(?:\\overline\s?\{{\d+\}}|\\bar\s?\{{\d+\}}|\\dot\s?\{{?\d\}}?|\(\d+\)))
    | (?P<dots>\d*\.\d+(?:\.\.\.|\\ldots|\\dots|\\cdots))
    | (?P<num>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d{{1,3}}(?![\w^]))?)
    | \\begin\s*\{{(?P<env>[a-zA-Z*]+)\}}
    | \\end\s*\{{(?P<end>[a-zA-Z*]+)\}}
    | \\(?P<command>[a-zA-Z]+)\*?
    | (?P<row>\\\\)
    | \\(?P<escaped>[{{}}%$\#&_|])
    | (?P<power>\*\*)
    | (?P<relation><=|>=|!=|==|=<|=>|->|[<>=])
    | (?P<letters>[A-Za-z]+)
    | (?P<raised>[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+)
    | (?P<lowered>[₀₁₂₃₄₅₆₇₈₉]+)
    | (?P<char>[-+*/^_(){{}}\[\],;:.!|'"%$&?°])
    """,
    re.VERBOSE | re.ASCII,
)
_DIGITS = re.compile(r"(?P<num>\d+(?:\.\d+)?)", re.ASCII)


def clean(text: str) -> str:
    """Unicode, doubled backslashes, boxes, short arguments and delimiters in one form. Raises Unreadable for text that is too long."""
    if len(text) > LONGEST_ANSWER:
        raise Unreadable(f"longer than {LONGEST_ANSWER:,} characters")
    if nesting(text) > DEEPEST:
        raise Unreadable("nested too deeply")
    text = text.translate(TO_ASCII).strip()
    if r"\\" in text and r"\begin" not in text:
        text = _DOUBLED.sub(r"\\", text)
    text = _WRAPPED.sub("", text)
    if text.startswith("{") and text.count("{") == text.count("}") + 1:
        text = text[1:]
    if "$" in text:
        text = re.sub(r"(?<!\\)\$", " ", text) if not _is_money(text) else text
    text = text.replace(r"\(", " ").replace(r"\)", " ").replace(r"\[", " ").replace(r"\]", " ")
    text = _SHORT_ARG.sub(lambda found: f"\\{found[1] or found[3]}{{{found[2] or found[4]}}}", text)
    text = _SHORT_SECOND.sub(r"\\\1\2{\3}", text)
    if r"\rm" in text:
        text = re.sub(r"\{\s*\\rm\s+([^{}]*)\}", r"\\mathrm{\1}", text).replace(r"\rm{", r"\mathrm{")
    if r"\in" in text:
        text = _NUMBER_SETS.sub(r"\\in\\mathbb{\1\2}", text)
        text = _CONDITION.sub(r", \1\\in\\mathbb{\2}", text)
    text = _DEGREES.sub(r"^\\circ\\text{\1}", text)
    text = _GLUED_SPACE.sub(r"\1 ", text)
    text = _GLUED.sub(r" \1 ", text)
    if lead := _LEAD_IN.match(text):
        text = text[lead.end() :]
    text = text.replace("**", "^") if re.search(r"\w\s?\*\*\s?[\w(]", text) else text.replace("**", " ")
    text = text.strip()
    return text if text.endswith("...") else _without_tail(text)


def _without_tail(text: str) -> str:
    """Full stops, commas and thin spaces at the end taken off."""
    while text.endswith(_TAILS):
        text = text[: -2 if text[-2:-1] == "\\" else -1].rstrip()
    return text


def nesting(text: str) -> int:
    """How many brackets of any shape are open at once, at most."""
    depth = deepest = 0
    for character in re.findall(r"[(\[{)\]}]", text):
        depth = depth + 1 if character in "([{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest


def _is_money(text: str) -> bool:
    """A lone `$` in front of (or behind) a number is money; in pairs they delimit a formula."""
    bare = text.replace(r"\$", "")
    return bare.count("$") == 1 and bool(re.search(r"\$\s?[-+]?\s?[\d.]|\d\s?\$\s*$", bare))


def tokens(text: str) -> list[Token]:
    """The tokens of a cleaned text, layout gone. Raises Unreadable."""
    return list(_tokens(clean(text)))


@lru_cache(maxsize=4096)
def _tokens(text: str, upright: bool = False) -> tuple[Token, ...]:
    found: list[Token] = []
    position, spaced, depth = 0, False, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise Unreadable(f"an unknown character {text[position]!r}")
        kind = match.lastgroup or ""
        if kind == "comma" and depth:  # in brackets a comma separates
            match = _DIGITS.match(text, position)
            assert match is not None
            kind = "num"
        position = match.end()
        if kind == "space":
            spaced = True
            continue
        if kind == "command" and (name := match.group("command")) in UPRIGHT:
            inside, position = _argument(text, position)
            found += _styled(name, inside, spaced, upright)
        else:
            found += _token(kind, match, spaced, upright)
        spaced = kind == "command" and match.group("command") in SPACES
        if found and found[-1].kind in ("open", "close"):
            depth += {"(": 1, "[": 1, "set{": 1, ")": -1, "]": -1, "set}": -1}.get(found[-1].text, 0)
    return tuple(found)


def _token(kind: str, match: re.Match[str], spaced: bool, upright: bool) -> list[Token]:
    text = match.group(kind)
    if kind in ("group", "comma", "repeat", "dots", "num"):
        return [Token("num", text, number(kind, text), spaced, upright)]
    if kind == "command":
        return _command(text, spaced, upright)
    if kind == "letters":
        return _letters(text, spaced, upright)
    if kind == "relation":
        return [Token("rel", {"==": "=", "=<": "<="}.get(text, text), None, spaced)]
    if kind in ("raised", "lowered"):
        digits = text.translate(RAISED).translate(LOWERED)
        if not digits.lstrip("-+").isdigit():
            raise Unreadable("a raised sign without a number")
        mark = Token("op", "^" if kind == "raised" else "_", None, False, kind == "raised")
        return [mark, Token("num", digits, Fraction(digits))]
    if kind in ("env", "end"):
        return [Token("open" if kind == "env" else "close", f"{kind}:{text}", None, spaced)]
    if kind == "row":
        return [Token("sep", "\\\\", None, spaced)]
    if kind == "power":
        return [Token("op", "^", None, spaced)]
    if kind == "escaped":
        known = {"{": ("open", "set{"), "}": ("close", "set}"), "%": ("op", "%"), "$": ("op", "$"), "|": ("op", "||"), "&": ("sep", "and")}
        return [Token(*known.get(text, ("op", text)), None, spaced)]
    if text in "()[]{}":
        return [Token("open" if text in "([{" else "close", text, None, spaced)]
    if text in ",;&":
        return [Token("sep", text, None, spaced)]
    if text == "?" or text == '"':
        raise Unreadable(f"{text!r} is no part of an answer")
    return [Token("op", text, None, spaced)]


def _command(name: str, spaced: bool, upright: bool) -> list[Token]:
    name = RENAMED.get(name, name)
    if name in LAYOUT or name in SPACES:
        return []
    if name in ("and", "or"):
        return [Token("sep", name, None, spaced)]
    if name in "[]":
        return [Token("open" if name == "[" else "close", name, None, spaced)]
    if name in "{}":
        return [Token("open" if name == "{" else "close", f"set{name}", None, spaced)]
    if name in ("langle", "rangle"):
        return [Token("open" if name == "langle" else "close", name, None, spaced)]
    if name in RELATIONS:
        return [Token("rel", RELATIONS[name], None, spaced)]
    if name in OPERATORS:
        return [Token("op", OPERATORS[name], None, spaced)]
    if name in FUNCTIONS:
        return [Token("func", name, None, spaced)]
    if name in GREEK:
        return [Token("name", "\\" + name, None, spaced)]
    if name in ALGEBRA:
        raise Unreadable(f"\\{name} needs computer algebra", algebra=True)
    raise Unreadable(f"an unknown command \\{name}")


def _letters(text: str, spaced: bool, upright: bool) -> list[Token]:
    lower = text.lower()
    if lower in ("and", "or"):
        return [Token("sep", lower, None, spaced)]
    if not upright and text in PLAIN_FUNCTIONS:
        return [Token("func", RENAMED.get(text, text), None, spaced)]
    if lower in PLAIN_NAMES and (not upright or len(text) > 3):
        return [Token("name", "\\" + PLAIN_NAMES[lower], None, spaced)]
    return [Token("name" if len(text) == 1 else "word", text, None, spaced, upright)]


def _argument(text: str, position: int) -> tuple[str, int]:
    """The balanced `{…}` that begins at `position` (white space aside), else the next character."""
    while position < len(text) and text[position].isspace():
        position += 1
    if position >= len(text) or text[position] != "{":
        return text[position : position + 1], position + 1
    depth = 0
    for end in range(position, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return text[position + 1 : end], end + 1
    raise Unreadable("an open brace")


def _styled(command: str, inside: str, spaced: bool, upright: bool) -> list[Token]:
    """What stands in `\\text{…}` and its kin: words and units, or one letter in another style."""
    inside = inside.strip() if command != "text" else inside
    if command == "mathbb":
        return [Token("name", f"\\mathbb{inside.strip()}", None, spaced)]
    if command == "operatorname":
        return _command(inside.strip(), spaced, upright)
    if command in ("vec", "hat", "bar", "overline", "widehat", "tilde", "overrightarrow", "underline"):
        if not re.fullmatch(r"[A-Za-z]{1,4}", inside):
            raise Unreadable(f"an unknown use of \\{command}")
        return [Token("word", inside, None, spaced) if len(inside) > 1 else Token("name", f"{command}:{inside}", None, spaced)]
    styled = command in ("mathrm", "mathbf", "mathit", "boldsymbol", "bm", "mathcal", "mathscr", "mathfrak", "mathsf")
    if inside in ("e", "i", "E") or (styled and command != "mathrm"):
        return [token._replace(spaced=spaced) if not index else token for index, token in enumerate(_tokens(inside, False))]
    made = list(_tokens(inside.replace("$", " "), True))
    spaced = spaced or inside[:1].isspace()
    return [made[0]._replace(spaced=spaced), *made[1:]] if made else []


def number(kind: str, text: str) -> Fraction:
    """The exact value of a number token. Raises Unreadable when it is too long."""
    if len(text) > LONGEST_NUMBER:
        raise Unreadable(f"a number of more than {LONGEST_NUMBER:,} digits")
    if kind in ("group", "comma"):
        return Fraction(re.sub(r"[^\d.]", "", text))
    if kind == "num":
        return Fraction(text)
    if kind == "repeat":
        whole, decimals, period = re.fullmatch(r"(\d*)\.(\d*)\D+(\d+)\D*", text).groups()  # type: ignore[union-attr]
        return _repeating(whole, decimals, period)
    whole, decimals = re.match(r"(\d*)\.(\d+)", text).groups()  # type: ignore[union-attr]
    for length in range(1, len(decimals) // 3 + 1):  # 0.333... and 0.1666...: the last block stands three times
        period = decimals[-length:]
        if decimals.endswith(period * 3):
            return _repeating(whole, decimals[: len(decimals) - length], period)
    if len(decimals) >= 4 and decimals[-2:] == decimals[-4:-2]:
        return _repeating(whole, decimals[:-2], decimals[-2:])
    raise Unreadable("dots behind digits that do not repeat")


def _repeating(whole: str, decimals: str, period: str) -> Fraction:
    scale = 10 ** len(decimals)
    return Fraction(int((whole or "0") + decimals), scale) + Fraction(int(period), scale * (10 ** len(period) - 1))
