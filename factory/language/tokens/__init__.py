"""Token ids of texts, prompts and pairs. Trainers, engines, scorers and PPO all get theirs here, so that they are the same.

    asked = (Message("user", "Tom has 3.\\nSolve:\\n"),)
    text_ids(tokenizer, ["7\\n<|reflect|>But <|reflect|> wait."])     → [[16, 6, 4, 43, 2, 240, 19]]      the laptop's: 4, then 2 (<unk>)
    sequence_ids(tokenizer, [asked], ["7"])                           → [([91, 161, 12, 19, 6, 79, 22, 6], [16, 1])]
    prompt_ids(tokenizer, [begun(asked, "7\\n")])                     → [[91, 161, 12, 19, 6, 79, 22, 6, 16, 6]]

A sequence is ids(prompt) + ids(completion) + [end of turn]. A prompt is what the model's chat template makes of the turns, up to where the
model answers (`tokens.chat`: the template alone decides about BOS); where the assistant has begun, its words follow as the ids of text
that they are trained as. A completion begins at a token boundary, and ends with the token that the template writes behind an answer.

Ids are the tokenizer's own, unless data spells one of its control tokens: then the text is read by a copy that cannot give one
(`tokens.spelling`). Exempt is a meta-action token at the start of a line of the assistant's words (`tokens.control`). What cannot be
spelled otherwise becomes the unknown token, and where there is none the text is refused.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from factory.errors import DataError
from factory.language.conversation import split
from factory.language.tokens.chat import CLOSES, Chat
from factory.language.tokens.reader import Ids, Reader
from factory.schemas import Conversation, Message

_MODEL = "the model"


def text_ids(tokenizer: Any, texts: Sequence[str]) -> list[Ids]:
    """Ids of completions, or parts of them, with nothing added. Raises DataError for one that the tokenizer cannot write as text."""
    return _all(_known(tokenizer).reader.read(texts, actions=True))


def prompt_ids(tokenizer: Any, prompts: Sequence[Conversation]) -> list[Ids]:
    """The chat template's ids up to where the model answers, and those of the words with which the answer begins (`text_ids`). A system
    turn that the template refuses or drops is put before the first user's words. Raises DataError as `text_ids`, and for a tokenizer
    without a chat template, or conversations that it refuses."""
    return _all(_prompts(_known(tokenizer), prompts, _MODEL))


def sequence_ids(tokenizer: Any, prompts: Sequence[Conversation], completions: Sequence[str]) -> list[tuple[Ids, Ids]]:
    """(prompt, completion and end of turn) of each row. Raises DataError as `prompt_ids`."""
    end = turn_end(tokenizer)
    tails = [[*ids, end] for ids in text_ids(tokenizer, completions)]
    return list(zip(prompt_ids(tokenizer, prompts), tails, strict=True))


def turn_end(tokenizer: Any) -> int:
    """The token that ends an answer: it is trained last, and stops generation. The first control token that the chat template writes
    behind an assistant's words, also where that is not the tokenizer's eos; else the eos. Raises DataError where there is neither."""
    return _known(tokenizer).end


def pair_ids(tokenizer: Any, pairs: Sequence[tuple[Conversation, str]], model: str = "the reward model") -> list[tuple[Ids, str]]:
    """What a reward model reads of each (prompt, completion), or why it can read nothing: what its chat template makes of the whole
    conversation, the completion joined to a turn begun."""
    whole = []
    for prompt, completion in pairs:
        turns, before = split(prompt)
        whole.append((*turns, Message("assistant", before + completion)))
    return [_or_why(ids) for ids in _known(tokenizer).ids(whole, model, reply=False)]


def request_ids(tokenizer: Any, prompts: Sequence[Conversation | tuple[int, ...]], model: str) -> list[tuple[Ids, str]]:
    """The ids of each request's prompt (a conversation, or ids, which stay as they are), or why there are none."""
    conversations = [tuple(Message(*turn) for turn in prompt if isinstance(turn, tuple)) for prompt in prompts]  # () for ids
    read = iter(_prompts(_known(tokenizer), [turns for turns in conversations if turns], model))
    found: list[tuple[Ids, str]] = []
    for prompt, turns in zip(prompts, conversations, strict=True):
        found.append(_or_why(next(read)) if turns else ([int(token) for token in prompt if not isinstance(token, tuple)], ""))
    return found


def plain_sequence_ids(tokenizer: Any, prompts: Sequence[str], completions: Sequence[str]) -> list[tuple[Ids, Ids]]:
    """Pretraining's: (prompt, completion and end of sequence) of texts without turns. A prompt begins as the tokenizer begins every text
    (BOS, CLS) and never ends as it ends one. Raises DataError as `text_ids`."""
    reader = _known(tokenizer).reader
    heads = _all(reader.read(prompts, actions=False))
    return [(reader.lead + head, tail + reader.end) for head, tail in zip(heads, text_ids(tokenizer, completions), strict=True)]


def opens_thought(tokenizer: Any) -> bool:
    """Whether the chat template opens a thought (`<think>`) where the model answers."""
    return _known(tokenizer).thinks


def control_ids(tokenizer: Any) -> frozenset[int]:
    """The tokenizer's control tokens (`tokens.reader`)."""
    return _known(tokenizer).reader.controls


def offsets(tokenizer: Any, text: str) -> list[tuple[int, int]]:
    """(start, end) characters of each of `text_ids`. Raises DataError when the tokenizer does not tell them."""
    return _known(tokenizer).reader.located(text)


def unknown_word(tokenizer: Any, text: str) -> str | None:
    """The first word that the vocabulary lacks, control tokens left aside: those are spelled by chance."""
    return _known(tokenizer).reader.unknown_word(text)


def _prompts(chat: Chat, prompts: Sequence[Conversation], model: str) -> list[Ids | DataError]:
    parts = [split(prompt) for prompt in prompts]
    heads = chat.ids([turns for turns, _ in parts], model, reply=True)
    words = list(dict.fromkeys(begun for _, begun in parts if begun))
    read: dict[str, Ids | DataError] = {"": [], **dict(zip(words, chat.reader.read(words, actions=True), strict=True))}
    closed = chat.reader.own([f"\n{CLOSES}\n\n"])[0] if words and chat.thinks else []  # words of an answer are no thought
    found: list[Ids | DataError] = []
    for head, (_, begun) in zip(heads, parts, strict=True):
        tail = read[begun]
        if begun and closed and isinstance(tail, list):
            tail = closed + tail
        found.append(head if isinstance(head, DataError) else tail if isinstance(tail, DataError) else head + tail)
    return found


def _known(tokenizer: Any) -> Chat:
    """Kept for as long as nothing is added to the tokenizer, and its template stays."""
    return _kept(tokenizer, repr(tokenizer.chat_template), len(tokenizer), *tokenizer.all_special_ids)


@lru_cache(maxsize=4)
def _kept(tokenizer: Any, *_: object) -> Chat:
    return Chat(Reader(tokenizer))


def _or_why(ids: Ids | DataError) -> tuple[Ids, str]:
    return ([], str(ids)) if isinstance(ids, DataError) else (list(ids), "")


def _all(rows: Sequence[Ids | DataError]) -> list[Ids]:
    found = []
    for row in rows:
        if isinstance(row, DataError):
            raise row
        found.append(row)
    return found
