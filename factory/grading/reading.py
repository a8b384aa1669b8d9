"""Text → the answer that it states.

    read(r"x \\in [-2, 7]")          → (Named(("x",), Ordered((-2, 7), "[", "]")),)
    read("1,22")                    → (Items((1, 22)), Value(1.22)): two readings, where a comma may be a decimal comma

`read` raises Unreadable; what it returns is compared by `comparison.compare`.
"""

import itertools
import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

from factory.grading.answers import Answer, Items, Named, Ordered, Ratio, Relation, Union, Value
from factory.grading.expressions import parse_expression
from factory.grading.floating import Unknown, value_at
from factory.grading.latex import Token, Unreadable, tokens
from factory.grading.pieces import closes, split, split_relation
from factory.grading.quantities import read_value
from factory.grading.relations import read_relation
from factory.grading.trees import INFINITY, free_symbols

MOST_ITEMS = 64  # two lists are compared item by item


@lru_cache(maxsize=1 << 14)
def read(text: str) -> tuple[Answer, ...]:
    """Every reading of an answer, the likeliest first. Raises Unreadable."""
    found = tokens(text)
    if not found:
        raise Unreadable("nothing is there")
    readings = [read_list(found)]
    if decimal := _decimal_comma(found):
        readings.append(read_list(decimal))
    elif (commas := _as_list(found)) is not None:
        readings.append(read_list(commas))
    return tuple(readings)


def _decimal_comma(found: Sequence[Token]) -> list[Token] | None:
    """`1000,99` and `0,5`: one comma without a space, in front of two digits or behind a bare 0."""
    at = [index for index, token in enumerate(found) if token.kind == "sep" and token.text == ","]
    if len(at) != 1 or not 0 < at[0] < len(found) - 1 or any(token.kind == "open" and token.text in ("(", "[", "set{") for token in found):
        return None
    before, comma, after = found[at[0] - 1], found[at[0]], found[at[0] + 1]
    plain = all(token.kind == "num" and token.text.isdigit() for token in (before, after)) and not (comma.spaced or after.spaced)
    if not plain or not (len(after.text) == 2 or before.text == "0"):
        return None
    joined = Token("num", f"{before.text}.{after.text}", Fraction(f"{before.text}.{after.text}"), before.spaced)
    return [*found[: at[0] - 1], joined, *found[at[0] + 2 :]]


def _as_list(found: Sequence[Token]) -> list[Token] | None:
    """`100,200` may be two numbers as well."""
    if len(found) != 1 or "," not in found[0].text or not re.fullmatch(r"\d{1,3}(,[1-9]\d{2})+", found[0].text):
        return None
    parts = [Token("num", part, Fraction(part)) for part in found[0].text.split(",")]
    return [token for part in parts for token in (part, Token("sep", ","))][:-1]


def read_list(found: Sequence[Token]) -> Answer:
    groups = split(found, (";",))
    if len(groups) > MOST_ITEMS:
        raise Unreadable(f"more than {MOST_ITEMS} items")
    if len(groups) > 1:
        inner = [_read_commas(group) for group in groups]
        named = [item for item in inner if isinstance(item, Items) and all(isinstance(part, Named) for part in item.items)]
        if len(named) == len(inner):  # p = 5, q = 2; p = 7, q = 2
            return Items(tuple(_solution(item) for item in named))
        items = tuple(part for item in inner for part in (item.items if isinstance(item, Items) and not item.braces else (item,)))
        if len(items) > MOST_ITEMS:
            raise Unreadable(f"more than {MOST_ITEMS} items")
        return Items(items)
    return _read_commas(found)


def _solution(items: Items) -> Answer:
    return Ordered(items.items)


