"""Profiles: whole, commented params files under pipelines/profiles. `use` puts one over `params.yaml`, unless edits would be lost.

use("satori-7b", force=False)   → the unified difference between the old params.yaml and the new one
"""

import difflib
import subprocess
from pathlib import Path

from factory.errors import ParamsError
from factory.params import load
from factory.whole import whole_file

FOLDER = Path("pipelines/profiles")
PARAMS = Path("params.yaml")


def names() -> list[str]:
    """Raises ParamsError outside a project."""
    if not FOLDER.is_dir():
        raise ParamsError(f"{FOLDER} is missing here ({Path.cwd()}): run inside the project")
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def file_of(name: str) -> Path:
    if name not in names():
        raise ParamsError(f"no profile {name!r}: expected one of {', '.join(names())}")
    return FOLDER / f"{name}.yaml"


def current() -> str | None:
    """The profile that params.yaml is, byte for byte; None for an edited one."""
    if not PARAMS.exists():
        return None
    return next((name for name in names() if file_of(name).read_bytes() == PARAMS.read_bytes()), None)


def difference(name: str) -> str:
    """Unified diff from params.yaml to the profile, "" when they are the same."""
    old = _text(PARAMS).splitlines(keepends=True) if PARAMS.exists() else []
    new = _text(file_of(name)).splitlines(keepends=True)
    return "".join(difflib.unified_diff(old, new, str(PARAMS), str(file_of(name)), n=1))


def _text(path: Path) -> str:
    """For people to read: what is not UTF-8 is shown as a mark, `load` refuses it."""
    return path.read_text(encoding="utf-8", errors="replace")


def uncommitted() -> bool:
    """True when params.yaml holds what neither the last commit nor any profile does."""
    if not PARAMS.exists() or current() is not None:
        return False
    try:
        answer = subprocess.run(["git", "status", "--porcelain", "--", str(PARAMS)], capture_output=True, encoding="utf-8", check=False)
    except FileNotFoundError:
        return True  # without git nothing remembers an edit
    return answer.returncode != 0 or bool(answer.stdout.strip())


def use(name: str, *, force: bool) -> str:
    """Put a profile over params.yaml; returns the difference. Raises ParamsError for a bad profile, or edits that would be lost."""
    source = file_of(name)
    load(source)
    if uncommitted() and not force:
        raise ParamsError(f"{PARAMS} has edits that no commit and no profile holds: commit them, or repeat with --force to lose them")
    changed = difference(name)
    with whole_file(PARAMS) as temporary:
        temporary.write_bytes(source.read_bytes())
    return changed
