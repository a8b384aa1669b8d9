"""What several keys of `params.yaml` must agree on: names that one key gives and another uses, sizes that must fit into each other.

    check(params)   → None, or ValueError("policies.r2.model is distiled_r1: no stage makes it, did you mean distilled_r1?")

Rounds, policies and datasets are data, so that nothing but this sees a wrong name before the stage that asks for it, hours later.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from factory.line import stages_of
from factory.params.names import ALLOWED_FREE, COMMIT, FREE, meant, model_of_line, on_hub, path_fault
from factory.params.sections import CORPUS_ROLES, Sampling
from factory.schemas import Split, choices
from factory.tables import TABLES

if TYPE_CHECKING:
    from factory.params import Params

COLUMNS = ("problem", "answer", "solution", "family", "group", "decimals")
SERVED = ("openai", "recorded")  # engines that have their own models, never one of the line's
# Of the line's own models a role can be what its stages declare to DVC, and what is made before them.
OF_LINE = {"generator": "base", "critic": "base", "reward_model": "orm_base", "labeller": "base", "inference": "base"}
# section → what its stages train on or read from the gate, the roles they ask, and the sections they read beside their own
RELEASED = {
    "format_tuning": ("demonstrations", "cot_demonstrations"), "plans": ("templates",),
    "planner_sft": ("structure",), "planner_dpo": ("trajectory_pairs",),
    "planner_adjust": ("adjustments",), "adjustments": ("templates",),
}  # fmt: skip
ASKED = {
    "rollouts": ("generator",), "distillation": ("generator",), "evaluate": ("generator",), "templates": ("labeller", "inference"),
    "plans": ("labeller",), "trajectories": ("inference",), "planner_dpo": ("inference",),
}  # fmt: skip
BESIDE = {
    "corpus": ("problems.world",), "pretraining": ("corpus",), "templates": ("trajectories",), "trajectories": ("plans",),
    "adjustments": ("trajectories",), "planner_adjust": ("adjustments", "planner_dpo"),
    "process_rewards": ("demonstrations",),
}  # fmt: skip


def check(params: "Params") -> None:
    """Raises ValueError naming the key, its value and what would fit."""
    for faults in (_sources, _sections, _base, _roles, _budgets, _rounds, _planners, _datasets, _sizes, _training, _ppo):
        for fault in faults(params):
            raise ValueError(fault)


def _sources(params: "Params") -> Iterator[str]:
    problems, seen = params.problems, set[str]()
    for number, source in enumerate(problems.sources):
        if not re.fullmatch(FREE, source.name):
            yield f"problems.sources.{number}.name is {source.name!r}: expected {ALLOWED_FREE}"
        key = f"problems.sources.{source.name}"
        if (same := source.name.casefold()) in seen:
            yield f"{key} stands twice: give each source a name of its own, capitals apart are the same"
        seen.add(same)
        if source.kind == "world" and problems.world is None:
            yield f"{key} is of kind world, but there is no problems.world: add its sizes"
        if (source.kind == "world") != (same == "world"):
            yield f"{key} is of kind {source.kind}: the name world is that of the kind world, and of nothing else"
        if source.kind != "hub" and (source.revision or source.hub_config or source.hub_split != "train"):
            yield f"{key} is of kind {source.kind}: revision, hub_config and hub_split are of the kind hub, leave them out"
        if source.kind == "hub" and source.path and not Path(source.path).is_dir():
            if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source.path):
                yield f"{key}.path is {source.path}: expected a dataset's id on the Hub (org/name) or a folder"
            elif not re.fullmatch(r"[0-9a-f]{7,40}", source.revision or ""):
                yield f"{key}.revision is {source.revision}: pin a commit (7 to 40 hex digits), so that tomorrow's rows are today's"
        if source.kind != "world" and source.path is None:
            yield f"{key} has no path: name the file, or the Hub dataset's id"
        if source.path is not None and (fault := path_fault(source.path)):
            yield f"{key}.path is {source.path!r}: {fault}"
        for name in source.columns:
            if name not in COLUMNS:
                yield f"{key}.columns.{name} is no field of ours, expected some of {', '.join(COLUMNS)}{meant(name, COLUMNS)}"
    for number, path in enumerate(problems.benchmarks):
        if fault := path_fault(path):
            yield f"problems.benchmarks.{number} is {path!r}: {fault}"
    for name in problems.split_shares:
        if name not in choices(Split):
            yield f"problems.split_shares.{name} is no split, expected some of {', '.join(choices(Split))}{meant(name, choices(Split))}"
    if abs(sum(problems.split_shares.values()) - 1) > 1e-6:
        yield f"problems.split_shares sums to {sum(problems.split_shares.values()):g}: expected 1"


def _sections(params: "Params") -> Iterator[str]:
    """What a section needs beside itself: other sections, roles."""
    for section, needed in BESIDE.items():
        for name in needed if getattr(params, section) else ():
            there = params.problems.world if name == "problems.world" else getattr(params, name)
            if there is None:
                yield f"{section} needs the section {name}: add it, or leave {section} out"
    for section, roles in ASKED.items():
        for role in roles if getattr(params, section) else ():
            if role not in params.roles:
                yield f"{section} needs roles.{role}: add it, or leave {section} out"
    if params.demonstrations and "llm" in params.demonstrations.critics and "critic" not in params.roles:
        yield "demonstrations.critics names llm but there is no roles.critic: add it, or use [reference]"
    if params.corpus:
        for name in params.corpus.roles:
            if name not in CORPUS_ROLES:
                yield f"corpus.roles.{name} is no role, expected some of {', '.join(CORPUS_ROLES)}{meant(name, CORPUS_ROLES)}"
        if not sum(params.corpus.roles.values()):
            yield "corpus.roles sums to 0: give some role a weight"


def _base(params: "Params") -> Iterator[str]:
    """One way to a base, others only for distillations to go into, and a name that means a model that does not change."""
    bases = (*params.pretraining, *params.adoption)
    for name, turn in params.distillations.items():
        if turn.into not in bases:
            yield f"distillations.{name}.into is {turn.into}: no such base{meant(turn.into, bases) or ', the line has ' + ', '.join(bases)}"
    if params.pretraining and params.adoption:
        yield "pretraining and adoption both make data/models/base: leave one of the two out"
    for section in ("pretraining", "adoption"):
        for name in getattr(params, section):
            if name != "base" and name not in {turn.into for turn in params.distillations.values()}:
                yield f"{section}.{name}: no distillation goes into it; the line's own base is {section}.base"
        if getattr(params, section) and "base" not in getattr(params, section):
            yield f"{section} has no base: add {section}.base, with which everything begins"
    for name, made in params.pretraining.items():
        if made.corpus != (wanted := "corpus" if name == "base" else f"corpus_{name}"):
            yield f"pretraining.{name}.corpus is {made.corpus}: expected {wanted}, each base has its own"
    given = {"pretraining", "adoption"} & params.model_fields_set
    if len(given) == 1:
        other = ({"pretraining", "adoption"} - given).pop()
        yield f"the key {other} is missing: write `{other}: {{}}`, dvc.yaml expands both"
    for name, model in params.adoption.items():
        key, hub = f"adoption.{name}", on_hub(model)
        if fault := path_fault(model):
            yield f"{key} is {model!r}: {fault}"
        elif model_of_line(model) is not None:
            yield f"{key} is {model}: the line makes what lies there; name a model from elsewhere"
        elif hub and hub.revision is None:
            yield f"{key} is {model}: no such folder here, and a model of the Hub wants its commit, {model}@<7 to 40 hex digits>"
        elif hub and not COMMIT.fullmatch(hub.revision or ""):
            yield f"{key} is {model}: pin a commit (7 to 40 lower-case hex digits behind the @), so that tomorrow's weights are today's"
        elif not hub and re.fullmatch(r"[\w.-]+@[\w.-]+", model) and not Path(model).exists():
            yield f"{key} is {model}: a model of the Hub is written org/name@commit"


def _roles(params: "Params") -> Iterator[str]:
    made = set(models_of(params))
    for name, role in params.roles.items():
        key = f"roles.{name}"
        if role.engine == "openai":
            continue
        if fault := path_fault(role.model):
            yield f"{key}.model is {role.model!r}: {fault}"
        model = model_of_line(role.model)
        if role.engine == "recorded" or model is None:
            continue
        allowed = {OF_LINE[name]} & made if name in OF_LINE else made
        if model not in allowed:
            hint = meant(model, allowed) if model not in made else f": it is made after the stages that ask the {name}"
            known = ", ".join(f"data/models/{item}" for item in sorted(allowed)) or "none"
            yield f"{key}.model is {role.model}{hint or ', which no stage makes'} (of the line's own models it can be {known})"
    yield from _engines(params)


def _budgets(params: "Params") -> Iterator[str]:
    for name, budget in params.budget.items():
        role = params.roles.get(name)
        if role is None:
            yield f"budget.{name}: there is no roles.{name}, only {', '.join(params.roles) or 'none'}: leave it out, or add the role"
        elif budget.dollars is not None and role.price is None:
            yield f"budget.{name}.dollars is {budget.dollars:g}: roles.{name} has no price: add it, or limit tokens"


def _engines(params: "Params") -> Iterator[str]:
    """Stages that put one of the line's models in a role's place need an engine that can load it."""
    remedy = "use the engine transformers or vllm there"
    generator, inference, scorer = (params.roles.get(name) for name in ("generator", "inference", "reward_model"))
    if generator and generator.engine == "recorded" and not generator.models:
        yield "roles.generator.models is empty: name the models whose recorded answers are the rollouts"
    if generator and generator.engine == "openai" and params.policies:
        name, policy = next(iter(params.policies.items()))
        yield f"roles.generator is a server, which cannot sample policies.{name}, data/models/{policy.model}: {remedy}"
    if generator and generator.engine == "recorded" and params.rollouts and params.rollouts.drawn_tokens:
        yield "rollouts.drawn_tokens is true, and roles.generator is a file of recorded answers, which has no tokens: leave it out"
    if generator and generator.engine == "recorded" and params.distillations:
        name = next(iter(params.distillations))
        yield f"roles.generator is a file of recorded answers, which cannot sample policy_{name} (distillations.{name}): {remedy}"
    if inference and inference.engine == "recorded" and params.trajectories:
        yield "roles.inference is a file of recorded answers, which cannot follow a plan (trajectories): use another engine there"
    if scorer and scorer.engine not in ("transformers", "openai"):
        yield f"roles.reward_model.engine is {scorer.engine}: expected transformers, or openai for a server of scores"


def models_of(params: "Params") -> Iterator[str]:
    """The names of the models that the line makes under data/models."""
    yield from (*params.pretraining, *params.adoption)
    if params.orm:
        yield from (f"orm_{name}" for name in params.policies)
    if params.format_tuning:
        yield from ("format_tuned", "cot_control")
    yield from (f"policy_{name}" for name in params.rounds)
    yield from (f"distilled_{name}" for name in params.distillations)
    yield from (f"planner_{name}" for name in params.planners)
    if params.planner_dpo:
        yield "planner_dpo"
    if params.planner_adjust:
        yield "planner_adjust"


def _rounds(params: "Params") -> Iterator[str]:
    made = [name for name in models_of(params) if not name.startswith(("orm_", "planner_"))]
    recorded = "generator" in params.roles and params.roles["generator"].engine == "recorded"
    for name, round_ in params.rounds.items():
        yield from _model(f"rounds.{name}.start", round_.start, made)
        if name not in params.policies:
            yield f"rounds.{name} has no policies.{name}: {{model: {round_.start}}}{meant(name, params.policies)}"
        elif params.policies[name].model != round_.start:
            yield f"policies.{name}.model is {params.policies[name].model} but rounds.{name}.start is {round_.start}"
        if name in _ancestors(params, name):
            yield f"rounds.{name}.start is {round_.start}, which is made from round {name} itself: start from an earlier model"
    for name, policy in params.policies.items():
        if not recorded:
            yield from _model(f"policies.{name}.model", policy.model, made)
    used = {policy.model for policy in params.policies.values()}
    for name in params.distillations:
        if name not in params.rounds:
            yield f"distillations.{name} has no rounds.{name}{meant(name, params.rounds)}"
        if f"distilled_{name}" not in used:
            yield f"distillations.{name}: no round starts from distilled_{name}; the last round has no distillation"


def _planners(params: "Params") -> Iterator[str]:
    """Each starts at the base or at one before it; trajectories are sampled from the one called `sft`."""
    for name in ("plans", "planner_sft") if params.planners else ():
        if getattr(params, name) is None:
            yield f"planners needs the section {name}: add it, or leave planners empty"
    for name in ("planner_sft", "planner_dpo"):
        if getattr(params, name) is not None and "sft" not in params.planners:
            yield f"{name} needs planners.sft: add it ({{start: base}}), or leave {name} out"
    before = ["base"]
    for name, planner in params.planners.items():
        yield from _model(f"planners.{name}.start", planner.start, before)
        if planner.start != "base" and params.plans and not params.plans.tries:
            yield f"plans.tries is 0: planners.{name} learns the best of plans that {planner.start} proposes, so that they have to be tried"
        before.append(f"planner_{name}")
    if "dpo" in params.planners or "adjust" in params.planners:
        yield "planners: dpo and adjust are the names of models that other stages make, take another"


def _model(key: str, model: str, made: Collection[str]) -> Iterator[str]:
    if model not in made:
        yield f"{key} is {model}: no stage makes it{meant(model, made) or ', the line makes ' + (', '.join(made) or 'no model')}"


def _ancestors(params: "Params", name: str) -> set[str]:
    """The rounds that a round's start model comes from."""
    found: set[str] = set()
    while name in params.rounds:
        start = params.rounds[name].start
        name = start.removeprefix("policy_").removeprefix("distilled_") if start.startswith(("policy_", "distilled_")) else ""
        if name in found:
            break
        found.add(name)
    return found


