"""Up to the problem, the requests and the run; down to everything that was made of a row."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from factory.errors import DataError
from factory.lineage import kept, links
from factory.lineage.index import SHOWN
from factory.lineage.trace import FEW, Line, resolve, trace
from factory.rejects import write_rejects
from factory.schemas import Example, Message, Rollout
from factory.storage import read_rows, write_rows
from factory.whole import write_json


def test_a_pair_leads_up_to_its_rollouts_their_requests_and_the_problem(traced_line: Any) -> None:
    found = trace(traced_line.line, traced_line.pair)
    assert found.origin is not None
    assert [(parent.place, parent.id, parent.via) for parent in found.origin.parents] == [
        ("problems", traced_line.problems[0], ("problem_id",)),
        ("rollouts_tuned", traced_line.rollouts["tuned"][0], ("chosen_id",)),
        ("rollouts_tuned", traced_line.rollouts["tuned"][1], ("rejected_id",)),
    ]
    right, wrong = found.origin.parents[1:]
    (request,) = right.requests
    assert request.found
    assert (request.key, request.model, request.stage) == (traced_line.keys["tuned"][0], "tuned@3fa9c0de", "rollouts_tuned")
    assert request.sampling == {"temperature": 0.5, "top_p": 1.0, "max_tokens": 64, "seed": 7, "ordinal": 0}
    assert "Tom has 12 apples" in request.prompt
    assert request.answer.endswith("\\boxed{19}")
    assert (request.prompt_tokens, request.completion_tokens) == (9, 3)
    assert right.parents[0].again, "the problem stands above already"
    assert [parent.id for parent in wrong.parents] == [traced_line.problems[1]]
    assert found.source is not None
    assert (found.source.source, found.source.licence, found.source.settings["kind"]) == ("books", "cc-by-4.0", "jsonl")


def test_a_model_leads_to_the_stage_that_made_it_and_what_of(traced_line: Any) -> None:
    found = trace(traced_line.line, traced_line.restart)
    (model,) = found.models
    assert (model.model, model.stage) == ("tuned@3fa9c0de", "format_tuning")
    assert model.of == ("data/datasets/demonstrations", "data/models/base")
    (prompt,) = found.prompts
    assert prompt.file == "factory/language/prompts/laptop/solve.j2"
    assert "problem" in prompt.words


def test_a_prompt_whose_words_are_no_longer_here_is_said_to_be_so(traced_line: Any) -> None:
    found = trace(traced_line.line, traced_line.template)
    assert [(prompt.version, prompt.file) for prompt in found.prompts] == [("laptop/analyse@00000000", "")]


def test_many_parents_are_counted_and_a_few_are_followed(traced_line: Any) -> None:
    found = trace(traced_line.line, traced_line.template)
    assert found.origin is not None
    assert len(found.origin.parents) == FEW == 3
    assert found.origin.more == {}


@pytest.mark.slow
def test_the_price_of_the_run_s_role_is_that_of_its_requests(traced_line: Any) -> None:
    found = trace(traced_line.line, traced_line.rollouts["base"][0])
    assert found.origin is not None
    assert found.origin.requests[0].dollars == pytest.approx((9 * 1.0 + 3 * 2.0) / 1e6)
    other = trace(traced_line.line, traced_line.rollouts["tuned"][0])
    assert other.origin is not None
    assert other.origin.requests[0].dollars is None, "no role of the run has a price for this model"


@pytest.mark.slow
def test_stages_carry_params_and_say_whether_the_file_is_the_lock_s(traced_line: Any) -> None:
    base = traced_line.rollouts["base"][0]
    made = {stage.stage: stage for stage in trace(traced_line.line, base).stages}
    assert set(made) == {"rollouts@base", "problems"}, "the stage that dvc.yaml no longer has is not its maker"
    assert made["rollouts@base"].params["rollouts.samples"] == 4
    assert made["rollouts@base"].same is True
    path = Path("data/tables/rollouts_base.parquet")
    write_rows(path, Rollout, [row for row in read_rows(path, Rollout) if row.id == base])
    assert trace(Line(Path(".")), base).stages[0].same is False


def test_no_secret_is_shown(traced_line: Any) -> None:
    params = trace(traced_line.line, traced_line.rollouts["base"][0]).stages[0].params
    assert params["roles.generator.api_key"] == "(hidden)"
    assert params["roles.generator.base_url"] == "https://(hidden)@host/v1"
    assert params["roles.generator.api_key_env"] == "MY_KEY", "the name of a variable is no secret"


@pytest.mark.slow
def test_the_revision_is_the_commit_of_the_lock(traced_line: Any) -> None:
    found = trace(traced_line.line, traced_line.pair)
    revision, _, date = found.revision.partition(" ")
    assert len(revision) == 40
    assert date.startswith("20")
    assert not found.changed
    with Path("dvc.lock").open("a", encoding="utf-8") as stream:
        stream.write("# changed\n")
    assert trace(Line(Path(".")), traced_line.pair).changed


@pytest.mark.slow
def test_down_goes_to_everything_made_of_a_problem_by_steps(traced_line: Any) -> None:
    found = trace(traced_line.line, traced_line.problems[1])
    assert [(level.steps, level.place, level.via, level.rows) for level in found.made] == [
        (1, "rejects/restarts_tuned", ("row.problem_id",), 1),
        (1, "rollouts_base", ("parents", "problem_id"), 1),
        (1, "rollouts_tuned", ("parents", "problem_id"), 1),
        (1, "templates", ("parents",), 1),
        (2, "orm_pairs_tuned", ("rejected_id",), 1),
    ]
    assert found.made[-1].ids == (traced_line.pair,)


def test_what_large_rejects_say_is_kept_in_narrow_columns_until_they_change(traced_line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [traced_line.problems[1], traced_line.rollouts["tuned"][1]]
    before = [trace(Line(Path(".")), what).made for what in asked]
    monkeypatch.setattr(kept, "LARGE", 1)
    assert [trace(Line(Path(".")), what).made for what in asked] == before
    (first,) = Path(kept.FOLDER).iterdir()
    assert pq.read_table(first).column_names == ["id", "row_id", "row_problem_id"]
    stamp = first.stat().st_mtime_ns
    assert trace(Line(Path(".")), asked[0]).made == before[0]
    assert first.stat().st_mtime_ns == stamp, "it is read, not made again"
    write_rejects("restarts_tuned", [])
    assert "rejects/restarts_tuned" not in {level.place for level in trace(Line(Path(".")), asked[0]).made}
    assert [file != first for file in Path(kept.FOLDER).iterdir()] == [True]


def test_where_nothing_can_be_written_the_json_is_read(traced_line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = trace(Line(Path(".")), traced_line.problems[1]).made
    monkeypatch.setattr(kept, "LARGE", 1)
    Path(".factory").write_text("a file where the folder would be", encoding="utf-8")
    assert trace(Line(Path(".")), traced_line.problems[1]).made == before


def test_large_tables_and_small_ones_say_the_same(traced_line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [trace(Line(Path(".")), what).made for what in traced_line.problems]
    monkeypatch.setattr(links, "SMALL", 2)
    assert [trace(Line(Path(".")), what).made for what in traced_line.problems] == before
    assert any(before)


@pytest.mark.slow
def test_depth_bounds_both_ways(traced_line: Any) -> None:
    down = trace(traced_line.line, traced_line.problems[1], 1)
    assert {level.steps for level in down.made} == {1}
    up = trace(traced_line.line, traced_line.pair, 0)
    assert up.origin is not None
    assert up.origin.parents == ()


def test_a_released_row_names_its_dataset_audit_and_the_models_trained_on_it(traced_line: Any) -> None:
    (dataset,) = trace(traced_line.line, traced_line.restart).datasets
    assert (dataset.name, dataset.rows, dataset.passed, dataset.expectations) == ("restarts_tuned", 1, 1, 2)
    assert dataset.trained == ("data/models/policy_tuned",)


@pytest.mark.slow
def test_a_publication_counts_for_the_datasets_that_it_holds(traced_line: Any) -> None:
    assert trace(traced_line.line, traced_line.restart).published == {}
    told = {"repo": "org/coat", "commit": "c0ffee", "datasets": {"restarts_tuned": "0" * 64, "plans": "1" * 64}}
    mine = {"repo": "org/coat", "commit": "c0ffee", "datasets": ["restarts_tuned"], "changed": []}
    for endpoint in ("https://hub.example", ""):  # "": of a version that did not write it down
        Path("data/published.json").write_text(json.dumps(told | ({"endpoint": endpoint} if endpoint else {})), encoding="utf-8")
        assert trace(Line(Path(".")), traced_line.restart).published == mine | {"endpoint": endpoint}
    assert trace(Line(Path(".")), traced_line.pair).published == {}


@pytest.mark.parametrize("shards", ["2" * 64, {"train-00000-of-00002.parquet": "0" * 64, "train-00001-of-00002.parquet": "3" * 64}])
def test_a_publication_of_other_rows_is_told_as_one(traced_line: Any, shards: object) -> None:
    told = {"repo": "org/coat", "commit": "c0ffee", "datasets": {"restarts_tuned": shards}}
    Path("data/published.json").write_text(json.dumps(told), encoding="utf-8")
    found = trace(traced_line.line, traced_line.restart)
    assert (found.published["datasets"], found.published["changed"]) == ([], ["restarts_tuned"])
    write_json(Path("data/datasets/restarts_tuned/manifest.json"), {"rows": 1, "sha256": shards})
    found = trace(Line(Path(".")), traced_line.restart)
    assert (found.published["datasets"], found.published["changed"]) == (["restarts_tuned"], [])


def test_a_reject_leads_up_to_what_was_rejected(traced_line: Any) -> None:
    found = trace(traced_line.line, traced_line.reject)
    assert found.origin is not None
    assert [(parent.place, parent.id) for parent in found.origin.parents] == [("rollouts_tuned", traced_line.rollouts["tuned"][1])]


def test_a_request_leads_down_to_the_rows_that_hold_it(traced_line: Any) -> None:
    found = trace(traced_line.line, traced_line.keys["tuned"][0][:16])
    assert found.request is not None
    assert found.request.key == traced_line.keys["tuned"][0]
    assert found.origin is not None
    assert found.origin.id == traced_line.rollouts["tuned"][0]
    assert [(level.steps, level.place) for level in found.made] == [(1, "rollouts_tuned"), (2, "orm_pairs_tuned"), (2, "restarts_tuned")]


@pytest.mark.slow
def test_without_the_store_a_request_is_known_by_its_rows_alone(traced_line: Any) -> None:
    Path("store.sqlite").unlink()
    found = trace(traced_line.line, traced_line.keys["tuned"][0])
    assert found.request is not None
    assert not found.request.found
    assert found.origin is not None


def test_a_row_of_a_dataset_is_found_by_its_number(traced_line: Any) -> None:
    assert resolve(traced_line.line, "restarts_tuned#0") == ("restarts_tuned", traced_line.restart)
    with pytest.raises(DataError, match="restarts_tuned has fewer rows"):
        resolve(traced_line.line, "restarts_tuned#1")
    with pytest.raises(DataError, match="expected a number behind #"):
        resolve(traced_line.line, "restarts_tuned#x")


@pytest.mark.slow
def test_the_beginning_of_an_id_is_enough_and_a_table_may_be_named(traced_line: Any) -> None:
    assert resolve(traced_line.line, traced_line.pair[:9]) == ("orm_pairs_tuned", traced_line.pair)
    assert resolve(traced_line.line, f"rejects/restarts_tuned/{traced_line.reject[:6]}")[1] == traced_line.reject
    with pytest.raises(DataError, match="no table or dataset 'nowhere' here: there is orm_pairs_tuned, problems"):
        resolve(traced_line.line, "nowhere/12")


@pytest.mark.slow
def test_an_ambiguous_beginning_lists_what_it_may_be(traced_line: Any) -> None:
    path = Path("data/tables/plans.parquet")
    rows = [
        Example(
            id=f"zz{n:02}", model="", prompt_version="", seed=0, round="", problem_id="", prompt=(Message("user", "q"),), completion="a"
        )
        for n in range(SHOWN + 2)
    ]
    write_rows(path, Example, rows)
    with pytest.raises(DataError) as error:
        resolve(traced_line.line, "zz")
    assert str(error.value).startswith("zz begins more than one id: plans/zz00, plans/zz01, ")
    assert str(error.value).endswith("plans/zz09, …; give more of it, or TABLE/ID")
    assert resolve(Line(Path(".")), "zz11") == ("plans", "zz11")


def test_an_unknown_id_says_in_one_line_what_was_looked_at(traced_line: Any) -> None:
    with pytest.raises(DataError) as error:
        trace(traced_line.line, "zzz")
    assert "\n" not in str(error.value)
    assert "looked at 6 tables, 1 of rejects and the request store" in str(error.value)
    assert "the beginning of an id is enough" in str(error.value)


def test_a_folder_without_tables_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no table: run it where a line was made"):
        trace(Line(tmp_path), "ab")


def test_a_damaged_table_is_named(traced_line: Any) -> None:
    Path("data/tables/plans.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"plans\.parquet is not a readable Parquet file"):
        trace(traced_line.line, traced_line.pair)
