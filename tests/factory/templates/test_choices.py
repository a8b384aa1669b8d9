"""What evaluations say, read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.templates.choices import CHOICES, Evaluation, read_choice


@pytest.mark.parametrize(
    ("text", "choice", "remark"),
    [
        ('{"remark": "3 * 4 is 12.", "choice": "keep"}', "keep", "3 * 4 is 12."),
        ('Sure:\n```json\n{"decision": "Fetch another", "reason": "no groups"}\n```', "fetch", "no groups"),
        ("3 * 4 is 12.\nChoice: keep", "keep", "3 * 4 is 12."),
        ("**Choice:** redo - 3 * 4 is not 7", "redo", ""),
        ("The rest must change.\nDecision: revise the plan.", "revise", "The rest must change."),
        ("Choice: stop, the question is answered", "stop", ""),
        ("stop", "stop", ""),
        ("redo: 3 * 4 is 12 and not 7.\nProblem: Ann", "redo", "3 * 4 is 12 and not 7."),
        ("**Fetch another template** - no groups here", "fetch", "no groups here"),
        ("Keep.", "keep", ""),
        ("12 + 7 is 19.", "keep", "12 + 7 is 19."),
        ("12 + 7 is not 18.", "redo", "12 + 7 is not 18."),
        ("12 + 7 is 19. Right.", "keep", "12 + 7 is 19. Right."),
        ("The step is wrong: these are groups.", "redo", "The step is wrong: these are groups."),
        ("Let me check.\nVerdict: correct", None, ""),
        ("Choice: keep\nChoice: stop", None, ""),
        ("Choice: keep or stop", None, ""),
        ('{"choice": "perhaps"}', None, ""),
        ("Is it right?", None, ""),
        ("", None, ""),
        ("I see.", None, ""),
    ],
)
def test_reading(text: str, choice: str | None, remark: str) -> None:
    assert read_choice(text) == (Evaluation(choice, remark) if choice else None)  # type: ignore[arg-type]


@given(st.text(max_size=400))
def test_any_text_is_read_or_not(text: str) -> None:
    found = read_choice(text)
    assert found is None or (found.choice in CHOICES and "\n" not in found.remark)
