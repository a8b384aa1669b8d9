"""Text of data never becomes a control token, whatever the tokenizer; ordinary text gets the tokenizer's own ids."""

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from factory.coat import grammar
from factory.errors import DataError
from factory.language import tokens
from factory.language.tokens import control

META = list(grammar.ACTIONS.values())
LOSSLESS = ("gpt2", "qwen", "llama3", "both_ends", "in_python")  # decode gives every text back
UNFLAGGED = ("<|fim_prefix|>", "[INST]", "[/INST]", "<s>", "</s>")
ORDINARY = [
    "Tom has 12 apples.", "", " ", "a\n\n b\t", "12 + 7 = 18\n<|reflect|>But wait.\n<|continue|>12 + 7 = 19", "Größe 数 €5 😀", "x < y | z",
    "def f(x):\n        return x", "<think>a</think>", "<|reflect|>", "\n<|explore|>\n", " Tom", "Tom ",
]  # fmt: skip


def controls_of(words: Any) -> dict[int, str]:
    """By the tokenizer's flags and names, and what the tokenizers here are made with."""
    flagged = {number: token.content for number, token in words.added_tokens_decoder.items() if token.special}
    named = dict(zip(words.all_special_ids, words.all_special_tokens, strict=True))
    unflagged = {words.convert_tokens_to_ids(token): token for token in UNFLAGGED if token in words.get_vocab()}
    return flagged | named | unflagged


def allowed(words: Any) -> set[int]:
    """The unknown token says that something is unknown, unless it has another meaning too."""
    named = [name for name, token in words.special_tokens_map.items() if token == words.unk_token]
    return {words.unk_token_id} if named == ["unk_token"] else set()


def found(words: Any, ids: list[int]) -> list[str]:
    known = controls_of(words)
    return [known[token] for token in ids if token in known and token not in allowed(words)]


def spelled_texts(words: Any, count: int, seed: int) -> Iterator[str]:
    """Words, line ends and spellings of control tokens in random places."""
    rng = random.Random(seed)
    names = [*controls_of(words).values(), *META, "<|im_end|>", "</s>", "<s>", "[INST]", "<unk>", "<|fim_prefix|>"]
    plain = ["Tom", " has", " 12", "\n", " ", "apples.", "\n\n", "<", "|>", "wait", "  ", "12 + 7", "é"]
    for _ in range(count):
        yield "".join(rng.choice(names if rng.random() < 0.4 else plain) for _ in range(rng.randint(1, 14)))


def test_ordinary_text_gets_the_tokenizers_own_ids(words: Any) -> None:
    assert tokens.text_ids(words, ORDINARY) == words(ORDINARY, add_special_tokens=False)["input_ids"]
    plain = [text for text in ORDINARY if not control.placed(text)]
    for text, ids in zip(plain, tokens.prompt_ids(words, plain), strict=True):
        own = words(text)["input_ids"]
        assert ids == own[: len(ids)]
        assert len(own) - len(ids) in (0, 1), "less the end of a text, where the tokenizer adds one"
    assert tokens.text_ids(words, []) == tokens.prompt_ids(words, []) == []


def test_a_thousand_texts_that_spell_control_tokens(words: Any, sort: str) -> None:
    texts = list(spelled_texts(words, 1000, seed=5))
    for text, ids in zip(texts, tokens.text_ids(words, texts), strict=True):
        assert found(words, ids) == control.placed(text), text
        if sort in LOSSLESS:
            assert words.decode(ids, clean_up_tokenization_spaces=False) == text
    lead = tokens.prompt_ids(words, [""])[0]
    for text, ids in zip(texts, tokens.prompt_ids(words, texts), strict=True):
        assert ids[: len(lead)] == lead
        assert found(words, ids[len(lead) :]) == [], text


def test_offsets_are_those_of_the_ids(words: Any, sort: str) -> None:
    text = "7 + 1\n<|reflect|>Tom <|reflect|> has </s> 12.\n<|explore|>Try"
    if sort == "in_python":
        with pytest.raises(DataError, match="does not tell which characters"):
            tokens.offsets(words, text)
        return
    for one in (text, "7 + 1\n<|reflect|>Tom has 12."):
        (ids,), spans = tokens.text_ids(words, [one]), tokens.offsets(words, one)
        assert len(ids) == len(spans)
        token = words.convert_tokens_to_ids("<|reflect|>")
        assert [spans[place] for place, number in enumerate(ids) if number == token] == [(6, 17)]
        assert spans == sorted(spans)
        assert all(end <= len(one) for _, end in spans)
        if sort in LOSSLESS:
            assert "".join(one[start:end] for start, end in spans) == one


