"""The laptop's tokenizer: whole words, single digits, single signs, and no token for a space, which halves the length.

    "12 + 7 = 19\\n<|reflect|>But wait."  →  1 2 + 7 = 1 9 \\n <|reflect|> But wait .

Spaces are put back by rule, so `decode(encode(text)) == text` for every text in the world's conventions (single spaces, none before
`. , ? : ; )` or after `(`); `build` proves it for every text that it sees. Every sequence of ordinary ids survives the other way
round, `encode(decode(ids)) == ids`, so that what a model wrote can be read again. Padding is on the left, as generation needs;
trainers pad on the right themselves. Nothing is added at either end: its chat template says all that is said, one after the other, and
writes `<eos>` behind every answer. So a conversation is the plain text that the base is pretrained on:

    [user: "Tom has 3.\\nSolve:\\n"], [assistant: "7"]   →   "Tom has 3.\\nSolve:\\n7<eos>"
"""

import re
from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from factory.errors import DataError

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
)
BOX = r"\boxed{"
ALWAYS = ("\n", BOX, *"}0123456789.,?:;()'+-*/=")  # in the vocabulary even when the corpus lacks them
_WHOLE = r"<\|\w+\|>|\\boxed\{"  # signs that are one token together
_TOKEN = _WHOLE + r"|\d|\p{L}+|\n|[^\s]"
_SPACES = (  # (where a space or two stand between joined tokens, what stands there in the text), in this order
    (r" ?\n ?", "\n"),
    (r"(?<=\d) (?=\d)", ""),
    (r" (?=[.,?:;)}'])", ""),
    (r"(?<=[({']) ", ""),
    (r"(?<=\|>) ", ""),
)


def build(texts: Sequence[str], meta_tokens: Iterable[str], max_length: int) -> PreTrainedTokenizerBase:
    """A tokenizer whose vocabulary is the words of `texts`. Raises DataError naming the first text that it cannot give back."""
    special = [PAD, EOS, UNKNOWN, *meta_tokens]
    bare = [re.sub(_WHOLE, " ", text) for text in texts]
    words = sorted({word for text in bare for word in re.findall(r"[^\W\d_]+", text)})
    signs = sorted({sign for text in bare for sign in re.findall(r"[^\w\s]|_", text)} - set(ALWAYS))
    vocabulary = {token: number for number, token in enumerate([*special, *ALWAYS, *signs, *words])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(_TOKEN), "removed", invert=True)
    joined = decoders.WordPiece(prefix="\0", cleanup=False)  # no token starts with NUL: all are joined by one space
    core.decoder = decoders.Sequence([joined, decoders.Fuse(), *(decoders.Replace(Regex(where), what) for where, what in _SPACES)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD, eos_token=EOS, unk_token=UNKNOWN, extra_special_tokens=special[3:],
        clean_up_tokenization_spaces=False, padding_side="left", model_max_length=max_length, chat_template=CHAT_TEMPLATE,
    )  # fmt: skip
    _assert_lossless(tokenizer, texts)
    return tokenizer


def _assert_lossless(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> None:
    if not texts:
        raise DataError("no text to build a tokenizer from")
    for text, back in zip(texts, tokenizer.batch_decode(tokenizer(list(texts))["input_ids"]), strict=True):
        if back != text:
            at = next((i for i, (a, b) in enumerate(zip(text, back, strict=False)) if a != b), min(len(text), len(back)))
            raise DataError(
                f"the tokenizer cannot give back {text[max(0, at - 20) : at + 20]!r}: it reads {back[max(0, at - 20) : at + 20]!r}; write "
                "single spaces, punctuation attached to the word before it, and two numbers never side by side"
            )