def _read_commas(found: Sequence[Token]) -> Answer:
    pieces = split(found, (",", "and", "or"))
    if not pieces:
        raise Unreadable("nothing is there")
    if len(pieces) > MOST_ITEMS:
        raise Unreadable(f"more than {MOST_ITEMS} items")
    items = [item for piece in pieces for item in read_items(piece)]
    if len(items) == 1:
        return items[0]
    first = items[0]
    if isinstance(first, Named) and not any(isinstance(item, Named | Relation) for item in items[1:]):  # n = 2, 3, 4
        items = [first, *(Named(first.names, item) for item in items[1:])]
    if len(items) > MOST_ITEMS:
        raise Unreadable(f"more than {MOST_ITEMS} items")
    if len(items) == 2 and _is_condition(items[1], items[0]):
        return items[0]
    if isinstance(first, Named) and all(isinstance(item, Named) and item.names == first.names and _is_ray(item.value) for item in items):
        return Named(
            first.names, _rays([item.value for item in items if isinstance(item, Named)], any(token.text == "and" for token in found))
        )
    return Items(tuple(dict.fromkeys(items)))


def _is_condition(item: Answer, of: Answer) -> bool:
    """`k ∈ ℤ` behind a value with k in it."""
    while isinstance(of, Named):
        of = of.value
    whole = isinstance(item, Named) and isinstance(item.value, Value) and item.value.node in (("sym", "\\mathbbZ"), ("sym", "\\mathbbN"))
    return whole and isinstance(of, Value) and item.names[0] in free_symbols(of.node)  # type: ignore[union-attr]


def _rays(rays: list[Answer], both: bool) -> Answer:
    """`x < 1 or x > 5` is a union, `x > 1 and x < 5` an interval."""
    if not both:
        return Union(tuple(rays))
    ends = [ray.items for ray in rays if isinstance(ray, Ordered)]
    up = [ray for ray in rays if isinstance(ray, Ordered) and ray.items[1] == Value(INFINITY)]
    down = [ray for ray in rays if isinstance(ray, Ordered) and ray.items[0] == Value(("neg", INFINITY))]
    if (len(ends), len(up), len(down)) != (2, 1, 1) or not _below(up[0].items[0], down[0].items[1]):
        raise Unreadable("inequalities joined by and that no interval fulfils")
    return Ordered((up[0].items[0], down[0].items[1]), up[0].left, down[0].right)


def _below(low: Answer, high: Answer) -> bool:
    try:
        return isinstance(low, Value) and isinstance(high, Value) and value_at(low.node, 0).real < value_at(high.node, 0).real
    except (Unknown, ArithmeticError, ValueError, TypeError):
        return False


def _is_ray(value: Answer) -> bool:
    return isinstance(value, Ordered) and any(isinstance(end, Value) and end.node in (INFINITY, ("neg", INFINITY)) for end in value.items)


def read_items(found: Sequence[Token]) -> list[Answer]:
    """One item, or the two (four) that ± stands for; ± inside a set belongs to the set."""
    found = _unwrapped(found)
    if len(split(found, (",", ";", "and", "or"))) > 1:  # {1, 2}: braces that LaTeX does not show
        content = read_list(found)
        return list(content.items) if isinstance(content, Items) else [content]
    depth, marks = 0, []
    for index, token in enumerate(found):
        depth += {"set{": 1, "set}": -1}.get(token.text, 0)
        if not depth and token.kind == "op" and token.text in ("pm", "mp"):
            marks.append(index)
    if not marks:
        return [read_item(found)]
    if len(marks) > 3:
        raise Unreadable("more than three ±")
    tied = any(found[index].text == "mp" for index in marks)
    made = []
    for signs in itertools.product("+-", repeat=1 if tied else len(marks)):
        copy = list(found)
        for number, index in enumerate(marks):
            sign = signs[0 if tied else number]
            sign = sign if found[index].text == "pm" else {"+": "-", "-": "+"}[sign]
            copy[index] = Token("op", sign)
        made.append(read_item(copy))
    return made


