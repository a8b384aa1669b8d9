"""A stand-in for an OpenAI-compatible server on loopback, with faults on demand. Its answers are a function of (prompt, seed).

    with FaultServer() as server:                                       # in a test: a thread of its own
        server.script["Tom has 3 apples."] = [Fault(status=500), Fault(drop=True)]     # then answers as usual
    python tests/factory/engines/fault_server.py --port 0 --delay 0.05  # a process of its own: prints its port, serves GET /stats

It speaks just enough HTTP/1.1 for aiohttp, on a bare protocol: about 40 µs a request.
"""

import argparse
import asyncio
import json
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

FOR_EVER = -1
_OPENAI = {
    "model",
    "n",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "seed",
    "stop",
    "logprobs",
    "response_format",
    "prompt",
    "messages",
}
EOS = 1
TURN_END = 3
CONTROLS = {"<|turn|>": 2, "<|end|>": TURN_END, "<|reflect|>": 4}
NO_SYSTEM = '{"error": {"message": "System role not supported", "type": "BadRequestError"}}'


def templated(messages: list[dict[str, str]], reply: bool) -> list[int]:
    turns = [[2, ord(message["role"][0]), *map(ord, message["content"]), TURN_END] for message in messages]
    return [token for turn in turns for token in turn] + [2, ord("a")] * reply


@dataclass
class Fault:
    """What one request (or `times` requests) with a prompt gets instead of its answer, or with `delay` alone: its answer late."""

    status: int = 200
    body: str | bytes | None = None
    raw: bytes | None = None  # what is sent as it is, head and all; then the connection closes
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False  # close the connection without a word
    half: bool = False  # … after half of the answer
    echo: bool = False  # the body says what headers came
    delay: float = 0.0
    kill: bool = False  # the whole server goes down
    times: int = 1


def answer(prompt: Any, seed: int) -> str:
    """Of 8 to 31 tokens of three letters."""
    base = zlib.crc32(f"{seed} {prompt}".encode())
    return "".join(f"{(base >> place) % 97:02d} " for place in range(8 + base % 24))


@dataclass
class Stats:
    requests: int = 0
    answered: int = 0
    tokens: int = 0
    in_flight: int = 0
    max_in_flight: int = 0


