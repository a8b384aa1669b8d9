"""What passes along the flows of demonstration making: sources, drafts, flaws, and what the critics' remarks were worth.

Flaw(draft=Draft(source, "III-I", Trajectory()), steps=("12 + 7 = 19", "19 - 4 = 14", "\\boxed{14}"))
→ after a critique and a right continuation:
  Draft(source, "III-I", Trajectory((Step(None, "12 + 7 = 19"), …, Step("reflect", "But wait: …"), …)), critic="llm")
"""

from dataclasses import dataclass

from factory.coat.demonstrations.critics import (
    CriticName,
    Critique,
    CritiqueAsk,
    Remark,
    VerifyAsk,
    leaks,
    parse_critique,
    readable_verification,
    refuses,
)
from factory.coat.demonstrations.equations import judged
from factory.coat.demonstrations.exact import comparable, first_wrong
from factory.coat.demonstrations.stitch import Trajectory
from factory.identity import row_id
from factory.schemas import CriticJudgement, DemonstrationType, Problem, Rollout


@dataclass(frozen=True)
class Source:
    problem: Problem
    rollout: Rollout


@dataclass(frozen=True)
class Draft:
    """A finished trajectory and who had a part in it. `prompts` are the questions that were asked."""

    source: Source
    type: DemonstrationType
    trajectory: Trajectory
    critic: CriticName | None = None
    critique: str = ""
    request_ids: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ("solve",)


@dataclass(frozen=True)
class Flaw:
    """A wrong attempt that waits for a critique: `steps` follow `trajectory`; `before` is what stands before them in a prompt."""

    draft: Draft  # `type` is what it becomes when it is corrected
    steps: tuple[str, ...]
    before: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    earlier_critique: str = ""

    @property
    def source(self) -> Source:
        return self.draft.source


def judgement(critic: CriticName, source: Source, request: VerifyAsk | CritiqueAsk, remark: Remark, fault: str | None) -> CriticJudgement:
    """What was said beside what the reference critic finds. A verification's step is the one that it calls wrong. `leaks` is
    of the hint; a statement that leaks is told by its reason."""
    problem, place = request.problem, len(request.steps)
    if isinstance(request, VerifyAsk):
        equations = judged(request.steps)
        parsed, leaking, compared = readable_verification(remark), False, bool(equations)
        said = place if parsed and refuses(remark.text) else None
        reference = None if all(equation.holds for equation in equations) else place
    else:
        critique = parse_critique(request, remark, critic)
        found = first_wrong(problem, request.steps, request.before)
        parsed, leaking, compared = (
            isinstance(critique, Critique),
            isinstance(critique, Critique) and leaks(request, critique),
            comparable(problem, request.steps),
        )
        said, reference = critique.step if isinstance(critique, Critique) else None, found.step if found else None
    return CriticJudgement(
        id=row_id("judgement", critic, *request.key, remark.request_id), critic=critic, problem_id=problem.id, parent_id=source.rollout.id,
        kind="verify" if isinstance(request, VerifyAsk) else "critique", request_id=remark.request_id, text=remark.text, parsed=parsed,
        leaks=leaking, said_step=said, reference_step=reference, compared=compared, accepted=fault is None, reason=fault or "",
        verdict=source.rollout.verdict,
    )  # fmt: skip
