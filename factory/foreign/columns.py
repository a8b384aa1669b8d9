"""Which kind of rows a file holds, and which of its columns means which of ours, by the names that they usually have.

    guess({"question", "answer"}, first)                    → "problems"
    mapped("problems", ["question", "answer"], {})          → {"problem": "question", "answer": "answer"}

Every guess is said beside the audit, and `--as` and `--map` overrule it. Names: TRL's dataset formats, OpenMathInstruct, NuminaMath, GSM8K,
ShareGPT and what evaluation harnesses write.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from factory.coat.grammar import ACTIONS
from factory.errors import DataError
from factory.params.names import meant
from factory.schemas import field_types, nullable
from factory.tables import TABLES

QUESTIONS = ("problem", "question", "query", "instruction", "input")
GOLD = ("answer", "gold", "ground_truth", "expected_answer", "final_answer", "target", "reference_answer")
TURNS = ("messages", "conversations", "conversation")
NAMES = {  # our column → names of others, the likeliest first; `problem`, `gold` and `solution` are those of the row's problem
    "problem": QUESTIONS,
    "prompt": ("prompt", *QUESTIONS),
    "completion": ("completion", "response", "output", "generated_solution", "generated_text", "generation", "model_output", "text"),
    "chosen": ("chosen", "accepted", "chosen_response"),
    "rejected": ("rejected", "rejected_response"),
    "completions": ("completions", "steps"),
    "labels": ("labels", "step_labels"),
    "prefix": ("prefix", "prefill"),
    "answer": GOLD,
    "solution": ("solution", "rationale", "gold_solution", "reference_solution"),
    "verdict": ("verdict", "is_correct", "correct"),
    "model": ("model", "generator", "model_name"),
    "source": ("source", "data_source", "dataset"),
    "source_text": ("text",),
}  # fmt: skip
OF_PROBLEM = ("problem", "answer", "solution")  # of a row's problem: what its texts are graded and compared with
AUDITED = tuple(name for name in TABLES if name not in ("answers", "rejects", "critic_judgements"))
LOOKED_AT = 100  # rows, for a guess


def guess(columns: Collection[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """The kind of rows by their columns; `rows`: the first ones. Raises DataError where nothing fits."""
    there = set(columns)
    ours = {kind: _needed(kind) for kind in AUDITED}
    if whole := [kind for kind, needed in ours.items() if needed <= there]:
        return _told_apart(max(whole, key=lambda kind: len(ours[kind])), rows)

    def has(*names: str) -> bool:
        return all(there.intersection(NAMES.get(name, (name,))) for name in names)

    asked = has("prompt")
    if {"completions", "labels"} <= there and asked:
        return "process_rewards"
    if has("chosen", "rejected"):
        return "orm_pairs"
    if has("prefix") and asked:
        return "restarts"
    if {"plan", "reward"} <= there:
        return "trajectories"
    if "steps" in there and there & {"description", "scope", "example_problem"}:
        return "templates"
    if there.intersection(TURNS) or (asked and has("completion")):
        return _told_apart("rollouts" if has("verdict") else "distillation", rows)
    if has("problem", "answer") or has("problem", "solution"):
        return "problems"
    if "text" in there:
        return "corpus"
    raise DataError(f"its columns ({', '.join(sorted(there))[:200]}) are of no kind that is known: say --as KIND and --map OURS=THEIRS")


def _needed(kind: str) -> set[str]:
    """What makes the kind, lineage aside."""
    lineage = {"id", "model", "request_ids", "prompt_version", "seed", "round", "parents", "problem_id"}
    return {name for name, hint in field_types(TABLES[kind]).items() if not nullable(hint)} - lineage


def _told_apart(kind: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Supervised pairs with meta-actions are demonstrations."""
    if kind in ("distillation", "structure", "plans"):
        texts = [str(value) for row in rows[:LOOKED_AT] for value in row.values()]
        return "demonstrations" if any(token in text for text in texts for token in ACTIONS.values()) else "distillation"
    return kind


def mapped(kind: str, columns: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Our column → theirs: those that `given` says, then those of our name, then by the usual names. Columns of the row's problem are
    looked for too. Raises DataError for a name that is none of theirs or ours."""
    types = field_types(TABLES[kind])
    ours = [*types, *(name for name in OF_PROBLEM if name not in types)]
    found: dict[str, str] = {}
    for name, theirs in given.items():
        if name in ours and theirs in columns:
            found[name] = theirs
            continue
        if name in columns and theirs in ours:
            raise DataError(f"--map {name}={theirs}: the name here stands first, OURS=THEIRS: --map {theirs}={name}")
        if name not in ours:
            raise DataError(f"--map {name}={theirs}: {kind} have no {name}, expected one of {', '.join(ours)}{meant(name, ours)}")
        known = ", ".join(columns)
        raise DataError(f"--map {name}={theirs}: there is no column {theirs}, expected one of {known}{meant(theirs, columns)}")
    free = [name for name in columns if name not in given.values()]
    for name in ours:
        if name in found:
            continue
        candidates = (name, *NAMES.get(name, ()))
        taken = set(found.values()) - (
            {found.get("problem")} if name == "prompt" else {found.get("prompt")} if name == "problem" else set()
        )
        place = next((theirs for theirs in candidates if theirs in free and theirs not in taken), None)
        if place is not None:
            found[name] = place
    return found
