"""One of the fleet's test servers: OpenAI's protocol as vLLM speaks it, answers that take their time asleep, faults as they happen.

    python benchmarks/fleet_server.py --port 8001 --slow 3     # prints its port; GET /stats

An answer's length is drawn (log-normal, one in a hundred four times as long, at most --most tokens), its latency is its length times the
time of a token, times --slow. About 60 µs of CPU a request: it is the client that is measured.
"""

import argparse
import asyncio
import json
import random
from typing import Any

TOKEN = 0.004  # seconds
MEDIAN, SPREAD = 220, 0.55  # tokens of an answer
LONG, LONGER = 0.01, 4  # share of answers, and how much longer they are
FAULTS = ((429, 0.004), (503, 0.003), (500, 0.002), (0, 0.001))  # share of requests; 0: the connection is dropped
WORDS = 200_000


class Server:
    def __init__(self, slow: float, most: int, seed: int) -> None:
        self.slow, self.most, self.random = slow, most, random.Random(seed)
        letters = random.Random(7)
        self.text = " ".join("".join(letters.choices("abcdefghijklmnoprstuvw", k=letters.randrange(2, 7))) for _ in range(WORDS))
        self.ids = [str(letters.randrange(1000, 150_000)) for _ in range(WORDS)]
        self.stats = {"requests": 0, "answered": 0, "tokens": 0, "in_flight": 0, "most_in_flight": 0}

    def handle(self, connection: "Connection", path: str, body: bytes) -> None:
        if path == "/v1/models":
            return connection.reply(200, '{"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "vllm"}]}')
        if path == "/stats":
            return connection.reply(200, json.dumps(self.stats))
        if not path.endswith("/completions"):
            return connection.reply(404, '{"detail": "Not Found"}')
        loop, stats = asyncio.get_running_loop(), self.stats
        stats["requests"] += 1
        stats["in_flight"] += 1
        stats["most_in_flight"] = max(stats["most_in_flight"], stats["in_flight"])
        drawn = self.random.random()
        for status, share in FAULTS:
            if drawn < share:
                return void(loop.call_later(self.random.uniform(0.01, 0.5), self.fault, connection, status))
            drawn -= share
        tokens = self.random.lognormvariate(0, SPREAD) * MEDIAN * (LONGER if self.random.random() < LONG else 1)
        count = max(8, min(int(tokens), self.most))
        most = json.loads(body)["max_tokens"]
        loop.call_later(min(count, most) * TOKEN * self.slow, self.finish, connection, min(count, most), count <= most)

    def fault(self, connection: "Connection", status: int) -> None:
        self.stats["in_flight"] -= 1
        if not status:
            return connection.transport.abort()
        more = "Retry-After: 0.2\r\n" if status == 429 else ""
        connection.reply(status, '{"error": {"message": "a fault", "type": "server"}}', more)

    def finish(self, connection: "Connection", tokens: int, ended: bool) -> None:
        self.stats["in_flight"] -= 1
        self.stats["answered"] += 1
        self.stats["tokens"] += tokens
        begin = self.random.randrange(WORDS - tokens)
        text = self.text[begin * 4 : begin * 4 + tokens * 4]
        finish = "stop" if ended else "length"
        connection.reply(
            200,
            f'{{"id": "x", "object": "chat.completion", "choices": [{{"index": 0, "finish_reason": "{finish}", "stop_reason": null, '
            f'"message": {{"role": "assistant", "content": "{text}"}}, "token_ids": [{", ".join(self.ids[begin : begin + tokens])}]}}], '
            f'"usage": {{"prompt_tokens": 60, "completion_tokens": {tokens}, "total_tokens": {tokens + 60}}}}}',
        )


class Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self.server, self.buffer = server, b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            mark = head.lower().find(b"content-length:")
            length = int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            self.server.handle(self, head.split(b" ", 2)[1].decode(), body)

    def reply(self, status: int, body: str, more: str = "") -> None:
        if not self.transport.is_closing():
            data = body.encode()
            head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{more}Content-Length: {len(data)}\r\n\r\n"
            self.transport.write(head.encode() + data)


def void(_: object) -> None:
    """What a handler returns."""


async def main(options: argparse.Namespace) -> None:
    server = Server(options.slow, options.most, options.seed)
    listening = await asyncio.get_running_loop().create_server(
        lambda: Connection(server), "127.0.0.1", options.port, reuse_address=True, backlog=4096
    )
    print(listening.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--slow", type=float, default=1.0, help="times the latency")
    parser.add_argument("--most", type=int, default=2048, help="tokens of an answer")
    parser.add_argument("--seed", type=int, default=0)
    asyncio.run(main(parser.parse_args()))
