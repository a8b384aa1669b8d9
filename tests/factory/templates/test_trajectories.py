"""R on a library and an inference model whose accuracy is known, and which pairs follow from it."""

from collections import Counter
from dataclasses import replace
from functools import partial

import pytest

from factory.language.conversation import flat, said
from factory.params.sections import Final
from factory.schemas import Trajectory
from factory.templates.interplay import NOTHING
from factory.templates.pairing import difference, make_pairs
from factory.templates.trajectories import make_trajectories, similar_problems

SECTION = {"problems": 100, "samples": 4, "similar": 4, "decodes": 2, "min_gap": 0.25, "pairs_per_problem": 2}
ADD, TAKE = "put together (add, gain)", "take away (subtract, loss)"


@pytest.fixture
def problems(planner_kit):
    """Three gains and one loss that reads like them, and one of another kind that nobody resembles."""
    gains = [planner_kit.problem(f"Tom has {n} apples. Tom gets 7.", "+") for n in (11, 12, 13)]
    loss = planner_kit.problem("Tom has 14 apples. Tom drops 7.", "-")
    return [*gains, loss, planner_kit.problem("Split 15 coins by hand: 3 piles.", "*"), planner_kit.problem("Tom gets 9.", "", split="dev")]


def run(planner_kit, problems, plan, inference=None, **section):
    planner, solver = planner_kit.RuleEngine(plan), planner_kit.RuleEngine(inference or planner_kit.follow)
    rows = make_trajectories(problems, planner_kit.library(), planner, solver, planner_kit.params(trajectories={**SECTION, **section}))
    return *rows, planner, solver


def test_similar_problems_are_train_problems_with_the_problem_first(problems):
    train = problems[:5]
    found = similar_problems(train, train, 4)
    for problem in train:
        assert found[problem.id][0] == problem
    assert {p.problem for p in found[problems[0].id]} == {p.problem for p in problems[:4]}
    assert [p.id for p in found[problems[4].id]] == [problems[4].id]  # shares no word: X_sim is smaller, not padded


def test_reward_is_the_mean_over_similar_problems_and_decodes(planner_kit, problems):
    rows, _, _, _, _ = run(planner_kit, problems, lambda request: [ADD, TAKE, ADD, "put Together (gain)"][request.ordinal])
    own = {row.plan: row for row in rows if row.problem_id == problems[0].id}
    assert set(own) == {ADD, TAKE}
    # X_sim is three gains and a loss, two decodes each: 6 of 8 and 2 of 8
    assert (own[ADD].reward, own[TAKE].reward) == (6 / 8, 2 / 8)
    assert Counter(own[ADD].decodes) == {"correct": 6, "wrong": 2}
    assert (own[ADD].n_similar, own[ADD].n_decodes, len(own[ADD].similar_ids)) == (4, 2, 4)
    assert own[ADD].decodes[:2] == ("correct", "correct")  # the problem itself stands first
    assert own[ADD].instantiations == ("11 + 7 = 18\n\\boxed{18}",) * 2
    assert own[ADD].interval[0] < 0.75 < own[ADD].interval[1]
    assert len(own[ADD].request_ids) == 3 + 8  # three samples collapsed
    assert own[ADD].template_ids == (planner_kit.template("put together").id,)


def test_only_train_problems_are_asked(planner_kit, problems):
    *_, planner, solver = run(planner_kit, problems, lambda request: ADD)
    assert not any("Tom gets 9." in flat(request.prompt) for request in planner.asked + solver.asked)


def test_a_shared_problem_and_plan_is_solved_once(planner_kit, problems):
    rows, _, _, planner, solver = run(planner_kit, problems, lambda request: ADD)
    assert len(planner.asked) == 5 * 4
    assert len(rows) == 5
    assert len(solver.asked) == 5 * 2  # not 17 × 2
    assert len({(request.prompt, request.ordinal) for request in solver.asked}) == len(solver.asked)
    assert len({request.seed for request in solver.asked}) == len(solver.asked)


def test_pairs_prefer_the_plan_with_the_higher_reward(planner_kit, problems):
    rows, pairs, rejects, _, _ = run(planner_kit, problems, lambda request: [ADD, TAKE][request.ordinal % 2])
    by_problem = {pair.problem_id: pair for pair in pairs}
    assert len(pairs) == 4
    pair = by_problem[problems[3].id]  # a loss, whose neighbours are gains: R decides, not the gold strategy
    assert (pair.chosen, pair.rejected, pair.reward_chosen, pair.reward_rejected) == (ADD, TAKE, 0.75, 0.25)
    assert pair.prompt == said("user", problems[3].problem + "\nPlan:\n")
    ids = {row.plan: row.id for row in rows if row.problem_id == problems[3].id}
    assert pair.parents == (ids[ADD], ids[TAKE])
    assert [(item.reason, item.parent_id) for item in rejects] == [("no gap", problems[4].id)]  # both plans are wrong there


