"""Rows of a dataset on the Hub, or of a folder that `datasets` reads by the same call.

{name: gsm8k, kind: hub, path: openai/gsm8k, hub_config: main, revision: e53f048, …}
"""

import re
from collections.abc import Iterator

import pyarrow as pa
import yaml

from factory.errors import DataError
from factory.params import Source
from factory.problems.records import Raw, mapped_columns

_CONFIGURATION = ("Config name is missing", "BuilderConfig")  # how `datasets` begins to say that there are several


def hub_rows(source: Source, path: str) -> tuple[list[str], Iterator[Raw]]:
    """(the dataset's columns, its rows with the mapped ones of them). Raises DataError in one line for whatever `datasets` cannot load."""
    key = f"problems.sources.{source.name}"
    if source.revision is None:
        raise DataError(f"{key} has no revision: name a commit of {path}, so that tomorrow's rows are today's")
    import datasets
    from datasets.exceptions import DatasetsError

    name = f"{path}@{source.revision}"
    try:
        rows = datasets.load_dataset(path, source.hub_config, revision=source.revision, split=source.hub_split)
    except (OSError, ValueError, RuntimeError, TypeError, StopIteration, pa.ArrowException, yaml.YAMLError, DatasetsError) as error:
        if str(error).startswith(_CONFIGURATION):
            names = ", ".join(re.findall("'([^']+)'", str(error).split("vailable", 1)[-1].split("]", 1)[0]))
            asked = f"has no configuration {source.hub_config!r}" if source.hub_config else "has several configurations"
            raise DataError(f"{name} {asked}: name one of {names} in {key}.hub_config") from None
        raise DataError(f"{name} cannot be loaded: {_reason(error)} ({key})") from None
    columns = list(rows.column_names)
    wanted = [column for column in columns if column in mapped_columns(source).values()]  # no image is decoded
    return columns, _raw(rows.select_columns(wanted), name) if wanted else iter(())


def _raw(rows: object, name: str) -> Iterator[Raw]:
    for number, record in enumerate(rows, start=1):  # type: ignore[var-annotated, arg-type]
        yield Raw(f"{name}:{number}", record)


def _reason(error: Exception) -> str:
    """One line; of `An error occurred while generating the dataset` its cause."""
    cause = error.__cause__ if error.__cause__ is not None and "generating" in str(error) else error
    said = " ".join(str(cause).split())[:300] or "it has no rows"
    return f"its files do not hold the same columns and types, or are damaged: {said}" if cause is not error else said
