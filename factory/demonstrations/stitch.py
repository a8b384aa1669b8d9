"""Stitch attempts, verifications and critiques into one COAT text, and remember which of their lines are wrong.

Trajectory().attempt(("12 + 7 = 19", "19 - 4 = 14"), wrong_from=1).correct("But wait:", "19 - 4 is not 14.", "This time,", "take away 4.")
    .attempt(("19 - 4 = 15", "\\\\boxed{15}"))
→ 12 + 7 = 19
  19 - 4 = 14
  <|reflect|>But wait: 19 - 4 is not 14.
  <|explore|>This time, take away 4.
  <|continue|>19 - 4 = 15
  \\boxed{15}                                with wrong_spans (12, 23)
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from factory.coat import ACTIONS, CONTINUE, EXPLORE, REFLECT

_TOKENS = re.compile("|".join(map(re.escape, ACTIONS.values())))
_OPENINGS = frozenset({"The", "This", "That", "There", "It", "You", "We", "In", "On", "At", "To", "For", "From", "First", "Instead"}
                      | {"Use", "Try", "Add", "Subtract", "Multiply", "Divide", "Take", "Do", "Check"})  # fmt: skip


@dataclass(frozen=True)
class Trajectory:
    """`text` is empty, ends with an attempt, or ends in `<|continue|>`, which the next attempt follows.

    `wrong_spans` are character offsets (start, end, …): from the first wrong line of a wrong attempt to just before its "\\n<|reflect|>";
    empty at its end where no line is wrong (a guess of a search that missed, and says so).
    """

    text: str = ""
    wrong_spans: tuple[int, ...] = ()

    def attempt(self, steps: Sequence[str], *, wrong_from: int | None = None) -> "Trajectory":
        """`wrong_from`: the number of the first wrong step, from 0; len(steps) when the attempt is wrong but none of its steps is."""
        text = self.text + "\n".join(steps)
        if wrong_from is None:
            return Trajectory(text, self.wrong_spans)
        start = len(self.text) + len("".join(f"{step}\n" for step in steps[:wrong_from]))
        return Trajectory(text, (*self.wrong_spans, min(start, len(text)), len(text)))

    def verify(self, lead_in: str, verification: str) -> "Trajectory":
        return Trajectory(f"{self.text}\n{REFLECT}{said(lead_in, verification)}\n{CONTINUE}", self.wrong_spans)

    def correct(self, lead_in: str, statement: str, explore_lead_in: str, hint: str) -> "Trajectory":
        reflection, exploration = said(lead_in, statement), said(explore_lead_in, hint)
        return Trajectory(f"{self.text}\n{REFLECT}{reflection}\n{EXPLORE}{exploration}\n{CONTINUE}", self.wrong_spans)

    @property
    def plain(self) -> str:
        """The text without meta-action tokens, as a generator that knows none reads it."""
        return _TOKENS.sub("", self.text)

    @property
    def right_parts(self) -> tuple[str, ...]:
        """The text outside the wrong spans: the last part is what comes after the last wrong attempt."""
        cuts = (0, *self.wrong_spans, len(self.text))
        return tuple(self.text[start:end] for start, end in zip(cuts[::2], cuts[1::2], strict=True))


def said(lead_in: str, sentence: str) -> str:
    """`But wait:` and `19 - 4 is not 14.` → `But wait: 19 - 4 is not 14.`"""
    text = one_line(sentence)
    return f"{lead_in} {text if lead_in.endswith('.') or lead_in.endswith('?') else _inside(text)}"


def one_line(text: str) -> str:
    return " ".join(text.split())


def _inside(sentence: str) -> str:
    """A sentence goes on behind a lead-in: its first word loses its capital when it is a common opening, never when it may be a name."""
    word = sentence.split(" ", 1)[0]
    return word.lower() + sentence[len(word) :] if word in _OPENINGS else sentence
