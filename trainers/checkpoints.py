"""Checkpoints of a running trainer: whole or none, the last few kept, outside of DVC's outs, gone when the model is saved.

    checkpoints = Checkpoints.of(Path(".factory/training/policy_r1"), machine, settings, lengths, …)
    if (folder := checkpoints.latest()) is not None: …      # go on from there
    if checkpoints.due():
        with checkpoints.writing(step) as folder: save(folder)

A folder counts when it holds `whole`, which is written last, goes first and says what was trained on what: other params, rows, start
weights, code or libraries make another text, and a folder with another text is deleted, never gone on from. Another number of processes
makes none: they go on, no longer to the same bits. Several processes write one folder, which is whole when all have written; what one of
them cannot write none has. Files are PyTorch's, read with `weights_only`.
"""

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from inspect import getsourcefile
from pathlib import Path

from safetensors import SafetensorError

from factory.errors import FactoryError, explained
from factory.identity import digest
from trainers import machine
from trainers.machine import Machine

WHOLE = "whole"
PACKAGES = ("trainers", "factory", "pipelines")
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate")
EDGE = 1 << 20  # bytes at both ends of a file of weights that stand for it: training changes all of them


@dataclass
class Checkpoints:
    root: Path
    text: str  # what is trained, on what
    minutes: float
    kept: int
    saved: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, root: Path, settings: Machine, *parts: object, rows: Iterable[object] = ()) -> "Checkpoints":
        """`parts` and `rows`: everything that the result depends on but code, libraries and the machine, as texts, numbers, dataclasses'
        `repr`s. Rows may be millions: they are read one by one."""
        used = (settings.device.type, settings.precision, settings.recompute, settings.tokens_a_pass)
        content = hashlib.sha256()
        for row in rows:
            content.update(repr(row).encode(errors="surrogatepass"))
        text = digest(_code(), [version(name) for name in LIBRARIES], used, [repr(part) for part in parts], content.hexdigest())
        return cls(root, text, settings.save_minutes, settings.keep)

    def folder(self, step: int) -> Path:
        return self.root / f"checkpoint-{step}"

    def due(self) -> bool:
        """Whether the last checkpoint (or the start) is `minutes` ago; the same answer in every process."""
        return machine.agreed(time.monotonic() - self.saved >= 60 * self.minutes)

    @contextmanager
    def writing(self, step: int) -> Iterator[Path]:
        """The block writes a checkpoint into the folder; then it is whole, and older ones beyond `kept` go. Raises FactoryError in all
        processes when one cannot write: the checkpoints before it stay. Processes do not meet inside the block."""
        folder = self.folder(step)
        with _all_or_none(folder):
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
        with _all_or_none(folder):
            if machine.rank() == 0:
                self._declare_whole(folder)
        self.saved = time.monotonic()

    def _declare_whole(self, folder: Path) -> None:
        for path in [*folder.rglob("*"), folder]:
            _sync(path)
        (folder / WHOLE).write_text(self.text)
        for path in (folder / WHOLE, folder, self.root):
            _sync(path)
        for old in self._folders()[self.kept :]:
            _remove(old)

    def latest(self) -> Path | None:
        """The newest whole checkpoint of this very training, the same for all processes; torn and foreign ones are deleted. Raises
        FactoryError where a process does not see what the first one sees."""
        machine.wait()
        if machine.rank() == 0:
            for path in [*self.root.glob("checkpoint-*")]:
                if not self._whole(path):
                    _remove(path)
        found = machine.agreed(next(iter(self._folders()), None))
        if found is not None and not self._whole(found):
            raise FactoryError(f"process {machine.rank()} does not see {found}: the machines that train together need a common folder")
        return found

    def clear(self) -> None:
        if machine.rank() == 0 and self.root.exists():
            for path in self.root.glob("checkpoint-*"):
                _remove(path)
            shutil.rmtree(self.root, ignore_errors=True)

    def _whole(self, folder: Path) -> bool:
        mark = folder / WHOLE
        return mark.exists() and mark.read_text() == self.text

    def _folders(self) -> list[Path]:
        """Whole ones, newest first."""
        found = [path for path in self.root.glob("checkpoint-*") if self._whole(path)]
        return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)


@contextmanager
def _all_or_none(folder: Path) -> Iterator[None]:
    """What one process cannot write ends all in the same line. One that was killed is no such error: the meeting fails for the others."""
    why = ""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:  # PyTorch and safetensors have errors of their own for a full disk
        why = explained(error) if isinstance(error, OSError) else str(error).partition("\n")[0]
    if said := [one for one in machine.gathered([why]) if one]:
        if machine.rank() == 0:
            _remove(folder)
        raise FactoryError(f"{folder} cannot be written ({said[0]}): make room and run the stage again, it goes on from before")


def _remove(folder: Path) -> None:
    """The mark goes first: half of a checkpoint must never count as one."""
    (folder / WHOLE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _code() -> list[tuple[str, str]]:
    """Name and text of the project's own modules, as far as this process has loaded them."""
    names = {getattr(module.__spec__, "name", ""): module for module in [*sys.modules.values()] if hasattr(module, "__spec__")}
    own = {name: getsourcefile(module) for name, module in names.items() if name.partition(".")[0] in PACKAGES}
    return [(name, Path(file).read_text(encoding="utf-8")) for name, file in sorted(own.items()) if file]


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def weights_in(folder: Path) -> str:
    """A text that changes with the weights in a model folder, without reading gigabytes: sizes and both ends of their files."""
    ends = []
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as stream:
            head = stream.read(EDGE)
            stream.seek(max(0, path.stat().st_size - EDGE))
            ends.append((path.name, path.stat().st_size, digest(head.hex(), stream.read(EDGE).hex())))
    return digest(ends)
