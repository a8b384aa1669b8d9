"""What critics may say: readable, in range, true, of the step in question, and without giving the answer away."""

import random
from dataclasses import replace

import pytest

from factory import grading
from factory.coat.demonstrations.critics import (
    Critique,
    CritiqueAsk,
    LlmCritic,
    Remark,
    VerifyAsk,
    critique_fault,
    leaks,
    parse_critique,
    verification_fault,
)
from factory.coat.demonstrations.divergence import gold_steps
from factory.coat.demonstrations.reference import ReferenceCritic, first_wrong, step_fault, verify_last
from factory.engines.flow import run
from factory.params import World
from factory.problems.world import FAMILIES
from factory.problems.world.draw import to_problem
from factory.problems.world.mistakes import mistaken
from factory.problems.world.model import draw_task

WRONG = ("12 + 7 = 19", "19 + 4 = 23", "\\boxed{23}")


def fault(kit, text: str, steps: tuple[str, ...] = WRONG, *, checkable: bool = False, **values: object) -> str | None:
    request = CritiqueAsk(kit.problem(), steps, ("k",), **values)
    return critique_fault(request, parse_critique(request, Remark(text), "llm"), checkable=checkable)


def test_a_sound_critique_is_parsed(coat_kit) -> None:
    request = CritiqueAsk(coat_kit.problem(), WRONG, ("k",))
    critique = parse_critique(request, Remark("In Step 2: do not add 4.\nAlternatively: take away 4.\n", "id"), "llm")
    assert critique == Critique("llm", 2, "do not add 4.", "take away 4.", "id")
    assert critique_fault(request, critique, checkable=False) is None


def test_a_critique_that_needs_the_gold_solution_can_be_refused(coat_kit) -> None:
    advice, seen = "In Step 2: do not add 4.\nAlternatively: take away 4.", "In Step 1: 12 + 7 is not 18.\nAlternatively: add 7."
    assert fault(coat_kit, advice) is None
    assert fault(coat_kit, advice, checkable=True) == "the critique cannot be checked without the gold solution"
    assert fault(coat_kit, seen, ("12 + 7 = 18", "\\boxed{18}"), checkable=True) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Step 2 is wrong. take away 4.", "the critique cannot be read: no hint"),
        ("In Step 2: do not add 4.", "the critique cannot be read: no hint"),
        ("In Step 2: \nAlternatively: take away 4.", "the critique cannot be read: no statement about the step"),
        ("", "the critique cannot be read: names no step"),
        (f"In Step {'1' * 5000}: do not add 4.\nAlternatively: take away 4.", "the critique cannot be read: names no step"),
        ("In Step 0: do not add 4.\nAlternatively: take away 4.", "the critique cannot be read: names a step that is not there"),
        ("In Step 4: do not add 4.\nAlternatively: take away 4.", "the critique cannot be read: names a step that is not there"),
        ("In Step 1: 12 + 7 is not 19.\nAlternatively: add 7.", "the critique states something false"),
        ("In Step 2: 30 is not 36.\nAlternatively: take away 4.", "the critique is of another step"),
        ("In Step 2: do not add 4.\nAlternatively: write 15.", "the hint leaks the answer"),
        ("In Step 1: 12 + 7 is not 18.\nAlternatively: make it 19.", "the hint leaks the answer"),
        ("In Step 2: do not add 4. The answer is \\boxed{15}.\nAlternatively: take away 4.", "the statement leaks the answer"),
        ("In Step 2: do not add 4, for 15.\nAlternatively: take away 4.", "the statement leaks the answer"),
    ],
)
def test_faults_of_critiques(coat_kit, text: str, reason: str) -> None:
    steps = ("12 + 7 = 18", "18 + 4 = 22", "\\boxed{22}") if "18" in text else WRONG
    assert fault(coat_kit, text, steps) == reason


@pytest.mark.parametrize(("family", "reason"), [(None, None), ("tally", "the critique is of another step")])
def test_a_critic_of_the_world_names_the_numbers_of_its_step(coat_kit, family: str | None, reason: str | None) -> None:
    """Elsewhere a critic may speak of what should stand there."""
    asked = CritiqueAsk(coat_kit.problem(family=family), WRONG, ("k",))
    assert critique_fault(asked, Critique("llm", 2, "do not add 5.", "take away 4."), checkable=False) == reason
    assert critique_fault(asked, Critique("llm", 2, "do not add 4.", "take away 4."), checkable=False) is None


