"""Make COAT demonstrations from graded rollouts, in waves: all verifications, all continuations, all critiques, … (Satori App. C).

    Workshop(settings, [LlmCritic(…), ReferenceCritic()], generator, seed=1).make(sources)
    → drafts of types I, II-I, II-II, III-I, III-II; what failed is in `.rejects`, what the critics said in `.judgements`

Without a generator (recorded solutions) a right solution goes on as it did and a wrong one goes on as the gold solution does.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from factory import coat, grading, prompting
from factory.demonstrations import lead_ins
from factory.demonstrations.critics import (
    Critic,
    Critique,
    CritiqueAsk,
    Remark,
    VerifyAsk,
    ask,
    critique_fault,
    gold_steps,
    parse_critique,
    verification_fault,
)
from factory.demonstrations.drafts import Draft, Flaw, Source, judgement
from factory.demonstrations.equations import equations_of, numbers_in
from factory.demonstrations.reference import first_wrong
from factory.demonstrations.stitch import Trajectory, said
from factory.engines.protocol import Completion, Engine
from factory.identity import seed_for
from factory.params import Demonstrations
from factory.schemas import CriticJudgement, Problem, Reject
from factory.storage import reject

STAGE = "demonstrations"


class Workshop:
    def __init__(self, settings: Demonstrations, critics: Sequence[Critic], generator: Engine | None, *, seed: int) -> None:
        self.settings, self.critics, self.generator, self.seed = settings, critics, generator, seed
        self.rejects: list[Reject] = []
        self.judgements: list[CriticJudgement] = []

    def make(self, sources: Sequence[Source]) -> list[Draft]:
        """Two candidates of each right source (I, II) and one of each wrong source (III); each ends as a draft or a reject."""
        right = [source for source in sources if source.rollout.verdict == "correct"]
        wrong = [source for source in sources if source.rollout.verdict == "wrong"]
        assert len(right) + len(wrong) == len(sources)
        before = len(self.rejects)
        drafts = [Draft(source, "I", Trajectory().attempt(source.rollout.steps)) for source in right]
        verified, flaws = self._verify(right)
        flaws += [Flaw(Draft(source, "III-I", Trajectory()), source.rollout.steps) for source in wrong]
        drafts += verified + self._correct(flaws)
        assert len(drafts) + len(self.rejects) - before == 2 * len(right) + len(wrong)
        return drafts

    # -- type II: a verification in a right solution

    def _verify(self, sources: Sequence[Source]) -> tuple[list[Draft], list[Flaw]]:
        chosen = [(source, place) for source in sources if (place := self._place(source)) is not None]
        asks = [VerifyAsk(source.problem, source.rollout.steps[:place], ("verify", source.rollout.id)) for source, place in chosen]
        critic, sound = self.critics[0], []
        for (source, _), request, remark in zip(chosen, asks, critic.verify(asks), strict=True):
            fault = remark.failure or verification_fault(request, remark)
            self._judge(critic, source, request, remark, fault)
            if fault:
                self._drop(source, fault, remark.text)
                continue
            trajectory = Trajectory().attempt(request.steps).verify(self._lead_in(lead_ins.VERIFY, source), remark.text)
            ids = (remark.request_id,) if remark.request_id else ()
            sound.append(
                (Draft(source, "II-I", trajectory, critic.name, "", ids, ("solve", *(["verify"] if ids else []))), request.steps, remark)
            )
        return self._continue_verified(sound)

    def _place(self, source: Source) -> int | None:
        """How many steps stand before the verification: all, or a random intermediate number (after an equation, if there is one)."""
        steps, rng = source.rollout.steps, self._rng("verify", source)
        if rng.random() < self.settings.after_answer_share:
            return len(steps)
        places = sorted({equation.step for equation in equations_of(steps[:-1])}) or list(range(1, len(steps)))
        if not places:
            self._drop(source, "no intermediate step to verify")
            return None
        return rng.choice(places)

    def _continue_verified(self, sound: Sequence[tuple[Draft, tuple[str, ...], Remark]]) -> tuple[list[Draft], list[Flaw]]:
        """The rest of a right solution: the box again after the answer, the generator's continuation, or the solution's own steps."""
        drafts, open_ = [], []
        for draft, steps, remark in sound:
            own = draft.source.rollout.steps
            if len(steps) == len(own) or self.generator is None:
                drafts.append(replace(draft, trajectory=draft.trajectory.attempt(own[len(steps) :] or own[-1:])))
            else:
                open_.append((draft, steps, remark))
        prompts = [
            (
                prompting.render(
                    "continue_verified",
                    problem=draft.source.problem.problem,
                    attempt="\n".join(steps),
                    reflection=said(self._lead_in(lead_ins.VERIFY, draft.source), remark.text),
                ),
                ("continue_verified", draft.source.rollout.id),
            )
            for draft, steps, remark in open_
        ]
        flaws = []
        for (draft, steps, _), answers in zip(open_, self._generate(prompts), strict=True):
            best, right = self._best(draft.source.problem, answers)
            if best is None:
                self._drop(draft.source, "no usable continuation after the verification")
                continue
            draft = replace(draft, request_ids=(*draft.request_ids, best.request_id), prompts=(*draft.prompts, "continue_verified"))
            if right:
                drafts.append(replace(draft, trajectory=draft.trajectory.attempt(_steps(best))))
            else:
                flaws.append(Flaw(replace(draft, type="II-II"), _steps(best), before=steps))
        return drafts, flaws

    # -- types III and II-II: a wrong attempt, a critique, a correction

    def _correct(self, flaws: Sequence[Flaw]) -> list[Draft]:
        """Rounds of critique and continuation; the reference critic's correction, when it is allowed, for what still fails."""
        drafts: list[Draft] = []
        failed: list[tuple[Flaw, str]] = []
        flaws = [replace(flaw, first=flaw) for flaw in flaws]
        for round in range(self.settings.critique_rounds):
            criticised, silent = self._criticise(flaws, round)
            failed += silent
            if self.generator is None:
                failed += [(flaw, "no generator continues") for flaw, _ in criticised]
                break
            done, flaws, lost = self._continue_criticised(criticised, round)
            drafts += done
            failed += lost
        failed += [(flaw, "still wrong after all rounds") for flaw in flaws if self.generator is not None]
        for flaw, reason in failed:
            draft = self._reference_draft(flaw.first or flaw)
            if draft:
                drafts.append(draft)
            else:
                self._drop(flaw.source, reason, "\n".join(flaw.steps))
        return drafts

    def _criticise(self, flaws: Sequence[Flaw], round: int) -> tuple[list[tuple[Flaw, Critique]], list[tuple[Flaw, str]]]:
        """The first critic whose critique is sound has the word; the reason of the first one's failure is kept."""
        sound: list[tuple[Flaw, Critique]] = []
        pending = [(flaw, "") for flaw in flaws]
        for critic in self.critics:
            asks = [_critique_ask(flaw, round) for flaw, _ in pending]
            rest = []
            for (flaw, reason), request, remark in zip(pending, asks, critic.critique(asks), strict=True):
                critique = parse_critique(request, remark, critic.name)
                fault = remark.failure or critique_fault(request, critique, checkable=self.settings.checkable_critiques)
                self._judge(critic, flaw.source, request, remark, fault)
                if critique is None or fault:
                    rest.append((flaw, reason or fault or ""))
                else:
                    sound.append((flaw, critique))
            pending = rest
        return sound, pending

    def _continue_criticised(
        self, criticised: Sequence[tuple[Flaw, Critique]], round: int
    ) -> tuple[list[Draft], list[Flaw], list[tuple[Flaw, str]]]:
        prompts = [
            (self._continue_prompt(flaw, critique), ("continue_critique", flaw.source.rollout.id, flaw.draft.type, round))
            for flaw, critique in criticised
        ]
        drafts, flaws, lost = [], [], []
        for (flaw, critique), answers in zip(criticised, self._generate(prompts), strict=True):
            best, right = self._best(flaw.source.problem, answers)
            if best is None:
                lost.append((flaw, "no usable continuation after the critique"))
                continue
            draft = self._corrected(flaw, critique, best.request_id)
            if right:
                drafts.append(replace(draft, trajectory=draft.trajectory.attempt(_steps(best))))
            elif flaw.draft.type == "III-I":
                flaws.append(_next_flaw(flaw, critique, draft, _steps(best)))
            else:
                lost.append((flaw, "still wrong after all rounds"))
        return drafts, flaws, lost

    def _corrected(self, flaw: Flaw, critique: Critique, request_id: str = "") -> Draft:
        """The wrong attempt up to its wrong step (or, in a share, up to its box), the reflection and the exploration."""
        source, draft = flaw.source, flaw.draft
        rng = self._rng(f"keep_box {draft.type}", source)
        kept = flaw.steps if rng.random() < self.settings.keep_box_share else flaw.steps[: critique.step]
        reflect, explore = self._leads(flaw)
        honest = source.problem.group == "search" and not numbers_in(flaw.steps[critique.step - 1])  # `Wrong.` owns up to a miss
        wrong_from = critique.step - (not honest)
        trajectory = draft.trajectory.attempt(kept, wrong_from=wrong_from).correct(reflect, critique.statement, explore, critique.hint)
        said = f"{_first_line(flaw, critique)}\nAlternatively: {critique.hint}"
        asked = ("critique_again" if flaw.earlier else "critique",) if critique.request_id else ()
        return replace(
            draft, trajectory=trajectory, critique="\n".join(filter(None, (draft.critique, said))),
            critic="reference" if "reference" in (draft.critic, critique.critic) else critique.critic,
            request_ids=(*draft.request_ids, *filter(None, (critique.request_id, request_id))),
            prompts=(*draft.prompts, *asked, *(("continue_critique",) if request_id else ())),
        )  # fmt: skip

    def _leads(self, flaw: Flaw) -> tuple[str, str]:
        reflect, explore = (self._lead_in(phrases, flaw.source, flaw.draft.type) for phrases in (lead_ins.CRITIQUE, lead_ins.EXPLORE))
        return reflect, explore

    def _continue_prompt(self, flaw: Flaw, critique: Critique) -> str:
        """The trajectory as it stands up to the wrong step, and the critique in the words that it will have there."""
        reflect, explore = self._leads(flaw)
        return prompting.render(
            "continue_critique", problem=flaw.source.problem.problem, reflection=said(reflect, critique.statement),
            attempt=flaw.draft.trajectory.attempt(flaw.steps[: critique.step]).plain, exploration=said(explore, critique.hint),
        )  # fmt: skip

    def _reference_draft(self, flaw: Flaw) -> Draft | None:
        """Corrected by the gold solution's own steps; None when the reference critic may not speak or finds nothing, and in a search: its
        gold solution jumps to the right guess, and nothing that stands before says why."""
        if flaw.source.problem.group == "search":
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

    def _generate(self, prompts: Sequence[tuple[str, tuple[object, ...]]]) -> list[list[Completion]]:
        if not prompts:
            return []
        assert self.generator is not None
        return ask(self.generator, self.settings.generator, prompts, self.settings.continuations, seed=self.seed)

    def _best(self, problem: Problem, answers: Sequence[Completion]) -> tuple[Completion | None, bool]:
        """The first right continuation, else the first wrong one; (None, False) when none is finished, plain and graded. One that reaches
        the right answer through a false equation is neither."""
        graded = []
        for answer in answers:
            if answer.finish_reason == "stop" and answer.text.strip() and not any(coat.action_counts(answer.text).values()):
                graded.append((answer, grading.grade(answer.text, problem.answer, problem.answer_kind)))
        for verdict in ("correct", "wrong"):
            for answer, given in graded:
                if given == verdict and (given == "wrong" or all(equation.holds for equation in equations_of(_steps(answer)))):
                    return answer, verdict == "correct"
        return None, False

    def _rng(self, what: str, source: Source) -> random.Random:
        return random.Random(seed_for(self.seed, STAGE, what, source.rollout.id))

    def _lead_in(self, phrases: Sequence[str], source: Source, what: str = "") -> str:
        return self._rng(f"{what} {phrases[0]}", source).choice(list(phrases))

    def _drop(self, source: Source, reason: str, text: str = "") -> None:
        row = {"rollout": source.rollout.id, "verdict": source.rollout.verdict, "attempt": source.rollout.completion, "said": text}
        self.rejects.append(reject(STAGE, row, reason, source.rollout.id))

    def _judge(self, critic: Critic, source: Source, request: VerifyAsk | CritiqueAsk, remark: Remark, fault: str | None) -> None:
        self.judgements.append(judgement(critic.name, source, request, remark, fault))


def _steps(completion: Completion) -> tuple[str, ...]:
    return coat.split_steps(completion.text.strip())


def _critique_ask(flaw: Flaw, round: int) -> CritiqueAsk:
    key = ("critique", flaw.source.rollout.id, flaw.draft.type, round)
    return CritiqueAsk(flaw.source.problem, flaw.steps, key, flaw.before, flaw.earlier, flaw.earlier_critique)


def _first_line(flaw: Flaw, critique: Critique) -> str:
    """`In Step 2: 19 - 4 is not 14.`, numbered in the whole attempt."""
    return f"In Step {len(flaw.before) + critique.step}: {critique.statement}"


def _next_flaw(flaw: Flaw, critique: Critique, draft: Draft, steps: tuple[str, ...]) -> Flaw:
    """The second attempt, to be criticised alone. A search starts anew, a procedure goes on from what was right."""
    right = () if flaw.source.problem.group == "search" else (*flaw.before, *flaw.steps[: critique.step - 1])
    attempt = (*flaw.before, *flaw.steps[: critique.step])
    return Flaw(replace(draft, type="III-II"), steps, right, attempt, _first_line(flaw, critique), flaw.first)
