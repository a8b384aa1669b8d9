"""What the card and croissant.json say, from the rows, the lock and the params themselves.

    gather_facts("org/name", released, shards, params, graph)   → Facts(repo="org/name", configs=(Config(name="plans", rows=651, …), …), …)

Text is measured in characters: a tokenizer would be one model's.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from factory.errors import GateError
from factory.line import stages_of
from factory.lock import Locked, ancestors, ordered
from factory.params import Params
from factory.params.names import on_hub
from factory.publish.checks import Released
from factory.publish.shards import Shard
from factory.schemas import Made, choices, field_types
from factory.storage import MODELS, REJECTS, TABLES, count_rows, read_table
from factory.tables import table_of

MANY = 12  # values of a column that a table of the card shows


@dataclass(frozen=True)
class Config:
    """`features`: as the Hub's front matter has them. `texts`: column → characters (median, 95th percentile, most). `models`: that wrote
    its rows or what these were made of, up to the models that did so; () when programs wrote all of it."""

    released: Released
    about: str
    shards: tuple[Shard, ...]
    size: int
    features: list[dict[str, Any]]
    texts: dict[str, tuple[int, int, int]]
    counts: dict[str, dict[str, int]]
    models: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.released.name

    @property
    def pattern(self) -> str:
        return f"data/{self.name}/{self.released.split}-*.parquet"

    @property
    def brief(self) -> str:
        """The first sentence of `about`."""
        return re.split(r"(?<!App)\. ", self.about, maxsplit=1)[0].rstrip(".")

    @property
    def findings(self) -> list[dict[str, Any]]:
        return list(self.released.audit["findings"])

    @property
    def warnings(self) -> list[dict[str, Any]]:
        return [finding for finding in self.findings if not finding["success"]]


@dataclass(frozen=True)
class Step:
    """A stage in the line's order: what it read and wrote of the line, `rejected` None where it rejects nothing."""

    title: str
    reads: tuple[str, ...]
    rows: dict[str, int]
    rejected: int | None


@dataclass(frozen=True)
class ModelUse:
    """`name` and `revision` as rows have them; `origin`: the stage that trained it here, what it was adopted from, or a role's engine."""

    name: str
    revision: str
    origin: str
    configs: tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """A source of problems: `kept` rows by split; `synthetic` when a program writes its problems."""

    name: str
    kind: str
    path: str
    revision: str
    synthetic: bool
    kept: dict[str, int]


@dataclass(frozen=True)
class Facts:
    repo: str
    params: Params
    language: str
    configs: tuple[Config, ...]
    steps: tuple[Step, ...]
    models: tuple[ModelUse, ...]
    origins: tuple[Origin, ...]
    removed: dict[str, int]  # problems rejected by reason: duplicates, overlaps with benchmarks, what could not be read
    prompts: tuple[str, ...]

    @property
    def rows(self) -> int:
        return sum(config.released.rows for config in self.configs)

    @property
    def programs_share(self) -> float:
        """Of the train problems, those that a program wrote, in [0, 1]."""
        train = [(origin.synthetic, origin.kept.get("train", 0)) for origin in self.origins]
        return sum(count for synthetic, count in train if synthetic) / max(1, sum(count for _, count in train))


def gather_facts(
    repo: str, items: Sequence[Released], shards: Mapping[str, Sequence[Shard]], params: Params, graph: Mapping[str, Locked], language: str
) -> Facts:
    writers = Writers(params, graph)
    configs = tuple(_config(item, tuple(shards[item.name]), writers) for item in items)
    versions = {version for item in items for version in item.lineage.get("prompt_version", {})}
    return Facts(
        repo=repo, params=params, language=language, configs=configs, steps=tuple(_steps(params, graph)),
        models=tuple(_models(configs, params, graph)), origins=tuple(_origins(params)), removed=_removed(), prompts=tuple(sorted(versions)),
    )  # fmt: skip


def _config(item: Released, shards: tuple[Shard, ...], writers: "Writers") -> Config:
    from datasets import Features

    row_type = table_of(item.name)
    schema = pq.read_schema(shards[0].file)
    features = Features.from_arrow_schema(schema)
    closed = [name for name, hint in field_types(row_type).items() if choices(hint) and name in schema.names]
    apart = {*closed, *field_types(Made), "instance", "source", "licence"}
    columns = [name for name in schema.names if _spoken(features.to_dict()[name]) and name not in apart and not name.endswith("_id")]
    lengths: dict[str, Counter[int]] = {name: Counter() for name in columns}
    counted: dict[str, Counter[str]] = {name: Counter() for name in closed}
    for shard in shards:
        with pq.ParquetFile(shard.file) as file:
            for batch in file.iter_batches(columns=[*columns, *closed]):
                for name in columns:
                    lengths[name].update(_characters(batch.column(name)))
                for name in closed:
                    counted[name].update(dict(zip(*(part.to_pylist() for part in pc.value_counts(batch.column(name)).flatten()))))
    return Config(
        released=item, about=" ".join(str(row_type.__doc__).split()), shards=shards, size=sum(shard.size for shard in shards),
        features=features._to_yaml_list(), texts={name: _spread(found) for name, found in lengths.items() if any(found)},
        counts={name: dict(sorted(found.items(), key=str)) for name, found in counted.items() if len(found) <= MANY},
        models=tuple(writers.behind(f"release@{item.name}")),
    )  # fmt: skip