def test_a_value_may_be_named_once_it_stands_there(coat_kit) -> None:
    request = CritiqueAsk(coat_kit.problem(), WRONG, ("k",))
    assert not leaks(request, Critique("llm", 2, "do not add 4.", "go on from 19."))  # 19 stands in step 1
    assert leaks(request, Critique("llm", 1, "do not add 7.", "go on from 15."))
    assert leaks(CritiqueAsk(coat_kit.problem(), ("18 - 4 = 14",), ("k",)), Critique("llm", 1, "x", "go on from 19."))
    assert not leaks(
        CritiqueAsk(coat_kit.problem(), ("18 - 4 = 14",), ("k",), before=("12 + 7 = 19",)), Critique("llm", 1, "x", "from 19.")
    )


def test_the_answer_leaks_unless_the_problem_itself_gives_the_number(coat_kit) -> None:
    problem = coat_kit.problem("Ann had 15 pens. She lost 4 and found 4.", "15", "15 - 4 = 11\n11 + 4 = 15\n\\boxed{15}")
    assert not leaks(CritiqueAsk(problem, ("15 + 4 = 19",), ("k",)), Critique("llm", 1, "do not add 4.", "start from 15."))


def test_a_statement_may_not_give_the_answer(coat_kit) -> None:
    steps = ("12 + 7 = 19", "19 - 4 = 14", "\\boxed{14}")
    assert fault(coat_kit, "In Step 2: 19 - 4 is 15.\nAlternatively: finish.", steps) == "the statement leaks the answer"
    assert fault(coat_kit, "In Step 2: 19 - 4 is not 14.\nAlternatively: finish.", steps, checkable=True) is None
    passed = ("12 + 7 = 19", "19 - 4 = 15", "15 - 1 = 14", "\\boxed{14}")
    assert fault(coat_kit, "In Step 3: do not go on from 15.\nAlternatively: finish.", passed) is None  # 15 stands there


@pytest.mark.parametrize(
    ("answer", "kind", "hint", "leaking"),
    [
        ("-5", "number", "the answer is -5.", True), ("-5", "number", "write \N{MINUS SIGN}$5.", True),
        ("-5", "number", "take away 5.", False), ("3/2", "number", "write 3/2.", True), ("3/2", "number", "write 1 1/2.", True),
        ("3/2", "number", "divide by 2.", False), ("9", "number", "work out 18/2.", True), ("9", "number", "add \\boxed.", True),
        ("7", "number", "add 7.", False), ("7", "number", "add 7. The answer is 7.", True), ("7", "number", "Answer: $7", True),
        ("7", "number", "the answer is not 7.", False),
        ("Tuesday", "text", "it is  tuesday.", True), ("Tuesday", "text", "count the days.", False),
        ("B", "choice", "choose (b).", True), ("(B)", "choice", "take B.", True), ("B", "choice", "the answer is b", True),
        ("A", "choice", "take a pair.", False),
    ],
)  # fmt: skip
def test_an_answer_leaks_in_other_clothes(coat_kit, answer: str, kind: str, hint: str, leaking: bool) -> None:
    problem = replace(coat_kit.problem("Ann has 7 pens and 2 more.", answer, "no equation"), answer_kind=kind)
    assert leaks(CritiqueAsk(problem, ("1 + 1 = 3",), ("k",)), Critique("llm", 1, "1 + 1 is not 3.", hint)) == leaking


def test_a_statement_names_no_choice_that_the_attempt_does_not_name(coat_kit) -> None:
    problem = replace(coat_kit.problem("How many? (A) 2 (B) 3", "B", "no equation"), answer_kind="choice")
    for steps, reason in ((("So (A).",), "the statement leaks the answer"), (("Not (B).", "So (A)."), None)):
        critique = Critique("llm", len(steps), "it is (B).", "look again.")
        assert critique_fault(CritiqueAsk(problem, steps, ("k",)), critique, checkable=False) == reason


def test_in_a_search_what_the_gold_solution_tries_is_a_leak_too(coat_kit) -> None:
    gold = "Try 4 and 9.\n4 + 9 = 13\n4 * 9 = 36\n\\boxed{4}"
    problem = coat_kit.problem("Two numbers add to 13 and multiply to 36.", "4", gold, "moves")
    request = CritiqueAsk(problem, ("Try 3 and 10.", "3 + 10 = 13", "3 * 10 = 30", "\\boxed{3}"), ("k",))
    assert leaks(request, Critique("llm", 3, "30 is not 36.", "try another pair with 9."))
    assert not leaks(request, Critique("llm", 3, "30 is not 36.", "try another pair."))


