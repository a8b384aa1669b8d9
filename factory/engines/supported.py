"""Which causal models can be decoded here: one answer for the sampler, and for `adoption`, which asks it before the weights are read.

    unsupported(model)   → "mistral attends in windows of 4096 tokens: choose a decoder with full attention (…)"
                           None for a model that the sampler decodes

`model` may be a skeleton on torch's `meta` device: only its class and its config are read.
"""

import inspect
from typing import Any

FULL, WINDOWED = {"full_attention"}, {"sliding_attention", "chunked_attention"}
HEADS = ("ForSequenceClassification", "ForTokenClassification", "RewardModel")  # architectures whose files have no head for words
CHOOSE = "choose a decoder with full attention (Llama, Qwen2, Qwen3, OLMo-2, GPT-NeoX, GPT-2)"


def unsupported(model: Any) -> str | None:
    """Why the sampler cannot decode `model`, in one line, or None. What only shows when it runs is `trainers.trial`'s to find."""
    config = model.config
    reason = _kind(model, config) or _positions(model, config) or _windows(config)
    if not reason and not model._supports_sdpa:
        reason = f"has no scaled dot-product attention in transformers, with which models are run here: {CHOOSE}"
    return f"{config.model_type} {reason}" if reason else None


def _kind(model: Any, config: Any) -> str | None:
    if "text_config" in config.sub_configs or "vision_config" in config.sub_configs:
        return "is a model of several parts (vision, sound): name a model of text alone"
    if heads := [name for name in config.architectures or () if name.endswith(HEADS)]:
        return f"is a classifier or reward model ({heads[0]}), whose head writes no text: name a causal language model"
    if config.is_encoder_decoder:
        return f"is an encoder-decoder: {CHOOSE}"
    kinds = set(getattr(config, "layer_types", None) or FULL) - FULL - WINDOWED
    if kinds or model._is_stateful or "past_key_values" not in _forward(model):
        named = f" ({', '.join(sorted(kinds))})" if kinds else ""
        return f"does not keep keys and values in every layer{named}: {CHOOSE}"
    return None


def _positions(model: Any, config: Any) -> str | None:
    if "position_ids" not in _forward(model) or getattr(config, "alibi", False):
        return f"takes no positions of tokens (ALiBi and others), so that padding on the left would shift them: {CHOOSE}"
    if not isinstance(context := getattr(config, "max_position_embeddings", None), int) or context < 2:
        return f"says no context length (max_position_embeddings is {context} in its config.json): {CHOOSE}"
    rope = getattr(config, "rope_parameters", None) or {}
    original = rope.get("original_max_position_embeddings") or getattr(config, "original_max_position_embeddings", None)
    if rope.get("rope_type") == "longrope" and original and original < context:
        return (
            f"changes its positions beyond {original} tokens (longrope), for a whole batch at once: choose its version of {original} tokens"
        )
    return None


def _windows(config: Any) -> str | None:
    window = _window(config)
    if window and window < config.max_position_embeddings:  # one as long as the context hides nothing
        return f"attends in windows of {window} tokens: {CHOOSE}"
    return None


def _window(config: Any) -> int | None:
    kinds = set(getattr(config, "layer_types", None) or [])
    if "local" in (getattr(config, "attention_layers", None) or []):  # GPT-Neo
        return int(config.window_size)
    if "chunked_attention" in kinds:
        return int(config.attention_chunk_size)
    if kinds == FULL or not getattr(config, "use_sliding_window", True):
        return None
    return getattr(config, "sliding_window", None)


def _forward(model: Any) -> set[str]:
    return set(inspect.signature(model.forward).parameters)
