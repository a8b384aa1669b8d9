"""Tiny random Llamas: everything the engines do, in milliseconds. `bytes_folder` writes printable ASCII, a byte a token; `chat_*` have chat
templates of the kinds that known models have; the others know 20 words. The first two have heads of a size that vLLM computes on a CPU.
"""

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
import vllm_servers
from fault_server import FaultServer
from served import SETTINGS, role_of

WORDS = list("abcdefghijklmnopqrst")
FLAT = "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"  # the laptop's
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
    fast.chat_template = FLAT
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


def bytes_tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = ["<pad>", "<eos>", "Ċ", "Ġ", *map(chr, range(33, 127))]  # as ByteLevel writes line end and space
    backend = Tokenizer(models.BPE({letter: place for place, letter in enumerate(letters)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>")
    fast.add_special_tokens({"additional_special_tokens": ["<|reflect|>"]})
    fast.chat_template = CHAT
    return fast


@pytest.fixture(scope="session")
def bytes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import LlamaForCausalLM

    folder, tokenizer = tmp_path_factory.mktemp("models") / "bytes", bytes_tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = LlamaForCausalLM(config(vocab_size=len(tokenizer), **WIDE))
        for special in (1, len(tokenizer) - 1):  # often enough to be seen: likelier than others
            model.lm_head.weight.data[special] *= 1.5
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


CHATML = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\nHELP<|im_end|>\n{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
STRICT = (  # as Gemma's: no system turn, turns take turns, contents are stripped, the assistant is called model
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
TEMPLATES: dict[str, tuple[str, dict[str, str]]] = {  # a template, and what the tokenizer's special tokens are for
    "smollm2": (
        CHATML.replace("HELP", "You are small."),
        {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"},
    ),
    "qwen2": (CHATML.replace("HELP", "You are a helpful assistant."), {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}),
    "gemma": (STRICT, {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}),
}
ENDS = {"smollm2": "<|im_end|>", "qwen2": "<|im_end|>", "gemma": "<end_of_turn>"}
CONTROLS = {
    "smollm2": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], "qwen2": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "gemma": ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"],
}  # fmt: skip
PAGE = "Tom has 3 apples and Ann gives him 4 more. How many has he now?\n3 + 4 = 7\n\n\\boxed{7}\nuser model assistant system\n"


def chat_tokenizer(name: str) -> Any:
    """Bytes with some merges, line ends among them, and a chat template as a model on the Hub has it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator([PAGE] * 4, trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False))
    backend.add_special_tokens(CONTROLS[name])
    if name == "gemma":  # puts BOS before a text, as its template does by itself
        bos = ("<bos>", backend.token_to_id("<bos>"))
        backend.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[bos])
    template, named = TEMPLATES[name]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, chat_template=template, extra_special_tokens=["<|reflect|>"], clean_up_tokenization_spaces=False, **named
    )


def chat_config(words: Any, **changes: Any) -> Any:
    return config(
        vocab_size=len(words), pad_token_id=words.pad_token_id, eos_token_id=words.eos_token_id, bos_token_id=words.bos_token_id,
        **WIDE, **changes,
    )  # fmt: skip


@pytest.fixture(scope="session")
def chat_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A language model for each template, which often ends its turn and sometimes reflects."""
    import torch
    from transformers import LlamaForCausalLM

    folders, place = {}, tmp_path_factory.mktemp("chats")
    for seed, name in enumerate(TEMPLATES):
        words = chat_tokenizer(name)
        with torch.random.fork_rng():
            torch.manual_seed(20 + seed)
            model = LlamaForCausalLM(chat_config(words))
            for token in (ENDS[name], "<|reflect|>"):
                model.lm_head.weight.data[words.convert_tokens_to_ids(token)] *= 1.6
        folders[name] = place / name
        model.save_pretrained(folders[name])
        words.save_pretrained(folders[name])
    return folders


@pytest.fixture(scope="session")
def chat_reward_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model with the template that refuses a system turn."""
    import torch
    from transformers import LlamaForSequenceClassification

    folder, words = tmp_path_factory.mktemp("models") / "chat_orm", chat_tokenizer("gemma")
    with torch.random.fork_rng():
        torch.manual_seed(6)
        LlamaForSequenceClassification(chat_config(words, num_labels=1)).save_pretrained(folder)
    words.save_pretrained(folder)
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


@pytest.fixture(scope="session")
def served(
    bytes_folder: Path, chat_folders: dict[str, Path], chat_reward_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The addresses of real vLLM servers: of each language model, of one that tells log-probabilities as they were drawn from, and of the
    reward model."""
    writes = {
        name: ["--model", str(folder), "--no-enable-chunked-prefill"] for name, folder in {"bytes": bytes_folder, **chat_folders}.items()
    }
    writes["processed"] = [*writes["bytes"], "--logprobs-mode", "processed_logprobs"]
    writes["judge"] = ["--model", str(chat_reward_folder), "--runner", "pooling", "--convert", "classify"]
    with vllm_servers.running(writes, tmp_path_factory.mktemp("servers")) as urls:
        yield urls
