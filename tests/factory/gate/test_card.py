"""The card's front matter is YAML whatever the params hold, and its body stays Markdown."""

from pathlib import Path

import pytest
import yaml
from huggingface_hub import DatasetCard

from factory import storage
from factory.gate.release import release

NASTY = [
    "My licence: all rights reserved", 'the "best" licence', "it's, {a}: [b] # c", "line one\nline two", "a\n---\nb", "a\r\n---\r\nb",
    "--- end", "née 许可 😀", "*star &anchor !tag %x @y", "null", "yes", "1.0", "2024-01-01", "- item", "a\u2028b\u0085c\ttab",
    "back`tick``s | pipe", "{{ facts }}", "\\n", " ", "x" * 300 + " y" * 300,
]  # fmt: skip


def card_of(line, **values: str) -> tuple[dict, str]:
    params = line.params.model_copy(update={"release": line.params.release.model_copy(update=values)})
    release("corpus", params)
    path = storage.DATASETS / "corpus" / "README.md"
    return DatasetCard.load(path).data.to_dict(), path.read_text(encoding="utf-8")


@pytest.mark.parametrize("licence", NASTY)
def test_any_licence_reads_back(small_line, licence: str) -> None:
    matter, text = card_of(small_line, licence=licence)
    assert matter["license"] == licence
    assert matter["configs"] == [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}]
    assert yaml.safe_load(text.split("---\n")[1])["license"] == licence
    assert text.count("\n## Columns\n") == text.count("\n## Audit\n") == 1


@pytest.mark.parametrize("notice", ["two\nlines: of notice", "---", "> quote | pipe", "# no head", "é\u2028x"])
def test_any_notice_stays_in_its_line(small_line, notice: str) -> None:
    matter, text = card_of(small_line, notice=notice)
    assert matter["license"] == "apache-2.0"
    quoted = [line for line in text.splitlines() if line.startswith("> **")]
    assert len(quoted) == 1
    assert quoted[0].endswith("**")


def test_a_card_with_a_nasty_licence_loads_with_datasets(small_line, tmp_path: Path) -> None:
    from datasets import load_dataset

    card_of(small_line, licence="a: 'b'\n---\n- \"c\"", notice="x: [")
    assert len(load_dataset(str(storage.DATASETS / "corpus"), split="train", cache_dir=str(tmp_path / "cache"))) > 0
