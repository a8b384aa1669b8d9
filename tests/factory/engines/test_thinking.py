"""What a thinking model thought is told from what it answers."""

import pytest

from factory.engines.protocol import Completion
from factory.engines.thinking import apart, split


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<think>\n3 + 4 is 7.\n</think>\n\nIt is 7.", ("3 + 4 is 7.", "It is 7.")),
        ("\n<think>a</think>b</think>c", ("a", "b</think>c")),
        ("<think>3 + 4 is", ("3 + 4 is", "")),
        ("<think>", (None, "")),
        ("<think>\n\n</think>\n\n7", (None, "7")),
        ("I close with </think> as told.", (None, "I close with </think> as told.")),
        ("It is 7.", (None, "It is 7.")),
        ("  It is 7.\n", (None, "  It is 7.\n")),
        ("Write <think>x</think>.", (None, "Write <think>x</think>.")),
        ("", (None, "")),
    ],
)
def test_split(text: str, told: tuple[str | None, str]) -> None:
    assert split(text) == told


def test_what_a_server_closes_began_with_the_thought() -> None:
    text = "3 + 4 is 7.\n</think>\nIt is 7."  # opened by the chat template
    assert split(text, closes_alone=True) == ("3 + 4 is 7.", "It is 7.")
    assert split(text) == (None, text)


def test_a_long_text_takes_no_time() -> None:
    assert split("<think>" * 100_000) == ("<think>" * 99_999, "")


def test_a_servers_own_account_comes_first_and_tokens_stay_whole() -> None:
    whole = Completion("<think>b</think>c", (1, 2, 3), "stop", 5, reasoning="a", logprobs=(-1.0, -2.0, -3.0))
    found = apart(whole)
    assert (found.text, found.reasoning, found.token_ids, found.logprobs) == ("c", "a\nb", whole.token_ids, whole.logprobs)
    plain = Completion("c", (3,), "stop", 5, reasoning="a")
    assert apart(plain) is plain
