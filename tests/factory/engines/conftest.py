"""A tiny random Llama and a word-level tokenizer: everything the engines do, in milliseconds."""

from pathlib import Path
from typing import Any

import pytest

WORDS = list("abcdefghijklmnopqrst")
CONTEXT = 48


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: place for place, token in enumerate(["<pad>", "<eos>", "<unk>", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
    fast.add_special_tokens({"additional_special_tokens": ["<|reflect|>"]})
    return fast


def config(**changes: Any) -> Any:
    from transformers import LlamaConfig

    values = {
        "vocab_size": len(WORDS) + 4, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": CONTEXT, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1,
        "initializer_range": 0.4,
    }  # fmt: skip
    return LlamaConfig(**{**values, **changes})


@pytest.fixture(scope="session")
def model() -> Any:
    import torch
    from transformers import LlamaForCausalLM

    torch.set_num_threads(1)  # a model this small only waits for a second thread
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return LlamaForCausalLM(config()).eval()


@pytest.fixture(scope="session")
def model_folder(model: Any, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "base"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def reward_folder(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import LlamaForSequenceClassification

    folder = tmp_path_factory.mktemp("models") / "orm_base"
    with torch.random.fork_rng():
        torch.manual_seed(4)
        LlamaForSequenceClassification(config(num_labels=1)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
