"""A model that was just adopted is tried before the line is built on it, so that a fault shows at `adoption` and not in PPO.

    check(model, tokenizer, Sampler, "org/name")
    → DataError: org/name: its logits are not those of its output layer (final_logit_softcapping 30.0): …

Six things are tried, the last three on a few short sequences in fp32 (seconds for a small model, about a minute for 7B on a CPU):
the tokenizer gives texts back; its chat template takes a question and an answer, and ends the answer; a scalar head fits (reward model,
critic); the output layer over the hidden states gives the logits (trainers compute them so); padding on the right changes nothing; and
the sampler's greedy tokens and log-probabilities are the model's own.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from factory.errors import DataError
from factory.language.tokens import opens_thought, pair_ids, sequence_ids, turn_end
from factory.schemas import Message
from trainers import run

TOLERANCE = 2e-3  # nats: rounding in fp32 stays far below it, a wrong mask or position does not
NEW_TOKENS = 6
SHORTEST = 64  # tokens: no problem and solution fit into less
SCALES = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier", "output_multiplier_scale")
CHOOSE = "choose another (Llama, Qwen2, Qwen3, OLMo-2, GPT-NeoX and GPT-2 work)"
FAULTS = (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError, AssertionError)  # of code that is not ours


class Sampled(Protocol):
    @property
    def token_ids(self) -> tuple[int, ...]: ...
    @property
    def logprobs(self) -> tuple[float, ...]: ...
    @property
    def finished(self) -> bool: ...


class CanSample(Protocol):
    def sample(
        self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], *, max_tokens: int, temperature: float
    ) -> Sequence[Sampled]: ...


Sampling = Callable[[Any, Any], CanSample]  # model, tokenizer; raises EngineError for a model that it cannot decode


def check(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sampling: Sampling, name: str) -> None:
    """Raises DataError with the first thing that is wrong, and EngineError for a model that the sampler refuses."""
    context = model.config.max_position_embeddings
    reason = f"its context holds only {context} tokens: {CHOOSE}" if context < SHORTEST else None
    reason = reason or _text(tokenizer) or reward_head(model) or _conversation(tokenizer)
    if not reason:
        with single_precision(model), torch.no_grad():
            try:
                reason = _forward(model, tokenizer, sampling(model, tokenizer))
            except FAULTS as error:
                reason = f"running it failed ({run.first_line(error)}): {CHOOSE}"
    if reason:
        raise DataError(f"{name}: {reason}")


@contextlib.contextmanager
def single_precision(model: PreTrainedModel) -> Iterator[None]:
    """Weights in fp32 and dropout off inside the block; the same bits as before behind it (fp32 holds every bf16 and fp16 number)."""
    kept, training = {parameter: parameter.dtype for parameter in model.parameters()}, model.training
    model.eval()
    try:
        for parameter in kept:
            parameter.data = parameter.data.float()
        yield
    finally:
        for parameter, dtype in kept.items():
            parameter.data = parameter.data.to(dtype)
        model.train(training)


def _text(tokenizer: PreTrainedTokenizerBase) -> str | None:
    ids = tokenizer(run.PROBE, add_special_tokens=False)["input_ids"]
    back = str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
    if tokenizer.unk_token_id not in ids and back.strip() != run.PROBE:
        return f"its tokenizer does not give a text back: {run.PROBE!r} becomes {back!r}: {CHOOSE}"
    return None


def _conversation(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Why no conversation can be trained on and read, or None."""
    asked = (Message("user", "12 + 7?"),)
    try:
        ((prompt, answer),) = sequence_ids(tokenizer, [asked], ["Nineteen."])
        ((whole, reason),) = pair_ids(tokenizer, [(asked, "Nineteen.")], "the base")
    except DataError as error:
        return f"{error}: {CHOOSE}"
    if reason:
        return f"{reason}: {CHOOSE}"
    if answer[-1] != tokenizer.eos_token_id:
        return f"its answers end in the token {turn_end(tokenizer)}, its texts in {tokenizer.eos_token_id}: {CHOOSE}"
    if opens_thought(tokenizer):
        return (
            f"its chat template opens a thought before every answer, and what is trained here are answers; {CHOOSE}, or edit the template"
        )
    if not prompt:
        return f"its chat template makes nothing of a question: {CHOOSE}"
    if whole[-1] == tokenizer.pad_token_id:
        return f"its chat template ends a conversation with its padding token {tokenizer.pad_token}: no reward model can read it; {CHOOSE}"
    return None


