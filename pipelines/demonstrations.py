"""Stage `demonstrations`: COAT demonstrations from the base's rollouts, and plain controls. `python -m pipelines.demonstrations`"""

from collections import Counter
from collections.abc import Sequence

from factory.coat.demonstrations.critics import Critic, LlmCritic
from factory.coat.demonstrations.generator import Workshop
from factory.coat.demonstrations.reference import ReferenceCritic
from factory.coat.demonstrations.selection import accepted, controls, sources
from factory.engines.requests import StoredEngine, StoredScorer
from factory.engines.select import Engines
from factory.errors import DataError, ParamsError
from factory.language.prompting import Prompts
from factory.params import Params
from factory.params.names import first_policy
from factory.rejects import write_rejects
from factory.schemas import CriticJudgement, Demonstration, Problem, Reject, Rollout
from factory.storage import LOGS, REJECTS, TABLES, read_rows, write_rows
from pipelines import stage

STAGE = "demonstrations"
CRITIC_ASKS = ("verify", "critique", "critique_again")


def main(params: Params) -> None:
    """Raises DataError when nothing is accepted, after writing why."""
    settings, policy = params.require(STAGE), first_policy(params)
    rollouts = read_rows(TABLES / f"rollouts_{policy}.parquet", Rollout)
    problems, asking = read_rows(TABLES / "problems.parquet", Problem), Prompts.of(params.asked_with("generator"))
    kept, invalid, not_drawn = sources(
        problems, rollouts, keep=settings.keep, seed=params.seed, steps=params.steps, thinking=settings.thinking,
        pass_rate=settings.pass_rate,
    )  # fmt: skip
    with Engines(params.requests, STAGE, params.budget) as engines:
        generator = _generator(params, engines)
        workshop = Workshop(settings, _critics(params, engines), generator, asking, seed=params.seed, steps=params.steps)
        drafts = workshop.make(kept)
        judging = Prompts.of(params.asked_with("critic"))
        versions = {"solve": asking.version("solve"), **{name: judging.version(name) for name in CRITIC_ASKS}}.__getitem__
        rows, refused = accepted(
            drafts, _scorer(params, engines), max_reference_share=settings.max_reference_share, seed=params.seed, round=policy,
            model=generator.model if generator else None, versions=versions, steps=params.steps,
        )  # fmt: skip
        plain = controls(kept, rows, seed=params.seed)
        rejects = [*invalid, *workshop.rejects, *refused]
        write_rows(TABLES / "demonstrations.parquet", Demonstration, rows)
        write_rows(TABLES / "cot_demonstrations.parquet", Demonstration, plain)
        write_rows(TABLES / "critic_judgements.parquet", CriticJudgement, workshop.judgements)
        write_rejects(STAGE, rejects)
        engines.write_usage(LOGS / "demonstrations_usage.csv")
        print(f"{len(rollouts):,} rollouts, {len(kept):,} kept, {not_drawn:,} not drawn, {len(drafts):,} drafts")
        print(_summary(rows, rejects) + f"; {len(plain):,} plain controls")
    if not rows:
        raise DataError(f"no demonstration was accepted: the reasons are in {REJECTS / 'demonstrations.parquet'}")


def _generator(params: Params, engines: Engines) -> StoredEngine | None:
    """Recorded solutions cannot be continued."""
    role = params.roles.get("generator")
    return engines.engine(role, "generator") if role and role.engine != "recorded" else None


def _critics(params: Params, engines: Engines) -> list[Critic]:
    settings = params.require(STAGE)
    critics: list[Critic] = []
    for name in settings.critics:
        if name == "llm" and "critic" not in params.roles:
            raise ParamsError("demonstrations.critics names llm but params.yaml has no roles.critic: add it, or use [reference]")
        if name == "reference":
            critics.append(ReferenceCritic())
        else:
            role = params.roles["critic"]
            critics.append(
                LlmCritic(engines.engine(role, "critic"), Prompts.of(role.prompts), settings.critic, params.seed, settings.repairs)
            )
    return critics


def _scorer(params: Params, engines: Engines) -> StoredScorer | None:
    role = params.roles.get("reward_model")
    return engines.scorer(role, "reward_model") if role else None


def _summary(rows: Sequence[Demonstration], rejects: Sequence[Reject]) -> str:
    types, critics = Counter(row.type for row in rows), Counter(row.critic for row in rows)
    reasons = Counter(reject.reason for reject in rejects)
    parts = [", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())) for counts in (types, critics)]
    worst = "; ".join(f"{count:,} {reason}" for reason, count in reasons.most_common(6))
    return f"{len(rows):,} demonstrations ({parts[0]}; by critic {parts[1]}), {len(rejects):,} rejects: {worst}"


if __name__ == "__main__":
    stage.run(STAGE, main)
