"""Token lists cut at separators and signs of relations, outside of brackets."""

from collections.abc import Sequence

from factory.grading.latex import Token, Unreadable


def split(found: Sequence[Token], texts: Sequence[str], kind: str = "sep") -> list[list[Token]]:
    """The pieces between separators at the outermost level; empty ones (`, and`) are dropped."""
    pieces: list[list[Token]] = [[]]
    depth = 0
    for token in found:
        depth += (token.kind == "open") - (token.kind == "close")
        if depth < 0:
            raise Unreadable("a bracket that was never opened")
        if not depth and token.kind == kind and token.text in texts:
            pieces.append([])
        else:
            pieces[-1].append(token)
    if depth:
        raise Unreadable("an open bracket")
    return [piece for piece in pieces if piece]


def split_relation(found: Sequence[Token]) -> tuple[list[list[Token]], list[str]]:
    """Members and signs of a chain of relations at the outermost level."""
    members: list[list[Token]] = [[]]
    signs: list[str] = []
    depth = 0
    for token in found:
        depth += (token.kind == "open") - (token.kind == "close")
        if not depth and token.kind == "rel":
            signs.append(token.text)
            members.append([])
        else:
            members[-1].append(token)
    return members, signs


def closes(found: Sequence[Token]) -> int:
    """Where the bracket that opens at 0 closes."""
    depth = 0
    for index, token in enumerate(found):
        depth += (token.kind == "open") - (token.kind == "close")
        if not depth:
            return index
    return -1
