"""The Parquet files of a config: as the gate wrote them where they are few and not too large, otherwise cut anew.

    shards_of(released, Path(".factory/publish"))
    → [Shard("data/plans/train-00000-of-00001.parquet", Path("data/datasets/plans/data/train-…"), sha256="90be…", size=55_120)]

New shards are cut where ids pass a fraction of their range, and there are 1, 2, 4, 8 … of them: ids are content hashes, so shards are of
one size, and a row that is added or taken away moves no boundary. Pages are cut by content (`use_content_defined_chunking`), so that a
store of chunks moves only the changed ones. The same rows give the same bytes; a cut that is whole is found again after a kill.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from factory.identity import digest
from factory.publish.checks import Released
from factory.storage import whole_folder

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
    """One row group of each shard in memory."""
    schema = pq.read_schema(sources[0])
    options = {"use_content_defined_chunking": True, "write_page_index": True, "write_page_checksum": True, "compression": "zstd"}
    writers = [pq.ParquetWriter(folder / f"{number:05}.parquet", schema, **options) for number in range(count)]
    held: list[list[pa.RecordBatch]] = [[] for _ in writers]
    try:
        for number, part in _parts(sources, schema, count):
            held[number].append(part)
            if sum(batch.nbytes for batch in held[number]) >= GROUP_BYTES:
                writers[number].write_table(pa.Table.from_batches(held[number], schema))
                held[number] = []
        for writer, rest in zip(writers, held, strict=True):
            writer.write_table(pa.Table.from_batches(rest, schema))
    finally:
        for writer in writers:
            writer.close()


def _parts(sources: tuple[Path, ...], schema: pa.Schema, count: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Rows with the number of their shard, in the order of the sources."""
    edges = [f"{(number << 32) // count:08x}" for number in range(1, count)]
    for source in sources:
        with pq.ParquetFile(source, page_checksum_verification=True) as file:
            for batch in file.iter_batches(BATCH):
                ids = batch.column("id")
                for number in range(count):
                    inside = pa.array([True] * len(ids))
                    if number:
                        inside = pc.and_(inside, pc.greater_equal(ids, edges[number - 1]))
                    if number < count - 1:
                        inside = pc.and_(inside, pc.less(ids, edges[number]))
                    part = batch.filter(inside)
                    if part.num_rows:
                        yield number, part.cast(schema)
