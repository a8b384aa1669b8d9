"""A conversation as one model reads it: its chat template's text, as token ids.

    chat = Chat(Reader(tokenizer))                                       # SmolLM2's: ChatML
    chat.ids([(Message("user", "12 + 7?"),)], "base@1c3f", reply=True)    → [[1, 9690, 198, …, 520, 9531, 198]]
    chat.end                                                              → 2      <|im_end|>, which stands behind an answer

Ids are those of the template's text as a whole, unless a content spells a control token: then the text is taken apart into what the
template wrote and what the contents are (`_parts`), and contents are read without control tokens. Where the template refuses a system turn
or passes it over, the system's words begin the first user's turn, with a blank line behind them.
"""

import re
from collections.abc import Callable, Sequence
from itertools import chain

from factory.errors import DataError
from factory.language.tokens import control
from factory.language.tokens.reader import BROKEN, Ids, Reader, is_unicode
from factory.schemas import Conversation, Message

NONE = "{} has no chat template: adopt it as a base (adoption.base), which gives it one, or name an instruct model"

_FORMS: tuple[Callable[[str], str], ...] = (str, str.strip, str.lstrip, str.rstrip)  # what chat templates do to a content
_MARK = re.compile(r"§\d+§")
OPENS, CLOSES = "<think>", "</think>"
_SAID = "Nineteen"  # an answer, to see what the template writes behind it


