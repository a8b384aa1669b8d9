"""A labeller's analyses as models write them: what is read, what is refused and why, and that no text costs more than its length."""

import contextlib
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.engines.structured import conform, validator_of
from factory.problems.world.strategies import STRATEGIES
from factory.templates.reading import ANALYSIS_SCHEMA, Analysis, AnalysisError, parse_analysis

TEXT = "Name: Put  Together\nTags: Add, gain\nDescription: Add what comes in.\nScope: There is a gain.\nSteps: Add it. Then check."
READ = Analysis("put together", ("add", "gain"), "Add what comes in.", "There is a gain.", ("Add it.", "Then check."))


def test_the_plain_form_is_read_as_it_is_written():
    assert parse_analysis(TEXT) == READ
    assert parse_analysis(TEXT.replace("Steps: Add it. Then check.", "Steps:\nAdd it.\nThen check.")) == READ
    for strategy in STRATEGIES.values():
        text = (
            f"Name: {strategy.name}\nTags: {', '.join(strategy.tags)}\nDescription: {strategy.description}\n"
            f"Scope: {strategy.scope}\nSteps: {' '.join(strategy.steps)}"
        )
        assert parse_analysis(text) == Analysis(strategy.name, strategy.tags, strategy.description, strategy.scope, strategy.steps)


SAME = {
    "a preamble": "Sure! Here is the analysis of step 1:\n\n" + TEXT,
    "a closing remark": TEXT + "\n\nLet me know if you want another strategy!",
    "another closing remark": TEXT + "\n\n**I hope this helps.**",
    "any order": "Steps: Add it. Then check.\nScope: There is a gain.\nTags: add, gain\nName: put together\n"
    "Description: Add what comes in.",
    "any case": TEXT.replace("Name", "NAME").replace("Steps", "steps").replace("Scope", "SCOPE"),
    "bold labels": "**Name:** Put together\n**Tags:** add, gain\n**Description:** Add what comes in.\n**Scope:** There is a gain.\n"
    "**Steps:** Add it. Then check.",
    "bold before the colon": "**Name**: Put together\n**Tags**: add, gain\n**Description**: Add what comes in.\n\n"
    "**Scope**: There is a gain.\n\n"
    "**Steps**:\n\n1. Add it.\n2. Then check.",
    "bold lines": "**Name: Put together**\n**Tags: add, gain**\n**Description**\nAdd what comes in.\n**Scope**\nThere is a gain.\n"
    "**Steps**\n- Add it.\n- Then check.",
    "headings": "## Name\nPut together\n\n## Tags\nadd, gain\n\n## Description\nAdd what comes in.\n\n## Scope\nThere is a gain.\n\n"
    "## Steps\n1. Add it.\n2. Then check.\n\nThis template is simple but powerful.",
    "headings with values": "### Name: Put together\n### Tags: add; gain\n### Description: Add what comes in.\n"
    "### Scope: There is a gain.\n"
    "### Steps:\n1) Add it.\n2) Then check.",
    "a list of labels": "- Name: Put together\n- Tags: add, gain\n- Description: Add what comes in.\n- Scope: There is a gain.\n"
    "- Steps:\n"
    "  1. Add it.\n  2. Then check.",
    "a numbered list of labels": "1. **Name**: Put together\n2. **Tags**: add, gain\n3. **Description**: Add what comes in.\n"
    "4. **Scope**: There is a gain.\n5. **Steps**:\n   - Add it.\n   - Then check.",
    "dashes": "Name – Put together\nTags – add, gain\nDescription – Add what comes in.\nScope - There is a gain.\n"
    "Steps — Add it. Then check.",
    "the heading is the name": "## Put together\n\n**Tags:** add, gain\n**Description:** Add what comes in.\n"
    "**Scope:** There is a gain.\n"
    "**Steps:**\n1. Add it.\n2. Then check.",
    "a numbered template": "### Template 1: Put together\n- **Knowledge tags:** add, gain\n- **Description:** Add what comes in.\n"
    "- **Applicable scope:** There is a gain.\n- **Application steps:**\n  * Add it.\n  * Then check.",
    "other words": "Template name: Put together\nKnowledge tags: add, gain\nSummary: Add what comes in.\nWhen to use: There is a gain.\n"
    "Solution steps:\nStep 1: Add it.\nStep 2: Then check.",
    "words of the paper": "Title: Put together\nKeywords: add, gain\nOverview: Add what comes in.\n"
    "Application scenario: There is a gain.\n"
    "Reasoning flow:\n**Step 1:** Add it.\n**Step 2:** Then check.",
    "what they mean in brackets": "Name (short): put together\nTags (comma separated): add, gain\nDescription: Add what comes in.\n"
    "Scope (when it applies): There is a gain.\nSteps (in order):\n(1) Add it.\n(2) Then check.",
    "quotes": 'Name: "Put together."\nTags: "add", "gain"\nDescription: Add what comes in.\nScope: There is a gain.\n'
    'Steps: Add it. Then check.',
    "brackets around tags": TEXT.replace("Add, gain", "[Add, gain]"),
    "hashtags": TEXT.replace("Add, gain", "#Add #gain"),
    "tags in code": TEXT.replace("Add, gain", "`add`, `gain`"),
    "a list of tags": TEXT.replace("Tags: Add, gain", "Tags:\n- Add\n- gain"),
    "a final and": TEXT.replace("Add, gain", "Add, and gain"),
    "more than was asked": "Type: arithmetic\nDifficulty: easy\n" + TEXT + "\nExample: Tom has 3 and gets 4.\nAnswer: 7",
    "steps in one line": TEXT.replace("Add it. Then check.", "1. Add it. 2. Then check."),
    "a code fence": f"```\n{TEXT}\n```",
    "rules between": TEXT.replace("\n", "\n---\n"),
    "quoted": "\n".join(f"> {line}" for line in TEXT.split("\n")).replace("Add it. Then check.", "\n> 1. Add it.\n> 2. Then check."),
    "windows": TEXT.replace("\n", "\r\n"),
    "JSON": json.dumps({"name": "Put together", "tags": ["add", "gain"], "description": "Add what comes in.", "scope": "There is a gain.",
                        "steps": ["Add it.", "Then check."]}),
    "JSON in a fence": 'Here it is:\n```json\n{"Name": "Put together", "Tags": "add, gain", "Description": "Add what comes in.",\n'
    '"Applicable Scope": "There is a gain.",\n"Application Steps": "1. Add it.\\n2. Then check.",}\n```\nLet me know!',
    "JSON within JSON": '{"template": {"templateName": "put_together", "knowledge_tag": ["add", "gain"],'
    '"description": "Add what comes in.",'
    ' "when_to_use": "There is a gain.", "reason_flow": [{"step": 1, "action": "Add it."}, {"step": 2, "action": "Then check."}]}}',
    "JSON in a list": '[{"name": "put together", "tags": ["add", "gain"], "description": "Add what comes in.",'
    '"scope": ["There is a gain."],'
    ' "steps": {"1": "Add it.", "2": "Then check."}}]',
}  # fmt: skip


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_one_analysis_in_many_forms(text):
    assert parse_analysis(text) == READ


