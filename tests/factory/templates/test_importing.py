"""Template libraries of other people: every row kept or rejected with a reason, whatever its shape; the published one whole."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from factory.errors import DataError
from factory.schemas import Template
from factory.storage import read_rows, write_rows
from factory.templates.importing import read_library, templates_in

REAL = Path(os.environ.get("COAT_DATA", Path(__file__).parents[4] / "shared/data")) / "templates/template_library.json"
ROW = {
    "name": "Add",
    "tags": ["A", "b"],
    "description": "Add it.",
    "scope": "A gain.",
    "steps": ["Step 1: Add it."],
    "example": {"problem": "1 + 1?"},
}


def written(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def lines(*rows: object) -> str:
    return "\n".join(json.dumps(row) for row in rows)


def test_headings_become_tags_behind_a_templates_own(tmp_path):
    other = {
        "template_name": "Subtract",
        "knowledge_tag": ["Loss"],
        "reason_flow": ["Take away."],
        "application_scenario": ["a loss", "a gift"],
    }
    path = written(tmp_path / "nested.json", {"Numbers": {"Sums, and gains": [ROW, other, 7]}})
    found = read_library(path, "MIT", "org/repo@1")
    assert {row.name: row.tags for row in found.templates} == {
        "Add": ("a", "b", "numbers", "sums and gains"), "Subtract": ("loss", "numbers", "sums and gains"),
    }  # fmt: skip
    subtract = next(row for row in found.templates if row.name == "Subtract")
    assert (subtract.scope, subtract.steps, subtract.licence, subtract.source) == ("a loss; a gift", ("Take away.",), "MIT", "org/repo@1")
    assert (found.rows, [row.reason for row in found.rejects]) == (3, ["not a JSON object"])
    assert found.origins[subtract.id].at == "Numbers/Sums, and gains/1"


def test_lines_csv_and_mapped_columns_say_the_same(tmp_path):
    plain = read_library(
        written(tmp_path / "a.jsonl", lines({"titel": "Add", "ablauf": "1. Add.\n2. Check.", "license": "MIT"})),
        columns={"name": "titel", "steps": "ablauf"},
    )
    sheet = read_library(written(tmp_path / "a.csv", 'title,steps,licence\nAdd,"1. Add.\n2. Check.",MIT\n'))
    for found in (plain, sheet):
        assert [(row.name, row.steps, row.licence, row.example_problem) for row in found.templates] == [
            ("Add", ("Add.", "Check."), "MIT", "")
        ]


def test_rows_in_are_rows_out_and_rejects(tmp_path):
    odd = [
        {**ROW, "name": 5},
        {**ROW, "name": "x" * 999},
        {"name": None},
        {**ROW, "steps": {"1": "a", "2": ["b", {"c": "d"}]}, "name": "Odd"},
    ]
    found = read_library(written(tmp_path / "odd.jsonl", lines(ROW, ROW, *odd) + "\nno JSON"), "MIT")
    assert Counter(row.reason for row in found.rejects) == {
        "exact duplicate": 1, "a name of more than a line": 1, "no name": 1, "malformed JSON": 1,
    }  # fmt: skip
    assert {row.name: row.steps for row in found.templates} == {"Add": ("Add it.",), "5": ("Add it.",), "Odd": ("a", "b", "d")}
    assert found.rows == 7


def test_what_is_imported_is_read_again_as_it_stands(tmp_path):
    found = read_library(written(tmp_path / "a.json", [ROW]), "MIT")
    write_rows(tmp_path / "a.parquet", Template, found.templates)
    assert read_rows(tmp_path / "a.parquet", Template) == templates_in(tmp_path / "a.parquet")[0] == found.templates
    assert templates_in(tmp_path / "a.json")[0][0].id == found.templates[0].id


def test_a_newer_import_supersedes_its_names(tmp_path):
    first = read_library(written(tmp_path / "a.json", [ROW, {**ROW, "name": "Keep"}]), "MIT")
    write_rows(tmp_path / "a.parquet", Template, first.templates)
    second = read_library(
        written(tmp_path / "b.json", [{**ROW, "steps": ["Add it twice."]}, {**ROW, "name": "Keep"}]), "MIT", replaces=tmp_path / "a.parquet"
    )
    old = {row.name: row for row in first.templates}
    assert {row.name: (row.version, row.parents) for row in second.templates} == {"Add": (2, (old["Add"].id,)), "Keep": (1, ())}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", '{"A": [\n{"name": ', "is no JSON: Expecting value in line 2"),
        ("a.json", '{"A": 1,\n "B": "text"}', "without a list of templates"),
        ("a.json", '{"A": 1, "B": "text"}', "holds no template (no name: 1): its columns are A, B"),
        ("a.json", '{"A": [{"name": "x"}], "A": [{"name": "y"}]}', "the heading 'A' twice"),
        ("a.json", '{"a":' * 30 + '[{"name": "x"}]' + "}" * 30, "deeper than 12 levels"),
        ("a.jsonl", "", "has no rows"),
        ("a.jsonl", "hello\n", "no rows that can be read"),
        ("a.csv", "titel,ablauf\nAdd,Go\n", "holds no template (no name: 1): its columns are ablauf, titel"),
        ("a.txt", "name\nx", "no ending that says how to read it"),
    ],
)
def test_what_is_no_library_is_said_in_a_line(tmp_path, name, content, said):
    with pytest.raises(DataError) as caught:
        read_library(written(tmp_path / name, content), "MIT")
    assert said in str(caught.value)
    assert str(caught.value).count("\n") < 2


def test_licence_and_columns_must_be_known(tmp_path):
    path = written(tmp_path / "a.json", [ROW])
    with pytest.raises(DataError, match=r"states no licence for 1 of its templates .*--licence"):
        read_library(path)
    with pytest.raises(DataError, match="no column 'titel' for name; it has description"):
        read_library(path, "MIT", columns={"name": "titel"})
    with pytest.raises(DataError, match="'title' is no column of ours: expected name, tags"):
        read_library(path, "MIT", columns={"title": "titel"})
    with pytest.raises(DataError, match="'title' is no column of ours: the name here stands first, OURS=THEIRS: name=title"):
        read_library(path, "MIT", columns={"title": "name"})
    with pytest.raises(DataError, match="is missing"):
        read_library(tmp_path / "none.json", "MIT")


@pytest.mark.skipif(not REAL.exists(), reason=f"ReasonFlux's library is not at {REAL} (COAT_DATA)")
def test_the_published_library_is_kept_whole():
    found = read_library(REAL, "Apache-2.0", "Gen-Verse/ReasonFlux@8980b8b9")
    assert (len(found.templates), found.rejects) == (420, [])
    published = [template for sections in json.loads(REAL.read_text()).values() for rows in sections.values() for template in rows]
    rows = {found.origins[row.id].number: row for row in found.templates}
    assert [" ".join(row["template_name"].split()) for row in published] == [rows[number].name for number in range(420)]
    for row in rows.values():
        assert row.steps
        assert row.description
        assert row.scope
        assert row.tags
        assert (row.licence, row.source) == ("Apache-2.0", "Gen-Verse/ReasonFlux@8980b8b9")
        assert not any(step.lower().startswith(("step 1", "step1", "1. ", "**")) or "\n" in step for step in row.steps)
        assert not any(letter in step for step in (*row.steps, row.example_solution) for letter in "\a\b\v\f\x00")
    changes = found.changes
    assert changes["scopes that were lists"] == 39
    assert (changes["examples that were objects"], changes["examples that were texts"]) == (89, 331)  # one object holds two texts
    assert changes["steps numbered by hand"] > 1_800
    assert changes["empty steps left out"] == 4
    assert rows[278].steps[0].startswith("Method 1 (Slope and Midpoint Method): Calculate")
    assert rows[278].steps[4].startswith("Method 2 (Distance Formula Method): Let")
    tags = Counter(tag for row in rows.values() for tag in row.tags)
    chapter = json.loads(REAL.read_text())["Sequences"]
    assert tags["sequences"] >= sum(map(len, chapter.values()))
    assert sum(map(len, found.tags.values())) > len(found.tags) == len(tags)


@pytest.mark.skipif(not REAL.exists(), reason=f"ReasonFlux's library is not at {REAL} (COAT_DATA)")
def test_nothing_is_added_to_the_published_words():
    """Each word of our rows is one of the source's, but for `Answer:` before an answer that stood under a key of its own."""
    found = read_library(REAL, "Apache-2.0")
    published = [template for sections in json.loads(REAL.read_text()).values() for rows in sections.values() for template in rows]
    for row in found.templates:
        source = json.dumps(published[found.origins[row.id].number], ensure_ascii=False).lower()
        for text in (row.name, row.description, row.scope, *row.steps, row.example_problem, row.example_solution, row.example_answer):
            missing = [word for word in text.lower().split() if word.isalpha() and word not in source]
            assert not missing, (row.name, missing)
