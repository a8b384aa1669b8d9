"""The rows that stages exchange: the one place where columns are named.

Arrow schemas, Hugging Face `Features` and the structural part of the Great Expectations suites derive from these
dataclasses. Every row that a model helped to make is a `Made` row and carries its lineage. Example:

    Restart(id="8c1f…", problem_id="a07b…", parent_id="51aa…", buffer="-", backtrack=1, prompt=(Message("user", "Tom has 12 apples. …"),),
            prefix="12 + 7 = 18\\n<|reflect|>", prefix_has_answer=False, answer="15", answer_kind="number")

Columns are what TRL reads (`prompt`/`completion`, `prompt`/`chosen`/`rejected`/`margin`), so that any trainer can use them. Prompts are
conversations; the answers to them are the assistant's words in tables, and in a released dataset a conversation of that one message, so
that every trainer renders both with its own model's chat template.
"""

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

import pyarrow as pa

from factory.errors import DataError

Split = Literal["train", "dev", "heldout", "unseen"]
AnswerKind = Literal["number", "math", "choice", "label", "literal", "table", "text"]
Rule = Literal["box", "hash", "tag", "final_answer", "answer_is", "last_line", "last_maths"]  # which finds an answer: docs/grading.md
Verdict = Literal["correct", "wrong", "unparsable", "timeout"]
FinishReason = Literal["stop", "length", "error"]
DemonstrationType = Literal["I", "II-I", "II-II", "III-I", "III-II"]
Buffer = Literal["0", "+", "-", "t"]
TemplateStatus = Literal["accepted", "quarantined", "retired"]


TURNS = ("system", "user", "assistant")


class Message(NamedTuple):
    """One turn: `role` is system, user or assistant."""

    role: str
    content: str


Conversation = tuple[Message, ...]  # an assistant's message at its end is a turn begun: the model goes on with it


@dataclass(frozen=True, kw_only=True)
class Row:
    id: str


