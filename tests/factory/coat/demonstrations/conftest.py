"""`coat_kit`: one problem, its rollouts, and an engine behind a real store that answers from a table of prompts."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from factory import grading
from factory.coat import grammar
from factory.coat.demonstrations import lead_ins
from factory.coat.demonstrations.drafts import Source
from factory.engines.protocol import Completion, Request
from factory.engines.requests import StoredEngine
from factory.engines.store import Store
from factory.identity import row_id
from factory.language.conversation import flat
from factory.language.prompting import Prompts
from factory.params import Demonstrations, Sampling
from factory.schemas import Problem, Rollout

PROMPTS = Prompts.of("laptop")
TEXT = "Tom had 12 apples. Then he found 7 and lost 4. How many apples does Tom have now?"
SAMPLING = Sampling(temperature=0.2, top_p=1.0, max_tokens=48)
SETTINGS = Demonstrations(
    pass_rate=(0.0, 1.0), keep=4, thinking=False, critics=["llm"], max_reference_share=0.5, checkable_critiques=False,
    step_check="none", step_rollouts=2, repairs=0, critique_rounds=2, continuations=2, after_answer_share=0.0, keep_box_share=0.0,
    generator=SAMPLING, critic=SAMPLING,
)  # fmt: skip


def spelled_out(prompt: str) -> list[str]:
    """The prompt with every choice of lead-ins."""
    prompts = [prompt]
    for kind in ("VERIFY", "CRITIQUE", "EXPLORE"):
        while kind in prompts[0]:
            prompts = [text.replace(kind, phrase, 1) for text, phrase in product(prompts, getattr(lead_ins, kind))]
    return prompts


class TableEngine:
    """Answers the k-th sample of a prompt with the k-th text of its list (the last one again when there are fewer). A prompt that is not
    in the table fails; a text that ends in `…` is cut off. VERIFY, CRITIQUE and EXPLORE in a prompt stand for any lead-in of theirs."""

    family, model = "table", "table@1"

    def __init__(self, table: dict[str, list[str]]) -> None:
        self.table = {spelled: texts for prompt, texts in table.items() for spelled in spelled_out(prompt)}
        self.calls: list[list[Request]] = []

    def stored(self) -> StoredEngine:
        return StoredEngine(self, Store(Path(":memory:")), "demonstrations")

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.calls.append(list(requests))
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Completion:
        texts = self.table.get(flat(request.prompt))
        if texts is None:
            return Completion("", (), "error", 0, error="not in the table")
        text = texts[min(request.ordinal, len(texts) - 1)]
        return Completion(
            text, (), "length" if text.endswith("…") else "stop", 0, row_id(flat(request.prompt), request.seed, request.ordinal)
        )


class Kit:
    Table, settings, sampling, text, prompts = TableEngine, SETTINGS, SAMPLING, TEXT, PROMPTS
    gold = "12 + 7 = 19\n19 - 4 = 15\n\\boxed{15}"

    @staticmethod
    def problem(text: str = TEXT, answer: str = "15", solution: str = gold, family: str | None = None) -> Problem:
        """`family`: one of the world's, else nothing is known of the problem."""
        return Problem(
            id=row_id(text), source="world" if family else "test", family=family or "none", group="none", split="train",
            instance=text, problem=text, answer=answer, answer_kind="number" if answer.isdigit() else "text", solution=solution,
        )  # fmt: skip

    @staticmethod
    def rollout(problem: Problem, completion: str, **values: object) -> Rollout:
        fields = {
            "id": row_id("rollout", problem.id, completion), "problem_id": problem.id,
            "prompt": PROMPTS.render("solve", problem=problem.problem),
            "completion": completion, "steps": grammar.split_steps(completion), "answer": grading.extract_answer(completion),
            "verdict": grading.grade(completion, problem.answer, problem.answer_kind).verdict, "finish_reason": "stop", "tokens": 9,
            "model": "base@1", "request_ids": ("asked",), "prompt_version": "solve@1", "seed": 1, "round": "base",
        }  # fmt: skip
        return Rollout(**{**fields, **values})

    @classmethod
    def source(cls, completion: str, problem: Problem | None = None) -> Source:
        problem = problem or cls.problem()
        return Source(problem, cls.rollout(problem, completion))

    # the six prompt situations in the words of the set `laptop`, as the table's keys

    @staticmethod
    def verify(prefix: str) -> str:
        return f"{TEXT}\nSolve:\n{prefix}\nLet me check.\n"

    @staticmethod
    def go_on(prefix: str, verification: str) -> str:
        return f"{TEXT}\nSolve:\n{prefix}\nVERIFY {verification}\n"

    @classmethod
    def critique(cls, attempt: str) -> str:
        return f"{TEXT}\nSolution:\n{cls.gold}\nAttempt:\n{attempt}\nFind the first wrong step:\n"

    @classmethod
    def critique_again(cls, attempt: str, critique: str, second: str) -> str:
        asked = f"{TEXT}\nSolution:\n{cls.gold}\nAttempt:\n{attempt}\n{critique}\nSecond attempt:\n{second}"
        return f"{asked}\nFind the first wrong step:\n"

    @staticmethod
    def correct(attempt: str, statement: str, hint: str) -> str:
        return f"{TEXT}\nSolve:\n{attempt}\nCRITIQUE {statement}\nEXPLORE {hint}\n"


@pytest.fixture
def coat_kit() -> type[Kit]:
    return Kit
