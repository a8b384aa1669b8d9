"""Expression trees: nested tuples, hashable and picklable; nothing in them can be called.

("num", Fraction) · ("sym", name) · ("const", pi | e | i | oo) · ("add", a, b) · ("mul", a, b) · ("div", a, b) · ("pow", a, b)
("neg", a) · ("call", name, a, …) · ("deg", a) for an angle in degrees · ("pct", a) for a/100 · ("mat", (row, …)) with rows of trees
"""

from typing import Any

Node = tuple[Any, ...]
INFINITY: Node = ("const", "oo")


def free_symbols(node: Node) -> frozenset[str]:
    """Names of symbols and of functions that are not known."""
    if node[0] == "sym":
        return frozenset((node[1],))
    found: frozenset[str] = frozenset()
    for part in node[1:]:
        if isinstance(part, tuple):
            inner = (part,) if part and isinstance(part[0], str) else tuple(entry for row in part for entry in row)
            found = found.union(*(free_symbols(item) for item in inner))
    name = str(node[1])
    return found | {name.removeprefix("user:")} if node[0] == "call" and name.startswith("user:") else found


def substituted(node: Node, name: str, other: Node) -> Node:
    """The tree with `other` in place of a symbol."""
    if node == ("sym", name):
        return other
    if node[0] == "mat":
        return ("mat", tuple(tuple(substituted(entry, name, other) for entry in row) for row in node[1]))
    return tuple(substituted(part, name, other) if isinstance(part, tuple) else part for part in node)
