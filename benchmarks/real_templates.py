"""A real model with thought templates: a library from solved problems, what is wrong in it, what is found in it, and whether it helps.

    python benchmarks/real_templates.py --model data/models/base --dtype bfloat16 --problems ../shared/data/gsm8k/train.jsonl \
        --test ../shared/data/gsm8k/test.jsonl -n 100 --held 100 --loop 100 --out runs/real_templates
    python benchmarks/real_templates.py --server http://localhost:8000/v1 --model Qwen2.5-7B-Instruct@1 --problems mine.jsonl \
        --test others.jsonl

A problem is a JSON object with `question` or `problem`, `answer`, and its `solution`, which may be the answer too (`… #### 72`). The model
plays every role with the prompts `instruct`: labeller of the gold solutions of n problems, inference model, planner without training
(`propose`), evaluator of steps. Prints as Markdown: the library (accepted, quarantined and why), the lint's findings by kind, three
searches, how many answers to each question can be read, and the arms over the same held-out problems, each with its 95 % Wilson interval
and its paired difference to `direct` (bootstrap over problems):

    direct      one greedy decode without a template
    random      one decode under 1 to 3 templates drawn at random
    guided      one decode under the labeller's plan
    step by step, loop      the interplay without and with evaluations of its steps, as `factory solve` runs it

Everything that is asked lies in the request store (FACTORY_STORE): a run that was killed, or is repeated with another arm or a larger n,
asks what is new. `--out` keeps templates.parquet, answers.jsonl and traces.jsonl, for `factory templates`, `factory solve --trace` and
`--library`. Tokens of the request store's answers count as if they were made now; seconds are not printed for that reason.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from factory.engines.asking import in_json, sampling_params
from factory.engines.requests import StoredEngine
from factory.engines.select import Engines
from factory.evaluation import arms
from factory.evaluation.interplay import interplay
from factory.evaluation.statistics import paired_bootstrap, wilson
from factory.files import row_reader
from factory.grading import Grader
from factory.identity import seed_for
from factory.language.prompting import Prompts
from factory.params import Params, Role, Source, parse
from factory.problems.records import from_records
from factory.problems.sources import read_raw
from factory.schemas import Answer, Problem, Reject, Split, Template
from factory.storage import write_rows
from factory.templates.index import Index
from factory.templates.induce import Solved, induce
from factory.templates.interplay import PlanError
from factory.templates.lint import blocked, lint_library
from factory.templates.lookup import Lookup
from factory.templates.plans import check_form, proposal
from factory.templates.proposing import finished_text
from factory.templates.solver import Settings, Solver, Voice
from factory.templates.traces import Trace
from factory.whole import whole_file

MOST = 4  # templates of a plan
ROLES = ("labeller", "inference")
SEARCHES = ("a share is given as a percentage of the whole", "two people's ages now and some years ago", "the capital of France")


def problems_from(path: Path, n: int, split: Split) -> list[Problem]:
    """The first n by id, read as a source of the line is."""
    first = next(batch.records[0].values for batch in row_reader(path).batches())
    marked = "####" in str(first.get("answer", ""))
    columns = {"problem": "problem" if "problem" in first else "question", "answer": "answer"}
    columns |= {"solution": "solution"} if "solution" in first else {"solution": "answer"} if marked else {}
    source = Source(name="file", kind="file", path=str(path), columns=columns, answer_after="####" if marked else None, split=split)
    found, rejects = from_records(source, read_raw(source))
    if rejects:
        print(f"{len(rejects)} rows of {path.name} are no problem with a gradable answer: {dict(Counter(row.reason for row in rejects))}\n")
    return sorted(found, key=lambda problem: problem.id)[:n]


def params_of(options: argparse.Namespace) -> Params:
    """As a params file of the line would have it: sampling as in the profile qwen-0.5b. The model plays every role; a server too, whom a
    line with trained planners refuses."""
    tokens, resolve = options.max_tokens, options.resolve
    document: dict[str, Any] = {
        "seed": options.seed, "purpose": "train", "steps": "paragraph", "policies": {}, "pretraining": {}, "adoption": {},
        "roles": {name: {"engine": "transformers", "model": "any"} for name in ROLES},
        "datasets": {"templates": {"parents": "problems"}},
        "requests": {"timeout": 600, "retries": 4, "max_failed_share": 1.0},
        "grading": {"rules": ["box"], "seconds": 5, "memory_mb": 1024, "workers": 1},
        "problems": {"sources": [{"name": "file", "kind": "file", "path": str(options.problems)}], "split_shares": {"train": 1.0},
                     "benchmarks": [], "near_duplicate": 0.9, "contamination_ngram": 8, "max_reject_share": 1.0},
        "templates": {"problems": options.n, "min_support": options.min_support, "resolve": resolve, "min_solve_rate": 0.05,
                      "labeller": {"temperature": 0.2, "top_p": 1.0, "max_tokens": 300}},
        "plans": {"problems": options.held, "max_templates": MOST, "labeller": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 120}},
        "trajectories": {"problems": 1, "samples": 2, "similar": 1, "decodes": 1, "min_gap": 0.25, "pairs_per_problem": 1,
                         "planner": {"temperature": 1.0, "top_p": 1.0, "max_tokens": 120},
                         "inference": {"temperature": 0.7, "top_p": 1.0, "max_tokens": tokens}},
        "release": {"name": "real-templates", "licence": options.licence, "notice": ""},
    }  # fmt: skip
    values: dict[str, Any] = {"model": options.model, "prompts": options.prompts}
    if options.server:
        role = Role(engine="openai", base_url=options.server, **values)
    elif options.engine == "vllm":
        role = Role(engine="vllm", dtype=options.dtype, max_length=options.max_length, **values)
    else:
        role = Role(engine="transformers", **values)
    return parse(document).model_copy(update={"roles": dict.fromkeys(ROLES, role)})


def table(*head: str) -> Iterator[str]:
    yield from ("| " + " | ".join(head) + " |", "|" + "---|" * len(head))


def share(count: int, n: int) -> str:
    low, high = wilson(count, n)
    return f"{count} of {n}, {100 * count / n:.0f} % [{100 * low:.0f}, {100 * high:.0f}]" if n else "–"


# -- the library


def library_table(analyses: int, templates: Sequence[Template], rejects: Sequence[Reject]) -> Iterator[str]:
    accepted = [row for row in templates if row.status == "accepted"]
    yield from table("library", "rows")
    yield f"| solutions analysed | {analyses} |"
    yield f"| analyses read | {share(analyses - len([row for row in rejects if row.reason != 'too little support']), analyses)} |"
    for reason, count in Counter(row.reason for row in rejects).most_common():
        yield f"| rejected: {reason} | {count} |"
    yield f"| templates | {len(templates)} |"
    yield f"| accepted | {share(len(accepted), len(templates))} |"
    for reason, count in Counter(map(why_quarantined, set(templates) - set(accepted))).most_common():
        yield f"| quarantined: {reason} | {count} |"
    tries, right = sum(row.resolved for row in templates), sum(round(row.resolved * (row.solve_rate or 0)) for row in templates)
    yield f"| source problems solved again under their plans | {share(right, tries)} |"


def why_quarantined(row: Template) -> str:
    return "a finding that blocks it" if blocked(row) else "never tried" if not row.resolved else "no try was right, or too few"


def lint_table(templates: Sequence[Template], grader: Grader) -> Iterator[str]:
    found = lint_library(templates, grader)
    yield from table("finding", "blocks", "templates", "one of them")
    for (code, blocking), count in Counter((item.code, item.blocking) for item in found).most_common():
        first = next(item for item in found if item.code == code)
        yield f"| `{code}` | {'yes' if blocking else ''} | {count} | {first.name}: {first.problem} |"


def search_table(templates: Sequence[Template], queries: Sequence[str]) -> Iterator[str]:
    yield from table("search", "found", "score", "confidence", "words")
    with Index.of(templates) as index:
        for query in queries:
            hits = index.search(query, 3)
            for hit in hits:
                yield f"| {query} | {hit.name} | {hit.score:.2f} | {hit.confidence:.2f} | {', '.join(term for term, _ in hit.why[:4])} |"
            if not hits:
                best = index.search(query, 1, confident=0)
                figures = f"{best[0].score:.2f} | {best[0].confidence:.2f}" if best else "– | –"
                yield f"| {query} | abstains{f' (best: {best[0].name})' if best else ''} | {figures} | |"


# -- the arms


def guided_plans(
    engine: StoredEngine, prompts: Prompts, problems: Sequence[Problem], lookup: Lookup, params: Params
) -> tuple[list[arms.Plan], Counter[str]]:
    """The labeller's plan for each problem, from the templates that the loop would show it; () where none can be read. And the faults."""
    section, json_ = params.require("plans"), in_json(engine, prompts, "propose")
    sampling = sampling_params(section.labeller)
    requests = [
        proposal(
            problem, lookup.fitting(problem.problem, 8), MOST, prompts, sampling, seed_for(params.seed, "plans", problem.id), json=json_
        )
        for problem in problems
    ]
    plans, faults = [], Counter[str]()
    for problem, completion in zip(problems, engine.generate(requests), strict=True):
        try:
            plan = tuple(check_form(finished_text(completion), lookup.templates, MOST))
        except PlanError as error:
            faults[str(error)] += 1
            plan = ()
        plans.append(arms.Plan(problem, plan, completion.text, completion.tokens, 1))
    return plans, faults


