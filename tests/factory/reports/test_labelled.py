"""Labelled solutions: every form once by hand, and the public files as they are."""

import json
import os
from pathlib import Path

import pytest

from factory.errors import DataError
from factory.reports.labelled import Labelled, bbmistake, mrben, mrgsm8k, read_labelled, worked_out

DATA = Path(os.environ.get("COAT_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
needs_data = pytest.mark.skipif(not (DATA / "recorded").exists(), reason=f"no labelled solutions at {DATA}: set COAT_DATA")

MRBEN = {
    "Question": "2 + 2 is", "Options": "A: 3 \nB: 4", "Ground_Truth_Analysis": "", "Ground_Truth_Answer": "B",
    "Model_Solution_Steps": ["tep 1: Add.", "2 + 2 = 5", "", "Step 2: So 5.", "Step 2.1: Sure.", "Step n: None.", "Solution: Choice_A"],
    "Model_Solution_Correctness": "incorrect", "Model_Solution_First_Error_Step": "1",
}  # fmt: skip
MISTAKE = {"input": "((2 + 3) * -4) =", "steps": ["Let A = (2 + 3) = 6.", "So 6 * -4 = -24."], "target": "-20", "mistake_index": 0}
MRGSM8K = {
    "question": "Bob has 2 and 3.", "ground_truth_solution": "2 + 3 = <<2+3=5>>5\n#### 5", "ground_truth_answer": 5,
    "model_output_steps": ["Step 1: 2 * 3 = 6", " ", "Step 2: #### 6"], "model_output_solution_correctness": "wrong",
    "model_output_solution_first_error_step": 1, "error_reason_correctness": "correct",
    "claude2_eval_output": {"response": "Final Judgement: wrong\nFirst Error Step: 1"},
    "gpt3_5_eval_output": {"response": "Final Judgement: Correct\nFirst Error Step: N/A"},
}  # fmt: skip


def test_mr_bens_lines_are_gathered_into_its_steps() -> None:
    row = mrben("s", "at", MRBEN)
    assert row.steps == ("tep 1: Add.\n2 + 2 = 5", "Step 2: So 5.\nStep 2.1: Sure.", "Step n: None.", "Solution: Choice_A")
    assert (row.right, row.first_wrong, row.gold, row.answer, row.problem) == (False, 1, None, "B", "2 + 2 is\nA: 3 \nB: 4")


def test_big_bench_mistake_counts_from_0_and_works_its_gold_solution_out() -> None:
    row = bbmistake("s", "at", MISTAKE)
    assert (row.first_wrong, row.right, row.answer_kind) == (1, False, "number")
    assert row.gold == "(2 + 3) = 5\n(5 * -4) = -20\n\\boxed{-20}"
    assert bbmistake("s", "at", MISTAKE | {"mistake_index": None}).right
    objects = bbmistake("s", "at", MISTAKE | {"input": "Alice swaps (A) and Bob", "target": "(A)"})
    assert (objects.gold, objects.answer, objects.answer_kind) == (None, "A", "choice")
    assert worked_out("(1 / 0) =") is None


def test_mr_gsm8k_has_a_gold_solution_and_maybe_no_gold_answer() -> None:
    row = mrgsm8k("s", "at", MRGSM8K)
    assert (row.gold, row.answer, row.steps) == ("2 + 3 = <<2+3=5>>5\n\\boxed{5}", "5", ("Step 1: 2 * 3 = 6", "Step 2: #### 6"))
    assert mrgsm8k("s", "at", MRGSM8K | {"ground_truth_solution": ""}).gold == "\\boxed{5}"
    lost = mrgsm8k("s", "at", MRGSM8K | {"ground_truth_answer": "Let's think step by step."})
    assert (lost.answer, lost.gold) == (None, "2 + 3 = <<2+3=5>>5")


def write(data: Path) -> None:
    """Every file with one good row."""
    recorded, gsm8k = data / "recorded", data / "gsm8k"
    recorded.mkdir(parents=True)
    gsm8k.mkdir()
    for name in ("math", "physics"):
        (recorded / f"mrben_{name}.json").write_text(json.dumps({"uuid": [MRBEN, MRBEN | {"Model_Solution_First_Error_Step": "9"}]}))
    for name in ("multistep_arithmetic", "tracking_shuffled_objects"):
        (recorded / f"bbmistake_{name}.jsonl").write_text(f'{json.dumps(MISTAKE)}\n{{"input"\n[]\n{json.dumps(MISTAKE | {"steps": 1})}\n')
    for name in ("Claude", "GPT3_5"):
        (recorded / f"mrgsm8k_{name}.json").write_text(json.dumps([MRGSM8K]))
    question = {"question": "Bob has 2 and 3."}
    (gsm8k / "test.jsonl").write_text(json.dumps(question | {"answer": "2 + 3 = <<2+3=5>>5\n#### 5"}) + "\n")
    models = {name: {"solution": f"2 + 3 = {given}\nA: {given}", "is_correct": given == 5} for name, given in (("6b", 5), ("175b", 6))}
    (gsm8k / "example_model_solutions.jsonl").write_text(
        "\n".join([json.dumps(question | models), "{", json.dumps({"question": "Another?"} | models)]) + "\n"
    )


def test_what_cannot_be_read_is_named_by_its_place(tmp_path: Path) -> None:
    write(tmp_path)
    found = read_labelled(tmp_path)
    assert {name: len(source.rows) for name, source in found.items()} == {
        "mrben math": 1, "mrben physics": 1, "bbmistake arithmetic": 1, "bbmistake objects": 1, "mrgsm8k Claude": 1, "mrgsm8k GPT3_5": 1,
        "gsm8k samples": 2,
    }  # fmt: skip
    assert found["mrben math"].malformed == ("mrben_math.json:row 2: its first wrong step is 9 of 4",)
    lines = found["bbmistake arithmetic"].malformed
    assert [line.split(": ")[0] for line in lines] == [f"bbmistake_multistep_arithmetic.jsonl:{number}" for number in (2, 3, 4)]
    assert "no JSON" in lines[0]
    assert lines[1].endswith("no object but list")
    assert lines[2].endswith("its `steps` is 1")
    samples = found["gsm8k samples"]
    assert [(row.right, row.first_wrong, row.steps) for row in samples.rows] == [
        (False, None, ("2 + 3 = 6", "\\boxed{6}")), (True, None, ("2 + 3 = 5", "\\boxed{5}")),
    ]  # fmt: skip
    assert sum("has no gold solution" in line for line in samples.malformed) == 2
    assert any("example_model_solutions.jsonl:2: no JSON" in line for line in samples.malformed)


def test_a_missing_or_broken_file_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mrben_math\.json: No such file or directory: name the folder of public data with --data"):
        read_labelled(tmp_path)
    write(tmp_path)
    (tmp_path / "recorded/mrgsm8k_Claude.json").write_text("[{\n,")
    with pytest.raises(DataError, match=r"mrgsm8k_Claude\.json:2: no JSON"):
        read_labelled(tmp_path)


def test_labels_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(DataError, match="a right solution whose step 1 is wrong"):
        Labelled("s", "at", "p", None, "5", "number", ("1 + 1 = 2",), True, 1)
    with pytest.raises(DataError, match="an empty solution"):
        Labelled("s", "at", "p", None, "5", "number", (), True, None)


@needs_data
def test_the_public_files() -> None:
    found = read_labelled(DATA)
    counts = {name: (len(source.rows), sum(not row.right for row in source.rows)) for name, source in found.items()}
    assert counts == {
        "mrben math": (918, 769), "mrben physics": (667, 348), "bbmistake arithmetic": (300, 238), "bbmistake objects": (300, 260),
        "mrgsm8k Claude": (326, 326), "mrgsm8k GPT3_5": (173, 173), "gsm8k samples": (5276, 3275),
    }  # fmt: skip
    assert not any(source.malformed for source in found.values())
    assert sum(row.answer is None for row in found["mrgsm8k Claude"].rows) == 33  # their answer reads `Let's think step by step.`
    gold = {row.gold.rsplit("\n", 1)[1] == f"\\boxed{{{row.answer}}}" for row in found["bbmistake arithmetic"].rows if row.gold}
    assert gold == {True}  # what we work out is the target, 300 times