class FaultServer:
    """`models_fault`: what GET /models answers instead, for ever."""

    def __init__(self, port: int = 0, delay: float = 0.0, tokens: int | None = None, vllm: bool = True, model: str = "m") -> None:
        self.port, self.delay, self.tokens, self.vllm, self.model = port, delay, tokens, vllm, model
        self.script: dict[str, list[Fault]] = {}
        self.models_fault: Fault | None = None
        self.key: str | None = None
        self.system = True  # whether the chat template takes a system turn
        self.tokenizes = True  # whether there is /tokenize
        self.processed = False  # whether log-probabilities are of the tempered distribution
        self.listed: list[str] | None = None  # names in GET /models; None: its own
        self.refuses: dict[str, tuple[int, str]] = {}  # field of a request → status and body
        self.elsewhere: Fault | None = None  # what addresses without /v1 answer; None: the same
        self.context = 10_000  # letters of a prompt; tokens of a pair to score
        self.stats, self.record = Stats(), True
        self.seen: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.connections: set[_Connection] = set()
        self.listening: asyncio.Server | None = None
        self.dead = False
        self.ssl: ssl.SSLContext | None = None

    # In a thread of its own

    def __enter__(self) -> "FaultServer":
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.restart()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def restart(self) -> None:
        asyncio.run_coroutine_threadsafe(self.listen(), self.loop).result()

    def kill(self) -> None:
        """Stop listening and cut every connection, as kill -9 does."""
        done = threading.Event()
        self.loop.call_soon_threadsafe(self.die, done.set)
        done.wait()

    @property
    def url(self) -> str:
        return f"http{'s' * bool(self.ssl)}://127.0.0.1:{self.port}/v1"

    # In the loop

    async def listen(self) -> None:
        self.dead = False
        loop = asyncio.get_running_loop()
        self.listening = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", self.port, reuse_address=True, backlog=4096, ssl=self.ssl
        )
        self.port = self.listening.sockets[0].getsockname()[1]

    def die(self, then: Callable[[], None] = lambda: None) -> None:
        """The listening socket closes a moment later: asyncio would leave a connection that is just being accepted open for ever."""
        self.dead = True
        for connection in list(self.connections):
            connection.transport.abort()
        asyncio.get_running_loop().call_later(0.005, self._close, then)

    def _close(self, then: Callable[[], None]) -> None:
        if self.listening:
            self.listening.close()
            self.listening = None
        then()

    def handle(self, connection: "_Connection", method: str, path: str, headers: bytes, body: bytes) -> None:
        path = "/" + path.split("/", 3)[3] if path.startswith("http") else path  # as a proxy is asked
        elsewhere = None if path.startswith("/v1") else self.elsewhere
        path = path.removeprefix("/v1")
        if self.record:
            self.paths.append(f"{method} {path}")
        if elsewhere:
            return self.inject(connection, elsewhere, headers, "{}")
        if path == "/stats":
            return connection.reply(200, json.dumps(vars(self.stats)))
        if self.key and f"authorization: bearer {self.key}".lower() not in headers.decode().lower():
            return connection.reply(401, json.dumps({"error": {"message": f"wrong key, you sent {headers.decode()}"}}))
        if path == "/models":
            if fault := self.models_fault:
                return self.inject(connection, fault, headers, "{}")
            names = [self.model] if self.listed is None else self.listed
            cards = [{"id": name, "object": "model", "owned_by": "vllm" if self.vllm else "someone"} for name in names]
            return connection.reply(200, json.dumps({"object": "list", "data": cards}))
        if method != "POST" or path in ("/files", "/batches") or (path == "/tokenize" and not self.tokenizes):
            return connection.reply(404, '{"detail": "Not Found"}')
        document = json.loads(body)
        if path == "/tokenize":
            return self.tokenize(connection, document)
        self.count(connection, path, document, headers)

    def count(self, connection: "_Connection", path: str, document: dict[str, Any], headers: bytes) -> None:
        if self.record:
            self.seen.append(document)
        stats = self.stats
        stats.requests += 1
        stats.in_flight += 1
        stats.max_in_flight = max(stats.max_in_flight, stats.in_flight)
        connection.open = True
        prompt = document["messages"][-1]["content"] if "messages" in document else document.get("prompt", document.get("input"))
        delay, faults = self.delay, self.script.get(prompt if isinstance(prompt, str) else str(prompt))
        status, reply, tokens = self.scored(document) if path == "/classify" else self.completed(path, document, prompt)
        if faults:
            fault = faults[0]
            fault.times -= 1
            if fault.times == 0:
                faults.pop(0)
            delay += fault.delay
            if fault.kill:
                return self.die()
            if fault.status != 200 or fault.body is not None or fault.raw is not None or fault.drop or fault.half or fault.echo:
                asyncio.get_running_loop().call_later(delay, self.inject, connection, fault, headers, reply)
                return
        if delay:
            asyncio.get_running_loop().call_later(delay, self.finish, connection, status, reply, tokens)
        else:
            self.finish(connection, status, reply, tokens)

    def finish(self, connection: "_Connection", status: int, reply: str, tokens: int) -> None:
        if not connection.open:
            return  # the client has left
        self.stats.answered += status == 200
        self.stats.tokens += tokens
        connection.reply(status, reply)

    def inject(self, connection: "_Connection", fault: Fault, headers: bytes, usual: str) -> None:
        if fault.drop:
            return connection.transport.abort()
        if fault.raw is not None:
            connection.close_request()
            connection.transport.write(fault.raw)
            return connection.transport.close()
        body = usual if fault.body is None else fault.body
        if fault.echo:
            body = json.dumps({"error": {"message": "bad request, you sent " + headers.decode()}})
        connection.reply(fault.status, body, fault.headers, half=fault.half)

    def completed(self, path: str, document: dict[str, Any], prompt: Any) -> tuple[int, str, int]:
        if document["model"] != self.model:
            return 404, f'{{"error": {{"message": "The model {document["model"]} does not exist."}}}}', 0
        if unwanted := sorted(document.keys() & self.refuses.keys()):
            return *self.refuses[unwanted[0]], 0
        if not self.system and any(message["role"] == "system" for message in document.get("messages", ())):
            return 400, NO_SYSTEM, 0
        if len(prompt) > self.context:
            return 400, f'{{"error": {{"message": "This model\'s maximum context length is {self.context} tokens."}}}}', 0
        if not self.vllm and (unknown := document.keys() - _OPENAI):
            return 400, f'{{"error": {{"message": "Unknown parameter: {sorted(unknown)[0]}"}}}}', 0
        text = answer(prompt, document.get("seed", 0))
        most = document.get("max_tokens") or document["max_completion_tokens"]
        wanted = most if document.get("ignore_eos") else self.tokens or len(text) // 3
        if self.tokens or wanted > len(text) // 3:
            text = (text * (wanted * 3 // len(text) + 1))[: wanted * 3]
        count = min(wanted, most)
        finish = "length" if count == most else "stop"
        text, stop_reason = text[: count * 3], None
        for stop in document.get("stop") or ():
            if stop in text:
                text, stop_reason, finish = text[: text.index(stop)], stop, "stop"
                count = len(text) // 3 + 1
        ended = finish == "stop" and stop_reason is None
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
        if self.vllm:
            choice["stop_reason"] = stop_reason
        if document.get("return_token_ids"):
            choice["token_ids"] = [*range(100, 100 + count), *[EOS] * ended]
        if path == "/chat/completions":
            choice["message"] = {"role": "assistant", "content": text}
            if document.get("logprobs"):
                heat = document["temperature"] if self.processed else 1
                likely = [{"token": token, "logprob": -place / heat} for place, token in enumerate("abcd")]
                if document["temperature"] == 1:  # vLLM tells the sampled token too, which may be a rare one
                    likely = [{"token": "rare", "logprob": -30 / heat}, *likely]
                one = {"token": "x", "logprob": -0.5, **({"top_logprobs": likely} if document.get("top_logprobs") else {})}
                choice["logprobs"] = {"content": [one] * (count + ended)}
        else:
            choice["text"] = text
            if document.get("logprobs") is not None:
                choice["logprobs"] = {"token_logprobs": [-0.5] * (count + ended)}
        usage = {"prompt_tokens": len(prompt), "completion_tokens": count + ended, "total_tokens": len(prompt) + count + ended}
        return 200, json.dumps({"id": "x", "object": "x", "choices": [choice], "usage": usage}), count + ended

    def tokenize(self, connection: "_Connection", document: dict[str, Any]) -> None:
        """One token a letter, and one each for `CONTROLS`. The template writes 2 (<|turn|>) and a role's letter before a message, TURN_END
        behind it."""
        if "messages" not in document:
            ids = [CONTROLS[document["prompt"]]] if document["prompt"] in CONTROLS else [ord(letter) for letter in document["prompt"]]
        elif not self.system and any(message["role"] == "system" for message in document["messages"]):
            return connection.reply(400, NO_SYSTEM)
        else:
            ids = templated(document["messages"], document["add_generation_prompt"])
        names = {number: name for name, number in CONTROLS.items()}
        told = {"token_strs": [names.get(token, chr(token)) for token in ids]} if document.get("return_token_strs") else {}
        connection.reply(200, json.dumps({"tokens": ids, "count": len(ids), **told}))

    def scored(self, document: dict[str, Any]) -> tuple[int, str, int]:
        ids = templated(document["messages"], document["add_generation_prompt"])
        if len(ids) > self.context:
            return 400, f'{{"error": {{"message": "maximum context length is {self.context}"}}}}', 0
        logit = sum(ids) / 1000 if document.get("use_activation") is False else 0.5
        return 200, json.dumps({"data": [{"index": 0, "label": "LABEL_0", "probs": [logit], "num_classes": 1}]}), 0


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, server: FaultServer) -> None:
        self.server, self.buffer, self.open = server, b"", False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.server.connections.add(self)
        if self.server.dead:
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.server.connections.discard(self)
        self.close_request()

    def close_request(self) -> None:
        if self.open:
            self.open = False
            self.server.stats.in_flight -= 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            mark = head.lower().find(b"content-length:")
            length = int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            self.server.handle(self, method, path, head, body)

    def reply(self, status: int, body: str | bytes, headers: dict[str, str] | None = None, half: bool = False) -> None:
        self.close_request()
        if self.transport.is_closing():
            return
        more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        data = body if isinstance(body, bytes) else body.encode(errors="surrogatepass")
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{more}Content-Length: {len(data)}\r\n\r\n"
        self.transport.write(head.encode() + data[: len(data) // 2 if half else None])
        if half:
            self.transport.close()


@contextmanager
def fault_servers(count: int, **options: Any) -> Iterator[list[FaultServer]]:
    servers = [FaultServer(**options).__enter__() for _ in range(count)]
    try:
        yield servers
    finally:
        for server in servers:
            server.__exit__()


async def _serve(options: argparse.Namespace) -> None:
    server = FaultServer(options.port, options.delay, options.tokens, not options.foreign, options.model)
    server.record = False
    await server.listen()
    print(server.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds until an answer")
    parser.add_argument("--tokens", type=int, default=None, help="tokens of every answer (at most max_tokens); default: 8 to 31")
    parser.add_argument("--model", default="m")
    parser.add_argument("--foreign", action="store_true", help="no vLLM: unknown fields are refused")
    asyncio.run(_serve(parser.parse_args()))
