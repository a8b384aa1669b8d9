"""Plans as models write them: what is read, what is refused, and that no text costs more than its length."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.engines.structured import conform, validator_of
from factory.templates.plan_reading import PlanError, plan_lines
from factory.templates.reading import plan_schema

READ = [("Law of sines", ("trigonometry", "triangle")), ("Half", ("halves",))]

SAME = {
    "as it is asked for": "Law of sines (trigonometry, triangle)\nHalf (halves)",
    "blank lines and spaces": "\n Law of sines (trigonometry, triangle) \n\n\tHalf (halves)\n",
    "announced": "Here is the plan:\n\nLaw of sines (trigonometry, triangle)\nHalf (halves)",
    "then a sentence": "Law of sines (trigonometry, triangle)\nHalf (halves)\n\nThis is enough.",
    "then paragraphs": "Law of sines (trigonometry, triangle)\n\nHalf (halves)\n\nThese solve it.\n\n**Both (of them) are\nneeded!**",
    "after a sentence": "We know two angles (and a side) here.\n\nLaw of sines (trigonometry, triangle)\nHalf (halves)",
    "among paragraphs": "We know two angles.\n\nLet's use:\n\nLaw of sines (trigonometry, triangle)\nHalf (halves)\n\nThese solve it.",
    "in a fence": "```text\nLaw of sines (trigonometry, triangle)\nHalf (halves)\n```",
    "numbered": "1. Law of sines (trigonometry, triangle)\n2. Half (halves)",
    "numbered with brackets": "1) Law of sines (trigonometry, triangle)\n\n2) Half (halves)",
    "bulleted": "- Law of sines (trigonometry, triangle)\n- Half (halves)",
    "stars": "* Law of sines (trigonometry, triangle)\n* Half (halves)",
    "among sentences": "Sure! I would do this:\n\n1. Law of sines (trigonometry, triangle)\n2. Half (halves)\n\n"
    "This works since both apply.",
    "with reasons": "1. **Law of sines** (tags: trigonometry, triangle) - two angles are known (and a side)\n"
    "2. **Half** (halves): to finish.",
    "reasons below": "1. Law of sines (trigonometry, triangle)\n   - Two angles are known (really).\n2. Half (halves)\n"
    "   Then we are done.",
    "tags below": "1. **Law of sines**\n   - Tags: trigonometry, triangle\n   - Why: two angles\n2. **Half**\n   - **Tags:** halves",
    "all in bold": "1. **Law of sines (trigonometry, triangle)**\n2. **Half (halves)**",
    "a colon in bold": "1. **Law of sines:** (trigonometry, triangle)\n2. **Half**: (halves)",
    "steps": "Step 1: Law of sines (trigonometry, triangle)\nStep 2: Half (halves)",
    "steps in bold": "**Step 1:** Law of sines (trigonometry, triangle)\n**Step 2:** **Half** (halves)",
    "steps as headings": "### Step 1: Law of sines (trigonometry, triangle)\nTwo angles are known.\n\n### Step 2: Half (halves)\nDone.",
    "templates": "Template 1: Law of sines (trigonometry, triangle)\nTemplate 2: Half (halves)",
    "tags as a label": "1. Law of sines - Tags: trigonometry, triangle\n2. Half | tags: halves",
    "square brackets": "1. Law of sines [trigonometry, triangle]\n2. Half [tags: halves] because it is",
    "code and quotes": '1. `Law of sines` (trigonometry, triangle)\n2. "Half" (halves)',
    "arrows are reasons": "- Law of sines (trigonometry, triangle) — for the angle\n- Half (halves) – for the rest",
    "JSON": '[{"name": "Law of sines", "tags": ["trigonometry", "triangle"]}, {"name": "Half", "tags": ["halves"]}]',
    "JSON by the schema": '{"plan": [{"name": "Law of sines", "tags": ["trigonometry", "triangle"]},{"name": "Half", "tags": ["halves"]}]}',
    "JSON in a fence": 'Plan:\n```json\n{"steps": [{"template_name": "Law of sines", "knowledge_tags": "trigonometry, triangle",},'
    '{"title": "Half (halves)"}]}\n```\nGood luck!',
    "JSON a line": '{"name": "Law of sines", "tags": ["trigonometry", "triangle"]}\n{"name": "Half", "tags": ["halves"]}',
    "JSON of texts": '["Law of sines (trigonometry, triangle)", "2. Half (halves)"]',
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_one_plan_in_many_forms(text):
    assert plan_lines(text) == READ


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Pythagorean theorem (right triangles) (geometry, triangle)", ("Pythagorean theorem (right triangles)", ("geometry", "triangle"))),
        ("1. Zeros (roots) of f(x) (functions)", ("Zeros (roots) of f(x)", ("functions",))),
        ("Roots of 1 (n=3,4,6) (complex)", ("Roots of 1 (n=3,4,6)", ("complex",))),
        ("y=Asin(ωx+φ) and y=Acos(ωx+φ) (A≠0, ω≠0) (waves)", ("y=Asin(ωx+φ) and y=Acos(ωx+φ) (A≠0, ω≠0)", ("waves",))),
        ("Independent events - definition (events)", ("Independent events - definition", ("events",))),
        ("- Independent events - definition (events)", ("Independent events - definition", ("events",))),
        ("- Half angle", ("Half angle", ())),
        ("1. **Half angle**: halves the angle (see above)", ("Half angle", ())),
        ("1. **Half angle** because the angle is halved", ("Half angle", ())),
        ("1. Half angle: halves the angle.", ("Half angle", ())),
        ("1. Half angle - halves the angle.", ("Half angle", ())),
        ("1. Half angle (halves,)", ("Half angle", ("halves",))),
        ('{"name": "Half"}', ("Half", ())),
    ],
)
def test_single_lines(text, found):
    assert plan_lines(text) == [found]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty plan"),
        (" \n", "empty plan"),
        ("put together", "malformed plan"),
        ("First add, then take away.", "malformed plan"),
        ("none.\ntake away (subtract, loss)", "malformed plan"),
        ("take away (subtract, loss)\nThat is all.", "malformed plan"),
        ("put together (add, gain) then", "malformed plan"),
        ("put together (add, gain) take away (subtract, loss)", "malformed plan"),
        ("put together (add, gain), gain (subtract, back)", "malformed plan"),
        ("put together (add,)", "malformed plan"),
        ("put together (, add)", "malformed plan"),
        ("put together (add", "malformed plan"),
        ("try each one (try, each), each)", "malformed plan"),
        ("put (together (add))", "malformed plan"),
        ("(add)", "malformed plan"),
        ("put together ()", "malformed plan"),
        ("put together (add, gain)\n- take away (subtract, loss)", "malformed plan"),
        ("1. First we have to find how many apples Tom has.", "malformed plan"),
        ("1. put (together (add))", "malformed plan"),
        ("1. **", "malformed plan"),
        ("- - -", "malformed plan"),
        ("1. " + "long " * 500, "malformed plan"),
        ("2 + 2 = 4\n\\boxed{4}", "malformed plan"),
        ('{"name": "", "tags": ["a"]}', "malformed plan"),
        ("[]", "malformed plan"),
        ('{"plan": []}', "malformed plan"),
        ("Plan:", "malformed plan"),
        ("put together\ntake away", "malformed plan"),
        ("This is enough.\n\nThese solve it.", "malformed plan"),
        ("none.\n\ntake away (subtract, loss)", "malformed plan"),
        ("put together (add, gain)\n\ntake away", "malformed plan"),
        ("put together (add, gain)\n\nTake away.", "malformed plan"),
        ("put together (add, gain)\n\ntake away (subtract, loss).", "malformed plan"),
        ("put together (add, gain)\n\n3 + 4 = 7\n\\boxed{7}", "malformed plan"),
        ("put together (add, gain)\n\nOr else we could do this:\n\ntake away (subtract, loss)", "malformed plan"),
    ],
)
def test_what_is_no_plan(text, reason):
    with pytest.raises(PlanError, match=f"^{reason}$"):
        plan_lines(text)


def test_an_answer_of_the_schema_is_read():
    valid = validator_of(plan_schema(["Law of sines", "Half", 'Roots "(real)"'], 2))
    text = '{"plan": [{"name": "Law of sines"}, {"name": "Half"}]}'
    assert conform(text, valid) == (text, "")
    assert plan_lines(text) == [("Law of sines", ()), ("Half", ())]
    quoted = '{"plan": [{"name": "Roots \\"(real)\\""}]}'
    assert conform(quoted, valid) == (quoted, "")


@pytest.mark.parametrize(
    "text",
    [
        '{"plan": []}',
        '{"plan": [{"name": "Law of cosines"}]}',
        '{"plan": [{"name": "Half"}, {"name": "Half"}, {"name": "Half"}]}',
        '{"plan": [{"name": "Half", "tags": ["halves"]}]}',
        '{"plan": ["Half"]}',
        '{"plan": [{}]}',
        "[]",
    ],
)
def test_what_the_schema_holds_no_plan_for(text):
    found, reason = conform(text, validator_of(plan_schema(["Law of sines", "Half"], 2)))
    assert (found, bool(reason)) == ("", True)


PIECES = st.sampled_from([
    "1. ", "- ", "**", "Step 1: ", "a", "half (b, c)", "(", ")", "[", "]", ",", " - ", ":", "\n", "\n"
    "  ", "Tags: ", '{"name": "a"}', '{"tags": ', "}",
    '"', "\\", "```", "\ud800", "é", "\u2028",
])  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=5), max_size=30).map("".join))
@settings(max_examples=300)
@pytest.mark.slow
def test_any_text_is_a_plan_or_a_plan_error(text):
    try:
        found = plan_lines(text)
    except PlanError:
        return
    assert found
    assert all(name.strip() and all(tags) for name, tags in found)
    assert not any("\n" in name for name, _ in found)


HOSTILE = {
    "parentheses": "(", "closed": "()", "pairs": "a (b) ", "lists": "[1,", "objects": '{"name":', "items": "- a\n"
    "", "bold": "**", "dashes": " - ",
    "colons": "a: ", "tags": " tags", "marks": "#", "spaces": " ", "exact": "a (b)\n",
    "prose": "so it is.\n\n", "brackets": " [a", "steps": "Step 1: ",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_a_megabyte_costs_no_more_than_its_length(piece):
    body = piece * (1_000_000 // len(piece))
    for text in (body, "1. " + body, "a " + body + "(b)"):
        start = time.process_time()
        with contextlib.suppress(PlanError):
            plan_lines(text)
        assert time.process_time() - start < 10  # a quadratic one takes minutes
