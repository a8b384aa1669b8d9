"""Which datasets may be handed on: released, audited, for training, whole, and what the line would make today, as for publishing.

ready("restarts_r1")   → Released("restarts_r1", table="restarts_r1", shards=(…,), rows=1100, …), or GateError in one line
"""

from factory.errors import DataError, ParamsError
from factory.gate.background import kind_of
from factory.lock import LOCK, read_lock
from factory.publish.checks import Released, current, passed, whole
from factory.status import stale
from factory.storage import DATASETS


def ready(name: str) -> Released:
    """Raises DataError for a name that no dataset has, GateError for one that may not be handed on and why."""
    found = readable(name)
    unchanged(found)
    return found


def readable(name: str) -> Released:
    """What lies here, but for whether it is stale, which takes DVC seconds to say."""
    try:
        kind_of(name)
    except ParamsError:
        there = ", ".join(sorted(path.name for path in DATASETS.glob("*") if path.is_dir())) or f"none in {DATASETS.absolute()}"
        raise DataError(f"no dataset {name!r}: there is {there}") from None
    found = passed(name)
    whole(found)
    return found


def unchanged(dataset: Released) -> None:
    """Raises GateError for a dataset that the line would make anew. Where there is no dvc.lock nothing says what is stale."""
    if LOCK.exists():
        current(dataset.name, read_lock(), stale())
