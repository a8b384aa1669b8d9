"""The labelled set of benchmarks/contamination.py: what is a copy by rule is found, what is another problem is kept."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("COAT_DATA", ROOT.parent / "shared" / "data"))
sys.path.insert(0, str(ROOT))

from benchmarks import contamination  # noqa: E402
from benchmarks.copies import NEGATIVE, POSITIVE, copies  # noqa: E402

QUESTION = (
    "Tom has 3 red apples and Ann has 12 pears. Then Tom buys 4 more apples, and Ann gives Tom some apples. "
    "How many does each of them have?"
)


def test_copies_are_what_they_are_called() -> None:
    around = [f"Text {n}." for n in range(6)]
    made = copies(QUESTION, "7", 1, around)
    assert made == copies(QUESTION, "7", 1, around)
    assert set(made) == {*POSITIVE, *NEGATIVE} - {"unrelated"}
    assert all(QUESTION in made[kind].text for kind in ("verbatim", "wrapped", "few-shot", "embedded"))
    assert sorted(made["reordered"].text.replace(".", "").split()) == sorted(QUESTION.replace(".", "").split())
    for kind in ("reordered", "renamed", "paraphrased"):
        assert QUESTION not in made[kind].text
        assert all(number in made[kind].text.split() for number in ("3", "12", "4"))
    assert not {"Tom", "Ann", "apples", "pears"} & set(made["renamed"].text.replace(".", "").replace(",", "").split())
    changed = [sum(a != b for a, b in zip(QUESTION.split(), made[kind].text.split(), strict=True)) for kind in ("numbers", "one number")]
    assert changed == [3, 1]
    assert [made[kind].answer for kind in ("renamed", "numbers", "one number")] == ["7", None, None]


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "gsm8k").is_dir(), reason=f"no public benchmarks at {DATA}: set COAT_DATA")
def test_verbatim_and_wrapped_copies_are_all_found_and_other_problems_kept() -> None:
    made, tests = contamination.labelled_set(40)
    tally = contamination.judged(made, tests)
    for kind in ("verbatim", "wrapped", "few-shot", "embedded"):
        assert tally.flagged[kind] == tally.texts[kind] == 40 * len(tests)
    for kind in ("reordered", "renamed", "paraphrased"):
        assert tally.flagged[kind] >= 0.9 * tally.texts[kind] > 15
        assert tally.named[kind] >= 0.9 * tally.flagged[kind]
    for kind in ("numbers", "one number"):
        assert tally.texts[kind] - tally.flagged[kind] >= 0.99 * tally.texts[kind] > 50
    assert tally.flagged["unrelated"] < 5