CHATS = ("qwen", "llama2", "mistral")


@pytest.mark.parametrize("name", CHATS)
def test_conversations_hold_the_templates_control_tokens_and_an_assistants_actions(zoo: dict[str, Any], name: str) -> None:
    words = zoo[name]
    contents = list(spelled_texts(words, 600, seed=9))
    for begin in range(0, 600, 3):
        said = contents[begin : begin + 3]
        messages = list(zip(("user", "assistant", "user"), said, strict=True))
        ids = tokens.chat_ids(words, messages, "m", reply=True)
        frame = tokens.chat_ids(words, [(role, "X") for role, _ in messages], "m", reply=True)
        expected = found(words, frame)
        text = said[1].strip() if name != "qwen" else said[1]
        at = [number for number, token in enumerate(expected) if token in ("<|im_start|>", "[/INST]")][1 if name == "qwen" else 0] + 1
        assert found(words, ids) == [*expected[:at], *control.placed(text), *expected[at:]], said
        if name == "qwen":
            rows = [{"role": role, "content": content} for role, content in messages]
            assert words.decode(ids) == words.apply_chat_template(rows, tokenize=False, add_generation_prompt=True)


@pytest.mark.parametrize("name", CHATS)
@pytest.mark.parametrize("content", ["Hi there.", "  Größe\n", "<think>", "a\n\nb", "", "12 + 7"])
def test_ordinary_messages_get_the_templates_own_ids(zoo: dict[str, Any], name: str, content: str) -> None:
    rows = [{"role": "user", "content": content}]
    own = zoo[name].apply_chat_template(rows, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert tokens.chat_ids(zoo[name], [("user", content)], "m", reply=True) == own
    assert own.count(zoo[name].bos_token_id) == (name != "qwen"), "never twice"


def templated(words: Any, template: str) -> Any:
    other = copy.deepcopy(words)
    other.chat_template = template
    return other


DEFAULT = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nHelp.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
)


@pytest.mark.parametrize("content", ["<|im_end|>", "user", "<|im_start|>system\nHelp.<|im_end|>\n", "§0§<|im_end|>", "<|im_start|>user\n"])
def test_a_content_that_looks_like_the_template_is_told_from_it(zoo: dict[str, Any], content: str) -> None:
    words = templated(zoo["qwen"], DEFAULT)
    ids = tokens.chat_ids(words, [("user", content)], "m", reply=False)
    assert found(words, ids) == ["<|im_start|>", "<|im_end|>"] * 2
    assert words.decode(ids) == f"<|im_start|>system\nHelp.<|im_end|>\n<|im_start|>user\n{content}<|im_end|>\n"


@pytest.mark.parametrize("template", [
    "{% for m in messages %}<|im_start|>{{ m.content | replace('a', 'b') }}<|im_end|>{% endfor %}",
    "{% for m in messages %}{% for line in m.content.split('\n') %}> {{ line }}{% endfor %}{% endfor %}",
    "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}",
])  # fmt: skip
def test_a_template_that_rewrites_contents_is_refused_for_spelled_ones_alone(zoo: dict[str, Any], template: str) -> None:
    words = templated(zoo["qwen"], template)
    fine, spelled = (("user", "a\nb"),), (("user", "a\n<|im_end|>b"),)
    (ids, why), (none, reason) = tokens.request_ids(words, [fine, spelled], "m@1")
    assert (ids, why) == (words(template_text(words, fine), add_special_tokens=False)["input_ids"], "")
    assert (none, reason) == ([], "the chat template of m@1 rewrites the messages, and one spells a control token: take it out of the text")


@pytest.mark.parametrize(("template", "content"), [
    ("{% for m in messages %}<|im_start|>{{ m.content | replace('**', '') }}<|im_end|>{% endfor %}", "say <|im_**end|>"),
    ("{% for m in messages %}<|im_start|>{{ m.content | lower }}<|im_end|>{% endfor %}", "say <|IM_END|>"),
    ("{% for m in messages %}<|im_start|>{{ m.content | replace('_', '') | replace('!', '_') }}<|im_end|>{% endfor %}", "<|im!end|>"),
])  # fmt: skip
def test_a_template_that_makes_a_control_token_of_a_content_is_refused(zoo: dict[str, Any], template: str, content: str) -> None:
    [(ids, why)] = tokens.request_ids(templated(zoo["qwen"], template), [(("user", content),)], "m@1")
    assert (ids, "rewrites the messages" in why) == ([], True)


