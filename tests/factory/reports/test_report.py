"""The page: complete, self-contained, and harmless whatever the rows say."""

import csv
import json
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from factory import storage
from factory.errors import DataError
from factory.evaluation.metrics import compute, settling
from factory.gate.release import release
from factory.grading import grade
from factory.identity import row_id
from factory.problems.world import spaces
from factory.rejects import reject, write_rejects
from factory.reports.agreement import Share, Solved, critic_records, graded
from factory.reports.charts import POINTS, Bar, Point, bars, costs, curves, histogram, stacked, thinned
from factory.reports.marked import marked
from factory.reports.page import LONG, Figure, Heading, Link, Prose, Sample, Section, Table, html, markdown
from factory.reports.readable import fields_of, visible
from factory.reports.report import sections_of
from factory.schemas import Answer, CriticJudgement, Demonstration, Problem, Restart, Rollout
from factory.whole import write_json

ROOT = Path(__file__).parents[3]
ATTACK = "<script>alert(1)</script>"


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.seen.append((tag, dict(attrs)))


def only(*names: str) -> None:
    """All other tables go: a section for each of the line's forty is not what every test is about."""
    for path in storage.TABLES.glob("*.parquet"):
        if path.stem not in names:
            path.unlink()


def answers(line, model: str, right: int, arm: str = "policy") -> list[Answer]:
    rows = []
    for number, problem in enumerate(row for row in line.problems if row.split in ("heldout", "unseen")):
        rows.append(answer(problem, model, f"\\boxed{{{problem.answer if number < right else 'x'}}}", arm))
    return rows


def answer(problem: Problem, model: str, text: str, arm: str = "policy") -> Answer:
    return Answer(
        id=row_id(model, arm, problem.id), model=f"{model}@1", arm=arm, problem_id=problem.id, split=problem.split,
        family=problem.family, group=problem.group, completion=text, verdict=grade(text, problem.answer, "number").verdict,
        finish_reason="stop", tokens=3, calls=1,
    )  # fmt: skip


def evaluated(line) -> None:
    rows = answers(line, "base", 1) + answers(line, "policy_r1", 3) + answers(line, "base", 2, "direct")
    dev = next(problem for problem in line.problems if problem.split == "dev")
    early, end = ([answer(dev, "base", text)] for text in ("\\boxed{x}", f"\\boxed{{{dev.answer}}}"))
    block = {"settling": settling(early, end, resamples=100, seed=1)}
    write_json(Path("data/evaluation/metrics.json"), compute(rows, line.problems, resamples=100, seed=1) | block)


