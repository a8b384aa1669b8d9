"""Thinking models: what one thought before it answered, told from its answer.

    split("<think>\\n12 + 7 is 19.\\n</think>\\n\\nIt is 19.")      → ("12 + 7 is 19.", "It is 19.")
    split("<think>\\n12 + 7 is")                               → ("12 + 7 is", "")      it ended while it thought
    split("It is 19.")                                          → (None, "It is 19.")

The store keeps the text as the model wrote it. Where a chat template opens the thought itself, behind the last turn, engines that make a
prompt's ids put the opening before the text (`opened`); of a server's answer, one that only closes a thought began with it.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from factory.engines.protocol import Completion
from factory.language.tokens.chat import CLOSES, OPENS

_TAIL = 8  # tokens of a prompt in which a template opens a thought


def split(text: str, *, closes_alone: bool = False) -> tuple[str | None, str]:
    """(the thought, the answer); None for no thought, or an empty one. `closes_alone`: a text that only closes a thought began with it, as
    servers answer where the template opens it; elsewhere a closing alone is a word like any other."""
    begin = text.lstrip()
    if begin.startswith(OPENS):
        thought, _, answer = begin.removeprefix(OPENS).partition(CLOSES)
    elif not closes_alone:
        return None, text
    else:
        thought, closed, answer = text.partition(CLOSES)
        if not closed or OPENS in thought:
            return None, text
    return thought.strip() or None, answer.lstrip()


def apart(completion: Completion, *, closes_alone: bool = False) -> Completion:
    """The thought out of the text."""
    if CLOSES not in completion.text and OPENS not in completion.text:
        return completion
    thought, answer = split(completion.text, closes_alone=closes_alone)
    told = [part for part in (completion.reasoning, thought) if part]
    return replace(completion, text=answer, reasoning="\n".join(told) or None)


def opened(tokenizer: Any, prompt: Sequence[int]) -> str:
    """With what a text begins whose prompt ends in an opened thought: the opening, else nothing."""
    return OPENS if _opens(tokenizer, tuple(prompt[-_TAIL:])) else ""


@lru_cache(maxsize=4096)
def _opens(tokenizer: Any, tail: tuple[int, ...]) -> bool:
    return tokenizer.decode(list(tail)).rstrip().endswith(OPENS)
