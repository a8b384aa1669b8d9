"""Contamination: a benchmark question is found behind an instruction and before a suffix; other numbers are another question."""

import json
import os
from pathlib import Path

import pytest

from factory.errors import DataError
from factory.params import Source
from factory.problems.decontaminate import Benchmark, decontaminate
from factory.problems.sources import from_records, read_raw

QUESTION = (
    "Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes muffins for her friends every day with four. "
    "How many are left?"
)
SHORT = "What is 7 times 8?"
REAL = Path(os.environ.get("COAT_DATA", Path(__file__).resolve().parents[4] / "shared" / "data")) / "gsm8k"


@pytest.fixture
def benchmark() -> Benchmark:
    return Benchmark.of("b", [QUESTION, SHORT], 8)


@pytest.mark.parametrize("text", [
    QUESTION,
    f"Solve the following problem step by step and put the final answer in a box. {QUESTION} Answer with one number only, please.",
    QUESTION.upper().replace(".", " !"),
    "She eats three for breakfast every morning and bakes muffins for her friends every day with four.",
    f"Please answer: {SHORT}",
])  # fmt: skip
def test_found(benchmark: Benchmark, text: str) -> None:
    assert benchmark.holds(text)


@pytest.mark.parametrize("text", [
    "Tom has 3 apples and buys 4 more. How many apples does he have now?",
    "Farmer Joe's hens lay 16 eggs per day. He sells nine at the market every morning and keeps the rest. How many are left?",
    "What is 7 times 9?",
])  # fmt: skip
def test_not_found(benchmark: Benchmark, text: str) -> None:
    assert not benchmark.holds(text)


def test_read(tmp_path: Path) -> None:
    path = tmp_path / "bench.jsonl"
    path.write_text(json.dumps({"question": QUESTION}) + "\n")
    assert Benchmark.read(str(path), 8).holds(QUESTION)
    path.write_text(json.dumps({"text": QUESTION}) + "\n")
    with pytest.raises(DataError, match="none of the columns problem, question, prompt; it has text"):
        Benchmark.read(str(path), 8)
    with pytest.raises(DataError, match=r"neither \.jsonl nor \.parquet"):
        Benchmark.read(str(tmp_path / "bench.csv"), 8)


@pytest.mark.skipif(not (REAL / "test.jsonl").exists(), reason=f"no GSM8K at {REAL}: set COAT_DATA")
def test_all_of_gsm8k_test_is_rejected() -> None:
    source = Source(name="gsm8k", kind="jsonl", path=str(REAL / "test.jsonl"), columns={"problem": "question"}, answer_after="####")
    problems, unread = from_records(source, read_raw(source))
    keep, rejects = decontaminate(problems, [Benchmark.read(str(REAL / "test.jsonl"), 8)])
    assert (len(keep), len(rejects), len(unread)) == (0, 1319, 0)
    assert {row.reason for row in rejects} == {f"contaminated: {REAL / 'test.jsonl'}"}


@pytest.mark.skipif(not (REAL / "train.jsonl").exists(), reason=f"no GSM8K at {REAL}: set COAT_DATA")
def test_hardly_any_of_gsm8k_train_is_rejected() -> None:
    source = Source(name="gsm8k", kind="jsonl", path=str(REAL / "train.jsonl"), columns={"problem": "question"}, answer_after="####")
    problems, _ = from_records(source, read_raw(source))
    keep, rejects = decontaminate(problems, [Benchmark.read(str(REAL / "test.jsonl"), 8)])
    assert len(keep) + len(rejects) == len(problems) == 7473
    assert len(rejects) < 20
