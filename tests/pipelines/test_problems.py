"""The stages `problems` and `corpus`, run in a folder of their own."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from factory.errors import DataError
from factory.params import Params, load
from factory.schemas import CorpusText, Problem, Reject
from factory.storage import read_rows
from pipelines import corpus, problems

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("COAT_DATA", ROOT.parent / "shared" / "data")) / "gsm8k"
PROBLEMS, REJECTS = Path("data/tables/problems.parquet"), Path("data/rejects/problems.parquet")


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """The laptop's params, small, in an empty folder."""
    params = load(ROOT / "params.yaml")
    monkeypatch.chdir(tmp_path)
    world = params.problems.world
    assert world is not None
    assert params.corpus is not None
    small = world.model_copy(update={"train": 60, "dev": 12, "heldout": 24, "unseen": 10})
    return params.model_copy(update={
        "problems": params.problems.model_copy(update={"world": small}), "corpus": params.corpus.model_copy(update={"texts": 200}),
    })  # fmt: skip


def with_source(params: Params, path: Path, **changes: object) -> Params:
    source = {"name": "file", "kind": "jsonl", "path": str(path), "columns": {"problem": "question"}, "answer_after": "####"}
    section = {**params.problems.model_dump(), "sources": [source], **changes}
    return params.model_copy(update={"problems": type(params.problems).model_validate(section)})


