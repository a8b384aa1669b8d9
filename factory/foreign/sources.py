"""Where somebody else's data lies: a file, a folder of shards, or a dataset on the Hub at a revision.

with opened("org/name", revision="4f1c2ab") as found:
    found.name, found.kind, list(found.records())      → "org/name@4f1c2ab", "", [Record({…}, line=1), …]
"""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.errors import DataError
from factory.files import row_reader
from factory.files.batches import Record
from factory.tables import TABLES

_ON_HUB = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_CONFIGURATION = ("Config name is missing", "BuilderConfig")  # how `datasets` begins to say that there are several


@dataclass(frozen=True)
class Opened:
    """`kind`: what the data says of itself, "" where it says nothing."""

    name: str
    kind: str
    records: Callable[[], Iterator[Record]]


@contextlib.contextmanager
def opened(name: str, revision: str | None = None, config: str | None = None, split: str | None = None) -> Iterator[Opened]:
    """`revision`, `config` and `split` are of the Hub. Raises DataError where there is nothing of this name, or it cannot be read."""
    path = Path(name)
    if not name.strip():
        raise DataError("the name of the data is empty: expected a file, a folder, a dataset of this line or a Hub id (org/name)")
    if path.is_file():
        yield Opened(name, "", lambda: _of_files([path]))
    elif path.is_dir():
        files = sorted(path.glob("data/*.parquet")) or sorted(item for item in path.iterdir() if item.suffix in (".parquet", ".jsonl"))
        if not files:
            raise DataError(f"{name} holds no Parquet shard (data/*.parquet) and no .jsonl: name a file in it")
        yield Opened(name, _manifest_kind(path / "manifest.json"), lambda: _of_files(files))
    elif _ON_HUB.fullmatch(name):
        yield _of_hub(name, revision, config, split)
    else:
        raise DataError(f"{name} is no file, no folder, no dataset of this line and no Hub id (org/name): correct its name")


def _of_files(files: list[Path]) -> Iterator[Record]:
    for file in files:
        for batch in row_reader(file, kind="json", strict=True).batches():
            yield from batch.records


def _manifest_kind(path: Path) -> str:
    """Of a dataset that this factory released."""
    try:
        table = json.loads(path.read_text(encoding="utf-8")).get("table", "")
    except (OSError, ValueError, AttributeError):
        return ""
    return table if table in TABLES else ""


def _of_hub(name: str, revision: str | None, config: str | None, split: str | None) -> Opened:
    import datasets
    import httpx
    import huggingface_hub
    import pyarrow as pa
    import yaml
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HfHubHTTPError

    try:
        datasets.disable_progress_bars()
        huggingface_hub.utils.logging.set_verbosity_error()  # each of its retries is a line otherwise
        found: Any = datasets.load_dataset(name, config, revision=revision, split=split)
    except (OSError, ValueError, RuntimeError, TypeError, StopIteration, pa.ArrowException, yaml.YAMLError, DatasetsError, HfHubHTTPError,
            httpx.HTTPError) as error:  # fmt: skip
        if str(error).startswith(_CONFIGURATION):
            names = ", ".join(re.findall("'([^']+)'", str(error).split("vailable", 1)[-1].split("]", 1)[0]))
            raise DataError(f"{name} has several configurations: name one of {names} with --config") from None
        said = " ".join(str(error.__cause__ if "generating" in str(error) and error.__cause__ else error).split())[:200]
        if isinstance(error, ConnectionError):
            where = f"HF_ENDPOINT, {endpoint}," if (endpoint := os.environ.get("HF_ENDPOINT")) else "huggingface.co"
            raise DataError(
                f"{name} is no file or folder here, and {where} cannot be reached ({said}): correct the name, or try later"
            ) from None
        raise DataError(f"{name} cannot be loaded from the Hub ({said}): is the name right, and can this account read it?") from None
    if isinstance(found, datasets.DatasetDict):
        if len(found) > 1:
            raise DataError(f"{name} has the splits {', '.join(found)}: name one with --split")
        found = next(iter(found.values()))
    at = f"@{revision}" if revision else ""
    part = "".join(f", {value}" for value in (config, split) if value)
    kind = config.rsplit("_", 1)[0] if config and config not in TABLES else config or ""

    def records() -> Iterator[Record]:
        yield from (Record(dict(values), line=number) for number, values in enumerate(found, start=1))

    return Opened(f"{name}{at}{part}", kind if kind in TABLES else "", records)
