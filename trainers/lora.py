"""Low-rank adapters (Hu et al. 2021) for every trainer; what is saved is always a plain model.

    model = lora.adapt(model, Lora(rank=16, alpha=32.0, tokens=("<|continue|>", "<|reflect|>", "<|explore|>")), tokenizer)
    …
    plain = lora.merged(model)      → the model without adapters, W + (alpha / rank) B A in every linear layer

Adapters sit on all linear layers but the output layer. The rows of the tokens that the method added, in the embedding and the output
layer, are trained whole: they hold nothing yet that a low-rank change could start from. Adapters and these rows are float32, whatever
the precision of the frozen weights.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import layer as lora_layers
from peft.utils.other import TrainableTokensWrapper
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from factory.errors import ParamsError
from factory.identity import seed_for
from trainers import machine, run, shards
from trainers.checkpoints import weights_in
from trainers.machine import Machine

DEFAULT = "default"  # the adapter of what is trained and saved
ADAPTER = "adapter"  # the folder in a reward model's that keeps them


@dataclass(frozen=True)
class Lora:
    rank: int
    alpha: int  # the change is alpha / rank · B A
    tokens: tuple[str, ...] = ()  # of the vocabulary, whose rows are trained whole


def adapt(model: PreTrainedModel, lora: Lora, tokenizer: PreTrainedTokenizerBase, name: str = DEFAULT) -> PeftModel:
    """The model under fresh adapters, which change nothing yet. A model with a scalar head trains the head whole."""
    if lora.rank > (most := model.config.get_text_config().hidden_size):
        raise ParamsError(
            f"lora.rank is {lora.rank}, expected at most {most}, the width of {model.config.model_type}: adapters are to be small"
        )
    classifies = hasattr(model, "score")
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=0.0, target_modules="all-linear",
        task_type=TaskType.SEQ_CLS if classifies else TaskType.CAUSAL_LM, modules_to_save=["score"] if classifies else None,
        exclude_modules=["score"] if classifies else None, trainable_token_indices=_rows(model, lora, tokenizer),
    )  # fmt: skip
    with warnings.catch_warnings(), torch.random.fork_rng():
        torch.manual_seed(seed_for("lora", lora.rank, name) % 2**63)  # of A; B begins at 0
        warnings.simplefilter("ignore")  # of tied weights, which trainable_token_indices handles
        adapted = get_peft_model(model, config, adapter_name=name)
    head = model.get_output_embeddings()
    if head is not None and not hasattr(head, "bias"):  # peft's wrapper of trained rows hides it, and TRL asks for it
        object.__setattr__(head, "bias", getattr(head.original_module, "bias", None))
    return adapted


def _rows(model: PreTrainedModel, lora: Lora, tokenizer: PreTrainedTokenizerBase) -> dict[str, list[int]] | None:
    """Layer → rows of the added tokens; of tied layers the embedding's stand for both."""
    vocabulary = tokenizer.get_vocab()
    ids = sorted(vocabulary[token] for token in lora.tokens if token in vocabulary)
    if not ids:
        return None
    names = {id(layer): name.rpartition(".")[2] for name, layer in model.named_modules()}
    rows = {names[id(model.get_input_embeddings())]: ids}
    head = model.get_output_embeddings()
    if head is not None and not model.config.get_text_config().tie_word_embeddings:
        rows[names[id(head)]] = ids
    return rows


def merged(model: PreTrainedModel | PeftModel, build: Callable[[], PreTrainedModel]) -> PreTrainedModel:
    """The plain float32 model with the change of the adapters in its weights; a model without adapters as it is. Where the frozen weights
    were rounded to bfloat16 to train, the change goes onto the weights as they were, from `build`. The adapters are gone afterwards."""
    if not isinstance(model, PeftModel):
        return model
    if DEFAULT in model.peft_config:
        model.set_adapter(DEFAULT)  # of several the actor's, whoever was read last
    if any(parameter.dtype != torch.float32 for parameter in model.parameters()):
        model = _onto(build(), model, _changes(model))
    return cast(PreTrainedModel, model.merge_and_unload())


def collected(model: PreTrainedModel | PeftModel, build: Callable[[], PreTrainedModel], settings: Machine) -> PreTrainedModel | PeftModel:
    """In the first process, the model that it can save by itself, its adapters in place: spread weights are gathered, of a model under
    adapters these alone, onto one of `build`. To be called in all processes at once."""
    if not (isinstance(model, PeftModel) and shards.wanted(settings)):
        return shards.collected(model, build, settings)
    changes = {name: shards.full(weight).cpu() for name, weight in _changes(model).items()}
    return _onto(build(), model, changes) if machine.rank() == 0 else model


