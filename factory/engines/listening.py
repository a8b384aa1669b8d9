"""What a stage asks while it runs, told to whoever listens: `factory preview` shows it.

    with listening() as ear:
        rollouts.main(params, "base")
    ear.exchanges[0]   → Exchange(name="generator", key="9f0c…", item=Request(…), answer=Completion(…), stored=False)

Nobody listens to a stage of the line: then services tell nothing, and cost nothing.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from factory.engines.flow import Deliver
from factory.engines.protocol import Completion, Request
from factory.engines.requests import StoredEngine, StoredScorer
from factory.params import Role
from factory.schemas import Conversation


@dataclass(frozen=True)
class Exchange:
    """One request or pair to score, by the name of its service (`generator`), and what came of it. `stored`: it was answered before."""

    name: str
    key: str
    item: Request | tuple[Conversation, str]
    answer: Completion | float
    stored: bool


@dataclass
class Voice:
    """A service that is listened to. `seconds`: in which requests of it were under way."""

    role: Role
    model: str
    seconds: float = 0.0
    under_way: int = 0
    since: float = 0.0


@dataclass
class Ear:
    """`exchanges`: in the order in which they landed, each key once a service."""

    exchanges: list[Exchange] = field(default_factory=list)
    voices: dict[str, Voice] = field(default_factory=dict)
    known: set[tuple[str, str]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, name: str, service: StoredEngine | StoredScorer, items: Sequence[Any], deliver: Deliver) -> Deliver:
        """`deliver`, overheard. From the thread that submits; answers may land in another."""
        voice = self.voices[name]
        keys = [service.key(item) for item in items]
        stored = service.store.find(list(set(keys)))
        with self.lock:
            if not voice.under_way:
                voice.since = time.monotonic()
            voice.under_way += len(items)

        def overheard(place: int, answer: Any) -> None:
            key = keys[place]
            with self.lock:
                voice.under_way -= 1
                if not voice.under_way:
                    voice.seconds += time.monotonic() - voice.since
                if (name, key) not in self.known:
                    self.known.add((name, key))
                    self.exchanges.append(Exchange(name, key, items[place], answer, key in stored or _other(answer, key)))
            deliver(place, answer)

        return overheard


def _other(answer: Completion | float, key: str) -> bool:
    """Whether it was stored for another request: one with another `max_tokens` (limits.py)."""
    return isinstance(answer, Completion) and answer.finish_reason != "error" and answer.request_id not in ("", key)


_EAR: ContextVar[Ear | None] = ContextVar("ear", default=None)
Service = TypeVar("Service", StoredEngine, StoredScorer)


@contextmanager
def listening() -> Iterator[Ear]:
    """To every service that is opened in the block."""
    ear = Ear()
    token = _EAR.set(ear)
    try:
        yield ear
    finally:
        _EAR.reset(token)


def heard(service: Service, role: Role, name: str) -> Service:
    """The same service, overheard when somebody listens."""
    if ear := _EAR.get():
        ear.voices.setdefault(name, Voice(role, service.model))
        tell: Callable[[Sequence[Any], Deliver], Deliver] = partial(ear.tell, name, service)
        service.tell = tell
    return service
