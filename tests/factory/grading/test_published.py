"""Published results of real outputs: verdicts of CRUXEval and GSM8K, letters of MMLU-Pro, answers of TableBench, labels of BoardgameQA."""

import json
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from factory.grading.extraction import extract
from factory.grading.kinds import SYNONYMS, compare_choice, compare_label, compare_literal, read_choice, readable
from factory.grading.numbers import parse_number
from factory.grading.protocol import ALL_RULES
from factory.grading.tables import compare_table

DATA = Path(os.environ.get("COAT_DATA", Path(__file__).parents[4] / "shared/data"))
pytestmark = pytest.mark.skipif(not (DATA / "cruxeval").exists(), reason=f"public data sets are not at {DATA} (COAT_DATA)")


def rows_of(path: str) -> list[dict[str, Any]]:
    text = (DATA / path).read_text()
    return [json.loads(line) for line in text.splitlines()] if path.endswith(".jsonl") else json.loads(text)


def test_cruxeval_verdicts_are_those_that_running_the_code_gave() -> None:
    scored = json.loads((DATA / "cruxeval/codellama7b_output_scored.json").read_text())
    golds = {row["id"]: row["output"] for row in rows_of("cruxeval/cruxeval.jsonl")}
    assert not [gold for gold in golds.values() if readable("literal", gold)]
    ours = {key: [compare_literal(answer, golds[key])[0] for answer in answers] for key, answers in scored["raw_generations"].items()}
    assert {key: [verdict == "correct" for verdict in verdicts] for key, verdicts in ours.items()} == scored["raw_scored_generations"]
    counts = Counter(verdict for verdicts in ours.values() for verdict in verdicts)
    assert counts == {"correct": 2737, "wrong": 5086, "unparsable": 177}
    assert 100 * counts["correct"] / 8000 == pytest.approx(scored["pass_at_1"])  # 34.2125


def test_gsm8k_solutions_are_right_where_openai_says_so() -> None:
    """The solutions end on `A: 18`, or are cut off; read by the old exact number reader, so that this tests extraction alone."""
    counts: Counter[tuple[bool, bool]] = Counter()
    for row in rows_of("gsm8k/example_model_solutions.jsonl"):
        gold = parse_number(row["ground_truth"].rpartition("A: ")[2])
        for solution in (value for value in row.values() if isinstance(value, dict)):
            found = extract(solution["solution"], ALL_RULES, "number")
            counts[found is not None and parse_number(found.text) == gold, solution["is_correct"]] += 1
    assert counts == {(True, True): 2001, (False, False): 3275}


STATED = re.compile(r"answer is \(?([A-J])\)?")  # the first expression of MMLU-Pro's compute_accuracy.py: its first match counts
LONE = re.compile(r"\b[A-J]\b(?!.*\b[A-J]\b)", re.DOTALL)  # its last resort, any capital letter (`A`, `I`, joules); then a letter by lot


def test_mmlu_pro_letters() -> None:
    """Where we differ from a stated letter, the model states several: another one later (10 outputs), or more at once (18: `(B) and (D)`).

    The lone letters and lots are no answers: a model that has run into its limit, or `the answer is not among the options`.
    """
    with zipfile.ZipFile(next((DATA / "mmlu_pro").glob("*.zip"))) as archive:
        rows = json.loads(archive.read(archive.namelist()[0]))
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        text = row["generated_text"]
        source = "stated" if STATED.search(text) else "lone" if LONE.search(text) else "lot"
        found = extract(text, ALL_RULES, "choice")
        letter = read_choice(found.text) if found else None
        same = "none" if letter is None else "several" if letter.reason else "same" if letter.value == row["pred"] else "different"
        counts[source, same] += 1
        if source == "stated" and same == "same":
            assert found is not None
            assert compare_choice(found.text, row["answer"])[0] == ("correct" if row["pred"] == row["answer"] else "wrong")
        if source == "stated" and same == "different":
            assert len(set(STATED.findall(text))) > 1
    assert {same: count for (source, same), count in counts.items() if source == "stated"} == {
        "same": 10955, "several": 18, "different": 10, "none": 1,  # none: "The correct answer is Elizabeth F. Loftus", read as E there
    }  # fmt: skip
    assert {same: count for (source, same), count in counts.items() if source == "lone"} == {
        "same": 27,
        "different": 3,
        "several": 2,
        "none": 322,
    }
    assert {same: count for (source, same), count in counts.items() if source == "lot"} == {"none": 694}


def test_tablebench_answers() -> None:
    rows = [row for row in rows_of("tablebench/o3mini_DP_parsed.jsonl") if row["qsubtype"] != "ChartGeneration"]
    found = [extract(row["prediction"], ALL_RULES, "table") for row in rows]
    published = [row["parsed_result"]["parsed_prediction"] for row in rows]
    assert [extraction and extraction.text for extraction in found] == published
    assert len(rows) == 51
    assert sum(answer == row["answer"] for answer, row in zip(published, rows, strict=True)) == 26
    # 69.75 for 69.75%, australia for Australia, and a full stop
    assert sum(compare_table(answer, row["answer"])[0] == "correct" for answer, row in zip(published, rows, strict=True)) == 29
    assert all(compare_table(row["answer"], row["answer"]) == ("correct", "") for row in rows_of("tablebench/TableBench.jsonl"))


def boardgames() -> Iterator[dict[str, Any]]:
    for path in sorted((DATA / "bgqa").glob("*.json")):
        yield from json.loads(path.read_text())


def test_boardgame_labels() -> None:
    groups = {"proved": "positive", "disproved": "negative", "unknown": "open"}
    counts: Counter[str] = Counter()
    for row in boardgames():
        counts[row["label"]] += 1
        found = extract(row["proof"], ALL_RULES, "label")
        assert found is not None
        assert compare_label(found.text, row["label"]) == ("correct", "")
        for label, group in groups.items():
            assert compare_label(found.text, label)[0] == ("correct" if label == row["label"] else "wrong")
            assert all(
                compare_label(row["label"], word)[0] == ("correct" if label == row["label"] else "wrong") for word in SYNONYMS[group]
            )
    assert counts == {"proved": 1002, "disproved": 1000, "unknown": 998}


def test_strategyqa_labels() -> None:
    for row in rows_of("strategyqa/dev.json"):
        yes, no = compare_label(str(row["answer"]), "yes")[0], compare_label(str(row["answer"]), "no")[0]
        assert (yes, no) == (("correct", "wrong") if row["answer"] else ("wrong", "correct"))