def _changes(model: PeftModel) -> dict[str, torch.Tensor]:
    return cast(dict[str, torch.Tensor], get_peft_model_state_dict(model, save_embedding_layers=False))


def _onto(whole: PreTrainedModel, model: PeftModel, changes: dict[str, torch.Tensor]) -> PeftModel:
    """A fresh plain model under the adapters of `model`, with its config, which may hold more by now: a reward model's statistics."""
    whole.config = plain(model).config
    kept = DEFAULT if DEFAULT in model.peft_config else model.active_adapter
    adapted = cast(PeftModel, get_peft_model(whole, model.peft_config[kept]))
    set_peft_model_state_dict(adapted, changes)
    return adapted


def plain(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """The transformers model inside, its adapters in place."""
    return cast(PreTrainedModel, model.get_base_model()) if isinstance(model, PeftModel) else model


def weights(model: PreTrainedModel | PeftModel) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights of the plain model that computes the same, under its own names, one after the other: for another program that samples."""
    merged = set[str]()
    for name, module in plain(model).named_modules():
        if any(name.startswith(f"{done}.") for done in merged):
            continue
        if isinstance(module, lora_layers.Linear | TrainableTokensWrapper):
            merged.add(name)
            rows = isinstance(module, TrainableTokensWrapper)
            weight, bias = shards.full(module.weight), getattr(module.original_module if rows else module, "bias", None)
            for adapter in () if rows else module.active_adapters:
                weight = weight + module.get_delta_weight(adapter).to(weight.dtype)
            yield f"{name}.weight", weight
            if bias is not None:
                yield f"{name}.bias", bias
        else:
            yield from ((f"{name}.{own}" if name else own, parameter) for own, parameter in module.named_parameters(recurse=False))


def keep(model: PreTrainedModel | PeftModel, folder: Path, start: Path) -> Path | None:
    """Write the adapters, if there are any, with a text that names the weights they belong on; returns where."""
    if not isinstance(model, PeftModel):
        return None
    model.save_pretrained(str(folder / ADAPTER), save_embedding_layers=False)
    (folder / ADAPTER / "start").write_text(weights_in(start))
    return folder / ADAPTER


def add(model: PeftModel, folder: Path, weights: dict[str, torch.Tensor], name: str) -> None:
    """Put kept adapters on a backbone that has others already, ready to train; which is active stays as it is."""
    config, before = LoraConfig.from_pretrained(str(folder)), model.active_adapter
    config.modules_to_save, config.exclude_modules, config.task_type, config.inference_mode = None, None, TaskType.CAUSAL_LM, False
    config.trainable_token_indices = cast(LoraConfig, model.peft_config[before]).trainable_token_indices  # an output layer's too
    model.add_adapter(name, config)
    fresh = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    set_peft_model_state_dict(model, {**fresh, **weights}, adapter_name=name)
    model.set_adapter(before)
    model.set_requires_grad(name)  # peft lets only the active one train


@contextmanager
def active(model: PreTrainedModel | PeftModel, adapter: str | None) -> Iterator[None]:
    """Inside the block the model computes with one of its adapters, or with none; which parameters train stays as it is."""
    if not isinstance(model, PeftModel):
        yield
        return
    if adapter is None:
        with _flags_kept(model), model.disable_adapter():
            yield
        return
    if model.active_adapter != adapter:
        with _flags_kept(model):
            model.set_adapter(adapter)
    yield


@contextmanager
def _flags_kept(model: PeftModel) -> Iterator[None]:
    """peft lets only the adapter train that was made active last."""
    trains = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    yield
    for parameter, flag in trains:
        parameter.requires_grad_(flag)


def frozen_in(model: torch.nn.Module, dtype: torch.dtype) -> None:
    """Bring what does not train into a precision of its own."""
    for parameter in model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)


def load(folder: Path, lora: Lora | None, settings: Machine) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase]:
    """The causal model in `folder`, ready to train. Raises DataError as `run.load`."""
    model, tokenizer = run.load(folder)
    return ready(model, lora, tokenizer, settings), tokenizer


def ready(
    model: PreTrainedModel, lora: Lora | None, tokenizer: PreTrainedTokenizerBase, settings: Machine, name: str = DEFAULT
) -> PreTrainedModel | PeftModel:
    """The model as it trains: whole, in float32; or frozen under adapters, in the precision of its matrix products."""
    if lora is None:
        return model
    adapted = adapt(model, lora, tokenizer, name)
    if settings.bf16(model):
        frozen_in(adapted, torch.bfloat16)
    return adapted
