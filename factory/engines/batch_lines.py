"""The files of a provider's batch interface: JSON lines of requests, and of what became of each.

    {"custom_id": "9f0c…", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "o3", "messages": […], …}}
    {"custom_id": "9f0c…", "response": {"status_code": 200, "body": {"choices": […]}}, "error": null}
    {"custom_id": "77ab…", "response": null, "error": {"code": "batch_expired", "message": "…"}}

OpenAI's, which others took over. Lines come back in any order, in two files, and now and then twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from factory.engines.bodies import Failed, read

EXPIRED = ("batch_expired", "batch_cancelled")  # the request was not run


@dataclass(frozen=True)
class Line:
    """`status` and `body`: of an answer as the request itself would have got it. None: `error` says why there is none."""

    key: str
    status: int | None
    body: bytes
    error: str = ""

    @property
    def unrun(self) -> bool:
        return self.error in EXPIRED


def request_line(key: str, path: str, document: dict[str, Any]) -> bytes:
    return orjson.dumps({"custom_id": key, "method": "POST", "url": f"/v1{path}", "body": document}) + b"\n"


def lines(path: Path) -> Iterator[Line]:
    """What can be read, in the file's order; a request whose line cannot be read has none."""
    with path.open("rb") as stream:
        for raw in stream:
            try:
                said = read(raw)
            except Failed:
                continue
            if isinstance(said, dict) and isinstance(said.get("custom_id"), str):
                yield _line(said)


def _line(said: dict[str, Any]) -> Line:
    reply, error = said.get("response"), said.get("error")
    if isinstance(reply, dict) and isinstance(reply.get("status_code"), int):
        return Line(said["custom_id"], reply["status_code"], orjson.dumps(reply.get("body")))
    told = error if isinstance(error, dict) else {"message": error}
    return Line(said["custom_id"], None, orjson.dumps({"error": told}), str(told.get("code") or "no response"))


def chunked(found: Iterator[Line], size: int) -> Iterator[list[Line]]:
    chunk: list[Line] = []
    for line in found:
        chunk.append(line)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
