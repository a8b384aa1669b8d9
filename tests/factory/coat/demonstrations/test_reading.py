"""How critics' answers are read: hand-made ones of the sort that models write, recorded judgements of two models, and hostile text."""

import json
import os
import re
import time
from collections import Counter
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.coat.demonstrations.reading import (
    CRITIQUE_SCHEMA,
    Read,
    Unreadable,
    read_critique,
    read_verification,
    verification_lines,
)
from factory.coat.demonstrations.wording import plain

DATA = Path(os.environ.get("COAT_DATA", Path(__file__).resolve().parents[5] / "shared" / "data")) / "recorded"
ADD, TAKE = "they add 4.", "take away 4."
TWO_LINES = re.compile(r"\s*In Step (\d{1,6}): *(\S.*?)(?<=\S)\s*\nAlternatively: *(\S.*?)(?<=\S)\s*", re.DOTALL)

CRITIQUES: list[tuple[str, Read]] = [
    # the two lines, in other clothes
    ("In Step 3: they add 4.\nAlternatively: take away 4.", Read(3, ADD, TAKE)),
    ("**In Step 3:** they add 4.\n**Alternatively:** take away 4.", Read(3, ADD, TAKE)),
    ("**In Step 3: they add 4.**\n\n**Alternatively: take away 4.**", Read(3, ADD, TAKE)),
    ("Sure! Here is my critique:\n\nIn Step 3: they add 4.\n\nAlternatively: take away 4.\n\nI hope this helps.", Read(3, ADD, TAKE)),
    ("```\nIn Step 3: they add 4.\nAlternatively: take away 4.\n```", Read(3, ADD, TAKE)),
    ("- In step 3, they add 4.\n- Alternatively, take away 4.", Read(3, ADD, TAKE)),
    ("> In Step 3: they add 4.\n> Alternatively: take away 4.", Read(3, ADD, TAKE)),
    ('"In Step 3: they add 4."\n"Alternatively: take away 4."', Read(3, ADD, TAKE)),
    ("In Step 3: they add 4. Alternatively: take away 4.", Read(3, ADD, TAKE)),
    ("in step three: they add 4.\nhint: take away 4.", Read(3, ADD, TAKE)),
    ("In Step #3: they add 4.\nSuggestion: take away 4.", Read(3, ADD, TAKE)),
    ("In step (3): they add 4.\nInstead, take away 4.", Read(3, ADD, TAKE)),
    ("IN STEP 3: they add 4.\nALTERNATIVELY: take away 4.", Read(3, ADD, TAKE)),
    # headers and labels
    ("### Step 3\nthey add 4.\n\n### Hint\nCorrection: take away 4.", Read(3, ADD, TAKE)),
    ("## Step 3:\n\nthey add 4.\n\n**Suggestion:**\ntake away 4.", Read(3, ADD, TAKE)),
    ("- **Step 3**: they add 4.\n- **Better approach**: take away 4.", Read(3, ADD, TAKE)),
    ("Step: 3\nStatement: they add 4.\nHint: take away 4.", Read(3, ADD, TAKE)),
    ("First Error Step: 3\nError Reason: they add 4.\nSuggestion: take away 4.", Read(3, ADD, TAKE)),
    ("**First wrong step:** Step 3\n\n**Reason:** they add 4.\n\n**Hint:** take away 4.", Read(3, ADD, TAKE)),
    ("Wrong step: the third step\nExplanation: they add 4.\nHow to fix it: take away 4.", Read(3, ADD, TAKE)),
    # sentences
    ("The first wrong step is Step 3. they add 4. Instead, take away 4.", Read(3, ADD, TAKE)),
    ("The first wrong step is 3: they add 4.\nHint: take away 4.", Read(3, ADD, TAKE)),
    ("The error is in step 3: they add 4.\nCorrection: take away 4.", Read(3, ADD, TAKE)),
    ("The first mistake occurs in the third step, where they add 4.\n\nAlternatively, take away 4.", Read(3, ADD, TAKE)),
    ("The attempt goes wrong in Step 3 because they add 4.\nHint: take away 4.", Read(3, ADD, TAKE)),
    ("Step 3 is the first wrong step. they add 4.\nHint: take away 4.", Read(3, ADD, TAKE)),
    ("Step 3 is wrong because they add 4.\nHint: take away 4.", Read(3, ADD, TAKE)),
    ("Step 3 adds 4 to the total. A better approach is to take 4 away.",
     Read(3, "Step 3 adds 4 to the total.", "A better approach is to take 4 away.")),
    ("They multiply wrongly in step 3; the 4 is lost. The correct step would be to take 4 away.",
     Read(3, "They multiply wrongly in step 3; the 4 is lost.", "The correct step would be to take 4 away.")),
    ("In step 3, they add 4. They should have taken 4 away.", Read(3, ADD, "They should have taken 4 away.")),
    ("In the last step, they add 4.\nHint: take away 4.", Read(5, ADD, TAKE)),
    ("Answer: In Step 3: they add 4.\nAlternatively: take away 4.", Read(3, ADD, TAKE)),
    ("**First wrong step:** 3\n**What is wrong:** they add 4.\n**What to do instead:** take away 4.", Read(3, ADD, TAKE)),
    ("There is no error in step 1. In step 2 there is an error: they add 4. Hint: take away 4.",
     Read(2, "there is an error: they add 4.", TAKE)),
    ("In step 3, they add 4. Instead, they needed 4 less. Hint: take away 4.", Read(3, "they add 4. Instead, they needed 4 less.", TAKE)),
    # a walk through the steps
    ("In Step 3: they add 4.\nAlternatively: take away 4.\nIn Step 4: they box 23.\nAlternatively: box it later.", Read(3, ADD, TAKE)),
    ("Step 1: correct.\nStep 2: wrong because they add 4.\nStep 3: wrong too.\n\nSuggestion: take away 4.", Read(2, ADD, TAKE)),
    ("1. Correct\n2. Correct\n3. Incorrect: they add 4.\nHint: take away 4.", Read(3, ADD, TAKE)),
    ("Step 1 is right. Step 2 is right. Step 3 is wrong: they add 4. Instead, take away 4.", Read(3, ADD, TAKE)),
    ("Steps 1-2 are correct. In step 3, they wrongly add 4. Hint: take away 4.", Read(3, "they wrongly add 4.", TAKE)),
    ("Step 1: ✓\nStep 2: ✓\nStep 3: ✗ they add 4.\nHint: take away 4.", Read(3, "✗ they add 4.", TAKE)),
    ("Step 2: wrong.\nStep 3: wrong.\nFirst Error Step: 3\nReason: they add 4.\nHint: take away 4.", Read(3, ADD, TAKE)),
    # JSON
    ('{"step": 3, "statement": "they add 4.", "hint": "take away 4."}', Read(3, ADD, TAKE)),
    ('Here you are:\n```json\n{"Step": "Step 3", "Reason": "they add 4.", "Suggestion": "take away 4."}\n```\n', Read(3, ADD, TAKE)),
    ('{"critique": {"first_wrong_step": "3", "explanation": "they add 4.", "alternatively": "take away 4."}}', Read(3, ADD, TAKE)),
    ('[{"step": 2, "correct": true, "reason": "fine"}, {"step": 3, "correct": false, "reason": "they add 4.", "hint": "take away 4."}]',
     Read(3, ADD, TAKE)),
    ('{"step": 3,\n "error": "they add 4.",\n "hint": "take away 4.",\n}', Read(3, ADD, TAKE)),
    # LaTeX stays as it is
    ("**Step 3:** $x_1 * \\frac{1}{2}$ is **not** $2**3$.\n*Hint:* use \\(\\sqrt{2}\\).",
     Read(3, "$x_1 * \\frac{1}{2}$ is not $2**3$.", "use \\(\\sqrt{2}\\).")),
    ('{"step": 3, "reason": "\\frac{1}{2} \\times 3 is lost", "hint": "keep \\(\\theta\\) and \\\\sqrt{2}"}',
     Read(3, "\\frac{1}{2} \\times 3 is lost", "keep \\(\\theta\\) and \\sqrt{2}")),
    ("In Step 3: they set\n\\[ x = 4 \\]\nwithout a reason.\nAlternatively: solve for\n\\[ x - 4 \\]\nfirst.",
     Read(3, "they set \\[ x = 4 \\] without a reason.", "solve for \\[ x - 4 \\] first.")),
]  # fmt: skip

