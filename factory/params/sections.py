"""The sections of `params.yaml` about models and their data: pretraining, sampling, COAT, rounds, the planner, evaluation.

    ppo: {iterations: 60, batch: 128, minibatch: 128, epochs: 1, lr: 2.0e-4, …}   → Ppo(iterations=60, …)

Bounds of one key stand here; what several keys must agree on stands in `factory.params.consistency`.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]


def _rising(window: tuple[float, float]) -> tuple[float, float]:
    if window[0] > window[1]:
        raise ValueError(f"[{window[0]:g}, {window[1]:g}] is no window, expected [low, high] with low ≤ high")
    return window


Window = Annotated[tuple[Fraction, Fraction], AfterValidator(_rising)]  # of pass rates, closed: both ends lie in it
CORPUS_ROLES = ("solve", "read", "check", "retry", "continue", "verify", "critique", "plan", "follow", "analyse", "compute", "describe")


# What a planned name is tied to, in trajectories and in the evaluation: the template of that name, else the nearest by name and tags; the
# template of exactly that name; none: the inference model reads the planned names and tags alone, and no text of the library
Retrieval = Literal["nearest", "exact", "none"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Corpus(Strict):
    texts: int = Field(ge=100)
    roles: dict[str, Annotated[float, Field(ge=0)]]  # relative weights of CORPUS_ROLES


class Pretraining(Strict):
    """A small model from scratch. Beside `base` there may be others, for rounds to be distilled into, each with a corpus of its own name
    (the same texts): `corpus_large`."""

    corpus: str  # the table and dataset of its texts: corpus, or corpus_<name>
    hidden: int = Field(ge=1)
    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    intermediate: int = Field(ge=1)
    max_length: int = Field(ge=1)
    init: float = Field(gt=0)  # standard deviation of the first weights
    epochs: int = Field(ge=1)
    batch: int = Field(ge=1)
    lr: float = Field(gt=0)  # AdamW's: embeddings and norms
    muon_lr: float = Field(gt=0)  # of the hidden matrices


class Sampling(Strict):
    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)
    max_tokens: int = Field(ge=1)


class Rollouts(Strict):
    """`drawn_tokens`: rows also have the columns `token_ids`, all tokens that were drawn, the one that ended the answer included, and
    `token_logprobs`, of each the natural logarithm of the probability with which it was drawn: at the sampling's temperature, of what top_p
    leaves (of a greedy answer: the plain softmax). For off-policy corrections and training elsewhere. Answers that were stored without them
    are asked again. Engines that can tell: transformers, vllm, and vLLM servers."""

    problems: int = Field(ge=1)  # of the train split
    samples: int = Field(ge=1)
    sampling: Sampling
    drawn_tokens: bool = False


class OrmPairs(Strict):
    per_problem: int = Field(ge=1)
    margin: float = Field(ge=0)  # τ (2 in Satori)


class Lora(Strict):
    """Low-rank adapters instead of training all weights; the saved model is a plain one either way."""

    rank: int = Field(ge=1)
    alpha: int = Field(ge=1)  # the change of a matrix is alpha / rank · B A


class Training(Strict):
    """How trainers use the machine. It changes no gradient but for rounding, so that no stage depends on it."""

    processes: int = Field(default=1, ge=1)  # that train together: one for each GPU
    shard: bool = False  # over several GPUs: each holds a part of weights, gradients and optimizer states (FSDP)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of matrix products; auto: bfloat16 for large models on a GPU
    pass_tokens: int | None = Field(default=None, ge=1)  # padded tokens of one pass: bounds memory; None: by the device
    recompute: bool | None = None  # gradient checkpointing; None: from a billion parameters on, on a GPU
    compile: bool | None = None  # layers by torch.compile, a minute at the start of a training; None: large models on a GPU
    save_minutes: float = Field(default=10.0, ge=0)  # between the checkpoints from which a killed training goes on
    keep: int = Field(default=2, ge=1)  # checkpoints
    report_to: tuple[Literal["trackio", "tensorboard", "wandb"], ...] = ()  # beside data/logs


class Orm(Strict):
    epochs: int = Field(ge=1)
    batch: int = Field(ge=2)
    lr: float = Field(gt=0)
    lora: Lora | None = None


class Demonstrations(Strict):
    pass_rate: Window  # of which problems' rollouts they are made, by how often the policy solves the problem
    keep: int = Field(ge=1)  # solutions kept a problem, of each verdict (4 in Satori)
    thinking: bool  # what a thinking model thought before its answer is a part of the demonstration
    critics: list[Literal["llm", "reference"]]  # tried in this order
    max_reference_share: Fraction
    checkable_critiques: bool  # a critique must state something about numbers, which needs no gold solution to be seen
    # of the first wrong step that a critique claims; equations_or_rollouts: by rollouts where there are no equations to compare
    step_check: Literal["none", "equations", "rollouts", "equations_or_rollouts"]
    step_rollouts: int = Field(ge=1)  # rollouts: solutions from before it and from after it, as many of each
    repairs: int = Field(ge=0, le=2)  # how often an answer of a critic that cannot be read is asked for again
    critique_rounds: int = Field(ge=1, le=2)  # m
    continuations: int = Field(ge=1)  # samples a continuation
    after_answer_share: Fraction  # II-I that verify after the final answer and box it again
    keep_box_share: Fraction  # III that keep the wrong attempt up to its box
    generator: Sampling
    critic: Sampling


class ProcessRewards(Strict):
    """Labels a step. `by`: who names the first wrong step; the first that can tell of a solution gives its labels."""

    by: tuple[Literal["exact", "critic"], ...] = Field(min_length=1, max_length=2)
    per_problem: int = Field(ge=1)  # solutions of a problem at most, drawn by id


class Sft(Strict):
    """Supervised fine-tuning. `tokens` is the budget in trained-on sequence tokens, so that arms can be compared."""

    tokens: int = Field(ge=1)
    batch: int = Field(ge=1)
    lr: float = Field(gt=0)
    mask_wrong: bool = False  # no loss on wrong steps (demonstrations only)
    lora: Lora | None = None


class PlannerSft(Sft):
    """Of template structure (L_struct) and of problem → plan rows together, under one budget of tokens."""

    structure: bool = True  # False: plans alone, no template is described
    heldout_templates: Fraction = 0.0  # of the templates that are described: not trained on, so that L_struct can be measured on them


class Restarts(Strict):
    max_backtrack: int = Field(ge=0)  # T (2 in Satori): the last 0 to T steps of a parent are dropped
    prefix_share: Window | None = None  # instead: the share of a parent's steps that is kept, drawn from this range, e.g. [0.1, 0.9]
    plain: int = Field(ge=0)  # problems in buffer 0
    per_sign: int = Field(ge=0)  # quota of D+ and of D-
    pass_rate: Window  # problems that give start states, plain ones too, by how often the round's policy solves them
    prefer: Literal["any", "even", "hard"] = "any"  # within a quota first: by chance, pass rates nearest to 1/2, lowest pass rates
    teacher: int = Field(default=0, ge=0)  # beginnings of gold solutions, of problems that the policy never solved (buffer t)


class Round(Strict):
    start: str  # a model under data/models
    restarts: bool
    temperature: float = Field(gt=0)
    samples: int = Field(ge=1)  # a prompt

    @model_validator(mode="before")
    @classmethod
    def _whole_distribution(cls, given: Any) -> Any:
        if isinstance(given, dict) and (cut := next((key for key in ("top_p", "top_k", "min_p") if key in given), None)):
            raise ValueError(f"{cut} cuts off what is unlikely, and PPO's ratio is that of whole distributions: leave it out")
        return given


class Policy(Strict):
    """`part`: which `rollouts.problems` train problems it is sampled on, from 0. A round needs problems that its start was not tuned on."""

    model: str
    part: int = Field(ge=0)


class OnPolicy(Strict):
    """The base samples, and learns by how likely the round's policy finds every token (reverse KL): no row of the policy is imitated."""

    iterations: int = Field(ge=1)
    batch: int = Field(ge=1)  # responses an iteration
    lr: float = Field(gt=0)
    temperature: float = Field(gt=0)
    max_tokens: int = Field(ge=1)


