"""A stand-in for a provider's batch interface on loopback, with faults on demand. Its answers are those of `fault_server`.

    with BatchServer() as server:                       # in a test: a thread of its own
        server.plans = [Plan(expires=3), Plan()]        # what becomes of the first batch, the second, …
    python tests/factory/engines/batch_server.py        # a process of its own: prints its port, serves GET /stats

POST /v1/files (multipart), POST and GET /v1/batches, GET /v1/batches/NAME, GET /v1/files/NAME/content. Requests of a batch are answered
when it is asked for the `polls`-th time.
"""

import argparse
import asyncio
import json
import random
import re
import time
from dataclasses import dataclass, field
from typing import Any

from fault_server import Fault, FaultServer, _Connection


@dataclass
class Plan:
    """What becomes of a batch."""

    polls: int = 2
    expires: int = 0  # lines of the end that are not run, and the batch is "expired"
    silent: bool = False  # … and the error file says nothing about them
    broken: tuple[str, ...] = ()  # prompts whose lines are no JSON
    statuses: dict[str, tuple[int, str]] = field(default_factory=dict)  # prompt → HTTP status and body of its line
    twice: bool = False  # each line comes a second time, with another text
    errors: tuple[dict[str, Any], ...] = ()  # it fails its validation with these
    state: str = ""  # its end, if not what the above makes of it
    lose: bool = False  # the answer to its submission is lost


