"""Selection: which rollouts are used, the best of each type, the share of the reference critic, and the plain controls."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from factory.coat.demonstrations.drafts import Draft
from factory.coat.demonstrations.selection import accepted, controls, sources, within_share
from factory.coat.demonstrations.stitch import Trajectory
from factory.language.prompting import Prompts
from factory.schemas import Conversation


class LengthScorer:
    """A reward model that likes long completions."""

    model = "length@1"

    def score(self, pairs: Sequence[tuple[Conversation, str]]) -> list[float]:
        return [float(len(completion)) for _, completion in pairs]


def plain(kit, number: int, critic: str | None = None, type: str = "III-I") -> Draft:
    problem = kit.problem(f"Problem {number}.", "15")
    return Draft(kit.source(kit.gold, problem), type, Trajectory().attempt(kit.gold.split("\n")), critic)


def select(drafts: list[Draft], scorer: LengthScorer | None = None, share: float = 1.0):
    return accepted(drafts, scorer, max_reference_share=share, seed=1, round="base", model="base@1", versions=Prompts.of("laptop").version)


def test_at_most_keep_of_each_sign_and_distinct_texts(coat_kit) -> None:
    problem = coat_kit.problem()
    right = [coat_kit.rollout(problem, f"way {n}\n\\boxed{{15}}") for n in range(6)]
    wrong = [coat_kit.rollout(problem, f"way {n}\n\\boxed{{{n}}}") for n in range(3)]
    again = replace(right[0], id="again")
    kept, rejects, not_drawn = sources([problem], [*right, *wrong, again], keep=4, seed=1)
    assert Counter(source.rollout.verdict for source in kept) == {"correct": 4, "wrong": 3}
    assert [reject.reason for reject in rejects] == ["the same text as another rollout"]
    assert not_drawn == 2
    assert sources([problem], [*wrong[::-1], again, *right[::-1]], keep=4, seed=1)[0] == kept


@pytest.mark.parametrize(
    ("completion", "values", "reason"),
    [
        ("12 + 7 = 19\n\\boxed{15}", {"finish_reason": "length"}, "invalid: truncated"),
        ("12 + 7 = 19", {}, "invalid: unparsable"),
        ("\\boxed{15}\nThat is all.", {}, "invalid: no plain solution with its answer in the last step"),
        ("12 + 7 = 19\n<|continue|>\\boxed{15}", {}, "invalid: no plain solution with its answer in the last step"),
    ],
)
def test_invalid_rollouts_are_rejects(coat_kit, completion: str, values: dict, reason: str) -> None:
    problem = coat_kit.problem()
    kept, rejects, _ = sources([problem], [coat_kit.rollout(problem, completion, **values)], keep=4, seed=1)
    assert (kept, [reject.reason for reject in rejects]) == ([], [reason])


def test_the_reward_model_keeps_the_best_of_each_type(coat_kit) -> None:
    problem = coat_kit.problem()
    texts = ["\\boxed{15}", "a longer one\n\\boxed{15}", "long\n\\boxed{15}"]
    drafts = [Draft(coat_kit.source(text, problem), "I", Trajectory().attempt(text.split("\n"))) for text in texts]
    drafts.append(replace(drafts[0], type="II-I", critic="llm"))
    rows, rejects = select(drafts, LengthScorer())
    assert {(row.type, row.completion, row.score) for row in rows} == {("I", texts[1], 23.0), ("II-I", texts[0], 10.0)}
    assert Counter(reject.reason for reject in rejects) == {"not the best of its type": 2}


def test_the_reference_critic_steps_back_where_a_model_did_it(coat_kit) -> None:
    problem = coat_kit.problem()
    by_model = Draft(coat_kit.source("\\boxed{15}", problem), "III-I", Trajectory().attempt(["\\boxed{15}"]), "llm")
    by_reference = replace(by_model, trajectory=Trajectory().attempt(["much longer", "\\boxed{15}"]), critic="reference")
    rows, _ = select([by_reference, by_model], LengthScorer(), share=0.0)
    assert [row.critic for row in rows] == ["llm"]


def test_without_a_reward_model_the_seed_decides(coat_kit) -> None:
    problem = coat_kit.problem()
    drafts = [Draft(coat_kit.source(f"{n}\n\\boxed{{15}}", problem), "I", Trajectory().attempt([f"{n}", "\\boxed{15}"])) for n in range(5)]
    assert select(drafts)[0] == select(drafts[::-1])[0]
    assert [row.score for row in select(drafts)[0]] == [0.0]


@pytest.mark.parametrize(
    ("llm", "reference", "share", "kept"), [(6, 6, 0.5, 6), (3, 9, 0.5, 3), (9, 9, 0.1, 1), (0, 4, 0.5, 0), (0, 4, 1.0, 4)]
)
def test_the_share_of_the_reference_critic_is_kept(coat_kit, llm: int, reference: int, share: float, kept: int) -> None:
    drafts = [plain(coat_kit, n, "llm") for n in range(llm)] + [plain(coat_kit, 100 + n, "reference") for n in range(reference)]
    few, over = within_share(drafts, share, seed=1)
    assert Counter(draft.critic for draft in few)["reference"] == kept
    assert kept <= share * len(few)
    rows, rejects = select(drafts, share=share)
    assert Counter(row.critic for row in rows) == Counter(draft.critic for draft in few)
    assert Counter(reject.reason for reject in rejects) == Counter(["over the reference share"] * len(over))


def test_an_invalid_or_wrong_draft_is_never_accepted(coat_kit) -> None:
    good = plain(coat_kit, 1)
    wrong = replace(good, trajectory=Trajectory().attempt(["12 + 7 = 19", "\\boxed{19}"]))
    broken = replace(good, trajectory=Trajectory().attempt(["12 + 7 = 19", "<|explore|>b", "\\boxed{15}"]))
    lucky = replace(good, trajectory=Trajectory().attempt(["12 + 7 = 18", "18 - 4 = 15", "\\boxed{15}"]))
    rows, rejects = select([good, wrong, broken, lucky])
    assert len(rows) == 1
    reasons = {
        "not correct after stitching",
        "no COAT trajectory: an explore is not followed by a continue",
        "right by luck: an equation outside the wrong attempts is false",
    }
    assert {reject.reason for reject in rejects} == reasons


GUESSED = "Which two of 9, 20, 19, 6, 11 add to 26? Give the smaller one."
GOLD_GUESS = "Try 6 and 20.\n6 + 20 = 26\n\\boxed{6}"


@pytest.mark.parametrize(
    ("trajectory", "lucky"),
    [
        (Trajectory().attempt(GOLD_GUESS.split("\n")), False),
        (Trajectory().attempt(("Try 6 and 19.", "6 + 19 = 25", "\\boxed{6}")), True),  # true, and the box right, but not 26
        (Trajectory().attempt(("Try 6 and 19.", "6 + 19 = 25"), wrong_from=0)
         .correct("But wait:", "25 is not 26.", "This time,", "try others.").attempt(GOLD_GUESS.split("\n")), False),
        (Trajectory().attempt(("Try 9 and 19.", "9 + 19 = 28"), wrong_from=0)
         .correct("But wait:", "28 is not 26.", "This time,", "try others.").attempt(("Try 6 and 19.", "6 + 19 = 25", "\\boxed{6}")), True),
    ],
)  # fmt: skip
def test_a_search_is_right_by_luck_when_a_check_of_its_last_attempt_fails(coat_kit, trajectory: Trajectory, lucky: bool) -> None:
    problem = coat_kit.problem(GUESSED, "6", GOLD_GUESS, "moves")
    rows, rejects = select([Draft(coat_kit.source(GOLD_GUESS, problem), "III-I", trajectory, "llm")])
    assert len(rows) == (not lucky)
    assert [reject.reason for reject in rejects] == ["right by luck: a check of the last attempt fails"] * lucky


def test_at_most_sixteen_trajectories_a_problem(coat_kit) -> None:
    problem = coat_kit.problem()
    drafts = [Draft(coat_kit.source(f"{n}\n\\boxed{{15}}", problem), "I", Trajectory().attempt([f"{n}", "\\boxed{15}"])) for n in range(20)]
    _, rejects = select(drafts)
    assert Counter(reject.reason for reject in rejects)["more than 16 trajectories of the problem"] == 4


def test_a_row_carries_its_lineage(coat_kit) -> None:
    draft = replace(
        plain(coat_kit, 1, "llm"), critique="In Step 1: x\nAlternatively: y", request_ids=("c", "g"), prompts=("solve", "critique", "solve")
    )
    (row,), _ = select([draft])
    assert (row.parents, row.model, row.round, row.critic) == ((draft.source.rollout.id,), "base@1", "base", "llm")
    assert row.request_ids == ("asked", "c", "g")
    assert [part.split("@")[0] for part in row.prompt_version.split("+")] == ["laptop/solve", "laptop/critique"]


def test_controls_are_plain_solutions_of_the_same_problems(coat_kit) -> None:
    solved, unsolved = coat_kit.problem("A.", "15"), coat_kit.problem("B.", "15")
    kept = [coat_kit.source(f"way {n}\n\\boxed{{15}}", solved) for n in range(4)] + [coat_kit.source("\\boxed{3}", unsolved)]
    drafts = [
        Draft(kept[0], "I", Trajectory().attempt(kept[0].rollout.steps)),
        Draft(kept[1], "II-I", Trajectory().attempt(["\\boxed{15}"]), "llm"),
    ]
    drafts.append(Draft(kept[4], "III-I", Trajectory().attempt(["\\boxed{15}"]), "llm"))
    rows, _ = select(drafts)
    plain = controls(kept, rows, seed=1)
    assert Counter(row.problem_id for row in plain) == {solved.id: 2, unsolved.id: 1}  # as many as the problem has demonstrations, at most
    (gold,) = [row for row in plain if row.problem_id == unsolved.id]
    assert (gold.completion, gold.model, gold.parents) == (coat_kit.gold, "gold", ())
    assert all(row.type == "I" and row.wrong_spans == () and "<|" not in row.completion for row in plain)
