"""Files, models, servers and packages: each that is not there is named by its key, with what to do."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from factory.params import parse
from factory.planning import outside
from factory.planning.findings import Finding
from factory.planning.hub import Hub

COMMIT = "7ae557604adf67be50417f59c2c2f167def9a775"


def said(found: list[Finding]) -> dict[str, tuple[str, str]]:
    return {finding.key: (finding.state, finding.said) for finding in found}


class Answers(BaseHTTPRequestHandler):
    """A Hub that has one model, a gated one and none else, and a server that serves one name and wants a key where it is told to."""

    key = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/v1/models":
            if self.key and self.headers.get("Authorization") != f"Bearer {self.key}":
                return self.reply(401, {"error": {"message": "no key"}})
            return self.reply(200, {"data": [{"id": "small"}]})
        if path.startswith("/api/models/org/there/revision/"):
            wrong = not path.endswith(COMMIT)
            return self.reply(404, {}, "RevisionNotFound") if wrong else self.model(False)
        if path.startswith("/api/models/org/gated/revision/"):
            return self.model("manual")
        if path == "/api/models/org/gated/auth-check":
            return self.reply(403, {}, "GatedRepo")
        return self.reply(404, {}, "RepoNotFound")

    def model(self, gated: object) -> None:
        self.reply(200, {"id": "org/model", "gated": gated, "safetensors": {"parameters": {"BF16": 494}, "total": 494}})

    def reply(self, status: int, document: object, code: str = "") -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    found = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", found)
    monkeypatch.setattr(Answers, "key", "")
    yield found
    server.shutdown()
    server.server_close()


def test_what_is_there_is_said_with_its_size(project: Path, document: dict[str, Any]) -> None:
    found = said(list(outside.files(parse(document))))
    assert found["problems.sources.mine.path"] == ("ok", f"train.jsonl ({outside.readable(Path('train.jsonl').stat().st_size)})")
    assert found["adoption.base"][0] == "ok"


@pytest.mark.parametrize(("change", "says"), [
    (lambda: Path("train.jsonl").unlink(), "train.jsonl: no such file or directory"),
    (lambda: Path("train.jsonl").write_bytes(b""), "train.jsonl: the file is empty"),
    (lambda: (Path("train.jsonl").unlink(), Path("train.jsonl").mkdir()), "train.jsonl: a folder, expected a file"),
])  # fmt: skip
def test_a_source_that_cannot_be_used_is_named_by_its_key(project: Path, document: dict[str, Any], change: Any, says: str) -> None:
    change()
    assert said(list(outside.files(parse(document))))["problems.sources.mine.path"] == ("missing", says)


def test_every_fault_is_found_and_not_only_the_first(project: Path, document: dict[str, Any]) -> None:
    Path("train.jsonl").unlink()
    Path("models/mine/model.safetensors").unlink()
    document["problems"]["benchmarks"] = ["bench.jsonl"]
    document["roles"]["critic"] |= {"prompts": "words"}
    found = said(list(outside.files(parse(document))))
    assert {key for key, (state, _) in found.items() if state == "missing"} == {
        "problems.sources.mine.path", "problems.benchmarks.0", "adoption.base", "roles.critic.prompts",
    }  # fmt: skip
    assert found["adoption.base"][1] == "models/mine: the folder holds no model (config.json and weights)"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_the_right_to_read_it_is_missing(project: Path, document: dict[str, Any]) -> None:
    Path("train.jsonl").chmod(0)
    assert said(list(outside.files(parse(document))))["problems.sources.mine.path"] == ("missing", "train.jsonl: permission denied")


@pytest.mark.parametrize(("name", "revision", "state"), [
    ("org/there", COMMIT, "there"),
    ("org/there", "1234567", "absent"),
    ("org/nothing", COMMIT, "absent"),
    ("org/gated", COMMIT, "gated"),
])  # fmt: skip
def test_the_hub_tells_what_there_is(address: str, name: str, revision: str, state: str) -> None:
    assert Hub().look("model", name, revision).state == state


def test_a_model_of_the_hub_tells_its_size(address: str) -> None:
    assert Hub().look("model", "org/there", COMMIT).parameters == 494


def test_a_hub_that_cannot_be_reached_is_no_missing_model(project: Path, document: dict[str, Any]) -> None:
    document["adoption"]["base"] = f"org/there@{COMMIT}"
    state, text = said(list(outside.models(parse(document), Hub())))["adoption.base"]
    assert state == "missing"
    assert "cannot be reached" in text
    assert "has no such model" not in text


def test_a_hub_that_is_down_is_asked_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Hub()
    assert found.look("model", "org/one", COMMIT).state == "unreachable"
    monkeypatch.setattr(Hub, "_ask", lambda *_: pytest.fail("asked again"))
    assert found.look("dataset", "org/two", COMMIT).state == "unreachable"


def test_what_is_in_the_hubs_cache_needs_no_hub(project: Path, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(project / "hub"))
    snapshot = project / f"hub/models--org--there/snapshots/{COMMIT}"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    document["adoption"]["base"] = f"org/there@{COMMIT}"
    assert said(list(outside.models(parse(document), Hub())))["adoption.base"][0] == "missing", "a config alone is no model"
    (snapshot / "model.safetensors").write_bytes(b"weights")
    assert said(list(outside.models(parse(document), Hub())))["adoption.base"][0] == "ok"


def served(document: dict[str, Any], url: str, model: str = "small@1") -> dict[str, tuple[str, str]]:
    document["roles"]["critic"] = {"engine": "openai", "model": model, "base_url": url, "api_key_env": "CRITICS_KEY"}
    return said(list(outside.models(parse(document), Hub())))


def test_a_server_answers_and_lists_the_model(project: Path, document: dict[str, Any], address: str) -> None:
    assert served(document, f"{address}/v1")["roles.critic"] == (
        "ok", f"server {address}/v1: answers and serves small (the key CRITICS_KEY is not set)",
    )  # fmt: skip


@pytest.mark.parametrize(("model", "url", "says"), [
    ("large@1", "{}/v1", "serves small, not large"),
    ("small@1", "http://127.0.0.1:9/v1", "Connection refused"),
    ("small", "{}/v1", "a server's model is written name@version"),
])  # fmt: skip
def test_what_is_wrong_with_a_server_is_said(
    project: Path, document: dict[str, Any], address: str, model: str, url: str, says: str
) -> None:
    state, text = served(document, url.format(address), model)["roles.critic"]
    assert state in ("missing", "wrong")
    assert says in text


def test_a_key_is_named_and_never_shown(
    project: Path, document: dict[str, Any], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(Answers, "key", "sk-right-and-secret")
    state, text = served(document, f"{address}/v1")["roles.critic"]
    assert (state, "the environment variable CRITICS_KEY is not set" in text) == ("missing", True)
    monkeypatch.setenv("CRITICS_KEY", "sk-wrong-but-secret")
    state, text = served(document, f"{address}/v1")["roles.critic"]
    assert (state, "CRITICS_KEY was refused" in text, "secret" in text) == ("missing", True, False)
    monkeypatch.setenv("CRITICS_KEY", "sk-right-and-secret")
    state, text = served(document, f"{address}/v1")["roles.critic"]
    assert (state, "CRITICS_KEY is set" in text, "secret" in text) == ("ok", True, False)


def test_a_package_that_an_engine_needs_is_looked_for(
    project: Path, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    document["roles"]["critic"]["engine"] = "vllm"
    document["adoption"]["base"] = "models/mine/q4.gguf"
    Path("models/mine/q4.gguf").write_bytes(b"GGUF")
    found = list(outside.models(parse(document), Hub()))
    lacking = {(finding.key, finding.said) for finding in found if finding.state == "missing"}
    assert lacking == {
        ("roles.critic.engine", "the package vllm is not installed here"), ("adoption.base", "the package gguf is not installed here"),
    }  # fmt: skip


def test_sizes_are_readable() -> None:
    assert [outside.readable(size) for size in (12, 4_200, 123_456, 15_200_000_000)] == ["12 bytes", "4.2 kB", "123 kB", "15.2 GB"]
