"""The card's front matter is YAML whatever the params hold, and its body stays Markdown."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import DatasetCard

from factory import storage
from factory.errors import GateError
from factory.gate.release import release
from factory.schemas import Example, Template

pytestmark = pytest.mark.slow

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


def licensed(line, *licences: str) -> None:
    """The library's rows under these licences, in turn."""
    rows = storage.read_rows(storage.TABLES / "templates.parquet", Template)
    rows += [replace(rows[0], id=f"z{number}", name=f"another {number}") for number in range(len(licences))]
    rows = [replace(row, licence=licences[place % len(licences)]) for place, row in enumerate(sorted(rows, key=lambda row: row.id))]
    storage.write_rows(storage.TABLES / "templates.parquet", Template, rows)


def test_a_library_of_mixed_licences_shows_all_with_their_rows(small_line) -> None:
    licensed(small_line, "apache-2.0", "MIT", "CC-BY-4.0")
    rows = storage.read_rows(storage.TABLES / "templates.parquet", Template)
    release("templates", small_line.params)
    folder = storage.DATASETS / "templates"
    assert len(storage.read_rows(folder, Template)) == len(rows), "no row is left out for its licence"
    assert DatasetCard.load(folder / "README.md").data.to_dict()["license"] == ["apache-2.0", "cc-by-4.0", "mit"]
    text = (folder / "README.md").read_text(encoding="utf-8")
    counts = {name: sum(row.licence == name for row in rows) for name in ("CC-BY-4.0", "MIT", "apache-2.0")}
    assert "\n".join(f"| `{name}` | {count} |" for name, count in counts.items()) in text
    words = {"collection": small_line.params.release.name, "notice": small_line.params.release.notice, "licence": "apache-2.0"}
    assert json.loads((storage.AUDITS / "templates.json").read_text())["release"] == {**words, "licences": counts}


def test_descriptions_carry_the_licences_of_their_templates(small_line) -> None:
    licensed(small_line, "MIT")
    release("structure", small_line.params)
    text = (storage.DATASETS / "structure/README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(text.split("---\n")[1])["license"] == "mit"
    assert f"| `MIT` | {len(storage.read_rows(storage.DATASETS / 'structure', Example))} |" in text


def test_a_library_under_the_release_s_own_licence_shows_no_table(small_line) -> None:
    licensed(small_line, small_line.params.release.licence)
    release("templates", small_line.params)
    assert "## Licences" not in (storage.DATASETS / "templates/README.md").read_text(encoding="utf-8")
    assert json.loads((storage.AUDITS / "templates.json").read_text())["release"]["licences"] == {}


def test_a_template_without_a_licence_stops_the_release(small_line) -> None:
    licensed(small_line, "MIT", "")
    with pytest.raises(GateError, match="every template has a licence"):
        release("templates", small_line.params)


def test_the_card_says_how_noisy_the_labels_of_steps_are(small_line) -> None:
    audit = release("process_rewards", small_line.params)
    agrees = next(measure for measure in audit.measures if measure.name == "critic_agrees")
    assert (agrees.value, agrees.counts["solutions"], agrees.counts["same"]) == (1.0, 3, 3)
    text = (storage.DATASETS / "process_rewards/README.md").read_text(encoding="utf-8")
    assert f"| {agrees.says} | 1.0 | {agrees.low} to 1.0 | at least 0.8 | solutions 3, same 3, steps 9," in text
    assert "## Measures" not in card_of(small_line)[1], "a corpus has none"
