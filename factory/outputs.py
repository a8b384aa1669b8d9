"""Where a command writes, looked at before it works: a name that can never be written costs a line then, and no hour of work.

folder_for(Path("exports/pairs"), mark="export.json", what="export")   → the folder, without links and `..`
file_for(Path("trace.json"), "--json")                   → the same path
room_for(Path("/home/me/file/page.html"), "--out file")  → DataError: --out file cannot be written: /home/me/file is no folder
"""

import os
from pathlib import Path

from factory.errors import DataError
from factory.whole import restored


def folder_for(path: Path, mark: str, what: str, flag: str = "--out") -> Path:
    """The folder that `path` means, without links and `..`: while a folder is replaced, `folder/..` leads nowhere. Only an earlier one,
    with `mark` in it, or an empty one is replaced. Raises DataError for another, and for what is below a file."""
    found, said = restored(Path(os.path.realpath(path))), f"{flag} {path}"
    room_for(found, said)
    if found.exists() and not ((found / mark).is_file() or (found.is_dir() and not any(found.iterdir()))):
        raise DataError(f"{said} exists and is no {what}: name another folder")
    return found


def file_for(path: Path, flag: str = "--out") -> Path:
    """`path`. Raises DataError for a folder, for a device, and for what is below a file."""
    said = f"{flag} {path}"
    room_for(Path(os.path.abspath(path)), said)
    if path.exists() and not path.is_file():
        raise DataError(f"{said} is {'a folder' if path.is_dir() else 'no plain file'}: name a file")
    return path


def room_for(path: Path, said: str) -> None:
    """Raises DataError where the nearest thing above `path` is no folder, or none that this user may write in."""
    above = next((parent for parent in path.parents if os.path.lexists(parent)), path)
    if not above.is_dir():
        raise DataError(f"{said} cannot be written: {above} is no folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise DataError(f"{said} cannot be written: this user may write nothing in {above}")