REFUSED: list[tuple[str, str]] = [
    ("", "names no step"),
    ("I cannot help with that.", "names no step"),
    ("N/A", "calls no step wrong"),
    ("First Error Step: N/A", "calls no step wrong"),
    ("First Error Step: none\nHint: go on.", "calls no step wrong"),
    ("All steps are correct.", "calls no step wrong"),
    ("All of the steps look right to me; Step 3 is fine.", "calls no step wrong"),
    ("Step 1: correct.\nStep 2: correct.\nHint: nothing.", "calls no step wrong"),
    ('{"step": null, "statement": "all right", "hint": ""}', "calls no step wrong"),
    ("In Step 3: they add 4.", "no hint"),
    ('{"step": 3, "reason": "they add 4."}', "no hint"),
    ('{"step": 3, "reason": "they add 4.", "hint": "N/A"}', "no hint"),
    ("In Step 3: they add 4.\nAlternatively:", "no hint"),
    ("First Error Step: 9\nReason: they add 4.\nHint: take away 4.", "names a step that is not there"),
    ("In Step 0: they add 4.\nAlternatively: take away 4.", "names a step that is not there"),
    ("In Step 12: 30 + 6 is not 15.\nAlternatively: not first.", "names a step that is not there"),
    ('{"step": 0.5, "reason": "they add 4.", "hint": "take away 4."}', "names no step"),
    ('{"step": 3, "reason": "", "hint": "take away 4."}', "no statement about the step"),
    ("First Error Step: 2\nFirst Error Step: 3\nHint: take away 4.", "claims that several steps are the first wrong one"),
    ("Step 1: they add 7.\nStep 2: they add 4.\nHint: take away 4.", "names several steps and calls none wrong"),
    ("x" * 60_000, "longer than 50,000 characters"),
]


