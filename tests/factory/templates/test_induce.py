"""From analyses to templates: parsing, which steps are asked for, merging, evidence, and the count of rejects."""

import json
from dataclasses import replace
from itertools import combinations

import pytest

from factory.language.conversation import flat
from factory.problems.manners import PLAIN
from factory.problems.world import MANNERS
from factory.schemas import Problem, Rollout
from factory.templates.induce import AnalysisError, choose_solved, induce, parse_analysis, said_once
from factory.templates.merging import content_id

TEXT = "Name: Put  Together\nTags: Add, gain\nDescription: Add what comes in.\nScope: There is a gain.\nSteps: Add it. Then check."


def test_parse_normalises_names_and_splits_steps():
    found = parse_analysis(TEXT)
    assert (found.name, found.tags) == ("put together", ("add", "gain"))
    assert found.steps == ("Add it.", "Then check.")
    assert parse_analysis(TEXT.replace("Steps: Add it. Then check.", "Steps:\nAdd it.\nThen check.")) == found
    assert parse_analysis(TEXT.replace("Put  Together", "Put (Together)")).name == "put (together)"


def test_steps_that_say_it_again_go():
    steps = ("Add it.", "Check it.", "add it", " , ", "Check  it.", "Add all.")
    assert said_once(replace(parse_analysis(TEXT), steps=steps)).steps == ("Add it.", "Check it.", "Add all.")


@pytest.mark.parametrize(
    "text",
    [
        "", "3 + 4 = 7", TEXT.replace("Scope: ", "Range: "), TEXT.replace("Add, gain", "Add,"), TEXT.replace("Add it. Then check.", ""),
        TEXT.replace("Put  Together", "Put (Together"), "Well. " + TEXT, TEXT + "\nSteps: Take it away.",
    ],
)  # fmt: skip
def test_malformed_analyses(text):
    with pytest.raises(AnalysisError):
        parse_analysis(text)


@pytest.mark.parametrize(
    ("problem", "solution", "steps"),
    [
        ("Tom has 12. Gets 7. Loses 4.", "12 + 7 = 19\n19 - 4 = 15\n\\boxed{15}", [1, 2]),
        # "7 more, both": the second equation takes no new number
        ("Tom has 12. Ann has 7 more. Then 5 come.", "12 + 7 = 19\n12 + 19 = 31\n31 + 5 = 36\n\\boxed{36}", [1, 3]),
        # what is left over of 17 in bags of 5
        ("Tom has 17. A bag holds 5. Gets 4.", "3 * 5 = 15\n17 - 15 = 2\n2 + 4 = 6\n\\boxed{6}", [1, 3]),
        ("Tom has 12. Gets 5. Gets 17.", "12 + 5 = 17\n17 + 17 = 34\n\\boxed{34}", [1, 2]),
        ("Tom saves 7 coins for 16 weeks. Loses 7.", "7 * 16 = 112\n112 - 7 = 105\n\\boxed{105}", [1, 2]),
        ("Is every cat grey?", "Some are black.\nSo no.\n\\boxed{no}", [1, 2]),
    ],
)
def test_one_analysis_a_strategy(problem, solution, steps):
    row = Problem(
        id="p", source="test", family="none", group="none", split="train", instance="i", problem=problem, answer="1", answer_kind="number"
    )
    assert MANNERS.analysed_steps(row, solution) == steps
    assert PLAIN.analysed_steps(row, solution) == [0]  # as a whole


def rollout(problem, completion, verdict, number):
    return Rollout(
        id=f"r{number}", model="base@1", prompt_version="solve@1", seed=1, round="base", problem_id=problem.id, prompt=(), steps=(),
        completion=completion, answer="", verdict=verdict, finish_reason="stop", tokens=1,
    )  # fmt: skip


def test_a_right_rollout_goes_before_the_gold_solution(planner_kit):
    solved, failed, unsampled = (planner_kit.problem(f"Tom has {n}. Gets 7.", "+") for n in (1, 2, 3))
    without = replace(planner_kit.problem("Tom has 4. Gets 7.", "+"), solution=None)
    dev = planner_kit.problem("Tom has 5. Gets 7.", "+", split="dev")
    rollouts = [rollout(solved, "wrong", "wrong", 1), rollout(solved, "own words", "correct", 2), rollout(failed, "bad", "wrong", 3)]
    chosen = choose_solved([solved, failed, unsampled, without, dev], rollouts, 10, 1)
    assert {(item.problem.id, item.solution, item.parents) for item in chosen} == {
        (solved.id, "own words", (solved.id, "r2")),
        (failed.id, failed.solution, (failed.id,)),
        (unsampled.id, unsampled.solution, (unsampled.id,)),
    }
    assert chosen[-1].problem == unsampled  # sampled problems first
    assert choose_solved([solved, failed, unsampled], rollouts, 2, 1) == [item for item in chosen if item.problem != unsampled]


