"""The six prompt situations of Satori App. C, letter by letter: a changed prompt changes every answer, so it is changed on purpose."""

from pathlib import Path

import pytest

from factory.language.prompting import render

GOLDEN = Path(__file__).parents[3] / "golden/prompts"
PROBLEM = "Tom had 12 apples. Then he found 7 and lost 4. How many apples does Tom have now?"
GOLD = "12 + 7 = 19\n19 - 4 = 15\n\\boxed{15}"
CRITIQUE = "In Step 2: do not add 4."
SITUATIONS = {
    "solve": {},
    "verify": {"prefix": "12 + 7 = 19"},
    "continue_verified": {"attempt": "12 + 7 = 19", "reflection": "Let me check. 12 + 7 is 19. Right."},
    "critique": {"solution": GOLD, "attempt": "12 + 7 = 19\n19 + 4 = 23\n\\boxed{23}"},
    "continue_critique": {
        "attempt": "12 + 7 = 19\n19 + 4 = 23", "reflection": "But wait: do not add 4.", "exploration": "This time, take away 4.",
    },
    "critique_again": {
        "solution": GOLD, "attempt": "12 + 7 = 19\n19 + 4 = 23", "critique": CRITIQUE, "continuation": "19 - 4 = 14\n\\boxed{14}",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SITUATIONS)
def test_prompts_are_what_they_were(name: str) -> None:
    assert render(name, problem=PROBLEM, **SITUATIONS[name]) == (GOLDEN / f"{name}.txt").read_text()


def test_continuations_go_on_from_the_words_of_the_trajectory() -> None:
    """Without meta-action tokens they read as what follows `Solve:`, so that a model that knows none goes on as it solves."""
    solve = (GOLDEN / "solve.txt").read_text()
    for name in ("verify", "continue_verified", "continue_critique"):
        assert (GOLDEN / f"{name}.txt").read_text().startswith(f"{solve}12 + 7 = 19\n")


def test_no_continuation_prompt_shows_the_gold_solution() -> None:
    for name in ("solve", "verify", "continue_verified", "continue_critique"):
        assert "Solution:" not in (GOLDEN / f"{name}.txt").read_text()
