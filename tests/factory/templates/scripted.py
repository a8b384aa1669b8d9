"""A local OpenAI-compatible server whose model is a function of the question, and a loop that asks it."""

import json
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))
from fault_server import FaultServer

from factory.engines.openai_engine import OpenAIEngine
from factory.engines.requests import StoredEngine
from factory.engines.store import Store
from factory.language.prompting import Prompts
from factory.params import Requests, Role
from factory.schemas import Template
from factory.templates.adjusting import prompts_of
from factory.templates.lookup import Lookup
from factory.templates.solver import Settings, Solver, Voice

SETTINGS = Requests(timeout=20, retries=0, max_failed_share=1.0)
PROBLEM = "Tom has 3 boxes of 4 apples. He eats 2. How many apples has he now?"
ASKED = {  # a question by its last words
    "Which template solves this problem?": "propose",
    "Name the thought templates": "plan",
    "Which templates lead to the answer from here?": "revise",
    "What is done after step": "evaluate",
    "Now do step": "instantiate",
    "Finish the solution.": "conclude",
    "Solve this problem step by step.": "solve",
}


def question_of(prompt: str) -> str:
    return next(name for words, name in ASKED.items() if words in prompt)


class ScriptedServer(FaultServer):
    """`answers`: question → what is answered, one after the other; the last one stays. An Exception's text is a failed request."""

    def __init__(self, answers: dict[str, Sequence[str]], **options: Any) -> None:
        super().__init__(**options)
        self.answers = {question: list(texts) for question, texts in answers.items()}
        self.asked: list[tuple[str, str]] = []

    def completed(self, path: str, document: dict[str, Any], prompt: Any) -> tuple[int, str, int]:
        question = question_of(prompt)
        self.asked.append((question, prompt))
        texts = self.answers[question]
        text = texts.pop(0) if len(texts) > 1 else texts[0]
        if text.startswith("!"):
            return 400, json.dumps({"error": {"message": text[1:]}}), 0
        words = text.split(" ")
        cut = len(words) > document["max_tokens"]
        choice = {"index": 0, "finish_reason": "length" if cut else "stop", "message": {"role": "assistant"}}
        choice["message"]["content"] = " ".join(words[: document["max_tokens"]])
        count = min(len(words), document["max_tokens"])
        usage = {"prompt_tokens": len(prompt), "completion_tokens": count, "total_tokens": len(prompt) + count}
        return 200, json.dumps({"id": "x", "object": "x", "choices": [choice], "usage": usage}), count

    def times(self, question: str) -> int:
        return sum(name == question for name, _ in self.asked)


@lru_cache
def looked_up(templates: tuple[Template, ...]) -> Lookup:
    """Its index, made once for all tests."""
    return Lookup(templates)


def solver(
    server: FaultServer, store: Store, templates: Sequence[Template], *, adjusts: bool = False, **settings: Any
) -> tuple[Solver, Callable[[], None]]:
    """The loop with every role on the server, and what closes it; `adjusts`: with a trained planner and evaluator."""
    role = Role(engine="openai", model="m@1", base_url=server.url, concurrency=4)
    engine = StoredEngine(OpenAIEngine(role, SETTINGS), store, "solve")
    prompts = Prompts.of("instruct")
    planner, inference = Voice("labeller", engine, prompts), Voice("inference", engine, prompts)
    watching = Voice("evaluator", engine, prompts_of("instruct")) if adjusts else planner
    plans_with = "plan" if adjusts else "propose"
    return Solver(planner, watching, inference, looked_up(tuple(templates)), Settings(**settings), plans_with, adjusts), engine.close