def _datasets(params: "Params") -> Iterator[str]:
    made = {table for stage in stages_of(params) for table in stage.tables}
    kinds = [name for name in made if name in TABLES or name.rsplit("_", 1)[0] in TABLES]
    for name, dataset in params.datasets.items():
        if name not in kinds:
            yield f"datasets.{name} is no table that a stage makes{meant(name, kinds) or ': ' + ', '.join(sorted(kinds))}"
        if dataset.parents not in made:
            known = meant(dataset.parents, made) or ", they make " + ", ".join(sorted(made))
            yield f"datasets.{name}.parents is {dataset.parents}, a table that no stage makes{known}"
    needed = [(name, section) for section, names in RELEASED.items() if getattr(params, section) for name in names]
    needed += [(base.corpus, f"pretraining.{name}") for name, base in params.pretraining.items()]
    needed += [(f"orm_pairs_{name}", f"the reward model of policies.{name}") for name in params.policies if params.orm]
    needed += [(f"restarts_{name}", f"round {name}") for name in params.rounds]
    needed += [(f"distillation_{name}", f"distillations.{name}") for name in params.distillations]
    needed += [(f"plans_{name}", f"planners.{name}") for name in params.planners]
    for name, user in needed:
        if name not in params.datasets:
            yield f"datasets lacks {name}, which {user} trains on or reads"


