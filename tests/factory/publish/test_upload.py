"""Publishing to a Hub on localhost: one commit, nothing twice, nothing half."""

import json
from pathlib import Path

import pytest
from hub_server import TOKEN, Fault, HubServer

from factory import storage
from factory.errors import EngineError, GateError
from factory.publish import upload
from factory.schemas import Example

pytestmark = pytest.mark.slow


def test_everything_arrives_in_one_commit_and_again_is_none(line, hub: HubServer) -> None:
    (first,) = line.send()
    files = hub.files("org/coat")
    assert hub.commits("org/coat") == 1
    assert first.commit == hub.repos["org/coat"].branches["main"]
    assert {path for path in files if path.startswith("data/")} == {
        f"data/{name}/train-00000-of-00001.parquet" for name in line.params.datasets
    }
    for name in line.params.datasets:
        shard = storage.DATASETS / name / "data/train-00000-of-00001.parquet"
        assert hub.content(files[f"data/{name}/train-00000-of-00001.parquet"]) == shard.read_bytes()
        assert hub.content(files[f"audits/{name}.json"]) == (storage.AUDITS / f"{name}.json").read_bytes()
    for path in ("lineage/params.yaml", "lineage/dvc.yaml", "lineage/dvc.lock"):
        assert hub.content(files[path]) == Path(Path(path).name).read_bytes()
    sent = len(hub.received)
    (second,) = line.send()
    assert (second.commit, hub.commits("org/coat"), len(hub.received)) == (first.commit, 1, sent)
    assert {change.state for change in second.plan.changes} == {"same"}


def test_what_was_published_is_written_down_for_others(line, hub: HubServer) -> None:
    outcome, model = line.send(models=("planner_dpo",))
    document = json.loads(Path("data/published.json").read_text(encoding="utf-8"))
    manifest = json.loads((storage.DATASETS / "plans_sft/manifest.json").read_text(encoding="utf-8"))
    assert list(document) == ["endpoint", "repo", "revision", "commit", "url", "datasets", "models"]
    assert document["endpoint"] == hub.url
    assert (document["repo"], document["revision"], document["commit"]) == ("org/coat", "main", outcome.commit)
    assert document["url"] == f"{hub.url}/datasets/org/coat/tree/{outcome.commit}"
    assert list(document["datasets"]) == list(line.params.datasets)
    assert document["datasets"]["plans_sft"] == manifest["sha256"]
    assert document["models"] == {"planner_dpo": {"repo": "org/coat-planner_dpo", "commit": model.commit}}


def test_a_changed_dataset_moves_alone_and_one_that_is_gone_goes(line, hub: HubServer) -> None:
    line.send()
    rows = storage.read_rows(storage.TABLES / "plans_sft.parquet", Example)
    storage.write_rows(storage.TABLES / "plans_sft.parquet", Example, rows[:-1])
    line.release("plans_sft")
    before = len(hub.received)
    repo = hub.repos["org/coat"]
    old = hub.entry(b"of a round that is no more", large=True)
    hub.advance(repo, "main", {**repo.commits[repo.branches["main"]], "data/restarts_r9/train-00000-of-00001.parquet": old})
    (outcome,) = line.send()
    states = {change.path: change.state for change in outcome.plan.changes if change.state != "same"}
    assert states.pop("data/plans_sft/train-00000-of-00001.parquet") == "changed"
    assert states.pop("data/restarts_r9/train-00000-of-00001.parquet") == "gone"
    assert states == dict.fromkeys(("README.md", "croissant.json", "audits/plans_sft.json", "lineage/manifests/plans_sft.json"), "changed")
    assert len(hub.received) == before + 1
    assert "data/restarts_r9/train-00000-of-00001.parquet" not in hub.files("org/coat")
    assert hub.commits("org/coat") == 3  # one of them is the test's own


def test_what_others_put_into_the_repository_stays(line, hub: HubServer) -> None:
    line.send()
    repo = hub.repos["org/coat"]
    hub.advance(repo, "main", {**repo.commits[repo.branches["main"]], "NOTES.md": hub.entry(b"mine", large=False)})
    (outcome,) = line.send()
    assert not outcome.plan.sent
    assert "NOTES.md" in hub.files("org/coat")


def test_a_dry_run_compares_and_writes_nothing(line, hub: HubServer) -> None:
    (new,) = line.send(dry=True)
    assert {change.state for change in new.plan.changes} == {"new"}
    assert hub.repos == {}
    line.send()
    line.rewrite("data/audits/plans_sft.json", gx_version="1.24.2")
    before, published = list(hub.repos["org/coat"].commits), Path("data/published.json").read_bytes()
    hub.log.clear()
    (outcome,) = line.send(dry=True)
    assert {change.path for change in outcome.plan.sent} == {"README.md", "audits/plans_sft.json"}
    assert {method for method, _ in hub.log} == {"GET"}
    assert list(hub.repos["org/coat"].commits) == before
    assert Path("data/published.json").read_bytes() == published


