"""The slow half: load_dataset in a process of its own, an upload that is killed, DVC's own word for what is stale."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hub_server import TOKEN, HubServer

pytestmark = pytest.mark.slow

SEND = "from factory.params import load; from factory.publish.publish import Order, publish; publish(Order('org/coat'), load(), set)"
LOAD = """
import json, sys
from datasets import get_dataset_config_names, load_dataset
found = {}
for name in get_dataset_config_names("org/coat"):
    rows = load_dataset("org/coat", name, split="train")
    found[name] = [len(rows), sorted(rows["id"]), rows.features.to_dict()]
print(json.dumps(found))
"""


def environment(hub: HubServer, home: Path) -> dict[str, str]:
    return {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN, "HF_HOME": str(home)}


def test_every_config_loads_from_the_hub_with_equal_features(line, hub: HubServer, tmp_path: Path) -> None:
    from datasets import load_dataset

    line.send()
    made = [sys.executable, "-c", LOAD]
    answer = subprocess.run(made, env=environment(hub, tmp_path / "home"), capture_output=True, text=True, check=True)
    found = json.loads(answer.stdout)
    assert list(found) == list(line.params.datasets)
    for name, (count, ids, features) in found.items():
        files = [str(path) for path in Path("data/datasets").glob(f"{name}/data/*.parquet")]
        rows = load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
        assert (count, ids, features) == (len(rows), sorted(rows["id"]), json.loads(json.dumps(rows.features.to_dict())))


def test_an_upload_that_is_killed_goes_on_and_sends_nothing_again(line, hub: HubServer, tmp_path: Path) -> None:
    hub.slow = 0.3
    sender = subprocess.Popen([sys.executable, "-c", SEND], env=environment(hub, tmp_path / "home"))
    deadline = time.monotonic() + 300
    while len(hub.received) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    sender.send_signal(signal.SIGKILL)
    sender.wait()
    assert hub.commits("org/coat") == 0
    assert set(hub.files("org/coat")) == {".gitattributes"}
    time.sleep(1)  # what had arrived whole is stored, though nobody waits for the answer
    arrived = list(hub.received)
    assert 4 <= len(arrived) < 12
    hub.slow, asked = 0.0, len(hub.log)
    line.send()
    again = [path.rsplit("/", 1)[-1] for method, path in hub.log[asked:] if method == "PUT"]
    assert not set(again) & set(arrived)
    assert len(hub.received) == len(set(hub.received)) == 12
    assert hub.commits("org/coat") == 1


def test_dvc_says_what_is_stale_and_the_command_refuses_it(line, hub: HubServer, tmp_path: Path) -> None:
    """A graph of its own, of releases alone: the tables stand for everything before."""
    names = list(line.params.datasets)
    release = {"cmd": "true", "deps": ["data/tables/${item}.parquet"], "outs": ["data/audits/${item}.json", "data/datasets/${item}"]}
    Path("dvc.yaml").write_text(yaml.dump({"stages": {"release": {"foreach": names, "do": release}}}), encoding="utf-8")
    Path("dvc.lock").unlink()
    dvc = [sys.executable, "-m", "dvc"]
    for words in (["init", "--no-scm", "-q"], ["config", "core.analytics", "false"], ["commit", "-f", "-q"]):
        subprocess.run([*dvc, *words], check=True, capture_output=True)
    publish = [sys.executable, "-m", "factory.cli", "publish", "--repo", "org/coat"]
    first = subprocess.run(publish, env=environment(hub, tmp_path / "home"), capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert f"org/coat: commit {hub.repos['org/coat'].branches['main']}" in first.stdout
    shutil.copytree("data/datasets/plans_sft", "data/datasets/plans_old")
    again = subprocess.run([*publish, "--dry-run"], env=environment(hub, tmp_path / "home"), capture_output=True, text=True, check=True)
    assert "org/coat: nothing to send" in again.stdout
    assert again.stdout.splitlines()[-1].startswith("left out: data/datasets/plans_old: params.yaml names no such dataset")
    table = Path("data/tables/plans_sft.parquet")
    table.write_bytes(table.read_bytes() + b" ")
    asked = len(hub.log)
    second = subprocess.run(publish, env=environment(hub, tmp_path / "home"), capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert second.stderr == ("error: dataset plans_sft is stale: release@plans_sft would run again; `dvc repro release@plans_sft` first\n")
    assert len(hub.log) == asked