def _sizes(params: "Params") -> Iterator[str]:
    """Problems that a section asks for and the world cannot have; tokens that the base's context cannot hold."""
    world = params.problems.world if all(source.kind == "world" for source in params.problems.sources) else None
    if world and params.rollouts:
        for name, policy in params.policies.items():
            if (last := (policy.part + 1) * params.rollouts.problems) > world.train:
                yield (
                    f"policies.{name}.part is {policy.part}: with rollouts.problems {params.rollouts.problems} it needs {last} train "
                    f"problems, problems.world.train is {world.train}"
                )
    if params.distillation and params.rollouts and params.distillation.problems > params.rollouts.problems:
        most = params.rollouts.problems
        yield f"distillation.problems is {params.distillation.problems}: they are of a part of rollouts.problems, {most}"
    if world and params.evaluate and params.evaluate.n > max(world.heldout, world.unseen):
        yield f"evaluate.n is {params.evaluate.n}: the splits have {world.heldout} (heldout) and {world.unseen} (unseen)"
    for name, base in params.pretraining.items():
        key = f"pretraining.{name}"
        if base.hidden % base.heads or base.hidden // base.heads % 2:
            yield f"{key}.hidden is {base.hidden}: expected an even number of times {key}.heads, {base.heads}"
        for limit, tokens in _tokens(params):
            if tokens >= base.max_length:
                yield f"{limit} is {tokens}: expected less than {key}.max_length, {base.max_length}"


