"""What a file is by its name and its first bytes, and its bytes unpacked: plain, gzip or Zstandard, without a byte order mark.

ending(Path("train.jsonl.gz"))                     → ("json", ".gz")
with unpacked(Path("train.jsonl"), "train.jsonl") as stream: …      # gzip content under a plain name is unpacked too
"""

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from factory.errors import DataError

ENDINGS = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet"}
PACKED = (".gz", ".zst")
PARQUET = b"PAR1"
_BOM = b"\xef\xbb\xbf"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_ARCHIVES = {b"PK\x03\x04": "a zip archive", b"BZh": "packed with bzip2", b"\xfd7zXZ": "packed with xz", b"7z\xbc\xaf": "a 7z archive"}


def ending(path: Path) -> tuple[str, str]:
    """("json", "csv", "tsv", "parquet" or "" for no ending that is known; ".gz", ".zst" or "")."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in PACKED else ""
    kind = ENDINGS.get(suffixes[-1], "") if suffixes else ""
    return ("" if kind == "parquet" and packed else kind), packed


def first_bytes(path: Path, name: str) -> bytes:
    """Raises DataError when the file cannot be read, or is an archive."""
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or error}") from None
    for magic, what in _ARCHIVES.items():
        if start.startswith(magic):
            raise DataError(f"{name} is {what}: unpack it, or pack it with gzip or zstd")
    return start


@contextlib.contextmanager
def unpacked(path: Path, name: str) -> Iterator[BinaryIO]:
    """The bytes without a byte order mark. Raises DataError for what cannot be unpacked or is UTF-16 or UTF-32."""
    start = first_bytes(path, name)
    packed = ending(path)[1] if start else ""
    packed = ".gz" if start.startswith(_GZIP) else ".zst" if start.startswith(_ZSTD) else packed
    try:
        with contextlib.ExitStack() as stack:
            if packed == ".gz":
                stream = cast(BinaryIO, stack.enter_context(gzip.open(path)))
            elif packed == ".zst":
                stream = cast(BinaryIO, io.BufferedReader(stack.enter_context(pa.input_stream(str(path), compression="zstd"))))
            else:
                stream = cast(BinaryIO, stack.enter_context(path.open("rb")))
            start = cast(io.BufferedReader, stream).peek(8)
            if encoding := _other_encoding(start):
                raise DataError(f"{name} is {encoding}: save it as UTF-8")
            if start.startswith(_BOM):
                stream.read(len(_BOM))
            yield stream
    except (EOFError, zlib.error) as error:
        raise DataError(f"{name} cannot be unpacked: {error}. Fetch or pack it again") from None
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or error}") from None


def _other_encoding(start: bytes) -> str:
    """By its byte order mark, or by the zero bytes beside its first letters."""
    if start.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    zeros = [byte == 0 for byte in start[:4]]
    return "UTF-16 without a byte order mark" if zeros in ([True, False, True, False], [False, True, False, True]) else ""
