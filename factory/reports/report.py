"""What came out, as sections: the line drawn with its counts, every dataset and table, what its judges are worth, trainings, accuracies.

    sections_of(params)   → [Section("The line", …), Section("Datasets", …), …]; a part of the line that has not run is left out

Reads data/evaluation, data/tables, data/rejects, data/audits and data/logs by the params' names, never by what a glob finds. Tables are
scanned column by column: none is held as rows.
"""

import json
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from factory.errors import DataError
from factory.params import Params
from factory.problems.world import spaces
from factory.reports.accuracies import differences, headline, percent, planner, self_correction, settling
from factory.reports.agreement import Graded
from factory.reports.critics import critics
from factory.reports.demonstrations import demonstrations
from factory.reports.grading import grading, published_labels
from factory.reports.graph import Graph, line_graph
from factory.reports.line import cost, dataset_sections, table_sections, the_line
from factory.reports.opinions import Opinions, of_line, opinion_blocks, second_opinions
from factory.reports.page import Block, Section, Table
from factory.reports.pass_rates import pass_rates
from factory.reports.scan import Scan, one_database
from factory.reports.training import training
from factory.storage import TABLES

METRICS = Path("data/evaluation/metrics.json")
OPINIONS = 200  # distinct answers that Math-Verify grades as well
LISTED = 20  # answers on which verdicts differ


def whole_report(params: Params, measured: Sequence[Block] = ()) -> list[Section]:
    """The report of the stage. `measured`: what differs from run to run, as seconds, which the stage leaves out."""
    return sections_of(params, published_labels(params), second_opinions(of_line(params), params.grading, most=OPINIONS), measured)


@one_database()
def sections_of(
    params: Params, published: Sequence[Graded] = (), opinions: Opinions | None = None, measured: Sequence[Block] = ()
) -> list[Section]:
    """Sections with something in them, in reading order."""
    metrics = read_json(METRICS) if params.evaluate else {}
    graph: Graph = line_graph(params)
    parts: list[tuple[str, Iterable[Block]]] = [
        ("The line", the_line(params, graph)), ("Datasets", dataset_sections(params, graph)), ("Tables", table_sections(params, graph)),
        ("Cost", chain(cost(params), measured)), ("World", instances(params)), ("Pass rates", pass_rates(params)), ("Critics", critics()),
        ("Demonstrations", demonstrations()),
        ("Grading", chain(grading(published), opinion_blocks(opinions, LISTED) if opinions else ())),
        ("Training", chain(settling(metrics), training(params))), ("Accuracies", headline(metrics)),
        ("Differences", differences(metrics)), ("Self-correction", self_correction(metrics)), ("Planner", planner(metrics)),
    ]  # fmt: skip
    found = [Section(title, tuple(blocks)) for title, blocks in parts]
    return [section for section in found if section.blocks]


def read_json(path: Path) -> dict[str, Any]:
    """{} when the file is not there yet."""
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is no JSON document ({error}): delete it and run the stage that writes it again") from None


def instances(params: Params) -> Iterable[Block]:
    """The world's families: how many distinct problems there are, and how many were drawn."""
    path = TABLES / "problems.parquet"
    if params.problems.world and path.exists():
        with Scan.of(path) as scan:
            drawn = scan.counts("family", "source = 'world'")
        space = {name: size for name, (size, _) in spaces(params.problems.world, []).items()}
        rows = [(name, f"{size:,}", f"{drawn[name]:,}", percent(drawn[name] / size)) for name, size in space.items() if drawn[name]]
        yield Table(
            ("family", "instances, at least", "drawn, all splits", "share"), tuple(rows), "Space of canonical instances, bounded from below"
        )
