"""A model's greedy accuracy on a GSM8K file, as the line's `evaluate` gives it: its prompts, engine, grader and interval.

    python benchmarks/greedy.py data/models/base --problems ../shared/data/gsm8k/test.jsonl -n 100 --out greedy.jsonl
    python benchmarks/independent.py data/models/base greedy.jsonl --gold ../shared/data/gsm8k/test.jsonl

`--out` keeps conversations and answers: the second script, which shares no code with the line, asks the same questions by itself.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

from asking import problems_from

from factory.coat import grammar
from factory.engines.select import Engines
from factory.evaluation import arms
from factory.evaluation.statistics import wilson
from factory.grading import Grader, boxed_answers
from factory.language.prompting import Prompts
from factory.params import Grading, Requests, Role


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--problems", type=Path, required=True)
    parser.add_argument("-n", type=int, default=100)
    parser.add_argument("--engine", default="vllm", choices=["vllm", "transformers"])
    parser.add_argument("--dtype", default=None, choices=["float32", "bfloat16"])
    parser.add_argument("--prompts", default="instruct")
    parser.add_argument("--rules", default="box", help="extraction rules, comma-separated (docs/grading.md)")
    parser.add_argument("--max-tokens", type=int, default=400)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    problems = problems_from(options.problems, options.n)
    role = Role(engine=options.engine, model=options.model, dtype=options.dtype, max_length=2048 if options.engine == "vllm" else None)
    prompts = Prompts.of(options.prompts)
    grading = Grading(rules=options.rules.split(","), seconds=5, memory_mb=1024, workers=2)
    with Engines(Requests(timeout=600, retries=4, max_failed_share=0.05), "greedy") as engines, Grader.of(grading) as grader:
        answers = arms.solve(engines.engine(role, "inference"), "greedy", problems, options.max_tokens, prompts, grader)
    right = sum(answer.verdict == "correct" for answer in answers)
    low, high = wilson(right, len(answers))
    print(f"{answers[0].model}: {right} of {len(answers)}, {right / len(answers):.1%} [{low:.1%}, {high:.1%}]")
    print(", ".join(f"{count} {verdict}" for verdict, count in Counter(answer.verdict for answer in answers).most_common()))
    print(f"{sum(answer.finish_reason == 'length' for answer in answers)} cut off, {sum(answer.tokens for answer in answers):,} tokens")
    held = {
        "parse as COAT": [not grammar.problems_of(answer.completion, "paragraph") for answer in answers],
        "boxed": [bool(boxed_answers(answer.completion)) for answer in answers],
        "stopped by themselves": [answer.finish_reason == "stop" for answer in answers],
        "reflect": [grammar.ACTIONS["reflect"] in answer.completion for answer in answers],
    }
    form = [all(flags) for flags in zip(*list(held.values())[:3], strict=True)]
    print(", ".join(f"{sum(flags)} {name}" for name, flags in [*held.items(), ("all of the first three", form)]))
    if options.out:
        with options.out.open("w", encoding="utf-8") as stream:
            for problem, answer in zip(problems, answers, strict=True):
                asked = [{"role": turn.role, "content": turn.content} for turn in prompts.render("solve", problem=problem.problem)]
                row = {"question": problem.problem, "conversation": asked, "completion": answer.completion, "verdict": answer.verdict}
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
