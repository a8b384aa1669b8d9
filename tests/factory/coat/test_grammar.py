"""The COAT grammar over any text: round trips, restart prefixes, and what is wrong with a trajectory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.coat import grammar
from factory.coat.grammar import CONTINUE, EXPLORE, REFLECT, CoatError, Step
from factory.language.steps import By

CORRECTION = f"{REFLECT}But wait: 30 is not 36.\n{EXPLORE}This time, try another pair."
VALID = f"3 * 10 = 30\n{CORRECTION}\n{CONTINUE}Try 4 and 9.\n4 * 9 = 36\n\\boxed{{4}}"

texts = st.text(st.sampled_from("ab1 =\n{}\\<|>")) | st.text()
lines = st.text(st.characters(blacklist_characters="\n<|>", blacklist_categories=("Cs",)), min_size=1)
steps = st.builds(Step, st.sampled_from([None, *grammar.ACTIONS]), lines)
ways = st.sampled_from(["line", "paragraph"])
PARAGRAPHS = f"""Let $x$ be the side, so:

\\[ x^2 = 9,

x = 4. \\]

{REFLECT}But wait:

4 * 4 = 16.
{EXPLORE}Take the root.

{CONTINUE}
1. It is 3.
2. Or it is -3.

\\boxed{{3}}
"""


PIECES = [*grammar.ACTIONS.values(), "<|retry|>", "<|", "|>", "\n", "\n\n", "1. a", "$$", "a b", "```x", "# h"]


@given(st.lists(st.sampled_from(PIECES)).map("".join) | texts, ways)
@pytest.mark.slow
def test_whether_a_text_parses_is_seen_from_its_tokens_alone(text: str, by: By) -> None:
    try:
        grammar.parse(text, by)
    except CoatError:
        assert not grammar.parses(text)
    else:
        assert grammar.parses(text)


def test_parse_names_each_action() -> None:
    assert [step.action for step in grammar.parse(VALID)] == [None, "reflect", "explore", "continue", None, None]
    assert grammar.parse(VALID)[1].text == "But wait: 30 is not 36."
    assert grammar.problems_of(VALID) == []
    assert grammar.action_counts(VALID) == {"continue": 1, "reflect": 1, "explore": 1}


@given(lines, st.lists(steps, max_size=6))
@pytest.mark.slow
def test_rendered_steps_parse_back(first: str, rest: list[Step]) -> None:
    trajectory = (Step(None, first), *rest)
    assert grammar.parse(grammar.render(trajectory)) == trajectory


def test_paragraphs_are_steps_too() -> None:
    parsed = grammar.parse(PARAGRAPHS, "paragraph")
    assert [step.action for step in parsed] == [None, "reflect", "explore", "continue", None, None]
    assert parsed[1].text == "But wait:\n\n4 * 4 = 16."
    assert grammar.render(parsed) == PARAGRAPHS
    assert grammar.problems_of(PARAGRAPHS, "paragraph") == []
    assert "an empty continue step" in grammar.problems_of(PARAGRAPHS)
    assert grammar.cut(PARAGRAPHS, 5, "paragraph") == (PARAGRAPHS[: PARAGRAPHS.index(f"\n\n{REFLECT}")] + f"\n{REFLECT}", 5)


@given(texts, ways)
def test_a_text_that_parses_renders_back(text: str, by: By) -> None:
    try:
        assert grammar.render(grammar.parse(text, by)) == text
    except CoatError:
        assert "<|" in text


@given(texts, ways)
def test_split_steps_loses_nothing(text: str, by: By) -> None:
    assert "\n".join(grammar.split_steps(text, by)) == text


@given(texts, st.integers(0, 5), ways)
def test_a_restart_prefix_is_a_prefix_of_its_parent(text: str, backtrack: int, by: By) -> None:
    prefix, dropped = grammar.cut(text, backtrack, by)
    assert prefix.endswith(f"\n{REFLECT}")
    assert text.startswith(prefix.removesuffix(f"\n{REFLECT}"))
    assert dropped == min(backtrack, len(grammar.split_steps(text, by)) - 1)


def test_cut_drops_whole_steps_and_leaves_one() -> None:
    assert grammar.cut("a\nb\nc", 0) == (f"a\nb\nc\n{REFLECT}", 0)
    assert grammar.cut("a\nb\nc", 2) == (f"a\n{REFLECT}", 2)
    assert grammar.cut("a\nb\nc", 9) == (f"a\n{REFLECT}", 2)
    assert grammar.cut("a\nb\n", 0) == (f"a\nb\n{REFLECT}", 0)  # a final newline does not become an empty step


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n<|retry|>b", "unknown token <|retry|> in step 2"),
        (f"{REFLECT}a\nb", "the first step carries the token"),
        (f"a\nb {REFLECT}c", "elsewhere than at its start"),
        (f"a\n{REFLECT}b{CONTINUE}c", "elsewhere than at its start"),
    ],
)
def test_parse_refuses(text: str, message: str) -> None:
    with pytest.raises(CoatError, match=message.replace("|", r"\|")):
        grammar.parse(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1 + 1 = 2", "the last step has no \\boxed{}"),
        (f"a\n{EXPLORE}b\n\\boxed{{2}}", "an explore is not followed by a continue"),
        (f"a\n{EXPLORE}b\n{REFLECT}c\n{CONTINUE}\\boxed{{2}}", "an explore is not followed by a continue"),
        (f"a\n{REFLECT}\n{CONTINUE}\\boxed{{2}}", "an empty reflect step"),
    ],
)
def test_problems_are_named(text: str, problem: str) -> None:
    assert grammar.problems_of(text) == [problem]


def test_lines_without_a_token_belong_to_the_action_before_them() -> None:
    assert grammar.problems_of(f"a\n{EXPLORE}Another way:\nuse the total.\n{CONTINUE}b\n\\boxed{{2}}") == []


def test_the_first_attempt_ends_before_the_first_reflection() -> None:
    assert grammar.before_reflection(VALID) == "3 * 10 = 30\n"
    assert grammar.before_reflection("3 * 10 = 30\n\\boxed{3}") == "3 * 10 = 30\n\\boxed{3}"
