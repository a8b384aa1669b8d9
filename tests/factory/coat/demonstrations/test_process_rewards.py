"""Labels of steps: by the exact check and by a critic, with what the verdict refutes left out, and every rollout a row or a reject."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from factory.coat.demonstrations.critics import LlmCritic
from factory.coat.demonstrations.generator import Workshop
from factory.coat.demonstrations.keys import critique_key, of_solution, verify_key
from factory.coat.process_rewards import compared, make_process_rewards
from factory.coat.stepwise import Noise, exact_step, label_noise, labels_of
from factory.identity import row_id
from factory.params.sections import ProcessRewards
from factory.problems.world import FAMILIES
from factory.schemas import CriticJudgement, Problem, Rollout
from factory.tables import ProcessReward

RIGHT = "12 + 7 = 19\n19 - 4 = 15\n\\boxed{15}"
WRONG = "12 + 7 = 19\n19 + 4 = 23\n\\boxed{23}"
LUCKY = "12 - 4 = 9\n9 + 7 = 15\n\\boxed{15}"
SPOKEN = "Nineteen, first.\nThen four more.\n\\boxed{23}"  # no equation: only a critic can tell

SEARCHING = next(name for name, family in FAMILIES.items() if family.checks)

Made = tuple[list[ProcessReward], dict[str, str]]


@pytest.fixture
def make(coat_kit: Any) -> Callable[..., Made]:
    """Rows, and reject's rollout → reason."""

    def made(rollouts: list[Rollout], judgements: Sequence[CriticJudgement] = (), problem: Problem | None = None, **settings: Any) -> Made:
        chosen = ProcessRewards(**{"by": ("exact", "critic"), "per_problem": 8, **settings})
        rows, rejects = make_process_rewards(
            [problem or coat_kit.problem()], rollouts, judgements, chosen, seed=1, steps="line", thinking=False
        )
        assert len(rows) + len(rejects) == len(rollouts)
        return rows, {str(reject.parent_id): reject.reason for reject in rejects}

    return made


def said(rollout: Rollout, step: int | None, kind: str = "critique", **values: Any) -> CriticJudgement:
    key = verify_key(rollout.id) if kind == "verify" else critique_key(rollout.id)
    fields = {
        "id": row_id("judgement", "llm", *key, "q"), "critic": "llm", "kind": kind, "problem_id": rollout.problem_id,
        "parent_id": rollout.id, "request_id": "q", "text": "…", "parsed": True, "leaks": False, "said_step": step, "reference_step": None,
        "compared": False, "accepted": True, "reason": "", "verdict": rollout.verdict,
    }  # fmt: skip
    return CriticJudgement(**(fields | values))


def test_labels_are_true_before_the_first_wrong_step_and_false_from_it_on(coat_kit: Any, make: Callable[..., Made]) -> None:
    right, wrong = coat_kit.source(RIGHT).rollout, coat_kit.source(WRONG).rollout
    rows, _ = make([right, wrong])
    found = {row.parents[0]: row for row in rows}
    assert found[right.id].labels == (True, True, True)
    assert found[wrong.id].labels == (True, False, False), "the box behind a wrong step is wrong too"
    row = found[wrong.id]
    assert (row.first_wrong, row.by, row.exact_step, row.compared, row.judged) == (2, "exact", 2, True, False)
    assert "\n".join(row.completions) == WRONG
    assert row.prompt == f"{coat_kit.text}\nSolve:\n"


def test_a_critic_labels_where_equations_say_nothing(coat_kit: Any, make: Callable[..., Made]) -> None:
    rollout = coat_kit.source(SPOKEN).rollout
    assert exact_step(coat_kit.problem(), rollout.steps) is None
    judgement = said(rollout, 2)
    (row,), _ = make([rollout], [judgement])
    assert (row.by, row.labels, row.critic_step, row.compared) == ("critic", (True, False, False), 2, False)
    assert row.parents == (rollout.id, judgement.id)
    assert row.request_ids == ("asked", "q")
    assert make([rollout], [judgement], by=("exact",)) == ([], {rollout.id: "nobody says which step is wrong"})