def _tokens(params: "Params") -> Iterator[tuple[str, int]]:
    """Every section's limits of a completion, by key."""
    for section in type(params).model_fields:
        values = getattr(params, section)
        if isinstance(limit := getattr(values, "max_tokens", None), int):
            yield f"{section}.max_tokens", limit
        for name in getattr(type(values), "model_fields", ()):
            if isinstance(sampling := getattr(values, name), Sampling):
                yield f"{section}.{name}.max_tokens", sampling.max_tokens
    for name, distillation in params.distillations.items():
        if distillation.on_policy:
            yield f"distillations.{name}.on_policy.max_tokens", distillation.on_policy.max_tokens


def _training(params: "Params") -> Iterator[str]:
    training = params.training
    if training.shard and training.processes == 1:
        yield "training.shard is true: expected false where training.processes is 1, there is nobody to share with"
    for name, round_ in params.rounds.items() if params.ppo else ():
        if params.ppo and params.ppo.batch // round_.samples < training.processes:
            starts = params.ppo.batch // round_.samples
            yield f"training.processes is {training.processes}: expected at most {starts}, an iteration's start states in rounds.{name}"
    for name, distillation in params.distillations.items():
        if distillation.on_policy and distillation.on_policy.batch < training.processes:
            batch, least = distillation.on_policy.batch, training.processes
            yield f"distillations.{name}.on_policy.batch is {batch}: expected at least {least}, a response for each of training.processes"


