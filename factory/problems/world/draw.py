"""Draw the world's problems for all splits: balanced over families, no canonical instance on two sides.

Problem(family="tally", group="procedures", split="train", instance="tally:12,+7,-4", strategy=("put together", "take away"),
        problem="Tom had 12 apples. …", solution="12 + 7 = 19\\n19 - 4 = 15\\n\\\\boxed{15}", answer="15", answer_kind="number", …)
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence

from factory.errors import DataError
from factory.identity import row_id, seed_for
from factory.params import World
from factory.problems.world.families import FAMILIES, TRAINED, UNSEEN
from factory.problems.world.model import Family, Task, draw_task
from factory.schemas import Problem, Split

MISSES = 2000  # draws in a row that give nothing new: the family is exhausted


def fresh_tasks(family: Family, rng: random.Random, world: World, taken: set[str]) -> Iterator[Task]:
    """Problems whose instance is not in `taken`; the caller adds what must not come again. Raises DataError when none is left."""
    misses = 0
    while misses < MISSES:
        task = draw_task(family, rng, world)
        if task is None or task.instance in taken:
            misses += 1
            continue
        misses = 0
        yield task
    raise DataError(
        f"the world's family {family.name} has no instance left after {sum(name.startswith(family.name + ':') for name in taken)} "
        f"with max_number {world.max_number}: raise problems.world.max_number or ask for fewer problems"
    )


def to_problem(task: Task, split: Split) -> Problem:
    return Problem(
        id=row_id("problem", "world", task.instance, task.text), source="world", family=task.family.name, group=task.family.group,
        split=split, instance=task.instance, problem=task.text, answer=task.answer, answer_kind=task.answer_kind,
        solution="\n".join(task.solution), strategy=task.facts.strategy,
    )  # fmt: skip


def _quotas(size: int, families: Sequence[Family]) -> list[int]:
    """How many problems of each family: half of all are procedures, half searches, and a group's families have equal shares."""
    shares = {"procedures": size - size // 2, "search": size // 2}
    groups = [family.group for family in families]
    return [
        shares[group] // groups.count(group) + (groups[:place].count(group) < shares[group] % groups.count(group))
        for place, group in enumerate(groups)
    ]


def draw_problems(world: World, seed: int) -> list[Problem]:
    """All splits, sorted by id. Raises DataError when a family's space is too small for what is asked."""
    plan: list[tuple[Split, int, Sequence[Family]]] = [
        ("heldout", world.heldout, TRAINED), ("dev", world.dev, TRAINED), ("train", world.train, TRAINED), ("unseen", world.unseen, UNSEEN),
    ]  # fmt: skip
    taken: set[str] = set()
    problems = []
    for split, size, families in plan:
        quotas = _quotas(size, families)
        for place, family in enumerate(families):
            rng = random.Random(seed_for(seed, "problems", split, family.name))
            tasks = fresh_tasks(family, rng, world, taken)
            for _ in range(quotas[place]):
                task = next(tasks)
                taken.add(task.instance)
                problems.append(to_problem(task, split))
    return sorted(problems, key=lambda problem: problem.id)


def spaces(world: World, problems: Sequence[Problem]) -> dict[str, tuple[int, int]]:
    """Family → (distinct instances that there are, or at least are; instances drawn)."""
    drawn = Counter(problem.family for problem in problems if problem.source == "world")
    return {name: (family.space(world), drawn[name]) for name, family in FAMILIES.items()}