@pytest.mark.parametrize(("text", "read"), CRITIQUES)
def test_a_critique_is_read(text: str, read: Read) -> None:
    assert read_critique(text, 5) == read


DOUBTFUL = [  # each was read with a wrong step once
    "The first wrong step is the one after step 2: they add.",
    "First wrong step: the one after step 2, where they fail.",
    "The error occurs before step 3.",
    "Before step 3 there is an error: they add.",
    "The error in step 3 comes from step 2, where they added.",
    "The error is in step 3. It is caused by step 2.",
    "The error in step 4 is a consequence of an earlier one.",
    "The mistake in step 3 is that the wrong result of step 2 is used. Step 2 is wrong: they add.",
    "In Step 2, they correctly use the result of Step 1. The next step is wrong as they add.",
    "Step 1: They multiply 3 * 4 instead of adding, which is right.\nStep 2: They add 12 twice.",
    "Step 1 correctly avoids the mistake of adding.\nStep 2 adds the wrong amount.",
    "The first error is that they skip Step 3 of the right solution.",
    "The first error is that the result of step 2 is added.",
    "The first error is in step 3 of the given solution, which they do not follow.",
]
SURE = [
    ("The error in step 2 shows again in step 4.", 2),
    ("The first error is in the second line of step 3: they add.", 3),
    ("The first error is in step 3: they add. Step 2 was right.", 3),
    ("Step 3: They correctly take the sum, but wrongly add 4.", 3),
    ("Step 3 is wrong, although the sum is correct.", 3),
    ("Steps 1 and 2 are right, but the first error is in step 3: they add.", 3),
    ("After step 2 the first error is in step 3: they add.", 3),
]