def test_the_ranking_says_whose_labels_they_are_and_keeps_the_others_beside_them(coat_kit: Any, make: Callable[..., Made]) -> None:
    rollout = coat_kit.source(WRONG).rollout
    (row,), _ = make([rollout], [said(rollout, 1)], by=("critic", "exact"))
    assert (row.by, row.labels, row.exact_step, row.critic_step) == ("critic", (False, False, False), 2, 1)
    (row,), _ = make([rollout], [said(rollout, 1)])
    assert (row.by, row.labels, row.exact_step, row.critic_step) == ("exact", (True, False, False), 2, 1)


@pytest.mark.parametrize(("completion", "step", "reason"), [
    (LUCKY, None, "the answer is right, and the exact check calls a step wrong"),
    ("Fifteen, surely.\n\\boxed{15}", 1, "the answer is right, and the critic calls a step wrong"),
    ("Hm.\n\\boxed{23}", None, "the answer is wrong, and the critic finds no wrong step"),
])  # fmt: skip
def test_what_the_verdict_refutes_is_left_out(
    coat_kit: Any, make: Callable[..., Made], completion: str, step: int | None, reason: str
) -> None:
    rollout = coat_kit.source(completion).rollout
    assert make([rollout], [said(rollout, step, "verify")]) == ([], {rollout.id: reason})


def test_what_cannot_be_labelled_is_left_out_with_its_reason(coat_kit: Any, make: Callable[..., Made]) -> None:
    rollout = coat_kit.source(WRONG).rollout
    cut = replace(rollout, id="cut", finish_reason="length")
    unread = replace(rollout, id="unread", verdict="unparsable")
    blank = replace(rollout, id="blank", steps=("", *rollout.steps))
    same = replace(rollout, id="zz")
    rows, reasons = make([rollout, cut, unread, blank, same])
    assert [row.parents[0] for row in rows] == [min(rollout.id, "zz")]
    assert reasons == {
        "cut": "truncated", "unread": "graded unparsable", "blank": "a step without a word",
        max(rollout.id, "zz"): "the same text as another rollout",
    }  # fmt: skip


def test_of_equal_texts_the_one_that_a_critic_read_stays(coat_kit: Any, make: Callable[..., Made]) -> None:
    rollout = coat_kit.source(WRONG).rollout
    for read in (replace(rollout, id="aa"), replace(rollout, id="zz")):
        rows, _ = make([replace(rollout, id="aa"), replace(rollout, id="zz")], [said(read, 2)])
        assert [(row.parents[0], row.judged) for row in rows] == [(read.id, True)]


def test_a_problem_has_at_most_so_many_rows(coat_kit: Any, make: Callable[..., Made]) -> None:
    rollouts = [coat_kit.source(f"12 + 7 = 19\n19 + {n} = {19 + n}\n\\boxed{{{19 + n}}}").rollout for n in range(1, 7)]
    rows, reasons = make(rollouts, per_problem=4)
    assert len(rows) == 4
    assert set(reasons.values()) == {"more solutions of this problem"}


def test_only_what_is_sound_and_of_the_solution_itself_is_heard(coat_kit: Any, make: Callable[..., Made]) -> None:
    """Refused by the exact check: heard, or its labels could not be measured. Refused for its words, or of a later attempt: not."""
    rollout = coat_kit.source(WRONG).rollout
    later = said(rollout, 1, id=row_id("judgement", "llm", *critique_key(rollout.id, "III-II", 1), "q"))
    assert not of_solution(later)
    for judgement, heard in (
        (said(rollout, 1, accepted=False, reason="the criticised step is not the first wrong one"), True),
        (said(rollout, 1, accepted=False, reason="the critique is of another step"), False),
        (said(rollout, 1, critic="reference", id=row_id("judgement", "reference", *critique_key(rollout.id), "q")), False), (later, False),
    ):  # fmt: skip
        (row,), _ = make([rollout], [judgement])
        assert row.judged == heard
        assert (row.exact_step, row.critic_step) == (2, 1 if heard else None)


