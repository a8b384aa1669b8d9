"""A place in a list of tokens: what a recursive-descent parser looks at and takes."""

from collections.abc import Sequence

from factory.grading.latex import Token, Unreadable

MOST_PARTS = 400  # numbers, letters and functions in one value


class Cursor:
    """One pass over the tokens of one value; `at` is where it stands, `depth` how deep, `bars` how many |…| are open."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens, self.at, self.depth, self.parts, self.bars = tokens, 0, 0, 0, 0
        self.bound: list[str] = []  # indices of the sums that are open: i is no imaginary unit there
        self.mixed = True  # whether a whole number may begin a mixed one

    def peek(self, ahead: int = 0) -> Token | None:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else None

    def is_op(self, *texts: str) -> bool:
        token = self.peek()
        return token is not None and token.kind == "op" and token.text in texts

    def count(self) -> None:
        self.parts += 1
        if self.parts > MOST_PARTS:
            raise Unreadable(f"a formula of more than {MOST_PARTS} parts")

    def take(self) -> Token:
        token = self.peek()
        if token is None:
            raise Unreadable("it breaks off")
        self.at += 1
        return token

    def expect(self, kind: str, text: str) -> None:
        token = self.peek()
        if token is None or (token.kind, token.text) != (kind, text):
            raise Unreadable(f"a bracket without its {text!r}")
        self.at += 1

    def opens(self, text: str) -> bool:
        token = self.peek()
        return token is not None and token.kind == "open" and token.text == text
