"""Arms on an engine whose answers follow from the prompt by rule, so that every arm's text and cost can be checked."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from factory.engines.protocol import Completion, Request
from factory.errors import DataError
from factory.evaluation import arms
from factory.identity import digest
from factory.language.conversation import flat
from factory.language.prompting import Prompts
from factory.params.sections import Agreement, Sampling
from factory.schemas import Problem, Template

ADD = ("put together", ("add", "total"), "Add the next number.")
TAKE = ("give away", ("subtract", "left"), "Take away the next number.")


class RuleEngine:
    family = "rule"

    def __init__(self, model: str, answer: Callable[[str], str]) -> None:
        self.model, self.answer, self.batches = model, answer, []

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.batches.append(list(requests))
        texts = [self.answer(flat(request.prompt)) for request in requests]
        return [
            Completion(text, tuple(range(len(text.split()))), "stop", prompt_tokens=5, request_id=digest(self.model, flat(request.prompt)))
            for request, text in zip(requests, texts, strict=True)
        ]


class SampledEngine(RuleEngine):
    """Gives the right plan to the first `often(prompt)` samples of a prompt, and none that can be read to the others."""

    def __init__(self, model: str, often: Callable[[str], int]) -> None:
        super().__init__(model, lambda prompt: "give away (subtract, left)")
        self.often = often

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        answers = super().generate(requests)
        return [
            done if request.ordinal < self.often(flat(request.prompt)) else replace(done, text="?")
            for request, done in zip(requests, answers, strict=True)
        ]


def template(name: str, tags: tuple[str, ...], step: str) -> Template:
    return Template(
        id=name, model="m@1", prompt_version="analyse@1", seed=1, round="base", name=name, tags=tags, description="d", scope="s",
        steps=(step,), example_problem="p", example_solution="\\boxed{1}", example_answer="1", source="induced", licence="l",
        status="accepted", resolved=1, solve_rate=1.0, version=1,
    )  # fmt: skip


def problem(number: int, strategy: tuple[str, ...] = ("give away",)) -> Problem:
    return Problem(
        id=f"p{number}", source="world", family="tally", group="procedures", split="heldout", instance=str(number),
        problem=f"Tom has {number} apples and 2 go.", answer=str(number - 2), answer_kind="number", strategy=strategy,
    )  # fmt: skip


PROMPTS = Prompts.of("laptop")
LIBRARY = [template(*ADD), template(*TAKE)]
PROBLEMS = [problem(number) for number in range(5, 11)]


def solver(prompt: str) -> str:
    """Takes away when a template says so, else adds: a wrong plan gives a wrong answer."""
    number = int(prompt.split()[2])
    return f"\\boxed{{{number - 2 if 'Take away' in prompt else number + 2}}}"


def test_direct_answers_are_the_policys_own_and_not_asked_twice() -> None:
    engine = RuleEngine("base@1", solver)
    base = arms.solve(engine, "policy", PROBLEMS, 32, PROMPTS)
    direct = arms.as_direct(base)
    assert len(engine.batches) == 1
    assert {request.sampling.temperature for request in engine.batches[0]} == {0.0}
    assert [row.completion for row in direct] == [row.completion for row in base]
    assert {row.arm for row in direct} == {"direct"}
    assert not {row.id for row in direct} & {row.id for row in base}


def test_the_oracle_follows_the_gold_strategy() -> None:
    engine = RuleEngine("base@1", solver)
    rows = arms.follow(engine, "oracle", arms.oracle_plans(PROBLEMS, LIBRARY), 32, PROMPTS)
    assert all(row.verdict == "correct" for row in rows)
    assert "give away: Take away the next number." in flat(engine.batches[0][0].prompt)


def test_a_strategy_that_the_library_lacks_takes_the_nearest() -> None:
    plans = arms.oracle_plans([problem(5, ("give some away", "put together"))], LIBRARY)
    assert [template.name for template in plans[0].templates] == ["give away", "put together"]
    with pytest.raises(DataError, match="no accepted template"):
        arms.nearest("give away", [])


def test_a_planners_tokens_and_calls_count_and_its_template_decides() -> None:
    planner = RuleEngine("planner_dpo@1", lambda prompt: "give away (subtract, left)")
    plans = arms.planned(planner, PROBLEMS, LIBRARY, 40, PROMPTS)
    rows = arms.follow(RuleEngine("base@1", solver), "dpo", plans, 32, PROMPTS)
    assert {row.calls for row in rows} == {2}
    assert {row.tokens for row in rows} == {4 + 1}
    assert all(row.verdict == "correct" for row in rows)
    assert {row.model for row in rows} == {"base@1"}


def test_a_plan_is_followed_where_most_samples_say_the_same() -> None:
    """Of four samples three agree on the first problem, one on the others: those are solved as they are, and all have cost five calls."""
    first = flat(PROMPTS.render("plan", problem=PROBLEMS[0].problem))
    planner = SampledEngine("planner_dpo@1", lambda prompt: 3 if prompt == first else 1)
    sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=8)
    plans = arms.planned(planner, PROBLEMS, LIBRARY, 40, PROMPTS)
    assert {plan.templates for plan in plans} == {(LIBRARY[1],)}
    kept = arms.agreed(planner, plans, LIBRARY, sampling, Agreement(samples=4, share=0.75), 1, PROMPTS)
    assert [plan.templates for plan in kept] == [(LIBRARY[1],), *[()] * (len(plans) - 1)]
    assert len({request.seed for request in planner.batches[-1]}) == 4 * len(PROBLEMS)
    assert {plan.calls for plan in kept} == {5}
    assert all(after.tokens > before.tokens for before, after in zip(plans, kept, strict=True))
    broken = [replace(plan, templates=None) for plan in plans]
    unread = arms.agreed(planner, broken, LIBRARY, sampling, Agreement(samples=2, share=0.5), 1, PROMPTS)
    assert {plan.templates for plan in unread} == {()}, "a malformed plan is a plan of nothing here, whatever its samples are"


def test_a_malformed_plan_is_a_wrong_answer_that_cost_a_call() -> None:
    planner = RuleEngine("planner_sft@1", lambda prompt: "give away (subtract, left)" if "Tom has 5 " in prompt else "no idea")
    engine = RuleEngine("base@1", solver)
    rows = arms.follow(engine, "sft", arms.planned(planner, PROBLEMS, LIBRARY, 40, PROMPTS), 32, PROMPTS)
    assert len(rows) == len(PROBLEMS)
    assert len(engine.batches[0]) == 1
    broken = [row for row in rows if row.finish_reason == "error"]
    assert len(broken) == len(PROBLEMS) - 1
    assert {(row.verdict, row.calls, row.tokens) for row in broken} == {("unparsable", 1, 2)}
    assert len({row.id for row in rows}) == len(rows)


def test_random_plans_depend_on_the_problem_alone() -> None:
    many = [template(f"name {number}", ("tag",), "Step.") for number in range(9)]
    plans = arms.random_plans(PROBLEMS, many, seed=1)
    assert [plan.templates for plan in arms.random_plans(PROBLEMS[::-1], many, seed=1)][::-1] == [plan.templates for plan in plans]
    assert {len(plan.templates) for plan in plans} <= {1, 2, 3}
    assert all(len(set(plan.templates)) == len(plan.templates) for plan in plans)
    assert [plan.templates for plan in arms.random_plans(PROBLEMS, many, seed=2)] != [plan.templates for plan in plans]
