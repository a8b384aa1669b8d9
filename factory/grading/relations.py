"""Chains of relations: what is a named value (`x = 1 + 2 = 3`), what a solved inequality (an interval), and what an equation.

    x = 5 + 6 = 11        → Named(("x",), 11)         the value of a chain is its last member
    x = 1/3 \\approx 0.33  → Named(("x",), 1/3)        what ≈ says is no value where an exact one stands
    -2 \\le x < 7          → Named(("x",), [-2, 7))
    |z| \\ge 1             → Named(("z",), (-oo, -1] ∪ [1, oo))
    2x + 4y - 3 = 0       → Relation

An equation in one unknown that is not solved stays a Relation and equals no value: `2x = 10` gives the problem back, not its answer.
"""

import re
from collections.abc import Callable, Sequence

from factory.grading.algebra import equal, quotient
from factory.grading.answers import FLIPPED, Answer, Items, Named, Ordered, Ratio, Relation, Union, Value, Words
from factory.grading.expressions import parse_expression
from factory.grading.latex import Token, Unreadable
from factory.grading.letters import PRODUCTS
from factory.grading.pieces import split_relation
from factory.grading.polynomials import TooLarge, Undefined
from factory.grading.trees import INFINITY, Node, free_symbols
from factory.grading.units import NO_CAPTION, NONE

_SYMBOL = r"(?:m?\\angle)?\\?[A-Za-z]+(?:_(?:\{[^{}]*\}|\w))?'*"
_CALL = r"(?:[A-Z]\w?|[a-z]*[fgh]|[pqr])(?:_(?:\{[^{}]*\}|\w))?'*(?:\^\{-1\})?\([^()]+\)"
_CAPITALS = r"[A-Z]+(?:_(?:\{[^{}]*\}|\w))?'*"
_NAME = re.compile(
    rf"(?:{_CALL}|{_SYMBOL}|\|(?:{_SYMBOL})\||{_CAPITALS}[:/]{_CAPITALS}|frac\{{{_CAPITALS}\}}\{{{_CAPITALS}\}}"
    rf"|frac\{{d[a-z]?\}}\{{d[a-z]\}}|\(?{_SYMBOL}(?:,{_SYMBOL})+\)?|\({_SYMBOL}\)|\|{_CAPITALS}\|)"
)
_ABS = re.compile(rf"\|({_SYMBOL})\|")


ReadItem = Callable[[Sequence[Token]], Answer]


def read_relation(found: Sequence[Token], read_item: ReadItem) -> Answer:
    """Raises Unreadable."""
    members, signs = split_relation(found)
    if not members[0] and signs[0] in ("=", "~"):  # = 5, or about 5
        members, signs = members[1:], signs[1:]
    if any(not member for member in members):
        raise Unreadable("a relation with an empty side")
    members, signs = _without_approximation(members, signs)
    if signs == ["in"]:
        return Named(_names(members[0]), read_item(members[1]))
    if not signs:
        return read_item(members[0])
    if set(signs) == {"="}:
        return _equalities(members, read_item)
    if set(signs) <= {"<", "<=", ">", ">="}:
        return _inequalities(members, signs)
    if set(signs) <= {"<", "<=", ">", ">=", "!=", "="}:
        return Relation(tuple(_expression(member) for member in members), tuple(signs))
    raise Unreadable("a relation of another kind", algebra=False)


def _without_approximation(members: list[list[Token]], signs: list[str]) -> tuple[list[list[Token]], list[str]]:
    """`x = 1/3 ≈ 0.33` is `x = 1/3`; `x ≈ 11` is `x = 11`."""
    if "~" not in signs:
        return members, signs
    at = signs.index("~")
    if at == 0 and _is_name(members[0]) and len(signs) == 1:
        return members, ["="]
    return members[: at + 1], signs[:at]


def compact(member: Sequence[Token]) -> str:
    return "".join(token.text for token in member)


