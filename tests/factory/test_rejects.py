"""Rejects are rows that are kept as they were, whatever they hold, and counted each."""

import datetime
import itertools
import json
from pathlib import Path

import pytest

from factory.language.conversation import said
from factory.rejects import reject, write_rejects
from factory.schemas import Reject, Restart
from factory.storage import read_rows


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_identical_rejects_are_numbered_apart() -> None:
    one = reject("s", {"text": "x"}, "too long")
    assert write_rejects("s", [one, one, one]) == 3
    assert {row.reason for row in read_rows(Path("data/rejects/s.parquet"), Reject)} == {"too long"}


def test_a_reject_of_a_conversation_names_its_roles() -> None:
    row = Restart(
        id="a", problem_id="p", parent_id=None, buffer="0", backtrack=0, prompt=said("user", "1 + 2?"), prefix="", prefix_has_answer=False,
        answer="3", answer_kind="number", round="r1",
    )  # fmt: skip
    assert json.loads(reject("s", row, "r").row)["prompt"] == [{"role": "user", "content": "1 + 2?"}]


def nested(depth: int) -> object:
    value: object = "end"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("\ud83d and 😀", "\ud83d and 😀"),
        ({"\udfff": 1}, {"\udfff": 1}),
        (b"caf\xc3\xa9", "café"),
        (b"\xff\x00", "base64:/wA="),
        (datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC), "2026-01-02T03:04:05+00:00"),
        ([datetime.date(2026, 1, 2), datetime.time(3, 4)], ["2026-01-02", "03:04:00"]),
        ((float("nan"), float("inf"), -0.5), ["nan", "inf", -0.5]),
        (-(16**5000), "-0x1" + "0" * 5000),
        ([{"role": "user", "content": None}, True, 2**70], [{"role": "user", "content": None}, True, 2**70]),
        ({2: "two", None: "none"}, {"2": "two", "None": "none"}),
        (nested(60), nested(60)),
    ],
    ids=itertools.count(),
)
def test_a_reject_holds_its_row_as_it_was(value: object, written: object) -> None:
    assert write_rejects("s", [reject("s", {"value": value}, "why: \ud83d", parent_id="\udc80")]) == 1
    (row,) = read_rows(Path("data/rejects/s.parquet"), Reject)
    assert json.loads(row.row) == {"value": written}
    assert "NaN" not in row.row
    assert (row.reason, row.parent_id) == ("why: \\ud83d", "\\udc80")


@pytest.mark.slow
def test_a_row_nested_without_end_is_a_reject_too() -> None:
    endless: list[object] = []
    endless.append(endless)
    for value in (nested(200_000), endless):
        assert "nested deeper than 100" in reject("s", {"value": value}, "r").row
