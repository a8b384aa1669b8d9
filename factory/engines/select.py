"""From a role of `params.yaml` to an engine or a scorer, store included.

with Engines(params.requests, "rollouts") as engines:
    engines.engine(params.roles["generator"], "generator").model   → "base@1c3f09…"
"""

import csv
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from factory.engines.budget import Account, Budgets, cost
from factory.engines.listening import heard
from factory.engines.protocol import Engine, Scorer, StreamingEngine, StreamingScorer
from factory.engines.requests import StoredEngine, StoredScorer
from factory.engines.store import Store, default_path
from factory.engines.streams import streaming
from factory.engines.structured import UNFIT
from factory.errors import EngineError
from factory.identity import hash_files
from factory.language.prompting import Prompts
from factory.params import Budget, Requests, Role
from factory.whole import restored, whole_file

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


class Engines:
    """The engines and scorers of one run of a stage, by the name of what they do there. Roles that name the same model share it; all are
    closed at the end, and a stage of whose requests too many failed ends there, after it has written its rows and rejects.

        with Engines(params.requests, "plans") as engines:
            labeller = engines.engine(params.roles["labeller"], "labeller")
    """

    def __init__(self, settings: Requests, stage: str, budget: Mapping[Any, Budget] | None = None) -> None:
        """`budget`: the params'; None: what is asked here is no part of the project's line, and not counted in `.factory/spent.jsonl`."""
        self.settings, self.stage = settings, stage
        self.budgets = None if budget is None else Budgets(stage, budget)
        self.backends: dict[Role, StreamingEngine] = {}
        self.opened: dict[str, tuple[Role, StoredEngine | StoredScorer]] = {}
        self.closing = ExitStack()
        self.store: Store | None = None

    def __enter__(self) -> "Engines":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.budgets:
            self.budgets.close()
        self.closing.close()
        if self.store:
            self.store.close()  # the last one: engines store what lands until they are closed
        for _, service in self.opened.values():
            for line in service.limits.told() if isinstance(service, StoredEngine) else ():
                print(f"{self.stage}: {service.model}: {line}", file=sys.stderr)
        if kind is None:
            for _, service in self.opened.values():
                _judge(service, self.settings.max_failed_share)

    def engine(self, role: Role, name: str) -> StoredEngine:
        """Raises EngineError when the role's model or file is missing or the store unusable."""
        asked = {} if role.engine == "recorded" else {"prompts": "instruct"}  # recorded answers are found by what is asked
        model = role.model_copy(update={"price": None, **asked})
        if model not in self.backends:
            self.backends[model] = streaming(_engine(model, self.settings, self.stage, self._store))
            self.closing.callback(self.backends[model].close)
        backend = self.backends[model]
        account = self._account(role, name, backend.model)
        engine = heard(StoredEngine(backend, self._store(), self.stage, account=account), role, name)
        self.opened[name] = role, engine
        return engine

    def scorer(self, role: Role, name: str) -> StoredScorer:
        """Raises EngineError when the role's model is missing or the store unusable."""
        backend = _scorer(role, self.settings)
        account = self._account(role, name, backend.model)
        scorer = heard(StoredScorer(backend, self._store(), self.stage, account=account), role, name)
        self.closing.callback(scorer.close)
        self.opened[name] = role, scorer
        return scorer

    def write_usage(self, path: Path) -> None:
        """What each role was asked and what that cost, as CSV: the same for a cold and a warm run. No dollars for what runs here."""
        columns = ("role", "model", "requests", "failed", "prompt_tokens", "completion_tokens", "dollars")
        with whole_file(path) as temporary, temporary.open("w", newline="") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(columns)
            for name, (role, service) in self.opened.items():
                used = service.usage
                known = role.price and not getattr(used, "uncounted", 0)
                dollars = f"{cost(role, used.prompt_tokens, used.completion_tokens):.6f}" if known else ""
                table.writerow([name, service.model, used.requests, used.failed, used.prompt_tokens, used.completion_tokens, dollars])

    def _account(self, role: Role, name: str, model: str) -> Account | None:
        return Account(self.budgets, name, role, model) if self.budgets and role.engine != "recorded" else None

    def _store(self) -> Store:
        self.store = self.store or Store(default_path())
        return self.store


