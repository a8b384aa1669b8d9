"""Demonstrations of every type, to the letter, from an engine that answers from a table; and a reason for each that failed."""

from collections import Counter

import pytest

from factory.coat import grammar
from factory.coat.demonstrations import lead_ins
from factory.coat.demonstrations.critics import LlmCritic
from factory.coat.demonstrations.drafts import Draft
from factory.coat.demonstrations.generator import Workshop
from factory.coat.demonstrations.reference import ReferenceCritic
from factory.errors import ParamsError
from factory.language.conversation import begun, flat

WRONG = "12 + 7 = 19\n19 + 4 = 23\n\\boxed{23}"
WRONG_AGAIN = "19 - 4 = 14\n\\boxed{14}"
RIGHT_REST = "19 - 4 = 15\n\\boxed{15}"
CRITIQUE = "In Step 2: do not add 4.\nAlternatively: take away 4."


def make(kit, completions: list[str], table: dict[str, list[str]], *, critics: str = "llm", generator: bool = True, **settings: object):
    engine = kit.Table(table)
    names = critics.split()
    options = kit.settings.model_copy(update={"critics": names, **settings})
    stored = engine.stored()
    made = [LlmCritic(stored, kit.prompts, kit.sampling, 1) if name == "llm" else ReferenceCritic() for name in names]
    workshop = Workshop(options, made, stored if generator else None, kit.prompts, seed=1)
    sources = [kit.source(completion) for completion in completions]
    return workshop, workshop.make(sources), engine


def one(drafts: list[Draft], type: str) -> Draft:
    (draft,) = [draft for draft in drafts if draft.type == type]
    assert grammar.problems_of(draft.trajectory.text) == []
    return draft


def neutral(text: str) -> str:
    """The text with every lead-in named by its kind."""
    for kind, phrases in (("VERIFY", lead_ins.VERIFY), ("CRITIQUE", lead_ins.CRITIQUE), ("EXPLORE", lead_ins.EXPLORE)):
        for phrase in phrases:
            text = text.replace(phrase, kind)
    return text


def spans(draft: Draft) -> list[str]:
    offsets, text = draft.trajectory.wrong_spans, draft.trajectory.text
    return [text[start:end] for start, end in zip(offsets[::2], offsets[1::2], strict=True)]


VERIFIED = "12 + 7 is 19. Right."


def test_one_and_a_verification_half_way(coat_kit) -> None:
    kit = coat_kit
    solution = f"12 + 7 = 19\n{RIGHT_REST}"
    table = {  # the step to verify is drawn: both are answered
        kit.verify("12 + 7 = 19"): [VERIFIED],
        kit.go_on("12 + 7 = 19", VERIFIED): [WRONG_AGAIN, RIGHT_REST],
        kit.verify("12 + 7 = 19\n19 - 4 = 15"): ["19 - 4 is 15. Right."],
        kit.go_on("12 + 7 = 19\n19 - 4 = 15", "19 - 4 is 15. Right."): ["\\boxed{15}"],
    }
    workshop, drafts, _ = make(kit, [solution], table)
    assert one(drafts, "I").trajectory.text == solution
    draft = one(drafts, "II-I")
    assert neutral(draft.trajectory.text) in (
        f"12 + 7 = 19\n<|reflect|>VERIFY {VERIFIED}\n<|continue|>{RIGHT_REST}",
        "12 + 7 = 19\n19 - 4 = 15\n<|reflect|>VERIFY 19 - 4 is 15. Right.\n<|continue|>\\boxed{15}",
    )
    assert (draft.critic, draft.trajectory.wrong_spans, len(draft.request_ids)) == ("llm", (), 2)
    assert draft.prompts == ("solve", "verify")
    assert workshop.rejects == []


def test_a_verification_after_the_answer_boxes_it_again(coat_kit) -> None:
    solution = f"12 + 7 = 19\n{RIGHT_REST}"
    table = {coat_kit.verify(solution): ["19 - 4 is 15. Right."]}
    _, drafts, _ = make(coat_kit, [solution], table, after_answer_share=1.0)
    text = neutral(one(drafts, "II-I").trajectory.text)
    assert text == f"{solution}\n<|reflect|>VERIFY 19 - 4 is 15. Right.\n<|continue|>\\boxed{{15}}"


