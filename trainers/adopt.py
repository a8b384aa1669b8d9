"""A model from the Hub at a pinned revision, from a local folder or a GGUF file, made into the base of a line.

    adopt("Qwen/Qwen2.5-0.5B-Instruct@7ae557604adf67be50417f59c2c2f167def9a775", ACTIONS.values(), sampling=Sampler, target=…)
    base: the end is <|im_end|> alone; <|endoftext|> ended texts too, and no longer does

Whatever a model brings, what is saved has a chat template (its own, or the laptop's, to which a conversation is plain text); one end of
sequence, the token that the template writes behind an answer, so that training, sampling and PPO mean the same; a padding token of its
own, since an outcome reward model looks for the last token that is none; the meta-action tokens, each starting from the mean of the
embeddings (Satori §3.2 adds three tokens and does not say how; the mean keeps the first logits ordinary); and no sampling values. A model
with which a later stage could not work is refused here.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from factory.errors import DataError
from factory.language.tokens import plain_sequence_ids, turn_end
from trainers import origin, run, trial
from trainers.tokenizer import CHAT_TEMPLATE

PAD = "<|pad|>"
PART = 8192  # embeddings that are summed at once, in double precision


def adopt(hub_id: str, meta_tokens: Iterable[str], *, sampling: trial.Sampling, target: Path) -> None:
    """Read, prepare, try and save. `sampling` makes the line's sampler from a model and its tokenizer. Raises DataError with one line that
    names `hub_id` for what cannot be read or used."""
    run.quiet()
    model, tokenizer = origin.read(hub_id, sampling)
    one_end(hub_id, model, tokenizer)
    add_tokens(model, tokenizer, meta_tokens)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    trial.check(model, tokenizer, sampling, hub_id)
    run.save_model(model, tokenizer, target)


def one_end(hub_id: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the end of a turn the tokenizer's and the model's only one, and say which others there were. Raises DataError when there is
    none."""
    declared = _declared(model, tokenizer)
    if tokenizer.eos_token is None and declared:
        tokenizer.eos_token = declared[0]
    elif tokenizer.eos_token is not None:
        declared.append(tokenizer.eos_token)
    give_template(hub_id, tokenizer)
    try:
        tokenizer.eos_token = str(tokenizer.convert_ids_to_tokens(turn_end(tokenizer)))
    except DataError:
        raise DataError(
            f"{hub_id} has no end of sequence: neither its tokenizer, its chat template nor its configs name a token of the vocabulary; "
            "copy it to a folder, set eos_token in tokenizer_config.json there and name that folder"
        ) from None
    if dropped := [token for token in dict.fromkeys(declared) if token != tokenizer.eos_token]:
        print(f"base: the end is {tokenizer.eos_token} alone; {', '.join(dropped)} ended texts too, and no longer does", flush=True)
    model.config.eos_token_id = tokenizer.eos_token_id


def _declared(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The tokens that generation config and config call ends, in their order."""
    names, found = {token_id: token for token, token_id in tokenizer.get_vocab().items()}, []
    for config in (model.generation_config, model.config):
        ends = getattr(config, "eos_token_id", None)
        found += [names[end] for end in (ends if isinstance(ends, list) else [ends]) if isinstance(end, int) and end in names]
    return list(dict.fromkeys(found))


def give_template(hub_id: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """To a tokenizer without a chat template the laptop's, behind what it puts before every text (BOS), and say so."""
    try:
        ((lead, _),) = plain_sequence_ids(tokenizer, [""], [""])
    except DataError as error:
        raise DataError(f"{hub_id}: {error}") from None
    if tokenizer.chat_template is not None:
        return
    begin = "".join(tokenizer.convert_ids_to_tokens(lead))
    tokenizer.chat_template = ("{{ bos_token }}" if begin == tokenizer.bos_token else begin) + CHAT_TEMPLATE
    print(f"base: {hub_id} has no chat template; it gets the plain one: what is said, one after the other", flush=True)


def add_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, meta_tokens: Iterable[str]) -> None:
    """The meta-action tokens and a padding token that is neither end, beginning nor unknown; their embeddings are the mean."""
    embedded = len(run.weight_of(model.get_input_embeddings()))
    known = [token_id for token_id in tokenizer.get_vocab().values() if token_id < embedded]
    missing = [token for token in meta_tokens if token not in tokenizer.get_vocab() or len(tokenizer.tokenize(token)) != 1]
    tokenizer.add_special_tokens({"extra_special_tokens": missing}, replace_extra_special_tokens=False)
    if tokenizer.pad_token is None or tokenizer.pad_token in (tokenizer.eos_token, tokenizer.bos_token, tokenizer.unk_token):
        tokenizer.add_special_tokens({"pad_token": PAD})
    _embed(model, sorted(set(tokenizer.get_vocab().values()) - set(known)), known)
    model.config.pad_token_id, model.config.bos_token_id = tokenizer.pad_token_id, tokenizer.bos_token_id


def _embed(model: PreTrainedModel, added: list[int], known: list[int]) -> None:
    """Rows for the added ids: the mean of the known ones. Embedding matrices are often padded beyond the vocabulary: never shrunk."""
    if added and added[-1] >= len(run.weight_of(model.get_input_embeddings())):
        model.resize_token_embeddings(added[-1] + 1, mean_resizing=False)
    with torch.no_grad():
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            for weight in (run.weight_of(layer), getattr(layer, "bias", None)):  # (vocabulary, hidden), (vocabulary,)
                if weight is not None:
                    parts = (weight[known[begin : begin + PART]].double().sum(dim=0) for begin in range(0, len(known), PART))
                    weight[added] = (torch.stack(list(parts)).sum(dim=0) / len(known)).to(weight.dtype)  # the same bits in every run
