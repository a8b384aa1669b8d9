"""PPO's sampler on vLLM: the same calls as `sampler.Sampler`, on an engine that is given the live actor's weights at every step.

    sampler = VllmSampler(Path("data/models/planner_sft"), tokenizer, max_length=2048, memory=0.4, dtype=None)
    own = …                                       # the actor's log-probabilities of sampler.probe[1:], at temperature 1
    sampler.load(actor.named_parameters(), own)                  → HandOver(seconds=0.41, mismatch=4.7e-06)
    sampler.sample([[5, 9, 3]], seeds=[7], max_tokens=64, temperature=0.9)
    → [VllmSampled(token_ids=(12, 4, 31), finished=True, logprobs=(-0.21, -1.07, -0.02), end_logprob=-0.4)]

Log-probabilities are those of the distribution that was sampled from (the tempered one; the plain one for greedy answers), the token that
ended an answer included. A truncated one (top-p, top-k, min-p) is refused.

A hand-over (`vllm_handover`) that fails in silence leaves a run that trains on another model's answers. So `load` ends with a probe: the
engine scores a fixed text, and the run stops when

- it is scored as before to the last bit although weights have changed (in the engine's dtype): nothing arrived;
- it is scored unlike by the actor: something did not arrive. What kernels and dtypes make of equal weights is measured at the first
  hand-over; AGREE times that is allowed, or FLOOR. In float32 one missing layer of 30 shows after one step at a learning rate of 1e-5;
  in 16 bits only when it has moved scores by more than their rounding;
- tensors of the model's checkpoint are missing among those handed over.

On a CPU the engine runs in this process (as `vllm_engine` says), where vLLM needs torch's process group for itself: not in a program of
several ranks. A row's random numbers are its seed's, whatever shares its batch; logits are not promised to be bitwise equal.
"""

import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from factory.engines.sampler import Sampled
from factory.engines.vllm_engine import _guard, _line
from factory.engines.vllm_handover import Transport, Weights, digest, open_engine
from factory.errors import DataError, EngineError, ParamsError
from factory.language.tokens import turn_end

Ids = Sequence[int]
PROBE = "Tom has 3 apples and Ann gives him 4 more.\n3 + 4 = 7\n\n\\boxed{7}\n"
AGREE = 5.0  # mismatch allowed, in multiples of the first hand-over's
FLOOR = 5e-5  # nats a token, mean: float32 on other kernels stays near 1e-5
MOST = 0.2  # nats a token: no rounding, at the first hand-over


@dataclass(frozen=True)
class VllmSampled(Sampled):
    end_logprob: float | None = None  # of the token that ended it

    @property
    def action_logprobs(self) -> tuple[float, ...]:
        """Of all tokens that were sampled: `token_ids`, and the one that ended them."""
        return self.logprobs if self.end_logprob is None else (*self.logprobs, self.end_logprob)


@dataclass(frozen=True)
class HandOver:
    seconds: float
    mismatch: float  # mean |engine - actor| over the probe, nats a token


