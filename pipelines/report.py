"""Stage `report`: data/report/index.html, one self-contained page, and the same tables as data/report/report.md.

python -m pipelines.report
"""

from pathlib import Path

from factory.engines.recorded_engine import read_recorded
from factory.params import Params
from factory.reports.agreement import Graded, graded
from factory.reports.opinions import of_line, second_opinions
from factory.reports.page import html, markdown
from factory.reports.report import sections_of
from factory.schemas import Problem, Rollout
from factory.storage import TABLES, iter_rows, read_rows, whole_folder
from pipelines import stage

REPORT = Path("data/report")
OPINIONS = 200  # distinct answers that Math-Verify grades as well


def published_labels(params: Params) -> list[Graded]:
    """Our verdicts beside the labels that a recorded line's file carries; [] for a line that samples its own solutions."""
    role = params.roles.get("generator")
    if role is None or role.engine != "recorded":
        return []
    recorded = read_recorded(Path(role.model))
    problems = read_rows(TABLES / "problems.parquet", Problem)
    rollouts = (row for name in params.policies for row in iter_rows(TABLES / f"rollouts_{name}.parquet", Rollout))
    return graded(recorded.solutions, recorded.labels, problems, rollouts)


def main(params: Params) -> None:
    opinions = second_opinions(of_line(params), params.grading, most=OPINIONS)
    sections = sections_of(params, published_labels(params), opinions)
    with whole_folder(REPORT) as folder:
        (folder / "index.html").write_text(html(params.release.name, params.release.notice, sections))
        (folder / "report.md").write_text(markdown(params.release.name, params.release.notice, sections))
    print(f"report: {len(sections)} sections in {REPORT / 'index.html'}")


if __name__ == "__main__":
    stage.run("report", main)
