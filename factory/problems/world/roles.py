"""Pretraining text of every role that the line asks of a model, through the same prompts, at an honest but imperfect level.

    CorpusText(role="verify", family="pick_two", instance="pick_two:6,9,11,19,20,=26", completion="29 is not 26.",
               prompt="Which two of 9, 20, 19, 6, 11 add to 26? …\\nSolve:\\nTry 9 and 20.\\n9 + 20 = 29\\nLet me check.\\n")

Arithmetic is taught apart from any goal (compute, verify, follow, and continuing a given wrong guess): a model that only ever saw right
solutions writes the wanted number as the result of whatever it tried. `solve` shows right solutions only. No instance is in any split.
"""

import dataclasses
import random
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache

from factory.coat.demonstrations.lead_ins import CRITIQUE, EXPLORE, VERIFY
from factory.coat.demonstrations.stitch import said
from factory.errors import ParamsError
from factory.identity import row_id, seed_for
from factory.language.conversation import flat
from factory.language.prompting import Prompts
from factory.params import Corpus, World
from factory.problems.world.arithmetic import Equation, execute, parse_equation, slipped
from factory.problems.world.draw import fresh_tasks
from factory.problems.world.families import TRAINED
from factory.problems.world.mistakes import Mistake, missed, mistaken, owners, redo, verdict, verify_last, wrong_guess
from factory.problems.world.model import FIRST, RIGHT, WAYS, Task, boxed
from factory.problems.world.strategies import PROCEDURES, RIVALS, STRATEGIES, operations
from factory.schemas import CorpusText

GOLD_PLANS = 0.65  # the rest are plausible wrong ones: a planner tuned on filtered plans must have room to improve
GOLD_FOLLOWED = 0.5
EQUATIONS = 6  # of a text of arithmetic
LONGEST = 1000  # characters of a text: critiques of two long attempts are left out
Pair = tuple[str, str]  # prompt and completion


@cache
def _prompts() -> Prompts:
    return Prompts("laptop")


def _asked(question: str, **values: object) -> str:
    """What the laptop's models read of a question: its words, one message after the other."""
    return flat(_prompts().render(question, **values))


def _begun(task: Task, *lines: str) -> str:
    """A problem and the first lines of an attempt at it."""
    return _asked("solve", problem=task.text) + "".join(f"{line}\n" for line in lines)


def _solve(task: Task, rng: random.Random) -> Pair:
    return _asked("solve", problem=task.text), "\n".join(task.solution)


def _read(task: Task, rng: random.Random) -> Pair:
    """The numbers in reading order: copying is what a small model learns last, and every other role needs it."""
    return f"{task.text}\nRead the numbers:\n", ", ".join(re.findall(r"\d+", task.text))


def _compute(tasks: Sequence[Task], rng: random.Random) -> Pair:
    """One equation of each task, out of its context: every operation and range that solutions and guesses use, and no goal.

    Some are looked at again, in the words that reflections begin with: right ones stay, slips are found and put right.
    """
    lines: list[str] = []
    for task in tasks:
        equation, look = _any_equation(task, rng), rng.random()
        if look < 0.06:
            false = dataclasses.replace(equation, value=slipped(equation, rng))
            lines += [str(false), f"{rng.choice(CRITIQUE)} {verdict(false)}", f"{rng.choice(EXPLORE)} {redo(equation)}"]
        lines.append(str(equation))
        if look > 0.94:
            lines.append(f"{rng.choice(VERIFY)} {verdict(equation)}")
    return "", "\n".join(lines)


def _retry(task: Task, rng: random.Random) -> Pair:
    """All wrong ways in a row and the right one, without arithmetic: what follows a miss is one word of a long text."""
    lines: list[str] = []
    for guess in range(task.facts.guess + 1, task.facts.guess + len(WAYS)):
        wanted, tried, *_, miss, box = task.attempt(guess)
        lines += [wanted, tried, miss, *([box] if rng.random() < 0.5 else []), *_said(missed(task, guess), rng)]
    wanted, tried, *_, hit, box = task.solution
    return "", "\n".join((*lines, wanted, tried, hit, box))


def _any_equation(task: Task, rng: random.Random) -> Equation:
    """A true equation of the solution, of a wrong attempt, or of another plan."""
    kind = rng.random()
    lines = task.solution if kind < 0.5 else mistaken(task, rng).lines if kind < 0.75 else _other_plan(task, rng)[1]
    true = [equation for line in lines if (equation := parse_equation(line)) and equation.holds]
    return rng.choice(true or task.equations)


