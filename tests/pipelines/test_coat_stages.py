"""The COAT stages as `dvc repro` runs them, on recorded solutions in a temporary folder: rollouts → pairs, restarts, demonstrations."""

import json
from pathlib import Path

import pytest
import yaml

from factory.errors import DataError
from factory.params import Params, Round, parse
from factory.schemas import CriticJudgement, Demonstration, OrmPair, Problem, Reject, Restart, Rollout
from factory.storage import REJECTS, TABLES, read_rows, write_rows
from factory.tables import ProcessReward
from pipelines import demonstrations, orm_pairs, process_rewards, restarts, rollouts

PARAMS = Path(__file__).parents[2] / "pipelines/recorded_gsm8k/params.yaml"
SOLUTIONS = {  # two problems, two models
    "Tom has 12 and gets 7. He loses 4.": (
        "15",
        "12 + 7 = 19\n19 - 4 = 15",
        ["12 + 7 = 19\n19 - 4 = 15\nA: 15", "12 + 7 = 19\n19 + 4 = 23\nA: 23"],
    ),
    "Ann has 3 and gets 4.": ("7", "3 + 4 = 7", ["3 + 4 = 7\nA: 7", "3 + 4 = 7 and so on"]),
}


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACTORY_STORE", str(tmp_path / "store.sqlite"))
    rows = []
    with Path("recorded.jsonl").open("w", encoding="utf-8") as stream:
        for text, (answer, gold, solutions) in SOLUTIONS.items():
            made = {f"m{n}": {"is_correct": n == 0, "solution": solution} for n, solution in enumerate(solutions)}
            stream.write(json.dumps({"question": text, **made}) + "\n")
            rows.append(
                Problem(
                    id=text.split()[0], source="test", family="none", group="none", split="heldout", instance=text, problem=text,
                    answer=answer, answer_kind="number", solution=f"{gold}\n\\boxed{{{answer}}}",
                )
            )  # fmt: skip
    write_rows(TABLES / "problems.parquet", Problem, rows)
    document = yaml.safe_load(PARAMS.read_text())
    document["roles"]["generator"] |= {"model": "recorded.jsonl", "models": ["m0", "m1"]}
    return parse(document)


def rejects(stage: str) -> list[tuple[str, str | None]]:
    return [(row.reason, row.parent_id) for row in read_rows(REJECTS / f"{stage}.parquet", Reject)]


@pytest.mark.slow
def test_the_recorded_line(line: Params, capsys: pytest.CaptureFixture[str]) -> None:
    rollouts.main(line, "recorded")
    sampled = read_rows(TABLES / "rollouts_recorded.parquet", Rollout)
    assert sorted((row.problem_id, row.verdict, row.finish_reason, row.model.split("@")[0]) for row in sampled) == [
        ("Ann", "correct", "stop", "m0"), ("Ann", "unparsable", "length", "m1"),
        ("Tom", "correct", "stop", "m0"), ("Tom", "wrong", "stop", "m1"),
    ]  # fmt: skip
    assert {(row.problem_id, row.right, row.samples, row.pass_rate) for row in sampled} == {("Ann", 1, 2, 0.5), ("Tom", 1, 2, 0.5)}
    assert rejects("rollouts_recorded") == []

    orm_pairs.main(line, "recorded")
    (pair,) = read_rows(TABLES / "orm_pairs_recorded.parquet", OrmPair)
    assert (pair.problem_id, pair.chosen, pair.margin) == ("Tom", "12 + 7 = 19\n19 - 4 = 15\n\\boxed{15}", 2.0)
    assert rejects("orm_pairs_recorded") == [("no wrong sample", "Ann")]

    restarts.main(line, "recorded")
    states = read_rows(TABLES / "restarts_recorded.parquet", Restart)
    assert sorted((row.buffer, row.problem_id) for row in states) == [("+", "Ann"), ("+", "Tom"), ("-", "Tom"), ("0", "Ann"), ("0", "Tom")]
    assert {row.pass_rate for row in states} == {0.5}
    assert rejects("restarts_recorded") == [("truncated parent", "Ann")]

    demonstrations.main(line)
    made = read_rows(TABLES / "demonstrations.parquet", Demonstration)
    assert sorted((row.problem_id, row.type) for row in made) == [
        ("Ann", "I"),
        ("Ann", "II-I"),
        ("Tom", "I"),
        ("Tom", "II-I"),
        ("Tom", "III-I"),
    ]
    assert {(row.type, row.critic) for row in made} == {("I", "none"), ("II-I", "reference"), ("III-I", "reference")}
    assert {row.problem_id for row in read_rows(TABLES / "cot_demonstrations.parquet", Demonstration)} == {"Ann", "Tom"}
    assert {(row.kind, row.accepted) for row in read_rows(TABLES / "critic_judgements.parquet", CriticJudgement)} == {
        ("verify", True),
        ("critique", True),
    }
    assert [reason for reason, _ in rejects("demonstrations")] == ["invalid: truncated"]

    process_rewards.main(line)
    labelled = read_rows(TABLES / "process_rewards.parquet", ProcessReward)
    assert sorted((row.problem_id, row.labels, row.by) for row in labelled) == [
        ("Ann", (True, True), "exact"), ("Tom", (True, False, False), "exact"), ("Tom", (True, True, True), "exact"),
    ]  # fmt: skip
    assert rejects("process_rewards") == [("truncated", next(row.id for row in sampled if row.finish_reason == "length"))]
    assert "D- starves: 1 of 1,319" in capsys.readouterr().out