def test_a_dry_run_without_a_hub_shows_what_it_would_send_and_says_so(line, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.__exit__()
    with monkeypatch.context() as patched:
        patched.setattr(upload.time, "sleep", lambda _: pytest.fail("a dry run waited for a Hub that is not there"))
        (outcome,) = line.send(dry=True)
    assert {change.state for change in outcome.plan.changes} == {"unknown"}
    assert outcome.note.startswith(f"org/coat at {hub.url}: ")
    with pytest.raises(EngineError, match="run it again"):
        line.send()


def test_a_branch_starts_from_main_and_leaves_it(line, hub: HubServer) -> None:
    line.send()
    main = hub.repos["org/coat"].branches["main"]
    line.rewrite("data/audits/plans_sft.json", gx_version="1.24.2")
    (outcome,) = line.send(revision="v2")
    assert {change.path for change in outcome.plan.sent} == {"README.md", "audits/plans_sft.json"}
    assert hub.repos["org/coat"].branches == {"main": main, "v2": outcome.commit}
    assert line.send(revision="v2")[0].commit == outcome.commit


def test_private_is_private_and_never_an_open_repository(line, hub: HubServer) -> None:
    line.send(private=True, models=("planner_dpo",))
    assert {name: repo.private for name, repo in hub.repos.items()} == {"org/coat": True, "org/coat-planner_dpo": True}
    line.send(repo="org/open")
    count = len(hub.received)
    with pytest.raises(GateError, match="org/open is public, and --private was asked for"):
        line.send(repo="org/open", private=True)
    assert len(hub.received) == count


def test_a_model_goes_with_its_card_and_without_what_only_trainers_read(line, hub: HubServer) -> None:
    line.send(models=("planner_dpo",))
    files = hub.files("org/coat-planner_dpo")
    assert set(files) == {".gitattributes", "README.md", "config.json", "model.safetensors"}
    card = hub.content(files["README.md"]).decode()
    assert "datasets:\n- org/coat\n" in card
    assert "config `trajectory_pairs`" in card


@pytest.mark.parametrize("part", ["/api/repos/create", "/tree/", "/revision/", "/commit/", "/api/datasets/org/coat"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_or_failing_hub_is_asked_again(line, hub: HubServer, part: str, status: int) -> None:
    method = "POST" if part in ("/api/repos/create", "/commit/") else "GET"
    hub.faults.append(Fault(method, part, status, {"Retry-After": "0"}, times=2))
    (outcome,) = line.send()
    assert hub.faults[0].times == 0
    assert hub.commits("org/coat") == 1
    assert line.send()[0].commit == outcome.commit


@pytest.mark.parametrize("part", ["/preupload/", "/objects/batch", "/lfs/verify", "/lfs/"])
@pytest.mark.parametrize("status", [429, 500])
def test_a_failing_upload_is_sent_again(line, hub: HubServer, part: str, status: int) -> None:
    hub.faults.append(Fault("PUT" if part == "/lfs/" else "POST", part, status, times=1))
    line.send()
    assert hub.faults[0].times == 0
    assert hub.commits("org/coat") == 1
    assert len(hub.received) == len(set(hub.received))


def test_an_answer_that_is_lost_makes_no_second_commit(line, hub: HubServer) -> None:
    hub.faults.append(Fault("POST", "/commit/", lost=True))
    (outcome,) = line.send()
    assert hub.commits("org/coat") == 1
    assert outcome.commit == hub.repos["org/coat"].branches["main"]


def test_nothing_is_visible_after_a_failure_and_what_arrived_is_not_sent_again(line, hub: HubServer) -> None:
    hub.faults.append(Fault("POST", "/commit/", status=403))
    with pytest.raises(EngineError, match="this token may not write there"):
        line.send()
    assert set(hub.files("org/coat")) == {".gitattributes"}
    assert not Path("data/published.json").exists()
    arrived = list(hub.received)
    line.send()
    assert hub.received == arrived
    assert hub.commits("org/coat") == 1


def test_a_commit_of_somebody_else_in_between_is_not_overwritten(line, hub: HubServer) -> None:
    line.send()
    line.rewrite("data/audits/plans_sft.json", gx_version="1.24.2")
    hub.faults.append(Fault("POST", "/commit/", status=412))
    with pytest.raises(EngineError, match="somebody committed meanwhile; run it again"):
        line.send()
    assert hub.commits("org/coat") == 1


def test_the_token_is_in_no_file_and_no_message(
    line, hub: HubServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    line.send()
    assert hub.authorizations == {f"Bearer {TOKEN}", ""}  # a signed address gets none
    for name in hub.blobs.iterdir():
        assert TOKEN.encode() not in name.read_bytes()
    for path in Path().rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()
    hub.faults += [Fault("PUT", "/lfs/", status=500, times=1), Fault("PUT", "/lfs/", status=403, times=99)]
    hub.repos.clear()
    for blob in hub.blobs.iterdir():
        blob.unlink()
    with pytest.raises(EngineError) as caught:
        line.send()
    assert "secret-of-the-address" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert caught.value.__suppress_context__
    printed = "".join(capfd.readouterr()) + caplog.text
    assert "secret-of-the-address" not in printed
    assert TOKEN not in printed
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(EngineError, match="set HF_TOKEN to a token that may write"):
        line.send(repo="org/other")