def _attempt(task: Task, rng: random.Random) -> tuple[tuple[str, ...], tuple[Equation, ...]]:
    """A whole attempt, right or wrong, and its equations."""
    lines = task.solution if rng.random() < 0.4 else mistaken(task, rng).lines
    equations = tuple(equation for line in lines if (equation := parse_equation(line)))
    return lines, equations[: len(task.equations)] if task.family.checks else equations  # without how far off it is


def _check(task: Task, rng: random.Random) -> Pair:
    """A given guess, mostly a wrong one, checked honestly and boxed: whatever is tried, its arithmetic does not bend to the target."""
    guess = task.facts.guess if rng.random() < 0.25 else wrong_guess(task, rng)
    wanted, tried, *rest = task.attempt(guess)
    return _begun(task, wanted, tried), "\n".join(rest)


def _least(task: Task) -> int:
    """Lines of an attempt before there is anything to verify."""
    return FIRST if task.family.checks else 1


def _verify(task: Task, rng: random.Random) -> Pair:
    lines, equations = _attempt(task, rng)
    prefix = lines[: rng.randint(_least(task), len(lines))]
    return _asked("verify", problem=task.text, steps=prefix), verify_last(task, prefix, equations)


def _continue(task: Task, rng: random.Random) -> Pair:
    kind = rng.random()
    if kind < 0.7:
        return _criticised(task, rng)
    prefix, verification, rest = _verified(task, rng) if task.family.checks is None or kind < 0.8 else _verified_guess(task, rng)
    reflection = said(rng.choice(VERIFY), verification)
    return _begun(task, *prefix, reflection), "\n".join(rest)


def _criticised(task: Task, rng: random.Random) -> Pair:
    """On from a wrong attempt and what a critic says of it; in a search, often from two or three of them, one way after the other."""
    mistake, earlier = mistaken(task, rng), ""
    if mistake.tried is not None:
        wrong_before = (mistake.tried - task.facts.guess) % len(WAYS) - 1
        for back in range(rng.randint(0, wrong_before), 0, -1):
            before = missed(task, mistake.tried - back)
            earlier += "\n".join((*_kept(before, rng), *_said(before, rng), ""))
    reflection, exploration = _said(mistake, rng)
    text = earlier + "\n".join(_kept(mistake, rng))
    return _begun(task, text, reflection, exploration), "\n".join(mistake.resume)


def _kept(mistake: Mistake, rng: random.Random) -> tuple[str, ...]:
    return mistake.lines if rng.random() < 0.5 else mistake.lines[: mistake.step]


def _said(mistake: Mistake, rng: random.Random) -> tuple[str, str]:
    return said(rng.choice(CRITIQUE), mistake.finding), said(rng.choice(EXPLORE), mistake.hint)


def _verified(task: Task, rng: random.Random) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """A right prefix goes on (a box is boxed again); a wrong last step is done again."""
    lines = task.solution
    if task.family.checks is None and rng.random() < 0.35:
        mistake = mistaken(task, rng)
        wrong = parse_equation(mistake.lines[mistake.step - 1])
        if wrong is not None and not wrong.holds:
            return mistake.lines[: mistake.step], verdict(wrong), mistake.resume
    cut = rng.randint(_least(task), len(lines))
    return lines[:cut], verify_last(task, lines[:cut], task.equations), lines[cut:] or lines[-1:]


def _verified_guess(task: Task, rng: random.Random) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """A given wrong guess goes on honestly until a check has failed; then another one is tried."""
    guess = wrong_guess(task, rng)
    lines, checks = task.attempt(guess), task.checks(guess)
    cut = rng.randint(FIRST, len(lines)) if rng.random() < 0.5 else FIRST
    verification = verify_last(task, lines[:cut], tuple(check.equation for check in checks))
    failed = not verification.endswith(RIGHT) or cut >= FIRST + len(checks)
    return lines[:cut], verification, task.attempt(guess + 1) if failed else lines[cut:]


def _critique(task: Task, rng: random.Random) -> Pair:
    mistake = mistaken(task, rng)
    gold = "\n".join(task.solution)
    if rng.random() < 0.7:
        return _asked(
            "critique", problem=task.text, solution=gold, steps=mistake.lines
        ), f"{mistake.critique}\nAlternatively: {mistake.hint}"
    again = mistaken(task, rng)
    done = len(task.solution) - len(mistake.resume)  # steps that the second attempt does not repeat
    if again.step <= done:
        return _critique(task, rng)
    prompt = _asked("critique_again", problem=task.text, solution=gold, earlier=mistake.lines[: mistake.step],
                    critique=mistake.critique, steps=again.lines[done:])  # fmt: skip
    return prompt, f"In Step {again.step - done}: {again.finding}\nAlternatively: {again.hint}"


