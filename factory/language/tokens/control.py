"""Control tokens that are spelled in text: `<|endoftext|>`, `</s>`, `[INST]`, or a meta-action token where no step begins.

    strays("Write <|im_end|> and 3 + 4.\\n<|reflect|>But wait.")      → ["<|im_end|>"]
    pieces("7\\n<|reflect|>Say <|reflect|>.")        → [("7\\n", False), ("<|reflect|>", True), ("Say <|reflect|>.", False)]

Text of data is never read as a control token, but for a meta-action token at the start of a line of a completion, where the COAT grammar
puts it. What a certain tokenizer takes for control tokens it says itself (`language.tokens`); here are the spellings that are in use, for
the warnings of sources and gates, which know no tokenizer.
"""

import re

ACTIONS = {"continue": "<|continue|>", "reflect": "<|reflect|>", "explore": "<|explore|>"}  # factory.coat.grammar says what they mean

_NAMES = "pad|unk|eos|bos|mask|sep|cls|sop|eop|start_of_turn|end_of_turn|start_of_image|end_of_image|end_of_utterance"
_NUMBERED = r"(?:unused|reserved|extra_id|placeholder|control)_?\d+"  # places kept free for control tokens to come
SPELLED = re.compile(
    rf"<\|[^|<>\s]{{1,60}}\|>|<｜[^｜<>\n]{{1,60}}｜>|\[\|[a-z_]{{4,40}}\|\]|</?s>|<(?:{_NAMES}|{_NUMBERED})>|\[{_NUMBERED}\]"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS)\]|\[TOOL_CALLS\]|<</?SYS>>|\[(?:PAD|UNK|CLS|SEP|MASK|BOS|EOS|[gs]MASK)\]"
)
_PLACED = re.compile("(?m:^)(" + "|".join(re.escape(token) for token in ACTIONS.values()) + ")")


def pieces(text: str) -> list[tuple[str, bool]]:
    """The text cut at its meta-action tokens in their place, the start of a line: (piece, whether it is such a token). Joined they are
    the text."""
    return [(piece, place % 2 == 1) for place, piece in enumerate(_PLACED.split(text)) if piece]


def placed(text: str) -> list[str]:
    """The meta-action tokens at the start of a line."""
    return _PLACED.findall(text)


def strays(text: str) -> list[str]:
    """Spellings of control tokens where the grammar has none, in their order."""
    if "<" not in text and "[" not in text:
        return []
    return SPELLED.findall(_PLACED.sub("", text))