def test_malformed_plans_and_failed_solves_are_rejects_not_zeros(planner_kit, problems):
    plans = [ADD, "put together", TAKE + "!", "!"]

    def inference(request):
        return "!" if "12 apples" in flat(request.prompt) else planner_kit.follow(request)

    rows, _, rejects, _, _ = run(planner_kit, problems[:3], lambda request: plans[request.ordinal], inference, similar=2)
    assert Counter(item.reason for item in rejects) == {
        "malformed plan": 3, "truncated plan": 3, "request failed": 3, "a guided request failed": 3 - len(rows), "no gap": 3,
    }  # fmt: skip
    assert problems[1].id not in {row.problem_id for row in rows}
    assert all("12 apples" not in flat(row.prompt) and row.reward == 1.0 for row in rows)


def trajectory(number: int, reward: float, plan: str | None = None) -> Trajectory:
    return Trajectory(
        id=f"t{number}", model="planner@1", request_ids=(f"q{number}",), prompt_version="plan@1", seed=1, round="base", problem_id="p",
        prompt=said("user", "P"), plan=plan or f"plan {number}", template_ids=(f"x{number}", "y"), similar_ids=("p",),
        instantiations=(), decodes=(),
        reward=reward, n_similar=4, n_decodes=2, interval=(0.0, 1.0),
    )  # fmt: skip


def pairs_of(rows, min_gap, per_problem, planner_kit, **more):
    problem = replace(planner_kit.problem("Tom has 1. Gets 7.", "+"), id="p")
    section = planner_kit.params(trajectories={**SECTION, "min_gap": min_gap, "pairs_per_problem": per_problem, **more}).trajectories
    pairs, rejects = make_pairs([problem], rows, section)
    return [(pair.parents[0], pair.parents[1]) for pair in pairs], [item.reason for item in rejects]


def test_equal_rewards_never_pair_even_without_a_margin(planner_kit):
    assert pairs_of([trajectory(1, 0.5), trajectory(2, 0.5)], 0.0, 9, planner_kit) == ([], ["no gap"])
    assert pairs_of([trajectory(1, 0.5)], 0.0, 9, planner_kit) == ([], ["no gap"])
    assert pairs_of([], 0.0, 9, planner_kit) == ([], ["no gap"])


def test_the_gap_is_inclusive_in_spite_of_floats(planner_kit):
    assert 0.3 - 0.1 < 0.2
    assert pairs_of([trajectory(1, 0.1), trajectory(2, 0.3)], 0.2, 9, planner_kit)[0] == [("t2", "t1")]
    assert pairs_of([trajectory(1, 0.1), trajectory(2, 0.3)], 0.21, 9, planner_kit)[1] == ["no gap"]


def test_the_best_plan_is_chosen_over_the_others_largest_gap_first(planner_kit):
    rows = [trajectory(4, 0.0), trajectory(3, 1.0), trajectory(2, 0.5), trajectory(1, 1.0)]
    assert pairs_of(rows, 0.25, 3, planner_kit)[0] == [("t1", "t4"), ("t1", "t2")]
    assert pairs_of(rows[::-1], 0.25, 3, planner_kit) == pairs_of(rows, 0.25, 3, planner_kit)
    assert pairs_of(rows, 0.25, 1, planner_kit)[0] == [("t1", "t4")]


def test_the_best_plan_is_held_against_the_plan_of_nothing_first(planner_kit):
    nothing = replace(trajectory(9, 0.5, NOTHING), template_ids=())
    rows = [trajectory(4, 0.0), trajectory(2, 1.0), nothing]
    assert pairs_of(rows, 0.25, 2, planner_kit)[0] == [("t2", "t9"), ("t2", "t4")]
    assert pairs_of([trajectory(4, 0.0), trajectory(2, 0.5), nothing], 0.25, 2, planner_kit)[0] == [("t9", "t4")]  # as good, and it is free


def test_equal_plan_texts_never_pair(planner_kit):
    assert pairs_of([trajectory(1, 0.0, "same"), trajectory(2, 1.0, "same")], 0.25, 2, planner_kit)[1] == ["no gap"]


# -- planning nothing


def nothing_solves(right: set[str]):
    """An inference model that solves these problems without any template, and follows plans else."""

    def answer(request, follow):
        text = flat(request.prompt)
        return follow(request) if "Templates:" in text else ("\\boxed{18}" if any(problem in text for problem in right) else "\\boxed{0}")

    return answer


