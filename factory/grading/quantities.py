"""Tokens of one item → a value with its unit, or words.

5\\text{ cm}^2 → Value(5, cm^2)        \\$18 → Value(18, dollar)        204_5 → Value(204, base=5)        odd → Words("odd")
"""

from collections.abc import Sequence
from fractions import Fraction

from factory.grading.answers import Answer, Items, Ordered, Value, Words
from factory.grading.expressions import parse_expression
from factory.grading.latex import Token, Unreadable
from factory.grading.letters import PRODUCTS
from factory.grading.trees import INFINITY, Node
from factory.grading.units import STOP, parse_unit

GLUED = frozenset(["cm", "mm", "km", "kg", "ft", "hr", "mph", "sec", "min"])  # units also without a space: 5cm
SCALES = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}


def read_value(found: Sequence[Token]) -> Answer:
    """A value with its unit, or words."""
    if all(token.kind in ("word", "name", "func") and (token.kind == "word" or token.upright) for token in found) or (
        any(token.kind == "word" and len(token.text) > 3 for token in found) and all(token.kind in ("word", "name") for token in found)
    ):
        return _words(found)
    if len(found) == 1 and found[0].kind in ("word", "name"):
        return _single(found[0])
    sign = [token for token in found[:1] if token.text == "-"]
    money: list[Token] = []
    body = list(found[len(sign) :])
    while body and body[0].kind == "op" and body[0].text in ("$", "€", "£"):
        money.append(body.pop(0))
        if body and body[0].text == "-" and not sign:
            sign = [body.pop(0)]
    if body and body[0].kind == "word" and body[0].text.lower() in STOP:
        return read_value([*sign, *money, *body[1:]])
    if plain := _plain_unit([*sign, *body], money):
        return plain
    node, rest = parse_expression([*sign, *body])
    if rest and rest[0].text == "_" and node[0] == "num":
        return _based(node, rest)
    if rest and rest[0].text.lower() in SCALES:
        node, rest = ("mul", node, ("num", Fraction(SCALES[rest[0].text.lower()]))), rest[1:]
    node, marks = _outer_marks(node)
    return Value(node, parse_unit([*money, *marks, *rest]))


REALS = Ordered((Value(("neg", INFINITY)), Value(INFINITY)))
_SYNONYMS: dict[str, Answer] = {
    "no solution": Items((), braces=True), "no solutions": Items((), braces=True), "empty set": Items((), braces=True),
    "all real numbers": REALS, "all reals": REALS,
}  # fmt: skip


def _words(found: Sequence[Token]) -> Answer:
    if len(found) == 1:
        return _single(found[0])
    text = " ".join(token.text for token in found).casefold()
    return _SYNONYMS.get(text, Words(text))


def _single(token: Token) -> Answer:
    """One letter is a symbol in any style, `xy` a product; one word is a word."""
    if token.text == "\\emptyset":
        return Items((), braces=True)
    if token.text == "\\mathbbR":
        return REALS
    if token.text in ("\\ldots", "\\dots", "\\cdots"):
        return Words("…")
    if token.kind == "name" or len(token.text) == 1:
        return Value(parse_expression([token._replace(upright=False, kind="name")])[0])
    if not token.upright and any(set(token.text) <= set(letters) for letters in PRODUCTS) and len(set(token.text)) == len(token.text):
        return Value(parse_expression([token])[0])
    return Words(token.text.casefold())


def _plain_unit(found: Sequence[Token], money: Sequence[Token]) -> Value | None:
    """`5 m/s`, `1,000 m²`: one number, then nothing but known units, a space or `\\text` in front of them."""
    signed = bool(found) and found[0].text == "-"
    rest = found[1 + signed :]
    if len(found) <= 1 + signed or found[signed].kind != "num" or not rest:
        return None
    raised = len(rest) == 3 and rest[1].text == "^" and rest[1].upright
    glued = rest[0].text in GLUED
    if (
        not (rest[0].spaced or rest[0].upright or raised or glued)
        or rest[0].kind not in ("name", "word")
        or rest[0].text in ("\\pi", "e", "i")
    ):
        return None
    try:
        unit = parse_unit([*money, *rest])
    except Unreadable:
        return None
    if not unit.known or (unit.words and not any(token.kind == "word" for token in rest)):
        return None
    node: Node = ("num", found[signed].value)
    return Value(("neg", node) if signed else node, unit)


def _outer_marks(node: Node) -> tuple[Node, list[Token]]:
    """% and degrees around the whole value are its unit; inside a formula they are factors."""
    if node[0] in ("pct", "deg"):
        return node[1], [Token("op", "%" if node[0] == "pct" else "deg")]
    if node[0] == "neg":
        inner, marks = _outer_marks(node[1])
        return ("neg", inner), marks
    if node[0] == "mul" and node[2][0] in ("pct", "deg") and node[2][1][0] != "num":  # 2\pi^\circ is odd, 3x^\circ is not
        return ("mul", node[1], node[2][1]), [Token("op", "%" if node[2][0] == "pct" else "deg")]
    return node, []


def _based(node: Node, rest: Sequence[Token]) -> Value:
    """`204_5`, `204_{5}`, `1011_{two}`."""
    inside = [token for token in rest[1:] if token.text not in "{}"]
    base = (inside[0].value or BASES.get(inside[0].text.lower(), 0)) if len(inside) == 1 else 0
    digits = str(node[1])
    if not 2 <= base <= 10 or not digits.isdigit() or max(map(int, digits)) >= base:
        raise Unreadable("a subscript of a number that is no base of it")
    return Value(node, base=int(base))
