"""What differs between the origins of two rows.

compared = compare(trace(line, "0006f482"), trace(line, "0002e2b5"))
compared.facts       → [Difference("models", "format_tuned@941f…", "base@e82d…"), …]
compared.texts       → {"completion": ("-Make 28.", "+Make 16.", …), "prompt laptop/solve": (…)}
"""

import difflib
import json
from dataclasses import dataclass
from typing import Any

from factory.lineage.asked import Asked
from factory.lineage.trace import Trace
from factory.words import amount

SHORT = 60  # characters: a longer text is compared line by line
LINES = 40  # of one text's differences
_OWN = ("id", "request_ids", "request_id", "parents", "seed")  # of every row its own


@dataclass(frozen=True)
class Difference:
    """`first` and `second` as text, "–" where that side has none."""

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class Compared:
    """`facts`: problem, models, prompts …; `row`: short columns; `texts`: long ones, as lines that begin with -, + or a space; `params` of
    all stages behind the rows; `requests`: fields of the requests, paired in order. Only what differs stands here."""

    first: str
    second: str
    facts: tuple[Difference, ...]
    row: tuple[Difference, ...]
    texts: dict[str, tuple[str, ...]]
    params: tuple[Difference, ...]
    requests: tuple[Difference, ...]

    @property
    def same(self) -> bool:
        return not (self.facts or self.row or self.texts or self.params or self.requests)


def compare(first: Trace, second: Trace) -> Compared:
    rows = [trace.origin.row if trace.origin else {} for trace in (first, second)]
    texts, short = _columns(*rows)
    for one in first.prompts:
        question = one.version.partition("@")[0]
        for other in second.prompts:
            if other.version.partition("@")[0] == question and one.words and other.words and one.words != other.words:
                texts[f"prompt {question}"] = _lines(one.words, other.words)
    return Compared(
        _title(first), _title(second), _different(_facts(first), _facts(second)), short, texts,
        _different(_params(first), _params(second)), _requests(_all(first), _all(second)),
    )  # fmt: skip


def _title(trace: Trace) -> str:
    if trace.origin:
        return f"{trace.origin.place}/{trace.origin.id}"
    return f"request {trace.request.key}" if trace.request else ""


def _written(value: Any) -> str:
    if value is None or value in ("", [], {}, ()):
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _different(first: dict[str, Any], second: dict[str, Any]) -> tuple[Difference, ...]:
    pairs = ((name, _written(first.get(name)), _written(second.get(name))) for name in dict.fromkeys([*first, *second]))
    return tuple(Difference(*pair) for pair in pairs if pair[1] != pair[2])


def _columns(first: dict[str, Any], second: dict[str, Any]) -> tuple[dict[str, tuple[str, ...]], tuple[Difference, ...]]:
    texts: dict[str, tuple[str, ...]] = {}
    differences: list[Difference] = []
    for name in dict.fromkeys([*first, *second]):
        if name in _OWN or first.get(name) == second.get(name):
            continue
        one, other = _text(first.get(name)), _text(second.get(name))
        if max(len(one), len(other)) > SHORT or "\n" in one + other:
            texts[name] = _lines(one, other)
        else:
            differences.append(Difference(name, one, other))
    return texts, tuple(differences)


def _text(value: Any) -> str:
    """A conversation turn by turn, a list line by line."""
    if isinstance(value, list):
        items = [f"[{item['role']}] {item['content']}" if isinstance(item, dict) and "role" in item else _written(item) for item in value]
        return "\n".join(items) or "–"
    return _written(value)


def _lines(first: str, second: str) -> tuple[str, ...]:
    found = list(difflib.unified_diff(first.splitlines(), second.splitlines(), lineterm="", n=1))[2:]
    return (*found[:LINES], *([f"… {amount(len(found) - LINES, 'more line')}"] if len(found) > LINES else []))


def _all(trace: Trace) -> list[Asked]:
    """The requests of the row itself, else of what it was made of."""
    nodes = [node for node in trace.origin.walk() if not node.again] if trace.origin else []
    found = [request for node in nodes for request in node.requests if request.found]
    return found or ([trace.request] if trace.request and trace.request.found else [])


def _facts(trace: Trace) -> dict[str, Any]:
    requests, source = _all(trace), trace.source
    costs = [request.dollars for request in requests if request.dollars is not None]
    return {
        "table": trace.origin.place if trace.origin else "", "stage": trace.origin.stage if trace.origin else "",
        "problem": source.problem if source else "", "source": source.source if source else "",
        "licence": source.licence if source else "", "models": ", ".join(model.model for model in trace.models),
        "prompts": ", ".join(prompt.version for prompt in trace.prompts), "stages": ", ".join(stage.stage for stage in trace.stages),
        "requests": len(requests), "tokens read": sum(request.prompt_tokens for request in requests),
        "tokens written": sum(request.completion_tokens for request in requests), "dollars": sum(costs) if costs else None,
        "datasets": ", ".join(dataset.name for dataset in trace.datasets), "dvc.lock": trace.lock_md5,
    }  # fmt: skip


def _params(trace: Trace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for stage in trace.stages:
        found |= stage.params
    return found


def _requests(first: list[Asked], second: list[Asked]) -> tuple[Difference, ...]:
    """Pairs in order: the sampling of the first ten, and whether one side has more."""
    found: list[Difference] = []
    for number, (one, other) in enumerate(zip(first[:10], second[:10], strict=False), 1):
        sides = [{"model": item.model, "stage": item.stage, **(item.sampling or {})} for item in (one, other)]
        found += [Difference(f"request {number} {item.name}", item.first, item.second) for item in _different(*sides)]
    return tuple(found)
