"""Tokens and cost per accepted row."""

from pathlib import Path

import pytest

from factory.errors import DataError
from factory.reports.usage import costs, read_usage

HEADER = "role,model,requests,failed,prompt_tokens,completion_tokens,dollars\n"


def test_per_accepted_row(tmp_path: Path) -> None:
    path = tmp_path / "usage.csv"
    path.write_text(HEADER + "generator,base@1,10,2,900,100,\ncritic,org/m@2,4,0,100,100,0.02\n")
    critic, generator = costs(read_usage(path), accepted=5)
    assert (critic.role, critic.tokens_per_row, critic.dollars_per_row) == ("critic", 40.0, 0.004)  # 200 / 5, 0.02 / 5
    assert (generator.tokens_per_row, generator.failed, generator.dollars_per_row) == (200.0, 2, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("role,tokens\n", r"usage\.csv:1: its columns are role, tokens, expected role, model"),
        (HEADER + "critic,m,1,0,1,1,\ncritic,m,1,x,1,1,\n", r"usage\.csv:3: a count or price is no number"),
        (HEADER + "critic,m\n", r"usage\.csv:2: a count"),
    ],
)
def test_a_malformed_log_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "usage.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_usage(path)
