"""The list of stages that people are shown is what dvc.yaml expands to."""

from pathlib import Path

import pytest
import yaml

from factory.line import stages_of
from factory.params import parse

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("folder", [ROOT, ROOT / "pipelines/recorded_gsm8k"], ids=["laptop", "recorded"])
def test_stages_and_their_tables_are_those_of_dvc(folder: Path) -> None:
    document = yaml.safe_load((folder / "params.yaml").read_text())
    found = {stage.title: stage for stage in stages_of(parse(document))}
    expected: dict[str, list[str]] = {}
    for name, stage in yaml.safe_load((folder / "dvc.yaml").read_text())["stages"].items():
        if "foreach" not in stage:
            expected[name] = [str(out) for out in stage.get("outs", [])]
            continue
        items = document[stage["foreach"].strip("${}")]
        for key in items:
            own = items[key]["corpus"] if name == "corpus" else ""
            expected[f"{name}@{key}"] = [out.replace("${key}", key).replace("${item.corpus}", own) for out in stage["do"]["outs"]]
    assert set(found) == set(expected)
    for title, outs in expected.items():
        stage = found[title]
        tables = sorted(out for out in outs if out.startswith("data/tables/"))
        rejects = [out for out in outs if out.startswith("data/rejects/")]
        assert sorted(f"data/tables/{name}.parquet" for name in stage.tables) == tables
        assert ([f"data/rejects/{stage.rejects}.parquet"] if stage.rejects else []) == rejects
