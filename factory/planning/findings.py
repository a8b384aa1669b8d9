"""What was looked at, and what came out: one line a check.

    Finding("files", "problems.sources.mine.path", "missing", "train.jsonl: no such file", "correct the path or fetch the file")

`missing`: something outside of the project that is not there. `wrong`: what the line would stop at. `skipped`: what cannot be looked at
before the line has made it, or where it runs; the line says why. Only `missing` and `wrong` are faults.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from factory.words import amount

State = Literal["ok", "skipped", "warning", "missing", "wrong"]
TOPICS = ("params", "files", "models", "graph", "prompts", "tokens")
FAULTS: tuple[State, ...] = ("missing", "wrong")


@dataclass(frozen=True)
class Finding:
    """`key`: where the params name what was looked at. `remedy`: what to do, "" where nothing is."""

    topic: str
    key: str
    state: State
    said: str
    remedy: str = ""


def summary(found: Iterable[Finding]) -> str:
    """`38 checks: 35 ok, 1 skipped, 2 missing`."""
    states = [finding.state for finding in found]
    counts = [(states.count(state), state) for state in ("ok", "skipped", "warning", "missing", "wrong")]
    return f"{amount(len(states), 'check')}: " + ", ".join(f"{count} {state}" for count, state in counts if count)


def faults(found: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.state in FAULTS]
