"""From the params to a request: how it is sampled, whether its answer is asked for as JSON, and how many are under way at once.

sampling_params(params.rollouts.sampling)            → SamplingParams(max_tokens=304, temperature=0.8, top_p=1.0)
in_json(labeller, Prompts("instruct"), "analyse")    → True on vLLM, False on transformers
for problem, requests, completions in answered(engine, ((problem, [Request(…), …]), …), "rollouts_base", 8): …
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from factory.engines.flow import Ask, Deliver, Flow, streamed
from factory.engines.protocol import Completion, Engine, Request, SamplingParams
from factory.engines.requests import StoredEngine
from factory.language.prompting import Prompts
from factory.params import Sampling

HELD = 4096  # requests under way at once, where an engine does not want more: their answers are in memory

S = TypeVar("S")


def sampling_params(sampling: Sampling, drawn: bool = False) -> SamplingParams:
    return SamplingParams(max_tokens=sampling.max_tokens, temperature=sampling.temperature, top_p=sampling.top_p, drawn=drawn)


def in_json(engine: Engine, prompts: Prompts, question: str) -> bool:
    """Where the engine holds answers to a schema and the question's file can ask for JSON. A bare engine without the word holds none."""
    return prompts.asks_json(question) and bool(getattr(engine, "structured", False))


def answered(
    engine: Engine, asked: Iterable[tuple[S, Sequence[Request]]], title: str, each: int, total: int | None = None
) -> Iterator[tuple[S, Sequence[Request], list[Completion]]]:
    """(subject, its requests, their completions) of each of `asked`, `each` requests a subject, whichever are all answered first. Neither
    what is asked nor what is answered is all in memory. `total`: subjects, where it is known. Raises as the engine does."""
    service: StoredEngine | _Whole = engine if isinstance(engine, StoredEngine) else _Whole(engine)

    def one(subject: S, requests: Sequence[Request]) -> Flow[tuple[S, Sequence[Request], list[Completion]]]:
        return subject, requests, (yield Ask(service, requests))

    flows = (one(*pair) for pair in asked)
    for _, found in streamed(flows, title, HELD, items=each, total=total and total * each):
        yield found


class _Whole:
    """An engine without a store, asked at once for all that flows ask at once."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def submit(self, items: Sequence[Request], deliver: Deliver) -> None:
        for place, completion in enumerate(self.engine.generate(items)):
            deliver(place, completion)

    def work(self) -> bool:
        return False
