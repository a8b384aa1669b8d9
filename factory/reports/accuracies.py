"""How good the models came out, from data/evaluation/metrics.json: accuracies with intervals, differences, self-correction, planner.

list(headline({"models": {"base": {"heldout": {…}}}}))   → [Figure("<svg …>", "Greedy pass@1 …"), Table(("model", "split", …), …)]
"""

from collections.abc import Iterable, Mapping
from typing import Any

from factory.reports.charts import Bar, bars
from factory.reports.page import Block, Figure, Prose, Table

COLUMNS = 8  # groups side by side; of more the metrics document tells


def percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _accuracies(blocks: Mapping[str, Mapping[str, Any]], first: str) -> Iterable[Block]:
    if not blocks:
        return
    groups = sorted({group for splits in blocks.values() for block in splits.values() for group in block["groups"]})
    groups = groups if len(groups) <= COLUMNS else []
    rows = []
    for name, splits in blocks.items():
        for split, block in splits.items():
            parts = [f"{block['groups'][group]['pass@1']:.3f}" if group in block["groups"] else "" for group in groups]
            rows.append((name, split, f"{block['pass@1']:.3f}", "{:.3f} to {:.3f}".format(*block["ci95"]), *parts, f"{block['n']:,}"))
    found = [Bar(name, split, block["pass@1"], *block["ci95"]) for name, splits in blocks.items() for split, block in splits.items()]
    yield Figure(bars(found), "Greedy pass@1 with 95 % Wilson intervals")
    yield Table((first, "split", "pass@1", "95 % interval", *groups, "n"), tuple(rows))


def headline(metrics: Mapping[str, Any]) -> Iterable[Block]:
    yield from _accuracies(metrics.get("models", {}), "model")


def planner(metrics: Mapping[str, Any]) -> Iterable[Block]:
    yield from _accuracies(metrics.get("planner", {}), "arm")
    if metrics.get("cost"):
        rows = [(arm, f"{cost['tokens']:,}", f"{cost['calls']:,}", f"{cost['n']:,}") for arm, cost in metrics["cost"].items()]
        yield Table(("arm", "generated tokens", "calls", "problems"), tuple(rows), "Cost, plans included")


def differences(metrics: Mapping[str, Any]) -> Iterable[Block]:
    rows = [
        (name, split, part, f"{block['difference']:+.3f}", "{:+.3f} to {:+.3f}".format(*block["ci95"]), "yes" if block["above"] else "no")
        for name, splits in metrics.get("differences", {}).items()
        for split, whole in splits.items()
        for part, block in (("all", whole), *whole["groups"].items())
    ]
    if rows:
        yield Prose("Paired over problems, percentile bootstrap. Above: the interval excludes 0 from below.")
        yield Table(("difference", "split", "group", "mean", "95 % interval", "above"), tuple(rows))


def self_correction(metrics: Mapping[str, Any]) -> Iterable[Block]:
    rows = [
        (name, *(f"{row[key]:,}" for key in ("wrong_to_right", "right_to_wrong", "n", "no_answer_before")), percent(row["share"]))
        for name, row in metrics.get("self_correction", {}).items()
    ]
    if rows:
        yield Prose("Of the answers that changed sides after the first reflection, the share that went from wrong to right.")
        yield Table(("model", "wrong to right", "right to wrong", "answered first", "reflected first", "share"), tuple(rows))


def settling(metrics: Mapping[str, Any]) -> Iterable[Block]:
    """Whether the base's pretraining had levelled off."""
    if block := metrics.get("settling"):
        gain = block["gain"]
        yield Prose(
            f"On dev (n {gain['n']:,}) the last fifth of the base's pretraining, at a low and level learning rate, took greedy pass@1 from "
            f"{block['early']['pass@1']:.3f} to {block['end']['pass@1']:.3f}: {100 * gain['difference']:+.1f} points "
            f"[{100 * gain['ci95'][0]:+.1f}, {100 * gain['ci95'][1]:+.1f}]."
        )
