"""What a model's answers are worth to the line: the share of each role's answers that can be read, on real problems.

    python benchmarks/asking.py MODEL --problems ../shared/data/gsm8k/train.jsonl -n 20 --engine vllm --out answers.md

The model plays every role with the prompts `instruct`, as a line with `steps: paragraph` asks it: it solves n problems, verifies a step of
its own right solutions (or of the gold ones), criticises its own wrong ones, analyses solved problems, and chooses templates from those.
Answers go through the line's request store (FACTORY_STORE): a second run asks nothing again. `--out` keeps ten answers of each role.
"""

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from factory.coat import rollouts
from factory.coat.demonstrations.critics import Critique, CritiqueAsk, LlmCritic, VerifyAsk, critique_fault, parse_critique
from factory.coat.demonstrations.critics import verification_fault as fault_of_verification
from factory.coat.demonstrations.divergence import gold_steps
from factory.engines.asking import in_json, sampling_params
from factory.engines.flow import run
from factory.engines.select import Engines
from factory.evaluation.statistics import wilson
from factory.identity import row_id, seed_for
from factory.language.prompting import Prompts
from factory.params import Requests, Role, Sampling, Source
from factory.problems.records import from_records
from factory.problems.sources import read_raw
from factory.schemas import Problem, Rollout, Template
from factory.templates.induce import Solved, analyse
from factory.templates.interplay import PlanError
from factory.templates.plans import candidates, check_form, proposal
from factory.templates.proposing import finished_text

MOST = 3  # templates of a plan
SHOWN = 10  # answers of each role in the file


@dataclass
class Tally:
    """One role's answers: `kept` of `asked` could be used; `why` counts the reasons of the others."""

    role: str
    kept: int = 0
    asked: int = 0
    why: Counter[str] = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)

    def add(self, text: str, fault: str | None) -> None:
        self.asked += 1
        self.kept += fault is None
        if fault:
            self.why[fault] += 1
        self.shown.append(f"{fault or 'usable'}\n{text}")

    def row(self) -> str:
        low, high = wilson(self.kept, self.asked) if self.asked else (0.0, 0.0)
        share = f"{self.kept / self.asked:.0%}" if self.asked else "–"
        reasons = "; ".join(f"{count} {reason}" for reason, count in self.why.most_common(4))
        return f"| {self.role} | {self.kept} of {self.asked} | {share} [{low:.0%}, {high:.0%}] | {reasons} |"


def problems_from(path: Path, n: int) -> list[Problem]:
    """The first `n` by id of a GSM8K file, as a source of the line reads it."""
    columns = {"problem": "question", "answer": "answer", "solution": "answer"}
    source = Source(name="gsm8k", kind="file", path=str(path), columns=columns, answer_after="####", split="train")
    found, rejects = from_records(source, read_raw(source))
    if rejects:
        print(f"{len(rejects)} rows of {path} are rejects", file=sys.stderr)
    return sorted(found, key=lambda problem: problem.id)[:n]


def solved(engine: object, problems: Sequence[Problem], prompts: Prompts, max_tokens: int) -> tuple[list[Rollout], list[Tally]]:
    greedy = Sampling(temperature=0.0, top_p=1.0, max_tokens=max_tokens)
    rows, rejects = rollouts.sample(engine, problems, greedy, 1, prompts=prompts, steps="paragraph", seed=1, stage="asking", round="solve")  # type: ignore[arg-type]
    finished, answered, right = Tally("solutions that end"), Tally("ended solutions with an answer"), Tally("right solutions")
    for row in rows:
        finished.add(row.completion, None if row.finish_reason == "stop" else "cut off")
        if row.finish_reason == "stop":
            answered.add(row.completion, None if row.answer is not None else row.reason or "no answer")
        right.add(row.completion, None if row.verdict == "correct" else row.verdict)
    for item in rejects:
        finished.add("", item.reason)
    return rows, [finished, answered, right]


def verified(critic: LlmCritic, problems: dict[str, Problem], rows: Sequence[Rollout]) -> list[Tally]:
    """The last step but one of right solutions; of the gold solution where the model has none."""
    right = {row.problem_id: row.steps for row in rows if row.verdict == "correct" and len(row.steps) > 1}
    asks = []
    for key, problem in problems.items():
        steps = right.get(key, gold_steps(problem))
        asks.append(VerifyAsk(problem, steps[: max(1, len(steps) - 1)], ("verify", key)))
    remarks = run((critic.verify(ask) for ask in asks), "verify")
    readable, usable = Tally("verifications that can be read"), Tally("verifications of right steps that can be used")
    for ask, remark in zip(asks, remarks, strict=True):
        fault = remark.failure or fault_of_verification(ask, remark)
        unread = fault if fault and ("readable" in fault or "cannot be read" in fault or remark.failure) else None
        readable.add(remark.text, unread)
        usable.add(remark.text, fault)
    return [readable, usable]