def _is_name(member: Sequence[Token]) -> bool:
    """A symbol, f(x), P(A | B), |AB|, \\angle ABC, A:B, (x, y), or words: nothing to compute."""
    text = compact(member)
    if text in ("\\pi", "\\infty", "\\emptyset") or (text in ("e", "i") and len(member) == 1):
        return False
    if any(token.kind == "func" or (token.kind == "op" and token.text.isalpha()) for token in member) and text[:4] != "frac":
        return False
    if any(token.kind == "word" and not token.upright and any(set(token.text) <= set(letters) for letters in PRODUCTS) for token in member):
        return False  # xy = 5 is an equation in two unknowns
    if all(token.kind in ("word", "name") and (token.kind == "word" or token.upright) for token in member):
        return not any(token.text in NO_CAPTION for token in member)
    return bool(_NAME.fullmatch(text))


def _names(member: Sequence[Token]) -> tuple[str, ...]:
    if not _is_name(member):
        raise Unreadable("a value in front of ∈")
    return (_base_name(compact(member)),)


def _base_name(text: str) -> str:
    """`f(x)` and `f(t)` are both called f, `f(2)` is another; |AB| is AB."""
    text = re.sub(r"^m?\\angle", r"\\angle", text.strip("|"))
    text = re.sub(r"_\{([^{}]*)\}", r"_\1", text)
    return re.sub(r"\([a-z]\)$", "()", text) if not text.startswith("(") else text


def _argument(text: str) -> str:
    """x of `f(x)`, "" for another name."""
    found = re.search(r"\(([a-z])\)$", text)
    return found[1] if found and not text.startswith("(") else ""


def _equalities(members: Sequence[Sequence[Token]], read_item: ReadItem) -> Answer:
    names = [_base_name(compact(member)) for member in members if _is_name(member)]
    others = [member for member in members if not _is_name(member)]
    if names and others:
        values = [read_item(member) for member in others]
        value = values[-1]
        if not all(isinstance(item, Value) for item in values) and any(item != value for item in values):
            raise Unreadable("an equation that does not hold")
        if all(_is_constant(item) for item in values) or (len(members) == 2 and _is_definition(members, value)):
            return _with_names(members, names, value)
    elif not names:
        values = [read_item(member) for member in others]
        if all(_is_constant(item) for item in values):
            return _held(values)
    elif len(names) == len(members) == 2 and all(token.kind in ("word", "name") for token in members[1]):
        last = read_item(members[1])
        if isinstance(last, Words | Value):
            return Named((names[0],), last, _argument(compact(members[0])))  # f(y) = y, a = b
    return Relation(tuple(_expression(member) for member in members), ("=",) * (len(members) - 1))


def _with_names(members: Sequence[Sequence[Token]], names: list[str], value: Answer) -> Answer:
    """`(x, y) = (5, 2)` names each member."""
    first = compact(members[0])
    tuple_of = re.fullmatch(rf"\(?({_SYMBOL}(?:,{_SYMBOL})+)\)?", first)
    if tuple_of and isinstance(value, Ordered) and len(parts := tuple_of[1].split(",")) == len(value.items):
        named = tuple(Named((_base_name(name),), item) for name, item in zip(parts, value.items, strict=True))
        return Ordered(named, value.left, value.right)
    return Named(tuple(dict.fromkeys(names)), value, _argument(first))


def _held(values: Sequence[Answer]) -> Answer:
    """`5 + 5 = 10`: the last member, when all are equal; amounts with units are left alone (`5 m = 500 cm`)."""
    last = values[-1]
    for item in values[:-1]:
        plain = isinstance(item, Value) and isinstance(last, Value)
        united = plain and (item.unit != NONE or last.unit != NONE)  # type: ignore[union-attr]
        if not united and not (equal(item.node, last.node) if plain else item == last):  # type: ignore[union-attr]
            raise Unreadable("an equation that does not hold")
    return last


def _is_definition(members: Sequence[Sequence[Token]], value: Answer) -> bool:
    """`f(x) = x^2 + 1`, `y = 2x`, `S = \\{1, 2\\}`: a name that does not stand on the other side."""
    if not _is_name(members[0]):
        return False
    name = compact(members[0])
    if not isinstance(value, Value):
        return True
    head = name.split("(")[0]
    return head not in free_symbols(value.node)


