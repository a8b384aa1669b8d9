"""What is named as adoption.base and is no model to build on: one line with the cause and what to do, from folders and from the Hub."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaForSequenceClassification
from zoo import byte_tokenizer, config_of, put

from factory.coat import grammar
from factory.engines.sampler import Sampler
from factory.errors import DataError
from trainers import adopt

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def take(hub_id: str = "hub", revision: str | None = None) -> None:
    adopt.adopt(f"{hub_id}@{revision}" if revision else hub_id, grammar.ACTIONS.values(), sampling=Sampler, target=Path("base"))


def refused(hub_id: str = "hub", revision: str | None = None) -> str:
    with pytest.raises(DataError) as caught:
        take(hub_id, revision)
    assert "\n" not in str(caught.value)
    assert not Path("base").exists()
    return str(caught.value)


def change_config(**values: Any) -> None:
    path = Path("hub/config.json")
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "holds no model (config.json is missing)"),
        (["notes.txt"], "holds no model (config.json is missing)"),
        (["model.Q4_K_M.gguf", "README.md"], "holds GGUF files: name the one that is meant (folder/file.gguf)"),
        (
            ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json"],
            "holds a LoRA adapter, not a model: merge it into its base",
        ),
        (["config.json", "adapter_config.json"], "holds a LoRA adapter"),
    ],
)
def test_a_folder_that_is_no_model_says_what_it_is(names: list[str], said: str) -> None:
    Path("hub").mkdir()
    for name in names:
        (Path("hub") / name).write_text("{}")
    assert refused().startswith(f"hub {said}")


def test_a_name_that_is_neither_folder_nor_hub_id() -> None:
    Path("model.bin").write_text("", encoding="utf-8")
    assert "is a file, expected a model's folder" in refused("model.bin")
    assert refused("models/x.gguf") == "models/x.gguf is no file here: check adoption.base"
    for path in ("./models/mine", "/models/mine", "~/mine", "data/models/mine"):
        assert refused(path) == f"{path} is no folder here, and no Hub id (org/name): check adoption.base"
    assert "pin it, org/name@<commit>" in refused("org/name")


@pytest.mark.parametrize("broken", ["{", '{"model_type": "llama", "num_attention_heads": "many"}', '{"model_type": "unheard_of"}', "[]"])
def test_a_broken_config_is_one_line(broken: str) -> None:
    put(Path("hub"), "llama")
    Path("hub/config.json").write_text(broken, encoding="utf-8")
    assert refused().startswith("hub cannot be loaded (")


@pytest.mark.parametrize(
    "content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", b"<!doctype html>", b"\x80\x04", None]
)
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "tokenizer.json"])
def test_a_torn_download_is_one_line(name: str, content: bytes | None) -> None:
    put(Path("hub"), "llama")
    file = Path("hub", name)
    whole = file.read_bytes() if file.exists() else b""
    if name == "pytorch_model.bin":
        Path("hub/model.safetensors").unlink()
    file.write_bytes(whole[:-300] if content is None else content)
    assert refused().startswith("hub cannot be loaded (")


def test_a_shard_that_is_missing_is_named() -> None:
    put(Path("hub"), "llama")
    Path("hub/model.safetensors").unlink()
    weights = {"lm_head.weight": "model-00001-of-00002.safetensors"}
    Path("hub/model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weights}), encoding="utf-8")
    assert "hub/model-00001-of-00002.safetensors" in refused()


@pytest.mark.parametrize(
    "change",
    [{"num_attention_heads": 5}, {"max_position_embeddings": "4k"}, {"vocab_size": 10}, {"rope_parameters": {"rope_type": "none"}}],
)
def test_a_config_that_makes_no_model_is_one_line(change: dict[str, Any]) -> None:
    put(Path("hub"), "llama")
    change_config(**change)
    assert refused().startswith("hub")


@pytest.mark.parametrize("values", ["[]", '{"eos_token_id": [[1]]}', '{"eos_token_id": "</s>"}', "{"])
def test_a_strange_generation_config_makes_no_traceback(values: str) -> None:
    put(Path("hub"), "llama")
    Path("hub/generation_config.json").write_text(values, encoding="utf-8")
    if values == "[]":
        refused()
    else:
        take()


def test_missing_broken_and_foreign_weights() -> None:
    put(Path("hub"), "llama", tie_word_embeddings=False)
    weights = load_file("hub/model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, "hub/model.safetensors", {"format": "pt"})
    assert "hub lacks 1 weights (lm_head.weight, …)" in refused()
    Path("hub/model.safetensors").write_bytes(b"<!doctype html>")
    assert refused().startswith("hub cannot be loaded (")
    Path("hub/model.safetensors").unlink()
    assert "no file named" in refused()


def test_weights_of_another_shape_are_one_line() -> None:
    put(Path("hub"), "llama")
    change_config(hidden_size=16, head_dim=8)
    assert refused().startswith("hub cannot be loaded (")


def test_weights_that_the_model_does_not_use_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    put(Path("hub"), "llama")
    weights = load_file("hub/model.safetensors")
    save_file({**weights, "v_head.weight": weights["model.norm.weight"].clone()}, "hub/model.safetensors", {"format": "pt"})
    take()
    assert "hub: 1 of its weights are not used by LlamaForCausalLM (v_head.weight, …)" in capsys.readouterr().out


def test_a_reward_model_is_no_base() -> None:
    words = byte_tokenizer()
    LlamaForSequenceClassification(config_of("llama", len(words), num_labels=1, tie_word_embeddings=True)).save_pretrained("hub")
    words.save_pretrained("hub")
    assert refused() == "hub is a LlamaForSequenceClassification, expected a causal language model: name the model that it was made from"


@pytest.mark.parametrize(
    ("config", "method"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "awq"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
    ],
)
def test_a_quantised_checkpoint_is_refused_before_its_weights_are_read(config: dict[str, Any], method: str) -> None:
    put(Path("hub"), "llama")
    change_config(quantization_config=config)
    Path("hub/model.safetensors").unlink()
    assert refused() == f"hub is quantised ({method}) and cannot be trained: name the original weights"


def test_code_of_a_model_is_never_run() -> None:
    put(Path("hub"), "llama")
    change_config(model_type="own", auto_map={"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.OwnModel"})
    Path("hub/own.py").write_text("from pathlib import Path\nPath('ran').write_text('')\n", encoding="utf-8")
    assert "needs code of its own, which is never run: choose a model that transformers knows" in refused()
    assert not Path("ran").exists()


def test_a_tokenizer_that_reads_back_as_another_is_refused() -> None:
    """A Qwen2 config makes transformers replace any tokenizer by Qwen2's, without a word."""
    from trainers import tokenizer

    words = tokenizer.build(["Tom has 12 apples.\nSolve:\n12 + 7 = 19\nBut wait."], [], 64)
    put(Path("hub"), "qwen2", words)
    assert "tokenizer.json is read as Qwen2Tokenizer, which gives other ids" in refused()


