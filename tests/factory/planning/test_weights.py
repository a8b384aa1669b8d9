"""Models that lie here: whole, cut off, without a shard, and not what their names say."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from safetensors.numpy import save_file

from factory.params import parse
from factory.planning import gguf_file, outside
from factory.planning.memory import Shape
from factory.planning.weights import fault


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Two shards, written by the library itself, and their index."""
    folder = tmp_path / "sharded"
    folder.mkdir()
    places = {}
    for number in (1, 2):
        shard = f"model-0000{number}-of-00002.safetensors"
        tensors = {f"layer{number}.a": np.ones((5, 3)), f"layer{number}.b": np.ones(7, dtype=np.float16)}
        save_file(tensors, folder / shard, metadata={"format": "pt"})
        places |= dict.fromkeys(tensors, shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def cut(file: Path, by: int) -> None:
    file.write_bytes(file.read_bytes()[:-by])


def test_a_whole_model_has_no_fault(model: Path) -> None:
    assert fault(model) == ""
    save_file({}, model / "empty.safetensors")
    assert fault(model / "empty.safetensors") == ""


@pytest.mark.parametrize(("change", "says"), [
    (lambda at: cut(at / "model-00002-of-00002.safetensors", 1), "model-00002-of-00002.safetensors is cut off: it has"),
    (lambda at: (at / "model-00001-of-00002.safetensors").open("ab").write(b"more"), "model-00001-of-00002.safetensors is longer than"),
    (lambda at: (at / "model-00001-of-00002.safetensors").write_bytes(b"<html>not found"), "is no safetensors file, or cut off in its"),
    (lambda at: (at / "model-00001-of-00002.safetensors").write_bytes(b""), "is no safetensors file, or cut off in its header"),
    (lambda at: (at / "model-00002-of-00002.safetensors").unlink(), "names model-00002-of-00002.safetensors, which is not there"),
    (lambda at: (at / "model.safetensors.index.json").write_text("[1]"), "model.safetensors.index.json is no index of shards"),
    (lambda at: save_file({"layer1.a": np.ones(1)}, at / "model-00001-of-00002.safetensors"), "lacks layer1.b, which model.safetensors"),
    (lambda at: (at / "q4.gguf").write_bytes(b"version https://git-lfs"), "q4.gguf is no GGUF file: it does not begin with GGUF"),
])  # fmt: skip
def test_what_is_not_whole_is_said(model: Path, change: Callable[[Path], Any], says: str) -> None:
    change(model)
    assert says in fault(model)


def test_a_header_that_would_be_endless_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes((2**63).to_bytes(8, "little") + b"{}")
    assert "is no safetensors file" in fault(file)
    file.write_bytes((12).to_bytes(8, "little") + b'{"a": [[[[[]')
    assert "is no safetensors file" in fault(file)


def test_a_model_that_is_cut_off_is_named_by_its_key(project: Path, document: dict[str, Any]) -> None:
    cut(project / "models/mine/model.safetensors", 1000)
    (finding,) = [finding for finding in outside.files(parse(document)) if finding.key == "adoption.base"]
    assert (finding.state, finding.remedy) == ("wrong", "fetch it again")
    assert finding.said == "models/mine: model.safetensors is cut off: it has 1,000 bytes, its header says 2,000"


def gguf_model(file: Path, *, tied: bool = False) -> Path:
    """Written by the format's own package: a model of two layers, words of a tokenizer, weights in Q4_1 and float32."""
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(2)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<|im_start|>", "ä", "b" * 300])
    writer.add_token_scores([0.1, 0.2, 0.3])
    kind = gguf.GGMLQuantizationType.Q4_1
    for name in ("token_embd.weight", *(() if tied else ("output.weight",))):
        writer.add_tensor(name, gguf.quants.quantize(np.ones((96, 64), dtype=np.float32), kind), raw_dtype=kind)
    writer.add_tensor("output_norm.weight", np.ones(63, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def test_the_head_of_a_gguf_file_tells_sizes_and_where_it_ends(tmp_path: Path) -> None:
    file = gguf_model(tmp_path / "q4.gguf")
    head = gguf_file.read(file)
    assert head.tensors == {"token_embd.weight": (64, 96), "output.weight": (64, 96), "output_norm.weight": (63,)}
    assert Shape.of(head.config) == Shape(64, 2, 96, 96, 4, 2, 16, tied=False)
    assert Shape.of(gguf_file.read(gguf_model(tmp_path / "tied.gguf", tied=True)).config).tied
    assert fault(file) == ""
    whole = file.stat().st_size
    assert whole - 31 <= head.size <= whole, "but for what fills up the last tensor"


@pytest.mark.parametrize("kept", [4, 20, 60, 200, 600, -20, -200, -3000])
def test_a_gguf_file_that_ends_anywhere_is_said_to_be_cut_off(tmp_path: Path, kept: int) -> None:
    file = gguf_model(tmp_path / "q4.gguf")
    file.write_bytes(file.read_bytes()[:kept])
    assert fault(file).startswith("q4.gguf is cut off")


def test_a_gguf_file_of_endless_counts_is_no_endless_loop(tmp_path: Path) -> None:
    file = tmp_path / "q4.gguf"
    for counts in ((0, 2**63), (2**63, 0), (2**40, 2**40)):
        file.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + b"".join(count.to_bytes(8, "little") for count in counts) + bytes(500))
        assert "cut off in its header" in fault(file)


def test_a_gguf_file_to_adopt_is_looked_at(project: Path, document: dict[str, Any]) -> None:
    document["adoption"]["base"] = "models/q4.gguf"
    file = gguf_model(project / "models/q4.gguf")
    for content, state in ((file.read_bytes(), "ok"), (file.read_bytes()[:-1000], "wrong"), (b"<!DOCTYPE html>", "wrong")):
        file.write_bytes(content)
        (finding,) = [finding for finding in outside.files(parse(document)) if finding.key == "adoption.base"]
        assert finding.state == state
