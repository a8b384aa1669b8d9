"""How many requests each stage makes, as a function of the params: counted where the params alone decide, else bounded or expected.

    asked(params, sizes, given)
    → [Asked("rollouts@base", "generator", …, requests=3600, how="exactly", why="900 problems × 4 samples"), …]

What a model answers decides some counts: how many rollouts are right, how many critiques are sound, how many plans differ. `Given` holds
what is taken for these shares, each a number that a run replaces by its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from factory.evaluation.greedy import models_of
from factory.evaluation.interplay import CHECK
from factory.params import Params, Role
from factory.params.sections import TemplateImport
from factory.planning.questions import CONTINUE
from factory.planning.samples import Sizes
from factory.templates.adjusting import set_of
from factory.words import amount

How = Literal["exactly", "at most", "about", "unknown"]
TAGS = 3  # new ones of an analysis, of the two to five that it has
RANDOM_AND_PLANNED = ("random_template", "sft", "dpo")  # arms that the inference model follows
PLANNED = 2  # templates of a plan, which the loop carries out one by one


@dataclass(frozen=True)
class Given:
    """Shares that only a run knows. The laptop's, of the run in docs/benchmarks.md: .38, .62, .71, .45, .46, .78, 1.7."""

    right: float = 0.5  # rollouts with the right answer; over problems they spread as Beta(right, 1 - right)
    verified: float = 0.7  # verifications that may be used
    criticised: float = 0.65  # critiques that may be used
    continued: float = 0.45  # continuations that end in the right answer
    distinct: float = 0.5  # of a problem's sampled plans
    shared: float = 0.75  # a plan is asked of |X_sim| to this power: problems that are alike share plans, and each pair is asked once
    unread: float = 0.1  # a critic's answers that cannot be read and are asked for again, where `repairs` allows it
    analysed: float = 1.0  # strategies of a solution that are asked for one by one


@dataclass(frozen=True)
class Asked:
    """`role`: with the model that answers there. `max_tokens`: of one answer; `begun`: tokens of the model's own in the prompt."""

    stage: str
    asker: str
    role: Role
    prompts: str
    questions: tuple[str, ...]
    max_tokens: int
    limit: str  # the key that max_tokens stands under
    requests: float
    how: How
    why: str
    begun: int = 0
    stored: bool = True  # False: sampled by a trainer itself


def asked(params: Params, sizes: Sizes, given: Given) -> list[Asked]:
    """In the line's order. Scores of reward models are requests without tokens of their own (max_tokens 0)."""
    found = [
        *_rollouts(params, sizes), *_demonstrations(params, sizes, given), *_rounds(params, sizes), *_templates(params, sizes, given),
        *_trajectories(params, sizes, given), *_evaluate(params, sizes),
    ]  # fmt: skip
    return [item for item in found if item.requests or item.how == "unknown"]


def part(params: Params, sizes: Sizes, policy: str) -> int:
    """How many problems a policy is sampled on."""
    wanted = params.require("rollouts").problems
    role = params.roles.get("generator")
    if role and role.engine == "recorded":
        return sum(size or 0 for size in (sizes.train, sizes.dev, sizes.heldout, sizes.unseen))
    begin = params.policies[policy].part * wanted
    return wanted if sizes.train is None else max(0, min(wanted, sizes.train - begin))


def _of(role: Role, model: str) -> Role:
    """An engine that has models of its own stays as it is."""
    return role if role.engine in ("recorded", "openai") else role.model_copy(update={"model": f"data/models/{model}"})


def uncounted(params: Params, sizes: Sizes) -> bool:
    """Recorded answers are those of every problem: of a source that is not here nobody knows how many."""
    role = params.roles.get("generator")
    return role is not None and role.engine == "recorded" and sizes.train is None


def _exactly(sizes: Sizes) -> How:
    return "exactly" if sizes.exact else "at most"