@pytest.mark.parametrize("lossy", ["lower", "newline", "digits"])
def test_a_tokenizer_that_loses_text_is_refused(lossy: str) -> None:
    from tokenizers import Regex, normalizers

    words = byte_tokenizer()
    core = words.backend_tokenizer
    core.normalizer = {
        "lower": normalizers.Lowercase(), "newline": normalizers.Replace("\n", " "), "digits": normalizers.Replace(Regex(r"\d"), "0"),
    }[lossy]  # fmt: skip
    put(Path("hub"), "llama", words)
    assert "its tokenizer does not give a text back" in refused()


def test_no_tokenizer_is_one_line() -> None:
    put(Path("hub"), "gpt_neox")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        Path("hub", name).unlink()
    assert "hub" in refused()


SAID = {
    "gated": ("gated repo", "accept its licence on its page and log in"),
    "none": ("not a valid model identifier|not a local folder", "check its name in adoption"),
    "moved": ("valid git identifier", "check its commit in adoption"),
    "gguf": ("holds GGUF files", "or better the original weights"),
    "adapter": ("holds a LoRA adapter", "merge it into its base"),
}
CODES = {"gated": (403, "GatedRepo"), "none": (404, "RepoNotFound"), "moved": (404, "RevisionNotFound")}
FILES = {"gguf": ["README.md", "q4.gguf"], "adapter": ["adapter_config.json", "adapter_model.safetensors"]}


class Hub(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        name = self.path.split("/org/")[1].split("/")[0]
        status, code = CODES.get(name, (404, "EntryNotFound"))
        body = b""
        if self.path.startswith(f"/api/models/org/{name}/tree") and name in FILES:
            status, code = 200, ""
            body = json.dumps([{"type": "file", "path": file, "size": 1, "oid": COMMIT} for file in FILES[name]]).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", COMMIT)
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_GET = do_HEAD

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


ASK = """
import sys
import time
from pathlib import Path
from factory.engines.sampler import Sampler
from factory.errors import FactoryError
from trainers import adopt
time.sleep = lambda _: None  # between its tries the Hub's client waits half a minute
for name in sys.argv[2:]:
    try:
        adopt.adopt(f"org/{name}@{sys.argv[1]}", [], sampling=Sampler, target=Path("base"))
    except FactoryError as error:
        print(error)
"""


def ask(endpoint: str, *names: str) -> list[str]:
    """The client reads its endpoint when it is imported: hence another process."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(Path("hf").absolute()), "PYTHONPATH": str(ROOT)}
    for key in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "http_proxy", "HTTP_PROXY"):
        environment.pop(key, None)
    answer = subprocess.run(
        [sys.executable, "-c", ASK, COMMIT, *names], env=environment, capture_output=True, text=True, check=False, timeout=500
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    return answer.stdout.splitlines()


@pytest.mark.slow
def test_what_the_hub_does_not_give_is_one_line_with_what_to_do(hub: str) -> None:
    import re

    lines = ask(hub, *SAID)
    assert len(lines) == len(SAID), lines
    for name, line in zip(SAID, lines, strict=True):
        cause, remedy = SAID[name]
        assert line.startswith(f"org/{name} ")
        assert re.search(cause, line), line
        assert remedy in line


@pytest.mark.slow
def test_no_network_is_one_line() -> None:
    (line,) = ask("http://127.0.0.1:9", "name")
    assert line.startswith("org/name cannot be loaded (")
    assert "check network, proxies and HF_ENDPOINT, or download it and name its folder" in line


def test_a_folder_of_the_tests_is_adopted() -> None:
    put(Path("hub"), "llama")
    take()
    assert AutoTokenizer.from_pretrained("base").convert_tokens_to_ids("<|reflect|>") is not None
