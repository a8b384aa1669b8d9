"""What a worker process does: the same comparison as here, with computer algebra where it cannot decide; Math-Verify's parser for the rest.

decide(r"\\tan^2 y + 1", r"\\sec^2 y", None)                       → ("correct", "")
decide(r"\\sum_{k=1}^{n} k", r"\\frac{n(n+1)}{2}", None)           → ("correct", "")
"""

from factory.grading import symbolic
from factory.grading.maths import judge
from factory.grading.proof import prove
from factory.grading.protocol import Outcome


def decide(gold: str, answer: str, decimals: int | None) -> Outcome:
    return judge(gold, answer, decimals, prove) or symbolic.decide(gold, answer)
