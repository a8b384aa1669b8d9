"""What lies outside of the line and decides its rows, as content hashes: the stage `inputs` writes them, the other stages depend on them.

    data/inputs/problems.json    {"../shared/gsm8k/test.jsonl": "9d1c…"}: files of the sources and the benchmarks
               /adoption.json    {"models/qwen": "51aa…"}: the folder or GGUF file of the base, {} for a Hub id at its revision
               /recorded.json    the generator's recorded answers: rollouts and report read them
               /prompts.json     the folders of prompts that are your own
               /templates.json   the template libraries that are imported
               /generator.json, critic.json, reward_model.json, labeller.json, inference.json: a role's folder, or its recorded answers

DVC cannot name files whose number only the params know. What the line makes itself (data/models) is a dependency of its own. A hash is
kept under `.factory/` for as long as size, times and inode of every file stay the same: a model of 15 GB is read once.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from factory.errors import DataError, EngineError, ParamsError
from factory.identity import hash_files
from factory.language.prompting import SETS, Prompts
from factory.params import Params, Role
from factory.params.names import is_gguf, model_of_line, on_hub
from factory.whole import whole_file, write_json

FOLDER = Path("data/inputs")
KNOWN = Path(".factory/hashes.json")
ROLES = ("generator", "critic", "reward_model", "labeller", "inference")  # the judge is asked by no stage
OWNERS = ("problems", "adoption", "recorded", "prompts", "templates", *ROLES)
SETTLED = 2.0  # seconds: a file that is younger may change again within one tick of its clock, unseen


@dataclass(frozen=True)
class Input:
    """`key`: where the params name it. `kind`: what of it counts, a file, all files of a folder, its prompts, or those that decide a
    model's answers."""

    owner: str
    key: str
    path: str
    kind: Literal["file", "folder", "model", "prompts"]


def write(params: Params) -> int:
    """One file an owner under data/inputs; returns how many inputs there are. Raises DataError naming the key of a missing one, and
    ParamsError for a role's prompts that cannot be used: before anything runs."""
    for name, role in params.roles.items():
        try:
            Prompts.of(role.prompts)
        except ParamsError as error:
            raise ParamsError(f"roles.{name}.{error}" if str(error).startswith("prompts: ") else str(error)) from None
    before, kept = _known(), dict[str, dict[str, str]]()
    found: dict[str, dict[str, str]] = {owner: {} for owner in OWNERS}
    for item in inputs_of(params):
        found[item.owner][item.path], entry = _hash(item, before | kept)
        kept |= entry
    for owner, digests in found.items():
        write_json(FOLDER / f"{owner}.json", dict(sorted(digests.items())))
    if kept != before:
        with whole_file(KNOWN) as temporary:
            temporary.write_text(json.dumps(kept), encoding="utf-8")
    return sum(map(len, found.values()))


def inputs_of(params: Params) -> Iterator[Input]:
    """All that the params name outside of the line, in their order."""
    for source in params.problems.sources:
        key = f"problems.sources.{source.name}.path"
        if source.kind == "hub" and source.path and (source.path.startswith((".", "/")) or Path(source.path).is_dir()):
            yield Input("problems", key, source.path, "folder")
        elif source.kind not in ("hub", "world") and source.path:
            yield Input("problems", key, source.path, "file")
    for number, path in enumerate(params.problems.benchmarks):
        yield Input("problems", f"problems.benchmarks.{number}", path, "file")
    for number, item in enumerate(params.templates.imports if params.templates else ()):
        yield Input("templates", f"templates.imports.{number}.path", item.path, "file")
    for key, model in params.adoption.items():
        if not on_hub(model):
            yield Input("adoption", f"adoption.{key}", model, "file" if is_gguf(model) else "model")
    for name in ROLES:
        if name in params.roles:
            yield from _of_role(name, params.roles[name])


def _of_role(name: str, role: Role) -> Iterator[Input]:
    key = f"roles.{name}.model"
    if role.engine == "recorded":
        yield Input("recorded" if name == "generator" else name, key, role.model, "file")
    elif role.engine != "openai" and model_of_line(role.model) is None and (Path(role.model).is_dir() or "@" not in role.model):
        yield Input(name, key, role.model, "model")
    if role.prompts not in SETS:
        yield Input("prompts", f"roles.{name}.prompts", role.prompts, "prompts")


def _hash(item: Input, known: dict[str, dict[str, str]]) -> tuple[str, dict[str, dict[str, str]]]:
    """Its content hash, and the entry to keep for it: {} while it is too new to be told from a later change."""
    path = Path(item.path)
    try:
        files = _files(item, path)
        state = {"kind": item.kind, "state": _state(files, path)}
        place = str(path.resolve())
        if (old := known.get(place)) and state.items() <= old.items():
            return old["hash"], {place: old}
        digest = _content(item, path, files)
        settled = max(max(file.stat().st_mtime, file.stat().st_ctime) for file in files) < time.time() - SETTLED
    except (OSError, ValueError) as error:  # ValueError: a path that no file system has
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"{item.key} is {item.path}: {reason.lower()}. Correct the path in params.yaml, or fetch the file") from None
    return digest, {place: {**state, "hash": digest}} if settled else {}


def _files(item: Input, path: Path) -> list[Path]:
    if item.kind == "file":
        path.stat()
        if not path.is_file():
            raise DataError(f"{item.key} is {item.path}: a {'folder' if path.is_dir() else 'pipe or device'}, expected a file")
        return [path]
    if not path.is_dir():
        hub = ", or pin a Hub id by its revision" if item.kind == "model" else ""
        raise DataError(f"{item.key} is {item.path}: no such folder. Correct the path in params.yaml{hub}")
    files = sorted(path.glob("*.j2")) if item.kind == "prompts" else sorted(file for file in path.rglob("*") if file.is_file())
    if not files:
        raise DataError(f"{item.key} is {item.path}: the folder is empty")
    return files


def _state(files: list[Path], root: Path) -> str:
    states = [(str(file.relative_to(root)), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino) for file, stat in _stats(files)]
    return json.dumps(states)


def _stats(files: list[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    for file in files:
        yield file, file.stat()


def _content(item: Input, path: Path, files: list[Path]) -> str:
    if item.kind != "model":
        return hash_files(files, path.parent if item.kind == "file" else path)
    from factory.engines.select import model_revision

    try:
        return model_revision(path)
    except EngineError:
        raise DataError(f"{item.key} is {item.path}: it holds no model (config.json and weights)") from None


def _known() -> dict[str, dict[str, str]]:
    """{} where nothing is known, or not readable: then all is hashed again."""
    try:
        known = json.loads(KNOWN.read_text(encoding="utf-8"))
        return known if all(set(entry) == {"kind", "state", "hash"} for entry in known.values()) else {}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
