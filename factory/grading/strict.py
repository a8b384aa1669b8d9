"""LaTeX or plain text → sympy through latex2sympy, the parser of Math-Verify, but a text is read whole and in one way only, or not at all.

    read(r"\\int_0^1 0.5x\\,dx")   → Integral(x/2, (x, 0, 1))
    read("3(2)")                   → 6, where the parser alone says 5 (a mixed number)

Only what a list here knows gets to the parser, for that drops units, bases, primes, dots and the case of letters without a word.
"""

import re
from functools import lru_cache
from typing import Any, NamedTuple

import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, _Latex2Sympy
from sympy import And, Expr, FiniteSet, Interval, MatrixBase, Set, Union
from sympy.core.relational import Relational

from factory.grading.protocol import LONGEST_ANSWER

DEEPEST = 60  # brackets within brackets
CONFIG = ConversionConfig(interpret_contains_as_eq=False, lowercase_symbols=False)

RENAMED = {"dfrac": "frac", "tfrac": "frac", "dbinom": "binom", "tbinom": "binom", "le": "leq", "ge": "geq", "ne": "neq"}
DROPPED = {"left", "right", "displaystyle", "textstyle", "limits", "nolimits", "quad", "qquad"}
FUNCTIONS = frozenset(re.findall(r"\w+", "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log exp max min gcd lcm"))
OTHERS = """frac sqrt binom sum prod int lim to infty pi cdot times div leq geq lt gt neq lfloor rfloor lceil rceil begin end partial cup
    in pm alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi rho sigma tau phi chi psi omega Gamma Delta"""
KNOWN = FUNCTIONS | frozenset(re.findall(r"\w+", OTHERS))
_TOKEN = re.compile(r"\\([a-zA-Z]+)|\\[,;:! ]|\\\\|\\[{}]|(\d+(?:\.\d+)?|\.\d+)|[A-Za-z]+|[-+*/^_=<>(){}\[\]|!,&]|\s+", re.ASCII)
_REFUSED = re.compile(
    r"\d\s+\.?\d|[)}]\s*\.\d|\.\d+\.|\d\s*_|\d[eE][-+]?\d"  # two numbers side by side, a base, 1e5
    r"|(?<![A-Za-z\\])[A-Za-z]+\d|[-+*/=<>^_]\s*(?:$|[*/=<>^])|\^\s*(?:\w|\{[^{}]*\})\s*[!^]"  # x2, a sign before nothing, x^2^3, 2^3!
    r"|/\s*\d+\s*(?:[A-Za-z(]|\\[a-z])|\\frac\s*\d\s*\d{2}"  # 1/2x is two things, so is \frac123
)
_INDEXED = re.compile(r"(?<!\\sum)(?<!\\prod)(?<!\\int)(?<!\\lim)(?<!\\log)\s*_\s*(?:[A-Za-z]|\{[^{}]*[A-Za-z])")
_MIXED = re.compile(r"(?<![\w}.)\\])(\d+)\s*(\\frac\s*\{\d+\}\s*\{\d+\})")
_UPRIGHT = re.compile(r"\\(?:mathrm|text|operatorname|mathit)\s*\{\s*([eid]|" + "|".join(FUNCTIONS) + r")\s*\}")
_MATRIX = re.compile(r"\\(begin|end)\s*\{([pbv]matrix|matrix)\}")
_MEMBER = re.compile(r"[A-Za-z]\s*\\in(?![a-z])\s*")


class Unreadable(Exception):
    """A text that is not read, wholly and in one way only."""


class Group(NamedTuple):
    """Values in brackets, or with commas between them and no brackets."""

    opens: str
    closes: str
    parts: tuple[Any, ...]


class _Parser(_Latex2Sympy):
    """Without the rule that a whole number beside a number is a mixed one, by which `3(2)` is 5."""

    def convert_postfix_list(self, arr: list[Any], i: int = 0) -> Any:
        if i == len(arr) - 1:
            return super().convert_postfix_list(arr, i)
        made = self.convert_postfix(arr[i])
        if not isinstance(made, Expr):
            return super().convert_postfix_list(arr, i)
        rest = self.convert_postfix_list(arr, i + 1)
        return self.mat_mul_flat(made, rest) if isinstance(rest, MatrixBase) else self.mul_flat(made, rest)


def read(text: str) -> Any:
    """An Expr, Matrix, Relational, And, Set or Group. Raises Unreadable."""
    text = _clean(text)
    if text.count(r"\pm") == 1:
        return Group("", "", tuple(_value(text.replace(r"\pm", sign)) for sign in "+-"))
    return _value(text)


def _clean(text: str) -> str:
    if len(text) > LONGEST_ANSWER:
        raise Unreadable("too long")
    text = text.strip().rstrip(".").replace("−", "-").replace("**", "^").replace("$", " ")
    text = _UPRIGHT.sub(lambda match: ("\\" if match[1] in FUNCTIONS else "") + match[1] + " ", text)
    out, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise Unreadable(f"an unknown character {text[position]!r}")
        out.append(_token(match, text))
        position = match.end()
    cleaned = re.sub(r"([_^])\s*(\d*\.?\d+|[A-Za-z])", r"\1{\2}", re.sub(r"\s+", " ", "".join(out)).strip())
    if _REFUSED.search(cleaned):
        raise Unreadable("it can be read in more than one way")
    if re.search(r"\\(?:sum|prod|int|lim)", cleaned) and _INDEXED.search(re.sub(r"\s+_", "_", cleaned)):
        raise Unreadable("the members of a sequence")
    if re.fullmatch(r"[A-Za-z]{2,}", cleaned) or not cleaned:
        raise Unreadable("a word" if cleaned else "nothing is there")
    for short in (r"\\(frac|binom|sqrt)()\s*(\w)", r"\\(frac|binom)\s*(\{[^{}]*\})\s*(\w)"):
        cleaned = re.sub(short, r"\\\1\2{\3}", cleaned)
    return _exact(_MIXED.sub(r"(\1+\2)", cleaned))