def _spoken(feature: Any) -> bool:
    """Whether a column is text or a conversation."""
    if isinstance(feature, dict) and feature.get("_type") == "Value":
        return feature.get("dtype") == "string"
    inner = feature.get("feature") if isinstance(feature, dict) else feature[0] if isinstance(feature, list) else None
    return isinstance(inner, dict) and "content" in inner


def _characters(column: pa.Array) -> dict[int, int]:
    """Characters a row → rows that have so many."""
    if pa.types.is_list(column.type):
        words = pc.utf8_length(pc.struct_field(column.flatten(), "content")).fill_null(0)
        lengths = np.bincount(pc.list_parent_indices(column), weights=words, minlength=len(column)).astype(np.int64)
    else:
        lengths = pc.utf8_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    return dict(zip(*(part.tolist() for part in np.unique(lengths, return_counts=True))))


def _spread(counts: Counter[int]) -> tuple[int, int, int]:
    rising = sorted(counts)
    upto = np.cumsum([counts[length] for length in rising])
    middle, most = (rising[int(np.searchsorted(upto, share * upto[-1]))] for share in (0.5, 0.95))
    return middle, most, rising[-1]


def _steps(params: Params, graph: Mapping[str, Locked]) -> list[Step]:
    """What the datasets came out of; a release is named by its dataset."""
    known = {stage.title: stage for stage in stages_of(params)}
    needed = {title for name in params.datasets for title in ancestors(graph, f"release@{name}")} - {"inputs"}
    steps = []
    for title in ordered(graph):
        if title not in needed or title.startswith("release@"):
            continue
        stage = known[title]
        rows = {name: count_rows(TABLES / f"{name}.parquet") for name in stage.tables if (TABLES / f"{name}.parquet").exists()}
        rejects = REJECTS / f"{stage.rejects}.parquet"
        rejected = count_rows(rejects) if stage.rejects and rejects.exists() else None
        reads = dict.fromkeys(maker.removeprefix("release@") for maker, _ in graph[title].made_by if maker != "inputs")
        steps.append(Step(title, tuple(reads), rows, rejected))
    return steps


class Writers:
    """Which models wrote the rows of which table, read once a table."""

    def __init__(self, params: Params, graph: Mapping[str, Locked]) -> None:
        self.graph = graph
        self.stages = {stage.title: stage for stage in stages_of(params)}
        self._known: dict[str, set[str]] = {}

    def behind(self, title: str) -> list[str]:
        tables = [name for stage in ancestors(self.graph, title, through_models=False) for name in self.stages[stage].tables]
        return sorted(set().union(*(self._of(name) for name in tables)))

    def _of(self, name: str) -> set[str]:
        path = TABLES / f"{name}.parquet"
        if name not in self._known:
            there = path.exists() and "model" in pq.read_schema(path).names
            self._known[name] = {name for name in self._names(path) if "@" in name} if there else set()  # gold solutions have none
        return self._known[name]

    @staticmethod
    def _names(path: Path) -> list[str]:
        with pq.ParquetFile(path) as file:
            return sorted({name for batch in file.iter_batches(columns=["model"]) for name in pc.unique(batch.column("model")).to_pylist()})


def _models(configs: Sequence[Config], params: Params, graph: Mapping[str, Locked]) -> list[ModelUse]:
    found = []
    for whole in sorted({name for config in configs for name in config.models}):
        name, _, revision = whole.partition("@")
        maker = next((title for title, stage in graph.items() if f"{MODELS}/{name}" in stage.outs), "")
        roles = {role.engine for role in params.roles.values() if role.model.rsplit("/", 1)[-1].startswith(name)}
        origin = f"trained by `{maker}`" if maker else f"asked through {', '.join(sorted(roles)) or 'recorded answers'}"
        if adopted := str(params.adoption.get(name, "")):
            origin = f"adopted from {adopted if on_hub(adopted) else adopted.rsplit('/', 1)[-1]}"
        found.append(ModelUse(name, revision, origin, tuple(config.name for config in configs if whole in config.models)))
    return found


def _origins(params: Params) -> list[Origin]:
    table = read_table(TABLES / "problems.parquet", ["source", "split"])
    counts = Counter(zip(table.column("source").to_pylist(), table.column("split").to_pylist()))
    origins = []
    for source in params.problems.sources:
        kept = {split: counts[source.name, split] for split in ("train", "dev", "heldout", "unseen") if counts[source.name, split]}
        path = "" if source.path is None else source.path if source.kind == "hub" else source.path.rsplit("/", 1)[-1]
        origins.append(Origin(source.name, source.kind, path, source.revision or "", source.kind == "world", kept))
    if missing := sorted({name for name, _ in counts} - {source.name for source in params.problems.sources}):
        raise GateError(f"data/tables/problems.parquet has problems of {missing[0]}, which params.yaml does not name; `dvc repro problems`")
    return origins


def _removed() -> dict[str, int]:
    path = REJECTS / "problems.parquet"
    reasons = read_table(path, ["reason"]).column("reason").to_pylist() if path.exists() else []
    return dict(Counter(str(reason).split(":")[0] for reason in reasons).most_common())
