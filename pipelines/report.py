"""Stage `report`: data/report/index.html, one self-contained page, the same tables as data/report/report.md, and Great Expectations' own
pages of every audit, data/report/data_docs/index.html.

python -m pipelines.report
"""

from pathlib import Path

from factory.params import Params
from factory.reports import data_docs
from factory.reports.page import html, markdown
from factory.reports.report import whole_report
from factory.whole import whole_folder
from pipelines import stage

REPORT = Path("data/report")
BESIDE = [("data_docs/index.html", "Great Expectations' own pages of every audit")]


def main(params: Params) -> None:
    sections = whole_report(params)
    with whole_folder(REPORT) as folder:
        (folder / "index.html").write_text(html(params.release.name, params.release.notice, sections, BESIDE), encoding="utf-8")
        (folder / "report.md").write_text(markdown(params.release.name, params.release.notice, sections), encoding="utf-8")
        data_docs.build(folder / "data_docs", params)
    print(f"report: {len(sections)} sections in {REPORT / 'index.html'}")


if __name__ == "__main__":
    stage.run("report", main)
