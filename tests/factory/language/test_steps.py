r"""The splitter of solutions: each rule by hand, what holds for every text, and golden files on real solutions.

`tests/golden/steps/solutions.txt` says how real solutions of the public data are cut: a line `kind by file row field` for a solution, then
for each step its number of lines and its first characters. A person has read the split of each. After a change of the splitter this test
writes the new file beside its temporary files and names it: read what changed, then copy it.
"""

import json
import os
import time
import zipfile
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.coat import grammar
from factory.language.steps import By, split

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("COAT_DATA", ROOT.parent / "shared" / "data"))
GOLDEN = ROOT / "tests/golden/steps/solutions.txt"
MMLU = "mmlu_pro/model_outputs_Meta-Llama-3_1-8B-Instruct_5shots.zip"

needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no public data at {DATA}: set COAT_DATA")
fragments = [
    "$$", "\\[", "\\]", "\\begin{a}", "\\end{a}", "\\begin{b}", "\\end{b}", "```", "```py", "~~~", "| a |", "\n", "\n\n", "\r\n", " ",
    "  ", "1. ", "2) ", "Step 3: ", "## ", "**x**", "a:", "b", "---", *grammar.ACTIONS.values(), "\ud800", "\u2028", "\\", "- ",
    "[asy]", "[/asy]",
]  # fmt: skip
texts = st.lists(st.sampled_from(fragments), max_size=30).map("".join) | st.text() | st.text(st.sampled_from("\n\r ab1.$`|*"))
ways = st.sampled_from(["line", "paragraph"])

