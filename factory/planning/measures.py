"""What the request store and the line's own logs have measured: tokens of an answer, tokens a second, shares that only a run knows.

measures = Measures.of(default_path())
measures.average("rollouts_base", ["base@3fa9…"])    → Average(answers=3600, tokens_in=36.4, tokens_out=37.3)
measures.rate("rollouts_base")                       → 5112.0, tokens written in a second that requests were under way
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from factory.engines.budget import cost
from factory.engines.dialect import lineage
from factory.engines.ledger import Chosen, Ledger
from factory.engines.select import maker, model_revision
from factory.errors import EngineError
from factory.params import Params, Role
from factory.params.names import model_of_line
from factory.planning.asks import Asked, Given
from factory.planning.history import History
from factory.planning.samples import Sample
from factory.problems.manners import manners_of

HASHED = 2 << 30  # bytes of a model that is hashed for its name in the store


@dataclass(frozen=True)
class Average:
    """Of one stage's answers by one model."""

    answers: int
    tokens_in: float
    tokens_out: float


@dataclass(frozen=True)
class Measures:
    spent: dict[tuple[str, str], Average] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    limits: dict[tuple[str, str], set[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> "Measures":
        """Empty where there is no store yet."""
        if not path.exists():
            return cls()
        with closing(Ledger.reader(path)) as ledger:
            spent = {}
            for stage, model, given, made in ledger.spent():
                count = ledger.count_entries(Chosen(stage=stage, model=model))
                if given + made:
                    spent[stage, model] = Average(count, given / count, made / count)
            rates = {row.stage: row.completion_tokens / row.seconds for row in ledger.usage() if row.seconds > 1 and row.completion_tokens}
            limits = ledger.limits()
        return cls(spent, rates, limits)

    def average(self, stage: str, models: Sequence[str]) -> Average | None:
        """`models`: names in the store; one with options of its engine behind a comma counts too."""
        found = [average for (at, name), average in self.spent.items() if at == stage and _among(name, models)]
        answers = sum(one.answers for one in found)
        if not answers:
            return None
        given, made = (sum(getattr(one, name) * one.answers for one in found) / answers for name in ("tokens_in", "tokens_out"))
        return Average(answers, given, made)

    def other_limits(self, stage: str, models: Sequence[str], limit: int) -> list[int]:
        """What max_tokens was when the stage asked these models, where it was never `limit`."""
        known = {one for (at, name), limits in self.limits.items() if at == stage and _among(name, models) for one in limits}
        return [] if limit in known else sorted(known)

    def rate(self, stage: str) -> float | None:
        return self.rates.get(stage)


def _among(name: str, models: Sequence[str]) -> bool:
    return any(name == model or name.startswith(f"{model},") for model in models)


def stored_names(ask: Asked, past: History) -> list[str]:
    """What the store calls the model; [] for one that the line has yet to make, or that is too large to be hashed for its name."""
    role, line = ask.role, model_of_line(ask.role.model)
    if role.engine == "recorded":
        return []
    if role.engine == "openai":
        return [lineage(role)]
    if line is not None and not any(
        past.ran(stage) for stage in (ask.stage, *(["pretraining@base", "adoption@base"] if line == "base" else [maker(line)]))
    ):
        return []
    folder = Path(role.model)
    if not folder.is_dir():
        return [role.model]
    if sum(file.stat().st_size for file in folder.glob("*.safetensors")) > HASHED:
        return []
    try:
        return [f"{folder.name}@{model_revision(folder)}"]
    except EngineError:
        return []


def given(params: Params, past: History, sample: Sample) -> tuple[Given, dict[str, str]]:
    """The shares that counts depend on, and what each that a run knows was measured from."""
    found, measured = Given(), {}
    if sample.real:
        steps = [len(manners_of(row).analysed_steps(row, row.solution or "")) for row in sample.problems]
        found = replace(found, analysed=sum(steps) / len(steps))
    policy = "base" if "base" in params.policies else next(iter(params.policies), "")
    if policy and past.ran(f"rollouts@{policy}") and (verdicts := past.column(f"rollouts_{policy}", "verdict")):
        found = replace(found, right=verdicts.count("correct") / len(verdicts))
        measured["right"] = f"data/tables/rollouts_{policy}.parquet"
    rows = _judged(past) if past.ran("demonstrations") else []
    for name, kind in (("verified", "verify"), ("criticised", "critique")):
        if own := [accepted for accepted, judged in rows if judged == kind]:
            found = replace(found, **{name: sum(own) / len(own)})
            measured[name] = "data/tables/critic_judgements.parquet"
    return found, measured


def _judged(past: History) -> list[tuple[bool, str]]:
    return list(zip(past.column("critic_judgements", "accepted"), past.column("critic_judgements", "kind"), strict=True))


def told(params: Params, shares: Given) -> dict[str, str]:
    """Share → what it says, of those that the line's stages depend on."""
    found: dict[str, str] = {}
    if params.demonstrations:
        found |= {
            "right": f"{shares.right:.0%} of rollouts are right",
            "verified": f"{shares.verified:.0%} of verifications may be used",
            "criticised": f"{shares.criticised:.0%} of critiques may be used",
            "continued": f"{shares.continued:.0%} of continuations end in the right answer",
        }
    if params.trajectories:
        found["distinct"] = f"{shares.distinct:.0%} of a problem's sampled plans are different"
        found["shared"] = f"a plan is asked of |X_sim| to the power of {shares.shared:g}, since problems that are alike share plans"
    return found


def role_prices(role: Role, tokens_in: float, tokens_out: float) -> float | None:
    """US dollars, None where the role has no price: it runs here."""
    return cost(role, tokens_in, tokens_out) if role.price else None
