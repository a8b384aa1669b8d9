"""`params.yaml` as strict types: one section a stage; an unknown, missing or impossible key stops the line before anything runs.

    >>> load().require("rollouts").samples        # doctest: +SKIP
    8

A profile is a whole params file. A section that a line does not use (the recorded line trains nothing) may be left out;
a stage asks for its own with `require`. The classes have no hidden defaults but for a source's optional columns.
"""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from factory.errors import ParamsError
from factory.schemas import AnswerKind, Rule

Fraction = float  # 0 to 1


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Source(Strict):
    """Where problems come from. `columns` maps our names (problem, answer, solution, family, decimals) to the source's.
    `answer_after` is the mark in the answer column behind which the answer stands (GSM8K: `####`)."""

    name: str
    kind: Literal["world", "jsonl", "parquet", "hub"]
    path: str | None = None  # a file, or a Hub dataset's id
    revision: str | None = None
    hub_split: str = "train"
    columns: dict[str, str] = {}
    answer_after: str | None = None
    answer_kind: AnswerKind = "number"
    split: Literal["train", "dev", "heldout", "unseen"] | None = None  # None: by hash, in the shares of `split_shares`


class World(Strict):
    """Sizes of the procedural world's splits (problems) and its difficulty."""

    train: int = Field(ge=1)
    dev: int = Field(ge=1)
    heldout: int = Field(ge=1)
    unseen: int = Field(ge=1)
    max_steps: int = Field(ge=1, le=5)  # operations in a procedure
    max_number: int = Field(ge=9, le=999)


class Problems(Strict):
    sources: list[Source]
    world: World | None = None
    split_shares: dict[str, float]  # of sources without a split of their own, over train · dev · heldout
    benchmarks: list[str]  # JSONL/Parquet files; a problem that overlaps one is rejected (purpose: train)
    near_duplicate: Fraction  # word-shingle Jaccard at or above which two problems with equal numbers are one
    contamination_ngram: int = Field(ge=3)  # words; containment of a benchmark's n-grams
    max_reject_share: Fraction  # the stage fails above it


class Corpus(Strict):
    texts: int = Field(ge=100)
    roles: dict[str, float]  # relative weights


class BaseModelParams(Strict):
    hub_id: str | None  # null: pretrain from scratch on `corpus`
    revision: str | None
    hidden: int
    layers: int
    heads: int
    intermediate: int
    max_length: int
    init: float = Field(gt=0)  # standard deviation of the first weights
    epochs: int
    batch: int
    lr: float  # AdamW's: embeddings and norms
    muon_lr: float  # of the hidden matrices


class Sampling(Strict):
    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)
    max_tokens: int = Field(ge=1)


class Parallel(Strict):
    """vLLM's sizes: GPUs a replica is split over, and replicas. Over several machines these are vLLM's own Ray cluster."""

    tensor: int = Field(default=1, ge=1)
    pipeline: int = Field(default=1, ge=1)
    data: int = Field(default=1, ge=1)


