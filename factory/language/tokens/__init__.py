"""Token ids of texts, prompts, conversations and pairs. Trainers, engines, scorers and PPO all get theirs here, so that they are the same.

    text_ids(tokenizer, ["7\\n<|reflect|>But <|reflect|> wait."])        → [[16, 6, 4, 43, 2, 240, 19]]      the laptop's: 4, then 2 (<unk>)
    sequence_ids(tokenizer, ["Tom has 3.\\nSolve:\\n"], ["7"])           → [([91, 161, 12, 19, 6, 79, 22, 6], [16, 1])]
    request_ids(tokenizer, [(("user", "Say <|im_end|>."),)], "base@1c3f")     → [([…], "")]                  or ([], "why not")

A sequence is ids(prompt) + ids(completion) + [end of sequence]: a prompt begins as the tokenizer begins every text (BOS, CLS) and never
ends as it ends one; a completion begins at a token boundary. Ids are the tokenizer's own, unless data spells one of its control tokens:
then the text is read by a copy that cannot give one (`tokens.spelling`). Exempt is a meta-action token at the start of a line of a
completion (`tokens.control`). What cannot be spelled otherwise becomes the unknown token, and where there is none the text is refused.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from factory.errors import DataError
from factory.language.tokens.reader import BROKEN, Ids, Reader, is_unicode

Messages = Sequence[tuple[str, str]]  # (role, content)

_FORMS: tuple[Callable[[str], str], ...] = (str, str.strip, str.lstrip, str.rstrip)  # what chat templates do to a content


def text_ids(tokenizer: Any, texts: Sequence[str]) -> list[Ids]:
    """Ids of completions, or parts of them, with nothing added. Raises DataError for one that the tokenizer cannot write as text."""
    return _all(_reader(tokenizer).read(texts, actions=True))


def prompt_ids(tokenizer: Any, prompts: Sequence[str]) -> list[Ids]:
    """What the tokenizer puts before a text, and the ids of each prompt, without any control token. Raises DataError as `text_ids`."""
    reader = _reader(tokenizer)
    return [reader.lead + ids for ids in _all(reader.read(prompts, actions=False))]


def sequence_ids(tokenizer: Any, prompts: Sequence[str], completions: Sequence[str]) -> list[tuple[Ids, Ids]]:
    """(prompt, completion and end) of each row. Raises DataError as `text_ids`."""
    end = _reader(tokenizer).end
    tails = [ids + end for ids in text_ids(tokenizer, completions)]
    return list(zip(prompt_ids(tokenizer, prompts), tails, strict=True))


def pair_ids(tokenizer: Any, pairs: Sequence[tuple[str, str]], model: str = "the reward model") -> list[tuple[Ids, str]]:
    """What a reward model reads of each (prompt, completion), or why it can read nothing: a conversation where it has a chat template, a
    sequence where it has none. The reward models of the line have none: they are trained on sequences."""
    if tokenizer.chat_template is not None:
        return [_chat(tokenizer, (("user", prompt), ("assistant", completion)), model, reply=False) for prompt, completion in pairs]
    reader = _reader(tokenizer)
    heads = reader.read([prompt for prompt, _ in pairs], actions=False)
    tails = reader.read([completion for _, completion in pairs], actions=True)
    found: list[tuple[Ids, str]] = []
    for head, tail in zip(heads, tails, strict=True):
        if isinstance(head, DataError) or isinstance(tail, DataError):
            found.append(([], str(head if isinstance(head, DataError) else tail)))
        else:
            found.append((reader.lead + head + tail + reader.end, ""))
    return found


def request_ids(tokenizer: Any, prompts: Sequence[Any], model: str) -> list[tuple[Ids, str]]:
    """The ids of each request's prompt (text, messages, or ids, which stay as they are), or why there are none."""
    reader = _reader(tokenizer)
    texts = list({prompt: None for prompt in prompts if isinstance(prompt, str)})  # each once
    read = dict(zip(texts, reader.read(texts, actions=False), strict=True))
    found: list[tuple[Ids, str]] = []
    for prompt in prompts:
        if isinstance(prompt, str):
            ids = read[prompt]
            found.append(([], str(ids)) if isinstance(ids, DataError) else (reader.lead + ids, ""))
        elif prompt and isinstance(prompt[0], tuple):
            found.append(_chat(tokenizer, prompt, model, reply=True))
        else:
            found.append(([int(token) for token in prompt], ""))
    return found


