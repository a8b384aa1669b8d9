"""Models of transformers in this process: a folder under data/models, or a Hub id at a pinned revision. The laptop's engine.

    engine = TransformersEngine("data/models/base", "base@1c3f…")
    engine.generate([Request(prompt=(Message("user", "Tom has 3 apples. …"),), sampling=SamplingParams(max_tokens=64), seed=7)])
    scorer = TransformersScorer("data/models/orm_base", "orm_base@77ab…")
    scorer.score([((Message("user", "Tom has 3 apples. …"),), "3 + 4 = 7\\n\\\\boxed{7}")])       → [1.83]

The model is loaded at the first request: a stage whose answers all stand in the store never loads one. Conversations become ids as in
training, by the same functions (`language.tokens`): what the model's chat template makes of the turns, the words of a turn begun behind
them, and no control token where data spells one.
"""

import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from factory.engines.protocol import Completion, Request, SamplingParams, failure
from factory.engines.thinking import opened
from factory.errors import EngineError
from factory.language import tokens
from factory.schemas import Conversation

SCORE_TOKENS = 16384  # padded tokens of one forward pass


class TransformersEngine:
    family = "transformers"

    def __init__(self, source: str, model: str, batch: int = 256) -> None:
        """`source`: a folder, or `org/name@commit`; `model`: its name and revision in lineage and keys."""
        self.source, self.model, self.batch = source, model, batch

    @cached_property
    def _sampler(self) -> Any:
        from transformers import AutoModelForCausalLM

        from factory.engines.sampler import Sampler

        model, tokenizer = _load(self.source, AutoModelForCausalLM.from_pretrained)
        return Sampler(model, tokenizer, self.batch)

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Raises EngineError when the model cannot be loaded; a request that cannot be answered is a completion with the reason."""
        completions: dict[int, Completion] = {}
        by_sampling: dict[SamplingParams, list[int]] = {}
        prompts: dict[int, list[int]] = {}
        for row, (ids, reason) in enumerate(self._encode(requests)):
            if reason:
                completions[row] = failure(reason)
            else:
                prompts[row] = ids
                by_sampling.setdefault(requests[row].sampling, []).append(row)
        for sampling, rows in by_sampling.items():
            samples = self._sampler.sample(
                [prompts[row] for row in rows], [requests[row].seed for row in rows], max_tokens=sampling.max_tokens,
                temperature=sampling.temperature, top_p=sampling.top_p, stop=sampling.stop,
            )  # fmt: skip
            for row, sampled in zip(rows, samples, strict=True):
                completions[row] = self._completion(sampled, sampling, prompts[row])
        return [completions[row] for row in range(len(requests))]

    def _encode(self, requests: Sequence[Request]) -> list[tuple[list[int], str]]:
        """Token ids of each prompt, or why there are none."""
        known = self._sampler.model.get_input_embeddings().num_embeddings
        found = []
        prompts = [request.prompt for request in requests]
        for request, (ids, reason) in zip(requests, tokens.request_ids(self._sampler.tokenizer, prompts, self.model), strict=True):
            if request.schema is not None:
                reason = "answers that follow a schema need the engine vllm or openai"
            elif request.sampling.ignore_eos:
                reason = "to go on behind the end of sequence needs the engine vllm or openai"
            elif strange := [token for token in ids if not 0 <= token < known]:
                reason = f"token id {strange[0]} is outside of the vocabulary of {known}"
            found.append((ids, reason))
        return found

    def _completion(self, sampled: Any, sampling: SamplingParams, prompt: list[int]) -> Completion:
        if sampled.error:
            return failure(sampled.error, len(prompt))
        text = _decode(self._sampler.tokenizer, sampled.token_ids)
        cuts = [text.index(stop) for stop in sampling.stop if stop in text]
        return Completion(
            text=opened(self._sampler.tokenizer, prompt) + (text[: min(cuts)] if cuts else text),
            token_ids=sampled.token_ids,
            finish_reason="stop" if sampled.finished else "length",
            prompt_tokens=len(prompt),
            logprobs=sampled.logprobs if sampling.logprobs else None,
            end=sampled.end if sampling.drawn else None,
            drawn=sampled.drawn_logprobs if sampling.drawn else None,
        )


class TransformersScorer:
    def __init__(self, source: str, model: str) -> None:
        """`source`: a folder or `org/name@commit` of a sequence classification model with one label."""
        self.source, self.model = source, model

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoModelForSequenceClassification

        model, tokenizer = _load(self.source, AutoModelForSequenceClassification.from_pretrained)
        if model.config.num_labels != 1:
            raise EngineError(f"{self.source} has {model.config.num_labels} labels, a reward model has 1: name another model")
        return model.eval(), tokenizer

    def score(self, pairs: Sequence[tuple[Conversation, str]]) -> list[float]:
        """The logit of each (prompt, completion), NaN for one that is longer than the context or cannot be read."""
        model, _ = self._loaded
        found = self.encode(pairs)
        texts = [ids for ids, _ in found]
        if reason := next((reason for _, reason in found if reason), None):
            print(f"{self.model}: a pair without a score: {reason}", file=sys.stderr)
        context = getattr(model.config, "max_position_embeddings", None) or max(map(len, texts), default=0)
        scores = {row: float("nan") for row, ids in enumerate(texts) if not 0 < len(ids) <= context}
        order = sorted(set(range(len(texts))) - set(scores), key=lambda row: len(texts[row]), reverse=True)
        while order:
            size = max(1, SCORE_TOKENS // len(texts[order[0]]))
            rows, order = order[:size], order[size:]
            scores |= zip(rows, self._forward([texts[row] for row in rows]), strict=True)
        return [scores[row] for row in range(len(texts))]

    def encode(self, pairs: Sequence[tuple[Conversation, str]]) -> list[tuple[list[int], str]]:
        """The ids of each pair, as in training, or why there are none."""
        return tokens.pair_ids(self._loaded[1], pairs, self.model)

    def _forward(self, texts: list[list[int]]) -> list[float]:
        """Right padding with an explicit mask; the head reads the last real token, never "the last that is not the padding token"."""
        import torch

        model, _ = self._loaded
        width = max(map(len, texts))
        ids = torch.tensor([text + [0] * (width - len(text)) for text in texts], device=model.device)  # (B, T)
        lengths = torch.tensor([len(text) for text in texts], device=model.device)
        mask = (torch.arange(width, device=model.device) < lengths[:, None]).long()
        with torch.inference_mode():
            if not hasattr(model, "score"):  # an encoder pools by itself
                return model(input_ids=ids, attention_mask=mask).logits[:, 0].tolist()
            hidden = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
            return model.score(hidden[torch.arange(len(texts)), lengths - 1])[:, 0].tolist()


def _load(source: str, from_pretrained: Callable[..., Any]) -> tuple[Any, Any]:
    """A model and its tokenizer: float32 on a CPU, the checkpoint's own type on a GPU."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    origin: dict[str, Any]
    if Path(source).is_dir():
        name, origin = source, {"local_files_only": True}
    else:
        name, _, revision = source.partition("@")
        origin = {"revision": revision}
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **origin)
        dtype = torch.float32 if device == "cpu" else "auto"
        model, loading = from_pretrained(name, dtype=dtype, attn_implementation="sdpa", output_loading_info=True, **origin)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise EngineError(
            f"{source} cannot be loaded: {_line(error)}: make it again, or check the name, the revision and the network"
        ) from None
    if loading["missing_keys"]:  # transformers would fill them with random numbers
        raise EngineError(f"{source} lacks the weights {', '.join(sorted(loading['missing_keys'])[:3])}: it is no model for this role")
    return model.to(device), tokenizer


def _line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _decode(tokenizer: Any, ids: Sequence[int]) -> str:
    return tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