class VllmSampler:
    def __init__(self, folder: Path, tokenizer: Any, *, max_length: int | None, memory: float, dtype: str | None) -> None:
        """Starts vLLM on the start model's folder: seconds on a CPU. `memory`: share of a GPU's. `dtype`: None: the model's on a GPU,
        float32 on a CPU. Raises EngineError when vLLM is missing or cannot load the model, and beside other ranks on a CPU."""
        self.folder, self.tokenizer = folder, tokenizer
        self.engine: Any
        self.transport: Transport | None
        self.engine, self.transport = open_engine(folder, max_length, memory, dtype)
        self.guard: subprocess.Popen[bytes] | None = _guard(self.engine)
        self.context: int = self.engine.model_config.max_model_len
        self.dtype: torch.dtype = self.engine.model_config.dtype
        self.ends = _ends(self.engine, tokenizer)
        self.probe: tuple[int, ...] = tuple(tokenizer(PROBE, add_special_tokens=False)["input_ids"])[: self.context - 1]
        self.names = _names(folder, self.engine)
        self.numbers = count()
        self.digest: dict[str, int] = {}  # of the weights that were handed over last
        self.scores: tuple[float, ...] = ()  # the engine's of the probe, then
        self.allowed: float | None = None  # mismatch; None before the first hand-over

    def load(self, weights: Iterable[tuple[str, Tensor]], own: Sequence[float]) -> HandOver:
        """Hand over the actor's weights: all of them, whole (not sharded, adapters merged), by the names of its checkpoint. `own`: the
        actor's log-probabilities of `probe[1:]`. Raises EngineError when they do not arrive: the run must stop."""
        begin = time.monotonic()
        pairs = [(name, tensor.detach()) for name, tensor in weights]
        if missing := sorted(self.names - {name for name, _ in pairs}):
            raise EngineError(f"vLLM is handed no {missing[0]} ({len(missing)} of {len(self.names)} tensors are missing): hand over all")
        now = digest(pairs, self.dtype)
        try:
            self.hand_over(pairs)
        except (RuntimeError, ValueError, KeyError, AssertionError, AttributeError) as error:
            raise EngineError(f"vLLM does not take the actor's weights: {_line(error)}") from error
        if not self.engine.reset_prefix_cache():
            raise EngineError("vLLM kept keys and values of the old weights (its prefix cache is in use): no request may be under way")
        scores = self._score()
        mismatch = self._check(now, scores, own)
        self.digest, self.scores = now, scores
        return HandOver(time.monotonic() - begin, mismatch)

    def hand_over(self, weights: Weights) -> None:
        assert self.transport, "the sampler is closed"
        self.transport.send(weights)

    def _check(self, now: dict[str, int], scores: tuple[float, ...], own: Sequence[float]) -> float:
        assert len(own) == len(scores), f"{len(own)} log-probabilities of the actor, the probe has {len(scores)}"
        moved = sum(value != self.digest[name] for name, value in now.items() if name in self.digest)
        if moved and scores == self.scores:
            raise EngineError(
                f"stale sampler: {moved} of the actor's tensors have changed, and vLLM scores the probe as before: the weights did not "
                "arrive. Leave ppo.sampler out, or take another version of vLLM"
            )
        mismatch = float(np.abs(np.subtract(scores, own)).mean())
        allowed = MOST if self.allowed is None else self.allowed
        if not mismatch <= allowed:  # NaN too
            raise EngineError(
                f"stale sampler: vLLM scores the probe {mismatch:.2g} nats a token off the actor, {allowed:.2g} is allowed: a part of the "
                "weights did not arrive. Leave ppo.sampler out, or take another version of vLLM"
            )
        if self.allowed is None:
            self.allowed = max(FLOOR, AGREE * mismatch)
        return mismatch

    def sample(
        self, prompts: Sequence[Ids], seeds: Sequence[int], *, max_tokens: int, temperature: float,
        top_p: float = 1.0, top_k: int = 0, min_p: float = 0.0,
    ) -> list[Sampled]:  # fmt: skip
        """As `Sampler.sample`: one sample a prompt, in order; temperature 0 is greedy. Raises ParamsError for a truncated distribution."""
        from vllm import SamplingParams

        refuse_truncation(top_p, top_k, min_p)
        assert len(prompts) == len(seeds), f"{len(prompts)} prompts, {len(seeds)} seeds"
        results: dict[int, Sampled] = {row: Sampled((), False, (), why) for row, ids in enumerate(prompts) if (why := self._refusal(ids))}
        requests = {
            row: (prompts[row], SamplingParams(
                temperature=temperature, max_tokens=max_tokens, seed=seeds[row] ^ seeds[row] >> 32,  # a CPU's generator takes 32 bits
                stop_token_ids=self.ends, logprobs=0, **_plain(),
            ))
            for row in range(len(prompts)) if row not in results
        }  # fmt: skip
        for row, output in self._run(requests).items():
            results[row] = _sampled(output.outputs[0])
        return [results[row] for row in range(len(prompts))]

    def _refusal(self, prompt: Ids) -> str | None:
        """As sampler.Sampler, so that both say the same."""
        if not prompt:
            return "the prompt is empty"
        if len(prompt) >= self.context:
            return f"the prompt has {len(prompt)} tokens, the model's context holds {self.context}"
        return None

    def _score(self) -> tuple[float, ...]:
        """The engine's log-probabilities of `probe[1:]`; vLLM takes no prefix from its cache for them."""
        from vllm import SamplingParams

        asked = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0, **_plain())
        found = self._run({0: (self.probe, asked)})[0].prompt_logprobs
        return tuple(found.logprobs[begin] for begin in found.start_indices[1:])

    def _run(self, requests: dict[int, tuple[Ids, Any]]) -> dict[int, Any]:
        from vllm.exceptions import VLLMError
        from vllm.inputs import tokens_input

        rows: dict[str, int] = {}
        done: dict[int, Any] = {}
        try:
            for row, (ids, asked) in requests.items():
                number = str(next(self.numbers))
                self.engine.add_request(number, tokens_input(list(ids)), asked)
                rows[number] = row
            while len(done) < len(requests):
                done |= {rows[output.request_id]: output for output in self.engine.step() if output.finished}
        except (RuntimeError, ValueError, OSError, VLLMError) as error:
            raise EngineError(f"vLLM gave up on {self.folder}: {_line(error)}") from None
        return done

    def close(self) -> None:
        engine, self.engine, self.transport = self.engine, None, None
        if engine is not None:
            engine.engine_core.shutdown()
        if self.guard is not None:
            self.guard.kill()
            self.guard.wait()
            self.guard = None