def test_a_verification_then_a_correction(coat_kit) -> None:
    kit, bad = coat_kit, "19 + 4 = 23\n\\boxed{23}"
    table = {
        kit.verify("12 + 7 = 19"): [VERIFIED],
        kit.go_on("12 + 7 = 19", VERIFIED): [bad, bad],
        kit.critique(f"12 + 7 = 19\n{bad}"): [CRITIQUE],
        kit.correct(f"12 + 7 = 19\nVERIFY {VERIFIED}\n19 + 4 = 23", "do not add 4.", "take away 4."): [RIGHT_REST],
    }
    solution = "12 + 7 = 19\nSo he has four fewer.\n\\boxed{15}"  # one equation: the verification can only stand behind it
    workshop, drafts, _ = make(kit, [solution], table)
    draft = one(drafts, "II-II")
    assert neutral(draft.trajectory.text) == (
        f"12 + 7 = 19\n<|reflect|>VERIFY {VERIFIED}\n<|continue|>19 + 4 = 23\n<|reflect|>CRITIQUE do not add 4.\n"
        f"<|explore|>EXPLORE take away 4.\n<|continue|>{RIGHT_REST}"
    )
    assert spans(draft) == ["19 + 4 = 23"]
    assert draft.critique == CRITIQUE
    assert len(draft.request_ids) == 4
    assert workshop.rejects == []


CORRECTED = "<|reflect|>CRITIQUE do not add 4.\n<|explore|>EXPLORE take away 4.\n<|continue|>"


@pytest.mark.parametrize(("keep_box", "kept"), [(0.0, "12 + 7 = 19\n19 + 4 = 23"), (1.0, WRONG)])
def test_a_correction_keeps_the_attempt_to_its_wrong_step_or_to_its_box(coat_kit, keep_box: float, kept: str) -> None:
    kit = coat_kit
    table = {
        kit.critique(WRONG): [CRITIQUE],
        kit.correct("12 + 7 = 19\n19 + 4 = 23", "do not add 4.", "take away 4."): [WRONG_AGAIN, RIGHT_REST],
    }
    _, drafts, _ = make(kit, [WRONG], table, keep_box_share=keep_box)
    draft = one(drafts, "III-I")
    assert neutral(draft.trajectory.text) == f"{kept}\n{CORRECTED}{RIGHT_REST}"
    assert spans(draft) == [kept.removeprefix("12 + 7 = 19\n")]
    assert (draft.critic, draft.critique, draft.prompts) == ("llm", CRITIQUE, ("solve", "critique"))


def test_a_second_round_criticises_the_continuation_alone(coat_kit) -> None:
    kit, kept = coat_kit, "12 + 7 = 19\n19 + 4 = 23"
    criticised = f"{kept}\nCRITIQUE do not add 4.\nEXPLORE take away 4."
    table = {
        kit.critique(WRONG): [CRITIQUE],
        kit.correct(kept, "do not add 4.", "take away 4."): [WRONG_AGAIN],
        kit.critique_again(kept, "In Step 2: do not add 4.", WRONG_AGAIN): ["In Step 1: 19 - 4 is not 14.\nAlternatively: take away 4."],
        kit.correct(f"{criticised}\n19 - 4 = 14", "19 - 4 is not 14.", "take away 4."): [RIGHT_REST],
    }
    workshop, drafts, engine = make(kit, [WRONG], table)
    draft = one(drafts, "III-II")
    assert neutral(draft.trajectory.text) == (
        f"{kept}\n{CORRECTED}19 - 4 = 14\n<|reflect|>CRITIQUE 19 - 4 is not 14.\n<|explore|>EXPLORE take away 4.\n<|continue|>{RIGHT_REST}"
    )
    assert spans(draft) == ["19 + 4 = 23", "19 - 4 = 14"]
    assert draft.prompts == ("solve", "critique", "critique_again")
    assert len(draft.request_ids) == 4
    assert workshop.rejects == []
    assert len(engine.calls) == 4


def unmarked(text: str) -> str:
    return text.replace(grammar.REFLECT, "").replace(grammar.EXPLORE, "").replace(grammar.CONTINUE, "")


