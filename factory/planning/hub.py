"""Whether a model or dataset of the Hub is there at its revision, without downloading it.

    hub = Hub()
    hub.look("model", "Qwen/Qwen2.5-0.5B-Instruct", "7ae5576")     → Seen("there", "on https://huggingface.co", parameters=494032768)
    hub.look("model", "org/nothing", "4f1c2ab")                    → Seen("absent", "the Hub has no such model, or it is private and …")

HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE count as everywhere. One that cannot be reached may be in the Hub's cache, which the
engines read: then it is `cached`. A Hub that did not answer once is not waited for again.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from factory.errors import DataError

SECONDS = 8.0  # of one answer
Kind = Literal["model", "dataset"]
WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")


@dataclass(frozen=True)
class Seen:
    """`parameters`: of a model whose page tells them."""

    state: Literal["there", "cached", "absent", "gated", "unreachable"]
    said: str
    parameters: int | None = None

    @property
    def usable(self) -> bool:
        return self.state in ("there", "cached")


class Hub:
    """Remembers what it has been told."""

    def __init__(self) -> None:
        self.endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
        self.seen: dict[tuple[str, str, str], Seen] = {}
        self.down = ""  # why it cannot be reached

    def look(self, kind: Kind, name: str, revision: str) -> Seen:
        key = kind, name, revision
        if key not in self.seen:
            self.seen[key] = self._unreachable(*key) if self.down else self._ask(*key)
        return self.seen[key]

    def _ask(self, kind: Kind, name: str, revision: str) -> Seen:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            HFValidationError,
            HTTPError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        api = HfApi(endpoint=self.endpoint)
        try:
            if kind == "model":
                info = api.model_info(name, revision=revision, timeout=SECONDS)
            else:
                info = api.dataset_info(name, revision=revision, timeout=SECONDS)  # type: ignore[assignment]
            if info.gated:
                api.auth_check(name, repo_type=kind)
        except GatedRepoError:
            return Seen("gated", f"gated: accept its licence on {self.endpoint}/{name} and log in (`hf auth login`, or HF_TOKEN)")
        except RevisionNotFoundError:
            return Seen("absent", f"the Hub has {name}, but no revision {revision} of it")
        except RepositoryNotFoundError:
            return Seen("absent", f"the Hub has no such {kind}, or it is private and needs `hf auth login`")
        except HFValidationError as error:
            return Seen("absent", f"no id of the Hub: {_line(error)}")
        except (HfHubHTTPError, HTTPError, OfflineModeIsEnabled, OSError) as error:
            self.down = "" if isinstance(error, HfHubHTTPError) else _line(error)
            return self._unreachable(kind, name, revision, _line(error))
        sizes = getattr(info, "safetensors", None)
        return Seen("there", f"on {self.endpoint}", getattr(sizes, "total", None))

    def _unreachable(self, kind: Kind, name: str, revision: str, why: str = "") -> Seen:
        if cached(kind, name, revision):
            return Seen("cached", "in the Hub's cache; the Hub itself cannot be reached")
        return Seen("unreachable", f"{self.endpoint} cannot be reached ({why or self.down}), and it is not in the Hub's cache")


def cached(kind: Kind, name: str, revision: str) -> Path | None:
    """Its folder in the Hub's cache, where weights (of a dataset: any file) lie."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"{kind}s--{name.replace('/', '--')}" / "snapshots"
    for snapshot in sorted(folder.glob(f"{revision}*")):
        patterns = WEIGHTS if kind == "model" else ("*",)
        if any(file.is_file() for pattern in patterns for file in snapshot.rglob(pattern)):
            return snapshot
    return None


def fetched(name: str, revision: str, file: str) -> Path:
    """One small file of a model, from the cache or the Hub. Raises DataError where it cannot be had."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError, HTTPError

    if (snapshot := cached("model", name, revision)) and (snapshot / file).exists():
        return snapshot / file
    try:
        return Path(hf_hub_download(name, file, revision=revision, etag_timeout=SECONDS, endpoint=os.environ.get("HF_ENDPOINT") or None))
    except (OSError, ValueError, HTTPError, HFValidationError) as error:
        raise DataError(f"{file} of {name} cannot be had: {_line(error)}") from None


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160].rstrip(".")