def test_a_whole_answer_of_an_instruct_model():
    found = parse_analysis(
        "Certainly! Below is the thought template.\n\n# Thought Template\n\n**Template Name:** Law of Cosines (SAS)\n"
        "**Knowledge Tags:** Trigonometry, Triangles, e.g. SAS\n\n**Description:**\nRelates the three sides of a triangle\n"
        "and one angle.\n\n"
        "**When to Use:**\n- Two sides and the included angle are known\n- All three sides are known\n\n**Application Steps:**\n\n"
        "1. **Label** the triangle.\n   - Let $c$ face the angle $C$.\n2. Substitute into\n\n   \\[\n"
        "   c^2 = a^2 + b^2 - 2ab\\cos C\n   \\]\n\n"
        "3. Solve for the unknown side.\n\nBy following these steps you can solve any such triangle."
    )
    assert found == Analysis(
        "law of cosines (sas)", ("trigonometry", "triangles", "e.g. sas"), "Relates the three sides of a triangle and one angle.",
        "Two sides and the included angle are known; All three sides are known",
        ("Label the triangle. Let $c$ face the angle $C$.", "Substitute into \\[ c^2 = a^2 + b^2 - 2ab\\cos C \\]",
         "Solve for the unknown side."),
    )  # fmt: skip


def test_mathematics_in_json_keeps_its_backslashes():
    found = parse_analysis(
        r'{"name": "Half", "tags": ["a"], "description": "Halve \(x\), \frac{1}{2}, \times, \neq.", "scope": "\\sqrt{x}",'
        r' "steps": ["Use \beta."]}'
    )
    assert found.description == r"Halve \(x\), \frac{1}{2}, \times, \neq."
    assert (found.scope, found.steps) == (r"\sqrt{x}", (r"Use \beta.",))


