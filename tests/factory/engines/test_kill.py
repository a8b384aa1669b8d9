"""`kill -9` under load: nothing acknowledged is lost, nothing is torn or doubled, no token is paid twice but those under way."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from factory.engines.ledger import Chosen, Ledger

pytestmark = pytest.mark.slow

SERVER = Path(__file__).with_name("fault_server.py")
CONCURRENCY, TOKENS = 32, 20

CLIENT = """
import os, sys
from pathlib import Path
from factory.engines.flow import Ask, run
from factory.engines.openai_engine import OpenAIEngine
from factory.engines.protocol import Request, SamplingParams
from factory.engines.requests import StoredEngine
from factory.engines.ledger import Ledger
from factory.params import Requests, Role
from factory.schemas import Message

url, store, log, count, concurrency, tokens = sys.argv[1], Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:])
role = Role(engine="openai", model="m@1", base_url=url, concurrency=concurrency)
engine = StoredEngine(OpenAIEngine(role, Requests(timeout=10, retries=2, max_failed_share=0)), Ledger(store), "rollouts")
acknowledged = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def asked(number):
    (answer,) = yield Ask(engine, [Request((Message("user", f"p{number}"),), SamplingParams(tokens, 1.0), seed=number)])
    assert answer.finish_reason != "error", answer.error
    os.write(acknowledged, f"{answer.request_id}\\n".encode())
    return answer

assert len(run((asked(number) for number in range(count)), "asked", window=2000)) == count
engine.close()
"""


@pytest.fixture
def server() -> Iterator[str]:
    command = [sys.executable, str(SERVER), "--port", "0", "--delay", "0.02", "--tokens", str(TOKENS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    process.kill()
    process.wait()


def stats(server: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{server}/stats", timeout=60) as answer:
        return json.load(answer)


def client(server: str, folder: Path, count: int) -> subprocess.Popen[bytes]:
    arguments = [f"{server}/v1", folder / "requests.sqlite", folder / "acknowledged.log", count, CONCURRENCY, TOKENS]
    return subprocess.Popen([sys.executable, "-c", CLIENT, *map(str, arguments)])


def kill_after(process: subprocess.Popen[bytes], server: str, answers: int) -> None:
    """SIGKILL once the server has given so many more answers."""
    target, until = stats(server)["answered"] + answers, time.monotonic() + 120
    while stats(server)["answered"] < target and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def stored(folder: Path) -> set[str]:
    """Keys of the store, each answer whole. What a torn file would say is an error here."""
    with sqlite3.connect(folder / "requests.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store = Ledger(folder / "requests.sqlite")
    entries = list(store.entries(Chosen()))
    store.close()
    assert all(len(entry.answer["token_ids"]) == TOKENS == entry.completion_tokens for entry in entries)
    keys = {entry.key for entry in entries}
    assert len(keys) == len(entries)
    return keys


def acknowledged(folder: Path) -> list[str]:
    path = folder / "acknowledged.log"
    return path.read_text().splitlines() if path.exists() else []


def test_twenty_kills_in_a_row_lose_nothing_and_pay_only_for_what_was_under_way(server: str, tmp_path: Path) -> None:
    count, rng, wasted = 6000, random.Random(4), 0
    for _ in range(20):
        before = len(acknowledged(tmp_path))
        kill_after(client(server, tmp_path, count), server, rng.randrange(20, 400))
        keys = stored(tmp_path)
        assert set(acknowledged(tmp_path)) <= keys, "an acknowledged answer is in the store"
        assert len(acknowledged(tmp_path)) >= before
        paid = stats(server)["tokens"] - wasted - len(keys) * TOKENS
        assert paid <= CONCURRENCY * TOKENS, "no more is paid for twice than was under way at this kill"
        wasted += paid
    assert len(stored(tmp_path)) < count, "the last kill came before the end"
    assert client(server, tmp_path, count).wait(timeout=500) == 0
    assert len(stored(tmp_path)) == count
    assert stats(server)["tokens"] == count * TOKENS + wasted, "the last run asked for what was missing, and nothing else"


def test_one_kill_half_way_costs_at_most_a_twentieth(server: str, tmp_path: Path) -> None:
    count = 2000
    kill_after(client(server, tmp_path, count), server, count // 2)
    assert count // 2 - CONCURRENCY <= len(stored(tmp_path)) < count
    assert client(server, tmp_path, count).wait(timeout=500) == 0
    assert len(stored(tmp_path)) == count
    assert stats(server)["tokens"] <= 1.05 * count * TOKENS