class Distilled(Strict):
    """A round whose policy is distilled into a base, the line's own or another one, larger or smaller (weak-to-strong, Satori §3.4)."""

    into: str  # a key of pretraining or adoption
    on_policy: OnPolicy | None = None  # None: tuned on the policy's right answers, as `distill` says


class PpoSampler(Strict):
    """Responses come from vLLM, to which the weights are handed over before every iteration."""

    engine: Literal["vllm"]
    memory: float = Field(default=0.4, gt=0, le=1)  # share of a GPU's memory
    dtype: Literal["float32", "bfloat16"] | None = None  # None: bfloat16 on a GPU, float32 on a CPU
    importance: float | None = Field(default=2.0, ge=1)  # most that an action counts for π / π_vLLM; None: as if both were equal


class Online(Strict):
    """The policy's own finished responses become start states of later iterations, cut as `restarts` cuts rollouts; in rounds
    with restarts."""

    share: Fraction  # of an iteration's start states, at most: half of them D+, half D-
    per_sign: int = Field(ge=1)  # start states held of each sign and depth; the oldest make room
    per_problem: int = Field(ge=1)  # of these, of the same problem
    depth: int = Field(ge=1)  # restarts behind a start state, at most
    max_backtrack: int = Field(ge=0)
    prefix_share: Window | None = None


