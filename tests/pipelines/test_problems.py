"""The stages `problems` and `corpus`, run in a folder of their own."""

import json
import os
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


def test_world(params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    problems.main(params)
    rows = read_rows(PROBLEMS, Problem)
    assert len(rows) == 106
    assert read_rows(REJECTS, Reject) == []
    assert "106 problems" in (said := capsys.readouterr().out)
    assert "tally" in said
    corpus.main(params)
    texts = read_rows(Path("data/tables/corpus.parquet"), CorpusText)
    assert len(texts) == 200
    assert not {text.instance for text in texts} & {row.instance for row in rows}
    before = PROBLEMS.read_bytes(), Path("data/tables/corpus.parquet").read_bytes()
    problems.main(params)
    corpus.main(params)
    assert before == (PROBLEMS.read_bytes(), Path("data/tables/corpus.parquet").read_bytes())


def test_file_with_doubles_and_broken_lines(params: Params, tmp_path: Path) -> None:
    story = "Farm {} has {} cows, {} hens. How many in all?"
    rows = [{"question": story.format("abcdefgh"[n], n, n * n), "answer": f"#### {n + n * n}"} for n in range(8)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([*map(json.dumps, rows), json.dumps({**rows[0], "answer": "#### 7"}), "{broken"]))
    problems.main(with_source(params, path))
    kept, rejects = read_rows(PROBLEMS, Problem), read_rows(REJECTS, Reject)
    assert len(kept) + len(rejects) == 10
    assert sorted(row.reason for row in rejects) == ["exact duplicate", "malformed JSON"]
    assert next(row.parent_id for row in rejects if row.reason == "exact duplicate") in {row.id for row in kept}


def test_too_many_rejects_fail_after_writing_them(params: Params, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "How many?", "answer": "#### 1"}\n{broken\n{broken\n')
    with pytest.raises(DataError, match=r"2 of 3 rows are rejected.*max_reject_share 0\.5 \(malformed JSON 2\)"):
        problems.main(with_source(params, path))
    assert len(read_rows(REJECTS, Reject)) == 2
    assert not PROBLEMS.exists()


@pytest.mark.skipif(not REAL.exists(), reason=f"no GSM8K at {REAL}: set COAT_DATA")
def test_benchmark_rows_train_nothing_but_can_be_audited(params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    test = REAL / "test.jsonl"
    with pytest.raises(DataError, match="1319 of 1319 rows are rejected"):
        problems.main(with_source(params, test, benchmarks=[str(test)]))
    assert {row.reason for row in read_rows(REJECTS, Reject)} == {f"contaminated: {test}"}
    problems.main(with_source(params, test, benchmarks=[str(test)]).model_copy(update={"purpose": "audit"}))
    assert len(read_rows(PROBLEMS, Problem)) == 1319
    assert "1319 of 1319 problems overlap" in capsys.readouterr().out
