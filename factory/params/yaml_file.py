"""Read a YAML file as DVC reads it (YAML 1.2: `1e-3` is a number), strictly: one line says what is wrong, and in which line.

read_yaml(Path("params.yaml"))   → {"seed": 1, …}, or ParamsError("params.yaml:12: the key lr stands twice")
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from factory.errors import ParamsError

LARGEST = 100_000  # keys and items of lists, each as often as an alias repeats it


def read_yaml(path: Path) -> Any:
    """Raises ParamsError for a file that is not one YAML document in UTF-8 with text as keys, FileNotFoundError for a missing one."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path} is not UTF-8 (byte {error.start} is 0x{error.object[error.start]:02x}): save it as UTF-8") from None
    try:
        document = YAML(typ="safe", pure=True).load(text)
        keys = list(islice(_keys(document), LARGEST + 1))
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ParamsError(f"{path}:{line}: {_twice(error)}: keep one of the two") from None
    except MarkedYAMLError as error:
        mark, problem = error.problem_mark or error.context_mark, error.problem or error.context
        raise ParamsError(f"{path}:{mark.line + 1 if mark else 1}: not YAML: {problem}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise ParamsError(f"{path} is not YAML: {str(error).splitlines()[0]}") from None
    if len(keys) > LARGEST:  # aliases of aliases: a file of ten lines says 10^9 things
        raise ParamsError(f"{path} says more than {LARGEST:,} things: are there aliases (*name) of aliases in it? Write them out")
    for where, key in keys:
        if not isinstance(key, str):
            below = f" below {where}" if where else ""
            raise ParamsError(f"{path}: the key {_as_written(key)}{below} is no text: a name begins with a letter")
    return document


def _twice(error: DuplicateKeyError) -> str:
    """`found duplicate key "x" with value …` → `the key x stands twice`."""
    quoted = str(error.problem).split('"')
    return f"the key {quoted[1]} stands twice" if len(quoted) > 2 else "a key stands twice"


def _keys(document: object, where: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield where, key
            yield from _keys(value, f"{where}.{key}" if where else str(key))
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield where, ""
            yield from _keys(value, f"{where}.{number}")


def _as_written(key: object) -> str:
    return {True: "true", False: "false", None: "null"}.get(key, str(key)) if isinstance(key, bool | None) else str(key)
