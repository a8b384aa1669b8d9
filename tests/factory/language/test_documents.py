r"""JSON in answers: what is found, what is mended (`\frac`, trailing commas), and that no text raises or costs more than its length."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.language.documents import FAILURES, documents, objects_in


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("Nothing of the kind: {x}, [1], 3.", []),
        ('{"a": 1}', [{"a": 1}]),
        ('Sure: {"a": {"b": [1, {}]}} and ["c"].', [{"a": {"b": [1, {}]}}, ["c"]]),
        ('```json\n{\n  "a": "b"\n}\n```\nDone.', [{"a": "b"}]),
        ('{"a": 1}\n{"a": 2}', [{"a": 1}, {"a": 2}]),
        ('{"a": "two\nlines"}', [{"a": "two\nlines"}]),
        ('[{"a": 1}, {"a": ', [{"a": 1}]),
        ('{"plan": {"a": 1}', [{"a": 1}]),
        (r'By \frac{1}{2} and the set \{1\}: {"a": 1}', [{"a": 1}]),
        ('{"a": [1, 2,], "b": {"c": 3,},\n}', [{"a": [1, 2], "b": {"c": 3}}]),
        ('{"a": "1,}", "b": "[2, ]",}', [{"a": "1,}", "b": "[2, ]"}]),
        ('{"a": 1,,}', [{"a": 1}]),
        ('{"a": ' + "9" * 5_000 + '} {"b": 1}', [{"b": 1}]),
        ("[" * 100_000 + '{"a": 1}', []),
        ('{"a": [' + "[1,], " * 40 + "0]}", [{"a": [*[[1]] * 40, 0]}]),
        ("\\", []),
        ('{"a": "\\', []),
    ],
)
def test_what_is_found(text: str, found: list[object]) -> None:
    assert documents(text) == found


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"\(x\), \sqrt{2}, \{1\}, \_, \underline{x}", r"\(x\), \sqrt{2}, \{1\}, \_, \underline{x}"),
        (
            r"\frac{1}{2} \beta \bigg \rightarrow \times \theta \neq \nabla",
            r"\frac{1}{2} \beta \bigg \rightarrow \times \theta \neq \nabla",
        ),
        (r"\\frac{1}{2} \\times \\\\", r"\frac{1}{2} \times \\"),
        (r"one\nTwo\nthen\tthree\r\nfour", "one\nTwo\nthen\tthree\r\nfour"),
        (r"\"a\" \/ \u00e9 \u12", '"a" / é \\u12'),
        ("a\tb", "a\tb"),
    ],
)
def test_backslashes(written: str, read: str) -> None:
    assert documents(f'{{"a": "{written}"}}') == [{"a": read}]


def test_objects_inside_of_others_are_in_reading_order() -> None:
    text = 'Steps: [{"a": 1, "b": {"c": 2}}, [{"d": 3}]] then {"e": [1, {"f": 4}]}'
    assert list(objects_in(text)) == [{"a": 1, "b": {"c": 2}}, {"c": 2}, {"d": 3}, {"e": [1, {"f": 4}]}, {"f": 4}]
    assert [list(found) for found in objects_in('{"0": ' * 9 + "1" + "}" * 9)] == [["0"]] * 6


def test_a_text_of_braces_is_given_up() -> None:
    assert documents('{"a" ' * (FAILURES - 1) + '{"b": 1}') == [{"b": 1}]
    assert documents('{"a" ' * FAILURES + '{"b": 1}') == []


KEYS = st.text(st.characters(exclude_categories=["C"]), max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab{}[],"\\ é', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100)
@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=3), max_size=4))
@pytest.mark.slow
def test_sound_json_is_read_as_it_is(written: list[object]) -> None:
    assert documents("\n".join(map(json.dumps, written))) == written


PARTS = ["{", "}", "[", "]", '"', ",", ":", "\\", "\\frac", "\\n", "\\u", '{"a": ', '["b", ', "[],", '",}', "1", " ", "\n", "\ud800", "é"]


@settings(max_examples=200)
@given(st.lists(st.sampled_from(PARTS) | st.text(max_size=3), max_size=30).map("".join))
@pytest.mark.slow
def test_no_text_raises(text: str) -> None:
    assert all(isinstance(found, dict | list) for found in documents(text))
    assert all(isinstance(found, dict) for found in objects_in(text))


@pytest.mark.slow
@pytest.mark.parametrize("part", [*PARTS, '{"a":1,},', '[["b",],', "[ ", "[[]", '["\\'])
@pytest.mark.parametrize("opening", ["", "[" * 60, '{"a": [', '["'])
def test_a_megabyte_costs_no_more_than_its_length(opening: str, part: str) -> None:
    text = opening + part * (1_000_000 // len(part))
    began = time.process_time()
    documents(text)
    assert time.process_time() - began < 10  # a quadratic one takes minutes
