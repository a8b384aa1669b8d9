"""Tokens → an expression tree (trees.py).

The parser stops at the first token that is no part of the expression: what follows is a unit or a caption (quantities.py).
"""

from collections.abc import Sequence
from fractions import Fraction

from factory.grading.cursor import Cursor
from factory.grading.latex import DEEPEST, Token, Unreadable
from factory.grading.letters import applied, product_of_letters
from factory.grading.trees import Node

ZERO: Node = ("num", Fraction(0))
NAMED_FUNCTIONS = frozenset("fghFGH")  # a letter in front of a bracket is a function; any other is a factor
ANGLES = frozenset(["sin", "cos", "tan", "cot", "sec", "csc"])
CONSTANTS = {"\\pi": "pi", "e": "e", "i": "i", "\\infty": "oo"}
CLOSING = {"(": ")", "[": "]", "{": "}"}
MATRICES = ("pmatrix", "bmatrix", "matrix", "array", "Bmatrix", "smallmatrix", "vmatrix", "Vmatrix", "bmatrix*", "pmatrix*")


class Parser(Cursor):
    """Sums of products of powers of atoms; each method takes what it reads. All raise Unreadable."""

    # -- sums, products, powers
    def sum(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable("nested too deeply")
        left = self.signed()
        while self.is_op("+", "-"):
            sign = self.take().text
            right = self.signed()
            left = ("add", left, right if sign == "+" else ("neg", right))
        self.depth -= 1
        return left

    def signed(self) -> Node:
        signs = 0
        while self.is_op("+", "-"):
            signs += self.take().text == "-"
        node = self.product()
        return ("neg", node) if signs % 2 else node

    def product(self) -> Node:
        left = self.power()
        while True:
            if self.is_op("*", "/"):
                operator = self.take().text
                right = self.signed() if self.is_op("-", "+") else self.power()
                left = ("mul" if operator == "*" else "div", left, right)
            elif self.starts_factor():
                left = ("mul", left, self.power())
            else:
                return left

    def starts_factor(self) -> bool:
        """Whether a factor stands here without a sign of multiplication. Two numbers side by side are no product."""
        token, before = self.peek(), self.tokens[self.at - 1]
        if token is None or token.upright:
            return False
        if token.kind == "num":
            return before.kind == "close" and before.text != "}" and not token.spaced
        if token.kind == "word":
            return product_of_letters(token, before)
        if token.kind == "name":
            return token.text not in ("\\rfloor", "\\rceil")
        if token.kind == "open" and token.text == "{":  # braces do not show: 1{5} looks like 15
            inside = self.peek(1)
            return not (inside and inside.kind == "num" and (before.kind == "num" or before.text == "}"))
        inside = self.peek(1)
        if token.text == "(" and inside and inside.kind == "word" and (inside.upright or len(inside.text) > 3):
            return False  # 16 (boys)
        opens = token.kind == "open" and (token.text in CLOSING or token.text.startswith("env:"))
        return token.kind == "func" or opens or self.opens_bars()

    def opens_bars(self) -> bool:
        """Whether a | behind a factor opens |x|: not where one is open already, for there it closes."""
        return self.is_op("|") and not self.bars

    def power(self) -> Node:
        node = self.postfix(self.atom())
        if self.is_op("^"):
            self.at += 1
            if self.is_op("deg") or (self.peek() == Token("open", "{") and self.peek(1) is not None and self.peek(1).text == "deg"):  # type: ignore[union-attr]
                return self.degrees(node)
            if self.is_op("'"):
                raise Unreadable("a prime behind ^")
            exponent = self.exponent()
            if node[0] == "mat" and exponent == ("sym", "T"):
                return ("mat", tuple(zip(*node[1], strict=True)))
            return self.postfix(("pow", node, exponent))
        return node

    def degrees(self, node: Node) -> Node:
        """`90^\\circ` and `90^{\\circ}`: left for the unit when nothing follows it."""
        braced = not self.is_op("deg")
        self.at += 3 if braced else 1
        return ("deg", node)

    def exponent(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable("nested too deeply")
        if self.is_op("-", "+"):
            sign = self.take().text
            inner = self.unbraced()
            node: Node = ("neg", inner) if sign == "-" else inner
        else:
            node = self.group() if self.opens("{") else self.unbraced()
        self.depth -= 1
        return node

    def unbraced(self) -> Node:
        """An exponent or a subscript without braces: in `x^2\\frac12` it is the 2, and no mixed number begins."""
        self.mixed, outside = False, self.mixed
        node = self.power()
        self.mixed = outside
        return node

    def postfix(self, node: Node) -> Node:
        while True:
            self.count()
            if self.is_op("!"):
                self.at += 1
                node = ("call", "factorial", node)
            elif self.is_op("deg"):
                self.at += 1
                node = ("deg", node)
            elif self.is_op("%"):
                self.at += 1
                node = ("pct", node)
            else:
                return node

    # -- atoms
    def group(self) -> Node:
        """`{ … }`, `( … )` or `[ … ]` around one expression."""
        opening, outside = self.take().text, self.bars
        self.bars = 0
        node = self.sum()
        self.bars = outside
        self.expect("close", CLOSING[opening])
        return node

    def atom(self) -> Node:
        self.count()
        self.depth += 1
        if self.depth > 2 * DEEPEST:
            raise Unreadable("nested too deeply")
        node = self._atom()
        self.depth -= 1
        return node

    def _atom(self) -> Node:
        token = self.peek()
        if token is None:
            raise Unreadable("it breaks off")
        if token.kind == "num":
            return self.numeral()
        if token.kind == "name" and token.text in ("\\lfloor", "\\lceil"):
            self.at += 1
            inner = self.sum()
            self.expect("name", {"\\lfloor": "\\rfloor", "\\lceil": "\\rceil"}[token.text])
            return ("call", "floor" if token.text == "\\lfloor" else "ceil", inner)
        if token.kind == "name":
            return self.name()
        if token.kind == "word" and (not token.upright or len(token.text) == 1):
            return self.letters()
        if token.kind == "func":
            return self.function()
        if token.kind == "open" and token.text.startswith("env:"):
            return self.matrix()
        if token.kind == "open" and token.text in CLOSING:
            return self.group()
        if self.is_op("|"):
            self.at += 1
            self.bars += 1
            inner = self.sum()
            self.bars -= 1
            self.expect("op", "|")
            return ("call", "abs", inner)
        raise Unreadable("words in a formula" if token.kind == "word" else f"an unexpected {token.text!r}")

    def numeral(self) -> Node:
        """A number, with the proper fraction of a mixed number behind it: `1\\frac12`, `1 1/2`."""
        token = self.take()
        node: Node = ("num", token.value)
        if not self.mixed or token.value is None or token.value.denominator != 1 or not token.text.isdigit():
            return node
        ahead = self.tokens[self.at : self.at + 7]
        kinds = [item.kind for item in ahead]
        if [item.text for item in ahead[:1]] == ["frac"] and kinds[1:7] == ["open", "num", "close", "open", "num", "close"]:
            above, below = ahead[2].value, ahead[5].value
            self.at += 7
        elif kinds[:3] == ["num", "op", "num"] and ahead[1].text == "/" and ahead[0].spaced:
            above, below = ahead[0].value, ahead[2].value
            self.at += 3
        else:
            return node
        if above is None or not below or above >= below or above.denominator * below.denominator != 1:
            raise Unreadable("a number beside a fraction that is no mixed number")
        return ("num", token.value + above / below)

    def name(self) -> Node:
        start = self.at
        token = self.take()
        name = token.text
        if name in ("\\ldots", "\\dots", "\\cdots", "\\angle", "\\triangle", "\\rfloor", "\\rceil", "\\emptyset"):
            raise Unreadable(f"{name} in a formula")
        if self.is_op("_"):
            self.at += 1
            name = f"{name}_{self.subscript()}"
        while self.is_op("'"):
            self.at += 1
            name += "'"
        if name in CONSTANTS and name not in self.bound:
            return ("const", CONSTANTS[name])
        behind = self.tokens[start - 1] if start else None
        if name[0] in NAMED_FUNCTIONS and self.opens("(") and not (name[0] in "hHFG" and behind and behind.kind == "num"):
            return ("call", f"user:{name}", *self.arguments())
        return ("sym", name)

    def letters(self) -> Node:
        """`abc` as a product of letters."""
        token = self.take()
        if token.upright or len(token.text) > 4:
            raise Unreadable("words in a formula")
        node: Node = ("sym", token.text[0])
        for letter in token.text[1:]:
            node = ("mul", node, ("const", CONSTANTS[letter]) if letter in CONSTANTS and letter not in self.bound else ("sym", letter))
        if self.is_op("^", "_", "'"):
            last = node[2] if node[0] == "mul" else node
            if self.is_op("^"):
                self.at += 1
                raised: Node = ("pow", last, self.exponent())
                return ("mul", node[1], raised) if node[0] == "mul" else raised
            raise Unreadable("a mark behind several letters")
        return node

    def subscript(self) -> str:
        """The text of a subscript, brackets and spaces gone."""
        if not self.opens("{"):
            return self.take().text
        self.at += 1
        parts: list[str] = []
        while not (self.peek() and self.peek() == Token("close", "}", None, self.peek().spaced)):  # type: ignore[union-attr]
            token = self.take()
            if token.kind == "open" and token.text == "{":
                raise Unreadable("a subscript of a subscript")
            parts.append(token.text)
        self.at += 1
        return "".join(parts)

    def arguments(self) -> list[Node]:
        closing = {"(": ")", "set{": "set}"}[self.take().text]
        found = [self.sum()]
        while (token := self.peek()) and token.kind == "sep" and token.text == ",":
            self.at += 1
            found.append(self.sum())
        self.expect("close", closing)
        return found

    def function(self) -> Node:
        name = self.take().text
        if name in ("frac", "binom"):
            above, below = self.argument(), self.argument()
            return ("div", above, below) if name == "frac" else ("call", "binom", above, below)
        if name in ("sqrt", "cbrt"):
            index: Node = ("num", Fraction(3 if name == "cbrt" else 2))
            if self.opens("[") and name == "sqrt":
                index = self.group()
            return ("call", "root", self.argument(), index)
        if name in ("sum", "prod"):
            return self.series(name)
        base: Node | None = None
        exponent: Node | None = None
        while self.is_op("_", "^"):
            if self.take().text == "_":
                base = self.group() if self.opens("{") else self.unbraced()
            else:
                exponent = self.exponent()
        if name in ("max", "min", "gcd", "lcm") and (self.opens("(") or self.opens("set{")):
            return ("call", name, *self.arguments())
        inner = self.group() if self.opens("(") or self.opens("{") or self.opens("[") else self.bare_argument(name in ANGLES)
        return applied(name, inner, base, exponent)

    def series(self, name: str) -> Node:
        """`\\sum_{k=1}^{n} …`: ("call", "sum:k", first, last, member)."""
        if not (self.is_op("_") and (mark := self.peek(1)) and mark.text == "{" and (index := self.peek(2)) and index.kind == "name"):
            raise Unreadable(f"\\{name} without its index", algebra=True)
        self.at += 3
        self.expect("rel", "=")
        first = self.sum()
        self.expect("close", "}")
        if not self.is_op("^"):
            raise Unreadable(f"\\{name} without its end", algebra=True)
        self.at += 1
        last = self.exponent()
        self.bound.append(index.text)
        member = self.product()
        self.bound.pop()
        return ("call", f"{name}:{index.text}", first, last, member)

    def argument(self) -> Node:
        if self.opens("{") or self.opens("("):
            return self.group()
        return self.atom()

    def bare_argument(self, angle: bool) -> Node:
        """`\\sin 2x`: the factors up to the next sign or function."""
        node = self.power()
        while self.starts_factor() and (token := self.peek()) and token.kind != "func":
            node = ("mul", node, self.power())
        while angle and self.is_op("/") and (ahead := self.peek(1)) and ahead.kind == "num":  # sin pi/3, but (ln 2)/3
            self.at += 1
            node = ("div", node, self.power())
        return node

    def matrix(self) -> Node:
        name = self.take().text.removeprefix("env:")
        if name not in MATRICES:
            raise Unreadable(f"an environment {name}", algebra=name in ("cases",))
        if name == "array" and self.opens("{"):
            while self.take().text != "}":
                pass
        rows: list[tuple[Node, ...]] = []
        row: list[Node] = []
        while True:
            token = self.peek()
            if token is None:
                raise Unreadable(f"an environment {name} that is never closed")
            if token.kind == "close" and token.text == f"end:{name}":
                self.at += 1
                break
            if token.kind == "sep" and token.text in ("&", "\\\\"):
                self.at += 1
                if token.text == "\\\\" and row:
                    rows.append(tuple(row))
                    row = []
                continue
            row.append(self.sum())
        rows += [tuple(row)] if row else []
        if not rows or len({len(items) for items in rows}) > 1:
            raise Unreadable("a matrix with rows of different lengths")
        return ("call", "det", ("mat", tuple(rows))) if name.lower() == "vmatrix" else ("mat", tuple(rows))


def parse_expression(tokens: Sequence[Token]) -> tuple[Node, list[Token]]:
    """The expression at the beginning and the tokens behind it. Raises Unreadable."""
    parser = Parser(tokens)
    node = parser.sum()
    return node, list(tokens[parser.at :])
