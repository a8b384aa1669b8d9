"""Two readings of answers → the same or not, and why: the rules of docs/grading.md. Symmetric, but for the reason's words.

    compare(read("(1,5)")[0], read("5")[0], equal)   → (False, "a tuple against one value")

`equal` says of two expression trees True, False, or None where it cannot decide; None spreads unless the rest decides anyway.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction

from factory.grading.algebra import quotient
from factory.grading.answers import FLIPPED, Answer, Items, Named, Ordered, Ratio, Relation, Union, Value, Words
from factory.grading.floating import Unknown, value_at
from factory.grading.polynomials import TooLarge, Undefined, add, multiply, rational
from factory.grading.trees import Node, free_symbols, substituted
from factory.grading.units import NONE, differs

Equal = Callable[[Node, Node], bool | None]


def exactly(equal: Equal) -> Equal:
    """Without a tolerance: it is for the values that are asked for, not for parts of a ratio, an equation or a hundredth."""
    return equal.exact if isinstance(equal, Rounded) else equal


Result = tuple[bool | None, str]
SAME: Result = (True, "")
UNSURE: Result = (None, "not decided")
KINDS = {
    Value: "one value", Words: "words", Items: "several values", Ordered: "a tuple or interval", Union: "a union", Named: "a named value",
    Relation: "an equation or inequality", Ratio: "a ratio",
}  # fmt: skip


def compare(gold: Answer, answer: Answer, equal: Equal) -> Result:
    if isinstance(gold, Named) or isinstance(answer, Named):
        return _named(gold, answer, equal)
    if isinstance(gold, Items) or isinstance(answer, Items):
        return _items(gold, answer, equal)
    if isinstance(gold, Union) or isinstance(answer, Union):
        parts = [side.parts if isinstance(side, Union) else (side,) for side in (gold, answer)]
        return _unordered(parts[0], parts[1], equal, "the parts of a union differ")
    if isinstance(gold, Value) and isinstance(answer, Value):
        return _values(gold, answer, equal)
    if isinstance(gold, Ordered) and isinstance(answer, Ordered):
        if _all_named(gold.items) and _all_named(answer.items):
            return _unordered(gold.items, answer.items, equal, "different values")
        if (gold.left, gold.right) != (answer.left, answer.right):
            return False, f"brackets differ: {answer.left} {answer.right} against {gold.left} {gold.right}"
        return _ordered(gold.items, answer.items, equal)
    if isinstance(gold, Words) and isinstance(answer, Words):
        return SAME if gold.text == answer.text else (False, "different words")
    if isinstance(gold, Ratio) and isinstance(answer, Ratio):
        return _ratios(gold, answer, exactly(equal))
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        return _relations(gold, answer, exactly(equal))
    return False, f"{KINDS[type(answer)]} against {KINDS[type(gold)]}"


# -- names
def _all_named(items: Sequence[Answer]) -> bool:
    return bool(items) and all(isinstance(item, Named) for item in items)


def _named(gold: Answer, answer: Answer, equal: Equal) -> Result:
    if isinstance(gold, Named) and isinstance(answer, Named):
        if not set(gold.names) & set(answer.names):
            return False, f"different names: {', '.join(answer.names)} against {', '.join(gold.names)}"
        if gold.argument == answer.argument or not isinstance(answer.value, Value) or not answer.argument or not gold.argument:
            return compare(gold.value, answer.value, equal)
        if gold.argument in free_symbols(answer.value.node):
            return False, f"different arguments: {answer.argument} against {gold.argument}"
        renamed = substituted(answer.value.node, answer.argument, ("sym", gold.argument))
        return compare(gold.value, Value(renamed, answer.value.unit), equal)
    named, other = (gold, answer) if isinstance(gold, Named) else (answer, gold)
    assert isinstance(named, Named)
    if isinstance(other, Relation):
        if isinstance(named.value, Value) and len(_unknowns(other)) > 1:  # y = 2x + 1 against 2x - y + 1 = 0
            definition = Relation((("sym", named.names[0]), named.value.node), ("=",))
            return _relations(other, definition, exactly(equal))
        return False, "an equation or inequality that is not solved"
    if isinstance(other, Items) and not other.braces and len(other.items) > 1:
        return compare(named.value, other, equal)
    return compare(named.value, other, equal) if isinstance(gold, Named) else compare(other, named.value, equal)


# -- lists, sets, tuples
def _items(gold: Answer, answer: Answer, equal: Equal) -> Result:
    if isinstance(gold, Items) and isinstance(answer, Items):
        named = [all(isinstance(item, Named) for item in side.items) and bool(side.items) for side in (gold, answer)]
        if named[0] != named[1] and not _one_name(gold if named[0] else answer):
            return _ordered(gold.items, answer.items, equal)
        return _unordered(gold.items, answer.items, equal, "different values")
    items, other = (gold, answer) if isinstance(gold, Items) else (answer, gold)
    assert isinstance(items, Items)
    if isinstance(other, Ordered) and not items.braces and (other.left, other.right) == ("(", ")"):
        if _all_named(items.items) and _all_named(other.items):
            return _unordered(other.items, items.items, equal, "different values")
        if _all_named(items.items) and _one_name(items) and len(items.items) > 1:
            return False, "several values of one unknown against a tuple"
        pair = (items.items, other.items) if items is gold else (other.items, items.items)
        return _ordered(pair[0], pair[1], equal)
    if len(items.items) == 1:
        return compare(items.items[0], other, equal)
    if isinstance(other, Value | Words | Named | Ratio | Relation):
        return False, f"{len(items.items)} answers where one is asked" if items is answer else f"one answer of {len(items.items)}"
    return False, f"{KINDS[type(answer)]} against {KINDS[type(gold)]}"


def _one_name(items: Items) -> bool:
    """`a = 4, -8, -10`: several values of one unknown."""
    return len({item.names for item in items.items if isinstance(item, Named)}) == 1


def _ordered(gold: Sequence[Answer], answer: Sequence[Answer], equal: Equal) -> Result:
    if len(gold) != len(answer):
        return False, f"{len(answer)} members against {len(gold)}"
    results = [compare(first, second, equal) for first, second in zip(gold, answer)]
    if any(same is False for same, _ in results):
        if len(gold) > 1 and _unordered(gold, answer, equal, "")[0]:
            return False, "order matters"
        return next(result for result in results if result[0] is False)
    return UNSURE if any(same is None for same, _ in results) else SAME


def _unordered(gold: Sequence[Answer], answer: Sequence[Answer], equal: Equal, reason: str) -> Result:
    """As sets: every member of each side is a member of the other."""
    unsure = False
    gold, answer = _distinct(gold, equal), _distinct(answer, equal)
    for side, other, why in ((answer, gold, f"{reason}: one too many"), (gold, answer, f"{reason}: one is missing")):
        for item in side:
            results = [compare(match, item, equal)[0] for match in other]
            if True in results:
                continue
            if None not in results:
                return False, why if len(gold) != len(answer) else reason
            unsure = True
    if len(gold) != len(answer):  # 50%, 50% for 50, 0.5: each is one of the others, and yet they are not as many
        return (None if unsure else False), reason
    return UNSURE if unsure else SAME


def _distinct(items: Sequence[Answer], equal: Equal) -> Sequence[Answer]:
    """Without repetitions."""
    found: list[Answer] = []
    for item in items:
        if not any(compare(known, item, equal)[0] for known in found):
            found.append(item)
    return found


# -- values
def _values(gold: Value, answer: Value, equal: Equal) -> Result:
    if gold.base != answer.base and 10 not in (gold.base, answer.base):
        return False, f"base differs: {answer.base} against {gold.base}"
    first, second = gold.unit, answer.unit
    if first.percent != second.percent and NONE in (first, second):
        whole, bare = (gold, answer) if first.percent else (answer, gold)
        results = [equal(whole.node, bare.node), exactly(equal)(("pct", whole.node), bare.node)]
        return SAME if True in results else UNSURE if None in results else (False, "different values")
    if reason := differs(first, second):
        return False, reason
    if "mat" in (gold.node[0], answer.node[0]):
        return _matrices(gold.node, answer.node, equal)
    test = equal if gold.base == answer.base == 10 else exactly(equal)
    same = test(gold.node, answer.node)
    return same, "" if same else "different values" if same is False else "not decided"


def _matrices(gold: Node, answer: Node, equal: Equal) -> Result:
    """Entry by entry; a sum or product of matrices is for computer algebra."""
    if gold[0] != answer[0]:
        if not all("'mat'" in repr(node) for node in (gold, answer)):
            return False, "a matrix against one value"
        same = equal(gold, answer)
        return same, "" if same else "different entries" if same is False else "not decided"
    if [len(row) for row in gold[1]] != [len(row) for row in answer[1]]:
        return False, "matrices of different sizes"
    results = [equal(a, b) for first, second in zip(gold[1], answer[1]) for a, b in zip(first, second)]
    return (False, "different entries") if False in results else UNSURE if None in results else SAME


def _ratios(gold: Ratio, answer: Ratio, equal: Equal) -> Result:
    """In lowest terms, but for times: a time against anything is compared member by member."""
    if len(gold.members) != len(answer.members):
        return False, "ratios of different lengths"
    if gold.half != answer.half and gold.half and answer.half:
        return False, "morning against afternoon"
    straight = [equal(a, b) for a, b in zip(gold.members, answer.members)]
    zero = ("num", Fraction(0))
    if gold.clock or answer.clock or any(equal(member, zero) for member in (*gold.members, *answer.members)):
        results = straight
    else:
        crossed = [(("mul", a, answer.members[0]), ("mul", b, gold.members[0])) for a, b in zip(gold.members, answer.members)]
        results = [equal(a, b) for a, b in crossed[1:]]
    return (False, "different ratios") if False in results else UNSURE if None in results else SAME


# -- equations and inequalities
def _unknowns(relation: Relation) -> frozenset[str]:
    return frozenset().union(*(free_symbols(node) for node in relation.members))


def _relations(gold: Relation, answer: Relation, equal: Equal) -> Result:
    if len(gold.members) != len(answer.members):
        return False, "chains of different lengths"
    straight = _same_chain(gold, answer, equal)
    turned = _same_chain(gold, Relation(answer.members[::-1], tuple(FLIPPED[sign] for sign in answer.signs[::-1])), equal)
    if True in (straight, turned):
        return SAME
    if len(gold.members) > 2:
        return (False, "different chains") if straight is False and turned is False else UNSURE
    if len(_unknowns(gold) | _unknowns(answer)) < 2:
        return (False, "different equations") if straight is False and turned is False else UNSURE
    scaled = _scaled(gold, answer)
    if scaled is None and straight is not None:
        return UNSURE
    return SAME if scaled else (scaled, "different equations" if scaled is False else "not decided")


def _same_chain(gold: Relation, answer: Relation, equal: Equal) -> bool | None:
    if gold.signs != answer.signs:
        return False
    results = [equal(a, b) for a, b in zip(gold.members, answer.members)]
    return False if False in results else None if None in results else True


def _scaled(gold: Relation, answer: Relation) -> bool | None:
    """Whether both say the same polynomial = 0 (> 0), up to a factor (above 0)."""
    try:
        sides = [quotient(("add", side.members[0], ("neg", side.members[1]))) for side in (gold, answer)]
        (a, b), (c, d) = sides
        first, second = multiply(a, d) if a else a, multiply(c, b) if c else c
        if not first or not second:
            return not first and not second and gold.signs == answer.signs
        lead = min(first, key=repr)
        if lead not in second:
            return False
        ratio = first[lead] / second[lead]
        if add(first, {monomial: ratio * coefficient for monomial, coefficient in second.items()}, -1):
            return False
    except (TooLarge, Undefined):
        return None
    sign = answer.signs[0] if ratio > 0 else FLIPPED[answer.signs[0]]
    return gold.signs[0] == sign


class Rounded:
    """`exact` with the tolerance that a problem states: half a unit of its last decimal."""

    def __init__(self, exact: Equal, decimals: int) -> None:
        self.exact, self.most = exact, Fraction(1, 2) / Fraction(10) ** decimals

    def __call__(self, left: Node, right: Node) -> bool | None:
        same = self.exact(left, right)
        if same or free_symbols(left) or free_symbols(right):
            return same
        try:
            values = [rational(quotient(node)) for node in (left, right)]
            if None not in values:
                return abs(values[0] - values[1]) <= self.most  # type: ignore[operator]
            return abs(value_at(left, 0) - value_at(right, 0)) <= float(self.most)
        except (TooLarge, Undefined, Unknown, ArithmeticError, ValueError, TypeError):
            return same