def test_a_literal_answer_leaks_word_by_word(coat_kit) -> None:
    problem = coat_kit.problem(
        "Make 5 from 7, 2 and 4 with + and -.", "7 + 2 - 4", "Try 7 + 2 - 4.\n7 + 2 = 9\n9 - 4 = 5\n\\boxed{7 + 2 - 4}", "moves"
    )
    request = CritiqueAsk(problem, ("Try 7 - 2 + 4.", "7 - 2 = 5", "5 + 4 = 9", "\\boxed{7 - 2 + 4}"), ("k",))
    assert leaks(request, Critique("llm", 3, "9 is not 5.", "try 7 + 2 - 4."))
    assert not leaks(request, Critique("llm", 3, "9 is not 5.", "try other signs."))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("12 + 7 is 19. Right.", None),
        ("This step adds both numbers and is correct.", None),
        ("12 + 7 is 18. Right.", "the verification states something false"),
        ("12 + 7 is not 19.", "the verification states something false"),
        ("19 is not 36.", "the verification calls a right step wrong"),
        ("This step is wrong.", "the verification calls a right step wrong"),
        ("8 + 3 is 11. Right.", "the verification is of another step"),
        ("No, the correct result would be different.", "the verification calls a right step wrong"),
        ("Hardly right.", "the verification calls a right step wrong"),
        ("Is that right? No.", "the verification calls a right step wrong"),
        ("That cannot be right.", "the verification calls a right step wrong"),
        ("It isn’t correct.", "the verification calls a right step wrong"),
        ("Is that right? Yes.", None),
        ("Is that right?", "the verification cannot be read: no reason, or neither correct nor wrong"),
        ("12 + 7 is 19?", "the verification cannot be read: no reason, or neither correct nor wrong"),
        ("Hello there", "the verification cannot be read: no reason, or neither correct nor wrong"),
        ("", "the verification cannot be read: no reason, or neither correct nor wrong"),
    ],
)
def test_verifications_of_a_right_step(coat_kit, text: str, reason: str | None) -> None:
    assert verification_fault(VerifyAsk(coat_kit.problem(), ("12 + 7 = 19",), ("k",)), Remark(text)) == reason


def test_a_wrong_step_is_never_approved(coat_kit) -> None:
    request = VerifyAsk(coat_kit.problem(), ("12 + 7 = 18",), ("k",))
    assert verification_fault(request, Remark("12 + 7 is 18. Right.")) == "the verification states something false"
    assert verification_fault(request, Remark("12 + 7 is not 18.")) == "the verified step is wrong"


def test_the_llm_critic_sends_the_prompts_in_one_batch_and_tells_failures(coat_kit) -> None:
    engine = coat_kit.Table({coat_kit.critique("a\nb"): ["In Step 1: x\nAlternatively: y"], coat_kit.critique("c"): ["In Step…"]})
    critic = LlmCritic(engine.stored(), coat_kit.prompts, coat_kit.sampling, seed=1)
    asks = [CritiqueAsk(coat_kit.problem(), steps, (steps,)) for steps in (("a", "b"), ("c",), ("d",))]
    remarks = run([critic.critique(asked) for asked in asks], "critiques")
    assert [remark.failure for remark in remarks] == [None, "the critic was cut off", "the request failed"]
    assert remarks[0].text == "In Step 1: x\nAlternatively: y"
    assert len(engine.calls) == 1


@pytest.mark.parametrize(
    ("steps", "remark"),
    [
        (("12 + 7 = 18", "18 - 4 = 14", "\\boxed{14}"), "In Step 1: 12 + 7 is not 18.\nAlternatively: add 7."),
        (WRONG, "In Step 2: do not add 4.\nAlternatively: take away 4."),
        (("12 + 7 = 19", "\\boxed{19}"), "In Step 2: 19 is not the end.\nAlternatively: take away 4."),
        (("12 + 7 = 19", "19 - 4 = 15", "\\boxed{14}"), "In Step 3: 14 is not the end.\nAlternatively: check it again."),
    ],
)
def test_the_reference_critic_names_the_first_wrong_step(coat_kit, steps: tuple[str, ...], remark: str) -> None:
    assert run([ReferenceCritic().critique(CritiqueAsk(coat_kit.problem(), steps, ("k",)))], "critiques") == [Remark(remark)]


MOVED = "Make 17.\nTry down up.\n20 - 7 = 13\n13 + 4 = 17\n17 - 17 = 0\nRight.\n\\boxed{down up}"