@pytest.mark.slow
def test_the_report_has_every_part_that_has_run(small_line) -> None:
    evaluated(small_line)
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")
    release("restarts_r1", small_line.params)
    rows = storage.read_rows(storage.TABLES / "demonstrations.parquet", Demonstration)
    refused = [reject("demonstrations", row, "the critic's remark was not understood") for row in rows[:2]]
    write_rejects("demonstrations", refused)
    storage.LOGS.mkdir(parents=True)
    with (storage.LOGS / "policy_r1.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("iteration", "reward"), (1, -0.5), (2, ""), (3, -0.1)])
    sections = {section.title: section for section in sections_of(small_line.params)}
    assert list(sections) == [
        "The line", "Datasets", "Tables", "Cost", "World", "Pass rates", "Demonstrations", "Training", "Accuracies", "Differences",
        "Self-correction", "Planner",
    ]  # fmt: skip
    table = next(block for block in sections["Accuracies"].blocks if isinstance(block, Table))
    assert table.headers == ("model", "split", "pass@1", "95 % interval", "procedures", "n")  # the only group of these problems
    assert ("policy_r1", "heldout", "1.000", "0.342 to 1.000", "1.000", "2") in table.rows
    picture, stages, reasons = sections["The line"].blocks
    assert "6 demonstrations, 6" in picture.svg
    assert ("demonstrations", "6 demonstrations, 6 cot_demonstrations", "2", "75.0 %", "not audited") in stages.blocks[0].rows
    assert reasons.rows == (("demonstrations", "the critic's remark was not understood", "2"),)
    settled, *figures, ends, _ = sections["Training"].blocks
    assert settled.text == (
        "On dev (n 1) the last fifth of the base's pretraining, at a low and level learning rate, took greedy pass@1 from 0.000 to 1.000: "
        "+100.0 points [+100.0, +100.0]."
    )
    assert [figure.caption for figure in figures] == ["Mean reward of the rollouts, by iteration"]
    assert ends.rows == (("policy_r1", "reward", "-0.5", "-0.1", "2"),)
    (families,) = sections["World"].blocks
    assert [row[0] for row in families.rows] == ["tally"]  # the only family of these problems
    space = spaces(small_line.params.problems.world, [])["tally"][0]
    assert families.rows[0][1:] == (f"{space:,}", "10", f"{1000 / space:.1f} %")
    summary = {row[0]: row for row in sections["Datasets"].blocks[0].rows}
    assert summary["restarts_r1"][4] == "passed"
    assert summary["demonstrations"][4] == "not audited"
    assert [heading.text for heading in sections["Datasets"].headings] == [*summary]
    assert any(block.title == "demonstrations 1 of 6" for block in sections["Datasets"].blocks if isinstance(block, Sample))


def test_a_report_of_nothing_but_problems(small_line) -> None:
    only("problems")
    assert [section.title for section in sections_of(small_line.params)] == ["The line", "Tables", "World"]
    elsewhere = small_line.params.problems.model_copy(update={"world": None})
    params = small_line.params.model_copy(update={"problems": elsewhere})
    assert [section.title for section in sections_of(params)] == ["The line", "Tables"]


@pytest.mark.slow
def test_the_page_loads_nothing_and_runs_nothing(small_line) -> None:
    small_line.change("demonstrations", Demonstration, completion=f"{ATTACK}\n<img src=x onerror=alert(1)>", critique=ATTACK)
    evaluated(small_line)
    page = html("title & more", f"notice {ATTACK}", sections_of(small_line.params))
    tags = Tags(page).seen
    assert "script" not in {tag for tag, _ in tags}
    assert "img" not in {tag for tag, _ in tags}
    assert not any(name.startswith("on") or name == "src" for _, attrs in tags for name in attrs)
    assert all(attrs["href"].startswith("#") for tag, attrs in tags if tag == "a")
    assert "url(" not in page
    assert "&lt;script&gt;" in page
    ids = {attrs["id"] for _, attrs in tags if "id" in attrs}
    assert {attrs["href"].removeprefix("#") for tag, attrs in tags if tag == "a"} <= ids


@pytest.mark.slow
def test_the_same_data_give_the_same_bytes(small_line) -> None:
    evaluated(small_line)
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")
    release("restarts_r1", small_line.params)
    first, second = ((html("t", "", found), markdown("t", "", found)) for found in (sections_of(small_line.params) for _ in range(2)))
    assert first == second


def test_a_line_that_has_half_run_shows_what_is_there(small_line) -> None:
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")
    only("problems", "corpus", "rollouts_base")
    sections = {section.title: section for section in sections_of(small_line.params)}
    picture = sections["The line"].blocks[0]
    assert isinstance(picture, Figure)
    assert "no rows yet" in picture.svg
    assert "12 rollouts" in picture.svg
    assert [row[0] for row in sections["Datasets"].blocks[0].rows] == ["corpus"]
    assert [block.title for block in sections["Tables"].blocks] == ["problems: 10 rows", "rollouts_base: 12 rows"]
    (storage.AUDITS / "corpus.json").parent.mkdir(parents=True, exist_ok=True)
    (storage.AUDITS / "corpus.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"corpus\.json is no JSON document"):
        sections_of(small_line.params)


def test_long_tables_fold_and_every_heading_is_in_the_contents() -> None:
    rows = tuple((Link("x", "part"), f"{number:,}", "passed") for number in range(LONG + 1))
    section = Section(
        "A part", (Heading("part", "part", "REFUSED"), Table(("name", "n", "gate"), rows, "Many"), Table(("n",), (("1",),), "Few"))
    )
    page = html("t", "", [section])
    assert "<details><summary>Many <small>15 lines</small></summary>" in page
    assert '<a href="#part">x</a>' in page
    assert '<th scope="col" class="n">n</th>' in page
    assert '<span class="good">passed</span>' in page
    assert '<span class="badge bad">REFUSED</span>' in page
    tags = Tags(page).seen
    ids, links = [attrs["id"] for _, attrs in tags if "id" in attrs], [attrs["href"][1:] for tag, attrs in tags if tag == "a"]
    assert len(ids) == len(set(ids))
    assert set(links) == {"a-part", "part"}
    assert sum(tag == "caption" for tag, _ in tags) == sum(tag == "table" for tag, _ in tags) == 2
    assert "| [x](#part) | 14 | passed |" in markdown("t", "", [section])


def test_marks_are_told_apart_by_more_than_colour() -> None:
    text = "a<|continue|>b<|reflect|>c<|explore|>d \\boxed{\\frac{1}{2}} \\boxed{open\nnext"
    assert str(marked(text)) == (
        'a<mark class="act continue">&lt;|continue|&gt;</mark>b<mark class="act reflect">&lt;|reflect|&gt;</mark>c'
        '<mark class="act explore">&lt;|explore|&gt;</mark>d <mark class="box">\\boxed{\\frac{1}{2}}</mark> '
        '<mark class="box">\\boxed{open</mark>\nnext'
    )
    style = html("t", "", []).partition("</style>")[0]
    frames = {
        re.search(rf"mark\.{name} {{[^}}]*}} mark\.{name}::before {{ content: \"(.)", style)[1]
        for name in ("continue", "reflect", "explore", "box")
    }
    assert len(frames) == 4


def test_markdown_shows_text_literally() -> None:
    section = Section(
        "A | B",
        (Prose("a *b* <i> policy_r1 _c_"), Table(("x",), (("1|2\n3",),)), Sample("row", (("text", "```\n# no"),)), Figure("<svg></svg>")),
    )
    text = markdown("t", "", [section])
    assert "a \\*b\\* &lt;i&gt; policy_r1 \\_c\\_" in text
    assert "| 1\\|2 3 |" in text
    assert "    text:\n      ```\n      # no" in text
    assert "<svg" not in text


def test_charts_are_well_formed_and_to_scale() -> None:
    chart = ET.fromstring(bars([Bar("a<b", "heldout", 0.5, 0.4, 0.6), Bar("a<b", "unseen", 0.25, 0.2, 0.3)]))
    tall, short = (float(box.attrib["height"]) for box in chart.iter("rect") if float(box.attrib["height"]) != 10)
    assert abs(tall - 2 * short) < 0.2
    peak = [(float(x), 9.0 if x == 77_777 else float(x % 3)) for x in range(100_000)]
    thin = thinned(peak)
    assert len(thin) <= POINTS + 2
    assert {peak[0], peak[-1], (77_777.0, 9.0)} <= set(thin)
    assert thin == sorted(thin)
    assert thinned(peak[:POINTS]) == peak[:POINTS]
    assert histogram({0.5: 3, 1.0: 1}) == histogram([0.5, 0.5, 0.5, 1.0])
    line = ET.fromstring(curves({"one": [(1, 0.0), (2, 1.0)], "two": [(1, 0.5), (2, 0.5)]}))
    assert len(list(line.iter("polyline"))) == 2
    ET.fromstring(curves({"flat": [(1, 0.5)]}))
    boxes = [float(box.attrib["height"]) for box in ET.fromstring(histogram([0.0, 0.05, 1.0])).iter("rect")]
    assert boxes[0] == max(boxes)
    assert boxes[9] > 0 == boxes[5]
    ET.fromstring(histogram([]))


def test_a_chart_of_costs_is_logarithmic_and_has_intervals() -> None:
    points = [Point("a<b", str(x), x, y, y - 0.1, y + 0.1) for x, y in ((10, 0.2), (1000, 0.8), (100, 0.5))]
    chart = ET.fromstring(costs([*points, Point("one", "1", 50, 0.3, 0.2, 0.4)], "tokens"))
    path, alone = (line.attrib["points"].split() for line in chart.iter("polyline"))
    (x1, y1), (x2, y2), (x3, y3) = ([float(part) for part in place.split(",")] for place in path)
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)  # 10, 100, 1000
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2)
    assert len(alone) == 1
    assert len(list(chart.iter("circle"))) == 4
    assert {"10", "20", "50", "100", "1000", "tokens", "a<b"} <= {text.text for text in chart.iter("text")}
    with pytest.raises(ValueError, match="a cost above 0"):
        costs([Point("free", "", 0, 0.5, 0.4, 0.6)], "tokens")
    both = ET.fromstring(stacked([costs(points, "tokens"), costs(points, "seconds")]))
    assert [panel.attrib["y"] for panel in both if panel.tag.endswith("svg")] == ["0", "260"]