# Texts of which every "¦" is where a step ends (before the newline).
CUT = {
    "blank lines end a step and stay with it": "a\nb\n\n¦\nc\n¦\nd\n\n",
    "blank lines at the start belong to the first step": "\n\na\n¦\nb",
    "lines of spaces are blank": "a\n \t\r¦\nb",
    "a rule stays with the step before": "a\n\n---\n¦\nb\n¦\n* * is none\n¦\nc",
    "a line of a sum is no rule": "  11\n+ 10\n----\n  21",
    "numbered steps": "1. She has 5 × 3 = 15.¦\n2. She gives 2, so 15 - 2 = 13.¦\n(3) It is 13.¦\n**4)** Done.",
    "labels": "We start.¦\nStep 1: a\nb¦\n**Step 2:** c\n¦\nCase 3. d¦\nstep 4 - e",
    "no label, no number": "a\nStep 3 is hard.\n3.5 apples\n1.\n2024. b\nin step 2: c\n(A) d\nB) e",
    "a number of a numbered step's own list": "1. a:\n   1. b\n   2. c¦\n2. d",
    "indented paragraphs belong to a numbered step": "1. a\n\n   b\n\n\tc\n¦\nd\n¦\n   e",
    "text after steps of one line each": "1. a is the first thing.¦\n2. b is the second.¦\nSo c.\nd",
    "text of a numbered step": "1. Find a.\n\\[ a \\]\nSo a.¦\n2. Find b.\nb = 2¦\n3. Done.\n- with b",
    "a list in an argument": "There are two kinds:\n1. odd\n2. even\nWe take both.",
    "a list after a blank line": "There are two kinds:\n\n1. odd\n2. even\n¦\nWe take both.",
    "steps are no list": "We follow these steps:¦\n1. add¦\n2. subtract",
    "long lines are no list": f"There are two:¦\n1. {'a' * 60}¦\n2. b",
    "arithmetic is no list": "We compute:¦\n1. Cost: $5 × 3 = $15¦\n2. Rest: 20 - 15 = 5",
    "numbered paragraphs are no list": "There are two:\n¦\n1. odd\n¦\n2. even",
    "lines with more under them are no list": "Find both:¦\n1. a\n   by hand¦\n2. b\n\\[ b \\]",
    "a heading belongs to what follows": "## Solution\n\n### Step 1: Add\n\na\n¦\n### Step 2: Subtract\n\n1. b¦\n2. c",
    "bold lines are headings": "**Step 1**\n\na\n¦\n**Step 2: Foo**\n\nb\n¦\n**Answer:** c\n¦\nd",
    "a bare label is a heading": "Step 1:\n\na\n¦\nStep 2\n\nb\n¦\nStep 3: c\n¦\nd",
    "a bold item is a heading": "1. **Add**\n\n\\[ a \\]\n¦\n2. **Subtract**\n\nb",
    "a colon binds the next paragraph": "so we have:\n\n\\[ x = 3 \\]\n¦\nwhere x is\n¦\nand,\n\n$$\ny\n$$",
    "a colon binds no step": "We do this:\n¦\nStep 1: a\n¦\n**Note:**\n\nb",
    "display maths": "a\n¦\n$$\nx\n\ny\n\n1. z\n$$\n¦\n\\[\n\nx\n\n\\]\n¦\nb",
    "maths within a line": "a $$x$$ b\n¦\n$$y$$ and $$z$$\n¦\nc \\\\[4pt] d\n¦\n\\$$5\n¦\ne",
    "nested environments": "\\begin{a}\n\n\\begin{b}\n\n\\begin{a}\n\n\\end{a}\n\n\\end{b}\n\n\\end{a}\n¦\nb",
    "environments that overlap": "\\begin{a}\n\n\\begin{b}\n\n\\end{a}\n\n\\end{b}\n¦\nb",
    "a figure": "a\n¦\n[asy]\nb\n\nc\n[/asy]\n¦\nd",
    "a table": "a:\n\n| x | y |\n|---|---|\n| 1. | 2 |\n\n| 3 | 4 |\n¦\nb",
    "code": "a\n¦\n```python\nx\n\n# Step 2: y\n1. z\n\\[\n```\n¦\n~~~~\n```\n\n~~~\n\n~~~~\n¦\nb",
    "maths that no end closes": "a $$ b\n¦\nc\n¦\n\\[ d\n¦\n\\begin{e}\n¦\nf",
    "a stray $$ hides no later maths": "a $$\n¦\n$$ b $$\n¦\nc",
    "a step ends maths": "$$ a\n¦\nStep 2: b $$\n¦\nc",
    "bare marks that no end closes": "```\na\n¦\nb",
    "code that is cut off": "a:\n\n```python\nb\n\nc\n",
    "a token wins":
        "a\n¦\n$$\nb\n¦\nc¦\n<|reflect|>But wait.\n$$\n¦\n```python\n\nd\n\n¦\n<|explore|>e:¦\n<|continue|>\n\nf\n\n¦\n<|reflect|>g",
    "a token elsewhere does nothing": "a\n <|reflect|>b <|explore|>",
    "a token after blank lines at the start": "\n¦\n<|reflect|>a",
    "other tokens do nothing": "a\n<|retry|>b",
    "carriage returns": "a\r\n\r\n¦\nStep 1:\r\n\r\nb:\r\n\r\nc\r\n\r\n¦\nd\r\n",
    "nothing": "",
}  # fmt: skip


@pytest.mark.parametrize("text", CUT.values(), ids=CUT)
def test_a_solution_is_cut_where_a_person_would(text: str) -> None:
    assert "¦\n".join(split(text.replace("¦", ""), "paragraph")) == text


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("a\nb", ("a", "b")),
        ("a\n\n\nb\n", ("a\n\n", "b\n")),
        ("\n\na\n \n", ("\n", "a", " \n")),
        ("", ("",)),
        ("\n", ("\n",)),
        ("$$\nx\n$$\n<|reflect|>a", ("$$", "x", "$$", "<|reflect|>a")),
    ],
)
def test_lines_are_steps(text: str, steps: tuple[str, ...]) -> None:
    assert split(text) == split(text, "line") == steps


@given(texts, ways)
@pytest.mark.slow
def test_nothing_is_lost(text: str, by: By) -> None:
    assert "\n".join(split(text, by)) == text


