"""What stages cost, as `estimate` finds it out and the command shows it.

cost.requests, cost.how, cost.seconds      → 3600, "exactly", None: no rate is known for a part of it
plan.to_ask()["critic"]                    → Use(tokens=29035, dollars=34.11, whole=True), of the stages that have not run
"""

from collections import defaultdict
from dataclasses import dataclass, field

from factory.engines.budget import Spent
from factory.params import Params
from factory.planning.asks import How
from factory.planning.samples import Sizes
from factory.planning.training import Trained

SHAKY: tuple[How, ...] = ("unknown", "about", "at most")  # from the least sure


@dataclass(frozen=True)
class Detail:
    """One role's part of a stage. `why`: how the requests are counted; `said`: where the tokens come from. `dollars` None: runs here.
    `counted` False: it takes tokens that nobody knows."""

    asker: str
    model: str
    requests: float
    how: How
    why: str
    tokens_in: float
    tokens_out: float
    said: str
    rate: float | None
    dollars: float | None
    stored: bool = True
    counted: bool = True


@dataclass(frozen=True)
class Cost:
    """A stage. `seconds` None: no rate is known for a part of it; `least_seconds`: of the other parts. `bytes` None: not known."""

    stage: str
    details: list[Detail] = field(default_factory=list)
    trained: Trained | None = None
    training_seconds: float | None = None
    bytes: int | None = None
    ran: bool = False

    @property
    def requests(self) -> float:
        return sum(item.requests for item in self.details if item.stored)

    @property
    def how(self) -> How:
        kinds = {item.how for item in self.details}
        return next((how for how in SHAKY if how in kinds), "exactly")

    @property
    def counted(self) -> bool:
        """Whether all tokens that it takes are known."""
        return all(item.counted for item in self.details)

    @property
    def priced(self) -> bool:
        """Whether its dollars are all that it costs."""
        return all(item.counted for item in self.details if item.dollars is not None)

    @property
    def tokens_in(self) -> float:
        return sum(item.tokens_in for item in self.details)

    @property
    def tokens_out(self) -> float:
        return sum(item.tokens_out for item in self.details)

    @property
    def dollars(self) -> float | None:
        known = [item.dollars for item in self.details if item.dollars is not None]
        return sum(known) if known else None

    @property
    def asked_now(self) -> list[Detail]:
        """What a trainer samples itself is a part of its own seconds, where those are known from a run."""
        return [item for item in self.details if item.stored or not self.ran]

    @property
    def seconds(self) -> float | None:
        """Of generating and of training."""
        return None if None in self._parts else self.least_seconds

    @property
    def least_seconds(self) -> float:
        return sum(part for part in self._parts if part is not None)

    @property
    def _parts(self) -> list[float | None]:
        parts = [item.tokens_out / item.rate if item.rate else None for item in self.asked_now if item.tokens_out]
        return [*parts, *([self.training_seconds] if self.trained else [])]


@dataclass(frozen=True)
class Use:
    """Of a role: tokens in and out, dollars. `whole` False: it takes more, which cannot be known."""

    tokens: float = 0.0
    dollars: float = 0.0
    whole: bool = True


@dataclass(frozen=True)
class Plan:
    """`measured` and `assumed`: what figures come from, a line each; `memory`: what trainings need. `spent`: what each role with a budget
    has paid in this copy of the project."""

    params: Params
    stages: list[Cost]
    sizes: Sizes
    measured: list[str]
    assumed: list[str]
    memory: list[str] = field(default_factory=list)
    spent: dict[str, Spent] = field(default_factory=dict)

    def to_ask(self) -> dict[str, Use]:
        """Asker → what the stages that have not run with these params will take, for budgets."""
        found: dict[str, Use] = defaultdict(Use)
        for item in (item for stage in self.stages if not stage.ran for item in stage.details if item.stored):
            use, tokens = found[item.asker], item.tokens_in + item.tokens_out
            found[item.asker] = Use(use.tokens + tokens, use.dollars + (item.dollars or 0.0), use.whole and item.counted)
        return dict(found)
