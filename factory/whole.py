"""Files and folders that appear whole or not at all: under another name until they are, then renamed.

    with whole_file(Path("data/logs/base.csv")) as temporary: …
    with whole_folder(Path("exports/pairs")) as temporary: …

A folder that is replaced stands aside between two renames, and is deleted when the new one has its name. After a kill in that moment
whoever writes there or looks for it next (`restored`) has the old one under its name again: at no time is neither of them there.
"""

import contextlib
import errno
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def _aside(path: Path) -> Path:
    """Where the folder of this name stands while another takes its place."""
    return path.with_name(f".{path.name}.aside.part")


def restored(path: Path) -> Path:
    """`path` itself; a folder that a killed run had set aside and not replaced has this name again."""
    if not os.path.lexists(path) and os.path.isdir(_aside(path)):
        with contextlib.suppress(OSError):  # another process was faster
            _aside(path).rename(path)
    return path


def _make_room(path: Path) -> None:
    """The folder of `path`, without what a killed run left half-written under this name (a stage's lock keeps other writers out)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in restored(path).parent.glob(f".{glob.escape(path.name)}.*.part"):
        if left.name.count(".") == path.name.count(".") + 3:  # else it is of a longer name
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` only when the block succeeds (fsync, rename)."""
    _make_room(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that replaces `path` only when the block succeeds."""
    _make_room(path)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
        temporary.chmod(0o755)
        _take(path, temporary)
    finally:
        restored(path)
        shutil.rmtree(temporary, ignore_errors=True)


def _take(path: Path, temporary: Path) -> None:
    """`temporary` takes the name, and the folder that had it the temporary one. It is set aside between, again where a reader has just put
    it back (`restored`)."""
    while True:
        try:
            temporary.rename(path)
            break
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        path.rename(_aside(path))
    with contextlib.suppress(FileNotFoundError):
        _aside(path).rename(temporary)


def storable(text: str) -> str:
    """Half a surrogate pair becomes its escape, which in JSON is the same text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write_json(path: Path, document: object) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(storable(json.dumps(document, indent=2, sort_keys=False, ensure_ascii=False)) + "\n", encoding="utf-8")