def criticised(critic: LlmCritic, problems: dict[str, Problem], rows: Sequence[Rollout]) -> list[Tally]:
    asks = [
        CritiqueAsk(problems[row.problem_id], row.steps, ("critique", row.id))
        for row in rows
        if row.verdict == "wrong" and row.finish_reason == "stop"
    ]
    remarks = run((critic.critique(ask) for ask in asks), "critique")
    readable, usable = Tally("critiques that can be read"), Tally("critiques that can be used")
    for ask, remark in zip(asks, remarks, strict=True):
        critique = parse_critique(ask, remark, "llm")
        fault = remark.failure or critique_fault(ask, critique, checkable=False)
        readable.add(remark.text, None if isinstance(critique, Critique) else fault)
        usable.add(remark.text, fault)
    return [readable, usable]


def analysed(engine: object, prompts: Prompts, problems: Sequence[Problem]) -> tuple[list[Template], list[Tally]]:
    """Of gold solutions; each readable one becomes a template of the little library that plans are chosen from."""
    sources = [Solved(problem, "\n".join(gold_steps(problem)), (problem.id,)) for problem in problems]
    sampling = Sampling(temperature=0.2, top_p=1.0, max_tokens=300)
    tally, made = Tally("analyses that can be read"), {}
    for item in analyse(sources, engine, prompts, sampling, 1):  # type: ignore[arg-type]
        tally.add(item.completion.text, item.reason or None)
        if item.analysis:
            made[item.analysis.name] = _template(item.analysis, item.source.problem)
    return list(made.values()), [tally]


def _template(analysis: object, problem: Problem) -> Template:
    fields = {name: getattr(analysis, name) for name in ("name", "tags", "description", "scope", "steps")}
    return Template(
        id=row_id("template", fields["name"]), model="asking", prompt_version="asking", seed=1, round="asking", **fields,
        example_problem=problem.problem, example_solution="", example_answer=problem.answer, source="induced", licence="mit",
        status="accepted", resolved=1, solve_rate=1.0, version=1,
    )  # fmt: skip


def planned(engine: object, prompts: Prompts, problems: Sequence[Problem], library: Sequence[Template]) -> list[Tally]:
    tally = Tally("plans that can be read, of templates that there are")
    if not library:
        return [tally]
    sampling = sampling_params(Sampling(temperature=0.2, top_p=1.0, max_tokens=120))
    json = in_json(engine, prompts, "propose")  # type: ignore[arg-type]
    requests = [
        proposal(problem, fitting, MOST, prompts, sampling, seed_for(1, "plan", problem.id), json=json)
        for problem, fitting in zip(problems, candidates(problems, library), strict=True)
    ]
    for completion in engine.generate(requests):  # type: ignore[attr-defined]
        try:
            check_form(finished_text(completion), library, MOST)
            tally.add(completion.text, None)
        except PlanError as error:
            tally.add(completion.text, str(error))
    return [tally]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder, or a Hub id at a pinned commit")
    parser.add_argument("--problems", type=Path, required=True, help="GSM8K's JSONL")
    parser.add_argument("-n", type=int, default=20)
    parser.add_argument("--engine", choices=["vllm", "transformers"], default="transformers")
    parser.add_argument("--max-tokens", type=int, default=400)
    parser.add_argument("--max-length", type=int, default=2048)
    parser.add_argument("--lines", action="store_true", help="ask for lines, also where the engine holds JSON schemas")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    role = Role(engine=options.engine, model=options.model, prompts="instruct", max_length=options.max_length)
    prompts, problems = Prompts.of(role.prompts), problems_from(options.problems, options.n)
    by_id = {problem.id: problem for problem in problems}
    tallies: list[Tally] = []
    with Engines(Requests(timeout=600, retries=1, max_failed_share=1.0), "asking") as engines:
        engine = engines.engine(role, "asking")
        if options.lines:
            engine.backend.structured = False
        critic = LlmCritic(engine, prompts, Sampling(temperature=0.2, top_p=1.0, max_tokens=200), 1, repairs=2)
        rows, found = solved(engine, problems, prompts, options.max_tokens)
        tallies += found
        tallies += verified(critic, by_id, rows)
        tallies += criticised(critic, by_id, rows)
        library, found = analysed(engine, prompts, problems)
        tallies += found
        tallies += planned(engine, prompts, problems, library)
    print("| answers | usable | share, 95 % | the others |", "|---|---|---|---|", *(tally.row() for tally in tallies), sep="\n")
    if options.out:
        options.out.write_text("\n\n".join(itertools.chain.from_iterable(_examples(tally) for tally in tallies)) + "\n", encoding="utf-8")


def _examples(tally: Tally) -> list[str]:
    return [f"## {tally.role}", *(f"~~~~\n{text}\n~~~~" for text in tally.shown[:SHOWN])]


if __name__ == "__main__":
    main()