@pytest.mark.parametrize("number", range(6))
def test_a_continuation_is_asked_for_in_the_words_that_the_trajectory_then_has(coat_kit, number: int) -> None:
    """Lead-ins are drawn for each source: the same ones stand in the prompt and, behind their tokens, in the demonstration."""
    kit, wrong = coat_kit, f"12 + 7 = 19\n19 + 4 = 23\n\\boxed{{{23 + number}}}"
    right = f"12 + 7 = 19\nSo {number} is not asked for.\n{RIGHT_REST}".replace("\n19 - 4 = 15", "")
    table = {
        kit.critique(wrong): [CRITIQUE],
        kit.correct("12 + 7 = 19\n19 + 4 = 23", "do not add 4.", "take away 4."): [RIGHT_REST],
        kit.verify("12 + 7 = 19"): [VERIFIED],
        kit.go_on("12 + 7 = 19", VERIFIED): [RIGHT_REST],
    }
    _, drafts, engine = make(kit, [right, wrong], table)
    asked = [request.prompt for call in engine.calls for request in call]
    for type in ("II-I", "III-I"):
        text = one(drafts, type).trajectory.text
        assert text.endswith(f"\n{grammar.CONTINUE}{RIGHT_REST}")
        assert begun(kit.prompts.render("solve", problem=kit.text), unmarked(text.removesuffix(RIGHT_REST))) in asked


def test_waves_are_batches_however_many_sources(coat_kit) -> None:
    completions = [f"12 + 7 = 19\n19 + {n} = {19 + n}\n\\boxed{{{19 + n}}}" for n in range(5, 25)]
    said = "In Step 2: do not go on from 19.\nAlternatively: take away 4."
    workshop, drafts, engine = make(coat_kit, completions, {coat_kit.critique(completion): [said] for completion in completions})
    assert [len(call) for call in engine.calls] == [20, 40]
    assert len(drafts) + len(workshop.rejects) == 20
    assert len({request.seed for request in engine.calls[1]}) == 40


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("I do not know.", "the critique cannot be read: names no step"),
        ("In Step 9: do not add 4.\nAlternatively: take away 4.", "the critique cannot be read: names a step that is not there"),
        ("In Step 1: 12 + 7 is not 19.\nAlternatively: add 7.", "the critique states something false"),
        ("In Step 2: do not add 4.\nAlternatively: write 15.", "the hint leaks the answer"),
        ("In Step 2: do…", "the critic was cut off"),
        (CRITIQUE, "no usable continuation after the critique"),  # the generator has no answer
    ],
)
def test_what_fails_is_a_reject_with_its_reason(coat_kit, said: str, reason: str) -> None:
    workshop, drafts, _ = make(coat_kit, [WRONG], {coat_kit.critique(WRONG): [said]})
    assert drafts == []
    assert [(reject.reason, reject.parent_id) for reject in workshop.rejects] == [(reason, coat_kit.source(WRONG).rollout.id)]


def test_an_unsound_critique_gives_the_word_to_the_reference_critic(coat_kit) -> None:
    kit = coat_kit
    table = {
        kit.critique(WRONG): ["In Step 2: do not add 4.\nAlternatively: write 15."],
        kit.correct("12 + 7 = 19\n19 + 4 = 23", "do not add 4.", "take away 4."): [RIGHT_REST],
    }
    workshop, drafts, _ = make(kit, [WRONG], table, critics="llm reference")
    draft = one(drafts, "III-I")
    assert (draft.critic, len(draft.request_ids)) == ("reference", 1)
    judged = {row.critic: row for row in workshop.judgements}
    assert (judged["llm"].leaks, judged["llm"].accepted, judged["llm"].reason) == (True, False, "the hint leaks the answer")
    assert (judged["reference"].accepted, judged["reference"].said_step) == (True, 2)


def test_when_all_rounds_fail_the_gold_steps_correct_and_count_as_reference(coat_kit) -> None:
    kit, kept = coat_kit, "12 + 7 = 19\n19 + 4 = 23"
    table = {
        kit.critique(WRONG): [CRITIQUE],
        kit.correct(kept, "do not add 4.", "take away 4."): [WRONG_AGAIN],
        kit.critique_again(kept, "In Step 2: do not add 4.", WRONG_AGAIN): ["Hm."],
    }
    only_llm, drafts, _ = make(kit, [WRONG], table)
    assert drafts == []
    assert [reject.reason for reject in only_llm.rejects] == ["the critique cannot be read: names no step"]
    _, drafts, _ = make(
        kit, [WRONG], {**table, kit.critique_again(kept, "In Step 2: do not add 4.", WRONG_AGAIN): ["Hm."]}, critics="llm reference"
    )
    draft = one(drafts, "III-I")
    assert draft.critic == "reference"
    assert neutral(draft.trajectory.text) == f"{kept}\n{CORRECTED}{RIGHT_REST}"


