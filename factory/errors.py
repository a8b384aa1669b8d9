"""The errors that a user can cause and fix. Every message says the value, what was expected, and the remedy.

`pipelines.stage` and `factory.cli` are the boundary: they print the message in one or two lines and exit with 1.

    explained(OSError(28, "No space left on device", "data/x"))   → "no space left on device: data/x; free some space and run it again"
"""

import errno

REMEDIES = {
    errno.ENOSPC: "free some space and run it again",
    errno.EDQUOT: "free some of your quota and run it again",
    errno.EACCES: "this user needs the right to read and write it",
    errno.EPERM: "this user needs the right to change it",
    errno.EROFS: "run it where files can be written",
    errno.EMFILE: "allow more open files (`ulimit -n 4096`)",
    errno.EFBIG: "allow larger files (`ulimit -f unlimited`)",
    errno.EIO: "the disk or network folder may be failing",
}


def explained(error: OSError | MemoryError) -> str:
    """One line for an error of the machine: what, where, and a remedy only where the error itself names the cause."""
    if isinstance(error, MemoryError):
        said = f" ({str(error).splitlines()[0]})" if str(error) else ""
        return f"out of memory{said}: use a machine with more, or fewer or shorter rows"
    if error.errno is None or not error.strerror:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    what = error.strerror[0].lower() + error.strerror[1:]
    where = " to ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    parts = [f"{what}: {where}" if where else what, *([REMEDIES[error.errno]] if error.errno in REMEDIES else [])]
    return "; ".join(parts)


class FactoryError(Exception):
    """Root of all errors that are reported without a traceback."""


class ParamsError(FactoryError):
    """A wrong, missing or unreadable key of `params.yaml`."""


class DataError(FactoryError):
    """A missing, malformed or incompatible input: file, column, row, checkpoint."""


class GateError(FactoryError):
    """A dataset broke a critical expectation; nothing may use it."""


class EngineError(FactoryError):
    """A model or server that cannot be loaded, reached or understood."""
