"""Tokens and cost of a stage by role, from the log that it writes.

role,model,requests,failed,prompt_tokens,completion_tokens,dollars
critic,Qwen/Qwen2.5-7B-Instruct@a09a3545,2678,9,612040,41200,0.71
generator,base@3fa9…,1502,0,151200,60300,                              ← no price: the model runs here

costs(read_usage(path), accepted=1457)   → [Cost(role="critic", …, tokens_per_row=448.3, dollars_per_row=0.00049), …]
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.errors import DataError

COLUMNS = ("role", "model", "requests", "failed", "prompt_tokens", "completion_tokens", "dollars")


@dataclass(frozen=True)
class Usage:
    role: str
    model: str
    requests: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float | None


@dataclass(frozen=True)
class Cost(Usage):
    """Per accepted row: what rejected ones took is in it."""

    tokens_per_row: float
    dollars_per_row: float | None


def read_usage(path: Path) -> list[Usage]:
    """Raises DataError with the line of a wrong header or a cell that is no number."""
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            there = ", ".join(reader.fieldnames or ())
            raise DataError(f"{path}:1: its columns are {there}, expected {', '.join(COLUMNS)}: run the stage again")
        found = []
        for line, row in enumerate(reader, start=2):
            try:
                requests, failed, given, made = (int(row[name]) for name in COLUMNS[2:6])
                dollars = float(row["dollars"]) if row["dollars"] else None
            except (TypeError, ValueError):
                raise DataError(f"{path}:{line}: a count or price is no number: run the stage again") from None
            found.append(Usage(row["role"], row["model"], requests, failed, given, made, dollars))
        return found


def costs(usage: Sequence[Usage], accepted: int) -> list[Cost]:
    """By role, for `accepted` > 0 rows."""
    return [
        Cost(
            **vars(row), tokens_per_row=(row.prompt_tokens + row.completion_tokens) / accepted,
            dollars_per_row=None if row.dollars is None else row.dollars / accepted,
        )
        for row in sorted(usage, key=lambda row: (row.role, row.model))
    ]  # fmt: skip
