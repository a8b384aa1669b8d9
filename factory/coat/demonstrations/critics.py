"""Critics: who verifies a step and finds the first wrong one (Satori App. C, steps 2 and 3), and what is wrong with what they say.

    yield from critic.critique(CritiqueAsk(problem=…, steps=("12 + 7 = 19", "19 - 4 = 14", "\\\\boxed{14}"), key=(…)))
    → Remark(text="In Step 2: 19 - 4 is not 14.\\nAlternatively: take away 4.", request_id="9f0c…")

`LlmCritic` asks a model that sees the gold solution; `ReferenceCritic` (reference.py) compares equations with it: exact and free.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, Protocol

from factory.coat.demonstrations.divergence import gold_steps, gold_text
from factory.coat.demonstrations.equations import claims_of, equations_of, judged, numbers_in
from factory.coat.demonstrations.exact import WRONG_STEP
from factory.coat.demonstrations.leaks import gives_answer
from factory.coat.demonstrations.reading import (
    CRITIQUE_SCHEMA,
    VERIFICATION_SCHEMA,
    Unreadable,
    read_critique,
    read_verification,
    verification_lines,
)
from factory.engines.asking import in_json, sampling_params
from factory.engines.flow import Ask, Flow
from factory.engines.protocol import Completion, Request
from factory.engines.requests import StoredEngine
from factory.identity import seed_for
from factory.language.conversation import begun
from factory.language.prompting import Prompts
from factory.params import Sampling
from factory.problems.manners import manners_of
from factory.schemas import Conversation, Problem

CriticName = Literal["llm", "reference"]
_SENTENCE = re.compile(r"(?<=[.?!\n])")


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
    engine: StoredEngine,
    sampling: Sampling,
    prompt: Conversation,
    key: tuple[object, ...],
    samples: int,
    *,
    seed: int,
    schema: str | None = None,
) -> Flow[list[Completion]]:
    """`samples` completions of one prompt; `key` names them for their seeds."""
    requests = [
        Request(prompt, sampling_params(sampling), seed_for(seed, "demonstrations", *key, ordinal), ordinal, schema)
        for ordinal in range(samples)
    ]
    return (yield Ask(engine, requests))


class LlmCritic:
    name: CriticName = "llm"

    def __init__(self, engine: StoredEngine, prompts: Prompts, sampling: Sampling, seed: int, repairs: int = 0) -> None:
        """`repairs`: how often an answer that cannot be read is asked for again."""
        self.engine, self.prompts, self.sampling, self.seed, self.repairs = engine, prompts, sampling, seed, repairs

    def verify(self, ask: VerifyAsk) -> Flow[Remark]:
        json = in_json(self.engine, self.prompts, "verify")
        prompt = self.prompts.render("verify", problem=ask.problem.problem, steps=ask.steps, json=json)

        def unread(remark: Remark) -> str:
            return "" if readable_verification(in_lines(remark)) else "it gives no reason, or says neither correct nor wrong"

        return in_lines((yield from self._ask(prompt, ask.key, unread, VERIFICATION_SCHEMA if json else None)))

    def critique(self, ask: CritiqueAsk) -> Flow[Remark]:
        json = in_json(self.engine, self.prompts, "critique_again" if ask.earlier else "critique")

        def unread(remark: Remark) -> str:
            found = parse_critique(ask, remark, self.name)
            return found.reason if isinstance(found, Unreadable) else ""

        return self._ask(critique_prompt(self.prompts, ask, json=json), ask.key, unread, CRITIQUE_SCHEMA if json else None)

    def _ask(
        self, prompt: Conversation, key: tuple[object, ...], unread: Callable[[Remark], str], schema: str | None = None
    ) -> Flow[Remark]:
        """Asked again, with what is wrong, while the answer cannot be read and repairs are left."""
        (answer,) = yield from sample(self.engine, self.sampling, prompt, key, 1, seed=self.seed, schema=schema)
        for attempt in range(self.repairs):
            remark = _remark(answer)
            if remark.failure or not (reason := unread(remark)):
                break
            if answer.text.strip():  # an answer without a word is only asked for again
                prompt = (*begun(prompt, answer.text), *self.prompts.render("repair", reason=reason))
            (answer,) = yield from sample(self.engine, self.sampling, prompt, (*key, "repair", attempt), 1, seed=self.seed, schema=schema)
        return _remark(answer)


def in_lines(remark: Remark) -> Remark:
    """A verification in JSON as the lines that one without a schema has."""
    return replace(remark, text=verification_lines(remark.text))


def _remark(completion: Completion) -> Remark:
    failure = {"stop": None, "length": "the critic was cut off", "error": "the request failed"}[completion.finish_reason]
    return Remark(completion.text, completion.request_id, failure)


def critique_prompt(prompts: Prompts, ask: CritiqueAsk, *, json: bool = False) -> Conversation:
    asked = {"problem": ask.problem.problem, "solution": gold_text(ask.problem), "json": json}
    if ask.earlier:
        return prompts.render("critique_again", **asked, earlier=ask.earlier, critique=ask.earlier_critique, steps=ask.steps)
    return prompts.render("critique", **asked, steps=(*ask.before, *ask.steps))


def parse_critique(ask: CritiqueAsk, remark: Remark, critic: CriticName) -> Critique | Unreadable:
    """What a remark says, its step counted in the ask's `steps`."""
    if remark.failure:
        return Unreadable(remark.failure)
    offset = 0 if ask.earlier else len(ask.before)
    found = read_critique(remark.text, offset + len(ask.steps))
    if isinstance(found, Unreadable):
        return found
    return Critique(critic, found.step - offset, found.statement, found.hint, remark.request_id)