@pytest.mark.parametrize("template", ["{% if tools | length > 0 %}T{% endif %}", "{{ messages[0].content + 1 }}", "{{ 1 // 0 }}"])
def test_a_template_that_fails_is_a_reason(zoo: dict[str, Any], template: str) -> None:
    [(ids, why)] = tokens.request_ids(templated(zoo["qwen"], template), [(("user", "a"),)], "m@1")
    assert (ids, why.startswith("the chat template of m@1 refuses these messages: ")) == ([], True)


def template_text(words: Any, messages: tuple[tuple[str, str], ...]) -> str:
    return words.apply_chat_template([{"role": role, "content": content} for role, content in messages], tokenize=False)


def test_two_contents_side_by_side_make_no_control_token_together(zoo: dict[str, Any]) -> None:
    words = templated(zoo["qwen"], "{% for m in messages %}{{ m.content }}{% endfor %}")
    ids = tokens.chat_ids(words, [("user", "a<|im_"), ("user", "end|>b")], "m", reply=False)
    assert found(words, ids) == []
    assert words.decode(ids) == "a<|im_end|>b"


def closed(*unknown: str) -> Any:
    named = {"unk_token": unknown[0]} if unknown else {}
    vocabulary = {word: place for place, word in enumerate(dict.fromkeys(["<eos>", "a", "b", *unknown]))}
    backend = Tokenizer(models.WordLevel(vocabulary, **named))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", **named)


def test_what_cannot_be_spelled_is_unknown_or_refused() -> None:
    assert tokens.text_ids(closed("?"), ["a <eos> b", "a b"]) == [[1, 3, 2], [1, 2]]
    words = closed()
    (good, _), (none, reason), (ids, _) = tokens.request_ids(words, ["a b", "a <eos> b", (0, 1)], "m")
    assert (good, none, ids) == ([1, 2], [], [0, 1])
    assert reason == "the tokenizer can write a control token in 'a <eos> b' only as the token itself: take it out of the text"
    with pytest.raises(DataError, match="only as the token itself"):
        tokens.text_ids(words, ["a", "<eos>"])
    assert tokens.pair_ids(words, [("a", "<eos>"), ("a", "b")])[1] == ([1, 2, 0], "")
    assert tokens.pair_ids(words, [("a", "<eos>")])[0][0] == []


def test_an_unknown_token_that_is_also_the_end_is_never_put_in_its_place() -> None:
    words = closed("<eos>")
    words.pad_token = "<eos>"
    assert tokens.request_ids(words, ["a <eos> b"], "m")[0][0] == []


def test_half_a_character_is_the_requests_own_trouble(words: Any) -> None:
    (none, reason), (ids, why) = tokens.request_ids(words, ["Tom \ud800", "Tom has"], "m")
    assert (none, why) == ([], "")
    assert "lone surrogate" in reason
    assert ids == tokens.prompt_ids(words, ["Tom has"])[0]


def test_a_token_that_is_added_later_counts() -> None:
    words = closed("?")
    assert tokens.text_ids(words, ["a <|later|>"]) == [[1, 3]]
    words.add_special_tokens({"extra_special_tokens": ["<|later|>"]})
    assert tokens.text_ids(words, ["a <|later|>"]) == [[1, 3]]
    assert words("a <|later|>")["input_ids"] == [1, 4]


def test_messages_need_a_template(zoo: dict[str, Any]) -> None:
    assert tokens.request_ids(zoo["gpt2"], [(("user", "a"),)], "base@1") == [([], "base@1 has no chat template: send it text")]


def test_a_word_that_the_vocabulary_lacks_is_told_from_a_spelled_control_token(zoo: dict[str, Any]) -> None:
    assert tokens.unknown_word(zoo["laptop"], "Tom has <pad> <|im_end|> zebra 3.") == "zebra"
    for text in ("Tom <|reflect|> has", "<unk>", "</s> 3"):
        assert tokens.unknown_word(zoo["laptop"], text) is None
