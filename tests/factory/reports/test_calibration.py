"""Critics beside people's labels."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from factory.reports.agreement import Share
from factory.reports.calibration import (
    Finding,
    Judgement,
    arithmetic,
    calibrate,
    calibration,
    fault,
    judgements,
    read_judgement,
    reference,
    steps_of,
    yield_of,
)
from factory.reports.labelled import Labelled, read_labelled
from factory.reports.page import Table

DATA = Path(os.environ.get("COAT_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
needs_data = pytest.mark.skipif(not (DATA / "recorded").exists(), reason=f"no labelled solutions at {DATA}: set COAT_DATA")

GOLD = "12 + 7 = <<12+7=19>>19\n19 - 4 = 15\n\\boxed{15}"
WRONG = Labelled(
    "s", "at", "Tom has 12, finds 7, loses 4.", GOLD, "15", "number",
    ("Step 1: 12 + 7 = 19", "Step 2: 19 - 4 = 14", "Step 3: #### 14"), False, 2,
)  # fmt: skip
RIGHT = replace(WRONG, steps=("Step 1: 12 + 7 = 19", "Step 2: 19 - 4 = 15", "Step 3: #### 15"), right=True, first_wrong=None)


def test_the_reference_critic_reads_labelled_solutions_as_the_line_does() -> None:
    assert steps_of(WRONG) == ("12 + 7 = 19", "19 - 4 = 14", "\\boxed{14}")
    assert reference(WRONG) == Finding(True, 2)
    assert reference(RIGHT) == Finding()
    strange = replace(RIGHT, steps=("12 + 12 = 24", "so it is 15"), right=False, first_wrong=1)
    assert reference(strange) == Finding(True, 1)  # the equation holds, the gold solution has no 24
    assert arithmetic(strange) == Finding()
    assert arithmetic(WRONG) == Finding(True, 2)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"gold": None}, "no gold solution"), ({"answer": None}, "no gold answer"),
        ({"gold": "He has \\boxed{15}"}, "no equation in the gold solution"),
        ({"steps": ("It is 15.",), "first_wrong": 1}, "no equation in the attempt"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_silent_with_a_reason(change: dict, why: str) -> None:
    assert reference(replace(WRONG, **change)).silent.startswith(why)


def test_the_table_counts_only_what_is_covered() -> None:
    findings = [
        (WRONG, Finding(True, 2)), (WRONG, Finding(True, 1)), (WRONG, Finding()), (WRONG, Finding(silent="no equation")),
        (replace(WRONG, first_wrong=None), Finding(True, 1)), (RIGHT, Finding()), (RIGHT, Finding(True, 3)),
    ]  # fmt: skip
    found = calibrate("critic", findings)
    assert (found.n, found.wrong, found.covered) == (7, 5, Share(6, 7))
    assert found.agree == Share(4, 6)  # three of the four wrong ones, one of the two right ones
    assert (found.false_accepts, found.false_alarms) == (Share(1, 4), Share(1, 2))
    assert found.step == Share(1, 3)  # of the covered wrong ones with a labelled step: 2, 1 and none were named
    assert found.silent == (("no equation", 1),)
    assert calibrate("critic", []).agree == Share(0, 0)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("Step 1 is right.\n\nFinal Judgement: Incorrect\nFirst Error Step: Step 3\nError Analysis: …", Finding(True, 3)),
        ("Final Judgement: wrong\n\nFirst Error Step: 2", Finding(True, 2)), ("Final Judgement: Correct\nFirst Error Step: N/A", Finding()),
        ("Final Judgment: correct", Finding()), ("The student errs.", Finding(silent="no final judgement")),
        ("Final Judgement: unclear", Finding(silent="no final judgement")),
        ("Final Judgement: wrong", Finding(silent="it names no first wrong step")),
        ("Final Judgement: wrong\nFirst Error Step: 4", Finding(silent="it names a step that is not there")),
        ("Final Judgement: correct\nFirst Error Step: 2", Finding(silent="it calls the solution right and a step wrong")),
    ],
)  # fmt: skip
def test_recorded_judgements_are_read_or_refused_with_a_reason(text: str, finding: Finding) -> None:
    assert read_judgement(text, steps=3) == finding


def test_yield_of_a_recorded_critic() -> None:
    found = [
        Judgement(WRONG, Finding(True, 2), True, 100), Judgement(WRONG, Finding(True, 2), False, 50), Judgement(WRONG, Finding(), None, 30),
        Judgement(WRONG, Finding(True, 1), True, 20), Judgement(WRONG, Finding(silent="no final judgement"), True, 10),
        Judgement(RIGHT, Finding(True, 1), True, 5), Judgement(WRONG, Finding(True, 2), None, 5),
    ]  # fmt: skip
    assert [fault(judgement) for judgement in found] == [
        "", "its reason is wrong by people's judgement", "it accepts a wrong solution", "it names another step than people do",
        "no final judgement", "it refuses a right solution", "nobody judged its reason",
    ]  # fmt: skip
    record = yield_of("critic", found)
    assert (record.accepted, record.words) == (Share(1, 7), 220.0)  # 220 words in all for one accepted judgement
    assert sum(count for _, count in record.rejects) == 6
    assert yield_of("critic", found[1:2]).words is None


@needs_data
def test_the_reference_critic_on_public_data() -> None:
    found = read_labelled(DATA)
    samples = calibrate("reference", [(row, reference(row)) for row in found["gsm8k samples"].rows])
    assert samples.n == 5276
    assert samples.covered.hits > 4800
    assert 0.90 < samples.agree.hits / samples.agree.of < 0.95
    assert samples.false_accepts.hits == 0  # the wrong answer in the box gives them away
    sums = calibrate("reference", [(row, reference(row)) for row in found["bbmistake arithmetic"].rows])
    assert (sums.n, sums.covered.hits) == (300, 300)
    assert sums.agree.hits > 270
    assert sums.step.hits > 225  # of 238
    assert calibrate("reference", [(row, reference(row)) for row in found["mrben math"].rows]).covered == Share(0, 918)


@needs_data
def test_recorded_critics_on_public_data() -> None:
    rows = read_labelled(DATA)["mrgsm8k Claude"].rows
    found = judgements(DATA / "recorded/mrgsm8k_Claude.json", "claude2", rows)
    assert not [item for item in found if item.finding.silent]  # every request is found, every judgement read
    assert calibrate("claude2", [(item.row, item.finding) for item in found]).step == Share(325, 326)
    assert yield_of("claude2", found).accepted == Share(185, 326)


@needs_data
def test_every_table_of_the_calibration() -> None:
    tables = {block.caption: block for block in calibration(DATA) if isinstance(block, Table)}
    assert len(tables["Critics beside people's labels"].rows) == 7 * 2 + 2
    assert len(tables["Recorded critics: yield"].rows) == 2
