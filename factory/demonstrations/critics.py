"""Critics: who verifies a step and finds the first wrong one (Satori App. C, steps 2 and 3), and what is wrong with what they say.

    yield from critic.critique(CritiqueAsk(problem=…, steps=("12 + 7 = 19", "19 - 4 = 14", "\\\\boxed{14}"), key=(…)))
    → Remark(text="In Step 2: 19 - 4 is not 14.\\nAlternatively: take away 4.", request_id="9f0c…")

`LlmCritic` asks a model that sees the gold solution; `ReferenceCritic` (reference.py) compares equations with it: exact and free.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

from factory import grading, prompting
from factory.demonstrations.equations import NUMBER, claims_of, equations_of, judged, numbers_in
from factory.engines.flow import Ask, Flow
from factory.engines.protocol import Completion, Request
from factory.engines.requests import StoredEngine
from factory.identity import seed_for
from factory.params import Sampling
from factory.rollouts import sampling_params
from factory.schemas import Problem

CriticName = Literal["llm", "reference"]
_CRITIQUE = re.compile(r"\s*In Step (\d+): *(\S.*?)\s*\nAlternatively: *(\S.*?)\s*", re.DOTALL)
_REFUSES = re.compile(r"\b(?:is|are|was|does) not\b|\bwrong\b|\bincorrect\b|\bmistake\b|\berror\b|n't\b", re.IGNORECASE)
_APPROVES = re.compile(r"\b(?:right|correct)\b", re.IGNORECASE)


@dataclass(frozen=True)
class VerifyAsk:
    """Verify the last of `steps`. `key` names the request for its seed."""

    problem: Problem
    steps: tuple[str, ...]
    key: tuple[object, ...]


@dataclass(frozen=True)
class CritiqueAsk:
    """Find the first wrong one of `steps`. `before` stands before them and is taken as right. When `earlier` is given (an attempt
    that was criticised already), `steps` are a second attempt, to be criticised alone."""

    problem: Problem
    steps: tuple[str, ...]
    key: tuple[object, ...]
    before: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    earlier_critique: str = ""


@dataclass(frozen=True)
class Remark:
    """What a critic said. `failure` says why it said nothing."""

    text: str = ""
    request_id: str = ""
    failure: str | None = None


@dataclass(frozen=True)
class Critique:
    """`step` is the first wrong one of the ask's `steps`, from 1."""

    critic: CriticName
    step: int
    statement: str
    hint: str
    request_id: str = ""


class Critic(Protocol):
    name: CriticName

    def verify(self, ask: VerifyAsk) -> Flow[Remark]: ...

    def critique(self, ask: CritiqueAsk) -> Flow[Remark]: ...


def sample(
    engine: StoredEngine, sampling: Sampling, prompt: str, key: tuple[object, ...], samples: int, *, seed: int
) -> Flow[list[Completion]]:
    """`samples` completions of one prompt; `key` names them for their seeds."""
    requests = [
        Request(prompt=prompt, sampling=sampling_params(sampling), seed=seed_for(seed, "demonstrations", *key, ordinal), ordinal=ordinal)
        for ordinal in range(samples)
    ]
    return (yield Ask(engine, requests))


class LlmCritic:
    name: CriticName = "llm"

    def __init__(self, engine: StoredEngine, sampling: Sampling, seed: int) -> None:
        self.engine, self.sampling, self.seed = engine, sampling, seed

    def verify(self, ask: VerifyAsk) -> Flow[Remark]:
        return self._ask(prompting.render("verify", problem=ask.problem.problem, prefix="\n".join(ask.steps)), ask.key)

    def critique(self, ask: CritiqueAsk) -> Flow[Remark]:
        return self._ask(_critique_prompt(ask), ask.key)

    def _ask(self, prompt: str, key: tuple[object, ...]) -> Flow[Remark]:
        (answer,) = yield from sample(self.engine, self.sampling, prompt, key, 1, seed=self.seed)
        return _remark(answer)


def _remark(completion: Completion) -> Remark:
    failure = {"stop": None, "length": "the critic was cut off", "error": "the request failed"}[completion.finish_reason]
    return Remark(completion.text, completion.request_id, failure)


def _critique_prompt(ask: CritiqueAsk) -> str:
    gold = "\n".join(gold_steps(ask.problem))
    if ask.earlier:
        return prompting.render(
            "critique_again", problem=ask.problem.problem, solution=gold, attempt="\n".join(ask.earlier),
            critique=ask.earlier_critique, continuation="\n".join(ask.steps),
        )  # fmt: skip
    return prompting.render("critique", problem=ask.problem.problem, solution=gold, attempt="\n".join((*ask.before, *ask.steps)))


