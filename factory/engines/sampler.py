"""The one in-process sampler: decodes token ids with any causal model of transformers that `supported` lets pass.

    sampler = Sampler(model, tokenizer)
    sampler.sample([[5, 9, 3]], seeds=[7], max_tokens=64, temperature=1.0)
    → [Sampled(token_ids=(12, 4, 31), finished=True, logprobs=(-0.21, -1.07, -0.02))]

Every row draws from its own counter-based generator (Philox keyed by its seed, one uniform number a token, inverted through the
cumulative distribution), so that a row's randomness depends neither on its neighbours nor on the order. Log-probabilities are those of
the model's plain softmax (temperature 1, nothing truncated), whatever was sampled from; the token that ends an answer has none. Those of
the distribution that was drawn from, which reinforcement learning needs of every token drawn, the end included, are `drawn_logprobs`.

What ends one: the tokens of the model's generation config, the tokenizer's end of sequence, and the end of turn of its chat template.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from factory.engines.cache import InPlaceCache, decoding, rows_that_fit
from factory.engines.supported import unsupported
from factory.errors import DataError, EngineError
from factory.language.tokens import turn_end

PREFILL_TOKENS = 8192  # of one forward pass over prompts: bounds its memory
COMPACT_SHARE = 16  # finished rows leave the batch when they are more than 1/16 of it


@dataclass(frozen=True)
class Sampled:
    """`token_ids` lack the token that ended them. `finished` False: cut at max_tokens or the context, or failed (`error` says why)."""

    token_ids: tuple[int, ...]
    finished: bool
    logprobs: tuple[float, ...]
    error: str | None = None
    drawn_logprobs: tuple[float, ...] = ()  # tempered, of what top_p leaves (greedy: the plain softmax); that of the ending token too
    end: int | None = None  # the token that ended it


class Sampler:
    def __init__(self, model: Any, tokenizer: Any, batch: int = 256) -> None:
        """`model`: a causal LM with sdpa or eager attention. Raises EngineError for one that cannot be decoded here."""
        if reason := unsupported(model):
            raise EngineError(reason)
        self.model, self.tokenizer, self.batch = model, tokenizer, batch
        self.context: int = model.config.max_position_embeddings
        ends = getattr(model.generation_config, "eos_token_id", None)
        ends = [*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id]
        with suppress(DataError):  # a tokenizer that ends nothing: all goes on to max_tokens
            ends.append(turn_end(tokenizer))
        self.ends = sorted({*ends} - {None})

    @torch.inference_mode()
    def sample(
        self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], *, max_tokens: int, temperature: float,
        top_p: float = 1.0, stop: tuple[str, ...] = (),
    ) -> list[Sampled]:  # fmt: skip
        """One sample a prompt, in order; temperature 0 is greedy. An empty prompt, or one that fills the context, comes back with an
        error. A row that writes a stop string is finished by the token that completes it, which stays in its `token_ids`."""
        assert len(prompts) == len(seeds), f"{len(prompts)} prompts, {len(seeds)} seeds"
        results = {row: Sampled((), False, (), why) for row, prompt in enumerate(prompts) if (why := self._refusal(prompt))}
        order = sorted(set(range(len(prompts))) - set(results), key=lambda row: (len(prompts[row]), tuple(prompts[row])))
        if order:
            was_training = self.model.training
            self.model.eval()
            shortest, longest = len(prompts[order[0]]), len(prompts[order[-1]])
            capacity = longest + min(max_tokens, self.context - shortest)
            size = min(self.batch, len(order), rows_that_fit(self.model, capacity))
            cache = InPlaceCache(self.model.config, size, capacity)
            for begin in range(0, len(order), size):
                rows = order[begin : begin + size]
                batch = _Batch(self, cache, [tuple(prompts[row]) for row in rows], [seeds[row] for row in rows], max_tokens)
                with decoding(self.model):
                    results |= zip(rows, batch.decode(temperature, top_p, stop), strict=True)
            self.model.train(was_training)
        return [results[row] for row in range(len(prompts))]

    def _refusal(self, prompt: Sequence[int]) -> str | None:
        if not prompt:
            return "the prompt is empty"
        if len(prompt) >= self.context:
            return f"the prompt has {len(prompt)} tokens, the model's context holds {self.context}"
        return None


class _Batch:
    """One left-padded batch. Slots 0 … n-1 of the cache are decoded, `rows` says which row each slot holds. When rows have finished,
    the last slots move into their places: only as much is copied as has finished."""

    def __init__(self, sampler: Sampler, cache: InPlaceCache, prompts: list[tuple[int, ...]], seeds: list[int], max_tokens: int) -> None:
        self.model, self.tokenizer, self.cache, self.prompts = sampler.model, sampler.tokenizer, cache, prompts
        self.device = device = self.model.device
        rooms = [min(max_tokens, sampler.context - len(prompt)) for prompt in prompts]
        self.width, self.steps = max(map(len, prompts)), max(rooms)
        self.context, self.ends = sampler.context, torch.tensor(sampler.ends, dtype=torch.long, device=device)
        self.room = torch.tensor(rooms, device=device)  # (B,) most tokens a row may get
        self.lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)  # (B,)
        draws = [np.random.Generator(np.random.Philox(key=seed)).random(self.steps) for seed in seeds]
        self.uniforms = torch.from_numpy(np.stack(draws)).to(device)  # (B, T)
        self.tokens = torch.zeros(len(prompts), self.steps, dtype=torch.long, device=device)  # (B, T)
        self.logprobs, self.drawn = torch.zeros(2, len(prompts), self.steps, device=device)  # (B, T) each
        self.made, self.drew = torch.zeros(2, len(prompts), dtype=torch.long, device=device)  # (B,) of a row that is done, its end too
        self.finished = torch.zeros(len(prompts), dtype=torch.bool, device=device)  # (B,)
        self.rows = torch.arange(len(prompts), device=device)  # (n,) slot → row
        self.running = torch.ones(len(prompts), dtype=torch.bool, device=device)  # (n,) slots whose row is not done
        real = torch.arange(cache.capacity, device=device) >= (self.width - self.lengths)[:, None]
        self.mask = self._bias(real)[:, None, None]  # (n, 1, 1, L)

    def _bias(self, visible: torch.Tensor) -> torch.Tensor:
        """An additive mask. Its finite minimum keeps the softmax of a padding position, which sees nothing, free of NaN."""
        dtype = self.model.dtype
        return torch.zeros(visible.shape, dtype=dtype, device=self.device).masked_fill_(~visible, torch.finfo(dtype).min)

    def decode(self, temperature: float, top_p: float, stop: tuple[str, ...]) -> list[Sampled]:
        logits = self._prefill()  # (n, V)
        for step in range(self.steps):
            tokens = self._choose(logits.float(), step, temperature, top_p)  # (n,)
            self._retire(tokens, step, stop)
            if not len(self.rows):
                break
            positions = (self.lengths[self.rows] + step).clamp(max=self.context - 1)[:, None]  # a row that is done may stand beyond
            end = self.cache.filled + 1
            logits = self._forward(self.tokens[self.rows, step][:, None], self.mask[..., :end], positions)
            self.cache.filled = end
        fields = (self.tokens, self.logprobs, self.made, self.finished, self.drawn, self.drew)
        return [
            Sampled(tuple(ids[:count]), finished, tuple(logprobs[:count]), None, tuple(drawn[:drew]), ids[count] if drew > count else None)
            for ids, logprobs, count, finished, drawn, drew in zip(*(field.tolist() for field in fields), strict=True)
        ]

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """(n, Q) ids → the logits of the last position (n, V)."""
        output = self.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=self.cache, use_cache=True, logits_to_keep=1
        )
        return output.logits[:, -1]

    def _prefill(self) -> torch.Tensor:
        """Run the prompts, each distinct one once, in slices of bounded size; returns the logits after each row's prompt (B, V)."""
        distinct = sorted(set(self.prompts), key=lambda prompt: (len(prompt), prompt))
        ids = torch.tensor([(0,) * (self.width - len(prompt)) + prompt for prompt in distinct], device=self.device)  # (U, W)
        columns = torch.arange(self.width, device=self.device)
        real = columns >= torch.tensor([self.width - len(prompt) for prompt in distinct], device=self.device)[:, None]  # (U, W)
        positions = (real.cumsum(-1) - 1).clamp(min=0)
        causal = columns[None, :] <= columns[:, None]  # (W, W)
        self.cache.filled = 0
        size, logits = max(1, PREFILL_TOKENS // self.width), []
        for begin in range(0, len(distinct), size):
            self.cache.window = part = slice(begin, min(begin + size, len(distinct)))
            logits.append(self._forward(ids[part], self._bias(real[part, None, None, :] & causal), positions[part]))
        self.cache.filled, self.cache.window = self.width, slice(0, len(self.prompts))
        place = {prompt: slot for slot, prompt in enumerate(distinct)}
        origins = torch.tensor([place[prompt] for prompt in self.prompts], device=self.device)
        self.cache.copy_rows(origins, self.rows)
        return torch.cat(logits)[origins]

    def _choose(self, logits: torch.Tensor, step: int, temperature: float, top_p: float) -> torch.Tensor:
        """Sample a token for each slot from its logits (n, V) and write it down; returns the tokens (n,)."""
        plain = logits.log_softmax(-1)
        if temperature == 0:
            tokens = logits.argmax(-1)
            drawn = plain.gather(-1, tokens[:, None])[:, 0]
        else:
            tempered = plain if temperature == 1 else (logits / temperature).log_softmax(-1)
            kept = nucleus(tempered.exp(), top_p)
            tokens = draw(kept, self.uniforms[self.rows, step])
            drawn = tempered.gather(-1, tokens[:, None])[:, 0]
            drawn = drawn if top_p >= 1 else (drawn - kept.sum(-1).log()).clamp(max=0)
        self.drawn[self.rows, step] = drawn
        self.tokens[self.rows, step] = tokens
        self.logprobs[self.rows, step] = plain.gather(-1, tokens[:, None])[:, 0]
        return tokens

    def _retire(self, tokens: torch.Tensor, step: int, stop: tuple[str, ...]) -> None:
        """Note which rows are done after this step, and take them out of the batch when they are enough to pay for the move."""
        ended = torch.isin(tokens, self.ends)
        stopped = self._wrote(stop, step) if stop else torch.zeros_like(ended)
        done = self.running & (ended | stopped | (self.room[self.rows] == step + 1))
        rows = self.rows[done]
        self.finished[rows] = (ended | stopped)[done]
        self.made[rows], self.drew[rows] = step + 1 - ended[done].long(), step + 1
        self.running &= ~done
        alive = int(self.running.sum())
        if alive == 0 or len(self.rows) - alive > len(self.rows) // COMPACT_SHARE:
            self._compact(alive)

    def _compact(self, alive: int) -> None:
        slots = torch.arange(len(self.rows), device=self.device)
        holes, movers = slots[:alive][~self.running[:alive]], slots[alive:][self.running[alive:]]
        if len(holes):
            self.cache.copy_rows(movers, holes)
            self.mask[holes] = self.mask[movers]
            self.rows[holes] = self.rows[movers]
        self.rows, self.mask, self.running = self.rows[:alive], self.mask[:alive], torch.ones_like(self.running[:alive])
        self.cache.window = slice(0, alive)

    def _wrote(self, stop: tuple[str, ...], step: int) -> torch.Tensor:
        """Which slots' text holds a stop string now. A token adds at least a byte, so that as many tokens as the longest stop string has
        bytes hold it when the newest one completed it; a few more, because decoders trim the space before the first."""
        begin = max(0, step + 1 - max(len(text.encode()) for text in stop) - 4)
        texts = self.tokenizer.batch_decode(self.tokens[self.rows, begin : step + 1].tolist(), skip_special_tokens=False)
        return torch.tensor([any(string in text for string in stop) for text in texts], device=self.device)


def nucleus(probs: torch.Tensor, top_p: float) -> torch.Tensor:
    """Zero what lies outside the smallest set of most probable tokens whose mass reaches `top_p` (n, V); not renormalised."""
    if top_p >= 1:
        return probs
    ordered, order = probs.sort(-1, descending=True)
    outside = ordered.cumsum(-1) - ordered >= top_p
    return probs.masked_fill(torch.zeros_like(outside).scatter(-1, order, outside), 0.0)


def draw(probs: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Invert the cumulative distribution: (n, V) unnormalised probabilities and (n,) numbers in [0, 1) → (n,) tokens."""
    mass = probs.cumsum(-1, dtype=torch.float64)
    return torch.searchsorted(mass, (uniforms * mass[:, -1])[:, None], right=True)[:, 0].clamp(max=probs.shape[-1] - 1)
