"""Tiny random models of many architectures, built from their configs: what somebody may name as adoption.base."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

END, OTHER = "<|im_end|>", "<|endoftext|>"
SMALL: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 128, "initializer_range": 0.3,
}  # fmt: skip
GPT: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "initializer_range": 0.3}


def byte_tokenizer(**changes: Any) -> PreTrainedTokenizerBase:
    """Every text is its bytes; `changes` are special tokens and settings of the tokenizer."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    special = {"eos_token": END, "pad_token": OTHER, "bos_token": None}
    return PreTrainedTokenizerFast(tokenizer_object=core, **{**special, **changes})


def config_of(kind: str, vocabulary: int, **changes: Any) -> Any:
    shape = GPT if kind in ("gpt2", "gpt_bigcode", "gptj", "codegen", "openai-gpt", "ctrl") else SMALL
    ends = {"bos_token_id": None, "eos_token_id": 256, "pad_token_id": None}
    return CONFIG_MAPPING[kind](**{"vocab_size": vocabulary, **shape, **ends, **changes})


def small(kind: str, vocabulary: int, **changes: Any) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config_of(kind, vocabulary, **changes))
    return model


def put(folder: Path, kind: str, words: PreTrainedTokenizerBase | None = None, **changes: Any) -> PreTrainedModel:
    """A model folder like one from the Hub."""
    words = words or byte_tokenizer()
    model = small(kind, len(words), **changes)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return model