def gold_steps(problem: Problem) -> tuple[str, ...]:
    """The gold solution's steps, its answer boxed in the last one."""
    lines = [line for line in (problem.solution or "").split("\n") if line.strip()]
    if not grading.boxed_answers(lines[-1] if lines else ""):
        lines.append(f"\\boxed{{{problem.answer}}}")
    return tuple(lines)


def parse_critique(ask: CritiqueAsk, remark: Remark, critic: CriticName) -> Critique | None:
    """None when the remark has not the form `In Step k: …` / `Alternatively: …`."""
    match = _CRITIQUE.fullmatch(remark.text)
    if remark.failure or not match:
        return None
    offset = 0 if ask.earlier else len(ask.before)
    return Critique(critic, int(match[1]) - offset, match[2], match[3], remark.request_id)


def critique_fault(ask: CritiqueAsk, critique: Critique | None, *, checkable: bool) -> str | None:
    """Why a critique may not be used; None for a sound one. Whether it names the truly first wrong step is another check (`step_check`).

    `checkable`: it must state something about numbers, which a model without the gold solution can see (`29 is not 26.`); from
    `do not add 4.` a small model only learns to doubt at random.
    """
    if critique is None:
        return "the critique has no readable form"
    if not 1 <= critique.step <= len(ask.steps):
        return "the critique names a step that is not there"
    if checkable and not claims_of(critique.statement):
        return "the critique cannot be checked without the gold solution"
    if any(not claim.true for claim in claims_of(critique.statement)):
        return "the critique states something false"
    if _elsewhere(ask.steps[critique.step - 1], critique.statement):
        return "the critique is of another step"
    if leaks(ask, critique):
        return "the hint leaks the answer"
    return None


def _elsewhere(step: str, statement: str) -> bool:
    """Whether a statement is about numbers that its step does not hold: a confused critic speaks of what is not there."""
    there, claims = numbers_in(step), claims_of(statement)
    if claims:
        return bool(there) and not all(numbers_in(claim.left) <= there for claim in claims)
    spoken = numbers_in(statement)
    return bool(there and spoken) and not spoken & there


def leaks(ask: CritiqueAsk, critique: Critique) -> bool:
    """Whether the hint holds the gold answer, or a value that the gold solution computes and that stands nowhere before."""
    problem, hinted = ask.problem, numbers_in(critique.hint)
    given = numbers_in(problem.problem)
    if problem.answer_kind == "number":
        if grading.parse_number(problem.answer) in hinted - given:
            return True
    elif re.search(rf"(?<!\w){re.escape(problem.answer)}(?!\w)", critique.hint):
        return True
    seen = given | numbers_in("\n".join((*ask.earlier, *ask.before, *ask.steps[: max(critique.step, 0)])))
    return bool(hinted & (_computed(problem) - seen))


def _computed(problem: Problem) -> set[Fraction]:
    """Values that the gold solution finds: results, and in a search what it tries."""
    steps = gold_steps(problem)
    values = {equation.value for equation in equations_of(steps)}
    if problem.group == "search":
        values |= {Fraction(number.replace(",", "")) for step in steps for number in NUMBER.findall(step)}
    return values


def refuses(verification: str) -> bool:
    """Whether a verification calls its step wrong."""
    claims = claims_of(verification)
    return any(claim.negated for claim in claims) or (not claims and bool(_REFUSES.search(verification)))


def readable_verification(remark: Remark) -> bool:
    return not remark.failure and bool(claims_of(remark.text) or _REFUSES.search(remark.text) or _APPROVES.search(remark.text))


def verification_fault(ask: VerifyAsk, remark: Remark) -> str | None:
    """Why a verification of a step of a *right* solution may not be used; None for a sound one."""
    if not readable_verification(remark):
        return "the verification has no readable form"
    claims = claims_of(remark.text)
    if any(not claim.true for claim in claims):
        return "the verification states something false"
    equations = judged(ask.steps)
    if not all(equation.holds for equation in equations):
        return "the verified step is wrong"
    if refuses(remark.text):
        return "the verification calls a right step wrong"
    values = {value for equation in equations for value in (equation.value, equation.true_value)}
    if equations and claims and not any(claim.said in values for claim in claims):
        return "the verification is of another step"
    return None