@pytest.mark.parametrize(
    ("steps", "remark"),
    [
        (
            ("Make 17.", "Try up down.", "20 + 7 = 27", "27 - 4 = 23", "23 - 17 = 6", "Wrong.", "\\boxed{up down}"),
            "In Step 6: 23 is not 17.\nAlternatively: not up down.",
        ),
        (
            ("Make 17.", "Try up down.", "20 + 7 = 27", "27 - 4 = 17", "17 - 17 = 0", "Right.", "\\boxed{up down}"),
            "In Step 4: 27 - 4 is not 17.\nAlternatively: not up down.",
        ),
        (
            ("Make 17.", "Try down up.", "20 - 7 = 13", "13 + 4 = 19", "19 - 17 = 2", "Wrong.", "\\boxed{down up}"),
            "In Step 4: 13 + 4 is not 19.\nAlternatively: check it again.",
        ),
        (("20 + 7 = 27", "27 - 4 = 23", "\\boxed{up down}"), "In Step 3: 23 is not 17.\nAlternatively: not that."),
    ],
)
def test_in_a_search_the_reference_critic_says_what_not_to_try_again(coat_kit, steps: tuple[str, ...], remark: str) -> None:
    problem = coat_kit.problem("Tom had 20 apples. Then 7 came or went and then 4. Now there are 17.", "down up", MOVED, "moves")
    assert run([ReferenceCritic().critique(CritiqueAsk(problem, steps, ("k",)))], "critiques") == [Remark(remark)]


def test_the_reference_critic_says_nothing_where_nothing_differs(coat_kit) -> None:
    silent = run([ReferenceCritic().critique(CritiqueAsk(coat_kit.problem(), ("I guess.", "\\boxed{3}"), ("k",)))], "critiques")
    assert silent[0].failure == "no step differs from the gold solution"
    assert first_wrong(coat_kit.problem(), gold_steps(coat_kit.problem())) is None
    assert verify_last(coat_kit.problem(), ("12 + 7 = 18", "\\boxed{18}")) == "12 + 7 is not 18."
    assert verify_last(coat_kit.problem(), ("Try 4 and 9.",)) is None


@pytest.mark.parametrize(("family", "said"), [(None, "12 + 7 is 19. That is right."), ("tally", "12 + 7 is 19. Right.")])
def test_a_right_step_is_approved_in_the_words_of_its_kind(coat_kit, family: str | None, said: str) -> None:
    problem = coat_kit.problem(family=family)
    assert verify_last(problem, ("12 + 7 = 19",)) == said
    assert verification_fault(VerifyAsk(problem, ("12 + 7 = 19",), ("k",)), Remark(said)) is None


@pytest.mark.slow
def test_the_reference_critic_finds_the_worlds_mistakes_without_leaking() -> None:
    """Mistakes of every family, drawn by the world itself: the step that is named is the one where the mistake was made."""
    world, rng = World(train=1, dev=1, heldout=1, unseen=1, max_steps=4, max_number=99), random.Random(3)
    agree = total = 0
    for family in FAMILIES.values():
        for _ in range(60):
            task = None
            while task is None:
                task = draw_task(family, rng, world)
            mistake, problem = mistaken(task, rng), to_problem(task, "train")
            assert first_wrong(problem, task.solution) is None
            if grading.grade("\n".join(mistake.lines), problem.answer, problem.answer_kind).correct:
                continue
            found = first_wrong(problem, mistake.lines)
            assert found is not None
            critique = Critique("reference", found.step, found.statement, found.hint)
            assert critique_fault(CritiqueAsk(problem, mistake.lines, ()), critique, checkable=False) is None
            agree, total = agree + (found.step == mistake.step), total + 1
    assert total > 500
    assert agree / total > 0.97


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (1, "the criticised step is not the first wrong one"),
        (2, None),
        (3, "the criticised step is not the first wrong one"),
    ],
)
def test_a_claimed_first_wrong_step_is_checked_by_equations(coat_kit, step: int, reason: str | None) -> None:
    assert step_fault(CritiqueAsk(coat_kit.problem(), WRONG, ("k",)), step) == reason


def test_a_step_of_a_right_attempt_is_never_the_first_wrong_one(coat_kit) -> None:
    right = ("12 + 7 = 19", "19 - 4 = 15", "\\boxed{15}")
    assert step_fault(CritiqueAsk(coat_kit.problem(), right, ("k",)), 2) == "the criticised step is right by its equations"
    assert step_fault(CritiqueAsk(coat_kit.problem(), ("I guess.", "\\boxed{3}"), ("k",)), 1) is None, "no equations to tell by"


@pytest.mark.parametrize(("step", "sound"), [(3, False), (4, True), (5, True), (6, True), (7, False)])
def test_a_miss_of_a_search_may_be_named_from_where_it_shows_to_where_it_is_owned_up_to(coat_kit, step: int, sound: bool) -> None:
    problem = coat_kit.problem("Tom had 20 apples. Then 7 came or went and then 4. Now there are 17.", "down up", MOVED, "moves")
    steps = ("Make 17.", "Try up down.", "20 + 7 = 27", "27 - 4 = 23", "23 - 17 = 6", "Wrong.", "\\boxed{up down}")
    assert (step_fault(CritiqueAsk(problem, steps, ("k",)), step) is None) == sound