def test_steps_may_begin_with_a_word_that_is_a_label():
    steps = "Steps:\n1. Name: call the unknown x.\n2. Description: say what x is.\n3. Solve, e.g. by halves. Then check."
    found = parse_analysis(TEXT.replace("Steps: Add it. Then check.", steps))
    assert found.steps == ("Name: call the unknown x.", "Description: say what x is.", "Solve, e.g. by halves. Then check.")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Template 1: Law of sines", "law of sines"), ("Strategy: Casework.", "casework"), ("'Casework'", "casework"),
        ("**Casework**", "casework"), ("complete_the_square", "complete the square"), ("$x^2$", "$x^2$"), ("f(x) = x", "f(x) = x"),
        ("L'Hôpital's rule", "l'hôpital's rule"), ("“Half”", "half"), ("Strategy of halves", "strategy of halves"),
    ],
)  # fmt: skip
def test_names(written, name):
    assert parse_analysis(TEXT.replace("Put  Together", written)).name == name


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty analysis"),
        (" \n\t", "empty analysis"),
        ("3 + 4 = 7", "no analysis in it"),
        ("I cannot analyse this step.", "no analysis in it"),
        ("In Step 3 the numbers are added, which is wrong.", "no analysis in it"),
        ("{}", "no analysis in it"),
        ("[[1, 2], [3]]", "no analysis in it"),
        ("Well. " + TEXT, "no name"),
        (TEXT.replace("Put  Together", '"."'), "no name"),
        (TEXT.replace("Put  Together", ""), "no name"),
        (TEXT.replace("Tags: Add, gain\n", ""), "no tags"),
        (TEXT.replace("Add, gain", "()"), "no tags"),
        (TEXT.replace("Add, gain", "Add,"), "an empty tag"),
        (TEXT.replace("Scope: ", "Range: "), "no scope"),
        (TEXT.replace("Add what comes in.", ""), "no description"),
        (TEXT.replace("Add it. Then check.", ""), "no steps"),
        ("Name: half", "no tags"),
        ("Name: Put (Together\nTags: a\nDescription: b\nScope: c\nSteps: d", "half a parenthesis in the name"),
        (TEXT.replace("Put  Together", "Put " * 60), "a name of more than a line"),
        (TEXT + "\nSteps: Take it away.", "a label twice"),
        (TEXT + "\n\n" + TEXT, "more than one template"),
        ("Template 1: a\nTags: b\nTemplate 2: c\nTags: d", "more than one template"),
        ('{"name": "a", "tags": ["b"]}, {"name": "c", "tags": ["d"]}', "more than one template"),
        ('{"name": "a", "tags": [], "description": "b", "scope": "c", "steps": ["d"]}', "no tags"),
        ('{"name": 3, "tags": ["b"], "description": "b", "scope": "c", "steps": ["d"]}', "no name"),
        ('{"name": "a", "tags": ["b"], "description": "c", "scope": "d", "steps": "', "no analysis in it"),
    ],
)
def test_what_is_refused_and_why(text, reason):
    with pytest.raises(AnalysisError, match=f"^{reason}$"):
        parse_analysis(text)


def test_an_answer_of_the_schema_is_read():
    text = '{"name": "Half", "tags": ["a", "b"], "description": "c", "scope": "d", "steps": ["e", "f"]}'
    assert conform(text, validator_of(ANALYSIS_SCHEMA)) == (text, "")
    assert parse_analysis(text) == Analysis("half", ("a", "b"), "c", "d", ("e", "f"))
    assert conform(text.replace('["a", "b"]', "[]"), validator_of(ANALYSIS_SCHEMA))[0] == ""


def test_half_characters_become_whole_ones():
    assert (
        parse_analysis(json.dumps({"name": "a\ud800", "tags": ["b"], "description": "c", "scope": "d", "steps": ["e"]})).name == "a\ufffd"
    )


PIECES = st.sampled_from([
    "Name: ", "Tags:", "Scope - ", "**Steps:**", "## ", "Description", "\n", "\n\n"
    "", "- ", "1. ", "Step 2: ", "(", ")", ",", ".", '"', "```json\n",
    '{"name": ', '"tags": [', "]", "}", "\\", "_", "*", "a", "half angle", " ", "\u2028", "é", "\ud800", "\x00", "Template 1: ",
    "Let me know",
])  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=5), max_size=40).map("".join))
@settings(max_examples=300)
@pytest.mark.slow
def test_any_text_is_an_analysis_or_an_analysis_error(text):
    try:
        found = parse_analysis(text)
    except AnalysisError:
        return
    assert all((found.name, found.tags, found.description, found.scope, found.steps))
    assert all(found.tags)
    assert not any("\n" in step or "(" in tag for step in found.steps for tag in found.tags)


HOSTILE = {
    "hashes": "#", "brackets": "[", "lists": "[1,", "objects": '{"name":', "commas": '"a", ', "braces": "{ ", "spaces": "  ",
    "items": "- \n",
    "labels": "Steps: a\nExample: b\n", "paragraphs": "x\n\n"
    "", "parentheses": "(", "quotes": '"', "backslashes": '["\\', "inline": " 1. a", "stars": "**",
    "names": "Name: a_", "minus": "a - ",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_a_megabyte_costs_no_more_than_its_length(piece):
    body = piece * (1_000_000 // len(piece))
    for text in (body, "Name: a\nTags: b\nDescription: c\nScope: d\nSteps: " + body):
        start = time.process_time()
        with contextlib.suppress(AnalysisError):
            parse_analysis(text)
        assert time.process_time() - start < 10  # a quadratic one takes minutes
