"""`params.yaml` as strict types: one section a stage; an unknown, missing or impossible key stops the line before anything runs.

    >>> load().require("rollouts").samples        # doctest: +SKIP
    8

A profile is a whole params file. A section that a line does not use (the recorded line trains nothing) may be left out;
a stage asks for its own with `require`. The classes have no hidden defaults but for a source's optional columns.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from factory.errors import ParamsError
from factory.params import consistency
from factory.params.names import ALLOWED, ALLOWED_FREE, FreeName, Key, meant
from factory.params.sections import (
    Adjustments,
    Corpus,
    Demonstrations,
    Distillation,
    Distilled,
    Dpo,
    Evaluate,
    Fraction,
    Orm,
    OrmPairs,
    Planner,
    PlannerSft,
    Plans,
    Policy,
    Ppo,
    Pretraining,
    ProcessRewards,
    Restarts,
    Rollouts,
    Round,
    Sampling,
    Sft,
    Strict,
    Templates,
    Training,
    Trajectories,
)
from factory.params.yaml_file import read_yaml
from factory.schemas import AnswerKind, Rule

__all__ = [
    "Adjustments", "Corpus", "Demonstrations", "Distillation", "Dpo", "Evaluate", "Orm", "OrmPairs", "Params", "ParamsError", "Plans",
    "Policy", "Ppo", "Pretraining", "Problems", "Requests", "Restarts", "Role", "Rollouts", "Round", "Sampling", "Sft", "Source",
    "Templates", "Training", "Trajectories", "World", "load", "parse",
]  # fmt: skip


class Source(Strict):
    """Where problems come from. `columns` maps our names (problem, answer, solution, family, group, decimals) to the source's.
    `answer_after` is the mark in the answer column behind which the answer stands (GSM8K: `####`).

    Of a file (`kind: file`) its first bytes and its ending say how to read it: JSONL or a JSON array (.jsonl, .ndjson, .json), .csv, .tsv,
    .parquet, plain, .gz or .zst. The kinds jsonl, json, csv, tsv and parquet are files too, and say it where the name has no ending."""

    name: str
    kind: Literal["world", "file", "jsonl", "json", "csv", "tsv", "parquet", "hub"]
    path: str | None = None  # a file, or a Hub dataset's id
    revision: str | None = None
    hub_config: str | None = None  # a Hub dataset's configuration, where it has several (openai/gsm8k: main)
    hub_split: str = "train"
    columns: dict[str, str] = Field(default_factory=dict)
    answer_after: str | None = None
    answer_kind: AnswerKind = "number"
    split: Literal["train", "dev", "heldout", "unseen"] | None = None  # None: by hash, in the shares of `split_shares`
    weight: float = Field(default=1.0, gt=0)  # how often one of its problems is drawn beside one of a source of weight 1
    cap: int | None = Field(default=None, ge=1)  # at most so many of its problems, after decontamination and deduplication


class World(Strict):
    """Sizes of the procedural world's splits (problems) and its difficulty."""

    train: int = Field(ge=1)
    dev: int = Field(ge=1)
    heldout: int = Field(ge=1)
    unseen: int = Field(ge=1)
    max_steps: int = Field(ge=1, le=5)  # operations in a procedure
    max_number: int = Field(ge=9, le=999)


class Problems(Strict):
    sources: list[Source] = Field(min_length=1)  # names are unique
    world: World | None = None
    split_shares: dict[str, Fraction]  # of sources without a split of their own, over train · dev · heldout
    benchmarks: list[str]  # JSONL/Parquet files; a problem that overlaps one is rejected (purpose: train)
    near_duplicate: float = Field(gt=0, le=1)  # Jaccard of token shingles from which problems with equal numbers, signs and answers are one
    contamination_ngram: int = Field(ge=3)  # tokens; containment of a benchmark's n-grams
    max_reject_share: Fraction  # the stage fails above it


IN_PROCESS = ("transformers", "vllm")  # engines that load a folder of data/models
RoleName = Literal["generator", "critic", "reward_model", "labeller", "planner", "inference", "judge"]


class Parallel(Strict):
    """vLLM's sizes: GPUs a replica is split over, and replicas. Over several machines these are vLLM's own Ray cluster."""

    tensor: int = Field(default=1, ge=1)
    pipeline: int = Field(default=1, ge=1)
    data: int = Field(default=1, ge=1)


class Price(Strict):
    """US dollars per million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class Batch(Strict):
    """How a provider's batch interface is used: answers within a day for a share of the price."""

    price: Fraction = 0.5  # share of the role's price that is charged for them
    window: str = "24h"  # in which the provider promises to answer, as it is written to it
    poll: float = Field(default=60.0, gt=0)  # seconds between two looks at a batch
    gather: float = Field(default=5.0, ge=0)  # seconds without another request after which a batch that is not full is sent
    requests: int = Field(default=50_000, ge=1)  # of one batch at most
    megabytes: float = Field(default=200.0, gt=0)  # of its file at most