def test_an_honest_miss_of_a_search_is_learned_but_for_its_box(coat_kit) -> None:
    gold = "Make 17.\nTry down up.\n20 - 7 = 13\n13 + 4 = 17\n17 - 17 = 0\nRight.\n\\boxed{down up}"
    problem = coat_kit.problem("Tom had 20 apples. Then 7 came or went and then 4. Now there are 17.", "down up", gold, "moves")
    miss = "Make 17.\nTry up down.\n20 + 7 = 27\n27 - 4 = 23\n23 - 17 = 6\nWrong."
    solved = f"{problem.problem}\nSolution:\n{gold}\nAttempt:\n{miss}\n\\boxed{{up down}}\nFind the first wrong step:\n"
    table = {
        solved: ["In Step 6: 23 is not 17.\nAlternatively: not up down."],
        f"{problem.problem}\nSolve:\n{miss}\nCRITIQUE 23 is not 17.\nEXPLORE not up down.\n": [gold],
    }
    engine = coat_kit.Table(table)
    workshop = Workshop(
        coat_kit.settings.model_copy(update={"keep_box_share": 1.0}),
        [LlmCritic(engine.stored(), coat_kit.prompts, coat_kit.sampling, 1)],
        engine.stored(),
        coat_kit.prompts,
        seed=1,
    )
    draft = one(workshop.make([coat_kit.source(f"{miss}\n\\boxed{{up down}}", problem)]), "III-I")
    assert spans(draft) == ["\\boxed{up down}"]


def test_a_search_is_never_corrected_by_its_gold_steps(coat_kit) -> None:
    """They jump to the right guess, and nothing that was tried says why: a model would learn to jump at random."""
    gold = "Make 17.\nTry down up.\n20 - 7 = 13\n13 + 4 = 17\n\\boxed{down up}"
    problem = coat_kit.problem("Tom had 20 apples. Then 7 came or went and then 4. Now there are 17.", "down up", gold, "moves")
    options = coat_kit.settings.model_copy(update={"critics": ["reference"]})
    workshop = Workshop(options, [ReferenceCritic()], None, coat_kit.prompts, seed=1)
    wrong = "Make 17.\nTry up down.\n20 + 7 = 27\n27 - 4 = 23\n\\boxed{up down}"
    assert workshop.make([coat_kit.source(wrong, problem)]) == []
    assert [reject.reason for reject in workshop.rejects] == ["no generator continues"]


def test_without_a_generator_solutions_go_on_by_themselves_or_as_the_gold_does(coat_kit) -> None:
    solution = f"12 + 7 = 19\n{RIGHT_REST}"
    workshop, drafts, engine = make(coat_kit, [solution, WRONG], {}, critics="reference", generator=False)
    assert engine.calls == []
    assert Counter(draft.type for draft in drafts) == {"I": 1, "II-I": 1, "III-I": 1}
    assert one(drafts, "II-I").trajectory.text.endswith("\\boxed{15}")
    assert neutral(one(drafts, "III-I").trajectory.text) == f"12 + 7 = 19\n19 + 4 = 23\n{CORRECTED}{RIGHT_REST}"
    assert workshop.rejects == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("12 + 7 is 18. Right.", "the verification states something false"),
        ("This is wrong.", "the verification calls a right step wrong"),
        ("Hm.", "the verification cannot be read: no reason, or neither correct nor wrong"),
        ("12 + 7…", "the critic was cut off"),
    ],
)
def test_a_wrong_verification_is_a_reject_and_the_plain_solution_stays(coat_kit, said: str, reason: str) -> None:
    solution = "12 + 7 = 19\nSo he has four fewer.\n\\boxed{15}"
    workshop, drafts, _ = make(coat_kit, [solution], {coat_kit.verify("12 + 7 = 19"): [said]})
    assert [draft.type for draft in drafts] == ["I"]
    assert [reject.reason for reject in workshop.rejects] == [reason]