def arm_row(name: str, answers: Sequence[Answer], direct: Sequence[Answer]) -> str:
    """`answers` may be of the first of direct's problems."""
    right = {row.problem_id: row.verdict == "correct" for row in answers}
    first = {row.problem_id: row.verdict == "correct" for row in direct if row.problem_id in right}
    n, correct = len(right), sum(right.values())
    low, high = wilson(correct, n)
    apart, least, most = paired_bootstrap([right[key] for key in first], list(first.values()), resamples=5000, seed=1)
    beside = f"{100 * apart:+.1f} [{100 * least:+.1f}, {100 * most:+.1f}]" if name != "direct" else ""
    finish = Counter(row.finish_reason for row in answers)
    boxed = sum(row.verdict in ("correct", "wrong") for row in answers)
    return (
        f"| {name} | {n} | {correct}, {100 * correct / n:.1f} % [{100 * low:.1f}, {100 * high:.1f}] | {beside} | {boxed} | "
        f"{finish['length']} | {sum(row.tokens for row in answers) / n:.0f} | {sum(row.calls for row in answers) / n:.1f} |"
    )


def question_table(traces: Sequence[Trace], proposals: tuple[int, int]) -> Iterator[str]:
    """What of each question's answers can be read, first tries alone; and what the evaluator and the loop did."""
    yield from table("question", "first answers that can be read", "the others")
    yield f"| `propose`, for `guided` | {share(*proposals)} | |"
    for question in ("propose", "instantiate", "evaluate", "revise", "conclude", "solve"):
        asked = [event for trace in traces for event in firsts(trace, question)]
        bad = Counter(event.note for event in asked if event.note)
        if asked:
            read = share(len(asked) - bad.total(), len(asked))
            yield f"| `{question}`, in the loop | {read} | {listed(bad) if bad else ''} |"
    choices = Counter(event.choice for trace in traces for event in trace.events if event.kind == "evaluate" and event.choice)
    did = Counter(event.choice for trace in traces for event in trace.events if event.kind == "adjust" and event.choice)
    yield f"\nEvaluations: {listed(choices)}. Done: {listed(did)}. Without a plan: {sum(not trace.plan for trace in traces)}."