class Role(Strict):
    """Which engine and model play a role. `model` is a folder under data/models, a Hub id `org/name@revision`, a server's model and its
    version `name@version` (`base_url` says where: one server or several that serve the same), or a file of recorded answers."""

    engine: Literal["transformers", "recorded", "vllm", "openai"]
    model: str
    prompts: str = "instruct"  # how it is asked: a set of factory/language/prompts (instruct, laptop), or a folder of your own
    models: tuple[str, ...] = ()  # recorded: which models' answers to read
    base_url: str | tuple[str, ...] = ()  # openai: http://host:8000/v1
    base_url_env: str | None = None  # openai: the environment variable that holds the addresses instead, with spaces between: a cluster's
    listed_as: str | None = None  # openai: its name in the server's list of models, where requests use another; "*": any
    omit: tuple[Literal["n", "seed", "temperature", "top_p", "stop", "response_format"], ...] = ()  # openai: fields that the server refuses
    max_tokens_as: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"  # openai: the field's name
    continue_as: Literal["message", "prefix", "echoed_prefix"] | None = None  # openai: how a server other than vLLM goes on with a turn
    seed_bits: int = Field(default=63, ge=1, le=63)  # openai: the lowest bits of a seed that are sent; 31 where the server takes int32
    api_key_env: str = "OPENAI_API_KEY"  # openai: the environment variable that holds the key; none is sent where it is unset
    concurrency: int = Field(default=64, ge=1)  # openai: requests under way at each server
    batch: Batch | None = None  # openai: requests go to the provider's batch interface (docs/servers.md)
    parallel: Parallel = Parallel()  # vllm
    max_length: int | None = None  # vllm: tokens of context; None: the model's
    memory: float = Field(default=0.9, gt=0, le=1)  # vllm: share of a GPU's memory
    dtype: Literal["float32", "bfloat16"] | None = None  # vllm: None: the model's on a GPU, float32 on a CPU
    price: Price | None = None  # None: it runs here, seconds are its cost

    @model_validator(mode="after")
    def _options_fit(self) -> "Role":
        options = ("base_url_env", "listed_as", "omit", "max_tokens_as", "continue_as", "seed_bits", "batch")
        given = [name for name in options if getattr(self, name) != type(self).model_fields[name].default]
        if given and self.engine != "openai":
            raise ValueError(f"{given[0]} is an option of the engine openai, and this role's is {self.engine}: leave it out")
        if self.base_url and self.base_url_env:
            raise ValueError("base_url and base_url_env both say where the servers are: leave one out")
        if self.dtype and self.engine != "vllm":
            raise ValueError(f"dtype is an option of the engine vllm, and this role's is {self.engine}: leave it out")
        return self

    @property
    def urls(self) -> tuple[str, ...]:
        """() where the environment does not tell them."""
        if self.base_url_env:
            return tuple(os.environ.get(self.base_url_env, "").replace(",", " ").split())
        return (self.base_url,) if isinstance(self.base_url, str) else self.base_url


class Budget(Strict):
    """What a role may cost, over all stages and runs of this copy of the project. A stage that wants more ends, and can be resumed."""

    tokens: int | None = Field(default=None, gt=0)  # read and written
    dollars: float | None = Field(default=None, gt=0)  # at the role's price

    @model_validator(mode="after")
    def _limits_something(self) -> "Budget":
        if self.tokens is None and self.dollars is None:
            raise ValueError("a budget without a limit: write tokens, dollars or both")
        return self


class Requests(Strict):
    """How engines are asked. These change no row, so that no stage depends on them."""

    timeout: float = Field(gt=0)  # seconds for one answer of a server
    retries: int = Field(ge=0)  # after the first attempt, of a request that may yet succeed
    max_failed_share: Fraction  # a stage fails when more of its requests than this stay without an answer


class Grading(Strict):
    """How answers of models are found and graded. COAT texts and rewards always go by the box."""

    rules: list[Rule] = Field(min_length=1)  # which rules find an answer (docs/grading.md); training wants [box]
    seconds: float = Field(gt=0)  # the limits of one answer that needs computer algebra
    memory_mb: int = Field(ge=128)
    workers: int = Field(ge=1)


class Release(Strict):
    name: FreeName  # of the published collection
    licence: str = Field(min_length=1)  # of the card, any text
    notice: str  # shown on every card and in every report; "" for none


class Dataset(Strict):
    parents: str  # the table under data/tables that its rows come from; the gate checks them against it


