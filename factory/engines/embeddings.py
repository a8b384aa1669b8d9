"""Sentence embeddings for the hybrid search: weights from an installed package, a folder or the Hub.

encode = encoder_of("wordllama")                                      the package's own weights (pip install 'coat-factory[embeddings]')
encode = encoder_of("sentence-transformers/all-MiniLM-L6-v2")         a folder or the Hub's name of an encoder that averages its tokens
encode(["the sine law", "find the angle of a triangle"])              → (2, dimensions) float32, rows of length 1
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from factory.errors import EngineError

PACKAGED = "wordllama"
LONGEST = 256  # tokens
BATCH = 32

Encode = Callable[[Sequence[str]], NDArray[np.float32]]


def encoder_of(name: str) -> Encode:
    """Raises EngineError for a package that is not installed, and for weights that cannot be loaded."""
    return _packaged() if name == PACKAGED else _transformer(name)


def _packaged() -> Encode:
    try:
        import wordllama
    except ImportError as error:
        raise EngineError(f"embeddings {PACKAGED}: {error}; `pip install 'coat-factory[embeddings]'`, or name a folder") from None
    home = Path(wordllama.__path__[0])  # where the wheel has weights and tokenizer; by itself it looks for them elsewhere
    model = wordllama.WordLlama.load(cache_dir=home, disable_download=True)
    return lambda texts: _unit(np.asarray(model.embed(list(texts)), np.float32))


def _transformer(name: str) -> Encode:
    import torch
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer, model = AutoTokenizer.from_pretrained(name), AutoModel.from_pretrained(name).eval()
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or ["it cannot be loaded"])[0]
        raise EngineError(f"embeddings {name}: {reason}; name a folder or a model of the Hub, or `{PACKAGED}`") from None

    @torch.inference_mode()
    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))  # alike lengths in a batch: little padding
        vectors = np.zeros((len(texts), model.config.hidden_size), np.float32)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            batch = tokenizer([texts[i] for i in chosen], padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
            hidden = model(**batch).last_hidden_state  # (B, T, D)
            mask = batch["attention_mask"].unsqueeze(-1)
            vectors[chosen] = ((hidden * mask).sum(1) / mask.sum(1)).numpy()
        return _unit(vectors)

    return encode


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
