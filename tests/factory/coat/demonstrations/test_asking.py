"""Critics that are asked again, first wrong steps that only rollouts can tell, and the thoughts of thinking models."""

import json
from dataclasses import replace

import pytest

from factory.coat.demonstrations.critics import CritiqueAsk, LlmCritic, VerifyAsk
from factory.coat.demonstrations.divergence import gold_steps, gold_text
from factory.coat.demonstrations.generator import Workshop
from factory.coat.demonstrations.selection import sources
from factory.engines.protocol import Completion, Request
from factory.language.conversation import flat
from factory.language.prompting import Prompts
from factory.schemas import Problem

INSTRUCT = Prompts.of("instruct")
STEPS = ("She walks there.\n", "So she is late: \\boxed{no}")


@pytest.fixture
def worded(coat_kit) -> Problem:
    """A problem without any equation."""
    problem = coat_kit.problem("Is Ann on time?", "yes", "She takes the bus.\nSo she is on time: \\boxed{yes}")
    return replace(problem, answer_kind="text")


class Scripted:
    """Says what a list says, in turn, and notes what it was asked. `structured`: it holds schemas."""

    family, model, structured = "scripted", "scripted@1", True

    def __init__(self, *texts: str, structured: bool = False) -> None:
        self.texts, self.structured, self.asked = list(texts), structured, list[Request]()

    def flow(self, requests: list[Request]) -> list[Completion]:
        self.asked += requests
        return [Completion(self.texts.pop(0), (1,), "stop", 1, f"q{len(self.asked)}") for _ in requests]


def said(flow, engine: Scripted):
    """Run one flow by hand: what it asks goes to the script."""
    try:
        ask = next(flow)
        while True:
            ask = flow.send(engine.flow(list(ask.items)))
    except StopIteration as end:
        return end.value


def critic(engine: Scripted, kit, repairs: int) -> LlmCritic:
    return LlmCritic(engine, INSTRUCT, kit.sampling, 1, repairs)  # type: ignore[arg-type]


GOOD = "In Step 1: She does not walk.\nAlternatively: look at how she gets there."


def test_a_critique_that_cannot_be_read_is_asked_for_again_with_the_reason(coat_kit, worded) -> None:
    engine = Scripted("Step 1 is wrong.", "I mean it.", GOOD)
    remark = said(critic(engine, coat_kit, 2).critique(CritiqueAsk(worded, STEPS, ("k",))), engine)
    assert (remark.text, remark.request_id) == (GOOD, "q3")
    first, second, third = (request.prompt for request in engine.asked)
    assert [message.role for message in second[len(first) :]] == ["assistant", "user"]
    assert second[len(first)].content == "Step 1 is wrong."
    assert "no hint" in second[-1].content
    assert "names no step" in third[-1].content


def test_repairs_are_bounded_and_none_is_made_of_what_can_be_read(coat_kit, worded) -> None:
    engine = Scripted("no", "no", "no")
    assert said(critic(engine, coat_kit, 2).critique(CritiqueAsk(worded, STEPS, ("k",))), engine).text == "no"
    assert len(engine.asked) == 3
    engine = Scripted(GOOD)
    said(critic(engine, coat_kit, 2).critique(CritiqueAsk(worded, STEPS, ("k",))), engine)
    assert len(engine.asked) == 1
    engine = Scripted("Hm.", "The step is right.\nVerdict: correct")
    assert said(critic(engine, coat_kit, 1).verify(VerifyAsk(worded, STEPS[:1], ("k",))), engine).text.endswith("correct")


def test_an_engine_that_holds_schemas_is_asked_for_a_document(coat_kit, worded) -> None:
    document = json.dumps({"step": 1, "statement": "She does not walk.", "hint": "look at how she gets there."})
    engine = Scripted(document, structured=True)
    said(critic(engine, coat_kit, 0).critique(CritiqueAsk(worded, STEPS, ("k",))), engine)
    (request,) = engine.asked
    assert request.schema
    assert "JSON" in flat(request.prompt)
    engine = Scripted(json.dumps({"remark": "She takes the bus.", "verdict": "wrong"}), structured=True)
    remark = said(critic(engine, coat_kit, 1).verify(VerifyAsk(worded, STEPS[:1], ("k",))), engine)
    assert remark.text == "She takes the bus.\nVerdict: wrong"
    assert len(engine.asked) == 1, "it could be read"
    assert engine.asked[0].schema
    plain = Scripted(GOOD)
    said(critic(plain, coat_kit, 0).critique(CritiqueAsk(worded, STEPS, ("k",))), plain)
    assert plain.asked[0].schema is None
    assert "JSON" not in flat(plain.asked[0].prompt)


