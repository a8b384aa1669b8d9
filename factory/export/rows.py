"""Rows of a released dataset in the columns of each trainer, a batch at a time.

    next(converted(dataset, "verl", None))   → [{"data_source": "restarts_r1", "prompt": [{"role": "user", …}], "reward_model": {…}, …}, …]

Four uses: `examples` (an answer to imitate), `pairs` (a chosen and a rejected one), `prompts` (an answer to check), `steps` (each with its
label). A restart's prefix is
the beginning of the assistant's turn. TRL, verl and OpenRLHF close a turn before they sample, so that prompts with a prefix are
written out as text by the model's own chat template; verifiers gets the begun turn, with which a server can be told to go on.
"""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from factory.errors import DataError, GateError
from factory.export.rendering import Renderer
from factory.publish.checks import Released

TARGETS = ("trl", "verl", "openrlhf", "verifiers")
USES = {
    "corpus": "examples", "demonstrations": "examples", "cot_demonstrations": "examples", "distillation": "examples", "plans": "examples",
    "structure": "examples", "adjustments": "examples", "orm_pairs": "pairs", "trajectory_pairs": "pairs", "restarts": "prompts",
    "process_rewards": "steps",
}  # fmt: skip
BATCH = 2048  # rows
REFUSED = {
    ("verl", "pairs"): "verl trains no reward model and no DPO: export pairs to trl or openrlhf",
    ("verifiers", "pairs"): "verifiers takes prompts whose answer can be checked: export pairs to trl or openrlhf",
    **{
        (target, "steps"): f"{target} trains no process reward model: export labelled steps to trl"
        for target in ("verl", "openrlhf", "verifiers")
    },
    ("verifiers", "examples"): "verifiers takes prompts whose answer can be checked (restarts): export examples to trl, verl or openrlhf",
}  # fmt: skip
TOLD = ("answer_kind", "decimals", "buffer", "pass_rate", "problem_id", "id")  # of a prompt, beside its answer


def use_of(dataset: Released, target: str) -> str:
    """examples, pairs, prompts or steps. Raises GateError for a dataset that no trainer, or not this one, can read."""
    if dataset.kind == "templates":
        raise GateError("templates are a library that is looked up, and nothing a trainer reads: export structure or plans, made of them")
    if dataset.kind not in USES:
        raise GateError(f"{dataset.name}: rows of {dataset.kind} are no training data of {target}: expected one of {', '.join(USES)}")
    use = USES[dataset.kind]
    if reason := REFUSED.get((target, use)):
        raise GateError(f"{dataset.name}: {reason}")
    if target == "verl" and dataset.kind == "corpus":
        raise GateError(f"{dataset.name}: verl tunes on conversations, and a corpus is plain text: export it to trl or openrlhf")
    return use


def has_prefixes(dataset: Released) -> bool:
    return dataset.kind == "restarts" and any(any(batch["prefix"]) for batch in _batches(dataset, ["prefix"]))


def converted(dataset: Released, target: str, renderer: Renderer | None) -> Iterator[list[dict[str, Any]]]:
    """`renderer`: for prompts with a prefix; without one such prompts are conversations that end in an assistant's begun turn."""
    use, number = use_of(dataset, target), 0
    for batch in _batches(dataset):
        rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        if use == "examples":
            yield [_example(row, target) for row in rows]
        elif use == "pairs":
            yield [_pair(row) for row in rows]
        elif use == "steps":
            yield [{name: row[name] for name in ("prompt", "completions", "labels", "id")} for row in rows]
        else:
            texts = renderer.texts([(row["prompt"], row["prefix"]) for row in rows]) if renderer else [""] * len(rows)
            if renderer and target == "trl":  # its tokenizer marks the beginning again
                texts = [renderer.unmarked(text) for text in texts]
            yield [_prompt(row, dataset.name, target, text, number + place) for place, (row, text) in enumerate(zip(rows, texts))]
        number += len(rows)


def _batches(dataset: Released, columns: list[str] | None = None) -> Iterator[dict[str, list[Any]]]:
    for path in dataset.shards:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH, columns=columns):
                yield batch.to_pydict()


def _example(row: dict[str, Any], target: str) -> dict[str, Any]:
    if target == "verl":
        return {"messages": [*row["prompt"], *row["completion"]], "id": row["id"]}
    return {"prompt": row["prompt"], "completion": row["completion"], "id": row["id"]}


def _pair(row: dict[str, Any]) -> dict[str, Any]:
    found = {"prompt": row["prompt"], "chosen": row["chosen"], "rejected": row["rejected"], "id": row["id"]}
    return found | ({"margin": row["margin"]} if "margin" in row else {})


def _prompt(row: dict[str, Any], name: str, target: str, text: str, number: int) -> dict[str, Any]:
    """`text`: the prompt written out, "" for a conversation."""
    told = {key: row.get(key) for key in TOLD}
    prompt: Any = text or row["prompt"]
    if row["prefix"] and not text and target != "verifiers":
        raise DataError(f"{name}: row {row['id']} has a prefix, which needs the model's tokenizer")
    if target == "trl":
        return {"prompt": prompt, "answer": row["answer"], **told}
    if target == "verl":
        messages = [{"role": "user", "content": prompt}] if text else prompt
        reward = {"style": "rule", "ground_truth": row["answer"]}
        return {
            "data_source": name,
            "prompt": messages,
            "ability": "math",
            "reward_model": reward,
            "extra_info": {**told, "split": "train", "index": number},
        }
    label = {"answer": row["answer"], "answer_kind": row["answer_kind"], "decimals": row.get("decimals")}
    if target == "openrlhf":
        return {"input": prompt, "label": json.dumps(label, ensure_ascii=False), "datasource": name, "id": row["id"]}
    begun = [{"role": "assistant", "content": row["prefix"]}] if row["prefix"] else []
    question = next((turn["content"] for turn in reversed(prompt) if turn["role"] == "user"), "")
    return {"prompt": [*prompt, *begun], "question": question, "answer": row["answer"], "info": told | {"prefixed": bool(begun)}}
