"""What the tests of server.py, servers.py and openai_engine.py have in common; their fixtures are in conftest.py."""

import json
import time
from collections.abc import Callable
from typing import Any

from fault_server import FaultServer

from factory.engines.protocol import Completion, Request, SamplingParams
from factory.engines.requests import StoredEngine
from factory.language.conversation import flat
from factory.params import Requests, Role
from factory.schemas import Conversation, Message

SETTINGS = Requests(timeout=20, retries=2, max_failed_share=0.5)
SAMPLING = SamplingParams(max_tokens=64)


def asked(text: str) -> Conversation:
    return (Message("user", text),)


def said(request: Request) -> str:
    return flat(request.prompt)  # type: ignore[arg-type]


def role_of(*fault_servers: FaultServer, **changes: Any) -> Role:
    values = {"engine": "openai", "model": "m@1", "base_url": tuple(one.url for one in fault_servers), "concurrency": 4}
    return Role(**{**values, **changes})


def requests_of(count: int, **sampling: Any) -> list[Request]:
    return [Request(prompt=asked(f"problem {number}"), sampling=SamplingParams(64, **sampling), seed=number) for number in range(count)]


def ask(engine: StoredEngine, prompt: Any = "Tom", **changes: Any) -> Completion:
    sampling = changes.pop("sampling", SAMPLING)
    return engine.generate([Request(prompt=asked(prompt) if isinstance(prompt, str) else prompt, sampling=sampling, **changes)])[0]


def reply(**choice: Any) -> str:
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    return json.dumps({"choices": [{"finish_reason": "stop", **choice}], "usage": usage})


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)
