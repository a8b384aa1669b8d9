"""Hub sources, as folders that `datasets` reads by the same call: configurations, and one line for what cannot be loaded."""

import json
from pathlib import Path
from typing import Any

import pytest

from factory.errors import DataError
from factory.params import Source
from factory.problems.sources import from_records, read_raw

ROW = {"question": "How many?", "answer": "3 + 4\n#### 7"}
TWO = (
    "---\nconfigs:\n- config_name: main\n  data_files: main/train.jsonl\n- config_name: socratic\n  data_files: socratic/train.jsonl\n---\n"
)


def folder(path: Path, files: dict[str, str | list[dict[str, Any]]]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)
        (path / name).write_text(text, encoding="utf-8")
    return path


def source(path: Path, **more: Any) -> Source:
    columns = {"problem": "question", "answer": "answer", "solution": "answer"}
    given = {"name": "h", "kind": "hub", "path": str(path), "revision": "main", "columns": columns, "answer_after": "####", **more}
    return Source(**given)


def refuse(path: Path, **more: Any) -> str:
    with pytest.raises(DataError) as caught:
        read_raw(source(path, **more))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def test_a_dataset_with_several_configurations_names_them(tmp_path: Path) -> None:
    two = folder(tmp_path / "two", {"README.md": TWO, "main/train.jsonl": [ROW], "socratic/train.jsonl": [{**ROW, "answer": "#### 8"}]})
    for config, answer in (("main", "7"), ("socratic", "8")):
        problems, rejects = from_records(source(two, hub_config=config), read_raw(source(two, hub_config=config)))
        assert ([row.answer for row in problems], rejects) == ([answer], [])
    assert refuse(two).endswith("two@main has several configurations: name one of main, socratic in problems.sources.h.hub_config")
    assert "two@main has no configuration 'mian': name one of main, socratic in" in refuse(two, hub_config="mian")
    assert "Unknown split" in refuse(two, hub_config="main", hub_split="test")


@pytest.mark.slow
def test_what_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    types = folder(tmp_path / "types", {"train-1.jsonl": [ROW], "train-2.jsonl": [{"question": "Two?", "answer": [1, 2]}]})
    assert "types@main cannot be loaded: its files do not hold the same columns and types" in refuse(types)
    columns = folder(tmp_path / "columns", {"train-1.jsonl": [ROW], "train-2.jsonl": [{"question": "Two?", "other": {"a": 1}}]})
    assert "do not hold the same columns" in refuse(columns)
    for name, files in {
        "torn": {"train.jsonl": "{torn\n"}, "none": {"train.jsonl": ""}, "script": {"script.py": ""}, "odd": {"a.xyz": "x"},
        "card": {"README.md": "---\nconfigs: [a, {\n---\n", "train.jsonl": [ROW]},
    }.items():  # fmt: skip
        assert f"{name}@main cannot be loaded: " in refuse(folder(tmp_path / name, files))  # type: ignore[arg-type]
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        assert "cannot be loaded: " in refuse(tmp_path / name)
    assert "(problems.sources.h)" in refuse(Path("openai/gsm8k"), hub_config="main")


def test_only_mapped_columns_are_read_and_missing_ones_named(tmp_path: Path) -> None:
    path = folder(tmp_path / "more", {"train.jsonl": [{**ROW, "more": {"deep": [1]}}]})
    assert read_raw(source(path))[0].record == ROW
    said = refuse(path, columns={"problem": "task"})
    assert said.endswith("has no column 'task' for problem; it has answer, more, question: correct problems.sources.h.columns")


def test_a_revision_is_needed() -> None:
    assert refuse(Path("openai/gsm8k"), revision=None).startswith("problems.sources.h has no revision: name a commit of openai/gsm8k")
