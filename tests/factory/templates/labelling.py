"""A local OpenAI-compatible server that answers as a labeller would, by rule, and the engine that asks it through the request store."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))
from fault_server import FaultServer

from factory.engines.openai_engine import OpenAIEngine
from factory.engines.requests import StoredEngine
from factory.engines.store import Store
from factory.params import Requests, Role

SETTINGS = Requests(timeout=20, retries=0, max_failed_share=1.0)


class Labeller(FaultServer):
    """`says`: the last thing that the user said → the answer; `surely`: its log-probability. `asked`: all, and whether a schema came."""

    def __init__(self, says: Callable[[str], str]) -> None:
        super().__init__()
        self.says = says
        self.surely: Callable[[str], float] = lambda prompt: 0.0
        self.asked: list[tuple[str, bool]] = []

    def completed(self, path: str, document: dict[str, Any], prompt: Any) -> tuple[int, str, int]:
        self.asked.append((prompt, "response_format" in document))
        text = self.says(prompt)
        if text.startswith("!"):
            return 400, json.dumps({"error": {"message": text[1:]}}), 0
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        if document.get("logprobs"):
            choice["logprobs"] = {"content": [{"token": text, "logprob": self.surely(prompt)}]}
        usage = {"prompt_tokens": len(prompt), "completion_tokens": 3, "total_tokens": len(prompt) + 3}
        return 200, json.dumps({"id": "x", "object": "x", "choices": [choice], "usage": usage}), 3


@contextmanager
def labeller(folder: Path, says: Callable[[str], str]) -> Iterator[tuple[StoredEngine, Labeller]]:
    """The same folder has the same store: what was answered is not asked again."""
    store = Store(folder / "store.sqlite")
    with Labeller(says) as server:
        engine = StoredEngine(OpenAIEngine(Role(engine="openai", model="m@1", base_url=server.url), SETTINGS), store, "templates")
        try:
            yield engine, server
        finally:
            engine.close()
            store.close()


def words(yes: bool) -> str:
    return json.dumps({"answer": "yes" if yes else "no"})


def named(prompt: str) -> tuple[str, str]:
    """The names of the two templates that a question shows, in its order."""
    first, second = (line.split(": ", 1)[1] for line in prompt.split("\n") if line.startswith(("First: ", "Second: ")))
    return first, second