class Chat:
    """What is known of one tokenizer's chat template."""

    def __init__(self, reader: Reader) -> None:
        self.reader, self.tokenizer = reader, reader.tokenizer
        self.frames: dict[tuple[tuple[str, ...], bool], tuple[list[str], list[Ids]] | None] = {}
        self.bare: dict[tuple[tuple[str, ...], bool], Ids] = {}
        self._forbids: bool | None = None
        self._end: int | None = None
        self._thinks: bool | None = None

    def ids(self, conversations: Sequence[Conversation], model: str, *, reply: bool) -> list[Ids | DataError]:
        """`reply`: up to where the model answers."""
        if self.tokenizer.chat_template is None:
            return [DataError(NONE.format(model)) for _ in conversations]
        unique = list(dict.fromkeys(conversations))
        asked = [self.settled(conversation) for conversation in unique]
        texts = self._texts(asked, model, reply)
        read = iter(self.reader.own([text for text in texts if isinstance(text, str)]))
        found: dict[Conversation, Ids | DataError] = {}
        for conversation, settled, text in zip(unique, asked, texts, strict=True):
            try:
                found[conversation] = self._checked(settled, text, next(read), model, reply) if isinstance(text, str) else text
            except DataError as error:
                found[conversation] = error
        return [found[conversation] for conversation in conversations]

    @property
    def end(self) -> int:
        """The first control token that the template writes behind an answer; the end of sequence where it writes none. Raises DataError
        where there is neither."""
        if self._end is None:
            behind = "" if self.tokenizer.chat_template is None else self._behind_an_answer()
            found = self.reader.closing(self.reader.own([behind])[0]) if behind else []
            if not (ends := found or self.reader.end):
                raise DataError("the tokenizer has no end of sequence, and its chat template writes none: set eos_token in its folder")
            self._end = ends[0]
        return self._end

    @property
    def thinks(self) -> bool:
        """Whether the template opens a thought behind the last turn."""
        if self._thinks is None:
            (text,) = self._texts([(Message("user", "12 + 7?"),)], "", True) if self.tokenizer.chat_template else ("",)
            self._thinks = isinstance(text, str) and text.rstrip().endswith(OPENS)
        return self._thinks

    def settled(self, conversation: Conversation) -> Conversation:
        """As the template takes it: a system turn that it refuses or drops is put before the first user's words."""
        if not (conversation and conversation[0].role == "system" and conversation[1:] and conversation[1].role == "user"):
            return conversation
        if self._forbids is None:
            (text,) = self._texts([(Message("system", "§0§"), Message("user", "§1§"))], "", True)
            self._forbids = isinstance(text, DataError) or "§0§" not in text
        return folded(conversation) if self._forbids else conversation

    def _behind_an_answer(self) -> str:
        (text,) = self._texts([(Message("user", "12 + 7?"), Message("assistant", _SAID))], "", False)
        return "" if isinstance(text, DataError) or _SAID not in text else text.rpartition(_SAID)[2]

    def _texts(self, conversations: Sequence[Conversation], model: str, reply: bool) -> list[str | DataError]:
        """What the template makes of each, all at once where it refuses none and none holds half a character."""
        from jinja2 import TemplateError

        failures = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError)  # of a template, or of none

        def rendered(some: Sequence[Conversation]) -> list[str]:
            rows = [[{"role": role, "content": content} for role, content in conversation] for conversation in some]
            return self.tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=reply)

        try:
            texts = rendered(conversations) if conversations and all(conversations) else []
            if len(texts) == len(conversations) and all(map(is_unicode, texts)):
                return list(texts)
        except failures:
            pass
        found: list[str | DataError] = []
        for conversation in conversations:
            if strange := next((content for _, content in conversation if not is_unicode(content)), None):
                found.append(DataError(BROKEN.format(strange[:60])))
                continue
            try:
                found += rendered([conversation])
            except failures as error:
                line = (str(error).strip() or type(error).__name__).splitlines()[0]
                found.append(DataError(f"the chat template of {model} refuses these messages: {line}"))
        return found

    def _checked(self, messages: Conversation, text: str, ids: Ids, model: str, reply: bool) -> Ids:
        """The ids themselves, or, where they hold control tokens of a content, those of the parts. Raises DataError where the template
        rewrites the messages and one spells a control token."""
        reader = self.reader
        roles = tuple(role for role, _ in messages)
        frame = self._frame(roles, model, reply)
        contents = frame and _contents(messages, text, frame[0])
        if frame is None or contents is None:
            if (roles, reply) not in self.bare:
                (bare,) = self._texts([tuple(Message(role, "x") for role in roles)], model, reply)
                self.bare[roles, reply] = reader.closing(reader.own([bare])[0]) if isinstance(bare, str) else [-1]
            if reader.closing(ids) == self.bare[roles, reply]:  # none is of a content, as it was or as the template made it
                return ids
            raise DataError(f"the chat template of {model} rewrites the messages, and one spells a control token: take it out of the text")
        if reader.unknown is None or reader.tokenizer.unk_token not in text:
            expected = list(frame[1][0])
            for role, content, behind in zip(roles, contents, frame[1][1:], strict=True):
                if role == "assistant":
                    expected += [reader.actions[token] for token in control.placed(content) if token in reader.actions]
                expected += behind
            if reader.closing(ids) == expected:
                return ids
        parts: list[tuple[str, str | None]] = [(frame[0][0], None)]  # (the template's own, None) and (a content, its role)
        for content, role, own in zip(contents, roles, frame[0][1:], strict=True):
            parts += [(content, role), (own, None)]
        pieces = [reader.part(piece, role, follows=place > 0) for place, (piece, role) in enumerate(part for part in parts if part[0])]
        apart = list(chain.from_iterable(pieces))
        return ids if reader.control_tokens(ids) == reader.control_tokens(apart) else apart

    def _frame(self, roles: tuple[str, ...], model: str, reply: bool) -> tuple[list[str], list[Ids]] | None:
        """What the template writes before, between and behind the contents of such turns, and the control tokens in each of it. None
        where the contents do not stand in it once each and in order."""
        if (roles, reply) not in self.frames:
            marks = [f"§{number}§" for number in range(len(roles))]
            (text,) = self._texts([tuple(Message(role, mark) for role, mark in zip(roles, marks, strict=True))], model, reply)
            if isinstance(text, DataError) or _MARK.findall(text) != marks:
                self.frames[roles, reply] = None
            else:
                pieces = _MARK.split(text)
                read = [self.reader.part(piece, None, follows=place > 0) if piece else [] for place, piece in enumerate(pieces)]
                self.frames[roles, reply] = pieces, [self.reader.closing(ids) for ids in read]
        return self.frames[roles, reply]


def folded(conversation: Conversation) -> Conversation:
    """Without a system turn: its words begin the first user's."""
    system, user, *rest = conversation
    return (Message("user", f"{system.content}\n\n{user.content}"), *rest)


def _contents(messages: Conversation, text: str, frame: list[str]) -> list[str] | None:
    """The contents as they stand in the rendered text. None when it cannot be taken apart: the template does more with a content than
    strip it."""
    for form in _FORMS:
        contents = [form(content) for _, content in messages]
        if frame[0] + "".join(chain.from_iterable(zip(contents, frame[1:], strict=True))) == text:
            return contents
    return None
