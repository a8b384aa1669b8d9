"""How much memory a training takes at its peak, part by part, from the model's shape and what is trained how: arithmetic, no torch.

    shape = Shape.of(json.loads(Path("models/qwen/config.json").read_text()))
    memory(shape, Training("sft", tokens=2048)).total            → 19_500_000_000: 7.9 of states, 6 of activations, 4 of logits, …
    memory(shape, Training("ppo", rank=32, precision="bfloat16", checkpointing=True, tokens=4096, chunk=1024, gpus=1))

`float32` trains as a CPU does. `bfloat16`: on a GPU, full training under autocast, where the master weights, gradients and Adam stay
float32 and the cast weights of one model live through its pass; with LoRA the frozen base is bfloat16, the adapters are float32. Over
several GPUs FSDP shards models and gathers a layer at a time; PPO's reward model is whole on every GPU. With LoRA the models of PPO share
one backbone, whose layers are sharded; adapters, embedding and head are whole. Our sampler has weights of its own where it could not use
the trained ones.
docs/sizes.md compares the sums with measured peaks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from factory.errors import DataError

Method = Literal["sft", "orm", "dpo", "ppo"]
FLOAT, HALF = 4, 2  # bytes of a number
ADAM = 8  # bytes of a trained parameter: two moments in float32
LOGITS = {"float32": 12, "bfloat16": 16}  # bytes of a logit: itself, its log-softmax, its gradient; cast back and forth
DRAWN = 24  # bytes of a logit while a token is drawn: float32, its log-softmax and probability, the cumulative sum in double
PROCESS = 600_000_000  # of Python and its libraries, or of a CUDA context
SPARE = 1 / 8  # of all the rest: what a GPU's allocator cannot use
GPU = 80_000_000_000  # bytes, of which vLLM takes its share


@dataclass(frozen=True)
class Shape:
    """A decoder of the Llama kind: gated MLP, grouped heads. `tied`: the head is the embedding."""

    hidden: int
    layers: int
    intermediate: int
    vocabulary: int
    heads: int
    key_heads: int
    head: int  # numbers of one head
    tied: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Shape":
        """From what stands in config.json. Raises DataError for one that lacks a size, and for a mixture of experts."""
        own = config.get("text_config") or config
        if any(own.get(key) for key in ("num_experts", "num_local_experts", "n_routed_experts")):
            raise DataError("the config is of a mixture of experts, whose memory is not counted here: give the sizes of a dense model")
        try:
            hidden, layers, intermediate, vocabulary, heads = (
                int(own[key]) for key in ("hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size", "num_attention_heads")
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the config tells no {error}: expected the sizes of a decoder in Hugging Face's names") from None
        keys, head = int(own.get("num_key_value_heads") or heads), int(own.get("head_dim") or hidden // heads)
        tied = bool(own.get("tie_word_embeddings", config.get("tie_word_embeddings", False)))
        return cls(hidden, layers, intermediate, vocabulary, heads, keys, head, tied)

    @property
    def matrices(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of a layer's linear maps: q, k, v, o, gate, up, down."""
        queries, keys, inner = self.heads * self.head, self.key_heads * self.head, self.intermediate
        h = self.hidden
        return (h, queries), (h, keys), (h, keys), (queries, h), (h, inner), (h, inner), (inner, h)

    @property
    def layer(self) -> int:
        """Parameters of one layer."""
        return sum(rows * columns for rows, columns in self.matrices) + 2 * self.hidden

    @property
    def embedding(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def backbone(self) -> int:
        """Parameters without a head of its own: what a reward model and a critic have."""
        return self.embedding + self.layers * self.layer + self.hidden

    @property
    def parameters(self) -> int:
        return self.backbone + (0 if self.tied else self.embedding)

    def adapter(self, rank: int) -> int:
        """Parameters of a LoRA on every linear map of every layer."""
        return self.layers * rank * sum(rows + columns for rows, columns in self.matrices)


@dataclass(frozen=True)
class Sampling:
    """What PPO samples with: our sampler, `rows` answers of `length` tokens (prompt included) at once, or vLLM's `share` of the GPU."""

    rows: int = 0
    length: int = 0
    share: float = 0.0


@dataclass(frozen=True)
class Training:
    """`tokens`: padded, of one forward and backward pass, all sides of a pair counted; `positions`: of them under the vocabulary head,
    None: all. `chunk`: positions that the head takes at a time, None: all at once. `critic`, `kl`, `orm` and `sampling` are PPO's."""

    method: Method
    tokens: int
    rank: int | None = None  # of LoRA, None: every weight is trained
    precision: Literal["float32", "bfloat16"] = "float32"
    checkpointing: bool = False
    positions: int | None = None
    chunk: int | None = None
    gpus: int = 0  # 0: a CPU
    critic: bool = True  # False: siblings are the only baseline
    kl: bool = False  # a reference model
    orm: bool = True  # False: its weight in the reward is 0
    sampling: Sampling = Sampling()


@dataclass(frozen=True)
class Memory:
    """Bytes of one process. Held throughout: `weights`, `gradients`, `optimizer` of what is trained, `frozen` models, `handed` (the
    sampler's own weights), `server` (vLLM), `process`, `spare`. While it learns: `copies` (cast or gathered weights), `activations`,
    `logits`. While it samples: `cache` of keys and values, `drawn` (logits of the next token)."""

    weights: int
    gradients: int
    optimizer: int
    frozen: int
    copies: int
    activations: int
    logits: int
    handed: int
    cache: int
    drawn: int
    server: int
    process: int
    spare: int = 0

    @property
    def states(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.frozen + self.handed

    @property
    def learning(self) -> int:
        return self.copies + self.activations + self.logits

    @property
    def sampling(self) -> int:
        return self.cache + self.drawn

    @property
    def total(self) -> int:
        """At the peak: it learns or it samples."""
        return self.states + max(self.learning, self.sampling) + self.server + self.process + self.spare

    def parts(self) -> dict[str, int]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def memory(shape: Shape, training: Training) -> Memory:
    """Of one process, at the longest pass of the run, the optimizer's moments being there already."""
    cut = max(1, training.gpus)
    apart = 1 if _on_one_backbone(training) else cut  # of what trains
    width = FLOAT if training.precision == "float32" else HALF
    trained, frozen, whole = _held(shape, training, width)
    sampled = training.method == "ppo"
    rows, length = (training.sampling.rows, training.sampling.length) if sampled else (0, 0)
    found = Memory(
        weights=FLOAT * trained // apart,
        gradients=FLOAT * trained // apart,
        optimizer=ADAM * trained // apart,
        frozen=frozen // cut + whole,
        copies=_copies(shape, training, width),
        activations=_activations(shape, training),
        logits=_logits(shape, training),
        handed=width * shape.parameters if rows and (cut > 1 or width == HALF or training.rank is not None) else 0,
        cache=rows * length * 2 * shape.layers * shape.key_heads * shape.head * width,
        drawn=rows * shape.vocabulary * DRAWN,
        server=round(training.sampling.share * GPU) if sampled else 0,
        process=PROCESS,
    )
    return replace(found, spare=round(SPARE * (found.total - found.server))) if training.gpus else found


def _held(shape: Shape, training: Training, width: int) -> tuple[int, int, int]:
    """(parameters that are trained, bytes of what is not and can be sharded, bytes of what is whole on every GPU)."""
    ppo = training.method == "ppo"
    own = shape.backbone + shape.hidden if training.method == "orm" else shape.parameters
    critic, orm, reference = ppo and training.critic, ppo and training.orm, ppo and training.kl
    if training.rank is None:
        judge = shape.backbone + shape.hidden
        return own + critic * judge, width * reference * own, width * orm * judge
    adapter = shape.adapter(training.rank) + shape.hidden
    whole = own - shape.layers * shape.layer if ppo else 0
    return adapter * (1 + critic), width * (own - whole), width * whole + orm * FLOAT * adapter  # the reference is the bare backbone


def _on_one_backbone(training: Training) -> bool:
    """Only its layers are sharded."""
    return training.method == "ppo" and training.rank is not None


def _copies(shape: Shape, training: Training, width: int) -> int:
    """One process: autocast's bfloat16 weights of the model in its pass. FSDP: two layers' weights, one's gradients where it trains, and
    what stands outside of the layers."""
    if training.gpus > 1:
        gathered = 3 if training.rank is None else 2
        return width * (gathered * shape.layer + (0 if _on_one_backbone(training) else shape.parameters - shape.layers * shape.layer))
    return HALF * shape.parameters if width == HALF and training.rank is None else 0


def _activations(shape: Shape, training: Training) -> int:
    """What backward needs. A layer keeps, a token: six of the residual stream's size (the inputs, the normalised and the scaled of two
    norms), four of the attention's (queries, repeated keys and values, output), four of the MLP's (gate, its SiLU, up, their product);
    under autocast the norms in float32 and the rest in bfloat16. With checkpointing a layer keeps its input, and one at a time the rest."""
    half = training.precision == "bfloat16"
    attention, inner = 4 * shape.heads * shape.head, 4 * shape.intermediate
    layer = 20 * shape.hidden + HALF * (attention + inner) if half else FLOAT * (6 * shape.hidden + attention + inner)
    residual = HALF if half and training.rank is not None else FLOAT
    kept = shape.layers * residual * shape.hidden + layer if training.checkpointing else shape.layers * layer
    return training.tokens * (kept + layer)  # and the gradients of the layer at work


def _logits(shape: Shape, training: Training) -> int:
    if training.method == "orm":
        return 0
    positions = training.tokens if training.positions is None else min(training.positions, training.tokens)
    return min(positions, training.chunk or positions) * shape.vocabulary * LOGITS[training.precision]