def _judge(service: StoredEngine | StoredScorer, most: float) -> None:
    usage = service.usage
    if usage.failed > most * usage.requests:
        reason, count = service.reasons.most_common(1)[0]
        remedy = "What was answered is stored: correct that and run again"
        if reason.startswith(UNFIT):  # such answers are stored as well, and would be read again
            remedy = "Answers are stored, these too: correct that, give the model another version (name@version of its role) and run again"
        raise EngineError(
            f"{usage.failed:,} of {usage.requests:,} requests to {service.model} failed (requests.max_failed_share is {most:g}), "
            f"{count:,} with: {reason}. {remedy}"
        )


def _engine(role: Role, settings: Requests, stage: str, store: Callable[[], Store]) -> Engine | StreamingEngine:
    """Models are loaded and servers reached at the first request that the store cannot answer."""
    if role.engine == "recorded":
        from factory.engines.recorded_engine import RecordedEngine

        engine = RecordedEngine(Path(role.model), role.models, Prompts.of(role.prompts))
        for line in engine.malformed[:3]:
            print(f"{stage}: left out {line}", file=sys.stderr)
        if len(engine.malformed) > 3:
            print(f"{stage}: left out {len(engine.malformed) - 3} more malformed lines", file=sys.stderr)
        return engine
    if role.batch:
        from factory.engines.batch_engine import BatchEngine

        return BatchEngine(role, settings, store(), stage)
    if role.engine == "openai":
        from factory.engines.openai_engine import OpenAIEngine

        return OpenAIEngine(role, settings)
    if role.engine == "vllm":
        from factory.engines.vllm_engine import VllmEngine

        # What decides where an answer is cut, and with which rounding it is computed, is part of every key.
        options = "".join(f",{name}={value}" for name in ("max_length", "dtype") if (value := getattr(role, name)))
        return VllmEngine(role, _name(role.model) + options)
    from factory.engines.transformers_engine import TransformersEngine

    return TransformersEngine(role.model, _name(role.model))


def _scorer(role: Role, settings: Requests) -> Scorer | StreamingScorer:
    if role.batch:
        raise EngineError(f"{role.model}: a reward model is asked pair by pair: leave batch out of its role")
    if role.engine == "openai":
        from factory.engines.openai_engine import OpenAIScorer

        return OpenAIScorer(role, settings)
    if role.engine != "transformers":
        raise EngineError(f"{role.model}: a reward model runs on the engine transformers, or on a server (openai), not on {role.engine}")
    from factory.engines.transformers_engine import TransformersScorer

    return TransformersScorer(role.model, _name(role.model))


def model_revision(folder: Path) -> str:
    """A hash over a model folder's configuration, tokenizer and weights. Raises EngineError naming the stage that makes the folder."""
    files = {file for pattern in _CONTENT for file in restored(folder).glob(pattern) if file.is_file() and file.name not in _OTHER}
    names = {file.name for file in files}
    if "config.json" not in names or not any(name.endswith((".safetensors", ".bin")) for name in names):
        state = "holds no model (config.json and weights)" if folder.is_dir() else "is missing"
        raise EngineError(f"{folder} {state}: `dvc repro {maker(folder.name)}` makes it")
    return hash_files(files, folder)


def maker(model: str) -> str:
    """The stage that makes data/models/<model>."""
    stages = {
        "base": "pretraining@base` or `dvc repro adoption@base",
        "format_tuned": "format_tuning",
        "policy": "ppo",
        "distilled": "distill",
    }
    if model in stages:
        return stages[model]
    kind, _, key = model.partition("_")
    item = kind in ("orm", "policy", "distilled") or (kind == "planner" and key not in ("dpo", "adjust"))
    return f"{stages.get(kind, kind)}@{key}" if item else model


def _name(source: str) -> str:
    """Name and revision in lineage and keys: a folder's content hash, a Hub model's commit."""
    folder = Path(source)
    name, at, revision = source.partition("@")
    if folder.is_dir() or not at:
        return f"{folder.name}@{model_revision(folder)}"
    if not _COMMIT.fullmatch(revision):
        raise EngineError(f"{source}: {revision!r} may move: pin a commit, {name}@<7 to 40 hex digits>")
    return source
