"""The same greedy accuracy by other means: transformers' own `generate`, a regular expression, and a comparison of two numbers.

    python benchmarks/independent.py data/models/base greedy.jsonl --gold ../shared/data/gsm8k/test.jsonl

Imports nothing of the project. `greedy.jsonl` is what benchmarks/greedy.py kept: the conversations are asked again, its verdicts compared.
"""

import argparse
import json
import re
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def number(text: str) -> float | None:
    found = re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)
    return float(found[-1].replace(",", "")) if found else None


def answer(completion: str) -> float | None:
    boxes = re.findall(r"\\boxed\{([^{}]*)\}", completion)
    return number(boxes[-1]) if boxes else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("asked", type=Path)
    parser.add_argument("--gold", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--max-tokens", type=int, default=400)
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.asked.read_text(encoding="utf-8").splitlines()]
    gold = [json.loads(line) for line in options.gold.read_text(encoding="utf-8").splitlines()]
    golds = {" ".join(row["question"].split()): number(row["answer"].rpartition("####")[2]) for row in gold}
    tokenizer = AutoTokenizer.from_pretrained(options.model, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=getattr(torch, options.dtype)).eval()
    right = same = 0
    for begin in range(0, len(rows), options.batch):
        batch = rows[begin : begin + options.batch]
        texts = [tokenizer.apply_chat_template(row["conversation"], tokenize=False, add_generation_prompt=True) for row in batch]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            made = model.generate(**inputs, do_sample=False, max_new_tokens=options.max_tokens)
        for row, ids in zip(batch, made[:, inputs["input_ids"].shape[1] :], strict=True):
            ok = answer(tokenizer.decode(ids, skip_special_tokens=True)) == golds[" ".join(row["question"].split())]
            right += ok
            same += ok == (row["verdict"] == "correct")
        print(f"{begin + len(batch)} of {len(rows)}: {right} right, {same} verdicts as the line's", flush=True)
    print(f"independent: {right} of {len(rows)}, {right / len(rows):.1%}; the line: {sum(row['verdict'] == 'correct' for row in rows)}")


if __name__ == "__main__":
    main()
