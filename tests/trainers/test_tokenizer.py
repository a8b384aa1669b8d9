"""The tokenizer gives every world-style text back, reads what models wrote, and survives `AutoTokenizer`."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen3Config

from factory.coat import grammar
from factory.errors import DataError
from factory.language import tokens
from factory.language.conversation import begun, said
from factory.schemas import Message
from trainers import batches, tokenizer

TEXTS = [
    "Tom has 12 apples (red, green); how many? Sam's dog: 3.\nSolve:\n12 + 7 = 19\n12 * 7 = 84\n19 - 4 = 15\n84 / 2 = 42\n",
    "12 + 7 = 18\n<|reflect|>But wait. 12 + 7 is 19.\n<|explore|>Try it again.\n<|continue|>12 + 7 = 19\n\\boxed{19}",
]
WORDS = ["Tom", "has", "apples", "red", "how", "many", "Sam", "dog", "Solve", "But", "wait", "is", "Try", "it", "again"]


@pytest.fixture(scope="module")
def words() -> PreTrainedTokenizerBase:
    return tokenizer.build(TEXTS, grammar.ACTIONS.values(), 128)


def test_tokens_are_words_single_digits_and_signs_and_no_space(words: PreTrainedTokenizerBase) -> None:
    ids = words("12 + 7 = 19\n<|reflect|>But wait.\n\\boxed{19}")["input_ids"]
    expected = ["1", "2", "+", "7", "=", "1", "9", "\n", "<|reflect|>", "But", "wait", ".", "\n", "\\boxed{", "1", "9", "}"]
    assert words.convert_ids_to_tokens(ids) == expected


def test_special_ids_come_first_and_padding_is_left_and_nothing_is_added(words: PreTrainedTokenizerBase) -> None:
    assert words.convert_ids_to_tokens(range(6)) == ["<pad>", "<eos>", "<unk>", *grammar.ACTIONS.values()]
    assert words.padding_side == "left"
    assert words("Tom")["input_ids"] == words("Tom", add_special_tokens=False)["input_ids"]
    assert words.decode([words.convert_tokens_to_ids("<|reflect|>")]) == "<|reflect|>"


ITEM = st.one_of(
    st.sampled_from(WORDS),
    st.integers(0, 9999).map(str),
    st.sampled_from(WORDS).map(lambda word: f"({word})"),
    st.tuples(st.sampled_from(WORDS), st.sampled_from(".,?:;")).map("".join),
)
EQUATION = st.tuples(st.integers(0, 999), st.sampled_from("+-*/"), st.integers(0, 999), st.integers(0, 999)).map(
    lambda parts: "{} {} {} = {}".format(*parts)
)
SENTENCE = (
    st.lists(ITEM, min_size=1, max_size=6)
    .map(" ".join)
    .filter(lambda text: not any(a.isdigit() and b.isdigit() for a, b in _neighbours(text)))
)
STEP = st.tuples(st.sampled_from(["", *grammar.ACTIONS.values()]), st.one_of(EQUATION, SENTENCE)).map("".join)
TEXT = st.tuples(st.lists(STEP, min_size=1, max_size=6).map("\n".join), st.sampled_from(["", "\n", "\n\\boxed{15}"])).map("".join)


def _neighbours(text: str) -> Iterable[tuple[str, str]]:
    """Items on either side of a space."""
    return itertools.pairwise(text.split(" "))


@given(TEXT)
@settings(max_examples=300)
@pytest.mark.slow
def test_every_text_in_the_worlds_conventions_comes_back(words: PreTrainedTokenizerBase, text: str) -> None:
    ids = words(text)["input_ids"]
    assert words.unk_token_id not in ids
    assert words.decode(ids) == text


@given(st.data())
@settings(max_examples=300)
@pytest.mark.slow
def test_whatever_a_model_writes_is_read_again_as_the_same_ids(words: PreTrainedTokenizerBase, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(3, len(words) - 1), max_size=20))
    assert words(words.decode(ids))["input_ids"] == ids


@given(st.lists(st.one_of(EQUATION, SENTENCE), min_size=1, max_size=4).map(lambda lines: "\n".join(lines) + "\n"), TEXT)
@settings(max_examples=100)
@pytest.mark.slow
def test_a_conversation_is_the_plain_text_that_the_base_was_pretrained_on(
    words: PreTrainedTokenizerBase, prompt: str, completion: str
) -> None:
    asked, before = said("user", prompt), (words(prompt)["input_ids"], [*words(completion)["input_ids"], words.eos_token_id])
    assert tokens.plain_sequence_ids(words, [prompt], [completion]) == [before]
    assert tokens.sequence_ids(words, [asked], [completion]) == [before]
    assert tokens.prompt_ids(words, [asked, begun(asked, completion)]) == [before[0], before[0] + before[1][:-1]]
    assert tokens.pair_ids(words, [(asked, completion)]) == [(before[0] + before[1], "")]
    assert tokens.turn_end(words) == words.eos_token_id


def test_turns_follow_one_another_and_every_answer_ends(words: PreTrainedTokenizerBase) -> None:
    told = (Message("system", "Try it. "), Message("user", "12 + 7 ="), Message("assistant", "18"), Message("user", "\nBut wait.\n"))
    text = "Try it. 12 + 7 =18<eos>\nBut wait.\n"
    assert tokens.prompt_ids(words, [told]) == [words(text)["input_ids"]]
    assert tokens.prompt_ids(words, [told])[0].count(words.eos_token_id) == 1


def test_prompt_and_completion_meet_at_a_token_boundary(words: PreTrainedTokenizerBase) -> None:
    prompt, completion = TEXTS
    assert words(prompt)["input_ids"] + words(completion)["input_ids"] == words(prompt + completion)["input_ids"]


def test_auto_tokenizer_reads_the_same_ids_beside_a_qwen_config(words: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    words.save_pretrained(tmp_path)
    Qwen3Config().save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        assert again(text)["input_ids"] == words(text)["input_ids"]
        assert again.decode(again(text)["input_ids"]) == text
    assert (again.pad_token, again.eos_token, again.padding_side) == ("<pad>", "<eos>", "left")
    assert again.chat_template == tokenizer.CHAT_TEMPLATE


@pytest.mark.parametrize("text", ["two  spaces", "apples .", "7 8 side by side", " begins with a space", "ends with one "])
def test_a_text_that_cannot_come_back_is_named(text: str) -> None:
    with pytest.raises(DataError, match="cannot give back") as error:
        tokenizer.build(["fine", text], grammar.ACTIONS.values(), 128)
    assert text[:10] in str(error.value)


def test_a_word_without_a_token_is_named(words: PreTrainedTokenizerBase) -> None:
    with pytest.raises(DataError, match="no token for 'zebra'"):
        batches.encode(words, ["Tom has", "Tom has 3 zebra"])


@pytest.mark.parametrize(
    "text", ["<unk>", "Tom has <pad> 3.", "But <|reflect|> wait.", "Tom\n<eos>", "Sam <|im_end|>", "Solve [INST]: </s>"]
)
def test_a_control_token_that_was_spelled_is_no_missing_word(words: PreTrainedTokenizerBase, text: str) -> None:
    (ids,) = batches.encode(words, [text])
    assert words.unk_token_id in ids
    assert {words.pad_token_id, words.eos_token_id, *words.convert_tokens_to_ids(list(grammar.ACTIONS.values()))}.isdisjoint(ids)
    with pytest.raises(DataError, match="no token for 'zebra'"):
        batches.encode(words, [f"{text} zebra"])