def test_control_characters_are_shown_not_sent() -> None:
    assert visible("a\x1b[31mb\x07\n\u202ec\x9b") == "a\\x1b[31mb\\x07\n\\u202ec\\x9b"
    assert visible("é ∑ 中\t|") == "é ∑ 中    |"


def test_fields_leave_lineage_out_unless_asked(small_line) -> None:
    row = storage.read_rows(storage.TABLES / "demonstrations.parquet", Demonstration)[0]
    assert "model" not in dict(fields_of(row))
    assert dict(fields_of(row, lineage=True))["model"] == "base@3fa9"
    assert dict(fields_of(row))["score"] == "1.5"
    restart = storage.read_rows(storage.TABLES / "restarts_r1.parquet", Restart)[0]
    assert "parent_id" not in dict(fields_of(replace(restart, parent_id=None)))


def judgement(number: int, said: int | None, reference: int | None, **values: object) -> CriticJudgement:
    fields = {"parsed": True, "leaks": False, "compared": True, "accepted": True} | values
    return CriticJudgement(
        id=str(number), critic="llm", kind="critique", problem_id="p", parent_id="r", request_id="q", text="t", said_step=said,
        reference_step=reference, reason="", verdict="wrong", **fields,
    )  # fmt: skip


def test_critics_are_counted_beside_the_reference() -> None:
    rows = [judgement(1, 2, 2), judgement(2, 1, 2), judgement(3, None, 2), judgement(4, None, None, accepted=False)]
    rows += [judgement(5, None, 1, parsed=False), judgement(6, 1, None, compared=False, leaks=True)]
    record = critic_records(rows)[0]
    assert (record.remarks, record.unparsed, record.leaks, record.compared, record.accepted) == (6, 1, 1, 4, 5)
    assert record.agree == Share(2, 4)
    assert record.false_accepts == Share(1, 3)
    assert record.named == Share(1, 3)  # of the three with a wrong step, the first
    assert record.grader == Share(3, 5)  # critiques are of wrong attempts: two of five parsed remarks find no fault
    assert (record.agree.text, record.agree.percent) == ("2 of 4 (50.0 %)", "50.0 % (15.0 to 85.0)")
    assert (Share(0, 0).text, Share(0, 0).percent) == ("", "")


