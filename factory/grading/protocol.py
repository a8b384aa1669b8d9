"""What grading says: a verdict with its reason, what was graded, and which rule found it."""

from typing import Literal, NamedTuple, get_args

from factory.schemas import AnswerKind, Rule, Verdict

ALL_RULES: tuple[Rule, ...] = get_args(Rule)
BOX: tuple[Rule, ...] = ("box",)
KINDS: tuple[AnswerKind, ...] = get_args(AnswerKind)
LONGEST_ANSWER = 10_000  # characters; a longer answer is unparsable

Outcome = tuple[Verdict, str]  # a verdict and its reason


class Extraction(NamedTuple):
    """The answer in a response, and the rule that found it."""

    text: str
    rule: Rule | None  # None: it came extracted


class Grade(NamedTuple):
    """`reason` is "" for a correct answer. `by`: `fast` (in this process) or `worker` (computer algebra in a process of its own)."""

    verdict: Verdict
    reason: str = ""
    extracted: str | None = None
    rule: Rule | None = None
    by: Literal["fast", "worker"] = "fast"

    @property
    def correct(self) -> bool:
        return self.verdict == "correct"
