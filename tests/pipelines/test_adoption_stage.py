"""The stage with a model that somebody brings: adopted whole, or refused before anything is written."""

from pathlib import Path

import pytest
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from factory import params, storage
from factory.errors import DataError
from pipelines import adoption
from trainers import run, tokenizer

ROOT = Path(__file__).parents[2]


def line(hub_id: str) -> params.Params:
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    document |= {"pretraining": {}, "adoption": {"base": hub_id}}
    del document["datasets"]["corpus"]
    return params.parse(document)


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    words = tokenizer.build([run.PROBE.replace("<|reflect|>", "")], [], 128)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(**shape, max_position_embeddings=128, vocab_size=len(words), eos_token_id=[1, 0]))
    model.save_pretrained("mine")
    words.save_pretrained("mine")
    return Path("mine")


def test_a_model_from_a_folder_becomes_the_base(brought: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adoption.main(line("mine"), "base")
    model, words = run.load(storage.MODELS / "base")
    assert model.generation_config.eos_token_id == words.eos_token_id == 1
    assert len(words("<|continue|><|reflect|><|explore|>")["input_ids"]) == 3
    assert "base: the end is <eos> alone; <pad> ended texts too" in capsys.readouterr().out


def test_a_model_that_cannot_be_used_leaves_nothing(brought: Path) -> None:
    (brought / "model.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match=r"^mine cannot be loaded"):
        adoption.main(line("mine"), "base")
    assert not Path("data").exists()
