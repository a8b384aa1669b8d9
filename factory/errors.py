"""The errors that a user can cause and mend. Every message says the value, what was expected, and the remedy.

`pipelines.stage` and `factory.cli` are the boundary: they print the message in one or two lines and exit with 1.
"""


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