def _estimated(params: Params, sizes: Sizes) -> How:
    return "unknown" if uncounted(params, sizes) else "about"


def _rollouts(params: Params, sizes: Sizes) -> Iterator[Asked]:
    section, role = params.rollouts, params.roles.get("generator")
    for name, policy in params.policies.items() if section and role else ():
        assert section is not None
        assert role is not None
        problems, samples = part(params, sizes, name), len(role.models) if role.engine == "recorded" else section.samples
        yield Asked(
            f"rollouts@{name}", "generator", _of(role, policy.model), role.prompts, ("solve",), section.sampling.max_tokens,
            "rollouts.sampling.max_tokens", problems * samples, "unknown" if uncounted(params, sizes) else _exactly(sizes),
            f"{amount(problems, 'problem')} × {amount(samples, 'sample')}",
        )  # fmt: skip


@cache
def drawn(right: float, samples: int, keep: int) -> float:
    """How many of a problem's samples are right and kept, at most `keep`, where pass rates spread as Beta(right, 1 - right)."""
    right = min(max(right, 1e-6), 1 - 1e-6)
    share, expected = 1.0, 0.0  # share: the probability of `count` right ones, times the number of their orders below
    for count in range(samples + 1):
        share = 1.0
        for place in range(count):
            share *= (right + place) / (1 + place) * (samples - place) / (place + 1)
        for place in range(samples - count):
            share *= (1 - right + place) / (1 + count + place)
        expected += min(keep, count) * share
    return expected


def _demonstrations(params: Params, sizes: Sizes, given: Given) -> Iterator[Asked]:
    section = params.demonstrations
    if section is None or params.rollouts is None or not params.policies:
        return
    policy = "base" if "base" in params.policies else next(iter(params.policies))
    problems, samples = part(params, sizes, policy), params.rollouts.samples
    rights, wrongs = (problems * drawn(share, samples, section.keep) for share in (given.right, 1 - given.right))
    generator, critic, scorer = (params.roles.get(name) for name in ("generator", "critic", "reward_model"))
    continues = generator is not None and generator.engine != "recorded"
    half, again = rights * given.verified * (1 - section.after_answer_share), section.critique_rounds > 1 and continues
    first = wrongs + half * (1 - given.continued) * continues
    second = wrongs * given.criticised * (1 - given.continued) * again
    usable = (first + second) * given.criticised
    why, how = f"{rights:,.0f} right and {wrongs:,.0f} wrong solutions kept", _estimated(params, sizes)
    if "llm" in section.critics and critic is not None:
        verifies = rights if section.critics[0] == "llm" else 0.0
        reads = (verifies + first + second) * (1 + given.unread * section.repairs)
        yield Asked(
            "demonstrations", "critic", critic, critic.prompts, ("verify", "critique", *(("critique_again",) if again else ())),
            section.critic.max_tokens, "demonstrations.critic.max_tokens", reads, how, f"{why}, each verified or criticised",
            begun=section.repairs * (section.critic.max_tokens + 40),
        )  # fmt: skip
    if continues:
        assert generator is not None
        checks = {"none": 0.0, "equations": 0.0, "rollouts": 1.0, "equations_or_rollouts": 0.5}[section.step_check]
        steps = 2 * section.step_rollouts * checks * (first + second)
        yield Asked(
            "demonstrations", "generator", generator, generator.prompts, (CONTINUE,), section.generator.max_tokens,
            "demonstrations.generator.max_tokens", section.continuations * (half + usable) + steps, "about",
            f"{amount(half + usable, 'continuation')} × {section.continuations}" + (f", {steps:,.0f} to check steps" if steps else ""),
        )  # fmt: skip
    if scorer is not None:
        drafts = rights * (1 + given.verified) + usable * given.continued
        yield Asked("demonstrations", "reward_model", scorer, scorer.prompts, ("solve",), 0, "", drafts, how, f"{why}: drafts scored")


