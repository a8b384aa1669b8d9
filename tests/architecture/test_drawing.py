"""The picture of the line in docs/architecture.md has the edges of DVC's own graph, no more and no fewer."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from dvc.repo import Repo

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def drawn() -> set[tuple[str, str]]:
    picture = re.search(r"```mermaid\n(.*?)```", (ROOT / "docs/architecture.md").read_text(), re.DOTALL)
    assert picture
    lines = [line.strip() for line in picture.group(1).splitlines() if "-->" in line]
    return {edge for line in lines for edge in pairwise(line.split(" --> "))}


def planned() -> set[tuple[str, str]]:
    """Edges between stage names (rounds fold together); a dataset's consumer is led past the gate to the stage that makes its rows.

    `report` reads the tables, rejects, audits and logs of every stage: only its edge from `evaluate` is drawn. `inputs` makes nothing: it
    hashes what the first stages read.
    """
    with Repo(str(ROOT)) as repo:
        stages = [stage for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml"]
        makers = {str(Path(out.fs_path).relative_to(ROOT)): stage.name for stage in stages for out in stage.outs}
        edges = set()
        for stage in stages:
            if stage.name.startswith("release@"):
                continue
            for maker in (other.name for other in repo.index.graph.successors(stage)):
                if maker.startswith("release@"):
                    maker = makers.get(f"data/tables/{maker.removeprefix('release@')}.parquet", maker)
                edges.add((maker.split("@")[0], stage.name.split("@")[0]))
    return {(a, b) for a, b in edges if a != "inputs" and (b != "report" or a == "evaluate")}


def test_the_drawing_is_the_graph() -> None:
    assert planned() - drawn() == set(), "docs/architecture.md lacks edges of dvc.yaml"
    assert drawn() - planned() == set(), "docs/architecture.md draws edges that dvc.yaml has not"
