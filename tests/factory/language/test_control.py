"""What is spelled, and where the grammar puts a meta-action token."""

import pytest

from factory.coat import grammar
from factory.language.tokens import control


def test_the_actions_are_those_of_the_grammar() -> None:
    assert control.ACTIONS is grammar.ACTIONS


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Write <|endoftext|> and 3 + 4 <|reflect|>.", ["<|endoftext|>", "<|reflect|>"]),
        ("7\n<|reflect|>But wait.\n<|reflect|><|reflect|>x", ["<|reflect|>"]),
        ("a</s> [INST] b [/INST] <<SYS>><unk>", ["</s>", "[INST]", "[/INST]", "<<SYS>>", "<unk>"]),
        ("<｜end▁of▁sentence｜> <start_of_turn> [gMASK] <unused12> <extra_id_3>",
         ["<｜end▁of▁sentence｜>", "<start_of_turn>", "[gMASK]", "<unused12>", "<extra_id_3>"]),
        ("a < b > c | d, |x| < |y|, [1, 2], <think>, x <|> y, List<String>, [INSTALL], [|x|, |y|], [|x|]", []),
        (" <|explore|>[|endofturn|]", ["<|explore|>", "[|endofturn|]"]),
        ("<|continue|>\n<|explore|>", []),
    ],
)  # fmt: skip
def test_strays(text: str, found: list[str]) -> None:
    assert control.strays(text) == found


@pytest.mark.parametrize(
    "text", ["", "a\n<|reflect|>b<|reflect|>", "<|reflect|><|reflect|>\n<|reflect|>", "\n\n<|explore|>\n", "<|reflect|>"]
)
def test_pieces_give_the_text_back_and_say_which_are_tokens(text: str) -> None:
    pieces = control.pieces(text)
    assert "".join(piece for piece, _ in pieces) == text
    assert [piece for piece, placed in pieces if placed] == control.placed(text)
    assert all(piece for piece, _ in pieces)
