"""How one tokenizer reads text of data: its own ids, unless the text spells one of its control tokens.

    reader = Reader(tokenizer)                                # SmolLM2's, where <|im_end|> is 2
    reader.lead, reader.end                                   → ([], [2])       what begins a prompt, and what ends a sequence
    reader.read(["Say <|im_end|>."], actions=False)           → [[36218, 2067, 108, 306, 79, 486, 108, 19369]]

Control tokens are, by the tokenizer's own account: what is flagged special or named (bos, pad, …), what it puts around a text, the
meta-action tokens, and added tokens of a usual shape (`<|…|>`, `[INST]`, `<unused7>`), flagged or not. Not so other added tokens, such as
runs of spaces, `<think>` or `<tool_call>`: they mark up text, end nothing, and models are meant to read and write them.
"""

import re
from collections.abc import Sequence
from typing import Any

from factory.errors import DataError
from factory.language.tokens import control
from factory.language.tokens.spelling import plain_copy

Ids = list[int]

BROKEN = "half a character (a lone surrogate) in {!r}: correct the encoding of the text"


class Reader:
    """What is known of one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.backend = getattr(tokenizer, "backend_tokenizer", None)  # None: a tokenizer in Python
        self.lead, close = _around(tokenizer)
        self.end = close if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        vocabulary = tokenizer.get_vocab()
        self.actions = {token: vocabulary[token] for token in control.ACTIONS.values() if token in vocabulary}
        added = getattr(tokenizer, "added_tokens_decoder", {}).items()
        marked = {number for number, token in added if token.special or control.SPELLED.fullmatch(token.content)}
        self.controls = frozenset({*tokenizer.all_special_ids, *marked, *self.actions.values(), *self.lead, *close})
        names = tokenizer.convert_ids_to_tokens(sorted(self.controls))
        self.names = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))) or "(?!)")
        self.unknown = tokenizer.unk_token_id
        named = {value for name, value in tokenizer.special_tokens_map.items() if name != "unk_token" and isinstance(value, str)}
        busy = tokenizer.unk_token in named or self.unknown in {*self.lead, *close}
        self.spare = None if busy else self.unknown  # what a control token that cannot be spelled becomes
        self.copies: dict[tuple[bool, frozenset[int]], Any] = {}

    def own(self, texts: Sequence[str]) -> list[Ids]:
        """The tokenizer's own reading."""
        return self.tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []

    def read(self, texts: Sequence[str], *, actions: bool) -> list[Ids | DataError]:
        """`actions`: whether a meta-action token at the start of a line is one."""
        broken = {place for place, text in enumerate(texts) if not is_unicode(text)}
        rows: list[Ids | DataError] = []
        for place, ids in enumerate(self.own(["" if place in broken else text for place, text in enumerate(texts)])):
            text = texts[place]
            if place in broken:
                rows.append(DataError(BROKEN.format(text[:60])))
            elif self.is_ordinary(text, ids, actions=actions):
                rows.append(ids)
            else:
                try:
                    rows.append(self.careful(text, actions=actions)[0])
                except DataError as error:
                    rows.append(error)
        return rows

    def control_tokens(self, ids: Ids) -> Ids:
        return [] if self.controls.isdisjoint(ids) else [token for token in ids if token in self.controls]

    def closing(self, ids: Ids) -> Ids:
        """The control tokens but for the one that stands for unknown words."""
        return [token for token in self.control_tokens(ids) if token != self.spare]

    def is_ordinary(self, text: str, ids: Ids, *, actions: bool) -> bool:
        """Whether the tokenizer's own ids hold no control token but the meta-action tokens in their place."""
        found = self.control_tokens(ids)
        if self.spare in found and self.tokenizer.unk_token not in text:  # words without a token; one that is an end too stays found
            found = [token for token in found if token != self.spare]
        return found == ([self.actions[token] for token in control.placed(text) if token in self.actions] if actions else [])

    def careful(self, text: str, *, actions: bool, follows: bool = False) -> tuple[Ids, list[tuple[int, int]]]:
        """Ids and offsets, control tokens only where they may be. Raises DataError where that cannot be."""
        ids: Ids = []
        spans: list[tuple[int, int]] = []
        at = 0
        for piece, placed in control.pieces(text) if actions and self.actions else [(text, False)]:
            if placed and piece in self.actions:
                ids.append(self.actions[piece])
                spans.append((at, at + len(piece)))
            else:
                plain, located = self._plain(piece, follows or at > 0)
                ids += plain
                spans += [(at + start, at + end) for start, end in located]
            at += len(piece)
        return ids, spans

    def _plain(self, text: str, follows: bool) -> tuple[Ids, list[tuple[int, int]]]:
        if self.backend is None:
            ids, located = self.tokenizer.convert_tokens_to_ids(self.tokenizer.tokenize(text, split_special_tokens=True)), []
        else:
            encoding = self._copy(follows, self.controls).encode(text, add_special_tokens=False)
            ids, located = encoding.ids, encoding.offsets
        ids = [self.spare if token in self.controls else token for token in ids]
        if None in ids:
            raise DataError(f"the tokenizer can write a control token in {text[:60]!r} only as the token itself: take it out of the text")
        return ids, located

    def part(self, text: str, role: str | None, *, follows: bool) -> Ids:
        """Ids of a piece of a conversation: the template's own (no role), or a message's content."""
        if role is not None:
            return self.careful(text, actions=role == "assistant", follows=follows)[0]
        if not follows or self.backend is None:
            return self.own([text])[0]
        return self._copy(follows, frozenset()).encode(text, add_special_tokens=False).ids

    def _copy(self, follows: bool, controls: frozenset[int]) -> Any:
        if (follows, controls) not in self.copies:
            self.copies[follows, controls] = plain_copy(self.backend, controls, follows=follows)
        return self.copies[follows, controls]

    def located(self, text: str) -> list[tuple[int, int]]:
        if self.backend is None:
            raise DataError("the tokenizer does not tell which characters a token stands for: set mask_wrong to false")
        if self.is_ordinary(text, self.own([text])[0], actions=True):
            return self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return self.careful(text, actions=True)[1]

    def unknown_word(self, text: str) -> str | None:
        bare = control.SPELLED.sub(" ", self.names.sub(" ", text))
        (ids,) = self.own([bare])
        if self.unknown is None or self.unknown not in ids:
            return None
        if self.backend is None:
            return bare.strip()
        place = ids.index(self.unknown)
        start, end = self.tokenizer(bare, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"][place]
        return bare[start:end]


def _around(tokenizer: Any) -> tuple[Ids, Ids]:
    """What the tokenizer puts before and behind a text. Raises DataError when no text of its own vocabulary shows it."""
    special = set(tokenizer.all_special_ids)
    for probe in (tokenizer.decode([number]) for number in range(len(tokenizer)) if number not in special):
        bare = tokenizer(probe, add_special_tokens=False)["input_ids"]
        whole = tokenizer(probe)["input_ids"]
        for start in range(len(whole) - len(bare) + 1):
            if bare and whole[start : start + len(bare)] == bare:
                return whole[:start], whole[start + len(bare) :]
    raise DataError(f"the tokenizer ({type(tokenizer).__name__}, {len(tokenizer)} tokens) reads none of its own words: it is broken")


def is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