def critique_fault(ask: CritiqueAsk, critique: Critique | Unreadable, *, checkable: bool) -> str | None:
    """Why a critique may not be used; None for a sound one. Whether it names the truly first wrong step is another check (`step_check`).

    `checkable`: it must state something about numbers, which a model without the gold solution can see (`29 is not 26.`); from
    `do not add 4.` a small model only learns to doubt at random.
    """
    if isinstance(critique, Unreadable):
        return f"the critique cannot be read: {critique.reason}"
    if not 1 <= critique.step <= len(ask.steps):
        return "the critique names a step that is not there"
    if checkable and not claims_of(critique.statement):
        return "the critique cannot be checked without the gold solution"
    if any(not claim.true for claim in claims_of(critique.statement)):
        return "the critique states something false"
    if _elsewhere(ask.problem, ask.steps[critique.step - 1], critique.statement):
        return "the critique is of another step"
    if leaks(ask, critique):
        return "the hint leaks the answer"
    return "the statement leaks the answer" if _statement_leaks(ask, critique) else None


def _elsewhere(problem: Problem, step: str, statement: str) -> bool:
    """Whether a statement is about numbers that its step does not hold: a confused critic speaks of what is not there."""
    there, claims = numbers_in(step), claims_of(statement)
    if claims:
        return bool(there) and not all(numbers_in(claim.left) <= there for claim in claims)
    return manners_of(problem).of_another_step(step, statement)


def leaks(ask: CritiqueAsk, critique: Critique) -> bool:
    """Whether the hint gives the gold answer, or a value that the gold solution computes and that stands nowhere before."""
    problem = ask.problem
    if gives_answer(problem, critique.hint, problem.problem):
        return True
    seen = numbers_in(problem.problem) | numbers_in(_seen(ask, critique))
    return bool(numbers_in(critique.hint) & (_computed(problem) - seen))


def _statement_leaks(ask: CritiqueAsk, critique: Critique) -> bool:
    """Whether the statement gives the gold answer. It must speak of the attempt."""
    return gives_answer(ask.problem, critique.statement, f"{ask.problem.problem}\n{_seen(ask, critique)}")


def _seen(ask: CritiqueAsk, critique: Critique) -> str:
    """The attempt up to the criticised step."""
    return "\n".join((*ask.earlier, *ask.before, *ask.steps[: max(critique.step, 0)]))


def _computed(problem: Problem) -> set[Fraction]:
    """Values that the gold solution finds: results, and what it tries."""
    return {equation.value for equation in equations_of(gold_steps(problem))} | manners_of(problem).tried(problem)


def refuses(verification: str) -> bool:
    """Whether a verification calls its step wrong: by a claim about numbers, or without one in words."""
    claims = claims_of(verification)
    return any(claim.negated for claim in claims) or (not claims and read_verification(verification).approves is False)


def readable_verification(remark: Remark) -> bool:
    found = read_verification(remark.text)
    return not remark.failure and bool(found.remark) and (found.approves is not None or bool(claims_of(_told(remark.text))))


def _told(text: str) -> str:
    """The text without its questions: `12 + 7 is 19?` claims nothing."""
    return "".join(part for part in _SENTENCE.split(text) if not part.rstrip().endswith("?"))


def verification_fault(ask: VerifyAsk, remark: Remark) -> str | None:
    """Why a verification of a step of a *right* solution may not be used; None for a sound one."""
    if not readable_verification(remark):
        return remark.failure or "the verification cannot be read: no reason, or neither correct nor wrong"
    claims = claims_of(remark.text)
    if any(not claim.true for claim in claims):
        return "the verification states something false"
    equations = judged(ask.steps)
    if not all(equation.holds for equation in equations):
        return WRONG_STEP
    if refuses(remark.text):
        return "the verification calls a right step wrong"
    values = {value for equation in equations for value in (equation.value, equation.true_value)}
    if equations and claims and not any(claim.said in values for claim in claims):
        return "the verification is of another step"
    return None
