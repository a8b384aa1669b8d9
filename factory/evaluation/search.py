r"""A small Monte Carlo tree search over steps, with a reward model's opinion as a node's value: what samples in a tree buy.

    found = search_all(problems, Searcher(engine, Judge.of(scorer, "data/models/orm_base"), prompts, Settings(tokens=300)))
    found[0]   → Found(text="12 + 7 = 19\n\\boxed{19}", answer="19", failure="", tokens=212, requests=17, judged=13, …)

    select   the open leaf by PUCT (tree.py)
    expand   `width` sampled next steps of the inference model: a line, or a paragraph that cuts no formula; equal ones are one node
    value    σ((logit - mean) / std) of the reward model for the path gone on with to its end, which is a solution too, or (`path`) for
             the path as it is, of which a reward model that was trained on whole solutions says little
    back up  each value to the root, until the tokens are used up or the tree is closed
    answer   `chosen` of tree.py; where no path came to an answer, the most visited one is gone on with, greedily

Generated tokens never exceed `Settings.tokens`, for which enough is held back until a path has an answer. It ends with an answer or a
stated failure. Each problem is a flow (factory/engines/flow.py): many are searched at once, in large batches, and none of them changes
another's answer.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from factory.engines.budget import estimated
from factory.engines.flow import Ask, Flow, run
from factory.engines.protocol import Completion, Request, SamplingParams
from factory.engines.requests import StoredEngine, StoredScorer
from factory.evaluation.tree import Chooses, Node, Solution, chosen, most_visited, select
from factory.grading import BOX, SHARED, Grader, Task, extract
from factory.identity import row_id, seed_for
from factory.language.conversation import begun
from factory.language.prompting import Prompts
from factory.language.steps import By, split
from factory.schemas import Answer, Problem, Rule

SHORTEST = 8  # tokens: no step is asked for with fewer
PARTS = 4  # in how many turns a paragraph is written that a heading, a colon or an open block holds together


@dataclass(frozen=True)
class Settings:
    """`tokens`: generated in all for a problem. `step_tokens` bounds one step, `answer_tokens` a rollout or what finishes a path."""

    tokens: int = 300
    width: int = 4
    step_tokens: int = 40
    answer_tokens: int = 304
    explore: float = 1.0
    temperature: float = 0.8
    top_p: float = 1.0
    value: Literal["rollout", "path"] = "rollout"
    chooses: Chooses = "vote"
    steps: By = "paragraph"
    rules: tuple[Rule, ...] = BOX  # which find the answer
    seed: int = 1

    def __post_init__(self) -> None:
        if self.tokens < SHORTEST or self.width < 1 or self.step_tokens < SHORTEST:
            raise ValueError(
                f"tokens {self.tokens}, width {self.width}, step_tokens {self.step_tokens}: expected {SHORTEST}, 1 and {SHORTEST} or more"
            )


@dataclass(frozen=True)
class Judge:
    """A reward model, and the mean and standard deviation of its logits that were stored with it."""

    scorer: StoredScorer
    mean: float = 0.0
    std: float = 1.0

    @staticmethod
    def of(scorer: StoredScorer, source: str) -> "Judge":
        """`source`: the role's model. A model of somebody else's carries no statistics: 0 and 1."""
        path = Path(source) / "config.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return Judge(scorer, known.get("reward_mean") or 0.0, known.get("reward_std") or 1.0)

    def value(self, logit: float) -> float:
        """In [0, 1]; 0 for what cannot be scored. Rounded: what stands beside a text in a batch changes the last bits of its logit."""
        return 0.0 if math.isnan(logit) else round(0.5 + 0.5 * math.tanh((logit - self.mean) / self.std / 2), 4)


@dataclass(frozen=True)
class Searcher:
    engine: StoredEngine
    judge: Judge
    prompts: Prompts
    settings: Settings


@dataclass(frozen=True)
class Found:
    """`answer` None: `failure` says why. `read`: prompt tokens of the requests; `judged`, `judged_tokens`: passes of the reward model and
    what they read, in the inference model's tokens. `ran_out`: tokens ended it, not the tree."""

    text: str
    answer: str | None
    failure: str
    nodes: int
    requests: int
    tokens: int
    read: int
    judged: int
    judged_tokens: int
    ran_out: bool


def search_all(problems: Iterable[Problem], searcher: Searcher, title: str = "tree search") -> list[Found]:
    """In order. Raises EngineError when a model or the store as a whole is unusable."""
    return run((Searching(problem, searcher).flow() for problem in problems), title)