def firsts(trace: Trace, question: str) -> Iterator[Any]:
    """Events of a question but those that repeat one that could not be read."""
    before = None
    for event in trace.events:
        if event.question == question and not (before and before.question == question and before.place == event.place and before.note):
            yield event
        before = event


def listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "none"


def main() -> None:
    options = arguments()
    params = params_of(options)
    sources = [Solved(row, row.solution or "", (row.id,)) for row in problems_from(options.problems, options.n, "train")]
    sources = [source for source in sources if source.solution]
    held = problems_from(options.test, options.held, "heldout")
    prompts, out = Prompts.of(options.prompts), options.out
    tell(f"{len(sources)} solutions, {len(held)} held-out problems, {options.model}\n")
    with Engines(params.requests, "real_templates") as engines, Grader.of(params.grading) as grader:
        labeller, inference = (engines.engine(params.roles[name], name) for name in ROLES)  # type: ignore[index]
        templates, rejects, _ = induce(sources, labeller, inference, params)
        write_rows(out / "templates.parquet", Template, templates)
        tell(*library_table(len(sources), templates, rejects), "")
        tell(*lint_table(templates, grader), "")
        tell(*search_table(templates, options.search or SEARCHES), "")
        accepted = [row for row in templates if row.status == "accepted"]
        lookup, answers, traces = Lookup(accepted), list[Answer](), list[Trace]()
        tell(*table("arm", "n", "right (95 %)", "beside direct, points", "with an answer", "cut off", "tokens out", "requests"))
        direct = arms.solve(inference, "direct", held, options.max_tokens, prompts, grader)
        tell(arm_row("direct", direct, direct))
        answers += direct
        if "random" in options.arms:
            drawn = arms.random_plans(held, accepted, params.seed)
            answers += (rows := arms.follow(inference, "random", drawn, options.max_tokens, prompts, grader))
            tell(arm_row("random", rows, direct))
        proposals = 0, 0
        if "guided" in options.arms:
            plans, faults = guided_plans(labeller, prompts, held, lookup, params)
            proposals = len(held) - faults.total(), len(held)
            answers += (rows := arms.follow(inference, "guided", plans, options.max_tokens, prompts, grader))
            tell(arm_row("guided", rows, direct))
        limits = dict.fromkeys(("plan_tokens", "step_tokens", "check_tokens"), 200)  # as `factory solve` has them
        settings = Settings(**limits, steps=params.steps, rules=tuple(params.grading.rules), seed=params.seed)
        voices = [
            Voice(name, engine, prompts) for name, engine in (("labeller", labeller), ("labeller", labeller), ("inference", inference))
        ]
        for arm in ("step by step", "loop"):
            if arm in options.arms:
                solver = Solver(*voices, lookup, replace(settings, evaluates=arm == "loop"))
                rows, traces = interplay(arm, held[: options.loop], solver, grader)
                answers += rows
                tell(arm_row(arm, rows, direct))
        if traces or proposals[1]:
            tell("", *question_table(traces, proposals))
        graded = [
            replace(trace, grade={"gold": problem.answer, "verdict": row.verdict})
            for trace, problem, row in zip(traces, held, answers[len(answers) - len(traces) :], strict=False)
        ]
        written(out / "answers.jsonl", (json.dumps(asdict(row), default=str, ensure_ascii=False) for row in answers))
        written(out / "traces.jsonl", (json.dumps(trace.document(), ensure_ascii=False) for trace in graded))


