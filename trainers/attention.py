"""Attention over siblings that share one copy of their prompt (`collate.Layout`), as one of transformers' attention functions.

    enable(model)                                                       # once; False where a model's own attention is fixed
    model.base_model(input_ids, attention_mask=NONE, position_ids=…, siblings=layout, use_cache=False)

Every block of a layout attends by a call of its own: one call with a mask over all tokens would compute mostly what the mask hides.
Without a layout nothing changes.
"""

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from trainers.collate import Layout

NAME = "sdpa_siblings"
NONE = torch.empty(1, 1, 0, 0)  # a mask that transformers passes on as it is, and that fits no attention that ignores the layout


def enable(model: PreTrainedModel) -> bool:
    """Whether the model can take a layout: its attention is a function that transformers looks up, and sees all that came before."""
    config = model.config.get_text_config()
    kinds, window = set(getattr(config, "layer_types", None) or []), getattr(config, "sliding_window", None)
    everything = kinds == {"full_attention"} or (not kinds and (window is None or window >= config.max_position_embeddings))
    looked_up = config._attn_implementation in ("sdpa", NAME) and model._supports_attention_backend and not model._is_stateful
    if not (everything and looked_up and "position_ids" in inspect.signature(model.base_model.forward).parameters):
        return False
    model.set_attn_implementation(NAME)
    return True


def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, siblings: Layout | None = None,
    **options: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Scaled dot-product attention, (B, H, T, D) → (B, T, H, D). With a layout B is 1."""

    def sdpa(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        """(rows, width, H, D) → (rows · width, H, D), causal without a bias."""
        found, _ = sdpa_attention_forward(module, q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), bias, **options)
        return found.flatten(0, 1)

    if siblings is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    (query_p, *queries), (key_p, *keys), (value_p, *values) = (siblings.cut(x) for x in (query, key, value))
    found = [sdpa(query_p, key_p, value_p, None)]
    for block, q, k, v in zip(siblings.blocks, queries, keys, values, strict=True):
        seen_k, seen_v = (torch.cat([x.index_select(0, block.prompts), own], 1) for x, own in ((key_p, k), (value_p, v)))
        found.append(sdpa(q, seen_k, seen_v, block.bias.to(q.dtype)))  # (S, R, …) over (S, P + R, …)
    return torch.cat(found)[None], None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
