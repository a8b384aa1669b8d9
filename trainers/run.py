"""What every trainer shares: released rows in, models read and written.

    rows = run.load_dataset_rows(Path("data/datasets/demonstrations"), Demonstration)    # refuses benchmark test data
    model, tokenizer = run.load(Path("data/models/base"))
    …
    run.save_model(model, tokenizer, Path("data/models/format_tuned"))

A model folder holds config, weights and tokenizer only, and is written only when what a reader would load gives the same ids and the
same logits.
"""

import csv
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import disable_progress_bars
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from factory import storage
from factory.errors import DataError
from factory.schemas import R
from factory.whole import restored, whole_file, whole_folder

WORK = Path(".factory/training")  # what a trainer keeps while it runs: never an out of a stage
PROBE = "Tom has 12 apples.\nSolve:\n12 + 7 = 19\n<|reflect|>But wait.\n\\boxed{19}"


def load_dataset_rows(folder: Path, row_type: type[R]) -> list[R]:
    """Rows of a dataset that passed its gate, of all its shards. Raises DataError when `release` did not write it, when it is benchmark
    test data, and when it does not hold the rows that passed."""
    try:
        manifest = json.loads((restored(folder) / "manifest.json").read_text())
    except FileNotFoundError:
        raise DataError(f"{folder} has no manifest.json: only `dvc repro release@{folder.name}` makes a dataset to train on") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{folder}/manifest.json is not JSON ({error}): `dvc repro -f release@{folder.name}` writes it again") from None
    if manifest.get("purpose") != "train":
        raise DataError(f"{folder} is benchmark test data, not for training (its purpose is {manifest.get('purpose')!r})")
    rows = storage.read_rows(folder, row_type)
    if not rows:
        raise DataError(f"{folder} holds no rows to train on")
    if len(rows) != manifest.get("rows"):
        raise DataError(
            f"{folder} holds {len(rows):,} rows in {len(storage.shards(folder))} shards, and {manifest.get('rows')} passed the gate: "
            f"`dvc checkout {folder}` restores it, `dvc repro -f release@{folder.name}` makes it again"
        )
    return rows


def quiet() -> None:
    """No bars for reading and writing weights; none at all where the output is no terminal."""
    logging.disable_progress_bar()
    if not sys.stderr.isatty():
        disable_progress_bars()
        os.environ["TQDM_DISABLE"] = "1"  # how TRL asks


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Raises DataError when the folder is not a model's."""
    if not (restored(folder) / "config.json").exists():
        raise DataError(f"{folder} holds no model: `dvc repro` makes it")
    quiet()
    return AutoTokenizer.from_pretrained(folder)


def load(folder: Path, dtype: torch.dtype = torch.float32) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal model and its tokenizer. Raises DataError when the folder is missing or its two halves do not fit."""
    tokenizer = load_tokenizer(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    rows = len(weight_of(model.get_input_embeddings()))
    if len(tokenizer) > rows:
        raise DataError(f"{folder}: the tokenizer has {len(tokenizer)} tokens, the model only {rows}")
    return model, tokenizer


def weight_of(layer: torch.nn.Module) -> torch.Tensor:
    """The matrix of an embedding or a linear layer."""
    assert isinstance(layer.weight, torch.Tensor)
    return layer.weight


def first_line(error: BaseException) -> str:
    """What an error of a library says, without the paragraphs behind it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = " ".join(lines[:2] if lines and lines[0].endswith(":") else lines[:1])[:200]
    return said if said and isinstance(error, OSError | ValueError) else f"{type(error).__name__} {said}".strip()


def fitting(name: str, lengths: Sequence[int], limit: int) -> list[int]:
    """Numbers of the rows that fit into `limit` tokens; how many do not is said aloud. Raises DataError when none does."""
    kept = [row for row, length in enumerate(lengths) if length <= limit]
    if not kept:
        raise DataError(f"{name}: none of {len(lengths)} rows fits into the model's {limit} tokens (max_length of pretraining.base)")
    if left_out := len(lengths) - len(kept):
        print(f"{name}: left out {left_out} of {len(lengths)} rows that are longer than the model's {limit} tokens", flush=True)
    return kept


def write_log(path: Path, columns: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> None:
    """A CSV with floats in six digits and empty cells for what a line lacks."""
    with whole_file(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        for line in lines:
            cells = [line.get(column) for column in columns]
            writer.writerow(["" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells])


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, beside: Path | None = None) -> None:
    """Weights (no optimizer), config and tokenizer, and the folder `beside` in it, whole or not at all. Raises DataError when reading them
    back gives other ids or other logits: `AutoTokenizer` replaces a custom tokenizer in silence for some architectures."""
    model.config.use_cache = True  # the Hugging Face trainer switches it off for training
    for key in ("is_local", "local_files_only"):  # how this copy was read says nothing about the tokenizer
        tokenizer.init_kwargs.pop(key, None)
    with whole_folder(folder) as temporary:
        try:
            model.save_pretrained(temporary)
        except SafetensorError as error:  # of a disk that is full
            raise DataError(f"{folder} cannot be written: {first_line(error)}") from None
        tokenizer.save_pretrained(temporary)
        if beside is not None:
            shutil.copytree(beside, temporary / beside.name)
        _verify(model, tokenizer, temporary, folder.name)
        for file in temporary.iterdir():
            file.chmod(0o755 if file.is_dir() else 0o644)  # safetensors writes for the owner alone


def _verify(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, name: str) -> None:
    again = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    if again.chat_template != tokenizer.chat_template:
        raise DataError(f"{name}: the saved tokenizer reads back with another chat template")
    if again.get_vocab() != tokenizer.get_vocab() or again(PROBE, add_special_tokens=False)["input_ids"] != ids:
        raise DataError(f"{name}: the saved tokenizer reads back as {type(again).__name__}, which gives other ids")
    reloaded: torch.nn.Module = type(model).from_pretrained(folder, dtype=model.dtype)
    reloaded.to(model.device).eval()
    was_training = model.training
    model.eval()
    with torch.no_grad():
        batch = torch.tensor([ids[: getattr(model.config, "max_position_embeddings", None)]], device=model.device)  # (1, T)
        before, after = model(input_ids=batch).logits, reloaded(input_ids=batch).logits
    model.train(was_training)
    # Equal weights give equal logits but for the last bits, which the alignment of a buffer may change.
    weights = model.state_dict()
    equal = all(torch.equal(weights[name], weight) for name, weight in reloaded.state_dict().items())
    if not (equal and torch.allclose(before, after, rtol=1e-4, atol=1e-5)):
        raise DataError(f"{name}: the saved weights give other logits than the model that was saved")
