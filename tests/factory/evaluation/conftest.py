"""`tiny`: a random language model and a reward model that write and read characters, line ends and boxes, behind a store."""

from collections.abc import Callable, Iterator
from pathlib import Path
from string import printable
from typing import Any

import pytest

from factory.engines.requests import StoredEngine, StoredScorer
from factory.engines.store import Store
from factory.engines.transformers_engine import TransformersEngine, TransformersScorer
from factory.schemas import Problem

FLAT = "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"  # the laptop's
BOXES = [rf"\boxed{{{number}}}" for number in range(4)]
CONTEXT = 256
SHARES = {"<eos>": 2.0, "\n": 3.0} | dict.fromkeys(BOXES, 1.5)  # how much more often than a character


def _tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<eos>", "<unk>", *dict.fromkeys(printable[:95]), "\n", *BOXES]
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"\\boxed\{\d\}|\n|."), "isolated")
    backend.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
    fast.chat_template = FLAT
    return fast


def _config(**changes: Any) -> Any:
    from transformers import LlamaConfig

    values = {
        "vocab_size": len(_tokenizer()), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": CONTEXT, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1,
        "initializer_range": 0.4,
    }  # fmt: skip
    return LlamaConfig(**{**values, **changes})


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The language model's and the reward model's."""
    import torch
    from transformers import LlamaForCausalLM, LlamaForSequenceClassification

    torch.set_num_threads(1)
    place, tokenizer = tmp_path_factory.mktemp("models"), _tokenizer()
    base, orm = place / "base", place / "orm"
    with torch.random.fork_rng():
        torch.manual_seed(11)
        model = LlamaForCausalLM(_config())
        for word, share in SHARES.items():
            model.lm_head.weight.data[tokenizer.convert_tokens_to_ids(word)] *= share
        model.save_pretrained(base)
        LlamaForSequenceClassification(_config(num_labels=1, reward_mean=0.1, reward_std=0.5)).save_pretrained(orm)
    for folder in (base, orm):
        tokenizer.save_pretrained(folder)
    return base, orm


Opened = tuple[StoredEngine, StoredScorer]


@pytest.fixture
def tiny(folders: tuple[Path, Path], tmp_path: Path) -> Iterator[Callable[[str], Opened]]:
    """Engine and scorer with the store of that name."""
    base, orm = folders
    stores: dict[str, Store] = {}
    engine, scorer = TransformersEngine(str(base), "base@1"), TransformersScorer(str(orm), "orm@1")

    def opened(name: str = "store") -> Opened:
        store = stores.setdefault(name, Store(tmp_path / f"{name}.sqlite"))
        return StoredEngine(engine, store, "test"), StoredScorer(scorer, store, "test")

    yield opened
    for store in stores.values():
        store.close()


@pytest.fixture
def problems() -> list[Problem]:
    return [
        Problem(
            id=f"p{number}", source="test", family="f", group="g", split="dev", instance=str(number),
            problem=f"What is {number} - {number}?", answer="0", answer_kind="number",
        )
        for number in range(8)
    ]  # fmt: skip
