"""A key-value cache that is allocated once and written in place, and the attention that reads it token by token.

transformers' own cache grows by concatenation: every token copies all that came before. Here each layer owns one buffer
(rows, heads, capacity, head size); a forward pass writes its columns and attends to a view of the filled part:

    cache = InPlaceCache(model.config, rows=256, capacity=224)
    with decoding(model):
        model(input_ids, attention_mask=mask_4d, position_ids=positions, past_key_values=cache, use_cache=True)
    cache.filled += input_ids.shape[1]

Decoding on a CPU waits for memory: a token reads all keys and values. Keys lie there as the product reads them, (rows, heads, head size,
capacity), and groups of query heads read theirs once.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.configuration_utils import PretrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

CPU_BYTES = 1 << 30  # of all keys and values, on a CPU
GPU_SHARE = 0.5  # of the memory that is free, on a GPU: the rest is for the passes
NAME = "sdpa_decoding"  # among transformers' attention functions


def rows_that_fit(model: Any, capacity: int) -> int:
    """How many rows of `capacity` tokens a cache of the model may have, at least 1."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    row = 2 * config.num_hidden_layers * heads * size * capacity * model.dtype.itemsize
    free = int(GPU_SHARE * torch.cuda.mem_get_info(model.device)[0]) if model.device.type == "cuda" else CPU_BYTES
    return max(1, free // row)


class _Layer(CacheLayerMixin):
    is_sliding = False
    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, owner: "InPlaceCache") -> None:
        super().__init__()
        self.owner = owner

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        rows, capacity = self.owner.rows, self.owner.capacity
        if key_states.device.type == "cpu":
            self.keys = key_states.new_empty(rows, key_states.shape[1], key_states.shape[3], capacity).transpose(2, 3)
        else:
            self.keys = key_states.new_empty(rows, key_states.shape[1], capacity, key_states.shape[3])
        self.values = value_states.new_empty(rows, value_states.shape[1], capacity, value_states.shape[3])
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Write (B, H, Q, D) at the owner's rows behind its filled columns; return what is filled now, (B, H, filled + Q, D)."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        begin, end = self.owner.filled, self.owner.filled + key_states.shape[2]
        assert end <= self.owner.capacity, f"{end} columns in a cache of {self.owner.capacity}"
        keys, values = self.keys[self.owner.window, :, :end], self.values[self.owner.window, :, :end]
        keys[:, :, begin:] = key_states
        values[:, :, begin:] = value_states
        return (keys, values) if begin else (key_states, value_states)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.owner.filled + query_length, 0

    def get_seq_length(self) -> int:
        return self.owner.filled

    def get_max_length(self) -> int:
        return self.owner.capacity


class InPlaceCache(Cache):
    """`window` says which rows the next forward pass reads and writes, `filled` how many columns are already there."""

    def __init__(self, config: PretrainedConfig, rows: int, capacity: int) -> None:
        self.rows, self.capacity, self.filled, self.window = rows, capacity, 0, slice(0, rows)
        owner = weakref.proxy(self)  # a reference back would be a cycle: the buffers would stay until the next garbage collection
        self.buffers = [_Layer(owner) for _ in range(config.num_hidden_layers)]
        super().__init__(layers=list(self.buffers))

    def copy_rows(self, origins: torch.Tensor, targets: torch.Tensor) -> None:
        """Copy the filled columns of rows `origins` over rows `targets` (both (n,))."""
        for layer in self.buffers:
            for states in (layer.keys, layer.values):
                filled = states[:, :, : self.filled]
                filled.index_copy_(0, targets, filled.index_select(0, origins))


def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Scaled dot-product attention (B, H, Q, D) → (B, Q, H, D): of one token on a CPU as two products, else as torch has it."""
    if query.shape[2] > 1 or query.device.type != "cpu" or attention_mask is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
    grouped = query.reshape(query.shape[0], key.shape[1], -1, query.shape[3])  # (B, heads of keys, queries a head, D)
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    scores = torch.matmul(grouped * scale, key.transpose(2, 3)).add_(attention_mask)
    found = torch.matmul(scores.softmax(-1, dtype=torch.float32).to(value.dtype), value)
    return found.view(query.shape[0], 1, query.shape[1], -1), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def decoding(model: Any) -> Iterator[None]:
    """Inside, the model attends by `attend`, if its attention is a function that transformers looks up."""
    before = model.config._attn_implementation
    if before == "eager" or not model._supports_attention_backend:
        yield
        return
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