# -- one item
def read_item(found: Sequence[Token]) -> Answer:
    found = _unwrapped(found)
    if len(split(found, (",", ";", "and", "or"))) > 1:
        return read_list(found)
    if len(split_relation(found)[0]) > 1:
        return read_relation(found, read_item)
    if len(parts := split(found, ("cup",), "op")) > 1:
        return Union(tuple(read_item(part) for part in parts))
    if any(token.kind == "op" and token.text in ("cap", "minus") for token in found):
        raise Unreadable("a set made of other sets", algebra=True)
    if len(parts := split(found, (":",), "op")) > 1:
        return _ratio(parts)
    if (bracketed := _bracketed(found)) is not None:
        return bracketed
    return read_value(found)


def _unwrapped(found: Sequence[Token]) -> Sequence[Token]:
    """Braces around the whole are layout: `{x = 5}`."""
    while len(found) > 2 and found[0].kind == "open" and found[0].text == "{" and closes(found) == len(found) - 1:
        found = found[1:-1]
    return found


def _ratio(parts: list[list[Token]]) -> Ratio:
    members, half = [], ""
    for number, part in enumerate(parts, start=1):
        node, rest = parse_expression(part)
        half = "".join(token.text for token in rest if token.text != ".").lower()
        if rest and (number < len(parts) or half not in ("am", "pm")):
            raise Unreadable("words in a ratio")
        parts[number - 1] = part[: len(part) - len(rest)]
        members.append(node)
    return Ratio(tuple(members), _is_clock(parts), half)


def _is_clock(parts: Sequence[Sequence[Token]]) -> bool:
    """`7:30`, `12:05:59`."""
    plain = len(parts) in (2, 3) and all(len(part) == 1 and part[0].text.isdigit() for part in parts)
    return plain and int(parts[0][0].text) <= 24 and all(len(part[0].text) == 2 and int(part[0].text) < 60 for part in parts[1:])


def _condition(inside: Sequence[Token]) -> Answer | None:
    """`\\{x \\mid 2 < x < 3\\}` is what the condition says of x; None for a set that lists its members."""
    mark = next((index for index, token in enumerate(inside) if token.text in ("|", ":") and index), None)
    if mark is None or inside[0].kind != "name" or any(token.kind == "sep" for token in inside[:mark]):
        return None
    if [token.text for token in inside[1:mark]] not in ([], ["in", "\\mathbbR"]):
        raise Unreadable("a set of other things than real numbers")
    condition = read_list(inside[mark + 1 :])
    if not isinstance(condition, Named) or condition.names != (inside[0].text,):
        raise Unreadable("a set whose condition is not solved")
    return condition


def _bracketed(found: Sequence[Token]) -> Answer | None:
    """A set, a tuple or an interval that is the whole item; None for anything else."""
    opening, closing = found[0], found[-1]
    angle = opening.text == "langle" and closing.text == "rangle"
    if opening.kind != "open" or closing.kind != "close" or closes(found) != len(found) - 1:
        return None
    inside = found[1:-1]
    if opening.text == "set{" and closing.text == "set}":
        if not inside:
            return Items((), braces=True)
        if (condition := _condition(inside)) is not None:
            return condition
        content = read_list(inside)
        items = content.items if isinstance(content, Items) and not content.braces else (content,)
        return Items(tuple(dict.fromkeys(items)), braces=True)
    if opening.text == "{":
        return read_list(inside) if len(split(inside, (",", ";"))) > 1 else None
    if opening.text.startswith("env:"):
        return None
    pieces = split(inside, (",", ";"))
    if len(pieces) < 2:
        shape = (opening.text, closing.text)
        if shape == ("(", ")") and _bracketed(pieces[0] if pieces else inside or [opening]) is not None and pieces:
            return read_item(pieces[0])
        return None
    left, right = ("(", ")") if angle else (opening.text, closing.text)
    if left == "[" and right == "]" and len(pieces) > 2:
        left, right = "(", ")"
    return Ordered(tuple(read_item(piece) for piece in pieces), left, right)