class BatchServer(FaultServer):
    """`faults`: what the next requests with a beginning of "METHOD /path" get instead. `batched`: lines that were run, by custom_id."""

    def __init__(self, **options: Any) -> None:
        super().__init__(vllm=options.pop("vllm", False), **options)
        self.plans: list[Plan] = []
        self.faults: dict[str, list[Fault]] = {}
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.planned: dict[str, Plan] = {}
        self.sizes: list[int] = []  # lines of each batch that was begun
        self.batched: dict[str, int] = {}
        self.polled: dict[str, int] = {}
        self.hold = False  # no batch ends
        self.page = 100  # batches that a list shows at once
        self.most_bytes = 1 << 40

    def handle(self, connection: _Connection, method: str, path: str, headers: bytes, body: bytes) -> None:
        plain = path.removeprefix("/v1")
        if self.record:
            self.paths.append(f"{method} {plain}")
        for begin, faults in self.faults.items():
            if f"{method} {plain}".startswith(begin) and faults:
                return self.inject(connection, faults.pop(0), headers, "{}")
        if plain == "/stats":
            told = {"sizes": self.sizes, "runs": list(self.batched.values()), "batches": len(self.batches)}
            return connection.reply(200, json.dumps(told))
        if plain == "/files" and method == "POST":
            name = f"file-{len(self.files)}"
            self.files[name] = _content(headers, body)
            return connection.reply(200, json.dumps({"id": name, "object": "file", "purpose": "batch"}))
        if plain == "/batches" and method == "POST":
            return self.begin(connection, json.loads(body))
        if plain.startswith("/batches?"):
            return self.list_page(connection, plain)
        if plain.startswith("/batches/"):
            return self.told(connection, plain.rpartition("/")[2])
        if found := re.fullmatch(r"/files/(.+)/content", plain):
            there = found[1] in self.files
            return connection.reply(200 if there else 404, self.files.get(found[1], b'{"error": {"message": "no such file"}}'))
        if self.record:
            self.paths.pop()  # the other one writes it too
        super().handle(connection, method, path, headers, body)

    def begin(self, connection: _Connection, asked: dict[str, Any]) -> None:
        name, plan = f"batch_{len(self.batches)}", self.plans.pop(0) if self.plans else Plan()
        lines = self.files[asked["input_file_id"]].splitlines()
        assert len(self.files[asked["input_file_id"]]) <= self.most_bytes
        ids = [json.loads(line)["custom_id"] for line in lines]
        assert len(set(ids)) == len(ids)
        assert {json.loads(line)["url"] for line in lines} == {asked["endpoint"]}
        self.sizes.append(len(lines))
        self.planned[name] = plan
        self.batches[name] = {
            "id": name, "object": "batch", "status": "validating", "created_at": int(time.time()), "metadata": asked["metadata"],
            "errors": None, "output_file_id": None, "error_file_id": None, "endpoint": asked["endpoint"],
            "input_file_id": asked["input_file_id"], "completion_window": asked["completion_window"],
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
        }  # fmt: skip
        if plan.lose:
            return connection.transport.abort()
        connection.reply(200, json.dumps(self.batches[name]))

    def list_page(self, connection: _Connection, path: str) -> None:
        names = sorted(self.batches, key=lambda name: int(name.rpartition("_")[2]), reverse=True)
        if found := re.search(r"after=(\w+)", path):
            names = names[names.index(found[1]) + 1 :]
        shown = names[: self.page]
        connection.reply(
            200, json.dumps({"object": "list", "data": [self.batches[name] for name in shown], "has_more": len(names) > len(shown)})
        )

    def told(self, connection: _Connection, name: str) -> None:
        if name not in self.batches:
            return connection.reply(404, json.dumps({"error": {"message": f"No batch found with id {name}"}}))
        batch, plan = self.batches[name], self.planned[name]
        self.polled[name] = self.polled.get(name, 0) + 1
        if batch["status"] in ("validating", "in_progress") and not self.hold:
            batch["status"] = "in_progress"
            if self.polled[name] >= plan.polls:
                self.end(batch, plan)
        connection.reply(200, json.dumps(batch))

    def end(self, batch: dict[str, Any], plan: Plan) -> None:
        if plan.errors:
            batch |= {"status": "failed", "errors": {"object": "list", "data": list(plan.errors)}}
            return
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        run, unrun = lines[: len(lines) - plan.expires], lines[len(lines) - plan.expires :]
        good, bad = [], []
        for line in run:
            prompt = line["body"]["messages"][-1]["content"] if "messages" in line["body"] else line["body"]["prompt"]
            self.batched[line["custom_id"]] = self.batched.get(line["custom_id"], 0) + 1
            if str(prompt) in plan.statuses:
                status, body = plan.statuses[str(prompt)]
                bad.append({"custom_id": line["custom_id"], "response": {"status_code": status, "body": json.loads(body)}, "error": None})
                continue
            status, body, tokens = self.completed(line["url"].removeprefix("/v1"), line["body"], prompt)
            self.stats.tokens += tokens
            reply = {
                "id": "r",
                "custom_id": line["custom_id"],
                "response": {"status_code": status, "body": json.loads(body)},
                "error": None,
            }
            text = json.dumps(reply)
            good.append(text[: len(text) // 2] if str(prompt) in plan.broken else text)
            if plan.twice:
                good.append(text.replace('"content": "', '"content": "other '))
        expired = {"code": "batch_expired", "message": "This request could not be executed before the completion window expired."}
        if not plan.silent:
            bad += [{"custom_id": line["custom_id"], "response": None, "error": expired} for line in unrun]
        random.Random(1).shuffle(good)
        if good:
            batch["output_file_id"] = f"{batch['id']}_output"
            self.files[batch["output_file_id"]] = "".join(f"{line}\n" for line in good).encode()
        if bad:
            batch["error_file_id"] = f"{batch['id']}_error"
            self.files[batch["error_file_id"]] = "".join(f"{json.dumps(line)}\n" for line in bad).encode()
        batch["status"] = plan.state or ("expired" if plan.expires else "completed")


def _content(headers: bytes, body: bytes) -> bytes:
    """The file of a multipart body."""
    found = re.search(rb'boundary="?([^"\r\n;]+)', headers, re.IGNORECASE)
    assert found
    parts = body.split(b"--" + found[1])
    (part,) = [part for part in parts if b'filename="' in part.split(b"\r\n\r\n", 1)[0]]
    assert any(b'name="purpose"' in part and part.rstrip().endswith(b"batch") for part in parts)
    return part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")


async def _serve(polls: int) -> None:
    server = BatchServer()
    server.record = False
    server.plans = [Plan(polls=polls) for _ in range(100)]
    await server.listen()
    print(server.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--polls", type=int, default=20)
    asyncio.run(_serve(parser.parse_args().polls))