def refuse_truncation(top_p: float = 1.0, top_k: int = 0, min_p: float = 0.0) -> None:
    """PPO's ratio divides by the probability with which an action was sampled, and its gradient is that of the whole softmax."""
    for name, value, off in (("top_p", top_p, 1.0), ("top_k", top_k, 0), ("min_p", min_p, 0.0)):
        if value != off:
            raise ParamsError(
                f"{name} {value}: a rollout is sampled from the policy's whole distribution; a truncated one gives tokens other "
                f"probabilities than the ratio is computed with, and what it cuts off is never learnt. Leave {name} at {off}"
            )


def _sampled(output: Any) -> Sampled:
    found = [output.logprobs.logprobs[begin] for begin in output.logprobs.start_indices]
    if output.finish_reason == "stop":
        return VllmSampled(tuple(output.token_ids[:-1]), True, tuple(found[:-1]), end_logprob=found[-1])
    if output.finish_reason == "length":
        return VllmSampled(tuple(output.token_ids), False, tuple(found))
    return Sampled((), False, (), f"vLLM ended the request: {output.finish_reason}")


def _ends(engine: Any, tokenizer: Any) -> list[int]:
    """As `Sampler.ends`."""
    found = engine.model_config.try_get_generation_config().get("eos_token_id")
    ends = [*(found if isinstance(found, list) else [found]), tokenizer.eos_token_id]
    with suppress(DataError):  # a tokenizer that ends nothing: all goes on to max_tokens
        ends.append(turn_end(tokenizer))
    return sorted({*ends} - {None})


def _names(folder: Path, engine: Any) -> set[str]:
    """Of the tensors in a model's folder; a head that is tied to the embeddings needs none."""
    from safetensors import safe_open

    names: set[str] = set()
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            names.update(file.keys())
    return names - ({"lm_head.weight"} if engine.model_config.hf_config.tie_word_embeddings else set())


def _plain() -> dict[str, Any]:
    from vllm.sampling_params import RequestOutputKind

    return {"detokenize": False, "flat_logprobs": True, "output_kind": RequestOutputKind.FINAL_ONLY, "skip_clone": True}
