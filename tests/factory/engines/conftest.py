"""Tiny random Llamas: everything the engines do, in milliseconds. `bytes_*` write printable ASCII, a byte a token (the others know 20
words), and have heads of a size that vLLM computes on a CPU."""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from factory.engines import flow, servers
from factory.engines.ledger import Ledger
from factory.engines.openai_engine import OpenAIEngine
from factory.engines.requests import StoredEngine
from factory.params import Requests

sys.path.insert(0, str(Path(__file__).parent))
from fault_server import FaultServer
from served import SETTINGS, role_of

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


CHAT = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
WIDE = {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 512, "initializer_range": 0.3}


def bytes_tokenizer(chat: bool) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = ["<pad>", "<eos>", "Ċ", "Ġ", *map(chr, range(33, 127))]  # as ByteLevel writes line end and space
    backend = Tokenizer(models.BPE({letter: place for place, letter in enumerate(letters)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>")
    fast.add_special_tokens({"additional_special_tokens": ["<|reflect|>"]})
    if chat:
        fast.chat_template = CHAT
    return fast


@pytest.fixture(scope="session")
def bytes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import LlamaForCausalLM

    folder, tokenizer = tmp_path_factory.mktemp("models") / "bytes", bytes_tokenizer(chat=True)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = LlamaForCausalLM(config(vocab_size=len(tokenizer), **WIDE))
        for special in (1, len(tokenizer) - 1):  # often enough to be seen: likelier than others
            model.lm_head.weight.data[special] *= 1.5
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bytes_reward_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import LlamaForSequenceClassification

    folder, tokenizer = tmp_path_factory.mktemp("models") / "bytes_orm", bytes_tokenizer(chat=False)
    with torch.random.fork_rng():
        torch.manual_seed(6)
        LlamaForSequenceClassification(config(vocab_size=len(tokenizer), num_labels=1, **WIDE)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of a pool of servers in milliseconds, and no key."""
    for name, seconds in {
        "BACKOFF": 0.01, "PAUSE": 0.05, "PAUSE_MOST": 0.2, "FIRST_PATIENCE": 0.4, "PATIENCE": 0.6, "PROBE": 0.3,
    }.items():  # fmt: skip
        monkeypatch.setattr(servers, name, seconds)
    monkeypatch.setattr(flow, "PATIENCE", 0.02)
    monkeypatch.setenv("OPENAI_API_KEY", "")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as one:
        yield one


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Callable[..., StoredEngine]]:
    opened = []

    def make(*fault_servers: FaultServer, settings: Requests = SETTINGS, **changes: Any) -> StoredEngine:
        opened.append(
            StoredEngine(OpenAIEngine(role_of(*fault_servers, **changes), settings), Ledger(tmp_path / "store.sqlite"), "rollouts")
        )
        return opened[-1]

    yield make
    for engine in opened:
        engine.close()
        engine.store.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("servers of")]
