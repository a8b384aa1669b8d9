"""A dataset of several shards is published as it passed, made one, or cut anew; whoever loads it has the same rows in the same order."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer

from factory import storage
from factory.publish.checks import passed, whole
from factory.schemas import Restart

pytestmark = pytest.mark.slow

CONFIG = "restarts_r1"


def snapshot(hub: HubServer, folder: Path) -> Path:
    """What lies on the Hub."""
    for path, entry in hub.files("org/coat").items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(hub.content(entry))
    return folder


def loaded(folder: Path, cache: Path) -> Any:
    from datasets import load_dataset

    return load_dataset(str(folder), CONFIG, split="train", cache_dir=str(cache))


@pytest.mark.parametrize(("way", "count"), [("as they passed", 3), ("made one", 1), ("cut anew", 8)])
def test_what_is_loaded_from_a_hub_is_the_same_of_one_shard_and_of_three(
    line, hub: HubServer, tmp_path: Path, way: str, count: int
) -> None:
    line.send()
    one = loaded(snapshot(hub, tmp_path / "one"), tmp_path / "cache")
    line.release(CONFIG, parts=3)
    whole(passed(CONFIG))
    sizes = [file.stat().st_size for file in storage.shards(storage.DATASETS / CONFIG)]
    line.send(aim={"as they passed": 2 * sum(sizes) // 3, "made one": 256 << 20, "cut anew": max(sizes) // 2 - 1}[way])
    folder = snapshot(hub, tmp_path / "three")
    shards = sorted((folder / "data" / CONFIG).iterdir())
    assert [shard.name for shard in shards] == [f"train-{number:05}-of-{count:05}.parquet" for number in range(count)]
    three = loaded(folder, tmp_path / "cache")
    assert three.features == one.features
    assert three.to_list() == one.to_list()
    assert three["id"] == [row.id for row in storage.read_rows(storage.TABLES / f"{CONFIG}.parquet", Restart)]
    told = json.loads((folder / "croissant.json").read_text(encoding="utf-8"))["distribution"]
    hashes = {f"data/{CONFIG}/{shard.name}": hashlib.sha256(shard.read_bytes()).hexdigest() for shard in shards}
    assert {part["@id"]: part["sha256"] for part in told if part["@id"].startswith(f"data/{CONFIG}/")} == hashes
    assert (f"{CONFIG}-files" in [part["@id"] for part in told]) == (count > 1)
    assert f"12 rows in {count} file{'s' * (count > 1)}. Audit" in (folder / "README.md").read_text(encoding="utf-8")