@pytest.mark.parametrize("claim", DOUBTFUL)
def test_a_claim_that_may_mean_another_step_is_refused(claim: str) -> None:
    assert read_critique(f"{claim}\nAlternatively: subtract.", 5) == Unreadable("leaves open which step is wrong")


@pytest.mark.parametrize(("claim", "step"), SURE)
def test_a_claim_beside_another_step_is_read(claim: str, step: int) -> None:
    read = read_critique(f"{claim}\nAlternatively: subtract.", 5)
    assert isinstance(read, Read)
    assert (read.step, read.hint) == (step, "subtract.")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        *((value, 3) for value in (3, 3.0, [3], "3", "Step 3", "**Step 3**", "step three", "#3", "the third step", "Step 3.")),
        *(
            (value, "names no step")
            for value in ("after step 2", "Steps 1 and 2 are right, 3 is wrong", "2 or 3", "1.5", "3/5", [2, 3], 1.5)
        ),
        *((value, "names a step that is not there") for value in (9, "9", "step 6")),
        *((value, "calls no step wrong") for value in (0, -1, "0", "none", None)),
    ],
)
def test_the_step_of_an_object_is_one_name(value: object, read: int | str) -> None:
    said = json.dumps({"first_wrong_step": value, "statement": ADD, "hint": TAKE})
    assert read_critique(said, 5) == (Read(read, ADD, TAKE) if isinstance(read, int) else Unreadable(read))


@pytest.mark.parametrize(
    ("statement", "step"),
    [
        ("Correct.", 2), ("This step is right.", 2), ("They correctly add 3.", 2), ("No mistake is made.", 2),
        ("The correct sum is 12.", 1),
        ("It is not correct.", 1), ("The sum is right, but 4 is lost.", 1), ("They do not correctly add.", 1),
    ],
)  # fmt: skip
def test_an_object_that_approves_of_its_step_is_passed_over(statement: str, step: int) -> None:
    objects = [{"step": 1, "statement": statement, "hint": "Keep on."}, {"step": 2, "statement": ADD, "hint": TAKE}]
    read = read_critique("\n".join(map(json.dumps, objects)), 5)
    assert isinstance(read, Read)
    assert read.step == step
    if step == 2:
        assert read_critique(json.dumps(objects[0]), 5) == Unreadable("calls no step wrong")


@pytest.mark.parametrize(
    ("line", "bare"),
    [
        *((line, line) for line in (
            "Multiply 4*$5 = $20 and add it.", "3 *4 = 12", "12*\\frac{1}{2}", "12*$2 is $24.", "3 *4 + 5* 2 = 22", "a*b*c", "2**3 is 2**3",
            "f(x)*(g)*h", "x_1 and y_2", "${}_nC_k$", "3 * 4 * 5", "|x| = |y|",
        )),
        ("**bold** and *It is* so", "bold and It is so"), ("__x__ and _y_", "x and y"), ("***a*** (*b*)", "a (b)"),
        ("**a *b* c**", "a b c"), ("**3 * 4 = 12**", "3 * 4 = 12"), ("Step 3 **12** *is* 4", "Step 3 12 is 4"),
        ("**$4*5$** is", "$4*5$ is"),
        ("**Verdict:**correct", "Verdict:correct"), ("**over two", "over two"), ("lines.**", "lines."), ("| a | b |", "a | b"),
        ("|---|", ""),
    ],
)  # fmt: skip
def test_emphasis_goes_and_multiplication_stays(line: str, bare: str) -> None:
    assert plain(line) == bare


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_a_critique_is_refused_with_its_reason(text: str, reason: str) -> None:
    assert read_critique(text, 5) == Unreadable(reason)


@pytest.mark.parametrize(
    "text",
    [
        "In Step 5: 30 + 6 is not 15.\nAlternatively: not first.",
        "  In Step 1:19 - 4 is not 14.  \n\nAlternatively:take away 4.\n",
        "In Step 2: **a** is wrong. Hint: b\nAlternatively: Hint: c",
    ],
)
def test_the_two_lines_that_are_asked_for_are_read_as_they_stand(text: str) -> None:
    """Marks and labels stay what they are."""
    two = TWO_LINES.fullmatch(text)
    assert two
    assert read_critique(text, 5) == Read(int(two[1]), two[2], two[3])


