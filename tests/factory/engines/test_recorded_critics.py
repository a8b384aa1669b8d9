"""Recorded judgements: a second form of file of the engine `recorded`, addressed by what an llm critic is asked."""

import json
from pathlib import Path

import pytest

from factory.engines.protocol import Request, SamplingParams
from factory.engines.recorded_critics import critique_prompt, gold_answer, gold_solution, read_judgements
from factory.engines.recorded_engine import RecordedEngine
from factory.errors import EngineError
from factory.language.prompting import Prompts
from factory.schemas import Message

SAMPLING = SamplingParams(max_tokens=64)
PROMPTS = Prompts.of("instruct")
STEPS = ["Step 1: 2 * 3 = 6", "Step 2: #### 6"]
ROW = {
    "question": "Bob has 2  and 3.", "ground_truth_solution": "2 + 3 = <<2+3=5>>5\n\n#### 5", "ground_truth_answer": 5,
    "model_output_steps": STEPS, "error_reason_correctness": "incorrect",
    "claude2_eval_output": {"response": "Final Judgement: wrong\n\nFirst Error Step: 1"},
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "judged.json"
    other = ROW | {"model_output_steps": ["Step 1: 5"], "gpt_eval_output": {"response": "fine"}, "error_reason_correctness": "N/A"}
    broken = [{"question": 1}, ROW | {"model_output_steps": []}, ROW | {"ground_truth_answer": None}, ROW | {"claude2_eval_output": "x"}]
    file.write_text(json.dumps([ROW, other, ROW, 3, *broken]))
    return file


@pytest.mark.parametrize("name", ["instruct", "laptop"])
def test_a_judgement_is_found_by_what_an_llm_critic_is_asked(path: Path, name: str) -> None:
    prompts = Prompts.of(name)
    engine = RecordedEngine(path, ["claude2", "gpt"], prompts)
    asked = critique_prompt(prompts, ROW["question"], gold_solution(ROW["ground_truth_solution"], "5"), STEPS)
    other = tuple(Message(role, content.replace("6", "7")) for role, content in asked)
    said, missing, unknown = engine.generate([Request(asked, SAMPLING), Request(asked, SAMPLING, ordinal=1), Request(other, SAMPLING)])
    assert (said.text, said.finish_reason, said.tokens) == ("Final Judgement: wrong\n\nFirst Error Step: 1", "stop", 0)
    assert missing.error == "gpt has no recorded answer to the problem"
    assert unknown.error == "the problem is not in the file of recorded answers"
    assert engine.labels[asked] == {"claude2": False}
    assert engine.model.startswith("judged@")


def test_rows_that_cannot_be_read_are_named(path: Path) -> None:
    found = read_judgements(path, PROMPTS)
    assert len(found.judgements) == 2
    assert [text.split(": ")[0] for text in found.malformed] == [f"{path}:row {number}" for number in range(3, 9)]
    assert found.malformed[0].endswith("its question and steps stand in an earlier row too")
    assert sorted(map(sorted, found.labels.values())) == [[], ["claude2"]]  # `N/A` is no label


@pytest.mark.parametrize(
    "change",
    [
        {"question": "cut \ud83d"},
        {"ground_truth_solution": "\ud83d"},
        {"model_output_steps": ["\ud83d"]},
        {"claude2_eval_output": {"response": "\ud83d"}},
    ],
)
def test_half_a_character_is_malformed(tmp_path: Path, change: dict) -> None:
    file = tmp_path / "judged.json"
    file.write_text(json.dumps([ROW | change, ROW]))
    found = read_judgements(file, PROMPTS)
    assert found.malformed == [f"{file}:row 1: it holds the lone surrogate '\\ud83d', which is no character"]
    assert len(found.judgements) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is no JSON document"),
        ("{}", "is no JSON list of judged solutions"),
        ("[]", "holds no readable row"),
        ("[1]", "no object with"),
    ],
)
def test_a_file_of_another_form_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "judged.json"
    file.write_text(text)
    with pytest.raises(EngineError, match=message):
        RecordedEngine(file, ["claude2"], PROMPTS)
    with pytest.raises(EngineError, match="No such file"):
        RecordedEngine(tmp_path / "none.json", ["claude2"], PROMPTS)


def test_gold_solutions_are_brought_to_our_conventions() -> None:
    assert gold_solution("", "4") == "\\boxed{4}"
    assert gold_solution("x = 4", None) == "x = 4"
    assert [gold_answer(value) for value in (5, 2.8, "1,080", "$7", "Let's think step by step.", "")] == [
        "5",
        "2.8",
        "1,080",
        "$7",
        None,
        None,
    ]
