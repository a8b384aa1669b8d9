"""The Parquet files of a config: as the gate wrote them where they are few and not too large, otherwise cut anew.

    shards_of(released, Path(".factory/publish"))
    → [Shard("data/plans/train-00000-of-00001.parquet", Path("data/datasets/plans/data/train-…"), sha256="90be…", size=55_120)]

New shards are cut where ids pass a fraction of their range, and there are 1, 2, 4, 8 … of them: ids are content hashes, so shards are of
one size, and a row that is added or taken away moves no boundary. Pages are cut by content (`use_content_defined_chunking`), so that a
store of chunks moves only the changed ones. The same rows give the same bytes; a cut that is whole is found again after a kill.
"""

import bisect
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from factory.errors import GateError
from factory.identity import digest
from factory.publish.checks import Released
from factory.whole import whole_folder

AIM = 256 << 20  # bytes of a shard
GROUP_BYTES = 64 << 20  # of a row group, in memory
BATCH = 10_000


@dataclass(frozen=True)
class Shard:
    path: str  # in the repository
    file: Path
    sha256: str
    size: int


def shards_of(item: Released, staging: Path, aim: int = AIM) -> list[Shard]:
    sizes = [file.stat().st_size for file in item.shards]
    if max(sizes) <= 2 * aim and len(sizes) <= max(1, 2 * sum(sizes) // aim):
        files, hashes = list(item.shards), [item.sha256[file.name] for file in item.shards]
    else:
        files = _cut(item, staging, _count(sum(sizes), aim))
        hashes = [_sha256(file) for file in files]
    names = [f"data/{item.name}/{item.split}-{number:05}-of-{len(files):05}.parquet" for number in range(len(files))]
    return [Shard(name, file, known, file.stat().st_size) for name, file, known in zip(names, files, hashes, strict=True)]


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _count(size: int, aim: int) -> int:
    """The smallest power of two with shards of at most `aim` bytes."""
    return 1 << max(0, -(-size // aim) - 1).bit_length()


def _cut(item: Released, staging: Path, count: int) -> list[Path]:
    folder = staging / f"{item.name}-{digest(item.sha256, count, pa.__version__)[:20]}"
    if not folder.is_dir():
        with whole_folder(folder) as temporary:
            _write(item.shards, temporary, count)
    return sorted(folder.glob("*.parquet"))


def _write(sources: tuple[Path, ...], folder: Path, count: int) -> None:
    """One shard after the other, one row group in memory. Raises GateError when the ids do not rise."""
    schema = pq.read_schema(sources[0])
    parts = _parts(sources, schema, count)
    number, part = next(parts)
    for shard in range(count):
        with pq.ParquetWriter(
            folder / f"{shard:05}.parquet", schema, use_content_defined_chunking=True, write_page_index=True, write_page_checksum=True,
            compression="zstd",
        ) as writer:  # fmt: skip
            held: list[pa.RecordBatch] = []
            while number == shard:
                held.append(part)
                if sum(batch.nbytes for batch in held) >= GROUP_BYTES:
                    writer.write_table(pa.Table.from_batches(held, schema))
                    held = []
                number, part = next(parts, (count, part))
            if held:  # `datasets` reads no row group of no rows
                writer.write_table(pa.Table.from_batches(held, schema))


def _parts(sources: tuple[Path, ...], schema: pa.Schema, count: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Runs of rows with the number of their shard, which rises."""
    edges = [f"{(number << 32) // count:08x}" for number in range(1, count)]
    last = ""
    for source in sources:
        with pq.ParquetFile(source, page_checksum_verification=True) as file:
            for batch in file.iter_batches(BATCH):
                ids = batch.column("id").to_pylist()
                if ids != sorted(ids) or ids[0] < last:
                    raise GateError(f"{source} is not sorted by id: `dvc repro -f release@{source.parent.parent.name}` makes it again")
                last, start = ids[-1], 0
                for number, edge in enumerate([*edges, None]):
                    end = len(ids) if edge is None else bisect.bisect_left(ids, edge)
                    if end > start:
                        yield number, batch.slice(start, end - start).cast(schema)
                    start = max(start, end)
