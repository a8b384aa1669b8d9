"""Rollouts with all tokens and their log-probabilities: by the stage with a real model, through readers that do not know them, the gate."""

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from factory.cli.main import app
from factory.errors import GateError
from factory.gate import checks
from factory.gate.release import release
from factory.params import Params
from factory.schemas import Rollout, arrow_schema
from factory.storage import DATASETS, MODELS, TABLES, read_rows, read_table, write_rows
from factory.tables import DrawnRollout
from pipelines import orm_pairs, restarts, rollouts

TABLE = TABLES / "rollouts_base.parquet"


def params_of(params: Params, *, drawn: bool) -> Params:
    sampling = {"temperature": 0.9, "top_p": 0.95, "max_tokens": 12}
    document = {"problems": 6, "samples": 4, "sampling": sampling, **({"drawn_tokens": True} if drawn else {})}
    settings = type(params.require("rollouts")).model_validate(document)
    listed = {"rollouts_base": params.datasets["restarts_r1"].model_copy(update={"parents": "problems"})}
    return params.model_copy(update={"rollouts": settings, "datasets": {**params.datasets, **listed}})


@pytest.fixture
def sampled(small_line: Any, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """The stage has run with the key, on a tiny model."""
    monkeypatch.setenv("FACTORY_STORE", str(small_line.root / "store.sqlite"))
    shutil.copytree(model_folder, MODELS / "base", dirs_exist_ok=True)
    params = params_of(small_line.params, drawn=True)
    rollouts.main(params, "base")
    return params


def test_rows_carry_what_was_drawn(sampled: Params, tokenizer: Any) -> None:
    rows = read_rows(TABLE, DrawnRollout)
    assert (len(rows), {row.finish_reason for row in rows}) == (24, {"stop", "length"})
    for row in rows:
        ended = row.finish_reason == "stop"
        assert (len(row.token_ids), row.token_ids[-1] == tokenizer.eos_token_id) == (row.tokens + ended, ended)
        assert tokenizer.decode(row.token_ids[: row.tokens]) == row.completion
        assert len(row.token_logprobs) == len(row.token_ids)
        assert row.logprob == pytest.approx(math.fsum(row.token_logprobs))
    assert read_table(TABLE).schema.names == [*arrow_schema(Rollout).names, "token_ids", "token_logprobs"]


def test_without_the_key_tables_are_as_they_were(sampled: Params) -> None:
    texts = sorted((row.problem_id, row.seed, row.completion) for row in read_rows(TABLE, DrawnRollout))
    rollouts.main(params_of(sampled, drawn=False), "base")
    assert read_table(TABLE).schema == arrow_schema(Rollout)
    rows = read_rows(TABLE, Rollout)
    assert sorted((row.problem_id, row.seed, row.completion) for row in rows) == texts
    before = TABLE.read_bytes()
    write_rows(TABLE, Rollout, rows)
    assert TABLE.read_bytes() == before


def test_readers_of_rollouts_take_the_table(small_line: Any) -> None:
    """Start states and pairs have the same bytes."""
    outs = [TABLES / f"{name}_r1.parquet" for name in ("restarts", "orm_pairs")]
    found = []
    for row_type in (Rollout, DrawnRollout):
        tokens = {"token_ids": (4, 1), "token_logprobs": (-0.5, -0.25)} if row_type is DrawnRollout else {}
        write_rows(TABLES / "rollouts_r1.parquet", row_type, [row_type(**vars(row), **tokens) for row in small_line.rollouts])
        assert read_rows(TABLES / "rollouts_r1.parquet", Rollout) == sorted(small_line.rollouts, key=lambda row: row.id)
        restarts.main(small_line.params, "r1")
        orm_pairs.main(small_line.params, "r1")
        found.append([path.read_bytes() for path in outs])
    assert found[0] == found[1]
    shown = CliRunner().invoke(app, ["show", "rollouts_r1", "-n", "1"])
    assert (shown.exit_code, small_line.rollouts[0].problem_id[:4] != "", "1 of 12 rows" in shown.output) == (0, True, True)


@pytest.mark.slow
def test_they_pass_the_gate_and_are_released(sampled: Params) -> None:
    audit = release("rollouts_base", sampled, 1)
    said = {finding.says for finding in audit.findings}
    assert {"every token drawn has its log-probability", "the verdict is what the grader says of the completion"} <= said
    assert audit.columns["token_logprobs"]["of"] == "items"
    released = read_table(next((DATASETS / "rollouts_base/data").glob("*.parquet")))
    assert released["token_ids"].to_pylist() == read_table(TABLE)["token_ids"].to_pylist()


@pytest.mark.parametrize(("name", "breaks"), [
    ("tokens_told", {"token_logprobs": (-0.5,)}), ("tokens_counted", {"token_ids": (4, 5, 6, 7, 1)}),
    ("tokens_counted", {"token_ids": (4,)}), ("tokens_counted", {"token_ids": (4, -1)}), ("tokens_counted", {"finish_reason": "length"}),
    ("logprobs_are_ones", {"token_logprobs": (-0.5, 0.25, -0.25)}), ("logprobs_are_ones", {"token_logprobs": (-0.5, math.nan, -0.25)}),
    ("logprobs_are_ones", {"token_logprobs": (-0.5, -math.inf, -0.25)}), ("logprobs_are_ones", {"token_logprobs": (-0.5, None, -0.25)}),
    ("logprob_of_tokens", {"logprob": -0.8}), ("logprob_of_tokens", {"token_logprobs": (-0.5, -0.25)}),
])  # fmt: skip
def test_a_check_sees_its_corruption_and_nothing_in_sound_rows(small_line: Any, name: str, breaks: dict[str, Any]) -> None:
    tokens = {"token_ids": (4, 5, 1), "token_logprobs": (-0.5, -0.25, -0.25), "logprob": -1.0, "tokens": 2, "finish_reason": "stop"}
    row = DrawnRollout(**vars(small_line.rollouts[0]) | tokens)
    check = getattr(checks, name)
    assert check(row, None)
    assert check(replace(row, logprob=None), None)
    assert not check(replace(row, **breaks), None)


@pytest.mark.slow
def test_the_gate_closes_on_a_log_probability_above_0(sampled: Params) -> None:
    first, *rest = read_rows(TABLE, DrawnRollout)
    write_rows(TABLE, DrawnRollout, [replace(first, token_logprobs=(0.5, *first.token_logprobs[1:])), *rest])
    with pytest.raises(GateError, match="'log-probabilities of tokens are finite and not above 0' fails on 1 of 24 rows"):
        release("rollouts_base", sampled, 1)
