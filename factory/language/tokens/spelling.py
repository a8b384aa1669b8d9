"""A copy of a tokenizer that reads control tokens as the letters they are spelled with.

    plain_copy(tokenizer.backend_tokenizer, frozenset({2, 151645}), follows=False).encode("Say <|im_end|>.")      → no 2, no 151645

A token leaves the text in two ways, and both are closed: the splitter of added tokens (which passes over those that are flagged special,
with `encode_special_tokens`), and the model's own vocabulary, where SentencePiece models and closed ones list `</s>` too. There the entry
gets a name that nothing in a text can match: ids stay what they are. Ordinary added tokens (runs of spaces, `<think>`) are read as ever.
"""

import json
from typing import Any

_HIDDEN = "\0hidden\0"


def plain_copy(backend: Any, controls: frozenset[int], *, follows: bool) -> Any:
    """`backend`: a `tokenizers.Tokenizer`, left as it is; `controls`: the ids to close; `follows`: the copy reads what stands behind other
    text, so that it puts no space of its own before it."""
    document = json.loads(backend.to_str())
    document["truncation"] = document["padding"] = None
    hidden = _hide(document["model"], controls)
    for token in document["added_tokens"]:
        if token["id"] in controls:
            token |= {"special": True, "content": hidden.get(token["content"], token["content"])}
    if follows:
        _without_prefix(document["normalizer"])
        _without_prefix(document["pre_tokenizer"])
    copy = type(backend).from_str(json.dumps(document))
    copy.encode_special_tokens = bool(controls)
    return copy


def _hide(model: dict[str, Any], controls: frozenset[int]) -> dict[str, str]:
    """Rename the entries of `controls`, but for the one that stands for what is unknown; returns old name → new name."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):  # Unigram: an entry's place is its id
        hidden = {piece: _HIDDEN + piece for place, (piece, _) in enumerate(vocabulary) if place in controls and place != model["unk_id"]}
        model["vocab"] = [[hidden.get(piece, piece), score] for piece, score in vocabulary]
        return hidden
    unknown = model.get("unk_token")
    hidden = {piece: _HIDDEN + piece for piece, number in vocabulary.items() if number in controls and piece != unknown}
    model["vocab"] = {hidden.get(piece, piece): number for piece, number in vocabulary.items()}
    if "merges" in model:
        pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
        model["merges"] = [pair for pair in pairs if hidden.keys().isdisjoint((*pair, "".join(pair)))]
    elif unknown not in vocabulary and hidden:  # a closed vocabulary with nothing for what is unknown: say so with an id, not by a crash
        model["unk_token"] = next(iter(hidden.values()))
    return hidden


def _without_prefix(part: Any) -> None:
    """Switch off what SentencePiece and GPT-2 tokenizers put before a text, wherever it is nested."""
    if isinstance(part, list):
        for inner in part:
            _without_prefix(inner)
    elif isinstance(part, dict):
        if part.get("type") == "Prepend":
            part["prepend"] = ""
        elif part.get("type") == "Metaspace":
            part |= {"prepend_scheme": "never"}
        elif part.get("type") == "ByteLevel":
            part |= {"add_prefix_space": False}
        for inner in part.values():
            _without_prefix(inner)