def _rounds(params: Params, sizes: Sizes) -> Iterator[Asked]:
    role = params.roles.get("generator")
    for name, turn in params.rounds.items() if role else ():
        assert role is not None
        if params.ppo:
            iterations, batch = params.ppo.iterations, params.ppo.batch
            yield Asked(
                f"ppo@{name}", "policy", Role(engine="transformers", model=f"data/models/{turn.start}"), role.prompts, ("solve",),
                params.ppo.max_tokens, "ppo.max_tokens", iterations * batch, "exactly",
                f"{amount(iterations, 'iteration')} × {amount(batch, 'response')}",
                stored=False,
            )  # fmt: skip
        if params.distillation and name in params.distillations:
            problems, samples = min(part(params, sizes, name), params.distillation.problems), params.distillation.samples
            yield Asked(
                f"distillation@{name}", "generator", _of(role, f"policy_{name}"), role.prompts, ("solve",),
                params.distillation.sampling.max_tokens, "distillation.sampling.max_tokens", problems * samples, _exactly(sizes),
                f"{amount(problems, 'problem')} × {amount(samples, 'sample')}",
            )  # fmt: skip


def _train(sizes: Sizes, wanted: int) -> int:
    return wanted if sizes.train is None else min(wanted, sizes.train)


def _imported(imports: Sequence[TemplateImport]) -> int:
    """How many imported templates have an example that can be graded."""
    from factory.templates.importing import gradable, read_library

    libraries = (read_library(Path(item.path), item.licence, item.source, item.columns) for item in imports)
    return sum(gradable(row) for library in libraries for row in library.templates)


def _templates(params: Params, sizes: Sizes, given: Given) -> Iterator[Asked]:
    labeller, inference = params.roles.get("labeller"), params.roles.get("inference")
    if params.templates and params.trajectories and labeller and inference:
        problems = _train(sizes, params.templates.problems)
        steps = "" if given.analysed == 1 else f" × {given.analysed:.2f} strategies"
        yield Asked(
            "templates", "labeller", labeller, labeller.prompts, ("analyse",), params.templates.labeller.max_tokens,
            "templates.labeller.max_tokens", problems * given.analysed, "about" if steps else _exactly(sizes),
            f"{amount(problems, 'solved problem')}{steps}",
        )  # fmt: skip
        yield Asked(
            "templates", "inference", inference, inference.prompts, ("guided",), params.trajectories.inference.max_tokens,
            "trajectories.inference.max_tokens", problems, "at most",
            f"{amount(problems, 'problem')} solved again once, where a template wants them ({params.templates.resolve} each)",
        )  # fmt: skip
        yield from _of_pairs(params, problems * given.analysed, labeller)
        if params.templates.imports:
            tried, resolve = _imported(params.templates.imports), params.templates.resolve
            yield Asked(
                "templates", "inference", inference, inference.prompts, ("guided",), params.trajectories.inference.max_tokens,
                "trajectories.inference.max_tokens", tried * resolve, "at most",
                f"{amount(tried, 'imported template')} × {resolve} on their own examples",
            )  # fmt: skip
    if params.plans and labeller and inference and params.trajectories:
        yield from _plans(params, sizes, given, labeller, inference)


def _plans(params: Params, sizes: Sizes, given: Given, labeller: Role, inference: Role) -> Iterator[Asked]:
    section, trajectories = params.require("plans"), params.require("trajectories")
    problems = _train(sizes, section.problems)
    proposals, why = problems * section.samples, amount(problems, "problem")
    why = f"{why} × {section.samples} proposals" if section.samples > 1 else why
    for name, planner in params.planners.items():
        stage = f"plans@{name}"
        if planner.start == "base":
            yield Asked(
                stage, "labeller", labeller, labeller.prompts, ("propose",), section.labeller.max_tokens, "plans.labeller.max_tokens",
                proposals, _exactly(sizes), why,
            )  # fmt: skip
        else:
            yield Asked(
                stage, "planner", params.own(planner.start, "inference"), params.asked_with("labeller"), ("plan",),
                trajectories.planner.max_tokens, "trajectories.planner.max_tokens", proposals, _exactly(sizes), why,
            )  # fmt: skip
        if section.tries:
            different = proposals * (given.distinct if section.samples > 1 else 1.0)
            yield Asked(
                stage, "inference", inference, inference.prompts, ("guided",), trajectories.inference.max_tokens,
                "trajectories.inference.max_tokens", different * section.tries, "about",
                f"{amount(different, 'different plan')} × {amount(section.tries, 'try', 'tries')}",
            )  # fmt: skip