def test_a_gold_solution_goes_first_where_the_params_say_so(planner_kit):
    solved, without = planner_kit.problem("Tom has 1. Gets 7.", "+"), replace(planner_kit.problem("Tom has 4. Gets 7.", "+"), solution=None)
    rollouts = [rollout(solved, "own words", "correct", 1), rollout(without, "its words", "correct", 2)]
    chosen = choose_solved([solved, without], rollouts, 10, 1, "gold")
    assert {item.solution for item in chosen} == {solved.solution, "its words"}


def sources(planner_kit):
    texts = [(f"Tom has {n} apples. Tom gets 7. Tom loses 4.", "+-") for n in range(20, 24)]
    texts += [(f"Tom has {n} apples. Tom gets 8.", "+") for n in range(30, 33)] + [("Tom has 3 boxes of 9 apples.", "*")]
    return choose_solved([planner_kit.problem(text, signs) for text, signs in texts], [], 100, 1)


def test_induce_keeps_supported_templates_and_accounts_for_every_analysis(planner_kit):
    labeller, inference = planner_kit.RuleEngine(planner_kit.analyse), planner_kit.RuleEngine(planner_kit.follow)
    params = planner_kit.params(templates={"resolve": 3})
    templates, rejects, _ = induce(sources(planner_kit), labeller, inference, params)
    assert len(labeller.asked) == 4 * 2 + 3 + 1
    by_name = {template.name: template for template in templates}
    assert set(by_name) == {"put together", "take away"}
    assert [item.reason for item in rejects] == ["too little support"]  # one problem with groups
    add = by_name["put together"]
    assert (add.tags, add.steps, add.status) == (("add", "gain"), ("Add the next number.",), "accepted")
    assert (add.resolved, add.solve_rate, add.source, add.licence) == (3, 1.0, "induced", params.release.licence)
    assert add.example_problem.endswith("gets 8.")  # the source with the fewest steps
    assert len(add.parents) == 7
    assert add.model == "rule@1"
    assert all(prompt.count("Tom") for prompt in (flat(request.prompt) for request in inference.asked))


def test_source_problems_are_solved_again_under_their_whole_plan(planner_kit):
    labeller, inference = planner_kit.RuleEngine(planner_kit.analyse), planner_kit.RuleEngine(planner_kit.follow)
    induce(sources(planner_kit), labeller, inference, planner_kit.params())
    two_steps = [flat(request.prompt) for request in inference.asked if "loses" in flat(request.prompt)]
    assert len(two_steps) == 4
    assert all("put together: Add the next number.\ntake away: Take away the next number.\nSolve:" in prompt for prompt in two_steps)
    assert len({flat(request.prompt) for request in inference.asked}) == len(inference.asked)


def test_a_template_that_never_helps_is_quarantined(planner_kit):
    labeller = planner_kit.RuleEngine(planner_kit.analyse)
    templates, *_ = induce(sources(planner_kit), labeller, planner_kit.RuleEngine(lambda request: r"\boxed{0}"), planner_kit.params())
    assert [(template.status, template.solve_rate) for template in templates] == [("quarantined", 0.0)] * 2


def test_failed_requests_are_no_attempts(planner_kit):
    labeller = planner_kit.RuleEngine(planner_kit.analyse)
    templates, *_ = induce(sources(planner_kit), labeller, planner_kit.RuleEngine(lambda request: "!error"), planner_kit.params())
    assert [(template.status, template.resolved, template.solve_rate) for template in templates] == [("quarantined", 0, None)] * 2


def test_bad_analyses_are_rejects_with_their_raw_text(planner_kit):
    broken = {"Analyse step 1": "Name: half", "20 apples": "!error", "21 apples": "Name: cut !"}

    def sometimes(request):
        return next((text for mark, text in reversed(broken.items()) if mark in flat(request.prompt)), planner_kit.analyse(request))

    templates, rejects, _ = induce(
        sources(planner_kit), planner_kit.RuleEngine(sometimes), planner_kit.RuleEngine(planner_kit.follow), planner_kit.params()
    )
    reasons = [item.reason for item in rejects]
    assert {reason: reasons.count(reason) for reason in set(reasons)} == {
        "request failed": 2, "truncated analysis": 2, "malformed analysis: no tags": 6,
    }  # fmt: skip
    assert {json.loads(item.row)["text"] for item in rejects if item.reason == "malformed analysis: no tags"} == {"Name: half"}
    assert [template.name for template in templates] == ["take away"]
    assert templates[0].resolved == 0  # no source has a whole plan


