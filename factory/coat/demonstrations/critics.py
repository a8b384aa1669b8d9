"""Critics: who verifies a step and finds the first wrong one (Satori App. C, steps 2 and 3), and what is wrong with what they say.

    yield from critic.critique(CritiqueAsk(problem=…, steps=("12 + 7 = 19", "19 - 4 = 14", "\\\\boxed{14}"), key=(…)))
    → Remark(text="In Step 2: 19 - 4 is not 14.\\nAlternatively: take away 4.", request_id="9f0c…")

`LlmCritic` asks a model that sees the gold solution; `ReferenceCritic` (reference.py) compares equations with it: exact and free.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

from factory import grading
from factory.coat.demonstrations.equations import NUMBER, claims_of, equations_of, judged, numbers_in, numbers_written
from factory.coat.rollouts import sampling_params
from factory.engines.flow import Ask, Flow
from factory.engines.protocol import Completion, Request
from factory.engines.requests import StoredEngine
from factory.identity import seed_for
from factory.language import prompting
from factory.params import Sampling
from factory.schemas import Problem

CriticName = Literal["llm", "reference"]
_CRITIQUE = re.compile(r"\s*In Step (\d{1,6}): *(\S.*?)(?<=\S)\s*\nAlternatively: *(\S.*?)(?<=\S)\s*", re.DOTALL)
_REFUSES = re.compile(
    r"\b(?:no|not|never|cannot|hardly|barely|almost|nearly|unlikely|far from|wrong|false|incorrect|inaccurate|mistaken?|errors?|instead"
    r"|different|(?:should|would|must|ought to) (?:be|have))\b|n['’]t\b",
    re.IGNORECASE,
)
_APPROVES = re.compile(r"\b(?:right|correct|yes)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.?!\n])")
_ANSWER = re.compile(r"\banswer *(?:is|:|=|(?:should|must|would|will) be)[ :*]*", re.IGNORECASE)
_WRITTEN = re.compile(rf"(?<![\w.)])-?(?:\d+ (?=\d+/))?(?:{NUMBER.pattern})(?:/\d+)?", re.ASCII)


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
    return "the statement leaks the answer" if _statement_leaks(ask, critique) else None


def _elsewhere(step: str, statement: str) -> bool:
    """Whether a statement is about numbers that its step does not hold: a confused critic speaks of what is not there."""
    there, claims = numbers_in(step), claims_of(statement)
    if claims:
        return bool(there) and not all(numbers_in(claim.left) <= there for claim in claims)
    spoken = numbers_in(statement)
    return bool(there and spoken) and not spoken & there


def leaks(ask: CritiqueAsk, critique: Critique) -> bool:
    """Whether the hint gives the gold answer, or a value that the gold solution computes and that stands nowhere before."""
    problem = ask.problem
    if _gives(problem, critique.hint, problem.problem if problem.answer_kind == "number" else ""):
        return True
    seen = numbers_in(problem.problem) | numbers_in(_seen(ask, critique))
    return bool(numbers_in(critique.hint) & (_computed(problem) - seen))


def _statement_leaks(ask: CritiqueAsk, critique: Critique) -> bool:
    """Whether the statement gives the gold answer. It must speak of the attempt; every choice stands in its problem."""
    given = "" if ask.problem.answer_kind == "choice" else ask.problem.problem
    return _gives(ask.problem, critique.statement, f"{given}\n{_seen(ask, critique)}")


def _seen(ask: CritiqueAsk, critique: Critique) -> str:
    """The attempt up to the criticised step."""
    return "\n".join((*ask.earlier, *ask.before, *ask.steps[: max(critique.step, 0)]))


def _gives(problem: Problem, text: str, given: str) -> bool:
    """Whether a text holds the gold answer, which `given` does not, or boxes or names an answer whatever is given."""
    if "\\boxed" in text:
        return True
    text = _plain_signs(text)
    named = [text[match.end() :] for match in _ANSWER.finditer(text)]
    if problem.answer_kind == "number":
        gold = grading.parse_number(problem.answer)
        firsts = [found for rest in named if (found := _WRITTEN.match(rest))]
        return gold in _values(text) - _values(_plain_signs(given)) or gold in [grading.parse_number(found.group()) for found in firsts]
    literal = re.compile(rf"\(?{re.escape(grading.normalise(problem.answer).strip('()'))}(?!\w)")
    return (_mentions(problem, text) and not _mentions(problem, given)) or any(literal.match(grading.normalise(rest)) for rest in named)


def _plain_signs(text: str) -> str:
    return text.replace("\N{MINUS SIGN}", "-").replace("$", "")


def _values(text: str) -> set[Fraction]:
    """Numbers with their signs, and fractions; `18/2` is something to work out and not 9."""
    read = {grading.parse_number(match.group()) for match in _WRITTEN.finditer(text)}
    return numbers_in(text) | {value for value in read if value is not None and (value < 0 or value.denominator > 1)}


def _mentions(problem: Problem, text: str) -> bool:
    """Whether a literal answer stands in a text as a word, or a choice as `(b)`, `B` or `option b`: `a` alone is a word."""
    gold = grading.normalise(problem.answer)
    if problem.answer_kind == "choice" and len(letter := gold.strip("()")) == 1:
        named = rf"\(\s*{re.escape(letter)}\s*\)|\b(?:option|choice)\s+{re.escape(letter)}(?!\w)"
        return bool(re.search(named, text, re.IGNORECASE) or re.search(rf"(?<!\w){re.escape(letter.upper())}(?!\w)", text))
    return bool(re.search(rf"(?<!\w){re.escape(gold)}(?!\w)", grading.normalise(text)))


def _computed(problem: Problem) -> set[Fraction]:
    """Values that the gold solution finds: results, and in a search what it tries."""
    steps = gold_steps(problem)
    values = {equation.value for equation in equations_of(steps)}
    if problem.group == "search":
        values |= numbers_written("\n".join(steps))
    return values


def refuses(verification: str) -> bool:
    """Whether a verification calls its step wrong: by a claim, or without one in words that can be meant so."""
    claims = claims_of(verification)
    return any(claim.negated for claim in claims) or (not claims and bool(_REFUSES.search(_told(verification))))


def readable_verification(remark: Remark) -> bool:
    text = _told(remark.text)
    return not remark.failure and bool(claims_of(text) or _REFUSES.search(text) or _APPROVES.search(text))


def _told(text: str) -> str:
    """The text without its questions: `Is that right?` approves of nothing."""
    return "".join(part for part in _SENTENCE.split(text) if not part.rstrip().endswith("?"))


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
