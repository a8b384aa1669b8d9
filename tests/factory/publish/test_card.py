"""The card and croissant.json: from the rows and the lock, the same bytes each time, what the Hub and Croissant's own reader take."""

import json
import re
from pathlib import Path

import pytest
import yaml
from hub_server import HubServer

from factory.gate.card import code
from factory.line import stages_of
from factory.lock import read_lock
from factory.publish.card import dataset_card
from factory.publish.checks import released
from factory.publish.croissant import croissant
from factory.publish.facts import Facts, gather_facts
from factory.publish.shards import shards_of

pytestmark = pytest.mark.slow


@pytest.fixture
def facts(line) -> Facts:
    graph = read_lock({stage.title for stage in stages_of(line.params)})
    items = released(line.params, graph, frozenset())
    shards = {item.name: shards_of(item, Path("staging")) for item in items}
    return gather_facts("org/coat", items, shards, line.params, graph, "en")


def test_the_front_matter_names_every_config_with_its_features(facts: Facts) -> None:
    from datasets import DatasetInfo, load_dataset

    _, front, _ = dataset_card(facts).split("---\n", 2)
    matter = yaml.safe_load(front)
    assert matter["license"] == "apache-2.0"
    assert (matter["language"], matter["size_categories"], matter["source_datasets"]) == (["en"], ["n<1K"], ["original"])
    assert [config["config_name"] for config in matter["configs"]] == list(facts.params.datasets)
    assert [config.get("default", False) for config in matter["configs"]].count(True) == 1
    for entry, config in zip(matter["dataset_info"], facts.configs, strict=True):
        file = str(config.shards[0].file)
        assert DatasetInfo._from_yaml_dict(entry).features == load_dataset("parquet", data_files=[file], cache_dir="c")["train"].features


def test_no_config_takes_what_lies_outside_of_its_folder(facts: Facts) -> None:
    for config in facts.configs:
        assert config.pattern == f"data/{config.name}/train-*.parquet"
        assert all(Path(shard.path).match(config.pattern) for shard in config.shards)


def test_the_card_says_how_it_was_made_from_what_and_what_it_lacks(facts: Facts) -> None:
    body = dataset_card(facts)
    assert re.search(r"^demonstrations +6 demonstrations, 6 cot_demonstrations +← .*rollouts@base", body, re.MULTILINE)
    assert "| `base` | `3fa9` | trained by `pretraining@base` |" in body
    assert "`solve@1f0c9a27`" in body
    assert "| `world` | world |  | 6 train, 1 dev, 2 heldout, 1 unseen | all: a program writes them |" in body
    assert "| `corpus` | 0 % | 100 % | `apache-2.0` |" in body
    assert "| `orm_pairs_r1` | 100 % | 100 % | `apache-2.0` |" in body
    assert "No benchmark was named" in body
    assert "- `plans_sft`: not met: no two rows say the same (2 of 6 rows)." in body
    assert "| `III-I` | 6 |" in body
    assert re.search(r"^\| `prompt` \| \d+ \| \d+ \| \d+ \|$", body, re.MULTILINE)
    assert "1 of 2 expectations met" in body
    assert 'load_dataset("org/coat", "corpus", split="train")' in body


def test_card_and_croissant_are_the_same_bytes_and_name_no_place_or_time(facts: Facts, line) -> None:
    texts = [dataset_card(facts), json.dumps(croissant(facts))]
    assert texts == [dataset_card(facts), json.dumps(croissant(facts))]
    for text in texts:
        assert str(line.root) not in text
        assert str(Path.home()) not in text
        assert not re.search(r"20\d\d-\d\d-\d\d", text)


def test_words_of_a_licence_or_notice_cannot_end_the_front_matter(line, hub: HubServer) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    wild = r'release: {name: a-b, licence: "x\n---\n# y", notice: "`n` | m"}'
    Path("params.yaml").write_text(re.sub(r"(?m)^release: .*$", lambda _: wild, text), encoding="utf-8")
    from factory.params import load

    for name in line.params.datasets:
        line.__class__(line.root, load()).release(name)
    line.send()
    _, front, body = hub.content(hub.files("org/coat")["README.md"]).decode().split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "other"
    assert "> **`n` \\| m**" in body
    assert code("a`b") == "`` a`b ``"


def test_croissant_has_the_structure_that_its_specification_asks(facts: Facts) -> None:
    """docs.mlcommons.org/croissant/docs/croissant-spec.html: required properties, ids once, references to what is there."""
    document = croissant(facts)
    assert document["@type"] == "sc:Dataset"
    assert "http://mlcommons.org/croissant/1.1" in document["conformsTo"]
    assert {"name", "description", "license", "url", "creator", "version", "distribution", "recordSet"} <= set(document)
    files = {entry["@id"]: entry for entry in document["distribution"]}
    for config in facts.configs:
        for shard in config.shards:
            assert files[shard.path]["sha256"] == shard.sha256
            assert files[shard.path]["contentSize"] == f"{shard.size} B"
            assert files[shard.path]["encodingFormat"] == "application/x-parquet"
    records = {entry["@id"]: entry for entry in document["recordSet"]}
    assert list(records) == [config.name for config in facts.configs]
    ids = [*files, *records, *(field["@id"] for entry in records.values() for field in entry["field"])]
    assert len(ids) == len(set(ids))
    for config in facts.configs:
        fields = records[config.name]["field"]
        assert [field["@id"] for field in fields] == [f"{config.name}/{name}" for name in config.released.columns]
        for field in (inner for outer in fields for inner in outer.get("subField", [outer])):
            assert field["source"]["fileObject"]["@id"] in files
            assert field["dataType"].split(":")[0] in ("sc", "cr")
    agents = records["orm_pairs_r1"]["prov:wasGeneratedBy"]["prov:wasAssociatedWith"]
    assert agents == [{"@type": "prov:SoftwareAgent", "name": "base@3fa9"}]


def test_croissants_own_reader_takes_it_and_reads_the_rows(facts: Facts) -> None:
    reader = pytest.importorskip("mlcroissant", reason="pip install mlcroissant (the extra `croissant`)")
    for config in facts.configs:
        for shard in config.shards:
            Path(shard.path).parent.mkdir(parents=True, exist_ok=True)
            Path(shard.path).write_bytes(shard.file.read_bytes())
    Path("croissant.json").write_text(json.dumps(croissant(facts)), encoding="utf-8")
    dataset = reader.Dataset("croissant.json")
    assert [entry.name for entry in dataset.metadata.record_sets] == [config.name for config in facts.configs]
    rows = list(dataset.records("demonstrations"))
    assert len(rows) == 6
    assert rows[0]["demonstrations/type"] == b"III-I"
