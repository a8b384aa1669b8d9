"""docs/grading.md says the rules; this test reads its table, so that the docs cannot say what the code does not do."""

import re
from pathlib import Path

import pytest

from factory.grading import grade, grade_answer

DOCS = (Path(__file__).parents[3] / "docs/grading.md").read_text()
_QUOTED = re.compile(r"`((?:[^`])+)`")


def clauses() -> list[tuple[str, str, str]]:
    """(answer, gold, expected verdict) of every `answer` for `gold` in the table."""
    table = DOCS[DOCS.index("## Rules for `math` and `number`") :].split("\n## ")[0]
    found = []
    for line in table.splitlines():
        cells = re.split(r"(?<!\\)\|", line)[1:-1]
        if len(cells) != 3 or cells[0].strip() in ("rule", "---"):
            continue
        for cell, verdict in zip(cells[1:], ("correct", "wrong"), strict=True):
            waiting: list[str] = []
            for piece in re.split(r"(\sfor\s`[^`]+`)", cell):
                quoted = [text.replace(r"\|", "|") for text in _QUOTED.findall(piece)]
                if piece.startswith(" for `"):
                    found += [(answer, quoted[0], verdict) for answer in waiting]
                    waiting = []
                else:
                    waiting += quoted
            assert not waiting, f"no gold answer for {waiting} in: {line}"
    return found


CLAUSES = clauses()


def test_the_table_is_read_whole() -> None:
    assert len(CLAUSES) >= 80
    assert {verdict for _, _, verdict in CLAUSES} == {"correct", "wrong"}


@pytest.mark.parametrize(("answer", "gold", "verdict"), CLAUSES, ids=[f"{answer} for {gold}" for answer, gold, _ in CLAUSES])
def test_a_line_of_the_docs(answer: str, gold: str, verdict: str) -> None:
    response = answer if "boxed" in answer else f"So it is \\boxed{{{answer}}}."
    found = grade(response, gold, "math")
    assert found.verdict == verdict, found
    assert bool(found.reason) == (verdict == "wrong")
    if "boxed" not in answer:
        assert grade_answer(gold, answer, "math").verdict == verdict, "exchanging gold and answer changes the verdict"


@pytest.mark.parametrize(
    ("answer", "gold", "reason"),
    [
        ("5", "6", "different values"), ("5 m", "5 cm", "unit differs: m against cm"), ("(2,1)", "(1,2)", "order matters"),
        ("[0,1)", "(0,1)", "brackets differ: [ ) against ( )"), ("5 or 6", "5", "2 answers where one is asked"),
        ("y = 3", "x = 3", "different names: y against x"), ("2x = 10", "x = 5", "an equation or inequality that is not solved"),
        ("1, 2, 3", "1, 2", "different values: one too many"), ("1, 2", "1, 2, 3", "different values: one is missing"),
        ("Odd", "even", "different words"), ("204_6", "204_5", "base differs: 6 against 5"), ("(1,2,3)", "(1,2)", "3 members against 2"),
        ("5", "(1,5)", "one value against a tuple or interval"),
    ],
)  # fmt: skip
def test_a_wrong_answer_has_its_reason(answer: str, gold: str, reason: str) -> None:
    assert grade_answer(answer, gold, "math")[:2] == ("wrong", reason)