def test_judgements_hold_what_was_said_beside_what_is_so(coat_kit) -> None:
    said = "In Step 1: do not add 7.\nAlternatively: take away 4."  # readable, but the first wrong step is the second
    workshop, _, _ = make(coat_kit, [WRONG], {coat_kit.critique(WRONG): [said]})
    (row,) = workshop.judgements
    assert (row.critic, row.kind, row.parsed, row.compared, row.accepted) == ("llm", "critique", True, True, True)
    assert (row.said_step, row.reference_step, row.verdict, row.text) == (1, 2, "wrong", said)


def test_an_approved_wrong_step_is_seen_in_the_judgements(coat_kit) -> None:
    lucky = "12 + 7 = 18\nSo he has three fewer.\n\\boxed{15}"
    workshop, _, _ = make(coat_kit, [lucky], {coat_kit.verify("12 + 7 = 18"): ["12 + 7 is 18. Right."]})
    (row,) = workshop.judgements
    assert (row.kind, row.said_step, row.reference_step, row.accepted) == ("verify", None, 1, False)


def test_continuations_with_meta_actions_of_their_own_are_not_used(coat_kit) -> None:
    kit = coat_kit
    table = {
        kit.critique(WRONG): [CRITIQUE],
        kit.correct("12 + 7 = 19\n19 + 4 = 23", "do not add 4.", "take away 4."): [f"19 - 4 = 15\n<|reflect|>Fine.\n{RIGHT_REST}"],
    }
    workshop, drafts, _ = make(kit, [WRONG], table)
    assert drafts == []
    assert [reject.reason for reject in workshop.rejects] == ["no usable continuation after the critique"]


def test_a_continuation_that_is_right_by_luck_is_not_used(coat_kit) -> None:
    kit = coat_kit
    lucky = "19 - 5 = 15\n\\boxed{15}"
    prompt = kit.correct("12 + 7 = 19\n19 + 4 = 23", "do not add 4.", "take away 4.")
    workshop, drafts, _ = make(kit, [WRONG], {kit.critique(WRONG): [CRITIQUE], prompt: [lucky]})
    assert drafts == []
    assert [reject.reason for reject in workshop.rejects] == ["no usable continuation after the critique"]
    _, drafts, _ = make(kit, [WRONG], {kit.critique(WRONG): [CRITIQUE], prompt: [lucky, RIGHT_REST]})
    assert one(drafts, "III-I").trajectory.text.endswith(RIGHT_REST)


def test_steps_cannot_be_checked_by_rollouts_without_a_generator(coat_kit) -> None:
    with pytest.raises(ParamsError, match="step_check is rollouts, which needs a generator that can continue"):
        make(coat_kit, [WRONG], {}, generator=False, step_check="rollouts")


def test_a_judgement_tells_that_its_step_could_not_be_checked_by_equations(coat_kit) -> None:
    wrong = "So he has 23.\n\\boxed{23}"
    workshop, _, _ = make(
        coat_kit, [wrong], {coat_kit.critique(wrong): ["In Step 1: not 23.\nAlternatively: look."]}, step_check="equations"
    )
    (row,) = workshop.judgements
    assert (row.accepted, row.compared) == (True, False)


@pytest.mark.parametrize(("after", "made"), [("19 - 4 = 14\n\\boxed{14}", 1), (RIGHT_REST, 0)])
def test_a_claimed_step_is_checked_by_solving_from_before_and_after_it(coat_kit, after: str, made: int) -> None:
    """Before the criticised step solutions come out right; where they do from after it too, it was not the first wrong one."""
    kit, solve = coat_kit, f"{coat_kit.text}\nSolve:\n"
    table = {
        kit.critique(WRONG): [CRITIQUE],
        f"{solve}12 + 7 = 19\n": [RIGHT_REST],
        f"{solve}12 + 7 = 19\n19 + 4 = 23\n": [after],
        kit.correct("12 + 7 = 19\n19 + 4 = 23", "do not add 4.", "take away 4."): [RIGHT_REST],
    }
    workshop, drafts, engine = make(kit, [WRONG], table, step_check="rollouts", step_rollouts=3)
    assert len(drafts) == made
    asked = [flat(request.prompt) for call in engine.calls for request in call]
    assert sum(text.startswith(solve) and "CRITIQUE" not in text for text in asked) >= 6
    if not made:
        (refused,) = workshop.rejects
        assert refused.reason == "solutions from before the criticised step are not better than from after it"
