"""Fill the blocks of README.md and docs/results.md with what the line last said. Run: python -m pipelines.readme

A block stands between `<!-- name -->` and `<!-- /name -->`; what is written by hand stands around it. The figures that the two show are
kept in docs/figures and committed with them: a later run, whose floats differ on another machine, changes neither.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from factory.errors import DataError, FactoryError
from factory.problems.world import WRONG
from factory.schemas import Message, Row
from factory.storage import TABLES, count_rows, iter_rows
from factory.tables import table_of
from factory.whole import whole_file
from pipelines.claims import RESULT
from pipelines.evaluate import METRICS

README, RESULTS = Path("README.md"), Path("docs/results.md")
FIGURES = Path("docs/figures")  # copies of metrics.json and claims.md as they were when the pages were filled
WIDTH = 150
FIELDS = {
    "corpus": ("role", "prompt", "completion"),
    "orm_pairs_base": ("prompt", "chosen", "rejected", "margin"),
    "demonstrations": ("type", "prompt", "completion"),
    "cot_demonstrations": ("prompt", "completion"),
    "process_rewards": ("prompt", "completions", "labels", "by", "exact_step", "critic_step"),
    "restarts_r1": ("buffer", "backtrack", "prompt", "prefix", "answer"),
    "distillation_r1": ("prompt", "completion"),
    "templates": ("name", "tags", "scope", "steps", "solve_rate"),
    "structure": ("prompt", "completion"),
    "plans_first": ("prompt", "completion"),
    "plans_second": ("prompt", "completion"),
    "plans_sft": ("prompt", "completion"),
    "trajectory_pairs": ("prompt", "chosen", "rejected", "reward_chosen", "reward_rejected"),
    "adjustments": ("prompt", "completion", "value_keep", "value_revise", "value_fetch", "value_stop", "gain", "interval"),
}
TELLING: dict[str, Callable[[Any], bool]] = {  # a row that shows what the dataset is for; of the others one serves as well as another
    "corpus": lambda row: row.role == "verify",
    "demonstrations": lambda row: row.type == "III-I" and WRONG in row.completion,
    "process_rewards": lambda row: row.first_wrong not in (None, 1) and row.judged and row.critic_step != row.exact_step,
    "restarts_r1": lambda row: row.buffer == "-",
    "templates": lambda row: row.status == "accepted" and len(row.steps) > 1,
    "adjustments": lambda row: row.choice == "revise",
}
HEADLINE = {  # of the metrics' models and planner arms
    "the base": ("models", "base"),
    "plain chains of thought, the same PPO": ("models", "policy_cot"),
    "format tuning on `demonstrations`": ("models", "format_tuned"),
    "PPO with restart and explore, first round": ("models", "policy_r1"),
    "… second round": ("models", "policy_r2"),
    "the base, guided by the planner (DPO)": ("planner", "dpo"),
    "the base, guided by gold plans": ("planner", "oracle"),
}
MODELS = ("base", "cot_control", "policy_cot", "format_tuned", "policy_r1", "distilled_r1", "policy_r2")


def telling(dataset: str) -> Any:
    """A row that shows what the dataset is for. Raises DataError when it has none."""
    rows = iter_rows(TABLES / f"{dataset}.parquet", table_of(dataset))
    row: Row | None = next(filter(TELLING.get(dataset, lambda row: True), rows), None)
    if row is None:
        raise DataError(f"{dataset} has no row that shows what it is for: see TELLING in pipelines/readme.py")
    return row


def demonstration() -> str:
    """One as a model reads and writes it."""
    row = telling("demonstrations")
    return "\n".join(["```text", *(turn.content.strip() for turn in row.prompt), "", row.completion, "```"])


def rows() -> str:
    """A row of each dataset, a field a line."""
    lines = []
    for dataset, fields in FIELDS.items():
        row = telling(dataset)
        lines.append(f"{dataset} ({count_rows(TABLES / f'{dataset}.parquet'):,} rows)")
        lines += [f"    {field}: {_line(getattr(row, field))}" for field in fields]
    return "\n".join(["```text", *lines, "```"])


def headline(metrics: Mapping[str, Any]) -> str:
    found = {text: metrics[kind][name] for text, (kind, name) in HEADLINE.items() if name in metrics[kind]}
    cells = (f"| {text} | {_percent(measured['heldout'])} | {_percent(measured['unseen'])} |" for text, measured in found.items())
    n = found["the base"]["heldout"]["n"]
    return "\n".join([f"| seed 1, n {n:,} a split | held-out problems | unseen families |", "|---|---|---|", *cells])


def _line(value: object) -> str:
    turns = isinstance(value, tuple) and all(isinstance(item, Message) for item in value)
    parts = (item.content if turns else str(item) for item in (value if isinstance(value, tuple) else (value,)))
    text = " | ".join(parts).replace("\n", " ⏎ ")
    return text if len(text) <= WIDTH else f"{text[:WIDTH]} …"


def accuracies(metrics: Mapping[str, Any]) -> str:
    """Two tables, models and planner arms, then self-correction and how the base had settled (each only where it was measured)."""
    models = {name: metrics["models"][name] for name in MODELS if name in metrics["models"]}
    n = models["base"]["heldout"]["n"], models["base"]["unseen"]["n"]
    parts = [_table("model", models)]
    parts += [
        f"n = {n[0]} held-out and {n[1]} unseen problems. The planner's arms guide the same frozen base:",
        _table("arm", metrics["planner"]),
    ]
    changed = [
        f"{name} {found['wrong_to_right']} / {found['right_to_wrong']} of {found['n']}"
        for name, found in metrics["self_correction"].items()
        if found["n"]
    ]
    if changed:
        told = "Self-correction, of the answers boxed before the first reflection (wrong → right / right → wrong of all)"
        parts.append(f"{told}: {'; '.join(changed)}.")
    if settling := metrics.get("settling"):
        early, end, gain = settling["early"], settling["end"], settling["gain"]
        low, high = (100 * edge for edge in gain["ci95"])
        parts.append(
            f"The base on dev (n {gain['n']}): {100 * early['pass@1']:.1f} after four fifths of its pretraining, {100 * end['pass@1']:.1f} "
            f"at its end ({100 * gain['difference']:+.1f} points [{low:+.1f}, {high:+.1f}])."
        )
    return "\n\n".join(parts)


def _table(head: str, measured: Mapping[str, Any]) -> str:
    groups = sorted({group for found in measured.values() for group in found["heldout"]["groups"]})
    columns = ["held-out", "unseen families", *(f"held-out {group}" for group in groups)]
    lines = [f"| {head} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    most = max(found["heldout"]["n"] for found in measured.values())
    for name, found in measured.items():
        own, n = found["heldout"]["groups"], found["heldout"]["n"]
        name += "" if n == most else f" (n {n})"
        cells = [_percent(cell) for cell in (found["heldout"], found["unseen"])]
        cells += [_percent(own[group]) if group in own else "" for group in groups]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(measured: Mapping[str, Any]) -> str:
    low, high = measured["ci95"]
    return f"{100 * measured['pass@1']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def block(page: str, name: str) -> str:
    """What stands between the block's marks. Raises DataError when the page has no such block."""
    found = re.search(f"<!-- {name} -->\n(.*?)<!-- /{name} -->", page, re.DOTALL)
    if not found:
        raise DataError(f"the page has no block {name}: expected <!-- {name} --> and <!-- /{name} --> on lines of their own")
    return found[1].rstrip()


def filled(path: Path, blocks: Mapping[str, str]) -> str:
    text = path.read_text(encoding="utf-8")
    for name, lines in blocks.items():
        head, tail = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        block(text, name)
        text = text[: text.index(head) + len(head)] + lines + "\n" + text[text.index(tail) :]
    return text


def main() -> None:
    kept = {source: source.read_text(encoding="utf-8") for source in (METRICS, RESULT)}
    metrics = json.loads(kept[METRICS])
    pages = {
        README: filled(README, {"demonstration": demonstration(), "headline": headline(metrics)}),
        RESULTS: filled(RESULTS, {"rows": rows(), "accuracies": accuracies(metrics), "claims": kept[RESULT].rstrip()}),
    }
    for target, content in {**{FIGURES / source.name: content for source, content in kept.items()}, **pages}.items():
        with whole_file(target) as path:
            path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except FactoryError as error:
        sys.exit(f"error: readme: {error}")
    except FileNotFoundError as error:
        sys.exit(f"error: readme: {error.filename} is missing: `make repro` and `make claims` write it")
