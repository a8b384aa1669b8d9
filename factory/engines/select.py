"""From a role of `params.yaml` to an engine or a scorer, store included.

engine = open_engine(params.roles["generator"], stage="rollouts")
engine.model                                                       → "base@1c3f09…"
"""

import re
import sys
from pathlib import Path

from factory.engines.protocol import Engine, Scorer
from factory.engines.requests import StoredEngine, StoredScorer
from factory.engines.store import Store, default_path
from factory.errors import EngineError
from factory.identity import hash_files
from factory.params import Role

# What decides a model's answers; a card, a log or an optimizer's state beside it does not.
_CONTENT = (
    "config.json",
    "generation_config.json",
    "*token*.json",
    "vocab*",
    "merges.txt",
    "*.model",
    "chat_template*",
    "*.safetensors*",
    "*.bin*",
)
_OTHER = ("training_args.bin", "optimizer.bin", "scheduler.bin")
_COMMIT = re.compile(r"[0-9a-f]{7,40}")


def open_engine(role: Role, stage: str) -> Engine:
    """Raises EngineError when the role's model or file is missing, or the store unusable."""
    engine: Engine
    if role.engine == "recorded":
        from factory.engines.recorded_engine import RecordedEngine

        engine = RecordedEngine(Path(role.model), role.models)
        for line in engine.malformed[:3]:
            print(f"{stage}: left out {line}", file=sys.stderr)
        if len(engine.malformed) > 3:
            print(f"{stage}: left out {len(engine.malformed) - 3} more malformed lines", file=sys.stderr)
    else:
        from factory.engines.transformers_engine import TransformersEngine

        _only_transformers(role)
        engine = TransformersEngine(role.model, _name(role.model))
    return StoredEngine(engine, Store(default_path()), stage)


def open_scorer(role: Role, stage: str) -> Scorer:
    """Raises EngineError when the role's model is missing, or the store unusable."""
    from factory.engines.transformers_engine import TransformersScorer

    _only_transformers(role)
    return StoredScorer(TransformersScorer(role.model, _name(role.model)), Store(default_path()), stage)


def model_revision(folder: Path) -> str:
    """A hash over a model folder's configuration, tokenizer and weights. Raises EngineError naming the stage that makes the folder."""
    files = {file for pattern in _CONTENT for file in folder.glob(pattern) if file.is_file() and file.name not in _OTHER}
    names = {file.name for file in files}
    if "config.json" not in names or not any(name.endswith((".safetensors", ".bin")) for name in names):
        state = "holds no model (config.json and weights)" if folder.is_dir() else "is missing"
        raise EngineError(f"{folder} {state}: `dvc repro {maker(folder.name)}` makes it")
    return hash_files(files, folder)


def maker(model: str) -> str:
    """The stage that makes data/models/<model>."""
    stages = {"base": "base_model", "format_tuned": "format_tuning", "policy": "ppo", "distilled": "distill"}
    if model in stages:
        return stages[model]
    kind, _, key = model.partition("_")
    return f"{stages.get(kind, kind)}@{key}" if kind in ("orm", "policy", "distilled") else model


def _only_transformers(role: Role) -> None:
    if role.engine != "transformers":
        raise EngineError(f"{role.model}: the engine {role.engine} is not in this version: use transformers or recorded")


def _name(source: str) -> str:
    """Name and revision in lineage and keys: a folder's content hash, a Hub model's commit."""
    folder = Path(source)
    name, at, revision = source.partition("@")
    if folder.is_dir() or not at:
        return f"{folder.name}@{model_revision(folder)}"
    if not _COMMIT.fullmatch(revision):
        raise EngineError(f"{source}: {revision!r} may move: pin a commit, {name}@<7 to 40 hex digits>")
    return source