class Ppo(Strict):
    iterations: int = Field(ge=1)
    batch: int = Field(ge=1)  # rollouts an iteration
    minibatch: int = Field(ge=1)
    epochs: int = Field(ge=1)
    lr: float = Field(ge=0)
    critic_lr: float = Field(ge=0)
    warmup_share: Fraction
    critic_warmup: int = Field(ge=0)  # first iterations that train only the critic
    clip_low: float = Field(gt=0, lt=1)  # the ratio of new to old probability counts from 1 - clip_low
    clip_high: float = Field(gt=0)  # to 1 + clip_high; .2 both ways in PPO, .2 and .28 in DAPO
    value_clip: float = Field(gt=0)
    gamma: float = Field(gt=0, le=1)
    lam: float = Field(ge=0, le=1)
    baselines: list[Literal["critic", "siblings"]]  # what a reward is compared with: Satori's critic, the mean of a start's other samples
    # a start state whose samples are all right or all wrong is learnt from · left out · replaced by others, which are sampled beside it
    alike: Literal["keep", "skip", "refill"] = "keep"
    refills: int = Field(default=2, ge=1)  # refill: at most so many batches are sampled beside an iteration's first
    online: Online | None = None  # None: the start states are those of `restarts` throughout
    kl: float = Field(ge=0)  # 0: no reference model is loaded
    beta: float = Field(ge=0)  # the restart bonus
    orm_weight: float = Field(ge=0)  # weight of σ(ORM) in the reward; 1 in Satori
    max_tokens: int = Field(ge=1)
    max_grad_norm: float = Field(gt=0)
    lora: Lora | None = None
    sampler: PpoSampler | None = None  # None: the trained model samples itself


class Distillation(Strict):
    problems: int = Field(ge=1)
    samples: int = Field(ge=1)
    keep: int = Field(ge=1)  # rows: right, and of the problems with the lowest empirical pass rate
    sampling: Sampling


class TemplateImport(Strict):
    """A published library that joins the line's templates. `columns` maps our names (name, tags, description, scope, steps, example …) to
    the file's; the usual names need none."""

    path: str  # JSON under any headings, JSONL, CSV, TSV or Parquet
    licence: str  # the publisher's, on each of its rows: Apache-2.0
    source: str  # org/repository@revision, on each of its rows
    columns: dict[str, str] = Field(default_factory=dict)


FEWEST_CONTROLS = 10  # of each truth, of which a threshold can be made


class Merging(Strict):
    """Which analyses are one template: those of one name, and with `labeller` those of the pairs of names that it calls one pattern."""

    by: Literal["names", "labeller"] = "names"
    candidates: int = Field(default=5, ge=1)  # the best of the library's index for each name (of tags: the likest) that are asked about
    orders: Literal[1, 2] = 2  # 2: asked both ways round, and one only with yes twice
    decide: Literal["word", "odds"] = "word"  # odds: how probable yes was, against a threshold that the controls set
    controls: int = Field(default=0, ge=0)  # pairs of each truth, made of the templates' own halves; a labeller that fails merges nothing

    @model_validator(mode="after")
    def _measured(self) -> "Merging":
        if self.decide == "odds" and self.controls < FEWEST_CONTROLS:
            raise ValueError(
                f"decide: odds takes its threshold from controls: set controls to {FEWEST_CONTROLS} or more, it is {self.controls}"
            )
        return self