def _plan(task: Task, rng: random.Random) -> Pair:
    names = list(task.facts.strategy)
    if rng.random() >= GOLD_PLANS:
        for place in rng.sample(range(len(names)), rng.randint(1, min(2, len(names)))):
            names[place] = rng.choice(RIVALS[names[place]])
    return _asked("plan", problem=task.text), "\n".join(STRATEGIES[name].line for name in names)


def _follow(task: Task, rng: random.Random) -> Pair:
    names, steps = task.facts.strategy, task.solution
    if rng.random() >= GOLD_FOLLOWED:
        names, steps = _other_plan(task, rng)
    return _asked("guided", problem=task.text, templates=[STRATEGIES[name] for name in names]), "\n".join(steps)


def _other_plan(task: Task, rng: random.Random) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Any sequence of procedures that can be done with the problem's numbers, and its honest execution."""
    numbers, gold = tuple(map(int, re.findall(r"\d+", task.text))), task.facts.strategy
    while True:
        if task.family.checks or rng.random() < 0.5:
            names = tuple(rng.choice(PROCEDURES) for _ in range(rng.randint(1, min(3, len(numbers) - 1))))
        else:
            names = tuple(rng.choice(RIVALS[name]) if rng.random() < 0.5 else name for name in gold)
        equations = execute(numbers, operations(names)) if all(name in PROCEDURES for name in names) else None
        if equations:
            return names, (*map(str, equations), boxed(equations[-1].value))


def _describe(rng: random.Random) -> Pair:
    strategy = STRATEGIES[rng.choice(sorted(STRATEGIES))]
    return _asked("describe", name=strategy.name, tags=strategy.tags), f"Description: {strategy.description}\nScope: {strategy.scope}"


def _analyse(task: Task, rng: random.Random) -> Pair:
    first = 1 + (FIRST if task.family.checks else 0)
    at = rng.randrange(len(task.equations))
    strategy = STRATEGIES[task.facts.strategy[owners(task)[at]]]
    prompt = _asked("analyse", problem=task.text, solution="\n".join(task.solution), step=at + first)
    return prompt, "\n".join((
        f"Name: {strategy.name}", f"Tags: {', '.join(strategy.tags)}", f"Description: {strategy.description}",
        f"Scope: {strategy.scope}", f"Steps: {' '.join(strategy.steps)}",
    ))  # fmt: skip


_OF_PROBLEMS: dict[str, Callable[[Task, random.Random], Pair]] = {
    "solve": _solve, "read": _read, "check": _check, "retry": _retry, "continue": _continue, "verify": _verify,
    "critique": _critique, "plan": _plan, "follow": _follow,
    "analyse": _analyse,
}  # fmt: skip
ROLES = (*_OF_PROBLEMS, "compute", "describe")


def _shares(corpus: Corpus) -> dict[str, int]:
    """Texts a role. Raises ParamsError on a role that nobody plays."""
    for role in corpus.roles:
        if role not in ROLES:
            raise ParamsError(f"corpus.roles.{role} is no role: expected some of {', '.join(ROLES)}")
    total = sum(corpus.roles.values())
    counts = {role: int(corpus.texts * weight / total) for role, weight in corpus.roles.items()}
    counts[max(counts, key=lambda role: counts[role])] += corpus.texts - sum(counts.values())
    return counts


def _texts(role: str, world: World, excluded: set[str], seed: int) -> Iterator[tuple[str, str, Pair]]:
    """(family, instance, (prompt, completion)) of a role without end, the trained families in turn."""
    rng = random.Random(seed_for(seed, "corpus", role))
    sources = {family.name: fresh_tasks(family, rng, world, excluded) for family in TRAINED}
    while role == "describe":
        yield "none", role, _describe(rng)
    while role == "compute":
        yield "none", role, _compute([next(sources[name]) for name in rng.choices(sorted(sources), k=EQUATIONS)], rng)
    searching = {family.name for family in TRAINED if family.checks}
    while True:
        for name, tasks in sources.items():
            if role in ("check", "retry") and name not in searching:
                continue
            task = next(tasks)
            while sum(map(len, pair := _OF_PROBLEMS[role](task, rng))) > LONGEST:
                task = next(tasks)
            yield name, task.instance, pair


def role_texts(corpus: Corpus, world: World, excluded: set[str], seed: int) -> list[CorpusText]:
    """`corpus.texts` texts, sorted by id. `excluded`: the instances of every split, of which none occurs here."""
    rows = []
    for role, count in _shares(corpus).items():
        source = _texts(role, world, excluded, seed)
        for ordinal in range(count):
            family, instance, (prompt, completion) = next(source)
            key = row_id("corpus", role, ordinal, prompt, completion)
            rows.append(CorpusText(id=key, role=role, family=family, instance=instance, prompt=prompt, completion=completion))
    return sorted(rows, key=lambda row: row.id)
