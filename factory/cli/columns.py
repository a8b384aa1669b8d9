"""Columns under another name, as the options of several commands and `columns:` in the params have them: ours first, then theirs.

pairs("--map", ["completion=response", "answer=gold"])      → {"completion": "response", "answer": "gold"}
"""

from collections.abc import Sequence

from factory.errors import DataError


def pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """Ours → theirs; a name of theirs may hold a `=`. Raises DataError for what is no pair, or where one of ours stands twice."""
    found: dict[str, str] = {}
    for item in given:
        ours, sign, theirs = item.partition("=")
        if not sign or not ours or not theirs:
            raise DataError(f"{option} {item}: expected OURS=THEIRS, as {option} answer=gold")
        if found.get(ours, theirs) != theirs:
            raise DataError(f"{option} {item}: {ours} is {found[ours]} already, and one column can be it: remove one of the two")
        found[ours] = theirs
    return found