class Tags(Strict):
    """The vocabulary of the labeller's tags."""

    shown: int = Field(default=0, ge=0)  # the most used ones, of imports and of the first analyses, that it is shown; 0: it finds its own
    first: Fraction = 0.25  # of the problems: analysed without being shown any
    synonyms: Literal["none", "stems", "labeller"] = "none"  # united to the most used: never, of the same stems, also by its word
    once: Fraction = 1.0  # of the vocabulary may occur once; beyond it tags are dropped where a template keeps two others


class Templates(Strict):
    problems: int = Field(ge=1)
    solutions: Literal["rollouts", "gold"] = "rollouts"  # which of a problem's solutions is analysed, where it has both
    min_support: int = Field(ge=1)  # problems whose analyses name the template
    resolve: int = Field(ge=1)  # source problems solved again under it
    min_solve_rate: Fraction  # quarantined is a template that solved none, or whose rate lies below this with its whole 95 % interval
    labeller: Sampling
    merge: Merging = Merging()
    tags: Tags = Tags()
    imports: list[TemplateImport] = Field(default_factory=list)  # each tried `resolve` times on its own example
    most: int | None = Field(default=None, ge=1)  # accepted templates that stay, those of the most problems; None: all


class Planner(Strict):
    """A planner by SFT, data/models/planner_<key>. One that starts from `base` learns plans of the labeller; one that starts from an
    earlier planner learns the best of that planner's own."""

    start: str


class Plans(Strict):
    problems: int = Field(ge=1)
    samples: int = Field(default=1, ge=1)  # proposals a problem, of the labeller or of an earlier planner
    tries: int = Field(default=0, ge=0)  # of each different proposal on its problem; 0: the first of the right form is kept
    min_reward: Fraction = 0.75  # of the tries that solve it; of these plans the one proposed most often
    max_templates: int = Field(ge=1)
    labeller: Sampling


class Final(Strict):
    """The best `plans` of each problem, and the plan of nothing, are measured on `similar` problems instead of `trajectories.similar`."""

    plans: int = Field(ge=1)
    similar: int = Field(ge=2)


class Trajectories(Strict):
    problems: int = Field(ge=1)
    samples: int = Field(ge=2)
    similar: int = Field(ge=1)  # |X_sim|, the problem included
    decodes: int = Field(ge=1)  # a similar problem
    nothing: bool = False  # whether the plan of no template is a trajectory of every problem
    final: Final | None = None
    min_gap: Fraction  # of R between chosen and rejected
    clear_only: bool = False  # pairs whose interval of the difference lies above 0, no others
    pairs_per_problem: int = Field(ge=1)
    retrieval: Retrieval = "nearest"
    planner: Sampling
    inference: Sampling


class Dpo(Strict):
    epochs: int = Field(ge=1)
    batch: int = Field(ge=1)
    lr: float = Field(gt=0)
    beta: float = Field(gt=0)
    loss: Literal["sigmoid", "apo_zero"] = "sigmoid"  # apo_zero: the chosen one's own likelihood rises, where DPO lets both fall
    nll: float = Field(default=0.0, ge=0)  # weight of the chosen one's own negative log-likelihood a token (Pang et al. 2024)
    lora: Lora | None = None


class Adjustments(Strict):
    margin: Fraction  # accuracy that a choice has to gain over keeping the plan; with less the plan is kept
    keep_share: Fraction  # of the rows, at most, that keep the plan; 1: all
    per_problem: int = Field(ge=1)  # rows


class Agreement(Strict):
    """A greedy plan is followed only where a share of `share` of `samples` sampled plans are the same; elsewhere nothing is planned."""

    samples: int = Field(ge=2)
    share: float = Field(gt=0, le=1)


class Evaluate(Strict):
    n: int = Field(ge=1)  # problems a split
    interplay: int = Field(default=0, ge=0)  # of these, the first, go through the loop step by step, without and with adjusting; 0: none
    agreement: Agreement | None = None  # makes the arm dpo_agreed; None: it is left out
    max_tokens: int = Field(ge=1)
    bootstrap: int = Field(ge=100)
