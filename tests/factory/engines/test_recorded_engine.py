import json
from pathlib import Path

import pytest

from factory.engines.protocol import Request, SamplingParams
from factory.engines.recorded_engine import RecordedEngine, normalise, read_recorded
from factory.errors import EngineError
from factory.grading import grade
from factory.language.prompting import Prompts
from factory.schemas import Conversation

SAMPLING = SamplingParams(max_tokens=64)
PROMPTS = Prompts.of("instruct")


def solving(problem: str) -> Conversation:
    return PROMPTS.render("solve", problem=problem)


EGGS = "A hen lays 4 eggs a day.  How many in 3 days?"
PAGES = "A book has 90 pages. Half is read. How many are left?"


def line(question: str, **solutions: tuple[str, bool]) -> str:
    answers = {model: {"is_correct": right, "solution": text} for model, (text, right) in solutions.items()}
    return json.dumps({"question": question, "ground_truth": "…", **answers}, ensure_ascii=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "solutions.jsonl"
    rows = [
        line(EGGS, small=("4 * 2 = <<4*2=8>>8\nA: 8", False), large=("4 * 3 = <<4*3=12>>12 eggs\nA: 12", True)),
        "{not json",
        json.dumps({"ground_truth": "5"}),
        line(PAGES, small=("90 / 2 = <<90/2=45>>45.<|endoftext|>\nA: 45<|endoftext|>", True)),
        line(EGGS, small=("again\nA: 1", False)),
        json.dumps({"question": "x", "small": {"solution": 5, "is_correct": True}}),
    ]
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return file


def test_the_ordinal_picks_the_model(path: Path) -> None:
    engine = RecordedEngine(path, ["small", "large"], PROMPTS)
    prompts = [solving(EGGS), solving(EGGS.replace("  ", " ")), solving(PAGES)]
    small, large, pages = engine.generate(
        [Request(prompts[0], SAMPLING), Request(prompts[1], SAMPLING, ordinal=1), Request(prompts[2], SAMPLING)]
    )
    assert small.text == "4 * 2 = 8\n\\boxed{8}"
    assert large.text == "4 * 3 = 12 eggs\n\\boxed{12}"
    assert pages.text == "90 / 2 = 45.\n\\boxed{45}"
    assert (large.token_ids, large.tokens, large.prompt_tokens, large.finish_reason) == ((), 0, 0, "stop")
    assert grade(large.text, "12", "number").correct


def test_what_is_not_recorded_is_an_error_with_a_reason(path: Path) -> None:
    engine = RecordedEngine(path, ["small", "large"], PROMPTS)
    requests = [
        Request(solving("Another?"), SAMPLING), Request(solving(PAGES), SAMPLING, ordinal=1),
        Request(solving(PAGES), SAMPLING, ordinal=2), Request((1, 2), SAMPLING),
    ]  # fmt: skip
    found = engine.generate(requests)
    assert {completion.finish_reason for completion in found} == {"error"}
    assert [completion.error for completion in found] == [
        "the problem is not in the file of recorded answers",
        "large has no recorded answer to the problem",
        "sample 2 was asked for, 2 models are recorded",
        "recorded answers are found by what is asked, and this request asks nothing in words",
    ]


def test_malformed_lines_are_named_and_the_rest_survives(path: Path) -> None:
    recorded = read_recorded(path)
    assert recorded.labels == {EGGS: {"small": False, "large": True}, PAGES: {"small": True}}
    assert [text.split(": ")[0] for text in recorded.malformed] == [f"{path}:{number}" for number in (2, 3, 5, 6)]
    assert recorded.malformed[2].endswith("its question stands in an earlier line too")
    assert RecordedEngine(path, ["small"], PROMPTS).malformed == recorded.malformed


@pytest.mark.parametrize("rows", [{"question": "\ud83d"}, {"small": {"is_correct": True, "solution": "cut \ud83d\nA: 3"}}])
def test_half_a_character_is_malformed(tmp_path: Path, rows: dict) -> None:
    file = tmp_path / "solutions.jsonl"
    file.write_text(json.dumps(json.loads(line(EGGS, small=("A: 1", True))) | rows) + "\n" + line(PAGES, small=("A: 45 \U0001f600", True)))
    recorded = read_recorded(file)
    assert recorded.malformed == [f"{file}:1: it holds the lone surrogate '\\ud83d', which is no character"]
    assert list(recorded.solutions) == [PAGES]


@pytest.mark.parametrize(
    ("solution", "text", "complete"),
    [
        ("A: 18", "\\boxed{18}", True),
        ("6 * 1000 = $<<6*1000=6000>>6,000\nA: 6,000\n", "6 * 1000 = $6,000\n\\boxed{6,000}", True),
        ("Part A: 3 eggs\nso 3", "Part A: 3 eggs\nso 3", False),  # no answer line
        ("A: 3\nA: 4", "A: 3\n\\boxed{4}", True),  # only the last line is the answer
        ("5 * 1 = <<5*1", "5 * 1 =", False),  # broken off inside an annotation
        ("11 < 30\nA: 11", "11 < 30\n\\boxed{11}", True),
        ("2\nA:", "2\nA:", False),
    ],
)
def test_normalise(solution: str, text: str, complete: bool) -> None:
    assert normalise(solution) == (text, complete)


def test_an_answer_that_broke_off_is_a_truncation(tmp_path: Path) -> None:
    path = tmp_path / "solutions.jsonl"
    path.write_text(line(EGGS, small=("4 + 4 + 4 + 4 +", False)))
    assert RecordedEngine(path, ["small"], PROMPTS).generate([Request(solving(EGGS), SAMPLING)])[0].finish_reason == "length"


def test_the_revision_knows_the_file_and_the_models(path: Path) -> None:
    names = {RecordedEngine(path, models, PROMPTS).model for models in (["small"], ["large"], ["small", "large"], ["large", "small"])}
    path.write_text(path.read_text(encoding="utf-8") + line("Another?", small=("A: 1", True)), encoding="utf-8")
    names.add(RecordedEngine(path, ["small"], PROMPTS).model)
    assert len(names) == 5
    assert all(name.startswith("solutions@") for name in names)


def test_a_missing_file_an_empty_file_and_an_unknown_model(path: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"none\.jsonl: No such file"):
        RecordedEngine(tmp_path / "none.jsonl", ["small"], PROMPTS)
    with pytest.raises(EngineError, match="lacks the models huge: name some of large, small in"):
        RecordedEngine(path, ["small", "huge"], PROMPTS)
    with pytest.raises(EngineError, match="is named without models: name some of large, small"):
        RecordedEngine(path, [], PROMPTS)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(EngineError, match="holds no readable line"):
        read_recorded(tmp_path / "empty.jsonl")


def test_questions_that_differ_in_white_space_only_have_their_own_answers(tmp_path: Path) -> None:
    programs = ["What is z?\nif x:\n    y = 1\nz = 2", "What is z?\nif x:\n    y = 1\n    z = 2", "One  space,  or two?  \n", "cafe\u0301?"]
    rows = [{"question": text, "m": {"is_correct": True, "solution": f"A: {n}"}} for n, text in enumerate(programs)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    engine = RecordedEngine(tmp_path / "a.jsonl", ["m"], PROMPTS)
    prompts = [*programs[:2], "One space, or two?", "caf\u00e9?", "What is z? if x: y = 1 z = 2"]
    found = engine.generate([Request(solving(text), SAMPLING) for text in prompts])
    assert [answer.text for answer in found[:4]] == [rf"\boxed{{{n}}}" for n in range(4)]
    assert found[4].error == "2 problems in the file of recorded answers differ from this one in white space only"