def test_the_judgements_of_the_workshop_are_told_apart(coat_kit: Any) -> None:
    """Two rounds of critique of one solution: the first is of it, the second of what was tried next."""
    second = "19 + 1 = 20\n\\boxed{20}"
    critique = "In Step 2: do not add 4.\nAlternatively: take away 4."
    table = {
        coat_kit.critique(WRONG): [critique], coat_kit.correct("12 + 7 = 19\n19 + 4 = 23", "do not add 4.", "take away 4."): [second],
        coat_kit.critique_again("12 + 7 = 19\n19 + 4 = 23", "In Step 2: do not add 4.", second): [critique],
    }  # fmt: skip
    stored = coat_kit.Table(table).stored()
    critic = LlmCritic(stored, coat_kit.prompts, coat_kit.sampling, 1)
    workshop = Workshop(coat_kit.settings.model_copy(update={"critics": ["llm"]}), [critic], stored, coat_kit.prompts, seed=1)
    workshop.make([coat_kit.source(WRONG)])
    assert [of_solution(found) for found in workshop.judgements] == [True, False]


def test_a_step_that_owns_up_is_right_and_the_next_is_wrong(coat_kit: Any, make: Callable[..., Made]) -> None:
    """In the world's searches: the critic means the line `Wrong.`, which is true; the box behind it is not."""
    problem = coat_kit.problem(
        "There were 20 pens. First 4, then 7 came in, or one of them went out. That makes 23. Which one went?", "first",
        "Make 23.\nTry first.\n20 - 4 = 16\n16 + 7 = 23\n23 - 23 = 0\nRight.\n\\boxed{first}", family=SEARCHING,
    )  # fmt: skip
    rollout = coat_kit.rollout(problem, "Make 23.\nTry second.\n20 + 4 = 24\n24 - 7 = 17\n23 - 17 = 6\nWrong.\n\\boxed{second}")
    assert rollout.verdict == "wrong"
    for by in ("critic", "exact"):
        (row,), _ = make([rollout], [said(rollout, 6)], problem, by=(by,))
        assert (row.first_wrong, row.labels) == (7, (*(True,) * 6, False))
    (row,), _ = make([rollout], [said(rollout, 5)], problem, by=("critic",))
    assert row.first_wrong == 5, "a step with a number of its own is what it is"


@pytest.mark.parametrize(("count", "first", "labels"), [(3, None, (True,) * 3), (3, 1, (False,) * 3), (2, 2, (True, False))])
def test_a_label_a_step(count: int, first: int | None, labels: tuple[bool, ...]) -> None:
    assert labels_of(count, first) == labels


def test_noise_counts_solutions_and_steps() -> None:
    """(steps, exact, critic): the critic one too late, one too early, alike, and nothing wrong where the second of two is."""
    noise = label_noise([(4, 2, 3), (4, 3, 2), (3, None, None), (2, 2, None)])
    assert noise == Noise(solutions=4, same=1, steps=13, right=1 + 2 + 3 + 1, refused=1, wrong=3 + 2 + 0 + 1, accepted=1 + 1)
    assert noise.right + noise.wrong == noise.steps
    assert label_noise([]) == Noise()


def test_noise_counts_what_is_left_out_because_the_exact_check_is_refuted(coat_kit: Any) -> None:
    """A right answer by luck: the critic approves it, the exact check calls its first step wrong. Three steps accepted that are wrong."""
    lucky, wrong = coat_kit.source(LUCKY).rollout, coat_kit.source(WRONG).rollout
    settings = ProcessRewards(by=("exact", "critic"), per_problem=8)
    judged = [said(lucky, None, "verify"), said(wrong, 2)]
    rows, rejects = make_process_rewards([coat_kit.problem()], [lucky, wrong], judged, settings, seed=1, steps="line", thinking=False)
    assert len(rows) == len(rejects) == 1
    assert compared(rows, rejects) == Noise(solutions=2, same=1, steps=6, right=1, refused=0, wrong=5, accepted=3)
    assert compared(rows, []) == Noise(solutions=1, same=1, steps=3, right=1, refused=0, wrong=2, accepted=0)