def tell(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)


def written(path: Path, lines: Iterator[str]) -> None:
    with whole_file(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a folder, a Hub id at a commit, or with --server name@version")
    parser.add_argument("--server", default="", help="http://host:8000/v1: any OpenAI-compatible server")
    parser.add_argument("--engine", choices=["vllm", "transformers"], default="vllm")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"])
    parser.add_argument("--max-length", type=int, default=2048, help="tokens of context")
    parser.add_argument("--prompts", default="instruct")
    parser.add_argument("--problems", type=Path, required=True, help="solved problems, of which the library is made")
    parser.add_argument("--test", type=Path, required=True, help="other problems, which are solved")
    parser.add_argument("-n", type=int, default=100, help="solutions that are analysed")
    parser.add_argument("--held", type=int, default=100, help="held-out problems")
    parser.add_argument("--loop", type=int, default=100, help="the first so many of them in the loop")
    parser.add_argument("--arms", default="random,guided,loop", help="beside direct: random, guided, step by step, loop")
    parser.add_argument("--min-support", type=int, default=1)
    parser.add_argument("--resolve", type=int, default=4, help="source problems on which a template is tried at most")
    parser.add_argument("--max-tokens", type=int, default=400, help="of a solution")
    parser.add_argument("--search", action="append", help="a query; may stand several times")
    parser.add_argument("--licence", default="mit", help="of the solutions")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/real_templates"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
