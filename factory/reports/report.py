"""What came out, as sections: accuracies with intervals, stages and their rejects, every audit, critics, demonstrations, rows to read.

    sections_of(params)   → [Section("Headline", …), Section("Stages", …), …]; a part of the line that has not run is left out

Reads data/evaluation, data/tables, data/rejects, data/audits and data/logs by the params' names, never by what a glob finds.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from factory.errors import DataError
from factory.gate.background import kind_of
from factory.line import stages_of
from factory.params import Params
from factory.problems.world import spaces
from factory.reports.agreement import Graded, critic_records
from factory.reports.charts import Bar, bars
from factory.reports.demonstrations import demonstrations
from factory.reports.opinions import Opinions, opinion_blocks
from factory.reports.page import Block, Figure, Prose, Sample, Section, Table
from factory.reports.pass_rates import pass_rates
from factory.reports.readable import fields_of
from factory.reports.training import training
from factory.schemas import CriticJudgement, Problem
from factory.storage import AUDITS, REJECTS, TABLES, count_rows, read_rows, read_table, rows_at, spread
from factory.tables import TABLES as ROW_TYPES

METRICS = Path("data/evaluation/metrics.json")
READ = 3  # rows of each dataset
COLUMNS = 8  # groups side by side; of more the metrics document tells
LISTED = 20  # answers on which verdicts differ


def sections_of(params: Params, published: Sequence[Graded] = (), opinions: Opinions | None = None) -> list[Section]:
    """Sections with something in them, in reading order."""
    metrics = _json(METRICS) if params.evaluate else {}
    parts: list[tuple[str, Iterable[Block]]] = [
        ("Headline", headline(metrics)), ("Differences", differences(metrics)), ("Self-correction", self_correction(metrics)),
        ("Planner", planner(metrics)), ("Training", chain(settling(metrics), training(params))), ("World", instances(params)),
        ("Stages", stages(params)), ("Audits", audits(params)), ("Pass rates", pass_rates(params)), ("Critics", critics()),
        ("Demonstrations", demonstrations()),
        ("Grading", chain(grading(published), opinion_blocks(opinions, LISTED) if opinions else ())), ("Rows to read", samples(params)),
    ]  # fmt: skip
    found = [Section(title, tuple(blocks)) for title, blocks in parts]
    return [section for section in found if section.blocks]


def _json(path: Path) -> dict[str, Any]:
    """{} when the file is not there yet."""
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is no JSON document ({error}): delete it and run the stage that writes it again") from None


def _percent(share: float | None) -> str:
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
        (name, *(f"{row[key]:,}" for key in ("wrong_to_right", "right_to_wrong", "n", "no_answer_before")), _percent(row["share"]))
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


def instances(params: Params) -> Iterable[Block]:
    """The world's families: how many distinct problems there are, and how many were drawn."""
    path = TABLES / "problems.parquet"
    if params.problems.world and path.exists():
        found = spaces(params.problems.world, read_rows(path, Problem))
        rows = [(name, f"{space:,}", f"{drawn:,}", _percent(drawn / space)) for name, (space, drawn) in found.items() if drawn]
        yield Table(
            ("family", "instances, at least", "drawn, all splits", "share"), tuple(rows), "Space of canonical instances, bounded from below"
        )


def _reasons(name: str | None) -> list[str]:
    """The reason of every reject, in the table's order."""
    path = REJECTS / f"{name}.parquet"
    return read_table(path, ["reason"]).column("reason").to_pylist() if name and path.exists() else []


def stages(params: Params) -> Iterable[Block]:
    rows, reasons = [], []
    for stage in stages_of(params):
        paths = [(name, TABLES / f"{name}.parquet") for name in stage.tables]
        counts = [(name, count_rows(path)) for name, path in paths if path.exists()]
        if not counts:
            continue
        rejects = _reasons(stage.rejects)
        kept = counts[0][1]
        share = _percent(kept / (kept + len(rejects))) if stage.rejects and kept + len(rejects) else ""
        made = ", ".join(f"{count:,} {name}" for name, count in counts)
        rows.append((stage.title, made, f"{len(rejects):,}" if stage.rejects else "", share))
        reasons += [(stage.title, reason, f"{count:,}") for reason, count in Counter(rejects).most_common()]
    if rows:
        yield Table(("stage", "rows", "rejects", "yield"), tuple(rows), "Yield: rows of the first table of rows and rejects")
    if reasons:
        yield Table(("stage", "reason", "rejects"), tuple(reasons), "Rejects by reason")


def audits(params: Params) -> Iterable[Block]:
    found = {name: _json(AUDITS / f"{name}.json") for name in params.datasets}
    for name, audit in found.items():
        if audit:
            rows = [
                (item["says"], item["column"], "critical" if item["critical"] else "warning", "passed" if item["success"] else "FAILED",
                 f"{item['unexpected']:,} of {item['of']:,}" if item["of"] else "")
                for item in audit["findings"]
            ]  # fmt: skip
            yield Table(
                ("expectation", "column", "weight", "result", "rows that break it"), tuple(rows),
                f"{name}: {audit['rows']:,} rows, {'passed' if audit['success'] else 'REFUSED'} (Great Expectations {audit['gx_version']})",
            )  # fmt: skip


def critics() -> Iterable[Block]:
    path = TABLES / "critic_judgements.parquet"
    records = critic_records(read_rows(path, CriticJudgement)) if path.exists() else []
    if records:
        yield Prose(
            "Each remark beside the grader's verdict (no fault in a part of a right solution, one in a wrong attempt) and, where there are "
            "equations to compare, beside the exact reference critic's finding; 95 % Wilson intervals."
        )
        yield Table(
            ("critic", "asked to", "remarks", "not understood", "leak", "with the grader", "compared", "with the reference",
             "false accepts", "step named right", "used"),
            tuple(
                (r.critic, r.kind, f"{r.remarks:,}", f"{r.unparsed:,}", f"{r.leaks:,}", r.grader.percent, f"{r.compared:,}",
                 r.agree.percent, r.false_accepts.text, r.named.text, f"{r.accepted:,}")
                for r in records
            ),
            "Critics' remarks",
        )  # fmt: skip


def grading(published: Sequence[Graded]) -> Iterable[Block]:
    if not published:
        return
    apart = [row for row in published if not row.agrees]
    yield Prose(f"{len(published) - len(apart):,} of {len(published):,} published labels agree with the grader ({len(apart):,} do not).")
    models = sorted({row.model for row in published})
    rows = [
        (model, f"{len(own):,}", f"{sum(row.verdict == 'correct' for row in own):,}", f"{sum(not row.agrees for row in own):,}")
        for model in models
        if (own := [row for row in published if row.model == model])
    ]
    yield Table(("recorded model", "solutions", "graded correct", "disagreements"), tuple(rows))
    if apart:
        table = [(row.rollout_id, row.model, "correct" if row.label else "wrong", row.verdict, row.answer or "", row.gold) for row in apart]
        yield Table(("rollout", "model", "published label", "our verdict", "answer", "gold"), tuple(table), "Every disagreement")


def samples(params: Params) -> Iterable[Block]:
    for name in params.datasets:
        path = TABLES / f"{name}.parquet"
        if path.exists():
            count = count_rows(path)
            rows = rows_at(path, ROW_TYPES[kind_of(name)], spread(count, READ))
            yield from (Sample(f"{name} {number} of {count:,}", tuple(fields_of(row))) for number, row in enumerate(rows, start=1))