class Params(Strict):
    seed: int = Field(ge=0, lt=2**63)
    purpose: Literal["train", "audit"]  # audit: benchmark data; trainers refuse its datasets
    steps: Literal["line", "paragraph"]  # what a step of a solution is: a line, or a paragraph that no formula is cut in
    roles: dict[RoleName, Role]
    requests: Requests
    budget: dict[RoleName, Budget] = Field(default_factory=dict)  # changes no row either
    grading: Grading
    policies: dict[Key, Policy] = Field(default_factory=dict)
    rounds: dict[Key, Round] = Field(default_factory=dict)
    distillations: dict[Key, Distilled] = Field(default_factory=dict)
    planners: dict[Key, Planner] = Field(default_factory=dict)
    datasets: dict[str, Dataset]
    problems: Problems
    corpus: Corpus | None = None
    # What makes data/models/base, one of the two. A model to adopt is a folder, a GGUF file, or on the Hub `org/name@revision`
    # (`org/name/file.gguf@revision`); it gets the three tokens of the actions.
    pretraining: dict[Key, Pretraining] = Field(default_factory=dict)
    adoption: dict[Key, str] = Field(default_factory=dict)
    rollouts: Rollouts | None = None
    orm_pairs: OrmPairs | None = None
    orm: Orm | None = None
    demonstrations: Demonstrations | None = None
    process_rewards: ProcessRewards | None = None
    format_tuning: Sft | None = None
    restarts: Restarts | None = None
    ppo: Ppo | None = None
    training: Training = Training()
    distillation: Distillation | None = None
    distill: Sft | None = None
    templates: Templates | None = None
    plans: Plans | None = None
    planner_sft: PlannerSft | None = None
    trajectories: Trajectories | None = None
    planner_dpo: Dpo | None = None
    adjustments: Adjustments | None = None
    planner_adjust: Sft | None = None
    evaluate: Evaluate | None = None
    release: Release

    @model_validator(mode="after")
    def _agrees(self) -> "Params":
        consistency.check(self)
        return self

    def asked_with(self, role: str) -> str:
        """The set or folder of prompts with which a role is asked; of a role that the file leaves out, `instruct`."""
        return self.roles[role].prompts if role in self.roles else "instruct"

    def own(self, model: str, like: RoleName) -> Role:
        """A model that the line makes, data/models/<model>, as that role runs where this is in process, else on transformers: what a server
        or a file of recorded answers plays has none of the line's models."""
        role, path = self.roles[like], f"data/models/{model}"
        return role.model_copy(update={"model": path}) if role.engine in IN_PROCESS else Role(engine="transformers", model=path)

    def require(self, name: str) -> Any:
        """The section of a stage. Raises ParamsError when the file leaves it out."""
        value = getattr(self, name)
        if value is None:
            raise ParamsError(f"params.yaml has no section '{name}', which this stage needs")
        return value


def parse(document: object, origin: str = "params.yaml") -> Params:
    """Raises ParamsError naming every wrong key, its value and what was expected."""
    if not isinstance(document, dict):
        raise ParamsError(f"{origin}: expected a mapping of sections, got {type(document).__name__}")
    try:  # through JSON: strict about numbers, texts and booleans, yet a YAML list may be a tuple
        return Params.model_validate_json(json.dumps(document, default=str), strict=True)
    except ValidationError as error:
        raise ParamsError(f"{origin}: " + "; ".join(_explain(problem) for problem in error.errors()[:4])) from None


def _explain(problem: Any) -> str:
    loc = problem["loc"]
    where = ".".join(str(part) for part in loc)
    if problem["type"] == "extra_forbidden":
        return f"unknown key {where}{meant(str(loc[-1]), _known(loc))}"
    if problem["type"] == "missing":
        return f"missing key {where}"
    if problem["type"] == "value_error":
        return f"{where + ': ' if where else ''}{problem['ctx']['error']}"
    if loc[-1:] == ("[key]",):
        expected = ALLOWED if problem["type"] == "string_pattern_mismatch" else problem["msg"].removeprefix("Input should be ")
        return f"{'.'.join(map(str, loc[:-2]))} has the key {problem['input']!r}: expected {expected}"
    if problem["type"] == "string_pattern_mismatch":
        return f"{where} is {problem['input']!r}: expected {ALLOWED_FREE}"
    quote = " (in quotes)" if problem["type"] == "string_type" and isinstance(problem["input"], int | float) else ""
    return f"{where} is {repr(problem['input'])[:60]}: {problem['msg'].lower()}{quote}"


def _known(loc: tuple[int | str, ...]) -> list[str]:
    """The keys that are known where an unknown one stands."""
    section: type[BaseModel] = Params
    for part in loc[:-1]:
        if part in section.model_fields:
            section = next(_models_in(section.model_fields[str(part)].annotation), section)
    return list(section.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def load(path: Path = Path("params.yaml")) -> Params:
    """Raises ParamsError when the file is missing, is not YAML in UTF-8, or has a wrong key."""
    try:
        return parse(read_yaml(path), str(path))
    except FileNotFoundError:
        remedy = "`factory profile use laptop` makes it" if Path("pipelines/profiles").is_dir() else "run inside the project"
        raise ParamsError(f"{path} is missing here ({Path.cwd()}): {remedy}") from None
    except OSError as error:
        raise ParamsError(f"{path} cannot be read: {error.strerror or error}") from None
