"""What was paid for answers in this copy of the project, role by role, and the gate that ends a stage whose role has used its budget up.

    {"stage": "demonstrations", "role": "critic", "model": "m@1", "answers": 12, "tokens_in": 4120, "tokens_out": 1932, "dollars": 0.0042}

Such a line of `.factory/spent.jsonl` is written before the answers that it counts are stored, so that a kill loses no count. What the store
answers is free, and so are recorded answers. Where nobody tells tokens (scores, servers without `usage`) they are estimated from the texts.

A role with a budget has no more requests under way than the rest of it will pay for if each takes all of its `max_tokens`. When
it is used up, nothing new is begun for any role of the stage, what is under way lands and is stored, and the stage ends with one line.
"""

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson

from factory.errors import EngineError
from factory.params import Budget, Role
from factory.schemas import Conversation, Message

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Tokens = tuple[int, int]  # read, written

SPENT = Path(".factory/spent.jsonl")
BYTES = 3  # of a text a token, where nobody counts them
VLLM_WINDOW = 2048  # requests inside vLLM: what fills its scheduler, twice
LOOKED_AT = 64  # of the waiting requests: the dearest of them bounds how many go on


def cost(role: Role, prompt_tokens: float, completion_tokens: float) -> float:
    """US dollars; of a role that asks in batches, at their share of the price."""
    share = role.batch.price if role.batch else 1.0
    return share * (prompt_tokens * role.price.input + completion_tokens * role.price.output) / 1e6 if role.price else 0.0