@dataclass(frozen=True, kw_only=True)
class Made(Row):
    """Lineage of a row that a model helped to make. `model` is a name and a revision or content hash: `base@3fa9…`."""

    model: str
    request_ids: tuple[str, ...] = ()
    prompt_version: str
    seed: int
    round: str
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Problem(Row):
    """`instance` is the canonical instance (family and sorted parameters, whatever the wording) by which splits are made. `group`: a
    label that reports split by, of any kind; no code decides by it. `decimals`: the tolerance that the problem states (2: to the nearest
    hundredth), None for exact answers. `weight`: its source's, how often it is drawn beside a problem of weight 1."""

    source: str
    family: str
    group: str
    split: Split
    instance: str
    problem: str
    answer: str
    answer_kind: AnswerKind
    decimals: int | None = None
    solution: str | None = None
    strategy: tuple[str, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class CorpusText(Row):
    """Pretraining text of one role (laptop only). `instance` proves that it is disjoint from every split."""

    role: str
    family: str
    instance: str
    prompt: str
    completion: str


@dataclass(frozen=True, kw_only=True)
class Rollout(Made):
    """One graded completion of a problem, sampled by a policy or recorded. `verdict` and `reason` are the grader's. `reasoning` is what a
    thinking model thought before it: never graded. The last five are of its problem over all samples of this table: `right` of `samples`,
    their ratio, and its 95 % interval (factory/coat/pass_rates.py); without samples nothing is counted yet."""

    problem_id: str
    prompt: Conversation
    completion: str
    reasoning: str | None = None
    steps: tuple[str, ...]
    answer: str | None
    verdict: Verdict
    reason: str = ""
    finish_reason: FinishReason
    tokens: int
    logprob: float | None = None
    right: int = 0
    samples: int = 0
    pass_rate: float = 0.0
    pass_low: float = 0.0
    pass_high: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Demonstration(Made):
    """A COAT trajectory (Satori App. C). `wrong_spans` are character offsets (start, end, start, end, …) into `completion`
    of what is wrong in wrong attempts, whose loss may be masked."""

    problem_id: str
    type: DemonstrationType
    prompt: Conversation
    completion: str
    wrong_spans: tuple[int, ...] = ()
    score: float
    critic: Literal["llm", "reference", "none"]
    critique: str = ""


@dataclass(frozen=True, kw_only=True)
class CriticJudgement(Row):
    """One remark of a critic beside the reference critic's finding. A step is the first wrong one, None: no step is wrong. `compared`
    says that the reference had equations to compare; only then do `said_step` and `reference_step` agree or differ."""

    critic: Literal["llm", "reference"]
    kind: Literal["verify", "critique"]
    problem_id: str
    parent_id: str
    request_id: str
    text: str
    parsed: bool
    leaks: bool
    said_step: int | None
    reference_step: int | None
    compared: bool
    accepted: bool
    reason: str
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Example(Made):
    """A supervised pair: distillation, structure and plans."""

    problem_id: str
    prompt: Conversation
    completion: str


@dataclass(frozen=True, kw_only=True)
class Restart(Row):
    """A start state of PPO (Satori Algorithm 1): `prompt` + `prefix` is what the policy continues. Buffer `0` has no prefix, `+` and `-`
    have that of a right and a wrong rollout, the parent, `t` (teacher) that of the problem's gold solution: the parent is the problem then.
    `backtrack`: steps of the parent that the prefix lacks. `pass_rate`: the problem's over the samples of the policy that starts the
    round, None where it was not sampled."""

    problem_id: str
    parent_id: str | None
    buffer: Buffer
    backtrack: int
    prompt: Conversation
    prefix: str
    prefix_has_answer: bool
    answer: str
    answer_kind: AnswerKind
    decimals: int | None = None
    pass_rate: float | None = None
    round: str


@dataclass(frozen=True, kw_only=True)
class OrmPair(Row):
    """A Bradley-Terry pair of two graded completions of one prompt."""

    problem_id: str
    prompt: Conversation
    chosen: str
    rejected: str
    margin: float
    chosen_id: str
    rejected_id: str
    round: str


@dataclass(frozen=True, kw_only=True)
class Template(Made):
    """A thought template (ReasonFlux §3.1). `solve_rate` is over `resolved` guided attempts on its own source problems."""

    name: str
    tags: tuple[str, ...]
    description: str
    scope: str
    steps: tuple[str, ...]
    example_problem: str
    example_solution: str
    example_answer: str
    source: str
    licence: str
    status: TemplateStatus
    resolved: int
    solve_rate: float | None
    version: int


@dataclass(frozen=True, kw_only=True)
class Trajectory(Made):
    """A planned template trajectory and its reward R (ReasonFlux §3.2): mean accuracy of the guided inference model over X_sim."""

    problem_id: str
    prompt: Conversation
    plan: str
    template_ids: tuple[str, ...]
    similar_ids: tuple[str, ...]
    instantiations: tuple[str, ...]
    decodes: tuple[str, ...]
    reward: float
    n_similar: int
    n_decodes: int
    interval: tuple[float, ...]
    gain: float | None = None  # R less the reward of planning nothing over the same X_sim, where that was measured


@dataclass(frozen=True, kw_only=True)
class TrajectoryPair(Made):
    """Two plans of one problem, the chosen one with the higher reward R (ReasonFlux §3.2).

    `interval` is the 95 % interval of the difference of their rewards; `clear`: it lies above 0 as a whole."""

    problem_id: str
    prompt: Conversation
    chosen: str
    rejected: str
    reward_chosen: float
    reward_rejected: float
    n_similar: int
    n_decodes: int
    template_ids: tuple[str, ...]
    interval: tuple[float, ...] = ()
    clear: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer(Row):
    """One evaluated answer. `arm` is `policy` for trained models, or the planner's arm: direct · random_template · sft · dpo · oracle."""

    model: str
    arm: str
    problem_id: str
    split: Split
    family: str
    group: str
    completion: str
    verdict: Verdict
    finish_reason: FinishReason
    tokens: int
    calls: int


@dataclass(frozen=True, kw_only=True)
class Reject(Row):
    """What a stage would not let through, and why. `row` is the rejected row as JSON."""

    stage: str
    parent_id: str | None
    reason: str
    row: str


ANSWERS = ("completion", "chosen", "rejected")  # columns of the assistant's words, beside a conversation `prompt`

R = TypeVar("R", bound=Row)

TABLES: dict[str, type[Row]] = {
    "problems": Problem, "corpus": CorpusText, "rollouts": Rollout, "demonstrations": Demonstration, "cot_demonstrations": Demonstration,
    "critic_judgements": CriticJudgement, "restarts": Restart, "orm_pairs": OrmPair, "templates": Template, "structure": Example,
    "plans": Example, "distillation": Example, "trajectories": Trajectory, "trajectory_pairs": TrajectoryPair, "answers": Answer,
    "rejects": Reject,
}  # fmt: skip


def table_of(name: str) -> type[Row]:
    """The row type of a table or dataset by its name; rounds end in `_<round>`: `restarts_r1` → Restart. Raises DataError."""
    kind = name if name in TABLES else name.rsplit("_", 1)[0]
    if kind not in TABLES:
        raise DataError(f"{name} is no table: expected one of {', '.join(TABLES)}, with _<round> behind it where rounds have their own")
    return TABLES[kind]


def field_types(row: type[Row]) -> dict[str, Any]:
    """Column name → Python type, in declaration order with `id` first."""
    hints = typing.get_type_hints(row)
    return {field.name: hints[field.name] for field in dataclasses.fields(row)}


def nullable(hint: Any) -> bool:
    return isinstance(hint, types.UnionType) and type(None) in typing.get_args(hint)


def choices(hint: Any) -> tuple[str, ...]:
    """The values of a `Literal` column, () for every other."""
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else ()


def arrow_type(hint: Any) -> pa.DataType:
    if isinstance(hint, types.UnionType):
        return arrow_type(next(arg for arg in typing.get_args(hint) if arg is not type(None)))
    if typing.get_origin(hint) is Literal:
        return pa.string()
    if hint is Message:
        return pa.struct([pa.field(name, pa.string()) for name in Message._fields])
    if typing.get_origin(hint) is tuple:
        return pa.list_(arrow_type(typing.get_args(hint)[0]))
    return {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}[hint]


def released_answers(row: type[Row]) -> list[str]:
    """The columns that a released dataset holds as conversations of one message, and a table as text."""
    types = field_types(row)
    return [name for name in ANSWERS if name in types and types.get("prompt") == Conversation]


def arrow_schema(row: type[Row]) -> pa.Schema:
    return pa.schema([pa.field(name, arrow_type(hint), nullable=nullable(hint)) for name, hint in field_types(row).items()])