def _token(match: re.Match[str], text: str) -> str:
    whole, command = match.group(), match.group(1)
    if command:
        command = RENAMED.get(command, command)
        if command in DROPPED:
            return " "
        if command not in KNOWN or (command in ("begin", "end") and not _MATRIX.match(text, match.start())):
            raise Unreadable(f"an unknown command \\{command}")
        return f"\\{command} " if command not in ("begin", "end") else f"\\{command}"
    if whole.isalpha() and len(whole) > 1 and not re.search(r"\\(?:begin|end)\s*\{$", text[max(0, match.start() - 9) : match.start()]):
        if whole in FUNCTIONS or whole == "pi":
            return f"\\{whole} "
        if len(whole) > 3 or whole in ("and", "or"):
            raise Unreadable(f"a word {whole!r}")
    return " " if whole in ("\\,", "\\;", "\\:", "\\!", "\\ ") else whole


def _exact(text: str) -> str:
    """Decimals become fractions: sympy would make them binary numbers."""

    def fraction(match: re.Match[str]) -> str:
        whole, decimals = match.group().split(".")
        return rf"\frac{{{int(whole + decimals)}}}{{{10 ** len(decimals)}}}"

    return re.sub(r"\d*\.\d+", fraction, text)


def _value(text: str) -> Any:
    text = text.strip()
    if r"\in " in text:
        member = _MEMBER.match(text)
        if not member:
            raise Unreadable("an unknown use of \\in")
        text = text[member.end() :].strip()
    if len(parts := _split(text, r"\cup")) > 1:
        return Union(*(as_set(_value(part)) for part in parts))
    if (outer := _outer(text)) and (len(inner := _split(outer[1], ",")) > 1 or outer[0] == r"\{"):
        return Group(outer[0], outer[2], tuple(_value(part) for part in inner))
    if len(parts := _split(text, ",")) > 1:
        return Group("", "", tuple(_value(part) for part in parts))
    return _sympy(text)


def _split(text: str, separator: str) -> list[str]:
    parts, depth, begin = [], 0, 0
    for index, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if not 0 <= depth <= DEEPEST:
            raise Unreadable("brackets that do not match" if depth < 0 else "nested too deeply")
        if depth == 0 and text.startswith(separator, index):
            parts.append(text[begin:index])
            begin = index + len(separator)
    if depth:
        raise Unreadable("an open bracket")
    return [*parts, text[begin:]]


def _outer(text: str) -> tuple[str, str, str] | None:
    """The brackets around the whole text, and what they hold."""
    opens = next((bracket for bracket in (r"\{", "(", "[") if text.startswith(bracket)), None)
    closes = next((bracket for bracket in (r"\}", ")", "]") if text.endswith(bracket)), None)
    if not opens or not closes or (opens == r"\{") != (closes == r"\}"):
        return None
    depth = 0
    for index, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and index >= len(opens) and index < len(text) - 1:
            return None
    return opens, text[len(opens) : -len(closes)], closes


@lru_cache(maxsize=256)  # the gold answer of a problem comes again with every sample, and parsing is what takes the time
def _sympy(text: str) -> Any:
    if text.count(r"\sqrt") + text.count(r"\frac") > 4 * DEEPEST:
        raise Unreadable("nested too deeply")
    try:
        made = _Parser(is_real=True, config=CONFIG).parse(text)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # noqa: BLE001 (the parser raises bare Exception for what it cannot read, and whatever its own faults lead to)
        raise Unreadable("no formula that the parser knows") from None
    if not isinstance(made, Expr | MatrixBase | Relational | And) or made.has(sympy.nan, sympy.zoo, sympy.Float, Set):
        raise Unreadable("no value")
    return _repaired(made)


def _repaired(made: Any) -> Any:
    """i is the imaginary unit where no sum counts with it, and a limit is one from both sides."""
    made = made.subs({symbol: sympy.I for symbol in made.free_symbols if symbol.name == "i"})
    if isinstance(made, MatrixBase) or not made.has(sympy.Limit):
        return made
    return made.replace(
        lambda part: isinstance(part, sympy.Limit) and part.args[2].is_finite, lambda part: sympy.Limit(*part.args[:3], "+-")
    )


def as_set(value: Any) -> Set:
    """Raises Unreadable or NotImplementedError."""
    if isinstance(value, Set):
        return value
    if isinstance(value, Relational | And) and len(value.free_symbols) == 1:
        return value.as_set()
    if isinstance(value, Group) and all(isinstance(part, Expr) for part in value.parts):
        if value.opens == r"\{":
            return FiniteSet(*value.parts)
        if value.opens and len(value.parts) == 2 and (value.parts[0] < value.parts[1]) == True:  # noqa: E712 (a relation, or sympy's true)
            return Interval(*value.parts, value.opens == "(", value.closes == ")")
    raise Unreadable("no set")
