"""Names and paths that people write in `params.yaml`: what they may look like, and which known one a wrong one meant.

>>> meant("famliy", ["problem", "family"])
', did you mean family?'
>>> model_of_line("./data/models/base"), model_of_line("org/name@4f1c2ab")
('base', None)
"""

import difflib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import StringConstraints

from factory.errors import ParamsError

if TYPE_CHECKING:
    from factory.params import Params

ALLOWED = "1 to 40 lower-case letters, digits and hyphens, beginning with a letter"
ALLOWED_FREE = "1 to 80 letters, digits, dots, hyphens and underscores, beginning with a letter or digit"

Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]  # of rounds, policies, distillations: part of file names
FREE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"
FreeName = Annotated[str, StringConstraints(pattern=FREE)]  # of sources, of the release

COMMIT = re.compile(r"[0-9a-f]{7,40}")
_PART = r"[\w-][\w.-]*"
_ON_HUB = re.compile(
    rf"(?P<repository>{_PART}/(?!{_PART}\.(?i:gguf)(?:@|$)){_PART})(?:/(?P<file>(?:{_PART}/)*{_PART}\.(?i:gguf)))?(?:@(?P<revision>[\w.-]+))?"
)

_MODELS = Path("data/models")


def meant(name: str, known: Iterable[str]) -> str:
    """ ", did you mean …?" behind a message about an unknown name; "" when no known one is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {near[0]}?" if near else ""


def first_policy(params: "Params") -> str:
    """Demonstrations are made from the base's rollouts; a line with one policy of another name has only that."""
    names = list(params.policies)
    if "base" not in names and len(names) != 1:
        raise ParamsError(f"policies are {', '.join(names) or 'empty'}: demonstrations need `base`, or exactly one policy")
    return "base" if "base" in names else names[0]


def model_of_line(model: str) -> str | None:
    """The name below data/models that a path means, None for a path that lies elsewhere, a Hub id or a server's model."""
    path = Path(os.path.normpath(model))
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return path.relative_to(_MODELS).as_posix() if path.is_relative_to(_MODELS) and path != _MODELS else None


@dataclass(frozen=True)
class OnHub:
    """A model on the Hub; `file`: the GGUF file that is meant, `revision`: None where it is not written."""

    repository: str
    file: str | None
    revision: str | None


def on_hub(model: str) -> OnHub | None:
    """What a name means on the Hub, None where a folder or file of this name is here, or the name is none of the Hub's.

    >>> on_hub("org/name/q4.gguf@4f1c2ab"), on_hub("models/q4.gguf")
    (OnHub(repository='org/name', file='q4.gguf', revision='4f1c2ab'), None)
    """
    found = None if Path(model).exists() else _ON_HUB.fullmatch(model)
    return OnHub(**found.groupdict()) if found else None


def is_gguf(model: str) -> bool:
    return model.lower().endswith(".gguf") and not Path(model).is_dir()


def path_fault(path: str) -> str | None:
    """What is wrong with a path as it is written, None when nothing is."""
    if not path.strip() or not path.isprintable():
        return "a path of printable characters is expected"
    if path.startswith("~"):
        return "~ is another folder for everybody, write the path out"
    return None
