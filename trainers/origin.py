"""Reading a model that somebody else made: from the Hub at a pinned revision, from a local folder, or from a GGUF file.

    model, tokenizer = read("Qwen/Qwen2.5-0.5B@060db6499f32faf8b98477b0a26969ef7d8b9987", Sampler)
    model, tokenizer = read("models/SmolLM2-135M-Instruct.Q4_1.gguf", Sampler)      # dequantised, once and for all

Config and tokenizer come first: what they show to be unusable is refused before the weights are downloaded. Code that a model brings is
never run.
"""

import contextlib
import io
import re
import struct
import sys
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from huggingface_hub import list_repo_files
from huggingface_hub.errors import HFValidationError, StrictDataclassError
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import cached_file

from factory.errors import DataError, EngineError
from factory.params.names import is_gguf, on_hub
from trainers import run, trial

UNREADABLE = (  # what reading files and building classes of others raises
    OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, RuntimeError, ImportError, SafetensorError,
    StrictDataclassError, UnpicklingError, EOFError, struct.error, OverflowError,
)  # fmt: skip
REMEDIES = {  # words of the Hub's client → what to do
    "gated|restricted": "accept its licence on its page and log in (`hf auth login`, or HF_TOKEN)",
    "valid model identifier|valid folder|Repository Not Found|Repo id": "check its name in adoption; a private one needs `hf auth login`",
    "valid git identifier|Revision Not Found": "check its commit in adoption",
    "connect|offline|network|resolve|Max retries|timed out": "check network, proxies and HF_ENDPOINT, or download it and name its folder",
    "trust_remote_code|custom code": "it needs code of its own, which is never run: choose a model that transformers knows by itself",
}