@pytest.mark.slow
def test_the_same_inputs_give_the_same_rows(planner_kit):
    def run(order):
        return induce(order, planner_kit.RuleEngine(planner_kit.analyse), planner_kit.RuleEngine(planner_kit.follow), planner_kit.params())

    first = run(sources(planner_kit))
    again = run(sources(planner_kit))
    assert first == again


def with_keys(planner_kit, **changes):
    """The params with some keys of `templates.merge` or `templates.tags` changed."""
    section = planner_kit.params().require("templates")
    return planner_kit.params(templates={name: getattr(section, name).model_copy(update=keys) for name, keys in changes.items()})


def test_the_labeller_is_shown_the_tags_that_the_first_analyses_use(planner_kit):
    labeller = planner_kit.RuleEngine(lambda request: planner_kit.analyse(replace(request, prompt=bare(request))))

    def bare(request):
        *turns, last = request.prompt
        return (*turns, last._replace(content=last.content.split("\n\nTags that are in use")[0]))

    given = sources(planner_kit)
    params = with_keys(planner_kit, tags={"shown": 2, "first": 0.5})
    induce(given, labeller, planner_kit.RuleEngine(planner_kit.follow), params)
    shown = ["in use" in flat(request.prompt) for request in labeller.asked]
    first = sum(len(MANNERS.analysed_steps(item.problem, item.solution)) for item in given[:4])
    assert shown == [False] * first + [True] * (len(shown) - first)
    assert "take one of them wherever it fits: add, gain" in flat(labeller.asked[-1].prompt)


def test_imported_templates_lend_their_tags(planner_kit):
    labeller = planner_kit.RuleEngine(lambda request: "!stop")
    library = [planner_kit.template(tags=("borrowed",))]
    params = with_keys(planner_kit, tags={"shown": 5, "first": 0.0})
    induce(sources(planner_kit), labeller, planner_kit.RuleEngine(planner_kit.follow), params, library)
    assert all(flat(request.prompt).endswith("wherever it fits: borrowed") for request in labeller.asked)


@pytest.mark.slow
def test_one_pattern_by_the_labellers_word_is_one_template_with_all_its_support(planner_kit):
    def labels(request):
        return "yes" if "same pattern?" in flat(request.prompt) else planner_kit.analyse(request)

    params = with_keys(planner_kit, merge={"by": "labeller"})
    (template,), rejects, merges = induce(
        sources(planner_kit), planner_kit.RuleEngine(labels), planner_kit.RuleEngine(planner_kit.follow), params
    )
    assert (template.name, rejects, len(template.parents)) == ("put together", [], 8)
    pairs = {frozenset((merge.gone_name, merge.kept_name)) for merge in merges if merge.merges}
    assert pairs == {frozenset(pair) for pair in combinations(("put together", "take away", "equal groups"), 2)}
    assert sum(merge.kept_name == "put together" for merge in merges) == 2


def test_a_template_that_loses_a_tag_has_the_id_of_what_it_says_then(planner_kit):
    def labels(request):
        return planner_kit.analyse(request).replace("add, gain", "add, gain, rare")

    engines = planner_kit.RuleEngine(labels), planner_kit.RuleEngine(planner_kit.follow)
    templates, _, merges = induce(sources(planner_kit), *engines, with_keys(planner_kit, tags={"once": 0.9}))
    assert {template.name: template.tags for template in templates} == {"put together": ("gain", "rare"), "take away": ("subtract", "loss")}
    assert [(merge.kind, merge.gone_name) for merge in merges] == [("single tag", "add")]
    assert all(template.id == content_id(template) for template in templates)


def test_an_analysis_whose_steps_have_no_word_is_a_reject(planner_kit):
    labeller = planner_kit.RuleEngine(
        lambda request: '{"steps": [",", " . "], "description": "d", "scope": "s", "tags": ["t"], "name": "n"}'
    )
    templates, rejects, _ = induce(sources(planner_kit), labeller, planner_kit.RuleEngine(planner_kit.follow), planner_kit.params())
    assert (templates, {item.reason for item in rejects}) == ([], {"malformed analysis: no steps"})