def reward_head(model: PreTrainedModel) -> str | None:
    """Why no reward model or critic can begin from its weights, or None. Needs no weights."""
    kind = model.config.model_type
    try:
        with torch.device("meta"):
            twin = AutoModelForSequenceClassification.from_config(copy.deepcopy(model.config))
    except ValueError:
        return f"transformers has no sequence classification for {kind}, so no reward model can begin from it: {CHOOSE}"
    if not isinstance(getattr(twin, "score", None), torch.nn.Linear):
        return f"{type(twin).__name__} has no linear layer `score`, which the critic reads at every token: {CHOOSE}"
    if set(twin.base_model.state_dict()) != set(model.base_model.state_dict()):
        return f"{type(twin).__name__} does not take over the weights of {type(model).__name__}: {CHOOSE}"
    return None


def _forward(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sampler: CanSample) -> str | None:
    prompts = _prompts(tokenizer)
    answers = sampler.sample(prompts, [0] * len(prompts), max_tokens=NEW_TOKENS, temperature=0.0)
    ends = [[tokenizer.eos_token_id] if answer.finished else [] for answer in answers]
    rows = [[*prompt, *answer.token_ids, *end] for prompt, answer, end in zip(prompts, answers, ends, strict=True)]
    alone = [model(input_ids=_tensor(model, [row])).logits[0].float().log_softmax(-1) for row in rows]  # (T, V) each
    if any(bool(logprobs.isnan().any()) for logprobs in alone):
        return "its logits are no finite numbers: download it again, or choose another model"
    return _hidden(model, rows, alone) or _sampled(prompts, answers, rows, alone)


def _prompts(tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Four prompts of unequal lengths."""
    ids = tokenizer(run.PROBE, add_special_tokens=False)["input_ids"] * 12  # whole words may be few
    return [ids[begin : begin + size] for begin, size in ((0, 12), (2, 1), (1, 7), (3, 4))]


def _hidden(model: PreTrainedModel, rows: list[list[int]], alone: list[Tensor]) -> str | None:
    """As trainers compute log-probabilities: hidden states of a batch padded on the right, without a mask, then the output layer."""
    head = model.get_output_embeddings()
    single = [head(model.base_model(input_ids=_tensor(model, [row]), use_cache=False).last_hidden_state)[0] for row in rows]
    if (gap := _gap(single, alone)) > TOLERANCE:
        named = [f"{key} {value}" for key in SCALES if (value := getattr(model.config, key, None))]
        return (
            f"its logits are not those of its output layer ({', '.join(named) or f'{gap:.2g} nats apart'}): what is trained would not be "
            f"what is sampled; {CHOOSE}"
        )
    width = max(map(len, rows)) + 3
    ids = _tensor(model, [[*row, *[row[0]] * (width - len(row))] for row in rows])  # (B, T)
    together = head(model.base_model(input_ids=ids, use_cache=False).last_hidden_state)  # (B, T, V)
    if (gap := _gap([together[place, : len(row)] for place, row in enumerate(rows)], alone)) > TOLERANCE:
        return f"tokens behind a text change its log-probabilities (by {gap:.2g} nats): it is no causal model; {CHOOSE}"
    return None


def _sampled(prompts: list[list[int]], answers: Sequence[Sampled], rows: list[list[int]], alone: list[Tensor]) -> str | None:
    for prompt, answer, row, logprobs in zip(prompts, answers, rows, alone, strict=True):
        chosen = torch.tensor(row[len(prompt) :], device=logprobs.device)
        own = logprobs[len(prompt) - 1 : -1]  # (A, V)
        taken = own.gather(-1, chosen[:, None])[:, 0]
        gap = float((own.max(-1).values - taken).max())
        for ours, theirs in zip(answer.logprobs, taken.tolist(), strict=False):  # the end has no log-probability
            gap = max(gap, abs(ours - theirs))
        if not gap <= TOLERANCE:
            return f"padding on the left or the key-value cache changes its log-probabilities (by {gap:.2g} nats): {CHOOSE}"
    return None


def _gap(logits: Sequence[Tensor], logprobs: Sequence[Tensor]) -> float:
    """The largest difference of log-probabilities, in nats; infinite where one is no number."""
    gaps = []
    for ours, theirs in zip(logits, logprobs, strict=True):
        found = ours.float().log_softmax(-1)
        gaps.append((found - theirs).abs().masked_fill(found == theirs, 0.0).nan_to_num(nan=float("inf")).max())
    return max(float(gap) for gap in gaps)


def _tensor(model: PreTrainedModel, rows: list[list[int]]) -> Tensor:
    return torch.tensor(rows, device=model.device)
