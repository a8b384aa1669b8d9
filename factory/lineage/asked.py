"""The requests that made a row, from the request store: what was asked of which model, how it sampled, what it read and wrote.

asked(["7d13…"], run)   → [Asked("7d13…", "rollouts_r1", "format_tuned@941f…", {"temperature": 0.8, …}, 39, 149, None, …)]
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.engines.ledger import Chosen, Entry, Ledger
from factory.engines.store import default_path
from factory.lineage.run import Run
from factory.lock import hidden

MOST = 200  # requests of one row that are looked up; a template may have thousands
_SAMPLING = ("temperature", "top_p", "max_tokens", "stop", "logprobs", "seed", "ordinal", "schema", "ignore_eos")


@dataclass(frozen=True)
class Asked:
    """`found`: whether the store has it; the rest is empty otherwise. `dollars`: where the run's roles have a price for the model."""

    key: str
    found: bool
    stage: str = ""
    model: str = ""
    family: str = ""
    sampling: dict[str, Any] | None = None
    prompt: str = ""
    answer: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float | None = None


def asked(keys: Sequence[str], run: Run, path: Path | None = None) -> list[Asked]:
    """In the order of the keys, at most MOST; those that no store here has are there with `found` False."""
    where, wanted = path or default_path(), list(dict.fromkeys(keys))[:MOST]
    if not wanted or not where.exists():
        return [Asked(key, False) for key in wanted]
    with closing(Ledger.reader(where)) as store:
        return [next((_read(entry, run) for entry in store.entries(Chosen(key), 1)), Asked(key, False)) for key in wanted]


def begin_so(prefix: str, most: int, path: Path | None = None) -> list[str]:
    """Keys of the store that begin so."""
    where = path or default_path()
    if not where.exists() or not prefix or set(prefix) - set("0123456789abcdef"):
        return []
    with closing(Ledger.reader(where)) as store:
        return [entry.key for entry in store.entries(Chosen(prefix), most)]


def _read(entry: Entry, run: Run) -> Asked:
    request, price = entry.request, run.price(entry.model)
    cost = (entry.prompt_tokens * price[0] + entry.completion_tokens * price[1]) / 1e6 if price else None
    sampling = {
        name: request[name]
        for name in _SAMPLING
        if request.get(name) is not None and request[name] not in ([], "") and request[name] is not False
    }
    prompt = request.get("prompt", "")
    text = "\n".join(f"[{role}] {content}" for role, content in prompt) if prompt and isinstance(prompt[0], list) else str(prompt)
    return Asked(
        entry.key, True, entry.stage, entry.model, str(request.get("family", "")), sampling, hidden(text),
        hidden(str(entry.answer.get("text", entry.answer.get("score", "")))), entry.prompt_tokens, entry.completion_tokens, cost,
    )  # fmt: skip