def _ppo(params: "Params") -> Iterator[str]:
    ppo = params.ppo
    if ppo is None:
        return
    if ppo.minibatch > ppo.batch:
        yield f"ppo.minibatch is {ppo.minibatch}: expected at most ppo.batch, {ppo.batch}"
    if ppo.lam < 1 and "critic" not in ppo.baselines:
        yield f"ppo.lam is {ppo.lam:g}: expected 1, without a critic it only fades the reward of actions far from the end"
    if ppo.alike != "keep" and "siblings" not in ppo.baselines:
        yield f"ppo.alike is {ppo.alike}: expected keep, ppo.baselines names no siblings"
    if ppo.sampler and params.training.processes > 1:
        yield f"training.processes is {params.training.processes}: expected 1 beside ppo.sampler, one process hands weights to vLLM"
    if ppo.critic_warmup and "critic" not in ppo.baselines:
        yield f"ppo.critic_warmup is {ppo.critic_warmup}: expected 0, ppo.baselines names no critic"
    if ppo.critic_warmup >= ppo.iterations:
        yield f"ppo.critic_warmup is {ppo.critic_warmup}: expected less than ppo.iterations, {ppo.iterations}"
    for name, round_ in params.rounds.items():
        if ppo.batch % round_.samples:
            yield f"ppo.batch is {ppo.batch}: expected a multiple of rounds.{name}.samples, {round_.samples}"
        if round_.samples == 1 and "siblings" in ppo.baselines:
            yield f"rounds.{name}.samples is 1, but ppo.baselines names siblings: take 2 or more, or the critic"