@given(texts, ways)
def test_a_token_at_the_start_of_a_line_begins_a_step(text: str, by: By) -> None:
    tokens = tuple(grammar.ACTIONS.values())
    at_lines = sum(line.startswith(tokens) for line in text.split("\n"))
    assert at_lines == sum(step.startswith(tokens) for step in split(text, by))


@given(texts)
def test_paragraphs_end_only_where_lines_end(text: str) -> None:
    ends = [len("\n".join(split(text, "paragraph")[: count + 1])) for count in range(len(split(text, "paragraph")))]
    assert all(end == len(text) or text[end] == "\n" for end in ends)
    assert all(step.strip() for step in split(text, "paragraph")[1:])


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["$$\n", "\\begin{", "\\begin{a}\n", "`", "```\n", "```a\n", "a:\n\n1. b\n", "* ", " ", "1. a:\n", "| "])
def test_a_megabyte_takes_a_moment(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    started = time.process_time()
    split(text, "paragraph")
    assert time.process_time() - started < 10  # 1 s on a slow core; a quadratic scan takes minutes


@cache
def rows(file: str) -> list[dict[str, object]]:
    path = DATA / file
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return list(json.loads(archive.read(archive.namelist()[0])))
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    content = json.loads(text)
    return [solutions[0] for solutions in content.values()] if isinstance(content, dict) else content


def solution(file: str, row: str, field: str) -> str:
    """`field` may go into an object (`6b_finetuning.solution`); a list of steps or messages is joined by newlines."""
    found: object = rows(file)[int(row)]
    for name in field.split("."):
        assert isinstance(found, dict)
        found = found[name]
    if isinstance(found, list):
        found = "\n".join(
            part if isinstance(part, str) else part["content"] for part in found if isinstance(part, str) or part["role"] != "user"
        )
    assert isinstance(found, str)
    return found


def described(head: str) -> str:
    """The golden lines of the solution that `head` names."""
    _, by, file, row, field = head.split(" ")
    steps = split(solution(file, row, field), "line" if by == "line" else "paragraph")
    starts = [step.lstrip("\n").split("\n")[0].rstrip()[:40].rstrip() for step in steps]
    return "\n".join([head, *(f"  {step.count(chr(10)) + 1:3} {start}" for step, start in zip(steps, starts, strict=True))]) + "\n"


def heads() -> list[str]:
    return [line for line in GOLDEN.read_text(encoding="utf-8").split("\n") if line and not line.startswith(" ")]


@needs_data
def test_real_solutions_are_cut_as_a_person_agreed(tmp_path: Path) -> None:
    found = "\n".join(described(head) for head in heads())
    new = tmp_path / GOLDEN.name
    new.write_text(found, encoding="utf-8")
    assert found == GOLDEN.read_text(encoding="utf-8"), f"the splits changed: read diff {GOLDEN} {new}"


def test_the_real_solutions_are_of_every_kind() -> None:
    kinds = Counter(head.split(" ")[0] for head in heads())
    assert kinds.total() == len(set(heads())) >= 60
    assert all(
        kinds[kind] >= least for kind, least in {"latex": 10, "numbered": 10, "table": 5, "code": 5, "line": 10, "label": 10}.items()
    )


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / MMLU).exists(), reason=f"no outputs of MMLU-Pro at {DATA}: set COAT_DATA")
@pytest.mark.parametrize("by", ["line", "paragraph"])
def test_every_output_of_mmlu_pro_survives(by: By) -> None:
    outputs = [row["generated_text"] or "" for row in rows(MMLU)]
    assert len(outputs) == 12_032
    parsed = 0
    for text in outputs:
        assert isinstance(text, str)
        assert "\n".join(split(text, by)) == text
        if not grammar.unknown_tokens(text):
            assert grammar.render(grammar.parse(text, by)) == text
            parsed += 1
    assert parsed == 12_032  # none of them spells a token