@pytest.mark.skipif(not DATA.exists(), reason=f"no recorded judgements at {DATA}: set COAT_DATA")
@pytest.mark.parametrize(
    ("name", "model", "share"), [("mrgsm8k_Claude", "claude2", 0.95), ("mrgsm8k_GPT3_5", "gpt3_5", 0.88)]
)  # fmt: skip
def test_recorded_judgements(name: str, model: str, share: float) -> None:
    """They were not asked for a hint, so most have none. With one, each is read as its line says, and most of them without it."""
    outcomes, walks, rows = Counter[str](), 0, json.loads((DATA / f"{name}.json").read_bytes())
    for row in rows:
        said, steps = row[f"{model}_eval_output"]["response"], sum(bool(step.strip()) for step in row["model_output_steps"])
        line = re.search(r"First Error Step:\s*(?:Step )?(\d+)", said)
        assert line
        first, read = int(line[1]), read_critique(said, steps)
        outcomes[read.reason if isinstance(read, Unreadable) else "read"] += 1
        assert isinstance(read, Unreadable) or read.step == first
        hinted = read_critique(f"{said}\nAlternatively: check it again.", steps)
        assert isinstance(hinted, Read)
        assert (hinted.step, hinted.hint) == (first, "check it again.")
        walk = read_critique(re.sub("First Error Step:.*", "", said) + "\nAlternatively: check it again.", steps)
        walks += isinstance(walk, Read) and walk.step == first
    assert set(outcomes) == {"read", "no hint"}
    assert outcomes["read"] > 0.1 * len(rows)
    assert walks > share * len(rows)


@pytest.mark.parametrize(
    ("text", "approves", "remark"),
    [
        ("12 + 7 is 19. Right.", True, "12 + 7 is 19. Right."),
        ("12 + 7 is not 18.", False, "12 + 7 is not 18."),
        ("19 is not 36.", False, "19 is not 36."),
        ("Verdict: correct. 12 + 7 is 19.", True, "correct. 12 + 7 is 19."),
        ("**Verdict:** Correct\n\n12 + 7 comes to 19.", True, "12 + 7 comes to 19."),
        ("**Correct**", True, "Correct"),
        ("The step is right.", True, "The step is right."),
        ("The step is correct: Tom does not pay for no one else.", True, "The step is correct: Tom does not pay for no one else."),
        ("Yes, because 3 does not divide 10.", True, "Yes, because 3 does not divide 10."),
        ("There are no errors in this step.", True, "There are no errors in this step."),
        ("Is that right? Yes.", True, "Is that right? Yes."),
        ('{"correct": true, "reason": "12 + 7 = 19, and no one else pays."}', True, "12 + 7 = 19, and no one else pays."),
        ('```json\n{"reason": "4 is lost", "correct": false}\n```', False, "4 is lost"),
        ('{"verdict": "incorrect", "explanation": "4 is lost"}', False, "4 is lost"),
        ('{"correct": true, "reason": "The step is wrong."}', None, "The step is wrong."),
        ("Verdict: incorrect. The 4 is lost.", False, "incorrect. The 4 is lost."),
        ("This step is incorrect.", False, "This step is incorrect."),
        ("The step is correct, but the 4 is lost.", False, "The step is correct, but the 4 is lost."),
        ("The step is right. That is not so.", False, "The step is right. That is not so."),
        ("Hardly right.", False, "Hardly right."),
        ("It isn’t correct.", False, "It isn’t correct."),
        ("Is that right? No.", False, "Is that right? No."),
        ("Yes and no.", False, "Yes and no."),
        ("It should be 15.", False, "It should be 15."),
        ("I am not sure that this is correct.", False, "I am not sure that this is correct."),
        ("The correct answer is 15", None, "The correct answer is 15"),
        ("Is that right?", None, "Is that right?"),
        ("Hello there", None, "Hello there"),
        ("", None, ""),
        ("Verdict: correct", True, ""),
        ("**Verdict:** Correct.", True, ""),
        ("Verdict: incorrect", False, ""),
        ('{"correct": true}', True, ""),
        ("12*$2 is $24.\nVerdict: correct", True, "12*$2 is $24."),
        ("I check both.\n\n| a | b |\n|---|---|\n| 3 | 12 |\n\nThey fit.\nVerdict: correct", True, "I check both. They fit."),
        ("a | b\n--|--\n3 | 12\nThey fit.\nVerdict: correct", True, "They fit."),
        ("I run it:\n```python\nx = 3 * 4\nprint(x)\n```\nIt fits.\nVerdict: correct", True, "I run it: It fits."),
        ("```\nVerdict: correct\n12 + 7 is 19.\n```", True, "12 + 7 is 19."),
        ("|x - 3| = |y|\nIt fits.\nVerdict: correct", True, "|x - 3| = |y| It fits."),
        ('{"correct": true, "reason": "So:\\n| a | b |\\n|---|---|\\n| 3 | 12 |\\nIt fits."}', True, "So: It fits."),
    ],
)
def test_verifications(text: str, approves: bool | None, remark: str) -> None:
    said = read_verification(text)
    assert (said.approves, said.remark) == (approves, remark)