def read(source: str, sampling: trial.Sampling) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal model in its checkpoint's type (a GGUF file's in float32) and its tokenizer. Raises DataError with one line for what cannot
    be used."""
    hub_id, file, revision = parts(source)
    name = f"{hub_id}/{file}" if file else hub_id
    _refuse_path(hub_id, file, revision)
    origin = {"revision": revision or "main", "trust_remote_code": False} | ({"gguf_file": file} if file else {})
    config = _load(AutoConfig.from_pretrained, hub_id, name, origin)
    if (pad := getattr(config, "pad_token_id", None)) is not None and not 0 <= pad < getattr(config, "vocab_size", pad + 1):
        config.pad_token_id = None  # common, and no embedding can be built with it
    skeleton = _skeleton(name, config)
    tokenizer = _load(AutoTokenizer.from_pretrained, hub_id, name, origin)
    try:
        sampling(skeleton, tokenizer)
    except EngineError as error:
        raise DataError(f"{name}: {error}") from None
    if reason := trial.reward_head(skeleton) or _tokenizer(hub_id, revision, tokenizer, bool(file)):
        raise DataError(f"{name}: {reason}")
    settings = {
        **origin,
        "config": config,
        "dtype": "auto",
        "attn_implementation": "sdpa",
        "output_loading_info": True,
    }  # as the engine runs it
    model, loading = _load(AutoModelForCausalLM.from_pretrained, hub_id, name, settings)
    if missing := sorted(loading["missing_keys"]):
        raise DataError(f"{name} lacks {len(missing)} weights ({', '.join(missing[:2])}, …): download it again, or choose a whole model")
    if unused := sorted(loading["unexpected_keys"]):
        print(f"{name}: {len(unused)} of its weights are not used by {type(model).__name__} ({', '.join(unused[:2])}, …)", flush=True)
    return _plain(model) if file else model, tokenizer


def parts(model: str) -> tuple[str, str | None, str | None]:
    """(folder or Hub id, GGUF file in it, revision) of a name.

    >>> parts("org/name/q4.gguf@4f1c2ab"), parts("models/q4.gguf"), parts("models/mine")
    (('org/name', 'q4.gguf', '4f1c2ab'), ('models', 'q4.gguf', None), ('models/mine', None, None))
    """
    if hub := on_hub(model):
        return hub.repository, hub.file, hub.revision
    path = Path(model)
    return (str(path.parent), path.name, None) if is_gguf(model) else (model, None, None)


def _plain(model: PreTrainedModel) -> PreTrainedModel:
    """The same weights in a model that does not say that they are quantised: transformers trains and saves no other."""
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    plain = type(model)(model.config)
    plain.load_state_dict(model.state_dict())
    return plain.eval()


def _refuse_path(hub_id: str, gguf: str | None, revision: str | None) -> None:
    path = Path(hub_id)
    if gguf:
        if revision is None and not (path / gguf).is_file():
            raise DataError(f"{path / gguf} is no file here: check adoption.base")
    elif path.is_file():
        raise DataError(f"{hub_id} is a file, expected a model's folder, a GGUF file or a Hub id: adoption.base")
    elif path.is_dir():
        names = [file.name for file in path.iterdir()]
        if reason := _other(names) or ("" if "config.json" in names else "holds no model (config.json is missing)"):
            raise DataError(f"{hub_id} {reason}")
    elif hub_id.count("/") > 1 or hub_id.startswith((".", "~", "/")):
        raise DataError(f"{hub_id} is no folder here, and no Hub id (org/name): check adoption.base")
    elif revision is None:
        raise DataError(f"{hub_id} has no commit: pin it, {hub_id}@<commit>, or its weights may change between runs")


def _other(names: list[str]) -> str | None:
    """What files without a config or weights of transformers are."""
    if "config.json" not in names and any(is_gguf(name) for name in names):
        return "holds GGUF files: name the one that is meant (folder/file.gguf), or better the original weights (safetensors)"
    if "adapter_config.json" in names and not any(re.match(r"(pytorch_)?model.*\.(safetensors|bin)", name) for name in names):
        return "holds a LoRA adapter, not a model: merge it into its base (peft's merge_and_unload) and name the merged folder"
    return None


def _load(from_pretrained: Any, hub_id: str, name: str, settings: dict[str, Any]) -> Any:
    shown = sys.stderr if sys.stderr.isatty() else io.StringIO()  # a bar of GGUF's, which no setting silences in a log
    try:
        with contextlib.redirect_stderr(shown if "gguf_file" in settings else sys.stderr):
            return from_pretrained(hub_id, **settings)
    except UNREADABLE as error:
        remedy = next((what for words, what in REMEDIES.items() if re.search(words, str(error), re.IGNORECASE)), None)
        if remedy is None and (other := _other(_names(hub_id, settings["revision"]))):
            raise DataError(f"{name} {other}") from None
        raise DataError(f"{name} cannot be loaded ({run.first_line(error)}): {remedy or 'check that it is a whole model'}") from None


def _names(hub_id: str, revision: str) -> list[str]:
    """The files of a repository, none where they cannot be listed."""
    try:
        return [] if Path(hub_id).is_dir() else list_repo_files(hub_id, revision=revision)
    except (OSError, HFValidationError):
        return []


def _skeleton(hub_id: str, config: PretrainedConfig) -> PreTrainedModel:
    """The model without weights. Raises DataError for one that is quantised or not causal."""
    if quantised := getattr(config, "quantization_config", None):
        method = quantised.get("quant_method") if isinstance(quantised, dict) else getattr(quantised, "quant_method", None)
        raise DataError(f"{hub_id} is quantised ({method or 'of unknown kind'}) and cannot be trained: name the original weights")
    declared = (getattr(config, "architectures", None) or [""])[0]
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except UNREADABLE as error:
        if not str(error).startswith("Unrecognized configuration class"):
            raise DataError(
                f"{hub_id}: its config.json does not make a model ({run.first_line(error)}): check that it is a whole model"
            ) from None
        raise DataError(f"{hub_id}: transformers has no causal language model of type {config.model_type}: {trial.CHOOSE}") from None
    if re.search(r"For(?!CausalLM)\w+$", declared) and declared != type(model).__name__:
        raise DataError(f"{hub_id} is a {declared}, expected a causal language model: name the model that it was made from")
    return model


def _tokenizer(hub_id: str, revision: str | None, tokenizer: PreTrainedTokenizerBase, made: bool) -> str | None:
    """`made`: out of a GGUF file, which has no tokenizer.json to compare with."""
    if not tokenizer.is_fast:
        return f"{type(tokenizer).__name__} gives no character offsets, which masks need: choose a model with a tokenizer.json"
    file = None if made else cached_file(hub_id, "tokenizer.json", revision=revision or "main", _raise_exceptions_for_missing_entries=False)
    ids = tokenizer(run.PROBE, add_special_tokens=False)["input_ids"]
    if file:
        own = Tokenizer.from_file(file)
        own.no_padding()  # what a training left in the file; nobody pads or cuts by it
        own.no_truncation()
        if own.encode(run.PROBE, add_special_tokens=False).ids != ids:
            return f"its tokenizer.json is read as {type(tokenizer).__name__}, which gives other ids: {trial.CHOOSE}"
    return None
