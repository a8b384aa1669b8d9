"""A model's greedy accuracy on GSM8K the way that model cards measure it: five worked examples as plain text, no chat template.

    python benchmarks/five_shot.py data/models/base greedy.jsonl --data ../shared/data/gsm8k

Imports nothing of the project. `greedy.jsonl` is what benchmarks/greedy.py kept: the same questions. The examples are the first five rows
of train.jsonl. An answer ends at "Question:"; it is the number behind "####" (strict), or the last number (flexible, of the same answers).
"""

import argparse
import json
import math
import os
import re
from pathlib import Path


def number(text: str) -> float | None:
    found = re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)
    return float(found[-1].replace(",", "")) if found else None


def behind_hashes(text: str) -> float | None:
    found = re.search(r"#### *\$?(-?[\d,.]*\d)", text)
    return number(found[1]) if found else None


def wilson(right: int, of: int) -> str:
    share, z = right / of, 1.96
    middle, half = share + z * z / (2 * of), z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return f"{right} of {of}, {share:.1%} [{(middle - half) / (1 + z * z / of):.1%}, {(middle + half) / (1 + z * z / of):.1%}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("asked", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--dtype", default="bfloat16")
    options = parser.parse_args()
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    from vllm import LLM, SamplingParams

    paths = (options.data / "train.jsonl", options.data / "test.jsonl", options.asked)
    train, gold, asked = ([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] for path in paths)
    golds = {" ".join(row["question"].split()): number(row["answer"].rpartition("####")[2]) for row in gold}
    shots = "".join(f"Question: {row['question']}\nAnswer: {row['answer']}\n\n" for row in train[:5])
    llm = LLM(options.model, dtype=options.dtype, max_model_len=2048, enforce_eager=True)
    sampling = SamplingParams(temperature=0, max_tokens=options.max_tokens, stop=["Question:"])
    texts = [made.outputs[0].text for made in llm.generate([f"{shots}Question: {row['question']}\nAnswer:" for row in asked], sampling)]
    wanted = [golds[" ".join(row["question"].split())] for row in asked]
    for name, read in (("strict", behind_hashes), ("flexible", number)):
        print(f"{name}: {wilson(sum(read(text) == gold for text, gold in zip(texts, wanted, strict=True)), len(asked))}")
    print(f"{sum(behind_hashes(text) is not None for text in texts)} have a number behind ####")


if __name__ == "__main__":
    main()
