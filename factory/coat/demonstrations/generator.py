"""Make COAT demonstrations from graded rollouts (Satori App. C), each source a flow of its own: verified, continued, criticised, corrected.

    Workshop(settings, [LlmCritic(…), ReferenceCritic()], generator, seed=1).make(sources)
    → drafts of types I, II-I, II-II, III-I, III-II; what failed is in `.rejects`, what the critics said in `.judgements`

A critic starts as soon as its generation has landed. Without a generator (recorded solutions) a right solution goes on as it did and a
wrong one goes on as the gold solution does.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from factory import grading
from factory.coat import grammar
from factory.coat.demonstrations import lead_ins
from factory.coat.demonstrations.critics import (
    Critic,
    Critique,
    CritiqueAsk,
    Remark,
    VerifyAsk,
    critique_fault,
    parse_critique,
    sample,
    verification_fault,
)
from factory.coat.demonstrations.divergence import gold_steps
from factory.coat.demonstrations.drafts import Draft, Flaw, Source, judgement
from factory.coat.demonstrations.equations import equations_of
from factory.coat.demonstrations.exact import comparable, first_wrong
from factory.coat.demonstrations.keys import critique_key, verify_key
from factory.coat.demonstrations.reading import read_verification
from factory.coat.demonstrations.reference import step_fault
from factory.coat.demonstrations.stitch import Trajectory, said
from factory.engines.flow import Flow, run
from factory.engines.protocol import Completion
from factory.engines.requests import StoredEngine
from factory.errors import ParamsError
from factory.identity import seed_for
from factory.language.conversation import begun
from factory.language.prompting import Prompts
from factory.language.steps import By, split
from factory.params import Demonstrations
from factory.problems.manners import manners_of
from factory.rejects import reject
from factory.schemas import Conversation, CriticJudgement, Problem, Reject

STAGE = "demonstrations"


class Workshop:
    def __init__(
        self, settings: Demonstrations, critics: Sequence[Critic], generator: StoredEngine | None, prompts: Prompts, *, seed: int,
        steps: By = "line",
    ) -> None:  # fmt: skip
        """Raises ParamsError where critiques are to be checked by rollouts and nobody can roll out."""
        if "rollouts" in settings.step_check and generator is None:
            needs = "which needs a generator that can continue: use equations or none"
            raise ParamsError(f"demonstrations.step_check is {settings.step_check}, {needs}")
        self.settings, self.critics, self.generator, self.prompts = settings, critics, generator, prompts
        self.seed, self.steps = seed, steps
        self.rejects: list[Reject] = []
        self.judgements: list[CriticJudgement] = []

    def make(self, sources: Sequence[Source]) -> list[Draft]:
        """Two candidates of each right source (I, II) and one of each wrong source (III); each ends as a draft or a reject."""
        before, right = len(self.rejects), sum(source.rollout.verdict == "correct" for source in sources)
        drafts = [draft for found in run((self._demonstrate(source) for source in sources), STAGE) for draft in found]
        assert len(drafts) + len(self.rejects) - before == len(sources) + right
        return drafts

    def _demonstrate(self, source: Source) -> Flow[list[Draft]]:
        if source.rollout.verdict == "wrong":
            draft = yield from self._correct(Flaw(Draft(source, "III-I", Trajectory()), source.rollout.steps))
            return [draft] if draft else []
        assert source.rollout.verdict == "correct"
        draft = yield from self._verify(source)
        return [Draft(source, "I", Trajectory().attempt(source.rollout.steps)), *([draft] if draft else [])]

    # -- type II: a verification in a right solution

    def _verify(self, source: Source) -> Flow[Draft | None]:
        place = self._place(source)
        if place is None:
            return self._drop(source, "no intermediate step to verify")
        critic, asked = self.critics[0], VerifyAsk(source.problem, source.rollout.steps[:place], verify_key(source.rollout.id))
        remark = yield from critic.verify(asked)
        fault = remark.failure or verification_fault(asked, remark)
        self._judge(critic, source, asked, remark, fault)
        if fault:
            return self._drop(source, fault, remark.text)
        words = read_verification(remark.text).remark
        trajectory = Trajectory().attempt(asked.steps).verify(self._lead_in(lead_ins.VERIFY, source), words)
        prompts = ("solve", "verify") if remark.request_id else ("solve",)
        draft = Draft(source, "II-I", trajectory, critic.name, "", (remark.request_id,) if remark.request_id else (), prompts)
        return (yield from self._continue_verified(draft, asked.steps, words))

    def _place(self, source: Source) -> int | None:
        """How many steps stand before the verification: all, or a random intermediate number (after an equation, if there is one)."""
        steps, rng = source.rollout.steps, self._rng("verify", source)
        if rng.random() < self.settings.after_answer_share:
            return len(steps)
        places = sorted({equation.step for equation in equations_of(steps[:-1])}) or list(range(1, len(steps)))
        return rng.choice(places) if places else None

    def _continue_verified(self, draft: Draft, steps: tuple[str, ...], words: str) -> Flow[Draft | None]:
        """The rest of a right solution: the box again after the answer, the generator's continuation, or the solution's own steps."""
        source, own = draft.source, draft.source.rollout.steps
        if len(steps) == len(own) or self.generator is None:
            return replace(draft, trajectory=draft.trajectory.attempt(own[len(steps) :] or own[-1:]))
        reflection = said(self._lead_in(lead_ins.VERIFY, source), words)
        best, right = yield from self._continue(source.problem, (*steps, reflection), ("continue_verified", source.rollout.id))
        if best is None:
            return self._drop(source, "no usable continuation after the verification")
        draft = replace(draft, request_ids=(*draft.request_ids, best.request_id))
        if right:
            return replace(draft, trajectory=draft.trajectory.attempt(self._steps(best)))
        return (yield from self._correct(Flaw(replace(draft, type="II-II"), self._steps(best), before=steps)))

    # -- types III and II-II: a wrong attempt, a critique, a correction

    def _correct(self, first: Flaw) -> Flow[Draft | None]:
        """Rounds of critique and continuation; the reference critic's correction, when it is allowed, for what still fails."""
        flaw, reason = first, "still wrong after all rounds"
        for round in range(self.settings.critique_rounds):
            critique, fault = yield from self._criticise(flaw, round)
            if critique is None or self.generator is None:
                reason = fault or "no generator continues"
                break
            key = ("continue_critique", flaw.source.rollout.id, flaw.draft.type, round)
            best, right = yield from self._continue(flaw.source.problem, self._words_so_far(flaw, critique), key)
            if best is None:
                reason = "no usable continuation after the critique"
                break
            draft = self._corrected(flaw, critique, best.request_id)
            if right:
                return replace(draft, trajectory=draft.trajectory.attempt(self._steps(best)))
            if flaw.draft.type != "III-I":
                break
            flaw = _next_flaw(flaw, critique, draft, self._steps(best))
        return self._reference_draft(first) or self._drop(first.source, reason, "\n".join(flaw.steps))

    def _criticise(self, flaw: Flaw, round: int) -> Flow[tuple[Critique | None, str]]:
        """The first critic whose critique is sound has the word; else the reason of the first one's failure."""
        reason = ""
        for critic in self.critics:
            asked = _critique_ask(flaw, round)
            remark = yield from critic.critique(asked)
            critique = parse_critique(asked, remark, critic.name)
            fault = remark.failure or critique_fault(asked, critique, checkable=self.settings.checkable_critiques)
            if isinstance(critique, Critique) and not fault:
                fault = yield from self._step_fault(asked, critique)
            self._judge(critic, flaw.source, asked, remark, fault)
            if isinstance(critique, Critique) and not fault:
                return critique, ""
            reason = reason or fault or ""
        return None, reason

    def _step_fault(self, asked: CritiqueAsk, critique: Critique) -> Flow[str | None]:
        """Whether the step that a critique claims is the first wrong one: by equations, or by solving on from before and from after it.
        Without equations nothing is checked; the judgement says so with `compared` false."""
        check = self.settings.step_check
        told = comparable(asked.problem, (*asked.before, *asked.steps))
        if check == "equations" or (check == "equations_or_rollouts" and told):
            return step_fault(asked, critique.step)
        if check == "none":
            return None
        assert self.generator is not None
        rights = []
        for steps in (asked.steps[: critique.step - 1], asked.steps[: critique.step]):
            prompt = self._begun(asked.problem, (*asked.before, *steps))
            key = ("step_check", *asked.key, len(steps))
            answers = yield from sample(self.generator, self.settings.generator, prompt, key, self.settings.step_rollouts, seed=self.seed)
            rights.append(sum(verdict == "correct" for _, verdict in self._graded(asked.problem, answers)))
        before, after = rights
        return None if before > after else "solutions from before the criticised step are not better than from after it"

    def _corrected(self, flaw: Flaw, critique: Critique, request_id: str = "") -> Draft:
        """The wrong attempt up to its wrong step (or, in a share, up to its box), the reflection and the exploration."""
        source, draft = flaw.source, flaw.draft
        rng = self._rng(f"keep_box {draft.type}", source)
        kept = flaw.steps if rng.random() < self.settings.keep_box_share else flaw.steps[: critique.step]
        reflect, explore = self._leads(flaw)
        owned_up = manners_of(source.problem).owns_up(source.problem, flaw.steps[critique.step - 1])  # such a step is right itself
        wrong_from = critique.step - (not owned_up)
        trajectory = draft.trajectory.attempt(kept, wrong_from=wrong_from).correct(reflect, critique.statement, explore, critique.hint)
        said = f"{_first_line(flaw, critique)}\nAlternatively: {critique.hint}"
        asked = ("critique_again" if flaw.earlier else "critique",) if critique.request_id else ()
        return replace(
            draft, trajectory=trajectory, critique="\n".join(filter(None, (draft.critique, said))),
            critic="reference" if "reference" in (draft.critic, critique.critic) else critique.critic,
            request_ids=(*draft.request_ids, *filter(None, (critique.request_id, request_id))),
            prompts=(*draft.prompts, *asked),
        )  # fmt: skip

    def _leads(self, flaw: Flaw) -> tuple[str, str]:
        reflect, explore = (self._lead_in(phrases, flaw.source, flaw.draft.type) for phrases in (lead_ins.CRITIQUE, lead_ins.EXPLORE))
        return reflect, explore

    def _words_so_far(self, flaw: Flaw, critique: Critique) -> tuple[str, ...]:
        """The trajectory as it stands up to the wrong step, and the critique in the words that it will have there."""
        reflect, explore = self._leads(flaw)
        attempt = flaw.draft.trajectory.attempt(flaw.steps[: critique.step]).plain
        return attempt, said(reflect, critique.statement), said(explore, critique.hint)

    def _reference_draft(self, flaw: Flaw) -> Draft | None:
        """Corrected by the gold solution's own steps; None when the reference critic may not speak or finds nothing, and where attempts
        start anew: the gold solution jumps to the right one, and nothing that stands before says why."""
        if manners_of(flaw.source.problem).starts_anew(flaw.source.problem):
            return None
        found = first_wrong(flaw.source.problem, flaw.steps, flaw.before) if "reference" in self.settings.critics else None
        if found is None:
            return None
        critique = Critique("reference", found.step, found.statement, found.hint)
        if critique_fault(_critique_ask(flaw, 0), critique, checkable=self.settings.checkable_critiques):
            return None
        draft = self._corrected(flaw, critique)
        return replace(draft, trajectory=draft.trajectory.attempt(gold_steps(flaw.source.problem)[found.resume :]))

    # -- engines, seeds, records

    def _begun(self, problem: Problem, lines: Sequence[str]) -> Conversation:
        """The problem, and a solution begun with these lines: without meta-action tokens, so that a model that knows none goes on."""
        return begun(self.prompts.render("solve", problem=problem.problem), "".join(f"{line}\n" for line in lines))

    def _continue(self, problem: Problem, lines: Sequence[str], key: tuple[object, ...]) -> Flow[tuple[Completion | None, bool]]:
        """Goes on behind `lines`: the first right continuation, else the first wrong one; (None, False) when none is finished, plain and
        graded. One that reaches the right answer through a false equation is neither."""
        assert self.generator is not None
        prompt, settings = self._begun(problem, lines), self.settings
        answers = yield from sample(self.generator, settings.generator, prompt, key, settings.continuations, seed=self.seed)
        graded = self._graded(problem, answers)
        for verdict in ("correct", "wrong"):
            for answer, given in graded:
                if given == verdict and (given == "wrong" or all(equation.holds for equation in equations_of(self._steps(answer)))):
                    return answer, verdict == "correct"
        return None, False

    @staticmethod
    def _graded(problem: Problem, answers: Sequence[Completion]) -> list[tuple[Completion, str]]:
        """The finished plain ones with their verdicts."""
        plain = [
            answer
            for answer in answers
            if answer.finish_reason == "stop" and answer.text.strip() and not any(grammar.action_counts(answer.text).values())
        ]
        return [(answer, grading.grade(answer.text, problem.answer, problem.answer_kind, problem.decimals).verdict) for answer in plain]

    def _steps(self, completion: Completion) -> tuple[str, ...]:
        return split(completion.text.strip(), self.steps)

    def _rng(self, what: str, source: Source) -> random.Random:
        return random.Random(seed_for(self.seed, STAGE, what, source.rollout.id))

    def _lead_in(self, phrases: Sequence[str], source: Source, what: str = "") -> str:
        return self._rng(f"{what} {phrases[0]}", source).choice(list(phrases))

    def _drop(self, source: Source, reason: str, text: str = "") -> Draft | None:
        """A reject in place of a draft."""
        row = {"rollout": source.rollout.id, "verdict": source.rollout.verdict, "attempt": source.rollout.completion, "said": text}
        self.rejects.append(reject(STAGE, row, reason, source.rollout.id))
        return None

    def _judge(self, critic: Critic, source: Source, request: VerifyAsk | CritiqueAsk, remark: Remark, fault: str | None) -> None:
        self.judgements.append(judgement(critic.name, source, request, remark, fault))


def _critique_ask(flaw: Flaw, round: int) -> CritiqueAsk:
    key = critique_key(flaw.source.rollout.id, flaw.draft.type, round)
    return CritiqueAsk(flaw.source.problem, flaw.steps, key, flaw.before, flaw.earlier, flaw.earlier_critique)


def _first_line(flaw: Flaw, critique: Critique) -> str:
    """`In Step 2: 19 - 4 is not 14.`, numbered in the whole attempt."""
    return f"In Step {len(flaw.before) + critique.step}: {critique.statement}"


def _next_flaw(flaw: Flaw, critique: Critique, draft: Draft, steps: tuple[str, ...]) -> Flaw:
    """The second attempt, to be criticised alone. It starts anew, or goes on from what was right."""
    anew = manners_of(flaw.source.problem).starts_anew(flaw.source.problem)
    right = () if anew else (*flaw.before, *flaw.steps[: critique.step - 1])
    attempt = (*flaw.before, *flaw.steps[: critique.step])
    return Flaw(replace(draft, type="III-II"), steps, right, attempt, _first_line(flaw, critique))
