"""Real proxies on loopback: plain requests are forwarded, those to https go through a tunnel."""

import asyncio
import base64
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_server import FaultServer, answer
from served import ask

from factory.engines.proxy import proxy_of
from factory.engines.requests import StoredEngine
from factory.errors import EngineError

pytestmark = pytest.mark.usefixtures("quick")


class Proxy:
    """Forwards `GET http://host:port/…` and tunnels `CONNECT host:port`. `wants`: user:password."""

    def __init__(self) -> None:
        self.wants, self.seen, self.refuses = "", [], 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self.serve, "127.0.0.1", 0), self.loop).result()
        self.port = self.server.sockets[0].getsockname()[1]

    def close(self) -> None:
        async def end() -> None:
            self.server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, _ = head.split("\r\n", 1)[0].split(" ")
            self.seen.append(f"{method} {target}")
            if status := self.refuses or (407 if self.wants and base64.b64encode(self.wants.encode()).decode() not in head else 0):
                writer.write(f"HTTP/1.1 {status} no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                return writer.close()
            address = target if method == "CONNECT" else target.split("/")[2]
            host, _, port = address.partition(":")
            there, out = await asyncio.open_connection(host, int(port))
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                out.write(head.replace(f"http://{address}", "", 1).encode())
            await asyncio.gather(pipe(reader, out), pipe(there, writer))
        except (OSError, asyncio.IncompleteReadError):
            writer.close()


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    one = Proxy()
    yield one
    one.close()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_requests_go_through_the_proxy(
    name: str, proxy: Proxy, server: FaultServer, stored: Callable[..., StoredEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, f"127.0.0.1:{proxy.port}" if name == "http_proxy" else f"http://127.0.0.1:{proxy.port}")
    assert ask(stored(server)).text == answer("Tom", 0)
    assert f"GET {server.url}/models" in proxy.seen


@pytest.mark.parametrize("listed", ["127.0.0.1", "*", "gpu1, 127.0.0.0/8", "example.com,127.0.0.1"])
def test_no_proxy_goes_round_it(
    listed: str, proxy: Proxy, server: FaultServer, stored: Callable[..., StoredEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("NO_PROXY", listed)
    assert ask(stored(server)).error is None
    assert proxy.seen == []


def test_a_proxy_with_a_password(
    proxy: Proxy, server: FaultServer, stored: Callable[..., StoredEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.wants = "me:secret"
    monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@127.0.0.1:{proxy.port}")
    assert ask(stored(server)).error is None
    monkeypatch.setenv("HTTP_PROXY", f"http://me:wrong@127.0.0.1:{proxy.port}")
    with pytest.raises(EngineError, match=r"wants a user and a password \(HTTP 407\): write them into HTTP_PROXY") as raised:
        ask(stored(server), "Ann")
    assert "wrong" not in str(raised.value)


def test_a_tunnel_that_wants_a_password(proxy: Proxy, stored: Callable[..., StoredEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    proxy.wants = "me:secret"
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:wrong@127.0.0.1:{proxy.port}")
    with pytest.raises(EngineError, match="HTTP 407") as raised:
        ask(stored(base_url="https://api.example.com/v1"))
    assert "wrong" not in str(raised.value)
    assert proxy.seen == ["CONNECT api.example.com:443"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.slow
def test_a_proxy_that_is_down_or_refuses(
    scheme: str, proxy: Proxy, stored: Callable[..., StoredEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://me:secret@127.0.0.1:{proxy.port}")
    proxy.refuses = 503
    with pytest.raises(EngineError, match=r"unreachable: .*HTTP 503") as refused:
        ask(stored(base_url=f"{scheme}://api.example.com/v1"))
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", "http://me:secret@127.0.0.1:1")
    with pytest.raises(
        EngineError, match=r"unreachable: Connect.*refused.* through the proxy that the environment names; NO_PROXY"
    ) as down:
        ask(stored(base_url=f"{scheme}://api.example.com/v1"))
    assert not [text for text in (str(refused.value), str(down.value)) if "secret" in text]


def test_which_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_of("http://gpu1/v1") is None
    monkeypatch.setenv("HTTPS_PROXY", "http://secure:1")
    monkeypatch.setenv("ALL_PROXY", "other:2")
    assert [proxy_of(f"{scheme}://gpu1/v1") for scheme in ("http", "https")] == ["http://other:2", "http://secure:1"]
    monkeypatch.setenv("NO_PROXY", ".cluster, fd00::/8, not/a/network")
    assert [proxy_of(f"https://{host}/v1") is None for host in ("gpu1.cluster", "[fd00::7]", "gpu1", "[fe80::1]")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "address", ["socks5://me:secret@host:1080", "http://", "http://me:secret@[::1", "ftp://host", "http://host:secret"]
)
def test_a_proxy_that_cannot_be_used(address: str, stored: Callable[..., StoredEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", address)
    with pytest.raises(EngineError, match=r"the proxy in HTTP_PROXY .*correct it, or write gpu1 into NO_PROXY") as raised:
        stored(base_url="http://gpu1:8000/v1")
    assert "secret" not in str(raised.value)


TUNNELLED = """
import sys
from factory.engines.openai_engine import OpenAIEngine
from factory.engines.protocol import Request, SamplingParams
from factory.params import Requests, Role
from factory.schemas import Message
import time
engine = OpenAIEngine(Role(engine="openai", model="m@1", base_url=sys.argv[1]), Requests(timeout=20, retries=0, max_failed_share=0))
found = {}
engine.submit({"a": Request((Message("user", "Tom"),), SamplingParams(64))}, found.update)
while not found:
    engine.work()
    time.sleep(0.01)
engine.close()
print(found["a"].text or found["a"].error)
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("openssl"), reason="makes a certificate with openssl")
def test_a_tunnel_to_a_server_with_a_certificate(proxy: Proxy, tmp_path: Path) -> None:
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", "key.pem"]
    subprocess.run([*made, "-out", "cert.pem", "-addext", "subjectAltName=IP:127.0.0.1"], cwd=tmp_path, check=True, capture_output=True)
    server = FaultServer()
    server.ssl = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.ssl.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with server:
        environment = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "SSL_CERT_FILE": str(tmp_path / "cert.pem"), "PYTHONPATH": "."}
        told = subprocess.run(
            [sys.executable, "-c", TUNNELLED, server.url], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert told.stdout.strip() == answer("Tom", 0).strip(), told.stderr[-2000:]
        assert f"CONNECT 127.0.0.1:{server.port}" in proxy.seen