@pytest.mark.slow
def test_running_again_gives_the_same_bytes(line: Params) -> None:
    def run() -> dict[str, bytes]:
        rollouts.main(line, "recorded")
        restarts.main(line, "recorded")
        demonstrations.main(line)
        process_rewards.main(line)
        return {path.name: path.read_bytes() for path in Path("data").rglob("*.parquet")}

    assert run() == run()


def test_a_teacher_begins_the_solutions_of_problems_that_nobody_solved(line: Params, capsys: pytest.CaptureFixture[str]) -> None:
    """The second model solves neither problem: their window is for others, but not a teacher's."""
    weak = line.roles["generator"].model_copy(update={"models": ("m1",)})
    settings = line.require("restarts").model_copy(update={"teacher": 5, "pass_rate": (0.5, 1.0)})
    taught = line.model_copy(update={"roles": {**line.roles, "generator": weak}, "restarts": settings})
    rollouts.main(taught, "recorded")
    restarts.main(taught, "recorded")
    states = read_rows(TABLES / "restarts_recorded.parquet", Restart)
    assert [(row.buffer, row.problem_id, row.parent_id, row.pass_rate, row.prefix) for row in states] == [
        ("t", "Tom", "Tom", 0.0, "12 + 7 = 19\n")
    ]
    assert ("a gold solution without a beginning that leaves anything to be solved", "Ann") in rejects("restarts_recorded")
    assert "1 of 5 after a teacher" in capsys.readouterr().out


def test_a_round_without_restarts_has_only_plain_problems(line: Params) -> None:
    rollouts.main(line, "recorded")
    plain = line.model_copy(update={"rounds": {"recorded": Round(start="recorded", restarts=False, temperature=1.2, samples=4)}})
    problems = read_rows(TABLES / "problems.parquet", Problem)
    write_rows(TABLES / "problems.parquet", Problem, [problems[0], Problem(**{**vars(problems[1]), "split": "train"})])
    restarts.main(plain, "recorded")
    assert [(row.buffer, row.problem_id) for row in read_rows(TABLES / "restarts_recorded.parquet", Restart)] == [("0", "Tom")]
    assert rejects("restarts_recorded") == []


@pytest.mark.slow
def test_windows_of_pass_rates_leave_problems_out_and_say_why(line: Params, capsys: pytest.CaptureFixture[str]) -> None:
    """Both problems were solved once of two times: a window that ends below has none of them, one that begins there both."""
    rollouts.main(line, "recorded")
    restarts.main(with_window(line, 0.5, 0.5), "recorded")
    assert {row.problem_id for row in read_rows(TABLES / "restarts_recorded.parquet", Restart)} == {"Ann", "Tom"}
    demonstrations.main(with_window(line, 0.5, 0.5))
    hard = with_window(line, 0.0, 0.4)
    with pytest.raises(DataError, match=r"no problem of round recorded has a pass rate in restarts.pass_rate \[0.0, 0.4\]"):
        restarts.main(hard, "recorded")
    assert sorted(rejects("restarts_recorded")) == [
        ("pass rate outside of restarts.pass_rate [0, 0.4]", name) for name in ["Ann"] * 3 + ["Tom"] * 3
    ], "each problem and each of its two rollouts"
    assert "0 of 1,319 plain problems" in capsys.readouterr().out
    with pytest.raises(DataError, match="no demonstration was accepted"):
        demonstrations.main(hard)
    assert {reason for reason, _ in rejects("demonstrations")} == {"pass rate outside of demonstrations.pass_rate [0, 0.4]"}


def with_window(params: Params, low: float, high: float) -> Params:
    sections = {name: params.require(name).model_copy(update={"pass_rate": (low, high)}) for name in ("restarts", "demonstrations")}
    return params.model_copy(update=sections)