def _is_constant(answer: Answer) -> bool:
    """Nothing unknown in it."""
    if isinstance(answer, Value):
        return not free_symbols(answer.node)
    if isinstance(answer, Items | Ordered):
        return all(_is_constant(item) for item in answer.items)
    if isinstance(answer, Union):
        return all(_is_constant(item) for item in answer.parts)
    if isinstance(answer, Ratio):
        return not any(free_symbols(node) for node in answer.members)
    return isinstance(answer, Words)


def _expression(member: Sequence[Token]) -> Node:
    node, rest = parse_expression(member)
    if rest:
        raise Unreadable("words in a relation")
    return node


def _inequalities(members: Sequence[Sequence[Token]], signs: list[str]) -> Answer:
    """A solved inequality as the interval that it says; every other one as a relation."""
    nodes = [_expression(member) for member in members]
    names = [index for index, member in enumerate(members) if _is_name(member) and free_symbols(nodes[index])]
    bounded = _ABS.fullmatch(compact(members[names[0]])) if len(names) == 1 else None
    if len(names) != 1 and not (len(nodes) == 2 and (scaled := _scaled(nodes, signs[0]))):
        return Relation(tuple(nodes), tuple(signs))
    if len(names) != 1:
        name, interval = scaled  # type: ignore[misc]
        return Named((name,), interval)
    at = names[0]
    if any(free_symbols(node) for index, node in enumerate(nodes) if index != at):
        return Relation(tuple(nodes), tuple(signs))
    downward = {sign in ("<", "<=") for sign in signs}
    if len(members) > 3 or len(downward) > 1 or (len(members) == 3 and at != 1):
        return Relation(tuple(nodes), tuple(signs))
    if len(members) == 2:
        sign = signs[0] if at == 0 else FLIPPED[signs[0]]
        interval = _ray(nodes[1 - at], sign)
    else:
        low, high = (nodes[0], nodes[2]) if True in downward else (nodes[2], nodes[0])
        first, second = signs if True in downward else (FLIPPED[signs[1]], FLIPPED[signs[0]])
        interval = Ordered((Value(low), Value(high)), "[" if first == "<=" else "(", "]" if second == "<=" else ")")
    name = _base_name(compact(members[at]))
    return Named((name,), _absolute(interval) if bounded else interval)


def _ray(bound: Node, sign: str) -> Ordered:
    if sign in ("<", "<="):
        return Ordered((Value(("neg", INFINITY)), Value(bound)), "(", "]" if sign == "<=" else ")")
    return Ordered((Value(bound), Value(INFINITY)), "[" if sign == ">=" else "(", ")")


def _absolute(interval: Ordered) -> Answer:
    """|z| in an interval → z in one interval or in two."""
    low, high = interval.items
    assert isinstance(low, Value)
    assert isinstance(high, Value)
    if low.node == ("neg", INFINITY):
        return Ordered((Value(("neg", high.node)), high), "[" if interval.right == "]" else "(", interval.right)
    mirrored = Ordered(
        (Value(("neg", high.node)), Value(("neg", low.node))), "[" if interval.right == "]" else "(", "]" if interval.left == "[" else ")"
    )
    return Union((mirrored, interval))


def _scaled(nodes: Sequence[Node], sign: str) -> tuple[str, Answer] | None:
    """`-x > -1`: a number times one symbol against a number."""
    for at in (0, 1):
        symbols = free_symbols(nodes[at])
        if len(symbols) != 1 or free_symbols(nodes[1 - at]):
            continue
        try:
            above, below = quotient(nodes[at])
        except (TooLarge, Undefined):
            return None
        (name,) = symbols
        if len(above) != 1 or set(below) != {()}:
            return None
        ((monomial, coefficient),) = above.items()
        if monomial != ((("sym", name), 1),) or coefficient not in (1, -1):
            return None
        turned = (coefficient < 0) != (at == 1)
        bound: Node = ("neg", nodes[1 - at]) if coefficient < 0 else nodes[1 - at]
        return name, _ray(bound, FLIPPED[sign] if turned else sign)
    return None
