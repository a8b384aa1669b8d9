"""Trees of functions with their marks; letters behind a number: factors or a word."""

from fractions import Fraction

from factory.grading.latex import Token, Unreadable
from factory.grading.trees import Node

PRODUCTS = ("abc", "xyz", "mn", "pqr")  # letters that stand for numbers beside each other


def applied(name: str, inner: Node, base: Node | None, exponent: Node | None) -> Node:
    """A function with its subscript and exponent: `\\log_2 8`, `\\sin^2 x`, `\\sin^{-1} x`."""
    if name in ("log", "ln", "lg"):
        logarithm: Node = ("call", "ln", inner)
        if base is not None:
            logarithm = ("div", logarithm, ("call", "ln", base))
        elif name != "ln":
            logarithm = ("call", "log", inner)
        return logarithm if exponent is None else ("pow", logarithm, exponent)
    if base is not None:
        raise Unreadable(f"\\{name} with a subscript", algebra=True)
    if exponent == ("neg", ("num", Fraction(1))) and name in ("sin", "cos", "tan"):
        return ("call", f"arc{name}", inner)
    if name == "exp":
        applied: Node = ("pow", ("const", "e"), inner)
    else:
        applied = ("call", name, inner)
    return applied if exponent is None else ("pow", applied, exponent)


def product_of_letters(token: Token, before: Token) -> bool:
    """`2xy`, `x^2yz`: letters that stick to the formula in front of them; with a space in between they are words (`2 eggs`)."""
    return not token.spaced and not token.upright and len(token.text) <= 3 and before.kind in ("num", "name", "close")
