"""Whether the weights of a model that lies here are whole, without loading them: headers, sizes, and the shards that an index names.

    fault(Path("models/qwen"))        → "model-00002-of-00004.safetensors is cut off: it has 1.2 GB, its header says 4.9 GB"
    fault(Path("models/q4.gguf"))     → "" where nothing is wrong

The bytes of the weights themselves are not read; of a .bin, which is a pickle, nothing at all is.
"""

import json
from pathlib import Path

from factory.errors import DataError
from factory.planning import gguf_file

HEADER = 100_000_000  # bytes of a safetensors header, as its own reader allows


def fault(path: Path) -> str:
    """Of a folder or a file of weights. Raises OSError where it cannot be read."""
    if path.is_file():
        return _file(path)
    files = [file for file in sorted(path.iterdir()) if file.is_file()]
    faults = (_index(file) if file.name.endswith(".index.json") else _file(file) for file in files)
    return next(filter(None, faults), "")


def _file(file: Path) -> str:
    if file.suffix == ".safetensors":
        return _safetensors(file)
    if file.suffix.lower() == ".gguf":
        try:
            whole = gguf_file.read(file).size
        except DataError as error:
            return str(error)
        size = file.stat().st_size
        return f"{file.name} is cut off: it has {size:,} bytes, its header says {whole:,}" if size < whole else ""
    return ""


def _safetensors(file: Path) -> str:
    """Eight bytes, the length of the header; the header, JSON; tensors up to the last offset that it names."""
    size = file.stat().st_size
    try:
        ends = [int(entry["data_offsets"][1]) for name, entry in _header(file).items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return f"{file.name} is no safetensors file, or cut off in its header"
    with file.open("rb") as stream:
        whole = 8 + int.from_bytes(stream.read(8), "little") + max(ends, default=0)
    if size == whole:
        return ""
    return f"{file.name} is {'cut off' if size < whole else 'longer than it should be'}: it has {size:,} bytes, its header says {whole:,}"


def _header(file: Path) -> dict[str, dict[str, list[int]]]:
    """Raises ValueError where there is none."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(HEADER, file.stat().st_size - 8):
            raise ValueError(length)
        found: dict[str, dict[str, list[int]]] = json.loads(stream.read(length))
    return found


def _index(file: Path) -> str:
    """Every shard that it names is there, and has the tensors that it should have."""
    try:
        where: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))["weight_map"]
        shards = sorted(set(where.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"{file.name} is no index of shards: expected JSON with a weight_map"
    if missing := [shard for shard in shards if not (file.parent / shard).is_file()]:
        return f"{file.name} names {missing[0]}, which is not there" + (f", and {len(missing) - 1} more" if missing[1:] else "")
    for shard in shards:
        if shard.endswith(".safetensors") and not (bad := _safetensors(file.parent / shard)):
            lacking = {name for name, place in where.items() if place == shard} - _header(file.parent / shard).keys()
            if lacking:
                return f"{shard} lacks {min(lacking)}, which {file.name} says is in it"
        elif shard.endswith(".safetensors"):
            return bad
    return ""