class Price(Strict):
    """US dollars per million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class Role(Strict):
    """Which engine and model play a role. `model` is a folder under data/models, a Hub id `org/name@revision`, a server's model and its
    version `name@version` (`base_url` says where: one server or several that serve the same), or a file of recorded answers."""

    engine: Literal["transformers", "recorded", "vllm", "openai"]
    model: str
    models: tuple[str, ...] = ()  # recorded: which models' answers to read
    base_url: str | tuple[str, ...] = ()  # openai: http://host:8000/v1
    api_key_env: str = "OPENAI_API_KEY"  # openai: the environment variable that holds the key; none is sent where it is unset
    concurrency: int = Field(default=64, ge=1)  # openai: requests under way at each server
    parallel: Parallel = Parallel()  # vllm
    max_length: int | None = None  # vllm: tokens of context; None: the model's
    memory: float = Field(default=0.9, gt=0, le=1)  # vllm: share of a GPU's memory
    price: Price | None = None  # None: it runs here, seconds are its cost

    @property
    def urls(self) -> tuple[str, ...]:
        return (self.base_url,) if isinstance(self.base_url, str) else self.base_url


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


class Rollouts(Strict):
    problems: int = Field(ge=1)  # of the train split
    samples: int = Field(ge=1)
    sampling: Sampling


class OrmPairs(Strict):
    per_problem: int = Field(ge=1)
    margin: float = Field(ge=0)  # τ (2 in Satori)


class Orm(Strict):
    epochs: int = Field(ge=1)
    batch: int = Field(ge=2)
    lr: float = Field(gt=0)


class Demonstrations(Strict):
    keep: int = Field(ge=1)  # solutions kept a problem, of each verdict (4 in Satori)
    critics: list[Literal["llm", "reference"]]  # tried in this order
    max_reference_share: Fraction
    checkable_critiques: bool  # a critique must state something about numbers, which needs no gold solution to be seen
    step_check: Literal["none", "equations", "rollouts"]  # of the first wrong step that a critique claims
    step_rollouts: int = Field(ge=1)  # rollouts: solutions from before it and from after it, as many of each
    critique_rounds: int = Field(ge=1, le=2)  # m
    continuations: int = Field(ge=1)  # samples a continuation
    after_answer_share: Fraction  # II-I that verify after the final answer and box it again
    keep_box_share: Fraction  # III that keep the wrong attempt up to its box
    generator: Sampling
    critic: Sampling


class Sft(Strict):
    """Supervised fine-tuning. `tokens` is the budget in trained-on sequence tokens, so that arms can be compared."""

    tokens: int = Field(ge=1)
    batch: int = Field(ge=1)
    lr: float = Field(gt=0)
    mask_wrong: bool = False  # no loss on wrong steps (demonstrations only)


class Restarts(Strict):
    max_backtrack: int = Field(ge=0)  # T (2 in Satori)
    plain: int = Field(ge=0)  # problems in buffer 0
    per_sign: int = Field(ge=0)  # quota of D+ and of D-


class Round(Strict):
    start: str  # a model under data/models
    restarts: bool
    temperature: float = Field(gt=0)
    samples: int = Field(ge=1)  # a prompt


class Policy(Strict):
    """`part`: which `rollouts.problems` train problems it is sampled on, from 0. A round needs problems that its start was not tuned on."""

    model: str
    part: int = Field(ge=0)


class Ppo(Strict):
    iterations: int = Field(ge=1)
    batch: int = Field(ge=1)  # rollouts an iteration
    minibatch: int = Field(ge=1)
    epochs: int = Field(ge=1)
    lr: float = Field(ge=0)
    critic_lr: float = Field(ge=0)
    warmup_share: Fraction
    critic_warmup: int = Field(ge=0)  # first iterations that train only the critic
    clip: float = Field(gt=0)
    value_clip: float = Field(gt=0)
    gamma: float = Field(gt=0, le=1)
    lam: float = Field(ge=0, le=1)
    baselines: list[Literal["critic", "siblings"]]  # what a reward is compared with: Satori's critic, the mean of a start's other samples
    kl: float = Field(ge=0)  # 0: no reference model is loaded
    beta: float = Field(ge=0)  # the restart bonus
    orm_weight: float = Field(ge=0)  # weight of σ(ORM) in the reward; 1 in Satori
    max_tokens: int = Field(ge=1)
    max_grad_norm: float = Field(gt=0)


class Distillation(Strict):
    problems: int = Field(ge=1)
    samples: int = Field(ge=1)
    keep: int = Field(ge=1)  # rows: right, and of the problems with the lowest empirical pass rate
    sampling: Sampling


class Templates(Strict):
    problems: int = Field(ge=1)
    min_support: int = Field(ge=1)  # problems whose analyses name the template
    resolve: int = Field(ge=1)  # source problems solved again under it
    min_solve_rate: Fraction  # below it a template is quarantined
    labeller: Sampling


class Plans(Strict):
    problems: int = Field(ge=1)
    max_templates: int = Field(ge=1)
    labeller: Sampling


class Trajectories(Strict):
    problems: int = Field(ge=1)
    samples: int = Field(ge=2)
    similar: int = Field(ge=1)  # |X_sim|, the problem included
    decodes: int = Field(ge=1)  # a similar problem
    min_gap: Fraction  # of R between chosen and rejected
    pairs_per_problem: int = Field(ge=1)
    planner: Sampling
    inference: Sampling


class Dpo(Strict):
    epochs: int = Field(ge=1)
    batch: int = Field(ge=1)
    lr: float = Field(gt=0)
    beta: float = Field(gt=0)


class Evaluate(Strict):
    n: int = Field(ge=1)  # problems a split
    max_tokens: int = Field(ge=1)
    bootstrap: int = Field(ge=100)


class Release(Strict):
    name: str  # of the published collection
    licence: str
    notice: str  # shown on every card and in every report; "" for none


class Dataset(Strict):
    parents: str  # the table under data/tables that its rows come from; the gate checks them against it


class Params(Strict):
    seed: int
    purpose: Literal["train", "audit"]  # audit: benchmark data; trainers refuse its datasets
    roles: dict[Literal["generator", "critic", "reward_model", "labeller", "inference", "judge"], Role]
    requests: Requests
    grading: Grading
    policies: dict[str, Policy] = {}
    rounds: dict[str, Round] = {}
    distillations: dict[str, dict[str, Any]] = {}
    datasets: dict[str, Dataset]
    problems: Problems
    corpus: Corpus | None = None
    base_model: BaseModelParams | None = None
    rollouts: Rollouts | None = None
    orm_pairs: OrmPairs | None = None
    orm: Orm | None = None
    demonstrations: Demonstrations | None = None
    format_tuning: Sft | None = None
    restarts: Restarts | None = None
    ppo: Ppo | None = None
    distillation: Distillation | None = None
    distill: Sft | None = None
    templates: Templates | None = None
    plans: Plans | None = None
    planner_sft: Sft | None = None
    trajectories: Trajectories | None = None
    planner_dpo: Dpo | None = None
    evaluate: Evaluate | None = None
    release: Release

    @model_validator(mode="after")
    def _names_fit(self) -> "Params":
        """The keys that shape the graph must agree with each other: rounds are data."""
        for name in self.rounds:
            if name not in self.policies:
                raise ValueError(f"rounds.{name} has no policies.{name}: {{model: {self.rounds[name].start}}}")
            sampled, start = self.policies[name].model, self.rounds[name].start
            if sampled != start:
                raise ValueError(f"policies.{name}.model is {sampled} but rounds.{name}.start is {start}")
        starts = {"base", "format_tuned", "cot_control"}
        starts |= {f"policy_{name}" for name in self.rounds} | {f"distilled_{name}" for name in self.distillations}
        for name, round_ in self.rounds.items():
            if round_.start not in starts:
                raise ValueError(f"rounds.{name}.start is {round_.start}; the line makes {', '.join(sorted(starts))}")
        for name in self.distillations:
            if name not in self.rounds:
                raise ValueError(f"distillations.{name} has no rounds.{name}")
        for name in self.rounds:
            for dataset in (f"restarts_{name}", f"orm_pairs_{name}"):
                if dataset not in self.datasets:
                    raise ValueError(f"datasets lacks {dataset}: {{parents: rollouts_{name}}}, which round {name} trains on")
        return self

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
    try:
        return Params.model_validate(document)
    except ValidationError as error:
        raise ParamsError(f"{origin}: " + "; ".join(_explain(problem) for problem in error.errors()[:4])) from None


def _explain(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown key {where}"
    if problem["type"] == "missing":
        return f"missing key {where}"
    if problem["type"] == "value_error":
        return f"{where + ': ' if where else ''}{problem['ctx']['error']}"
    return f"{where} is {problem['input']!r}: {problem['msg'].lower()}"


def load(path: Path = Path("params.yaml")) -> Params:
    """Raises ParamsError when the file is missing, is not YAML, or has a wrong key."""
    try:
        return parse(yaml.safe_load(path.read_text()), str(path))
    except FileNotFoundError:
        raise ParamsError(f"{path} is missing here ({Path.cwd()}): run inside the project, or `factory profile use laptop`") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not YAML: {str(error).splitlines()[0]} {getattr(error, 'problem_mark', '')}".strip()) from None