def _of_pairs(params: Params, analyses: float, labeller: Role) -> Iterator[Asked]:
    """Whether two are one: of templates at most a pair for each candidate of each analysis, of tags as many as three an analysis."""
    section = params.require("templates")
    merge, limit = section.merge, "templates.labeller.max_tokens"
    if merge.by == "labeller":
        yield Asked(
            "templates", "labeller", labeller, labeller.prompts, ("same",), 1 if merge.decide == "odds" else section.labeller.max_tokens,
            limit, (analyses * merge.candidates + 2 * merge.controls) * merge.orders, "at most",
            f"({merge.candidates} likely pairs an analysis + 2 × {merge.controls} controls) × {merge.orders} orders" if merge.controls
            else f"{merge.candidates} likely pairs an analysis × {merge.orders} orders",
        )  # fmt: skip
    if section.tags.synonyms == "labeller":
        yield Asked(
            "templates", "labeller", labeller, labeller.prompts, ("same_tag",), section.labeller.max_tokens, limit,
            analyses * TAGS * merge.candidates * 2, "at most", f"{merge.candidates} like tags for each of {TAGS} an analysis × 2 orders",
        )  # fmt: skip


def _trajectories(params: Params, sizes: Sizes, given: Given) -> Iterator[Asked]:
    section, inference = params.trajectories, params.roles.get("inference")
    if section is None or inference is None:
        return
    problems = _train(sizes, section.problems)
    plans = problems * section.samples
    yield Asked(
        "trajectories", "planner", params.own("planner_sft", "inference"), params.asked_with("labeller"), ("plan",),
        section.planner.max_tokens, "trajectories.planner.max_tokens", plans, _exactly(sizes),
        f"{amount(problems, 'problem')} × {amount(section.samples, 'plan')}",
    )  # fmt: skip
    nothing, final = problems * section.nothing, section.final
    different, most = plans * given.distinct + nothing, (plans + nothing) * section.similar * section.decodes
    each, least = section.similar**given.shared, (problems + nothing) * section.decodes
    again = problems * (final.plans + section.nothing) * max(0, final.similar - section.similar) * section.decodes if final else 0
    yield Asked(
        "trajectories", "inference", inference, inference.prompts, ("guided",), section.inference.max_tokens,
        "trajectories.inference.max_tokens", different * each * section.decodes + again, "about",
        f"{amount(different, 'different plan')} × {each:.1f} of {amount(section.similar, 'problem')} × "
        f"{amount(section.decodes, 'decode')}, "
        + (f"the best of them up to {again:,} times more, " if again else "")
        + f"from {least:,} (all plans alike) to {most + again:,}",
    )  # fmt: skip