def test_what_follows_the_schema_is_read() -> None:
    critique = {"step": 2, "statement": "x \\frac{1}{2}\n", "hint": 'say "y"'}
    jsonschema.validate(critique, json.loads(CRITIQUE_SCHEMA))
    assert read_critique(json.dumps(critique), 3) == Read(2, "x \\frac{1}{2}", 'say "y"')


ALPHABET = '{}[]":,\\ \n*#-`.?!Step step 123 first wrong error is in the Hint: Alternatively: correct not no'
PARTS = [
    "the error is in step 1 ", "first error in step 2 ", "due to ", "correctly ", "*a* ", "*a ", "|", "| a |\n", "|-\n", "```\n",
    "Step 1 ", "step ", "first wrong ", "the error ", "{", '{"step":', "In Step 1: a\n", "Alternatively: ", "**", "\n", "- ", "`", "\\",
    " ", "a. ", "In Step 3: x\nAlternatively:", "first step that ", "(1) ", "is not ", "the step is ", "no ", "1) ", "should ", "?",
]  # fmt: skip


@settings(max_examples=80)
@given(st.lists(st.sampled_from([*ALPHABET.split(" "), *PARTS]), max_size=30).map("".join), st.integers(0, 9))
def test_it_never_raises(text: str, steps: int) -> None:
    read = read_critique(text, steps)
    assert isinstance(read, Unreadable) or (read.statement and read.hint)
    assert read_verification(text).approves in (True, False, None)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.slow
def test_time_is_linear_in_a_hostile_text(part: str) -> None:
    """Texts that are short enough are read; a megabyte is refused at once, but for the two lines."""

    def seconds(size: int) -> float:
        text, began = part * (size // len(part)), time.process_time()
        read_critique(text, 5)
        read_verification(text)
        return time.process_time() - began

    assert min(seconds(24_000) for _ in range(3)) < 15 * max(min(seconds(6_000) for _ in range(3)), 0.02)
    assert seconds(1_000_000) < 1


@pytest.mark.parametrize(("text", "lines"), [
    ('{"remark": " 12 + 12 is 24. ", "verdict": "wrong"}', "12 + 12 is 24.\nVerdict: wrong"),
    ("12 + 12 is 24.\nVerdict: correct", "12 + 12 is 24.\nVerdict: correct"),
    ('{"remark": 3, "verdict": "correct"}', '{"remark": 3, "verdict": "correct"}'),
    ("[1]", "[1]"), ("{" * 100_000, "{" * 100_000),
])  # fmt: skip
def test_a_verification_in_json_is_read_as_its_lines(text: str, lines: str) -> None:
    assert verification_lines(text) == lines
