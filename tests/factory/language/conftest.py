"""Tokenizers of every sort, small and built here: `zoo[name]`. Each knows the meta-action tokens; the byte-level and SentencePiece ones are
trained on a page of text, so that they merge."""

import json
import string
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from factory.coat import grammar
from trainers import tokenizer as laptop_tokenizer

META = list(grammar.ACTIONS.values())
TEXTS = [
    "Tom has 12 apples (red, green); how many? Sam's dog: 3.\nSolve:\n12 + 7 = 19\n12 * 7 = 84\n19 - 4 = 15\n84 / 2 = 42\n",
    "12 + 7 = 18\n<|reflect|>But wait. 12 + 7 is 19.\n<|explore|>Try it again.\n<|continue|>12 + 7 = 19\n\\boxed{19}",
]
PAGE = [
    *TEXTS, "Write the answer in a box, and wait for the next one. " * 9, "def f(x):\n    return x + 1\n" * 9,
    "Größe, naïve, 数, €5; a < b.",
    " ".join(f"{letter} a{letter}a" for letter in string.printable),
]  # fmt: skip
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
FLAT = "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}{{ END }}{% endif %}{% endfor %}"  # as the laptop's
HEADS = (  # as Llama 3's: ends a turn with a token of its own, and begins with BOS
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
INST = (  # adds BOS by itself, and strips what it is given
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('Only user and assistant roles are supported!') }}"
    "{% elif m.role == 'user' %}{{ '[INST] ' + m.content | trim + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content | trim + eos_token }}{% endif %}{% endfor %}"
)


def _fast(backend: Tokenizer, **named: Any) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=backend, extra_special_tokens=META, clean_up_tokenization_spaces=False, **named)


def _byte_level(special: list[str], size: int = 400) -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(PAGE, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False))
    backend.add_special_tokens(special)
    return backend


def _around(backend: Tokenizer, before: list[str], behind: list[str]) -> None:
    """What Llama's, T5's and BERT's tokenizers put around a text."""
    known = [(token, backend.token_to_id(token)) for token in [*before, *behind]]
    backend.post_processor = processors.TemplateProcessing(single=" ".join([*before, "$A", *behind]), special_tokens=known)


def flat(end: str) -> str:
    return FLAT.replace("END", end)


def laptop() -> Any:
    return laptop_tokenizer.build(TEXTS, META, 128)


def gpt2() -> Any:
    end = "<|endoftext|>"
    return _fast(_byte_level([end]), bos_token=end, eos_token=end, unk_token=end, chat_template=flat("eos_token"))


def qwen() -> Any:
    """Added tokens of which some are flagged and some are not, and a chat template."""
    backend = _byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    backend.add_tokens([AddedToken(token, normalized=False) for token in ("<|fim_prefix|>", "<think>", "<tool_call>", "    ", "        ")])
    return _fast(backend, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHATML)


def llama3() -> Any:
    backend = _byte_level(["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"])
    _around(backend, ["<|begin_of_text|>"], [])
    return _fast(backend, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>", chat_template=HEADS)


def both_ends() -> Any:
    backend = _byte_level(["<s>", "</s>"])
    _around(backend, ["<s>"], ["</s>"])
    return _fast(backend, bos_token="<s>", eos_token="</s>", pad_token="</s>", chat_template=flat("eos_token"))


def _sentencepiece(kind: str, scheme: str) -> Tokenizer:
    special = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
    if kind == "unigram":
        backend, trainer = Tokenizer(models.Unigram()), trainers.UnigramTrainer(
            vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False
        )  # fmt: skip
    else:
        backend, trainer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True)), trainers.BpeTrainer(
            vocab_size=600, special_tokens=[*special, *(f"<0x{byte:02X}>" for byte in range(256))], show_progress=False
        )  # fmt: skip
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first" if scheme == "legacy" else scheme, split=False)
    backend.train_from_iterator(PAGE, trainer)
    document = json.loads(backend.to_str())  # the trainer flags all that it is given: bytes are pieces like others
    document["added_tokens"] = [token for token in document["added_tokens"] if token["content"] in special]
    backend = Tokenizer.from_str(json.dumps(document))
    fallback = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(fallback)
    if scheme == "legacy":
        backend.pre_tokenizer = None
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return backend


def llama2() -> Any:
    backend = _sentencepiece("bpe", "legacy")
    _around(backend, ["<s>"], [])
    return _fast(backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<unk>", chat_template=INST)


def mistral() -> Any:
    backend = _sentencepiece("bpe", "first")
    _around(backend, ["<s>"], [])
    return _fast(backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=INST)


def t5() -> Any:
    """Unigram: its control tokens stand in the vocabulary like any other piece."""
    backend = _sentencepiece("unigram", "always")
    _around(backend, [], ["</s>"])
    return _fast(backend, eos_token="</s>", pad_token="<s>", unk_token="<unk>", chat_template=flat("eos_token"))


def bert() -> Any:
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    backend.train_from_iterator(PAGE, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False))
    _around(backend, ["[CLS]"], ["[SEP]"])
    named = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]", "unk_token": "[UNK]"}
    return _fast(backend, chat_template=flat("sep_token"), **named)


def in_python() -> Any:
    """Not one of the tokenizers library: bytes, `</s>` behind a text, 125 `<extra_id_…>`."""
    words = ByT5Tokenizer()
    words.add_special_tokens({"extra_special_tokens": META}, replace_extra_special_tokens=False)
    words.chat_template = flat("eos_token")
    return words


MAKERS: dict[str, Callable[[], Any]] = {
    made.__name__: made for made in (laptop, gpt2, qwen, llama3, both_ends, llama2, mistral, t5, bert, in_python)
}


@pytest.fixture(scope="session", params=MAKERS)
def sort(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def zoo() -> dict[str, Any]:
    return {name: make() for name, make in MAKERS.items()}


@pytest.fixture
def words(zoo: dict[str, Any], sort: str) -> Any:
    return zoo[sort]