def solved(line: Any, rollouts: Iterable[Rollout]) -> list[Solved]:
    known = {problem.id: problem for problem in line.problems}
    return [
        Solved(row.id, row.problem_id, known[row.problem_id].problem, known[row.problem_id].answer, row.completion, row.verdict, row.answer)
        for row in rollouts
    ]


def test_published_labels_beside_our_verdicts(small_line) -> None:
    problem = small_line.problems[0]
    right, wrong = (row for row in small_line.rollouts if row.problem_id == problem.id)
    texts = {name: row.completion.rsplit("\n", 1)[0] + f"\nA: {row.answer}" for name, row in (("6b", right), ("175b", wrong))}
    found = graded(
        {f" {problem.problem}": texts}, {f" {problem.problem}": {"6b": True, "175b": True}}, solved(small_line, small_line.rollouts)
    )
    assert [(row.model, row.label, row.verdict, row.agrees) for row in sorted(found, key=lambda row: row.model)] == [
        ("175b", True, "wrong", False),
        ("6b", True, "correct", True),
    ]
    only("problems", "rollouts_base")
    titles = {section.title: section for section in sections_of(small_line.params, found)}
    assert re.match(r"1 of 2 published labels agree", titles["Grading"].blocks[0].text)
    assert len(titles["Grading"].blocks[2].rows) == 1


def test_two_models_that_wrote_the_same_are_both_counted(small_line) -> None:
    problem = small_line.problems[0]
    row = next(row for row in small_line.rollouts if row.problem_id == problem.id and row.verdict == "correct")
    text = row.completion.rsplit("\n", 1)[0] + f"\nA: {row.answer}"
    labels = {problem.problem: {"6b": True, "175b": False}}
    twins = [row, replace(row, id="twin")]
    found = graded({problem.problem: {"6b": text, "175b": text}}, labels, solved(small_line, twins))
    assert sorted((entry.model, entry.agrees) for entry in found) == [("175b", False), ("6b", True)]


def test_an_unreadable_metrics_file_is_one_line(small_line) -> None:
    only("problems")
    path = Path("data/evaluation/metrics.json")
    path.parent.mkdir(parents=True)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"metrics\.json is no JSON document"):
        sections_of(small_line.params)
    path.write_text(json.dumps({}), encoding="utf-8")
    sections_of(small_line.params)