def test_planning_nothing_is_a_trajectory_of_every_problem_and_the_measure_of_gain(planner_kit, problems):
    unguided = nothing_solves({"11 apples"})
    rows, _, _, planner, solver = run(
        planner_kit, problems[:3], lambda request: ADD, lambda request: unguided(request, planner_kit.follow), nothing=True, similar=3
    )
    own = {row.plan: row for row in rows if row.problem_id == problems[0].id}
    assert set(own) == {ADD, NOTHING}
    assert (own[NOTHING].template_ids, own[NOTHING].reward, own[NOTHING].gain) == ((), 1 / 3, 0.0)
    assert (own[ADD].reward, own[ADD].gain) == (1.0, 1.0 - 1 / 3)
    assert own[NOTHING].n_similar == 3
    assert len(planner.asked) == 3 * 4  # nobody is asked for it
    assert len(solver.asked) == 3 * 2 * 2  # three problems under two plans, two decodes each


def test_without_the_key_nothing_is_planned_only_where_the_planner_says_so(planner_kit, problems):
    unguided = nothing_solves(set())
    rows, _, _, _, _ = run(
        planner_kit, problems[:3], lambda request: [ADD, "None."][request.ordinal % 2],
        lambda request: unguided(request, planner_kit.follow), nothing=False,
    )  # fmt: skip
    assert {row.plan for row in rows} == {ADD, NOTHING}
    only, *_ = run(planner_kit, problems[:3], lambda request: ADD, nothing=False)
    assert {(row.plan, row.gain) for row in only} == {(ADD, None)}


def test_a_plan_that_hurts_is_rejected_for_the_plan_of_nothing(planner_kit, problems):
    unguided = nothing_solves({"11 apples", "12 apples", "13 apples"})
    _, pairs, _, _, _ = run(
        planner_kit, problems[:3], lambda request: TAKE, lambda request: unguided(request, planner_kit.follow), nothing=True
    )
    assert {pair.problem_id: (pair.chosen, pair.rejected) for pair in pairs}[problems[0].id] == (NOTHING, TAKE)


# -- the final


@pytest.mark.slow
def test_the_best_plans_are_measured_again_on_more_problems(planner_kit):
    """Two plans that fare alike on the problem itself; its neighbours tell them apart."""
    problems = [planner_kit.problem(f"Tom has {n} apples. Tom gets 7.", "+") for n in range(11, 19)]
    seven = planner_kit.problem("Tom has 7 apples. Tom gets 0.", "-")
    run_of = partial(run, planner_kit, [*problems, seven], lambda request: [ADD, TAKE][request.ordinal % 2])
    small, *_ = run_of(similar=1)
    rows, pairs, _, _, solver = run_of(similar=1, final=Final(plans=1, similar=6))
    by_plan = {row.plan: row for row in rows if row.problem_id == problems[0].id}
    assert {row.n_similar for row in small} == {1}
    assert (by_plan[ADD].n_similar, by_plan[ADD].reward) == (6, 1.0 if seven.id not in by_plan[ADD].similar_ids else 5 / 6)
    assert by_plan[TAKE].n_similar == 1  # the loser of the first round is not asked again
    assert len({(request.prompt, request.ordinal) for request in solver.asked}) == len(solver.asked)
    assert {pair.n_similar for pair in pairs if pair.problem_id == problems[0].id} == {1}


# -- intervals of pairs


def test_a_pair_has_the_interval_of_its_difference(planner_kit):
    better = replace(trajectory(1, 56 / 70), n_similar=35)
    worse = replace(trajectory(2, 48 / 80), n_similar=40)
    low, high = difference(better, worse)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)  # the example of Newcombe's paper: 56 of 70 and 48 of 80
    assert pairs_of([better, worse], 0.15, 2, planner_kit, clear_only=True)[0] == [("t1", "t2")]


def test_pairs_that_the_intervals_do_not_tell_apart_are_marked_or_left_out(planner_kit):
    rows = [trajectory(1, 6 / 8), trajectory(2, 3 / 8)]
    section = planner_kit.params(trajectories=SECTION).trajectories
    problem = replace(planner_kit.problem("Tom has 1. Gets 7.", "+"), id="p")
    pair = make_pairs([problem], rows, section)[0][0]
    assert not pair.clear
    assert pair.interval[0] < 0 < pair.interval[1]
    assert pairs_of(rows, 0.25, 2, planner_kit, clear_only=True) == ([], ["no clear gap"])
