"""A whole export: data, the reward that the trainer calls, a README; all of it or nothing.

export("restarts_r1", "verl", Path("out"), tokenizer=None)   → Exported(rows=1100, files=("train.parquet", "reward.py", "README.md", …))
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from factory.errors import DataError, GateError
from factory.export.readme import readme
from factory.export.ready import readable, unchanged
from factory.export.rendering import Renderer
from factory.export.reward import Limits, package_of, pyproject, reward_file, taskset_file
from factory.export.rows import converted, has_prefixes, use_of
from factory.outputs import folder_for
from factory.publish.checks import Released
from factory.whole import whole_folder, write_json
from factory.words import amount

MARK = "export.json"  # in a folder that an export may replace


@dataclass(frozen=True)
class Exported:
    dataset: str
    target: str
    use: str
    rows: int
    written_out: bool  # prompts are text, because they have a prefix
    files: tuple[str, ...]


def export(name: str, target: str, out: Path, tokenizer: Path | None = None) -> Exported:
    """Raises DataError and GateError for what cannot be exported, before anything is written."""
    place = folder_for(out, MARK, "export")
    dataset = readable(name)
    use = use_of(dataset, target)
    prefixed = use == "prompts" and has_prefixes(dataset)
    if prefixed and target != "verifiers" and tokenizer is None:
        raise GateError(
            f"{name}: its prompts begin the answer (prefix), and {target} would close that turn: name the folder of the model to be "
            "trained with --tokenizer, so that they are written out as its text"
        )
    renderer = Renderer(tokenizer) if tokenizer and prefixed and target != "verifiers" else None
    unchanged(dataset)  # last: DVC looks at every file
    with whole_folder(place) as folder:
        count = _write(folder, dataset, target, use, renderer)
        if count != dataset.rows:
            raise DataError(f"{name}: {amount(count, 'row was', 'rows were')} written of {dataset.rows:,}: run it again")
        (folder / "README.md").write_text(readme(dataset, target, use, renderer is not None, prefixed), encoding="utf-8")
        files = tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))
        told = Exported(name, target, use, count, renderer is not None, files)
        write_json(folder / MARK, {**asdict(told), "licence": dataset.licence, "sha256": dataset.sha256})
    return told


def _write(folder: Path, dataset: Released, target: str, use: str, renderer: Renderer | None) -> int:
    batches, limits = converted(dataset, target, renderer), Limits.of_line()
    if target == "verifiers":
        package = folder / package_of(dataset.name)
        package.mkdir()
        (package / "__init__.py").write_text(taskset_file(dataset.name, limits), encoding="utf-8")
        (folder / "pyproject.toml").write_text(pyproject(dataset.name), encoding="utf-8")
        return _lines(package / "train.jsonl", batches)
    if use == "prompts":
        (folder / "reward.py").write_text(reward_file(target, limits), encoding="utf-8")
    return _lines(folder / "train.jsonl", batches) if target == "openrlhf" else _parquet(folder / "train.parquet", batches)


def _lines(path: Path, batches: Iterator[list[dict[str, Any]]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as stream:
        for rows in batches:
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            count += len(rows)
    return count


TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
TOLD = {"answer_kind": pa.string(), "decimals": pa.int64(), "buffer": pa.string(), "pass_rate": pa.float64(), "problem_id": pa.string(),
        "id": pa.string()}  # fmt: skip
EXTRA = pa.struct([*TOLD.items(), ("split", pa.string()), ("index", pa.int64())])
TYPES = {"margin": pa.float64(), "reward_model": pa.struct([("style", pa.string()), ("ground_truth", pa.string())]), "extra_info": EXTRA,
         "completions": pa.list_(pa.string()), "labels": pa.list_(pa.bool_()), **TOLD}  # fmt: skip


def _schema(row: dict[str, Any]) -> pa.Schema:
    """Of all rows, by the first one: a column of None would have no type."""
    return pa.schema([(name, TYPES.get(name, TURNS if isinstance(value, list) else pa.string())) for name, value in row.items()])


def _parquet(path: Path, batches: Iterator[list[dict[str, Any]]]) -> int:
    count, writer = 0, None
    try:
        for rows in batches:
            schema = writer.schema if writer else _schema(rows[0])
            writer = writer or pq.ParquetWriter(path, schema, compression="zstd")
            writer.write_table(pa.Table.from_pylist(rows, schema))
            count += len(rows)
    finally:
        if writer:
            writer.close()
    return count