def _evaluate(params: Params, sizes: Sizes) -> Iterator[Asked]:
    section, generator, inference = params.evaluate, params.roles.get("generator"), params.roles.get("inference")
    if section is None or generator is None:
        return
    questions = sum(section.n if size is None else min(section.n, size) for size in (sizes.heldout, sizes.unseen))
    engine = generator.engine if generator.engine in ("transformers", "vllm") else "transformers"
    limit = ("evaluate.max_tokens", section.max_tokens)
    for model in models_of(params):
        world = params.problems.world
        dev = world.dev if sizes.dev is None and world else sizes.dev or 0
        extra = dev if model == "base" and params.pretraining else 0
        why = amount(questions, "question") + (f" and {extra:,} of dev, also to an earlier base" if extra else "")
        yield Asked(
            "evaluate", model, Role(engine=engine, model=f"data/models/{model}"), generator.prompts, ("solve",), limit[1], limit[0],
            questions + 2 * extra, _exactly(sizes), why,
        )  # fmt: skip
    if not (params.planners and params.planner_dpo and params.trajectories and inference):
        return
    shared = inference.model == "data/models/base" and params.asked_with("inference") == params.asked_with("generator")
    arms = [
        *RANDOM_AND_PLANNED,
        *(("dpo_agreed",) if section.agreement else ()),
        *(("oracle",) if all(source.kind == "world" for source in params.problems.sources) else ()),
    ]
    if not shared:
        yield Asked(
            "evaluate", "inference", inference, inference.prompts, ("solve",), limit[1], limit[0], questions, _exactly(sizes), "direct"
        )
    yield Asked(
        "evaluate", "inference", inference, inference.prompts, ("guided",), limit[1], limit[0], questions * len(arms), "at most",
        f"{amount(questions, 'question')} × {amount(len(arms), 'arm')} ({', '.join(arms)})",
    )  # fmt: skip
    for arm in ("sft", "dpo"):
        yield Asked(
            "evaluate", f"planner_{arm}", Role(engine=engine, model=f"data/models/planner_{arm}"), params.asked_with("labeller"),
            ("plan",), params.trajectories.planner.max_tokens, "trajectories.planner.max_tokens", questions, _exactly(sizes),
            amount(questions, "question"),
        )  # fmt: skip
    if section.agreement:
        yield Asked(
            "evaluate", "planner_dpo", Role(engine=engine, model="data/models/planner_dpo"), params.asked_with("labeller"), ("plan",),
            params.trajectories.planner.max_tokens, "trajectories.planner.max_tokens", questions * section.agreement.samples,
            _exactly(sizes), f"{amount(questions, 'question')} × {amount(section.agreement.samples, 'sample')} that have to agree",
        )  # fmt: skip
    if params.planner_adjust and section.interplay:
        yield from _loop(params, sizes, engine, inference)


def _loop(params: Params, sizes: Sizes, engine: Literal["transformers", "vllm"], inference: Role) -> Iterator[Asked]:
    """The arms interplay and interplay_adjusted, which share their plans."""
    section, trajectories = params.require("evaluate"), params.require("trajectories")
    problems = sum(min(section.interplay, section.n if size is None else size) for size in (sizes.heldout, sizes.unseen))
    planner, adjuster = (Role(engine=engine, model=f"data/models/{name}") for name in ("planner_dpo", "planner_adjust"))
    asked_with, why = params.asked_with("labeller"), f"{amount(problems, 'problem')} step by step"
    yield Asked(
        "evaluate", "planner_dpo", planner, asked_with, ("plan",), trajectories.planner.max_tokens, "trajectories.planner.max_tokens",
        problems, "about", why,
    )  # fmt: skip
    yield Asked(
        "evaluate", "inference", inference, inference.prompts, ("instantiate",), trajectories.inference.max_tokens,
        "trajectories.inference.max_tokens", problems * 2 * PLANNED, "about", f"{why}, 2 arms × {PLANNED} steps",
    )  # fmt: skip
    yield Asked(
        "evaluate", "inference", inference, inference.prompts, ("conclude",), section.max_tokens, "evaluate.max_tokens", problems * 2,
        "at most", f"{why}, 2 arms",
    )  # fmt: skip
    yield Asked(
        "evaluate", "planner_adjust", adjuster, set_of(asked_with), ("evaluate",), CHECK, "one word", problems * PLANNED, "about",
        f"{why}, {PLANNED} steps",
    )  # fmt: skip