@pytest.mark.parametrize(("after", "made"), [("So she is late: \\boxed{no}", 1), ("So she is on time: \\boxed{yes}", 0)])
def test_without_equations_rollouts_tell_whether_a_step_is_the_first_wrong_one(coat_kit, worded, after: str, made: int) -> None:
    solve = f"{flat(INSTRUCT.render('solve', problem=worded.problem))}"
    attempt = coat_kit.rollout(worded, "\n".join(STEPS), steps=STEPS)
    from_scratch, from_wrong = solve, f"{solve}She walks there.\n\n"
    critique = flat(
        INSTRUCT.render(
            "critique", problem=worded.problem, solution="She takes the bus.\nSo she is on time: \\boxed{yes}", steps=STEPS, json=False
        )
    )
    right = "She takes the bus.\nSo she is on time: \\boxed{yes}"
    table = {critique: [GOOD], from_scratch: [right], from_wrong: [after]}
    for reflect in ("CRITIQUE She does not walk.",):
        table[f"{solve}She walks there.\n\n{reflect}\nEXPLORE look at how she gets there.\n"] = [right]
    engine = coat_kit.Table(table)
    options = coat_kit.settings.model_copy(update={"step_check": "equations_or_rollouts"})
    llm = LlmCritic(engine.stored(), INSTRUCT, coat_kit.sampling, 1)
    workshop = Workshop(options, [llm], engine.stored(), INSTRUCT, seed=1, steps="paragraph")
    (source,), _, _ = sources([worded], [attempt], keep=1, seed=1, steps="paragraph")
    drafts = workshop.make([source])
    assert len(drafts) == made, [reject.reason for reject in workshop.rejects]
    if not made:
        assert [reject.reason for reject in workshop.rejects] == [
            "solutions from before the criticised step are not better than from after it"
        ]


def test_a_critic_sees_one_numbering(worded) -> None:
    steps = ("Let us see.\n", "**Step 1:** She walks.\n", "### Step 2\nShe is late.", "2. So \\boxed{no}")
    (asked,) = INSTRUCT.render("critique", problem=worded.problem, solution="S", steps=steps, json=False)[-1:]
    shown = asked.content.partition("Attempt:\n")[2].splitlines()
    assert shown[:5] == ["Step 1: Let us see.", "Step 2: She walks.", "Step 3: She is late.", "Step 4: So \\boxed{no}", ""]


def test_a_gold_solution_ends_with_one_box(coat_kit) -> None:
    display = coat_kit.problem(solution="We add.\n\\[\n\\boxed{15}\n\\]")
    assert gold_text(display) == "We add.\n\\[\n\\boxed{15}\n\\]"
    assert gold_text(coat_kit.problem(solution="12 + 7 = 19\n\n19 - 4 = 15")) == "12 + 7 = 19\n\n19 - 4 = 15\n\\boxed{15}"
    assert gold_steps(coat_kit.problem(solution="12 + 7 = 19\n\n19 - 4 = 15")) == ("12 + 7 = 19", "19 - 4 = 15", "\\boxed{15}")


def test_a_verification_without_a_reason_is_asked_for_again(coat_kit, worded) -> None:
    engine = Scripted("Verdict: correct", "", "She does walk.\nVerdict: correct")
    remark = said(critic(engine, coat_kit, 2).verify(VerifyAsk(worded, STEPS[:1], ("k",))), engine)
    assert remark.text.startswith("She does walk.")
    roles = [[message.role for message in request.prompt] for request in engine.asked]
    assert all(turns[1:] == (["user", "assistant"] * len(turns))[: len(turns) - 1] for turns in roles), "turns alternate"


def test_thoughts_are_a_part_of_a_demonstration_only_where_the_params_say_so(coat_kit) -> None:
    problem = coat_kit.problem()
    rollout = coat_kit.rollout(problem, coat_kit.gold, reasoning="Let me think.\nFirst add.")
    (plain,), _, _ = sources([problem], [rollout], keep=1, seed=1)
    assert plain.rollout.completion == coat_kit.gold
    (thought,), _, _ = sources([problem], [rollout], keep=1, seed=1, thinking=True)
    assert thought.rollout.completion == f"Let me think.\nFirst add.\n\n{coat_kit.gold}"
    assert "\n".join(thought.rollout.steps) == thought.rollout.completion
