"""The README shows what the line last said, not what somebody remembers."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_claims_are_those_of_the_last_run() -> None:
    readme = (ROOT / "README.md").read_text()
    shown = readme.split("<!-- claims -->\n")[1].split("<!-- /claims -->")[0]
    assert shown == (ROOT / "data/evaluation/claims.md").read_text()