def chat_ids(tokenizer: Any, messages: Messages, model: str, *, reply: bool) -> Ids:
    """The chat template's ids, in which a content holds no control token but an assistant's meta-action tokens; `reply`: up to where the
    model answers. Raises DataError when the template refuses the messages, or rewrites them and one spells a control token."""
    if tokenizer.chat_template is None:
        raise DataError(f"{model} has no chat template: send it text")
    if strange := next((content for _, content in messages if not is_unicode(content)), None):
        raise DataError(BROKEN.format(strange[:60]))
    reader = _reader(tokenizer)
    text = _rendered(tokenizer, messages, model, reply)
    (ids,) = reader.own([text])
    parts = _parts(tokenizer, messages, text, model, reply)
    if parts is None:
        (bare,) = reader.own([_rendered(tokenizer, [(role, "x") for role, _ in messages], model, reply)])
        if reader.closing(ids) == reader.closing(bare):  # none is of a content, as it was or as the template made it
            return ids
        raise DataError(f"the chat template of {model} rewrites the messages, and one spells a control token: take it out of the text")
    pieces = [reader.part(piece, role, follows=place > 0) for place, (piece, role) in enumerate(parts)]
    apart = [token for piece in pieces for token in piece]
    return ids if reader.control_tokens(ids) == reader.control_tokens(apart) else apart


def offsets(tokenizer: Any, text: str) -> list[tuple[int, int]]:
    """(start, end) characters of each of `text_ids`. Raises DataError when the tokenizer does not tell them."""
    return _reader(tokenizer).located(text)


def unknown_word(tokenizer: Any, text: str) -> str | None:
    """The first word that the vocabulary lacks, control tokens left aside: those are spelled by chance."""
    return _reader(tokenizer).unknown_word(text)


def _reader(tokenizer: Any) -> Reader:
    """Kept for as long as nothing is added to the tokenizer."""
    return _kept(tokenizer, len(tokenizer), *tokenizer.all_special_ids)


@lru_cache(maxsize=4)
def _kept(tokenizer: Any, *_: int) -> Reader:
    return Reader(tokenizer)


def _rendered(tokenizer: Any, messages: Messages, model: str, reply: bool) -> str:
    from jinja2 import TemplateError

    rows = [{"role": role, "content": content} for role, content in messages]
    try:
        return tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=reply)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:  # of a template, or of none
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"the chat template of {model} refuses these messages: {line}") from None


def _parts(tokenizer: Any, messages: Messages, text: str, model: str, reply: bool) -> list[tuple[str, str | None]] | None:
    """The rendered text in its parts: (the template's own, None) and (a content, its role). None when it cannot be taken apart: the
    template does more with a content than strip it."""
    marks = [f"§{number}§" for number in range(len(messages))]
    try:
        frame = _rendered(tokenizer, [(role, mark) for (role, _), mark in zip(messages, marks, strict=True)], model, reply)
    except DataError:
        return None
    if re.findall(r"§\d+§", frame) != marks:
        return None
    frames = re.split(r"§\d+§", frame)
    for form in _FORMS:
        contents = [(form(content), role) for role, content in messages]
        parts: list[tuple[str, str | None]] = [(frames[0], None)]
        for content, own in zip(contents, frames[1:], strict=True):
            parts += [content, (own, None)]
        if "".join(part for part, _ in parts) == text:
            return [part for part in parts if part[0]]
    return None


def _chat(tokenizer: Any, messages: Messages, model: str, *, reply: bool) -> tuple[Ids, str]:
    try:
        return chat_ids(tokenizer, messages, model, reply=reply), ""
    except DataError as error:
        return [], str(error)


def _all(rows: Sequence[Ids | DataError]) -> list[Ids]:
    found = []
    for row in rows:
        if isinstance(row, DataError):
            raise row
        found.append(row)
    return found
