"""The head of a GGUF file: sizes of the model and where its tensors end, read in a fraction of a second, without its weights.

    read(Path("models/SmolLM2-135M-Instruct.Q4_1.gguf"))
    → Head({"general.architecture": "llama", "llama.block_count": 30, …}, {"token_embd.weight": (576, 49152), …}, size=98_362_432)

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. (The package's own reader maps every word of the tokenizer: seconds.)
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

from factory.errors import DataError

MAGIC = b"GGUF"
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}  # type → struct's letter
STRING, ARRAY = 8, 9
Value = str | int | float | bool | None  # None: of an array
NAMES = {  # Hugging Face's → GGUF's, behind the architecture
    "hidden_size": "embedding_length", "num_hidden_layers": "block_count", "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count", "num_key_value_heads": "attention.head_count_kv", "head_dim": "attention.key_length",
    "num_experts": "expert_count",
}  # fmt: skip


@dataclass(frozen=True)
class Head:
    """`size`: bytes of the whole file."""

    fields: Mapping[str, Value]
    tensors: Mapping[str, tuple[int, ...]]
    size: int

    @property
    def config(self) -> Mapping[str, Value]:
        """As config.json would have it. A head of its own beside the embedding is read as one, even if both are equal."""
        kind = self.fields.get("general.architecture")
        found = {ours: self.fields.get(f"{kind}.{theirs}") for ours, theirs in NAMES.items()}
        words = self.tensors.get("token_embd.weight", ())
        tied = "output.weight" not in self.tensors
        return {key: value for key, value in found.items() if value is not None} | {
            **({"vocab_size": words[-1]} if words else {}), "tie_word_embeddings": tied,
        }  # fmt: skip


def read(file: Path) -> Head:
    """Raises DataError where it is none, or is cut off before its tensors begin."""
    with file.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise DataError(f"{file.name} is no GGUF file: it does not begin with GGUF")
        try:
            return _head(stream)
        except (struct.error, EOFError, UnicodeDecodeError, KeyError, OverflowError):
            raise DataError(f"{file.name} is cut off in its header, or of a version that is not known") from None


def _head(stream: BinaryIO) -> Head:
    """Whatever the counts say: a read behind the end raises EOFError."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    _, count, entries = _unpack(stream, "<IQQ")
    fields = {}
    for _ in range(entries):
        key = _string(stream)
        fields[key] = _value(stream, _unpack(stream, "<I")[0])
    tensors, ends = dict[str, tuple[int, ...]](), [0]
    for _ in range(count):
        name, (dimensions,) = _string(stream), _unpack(stream, "<I")
        shape = _unpack(stream, f"<{min(dimensions, 8)}Q")
        kind, offset = _unpack(stream, "<IQ")
        try:
            block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        except ValueError:  # a type that is newer than the package
            block, size = 1, 0
        tensors[name] = shape
        ends.append(offset + prod(shape) // block * size)
    alignment = fields.get("general.alignment")
    step = alignment if isinstance(alignment, int) and alignment > 0 else 32
    return Head(fields, tensors, -(-stream.tell() // step) * step + max(ends))


def _value(stream: BinaryIO, kind: int) -> Value:
    if kind == STRING:
        return _string(stream)
    if kind != ARRAY:
        found: int | float | bool = _unpack(stream, f"<{NUMBERS[kind]}")[0]
        return found
    inner, count = _unpack(stream, "<IQ")
    if inner in NUMBERS:
        stream.seek(count * struct.calcsize(NUMBERS[inner]), 1)
        return None
    if inner != STRING:  # arrays of arrays: no writer makes them
        raise EOFError
    for _ in range(count):
        _bytes(stream, _unpack(stream, "<Q")[0])
    return None


def _string(stream: BinaryIO) -> str:
    return _bytes(stream, _unpack(stream, "<Q")[0]).decode()


def _unpack(stream: BinaryIO, form: str) -> tuple[int, ...]:
    return struct.unpack(form, _bytes(stream, struct.calcsize(form)))


def _bytes(stream: BinaryIO, count: int) -> bytes:
    found = stream.read(count) if count < 1 << 24 else b""
    if len(found) != count:
        raise EOFError
    return found
