"""An engine that answers batches, as one that takes requests at any time.

engine = streaming(TransformersEngine("data/models/base", "base@1c3f…"))
engine.submit({"9f0c…": Request(…), …}, landed)
while engine.work():        # a batch at a time
    …
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from factory.engines.protocol import Engine, Request, StreamingEngine, hand_over

CHUNK = 256  # requests of one batch of an engine that answers in batches: a few seconds of work

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batches(Generic[Item, Answer]):
    """A streaming service out of a function that answers batches: in each turn the first `chunk` of the largest group, in order, so that
    little of a batch is padding and equal prompts stand together."""

    family, model, structured = "", "", False

    def __init__(
        self, answer: Callable[[list[Item]], list[Answer]], chunk: int, group: Callable[[Item], Any], order: Callable[[Item], Any]
    ):
        self.answer, self.chunk, self.group, self.order = answer, chunk, group, order
        self.pending: dict[Any, list[tuple[Any, str, Item, Callable[[Mapping[str, Answer]], None]]]] = {}

    def submit(self, items: Mapping[str, Item], landed: Callable[[Mapping[str, Answer]], None]) -> None:
        touched: dict[Any, list[Any]] = {}
        for key, item in items.items():
            group = self.group(item)
            touched[group] = self.pending.setdefault(group, [])
            touched[group].append((self.order(item), key, item, landed))
        for waiting in touched.values():
            waiting.sort(key=lambda entry: entry[:2], reverse=True)

    def work(self) -> bool:
        if not self.pending:
            return False
        group, waiting = max(self.pending.items(), key=lambda entry: len(entry[1]))
        batch = [waiting.pop() for _ in range(min(self.chunk, len(waiting)))]
        if not waiting:
            del self.pending[group]
        answers = self.answer([item for _, _, item, _ in batch])
        assert len(answers) == len(batch), f"{len(answers)} answers to {len(batch)} requests"
        hand_over((landed, key, answer) for (_, key, _, landed), answer in zip(batch, answers, strict=True))
        return True

    def close(self) -> None:
        self.pending.clear()


def streaming(engine: Engine | StreamingEngine, chunk: int = CHUNK) -> Any:
    """The engine as one that streams, its name kept."""
    if isinstance(engine, StreamingEngine):
        return engine
    batches = Batches(engine.generate, chunk, _sampling, _length)
    batches.family, batches.model = engine.family, engine.model
    return batches


def _sampling(request: Request) -> object:
    return request.sampling


def _length(request: Request) -> tuple[int, str, int]:
    said = [part.content for part in request.prompt if isinstance(part, tuple)]
    return sum(map(len, said)) or len(request.prompt), str(said or request.prompt), request.ordinal