@pytest.mark.slow
def test_world(params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    problems.main(params)
    rows = read_rows(PROBLEMS, Problem)
    assert len(rows) == 106
    assert read_rows(REJECTS, Reject) == []
    assert "106 problems" in (said := capsys.readouterr().out)
    assert "tally" in said
    corpus.main(params, "base")
    texts = read_rows(Path("data/tables/corpus.parquet"), CorpusText)
    assert len(texts) == 200
    assert not {text.instance for text in texts} & {row.instance for row in rows}
    before = PROBLEMS.read_bytes(), Path("data/tables/corpus.parquet").read_bytes()
    problems.main(params)
    corpus.main(params, "base")
    assert before == (PROBLEMS.read_bytes(), Path("data/tables/corpus.parquet").read_bytes())


def test_file_with_doubles_and_broken_lines(params: Params, tmp_path: Path) -> None:
    story = "Farm {} has {} cows, {} hens. How many in all?"
    rows = [{"question": story.format("abcdefgh"[n], n, n * n), "answer": f"#### {n + n * n}"} for n in range(8)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([*map(json.dumps, rows), json.dumps({**rows[1], "answer": "so #### 2"}), "{broken"]))
    problems.main(with_source(params, path))
    kept, rejects = read_rows(PROBLEMS, Problem), read_rows(REJECTS, Reject)
    assert len(kept) + len(rejects) == 10
    assert sorted(row.reason for row in rejects) == ["exact duplicate", "malformed JSON"]
    assert next(row.parent_id for row in rejects if row.reason == "exact duplicate") in {row.id for row in kept}


def test_too_many_rejects_fail_after_writing_them(params: Params, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "How many?", "answer": "#### 1"}\n{broken\n{broken\n')
    with pytest.raises(DataError, match=r"source file: 2 of 3 rows are rejected.*max_reject_share 0\.5 \(malformed JSON 2\)"):
        problems.main(with_source(params, path))
    assert len(read_rows(REJECTS, Reject)) == 2
    assert not PROBLEMS.exists()


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason=f"no GSM8K at {REAL}: set COAT_DATA")
def test_benchmark_rows_train_nothing_but_can_be_audited(params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    test = REAL / "test.jsonl"
    with pytest.raises(DataError, match="1319 of 1319 rows are rejected"):
        problems.main(with_source(params, test, benchmarks=[str(test)]))
    assert {row.reason for row in read_rows(REJECTS, Reject)} == {f"contaminated: {test}"}
    problems.main(with_source(params, test, benchmarks=[str(test)]).model_copy(update={"purpose": "audit"}))
    assert len(read_rows(PROBLEMS, Problem)) == 1319
    assert "1319 of 1319 problems overlap" in capsys.readouterr().out


def sources(params: Params, *paths: Path, **changes: object) -> Params:
    columns = {"problem": "question", "solution": "solution"}
    listed = [{"name": path.stem, "kind": "file", "path": str(path), "columns": columns, "split": "train"} for path in paths]
    section = {**params.problems.model_dump(), "sources": listed, **changes}
    return params.model_copy(update={"problems": type(params.problems).model_validate(section)})


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return path


def good(letter: str, count: int) -> list[dict[str, object]]:
    return [{"question": f"Farm {letter} has {n} cows, {n * n} hens. How many?", "answer": n + n * n, "solution": ""} for n in range(count)]


def test_the_share_of_rejects_is_that_of_a_source(params: Params, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large, small = (
        write(tmp_path / "large.jsonl", *good("a", 50)),
        write(tmp_path / "small.jsonl", *good("b", 1), "{torn", {"question": "How?"}),
    )
    with pytest.raises(DataError) as caught:
        problems.main(sources(params, large, small))
    assert str(caught.value).startswith(
        "source small: 2 of 3 rows are rejected, more than problems.max_reject_share 0.5 (malformed JSON 1, no answer 1): see data/rejects/"
    )
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"problems: large ({large}): 50 rows, 0 unreadable, 0 rejected"
    assert said[1] == f"problems: small ({small}): 3 rows, 1 unreadable, 1 rejected (malformed JSON 1, no answer 1)"
    assert len(read_rows(REJECTS, Reject)) == 2
    problems.main(sources(params, large, small, max_reject_share=0.7))
    assert len(read_rows(PROBLEMS, Problem)) == 51


@pytest.mark.parametrize("rows", [
    [{"question": "How many?", "answer": 8, "solution": r"\boxed{7}"}], [{"question": "How many?", "answer": [7, 8]}] * 3,
    [{"question": "How many?", "answer": 7}, {"question": "How many?", "answer": 8}], [{"question": "\n<|reflect|>?", "answer": 1}],
])  # fmt: skip
def test_a_source_without_a_usable_row_is_an_error_whatever_the_share(params: Params, tmp_path: Path, rows: list[object]) -> None:
    empty, full = write(tmp_path / "none.jsonl", {"solution": None}, *rows), write(tmp_path / "full.jsonl", *good("a", 9))
    with pytest.raises(
        DataError, match=r"source none: \d of \d rows are rejected, no problem is left \(.* \d.*\): see data/rejects/problems"
    ):
        problems.main(sources(params, full, empty, max_reject_share=1.0))
    assert len(read_rows(REJECTS, Reject)) == len(rows) + 1


def test_doubles_of_another_source_lose_nothing(params: Params, tmp_path: Path) -> None:
    first, second = write(tmp_path / "first.jsonl", *good("a", 8)), write(tmp_path / "second.jsonl", *good("a", 8))
    problems.main(sources(params, first, second, max_reject_share=0.1))
    kept = read_rows(PROBLEMS, Problem)
    assert len(kept) == 8
    rejects = read_rows(REJECTS, Reject)
    assert [row.reason for row in rejects] == ["exact duplicate"] * 8
    assert {row.parent_id for row in rejects} == {row.id for row in kept}


def test_benchmarks_say_their_rows(params: Params, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = tmp_path / "bench.csv"
    bench.write_text("id,Question\n1," + " ".join(str(good("a", 9)[3]["question"]).split()).join(['"', '"']) + "\n2,\n")
    problems.main(sources(params, write(tmp_path / "some.jsonl", *good("a", 9)), benchmarks=[str(bench)]))
    said = capsys.readouterr().out
    assert f"benchmark {bench}: 2 rows, 1 without a question that can be read" in said
    assert f"1 of 9 problems overlap {bench}" in said
    assert f"contaminated: {bench} 1" in said


def weighted(params: Params, *paths: Path, **changes: object) -> Params:
    """The first source has weight 3 and the given keys."""
    section = sources(params, *paths).problems.model_dump()
    section["sources"][0] |= {"weight": 3.0, **changes}
    return params.model_copy(update={"problems": type(params.problems).model_validate(section)})


def test_a_cap_leaves_so_many_good_problems_and_the_others_are_no_bad_rows(
    params: Params, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, other = good("a", 40), write(tmp_path / "other.jsonl", *good("b", 9))
    file = write(tmp_path / "rows.jsonl", *rows, rows[0], "{torn")
    problems.main(weighted(params, file, other, cap=10))
    kept, rejects = read_rows(PROBLEMS, Problem), read_rows(REJECTS, Reject)
    assert len(kept) + len(rejects) == 40 + 2 + 9
    assert Counter(row.source for row in kept) == {"rows": 10, "other": 9}
    assert Counter(row.reason for row in rejects) == {"beyond the source's cap": 30, "exact duplicate": 1, "malformed JSON": 1}
    assert {(row.source, row.weight) for row in kept} == {("rows", 3.0), ("other", 1.0)}
    assert "beyond the source's cap 30" in capsys.readouterr().out
    write(file, "{torn", *rows[::-1])
    problems.main(weighted(params, file, other, cap=10))
    assert read_rows(PROBLEMS, Problem) == kept, "shuffled rows give the same problems"


def test_the_world_has_weight_and_cap_as_well(params: Params) -> None:
    world = params.problems.sources[0].model_copy(update={"weight": 2.0, "cap": 50})
    problems.main(params.model_copy(update={"problems": params.problems.model_copy(update={"sources": [world]})}))
    kept = read_rows(PROBLEMS, Problem)
    assert (len(kept), {row.weight for row in kept}) == (50, {2.0})
    assert {row.reason for row in read_rows(REJECTS, Reject)} == {"beyond the source's cap"}