def search(arm: str, problems: Sequence[Problem], searcher: Searcher, grader: Grader = SHARED) -> tuple[list[Answer], list[Found]]:
    """As an arm of an evaluation. A search that fails is a wrong answer that cost what it cost."""
    found = search_all(problems, searcher, arm)
    grades = grader.grade_many(Task.of(problem, row.text) for problem, row in zip(problems, found, strict=True))
    answers = [
        Answer(
            id=row_id("answer", arm, problem.id, row.text, row.tokens), model=searcher.engine.model, arm=arm, problem_id=problem.id,
            split=problem.split, family=problem.family, group=problem.group, completion=row.text, verdict=grade.verdict,
            finish_reason="stop" if row.answer is not None else "length" if row.ran_out else "error", tokens=row.tokens, calls=row.requests,
        )
        for problem, row, grade in zip(problems, found, grades, strict=True)
    ]  # fmt: skip
    return answers, found


@dataclass(frozen=True)
class _Step:
    """A step as sampled: the whole text up to its end, whether the model ended there, and tokens of prompt and text together."""

    text: str
    ended: bool
    length: int


class Searching:
    """One problem's tree, and what it has cost."""

    def __init__(self, problem: Problem, searcher: Searcher) -> None:
        self.problem, self.searcher, self.settings = problem, searcher, searcher.settings
        self.asked = searcher.prompts.render("solve", problem=problem.problem)
        self.root = Node("")
        self.spent = self.read = self.requests = self.judged = self.judged_tokens = self.longest = 0
        self.failure, self.ran_out = "", False

    def flow(self) -> Flow[Found]:
        while node := select(self.root, self.settings.explore):
            width = min(self.settings.width, self._left() // max(SHORTEST, self.longest))
            if width < 1:
                self.ran_out = True
                break
            yield from self._expand(node, width)
        if not self.root.reaches:
            yield from self._finish()
        best = chosen(self.root, self.settings.chooses)
        return Found(
            best.text if best else "", best.answer if best else None, "" if best else self._why(), sum(1 for _ in self.root.below()),
            self.requests, self.spent, self.read, self.judged, self.judged_tokens, self.ran_out,
        )  # fmt: skip

    # -- expanding

    def _expand(self, node: Node, width: int) -> Flow[None]:
        steps = yield from self._next_steps(node, width)
        counts: dict[str, int] = {}
        for step in steps:
            counts[step.text] = counts.get(step.text, 0) + 1
        first = {step.text: step for step in reversed(steps)}
        if not counts:
            return node.close()
        node.grow([Node(text, count / len(steps)) for text, count in counts.items()])
        yield from self._value(node.children, [first[child.text] for child in node.children])

    def _next_steps(self, node: Node, width: int) -> Flow[list[_Step]]:
        """What the model goes on with, `width` times; a request that failed is left out."""
        found: dict[int, _Step] = {}
        texts, used, going = [node.text] * width, [0] * width, list(range(width))
        for part in range(PARTS):
            share = self._left() // len(going)
            most = [min(self.settings.step_tokens - used[row], share) for row in going]
            going = [row for row, room in zip(going, most, strict=True) if room >= 1]
            room = min((room for room in most if room >= 1), default=0)
            sampling = SamplingParams(room, self.settings.temperature, self.settings.top_p, (self._break,))
            seeds = [seed_for(self.settings.seed, "next step", self.problem.id, node.text, row, part) for row in going]
            requests = [Request(begun(self.asked, texts[row]), sampling, seed, row) for row, seed in zip(going, seeds, strict=True)]
            answers = yield from self._ask(requests)
            for row, answer in zip(going, answers, strict=True):
                if answer.finish_reason == "error":
                    self.failure = self.failure or " ".join((answer.error or "no reason given").split())
                    continue
                used[row] += self._tokens(answer)
                ended = not answer.text.strip() or extract(answer.text, BOX, self.problem.answer_kind) is not None
                goes_on = answer.finish_reason == "stop" and not ended
                texts[row] += answer.text + (self._break if goes_on else "")
                found[row] = _Step(texts[row], ended, answer.prompt_tokens + self._tokens(answer))
            going = [row for row in going if row in found and not found[row].ended and not self._whole(found[row].text)]
            if not going:
                break
        self.longest = max(self.longest, *used)
        return [found[row] for row in sorted(found)]

    @property
    def _break(self) -> str:
        return "\n" if self.settings.steps == "line" else "\n\n"

    def _whole(self, text: str) -> bool:
        """Whether a step is complete: another paragraph would begin a step of its own. What was cut off is what it is."""
        if not text.endswith(self._break):
            return True
        return len(split(text + "So", self.settings.steps)) > len(split(text.rstrip("\n"), self.settings.steps))

    # -- values

    def _value(self, nodes: Sequence[Node], steps: Sequence[_Step]) -> Flow[None]:
        """Values, solutions and closed ends of new nodes."""
        paths = list(steps)
        if self.settings.value == "rollout":
            paths = yield from self._rolled_out(steps)
        answers = [self._answer(path.text) if path.ended else None for path in paths]
        judged = [row for row, path in enumerate(paths) if answers[row] is not None or not path.ended]
        logits = yield Ask(self.searcher.judge.scorer, [(self.asked, paths[row].text.rstrip("\n")) for row in judged])
        self.judged += len(judged)
        self.judged_tokens += sum(paths[row].length for row in judged)
        values = dict(zip(judged, map(self.searcher.judge.value, logits), strict=True))
        for row, (node, step) in enumerate(zip(nodes, steps, strict=True)):
            value = values.get(row, 0.0)  # 0: the model ended without an answer
            node.back_up(value)
            if (answer := answers[row]) is not None:
                node.solve(Solution(paths[row].text.rstrip("\n"), answer, value))
            if step.ended:
                node.close()

    def _rolled_out(self, steps: Sequence[_Step]) -> Flow[list[_Step]]:
        """Each open path gone on with, where tokens are left for it; what is cut off there has not ended."""
        paths = list(steps)
        rows = [row for row, step in enumerate(steps) if not step.ended]
        room = min(self.settings.answer_tokens, self._left() // len(rows)) if rows else 0
        if room >= SHORTEST:
            sampling = SamplingParams(room, self.settings.temperature, self.settings.top_p)
            seeds = [seed_for(self.settings.seed, "rollout", self.problem.id, steps[row].text) for row in rows]
            requests = [Request(begun(self.asked, steps[row].text), sampling, seed) for row, seed in zip(rows, seeds, strict=True)]
            for row, answer in zip(rows, (yield from self._ask(requests)), strict=True):
                length = answer.prompt_tokens + self._tokens(answer)
                paths[row] = _Step(steps[row].text + answer.text, answer.finish_reason == "stop", length)
        return paths

    def _answer(self, text: str) -> str | None:
        found = extract(text, self.settings.rules, self.problem.answer_kind)
        return found.text if found else None

    # -- the end

    def _finish(self) -> Flow[None]:
        """No path has an answer: the most visited one is gone on with, greedily."""
        node = most_visited(self.root, solved=False)
        room = self.settings.tokens - self.spent
        if room < 1:
            return
        (answer,) = yield from self._ask([Request(begun(self.asked, node.text), SamplingParams(min(room, self.settings.answer_tokens)))])
        if answer.finish_reason == "error":
            self.failure = self.failure or " ".join((answer.error or "no reason given").split())
            return
        text = (node.text + answer.text).rstrip("\n")
        if (found := self._answer(text)) is not None:
            node.solve(Solution(text, found, 0.0))
        elif answer.finish_reason == "length":
            self.ran_out = True

    def _why(self) -> str:
        model = self.searcher.engine.model
        if self.failure:
            return f"no path of {model} came to an answer, and a request failed: {self.failure}"
        return f"no path of {model} came to an answer" + (f" within {self.settings.tokens:,} tokens" if self.ran_out else "")

    # -- requests

    def _ask(self, requests: Sequence[Request]) -> Flow[list[Completion]]:
        answers: list[Completion] = yield Ask(self.searcher.engine, requests)
        self.requests += len(answers)
        self.spent += sum(map(self._tokens, answers))
        self.read += sum(answer.prompt_tokens for answer in answers)
        return answers

    @staticmethod
    def _tokens(answer: Completion) -> int:
        return answer.tokens or estimated(answer.text + (answer.reasoning or ""))  # of an engine that tells none

    def _left(self) -> int:
        """Tokens that may be generated. Until a path has an answer, what finishes one is held back, at most a third of all."""
        held = 0 if self.root.reaches else min(self.settings.answer_tokens, self.settings.tokens // 3)
        return self.settings.tokens - self.spent - held
