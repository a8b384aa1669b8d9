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

from collections.abc import Sequence
from dataclasses import dataclass, replace

from factory.coat import grammar

_OPENINGS = frozenset({"The", "This", "That", "There", "It", "You", "We", "In", "On", "At", "To", "For", "From", "First", "Instead"}
                      | {"Use", "Try", "Add", "Subtract", "Multiply", "Divide", "Take", "Do", "Check"})  # fmt: skip


@dataclass(frozen=True)
class Trajectory:
    """`steps` are COAT steps; `going_on`: a `<|continue|>` is said, which the next attempt follows.

    `wrong_spans` are character offsets (start, end, …): from the first wrong line of a wrong attempt to just before its "\\n<|reflect|>";
    empty at its end where no line is wrong (a guess of a search that missed, and says so).
    """

    steps: tuple[grammar.Step, ...] = ()
    wrong_spans: tuple[int, ...] = ()
    going_on: bool = False

    @property
    def text(self) -> str:
        return grammar.render((*self.steps, grammar.Step("continue", "")) if self.going_on else self.steps)

    def attempt(self, steps: Sequence[str], *, wrong_from: int | None = None) -> "Trajectory":
        """`wrong_from`: the number of the first wrong step, from 0; len(steps) when the attempt is wrong but none of its steps is."""
        first = grammar.Step("continue" if self.going_on else None, steps[0])
        grown = Trajectory((*self.steps, first, *(grammar.Step(None, step) for step in steps[1:])), self.wrong_spans)
        if wrong_from is None:
            return grown
        start, end = len(self.text) + len("".join(f"{step}\n" for step in steps[:wrong_from])), len(grown.text)
        return replace(grown, wrong_spans=(*self.wrong_spans, min(start, end), end))

    def verify(self, lead_in: str, verification: str) -> "Trajectory":
        return self._then(grammar.Step("reflect", said(lead_in, verification)))

    def correct(self, lead_in: str, statement: str, explore_lead_in: str, hint: str) -> "Trajectory":
        return self._then(grammar.Step("reflect", said(lead_in, statement)), grammar.Step("explore", said(explore_lead_in, hint)))

    def _then(self, *steps: grammar.Step) -> "Trajectory":
        return Trajectory((*self.steps, *steps), self.wrong_spans, going_on=True)

    @property
    def plain(self) -> str:
        """The text without meta-action tokens, as a generator that knows none reads it."""
        return grammar.render([replace(step, action=None) for step in self.steps])

    @property
    def right_parts(self) -> tuple[str, ...]:
        """The text outside the wrong spans: the last part is what comes after the last wrong attempt."""
        text = self.text
        cuts = (0, *self.wrong_spans, len(text))
        return tuple(text[start:end] for start, end in zip(cuts[::2], cuts[1::2], strict=True))


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