def estimated(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // BYTES)


def prompt_tokens(prompt: Conversation | tuple[int, ...]) -> int:
    """Estimated for a conversation, known for token ids."""
    return sum(estimated(part.content) if isinstance(part, Message) else 1 for part in prompt)


@dataclass
class Spent:
    answers: int = 0
    tokens: int = 0
    dollars: float = 0.0  # at the prices that the role had then


@dataclass(frozen=True)
class Payment:
    """A line of the file."""

    stage: str
    role: str
    model: str
    answers: int
    tokens_in: int
    tokens_out: int
    dollars: float


class Book:
    """The file, read on as it grows: stages that run at the same time see each other's lines. A broken line is passed over."""

    def __init__(self, path: Path = SPENT) -> None:
        self.path, self.position, self.roles = path, 0, dict[str, Spent]()
        self.lock = threading.Lock()

    def write(self, payment: Payment) -> None:
        self.path.resolve().parent.mkdir(parents=True, exist_ok=True)  # of a preview: the project's
        with self.path.open("ab", buffering=0) as stream:  # one write: lines of several processes do not mix
            stream.write(orjson.dumps(asdict(payment)) + b"\n")

    def of(self, role: str) -> Spent:
        with self.lock:
            self._read_on()
            return self.roles.setdefault(role, Spent())

    def _read_on(self) -> None:
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < self.position:  # deleted: the count begins again
            self.position, self.roles = 0, {}
        if size == self.position:
            return
        with self.path.open("rb") as stream:
            stream.seek(self.position)
            lines, end, _ = stream.read().rpartition(b"\n")
        self.position += len(lines) + len(end)
        for line in lines.splitlines():
            with suppress(ValueError, TypeError):
                paid = Payment(**orjson.loads(line))
                spent = self.roles.setdefault(paid.role, Spent())
                spent.answers += paid.answers
                spent.tokens += paid.tokens_in + paid.tokens_out
                spent.dollars += paid.dollars


class Budgets:
    """The accounts of one run of a stage."""

    def __init__(self, stage: str, limits: Mapping[Any, Budget], book: Book | None = None) -> None:
        self.stage, self.limits, self.book = stage, limits, book or Book()
        self.gates: list[Gate[Any, Any]] = []
        self.used_up: Account | None = None  # of a role that wants more than it has

    def close(self) -> None:
        """Nothing is begun from here on, in no thread."""
        for gate in self.gates:
            gate.shut()


class Account:
    """What one role pays, and may."""

    def __init__(self, budgets: Budgets, name: str, role: Role, model: str) -> None:
        self.budgets, self.name, self.role, self.model = budgets, name, role, model
        self.gated = bool(budgets.limits)  # any role's: a stage ends as a whole
        # How many requests the engine really has under way; None: a batch at a time, in `work`.
        self.window = {"openai": role.concurrency * len(role.urls), "vllm": VLLM_WINDOW}.get(role.engine)
        if role.batch:
            self.window = sys.maxsize

    def pay(self, answers: int, tokens: Tokens) -> None:
        dollars = cost(self.role, *tokens)
        self.budgets.book.write(Payment(self.budgets.stage, self.name, self.model, answers, *tokens, dollars))

    def room(self, most: Tokens) -> int:
        """How many requests may be under way at once when each may take `most`; 0: the budget is used up. Few only near its end."""
        rest = self.window or sys.maxsize
        for _, used, limit, dear in self._limits(most):
            rest = min(rest, max(1, int((limit - used) / dear)) if dear else rest) if used < limit else 0
        return rest

    def explained(self) -> str:
        """Which limit is reached, and what to do. Only where `room` is 0."""
        kind, used, limit, _ = max(self._limits((0, 0)), key=lambda entry: entry[1] / entry[2])
        shown = f"{used:,} of {limit:,}" if kind == "tokens" else f"{used:,.4f} of {limit:,.4f}"
        return (
            f"the budget of roles.{self.name} is used up: {shown} {kind}. What was answered is stored: raise budget.{self.name}.{kind} and "
            "run dvc repro again"
        )

    def _limits(self, most: Tokens) -> Iterator[tuple[str, float, float, float]]:
        """(kind, used, limit, what one request may take) of each limit."""
        budget, spent = self.budgets.limits.get(self.name), self.budgets.book.of(self.name)
        if budget and budget.tokens is not None:
            yield "tokens", spent.tokens, budget.tokens, sum(most)
        if budget and budget.dollars is not None:
            yield "dollars", spent.dollars, budget.dollars, cost(self.role, *most)


class Gate(Generic[Item, Answer]):
    """In front of one role's engine or scorer: passes on what fits into the budget, keeps the rest here."""

    def __init__(self, backend: Any, account: Account, most: Callable[[Item], Tokens]) -> None:
        self.backend, self.account, self.most, self.budgets = backend, account, most, account.budgets
        self.pending: deque[tuple[str, Item]] = deque()
        self.landed: Callable[[Mapping[str, Answer]], None]
        self.inside, self.closed = 0, False
        self.lock = threading.Lock()
        self.budgets.gates.append(self)

    def submit(self, items: Mapping[str, Item], landed: Callable[[Mapping[str, Answer]], None]) -> None:
        self.landed = landed  # one caller: always the same
        self.pending.extend(items.items())
        self._feed()

    def work(self) -> bool:
        """Raises EngineError when a budget is used up and nothing is under way any more."""
        if self.budgets.used_up and not any(gate.inside for gate in self.budgets.gates if gate.account.window):
            raise EngineError(self.budgets.used_up.explained())
        return (self.account.window is not None or not self.budgets.used_up) and self.backend.work()

    def shut(self) -> None:
        with self.lock:
            self.closed = True

    def close(self) -> None:
        self.shut()
        self.backend.close()

    def _feed(self) -> None:
        with self.lock:
            if not self.pending or self.closed or self.budgets.used_up:
                return
            dearest = max((self.most(item) for _, item in islice(self.pending, LOOKED_AT)), key=sum)
            room = self.account.room(dearest)
            if not room:
                self.budgets.used_up = self.account
            part = dict(self.pending.popleft() for _ in range(min(len(self.pending), room - self.inside)))
            self.inside += len(part)
            if part:
                self.backend.submit(part, self._landed)

    def _landed(self, answers: Mapping[str, Answer]) -> None:
        """From `work` or a thread of the engine's."""
        self.landed(answers)
        with self.lock:
            self.inside -= len(answers)
        with suppress(EngineError):  # an engine that broke off says so in `work`; the other answers of this turn are to be stored
            self._feed()
