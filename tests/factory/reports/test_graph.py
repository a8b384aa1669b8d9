"""The graph that the report draws is DVC's, and the picture shows all of it."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from factory.errors import DataError
from factory.line import stages_of
from factory.params import load
from factory.reports.drawing import BOX, TALL, Count, column, picture
from factory.reports.graph import line_graph

ROOT = Path(__file__).parents[3]


def dvc_edges() -> dict[str, set[str]]:
    """Stage → the stages that made what it reads under data/, by DVC itself; a reader of a dataset is led past the gate."""
    with Repo(str(ROOT)) as repo:
        stages = [stage for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml"]
        makers = {str(Path(out.fs_path).relative_to(ROOT)): stage.addressing.rpartition(":")[2] for stage in stages for out in stage.outs}
        edges: dict[str, set[str]] = {}
        for stage in stages:
            title = stage.addressing.rpartition(":")[2]
            if title in ("inputs", "report") or title.startswith("release@"):
                continue
            found = {other.addressing.rpartition(":")[2] for other in repo.index.graph.successors(stage)}
            led = {makers[f"data/tables/{maker.partition('@')[2]}.parquet"] if maker.startswith("release@") else maker for maker in found}
            edges[title] = led - {title, "inputs"}
        return edges


@pytest.mark.slow
def test_the_graph_is_that_of_dvc() -> None:
    graph = line_graph(load(ROOT / "params.yaml"), ROOT / "dvc.yaml")
    assert {title: set(sources) for title, sources in graph.edges.items()} == dvc_edges()
    assert set(graph.gates) == set(load(ROOT / "params.yaml").datasets)


def test_what_a_left_out_arrow_says_follows_from_those_that_are_drawn() -> None:
    graph = line_graph(load(ROOT / "params.yaml"), ROOT / "dvc.yaml")
    reduced = graph.reduced()
    assert sum(map(len, reduced.values())) < sum(map(len, graph.edges.values())) / 2

    def reached(title: str) -> set[str]:
        return {source for one in reduced[title] for source in {one, *reached(one)}}

    for title in graph.stages:
        assert reached(title) == set(graph.behind(title))
    order = graph.order()
    assert all(order.index(source) < order.index(title) for title, sources in graph.edges.items() for source in sources)
    assert graph.behind("restarts@r1", through_models=False) == ["problems", "rollouts@r1"]


def test_every_section_that_the_graph_expands_is_a_param_of_the_stage() -> None:
    for file in (ROOT / "dvc.yaml", ROOT / "pipelines/recorded_gsm8k/dvc.yaml"):
        stages = yaml.safe_load(file.read_text())["stages"]
        expanded = {stage["foreach"].strip("${}") for stage in stages.values() if "foreach" in stage}
        assert expanded <= set(stages["report"]["params"])


def test_the_picture_has_every_stage_once_and_no_box_over_another() -> None:
    graph = line_graph(load(ROOT / "params.yaml"), ROOT / "dvc.yaml")
    counts = {"restarts@r1": Count({"restarts_r1": 90}, 10, "passed"), "problems": Count({"problems": 7}, 0)}
    for svg, wide in ((picture(graph, counts), BOX), (column(graph, counts), 300)):
        root = ET.fromstring(svg)
        stages = [group for group in root.iter("g") if "stage" in group.attrib.get("class", "")]
        assert sorted(group.find("text").text for group in stages) == sorted(graph.stages)
        places = [(float(group.find("rect").attrib["x"]), float(group.find("rect").attrib["y"])) for group in stages]
        for number, (x, y) in enumerate(places):
            assert all(abs(x - x2) >= wide or abs(y - y2) >= TALL for x2, y2 in places[:number])
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        assert all(0 <= x <= width - wide and 0 <= y <= height - TALL for x, y in places)
        assert "90 %, 10 out" in svg
        assert "✓ gate" in svg
        assert "nothing lost" in svg


def test_an_arrow_leads_down_from_what_is_read() -> None:
    graph = line_graph(load(ROOT / "params.yaml"), ROOT / "dvc.yaml")
    root = ET.fromstring(picture(graph, {}))
    arrows = [path for path in root.iter("path") if path.attrib.get("class") == "arrow"]
    assert len(arrows) == sum(map(len, graph.reduced().values()))
    for arrow in arrows:
        numbers = [float(part.strip("MCV")) for part in arrow.attrib["d"].split()]
        assert numbers[1] < numbers[-1]


def test_without_a_line_there_are_stages_and_no_edges(tmp_path: Path) -> None:
    params = load(ROOT / "params.yaml")
    graph = line_graph(params, tmp_path / "dvc.yaml")
    assert not graph.known
    assert len(graph.stages) == sum(not stage.title.startswith("release@") for stage in stages_of(params)) - 2  # inputs, report
    (tmp_path / "dvc.yaml").write_text("stages: [")
    with pytest.raises(DataError, match="is no pipeline that can be drawn"):
        line_graph(params, tmp_path / "dvc.yaml")
