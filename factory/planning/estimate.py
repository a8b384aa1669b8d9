"""What a line will ask and cost, stage by stage, each figure from the best source that there is.

    plan = estimate(Path("params.yaml"))
    plan.stages[0]   → Cost("rollouts@base", requests=3600, how="exactly", tokens_in=131212, tokens_out=134428, …)

Requests: of the last run's tables where that had these params, else counted from the params (`asks`). Tokens: of the log, of the store's
answers for that stage and model, else prompts as they render and a stated share of `max_tokens`. All of a line from its beginning: what the
store has answered costs nothing when it is asked again. What cannot be known is said to be unknown, and a sum over it is a least one.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.engines.budget import Book
from factory.errors import DataError, EngineError
from factory.line import stages_of
from factory.params import Params, load
from factory.params.yaml_file import read_yaml
from factory.planning import graph
from factory.planning.asks import Asked, Given, asked, uncounted
from factory.planning.costs import Cost, Detail, Plan
from factory.planning.history import History
from factory.planning.hub import Hub
from factory.planning.lengths import Prompter
from factory.planning.measures import Measures, given, role_prices, stored_names, told
from factory.planning.needs import told as told_needs
from factory.planning.samples import Sample, Sizes, sample, sizes
from factory.planning.training import Lengths, Trained, parameters, trained
from factory.words import amount

FILLED = 0.5  # of max_tokens: an answer of a model that nothing has measured
BYTES = 8  # of a token, in tables and in the request store
WEIGHT = 4  # bytes of a parameter
TAKEN = ": as many problems as the params ask for are taken"


@dataclass(frozen=True)
class Rates:
    """Tokens a second that are given: of one answering model with all that it does at once, and of training."""

    generating: float | None = None
    training: float | None = None


def estimate(file: Path, store: Path, rates: Rates = Rates(), *, fresh: bool = False) -> Plan:
    """`fresh`: as if nothing had ever run or been asked. Raises ParamsError for a file that is no profile."""
    whole = file.resolve()
    with contextlib.chdir(graph.line_of(file).parent):
        params, document = load(whole), read_yaml(whole)
        past, measures = (History(), Measures()) if fresh else (History.of(document), Measures.of(store))
        found = sample(params, past)
        counted = sizes(params, past)
        shares, measured = given(params, past, found)
        return _plan(params, past, measures, (found, counted, shares, measured), rates)


def _plan(
    params: Params, past: History, measures: Measures, known: tuple[Sample, Sizes, Given, dict[str, str]], rates: Rates
) -> Plan:  # fmt: skip
    found, counted, shares, measured = known
    asks, prompter = asked(params, counted, shares), Prompter(params, found, past, Hub())
    counted_by = _count(prompter, asks)
    details: dict[str, list[Detail]] = defaultdict(list)
    for ask in asks:
        details[ask.stage].append(_detail(ask, past, measures, prompter, rates))
    for stage, items in details.items():
        details[stage] = _as_it_ran(stage, items, past)
    lengths = _lengths(asks, details)
    training = trained(params, past, counted, shares, lengths)
    count, whence = parameters(params, prompter.hub)
    stages = list[Cost]()
    for title in (stage.title for stage in stages_of(params)):
        if title in details or title in training or title.startswith("adoption@"):
            stages.append(_cost(title, details.get(title, []), training.get(title), count, past, rates))
    released = [past.bytes(f"release@{name}") for name in params.datasets]
    if any(released):
        stages.append(Cost(f"release, {amount(len(released), 'dataset')}", bytes=sum(size or 0 for size in released), ran=all(released)))
    size = [f"{count / 1e6:,.1f} M parameters of the base: {whence}"] if count else []
    doubt = (
        ""
        if counted.exact
        else ", of which some may be rejected"
        if counted.train is not None
        else ""
        if uncounted(params, counted)
        else TAKEN
    )
    said = [f"{counted.said}{doubt}", f"prompts: {found.said}, {counted_by}", *size]
    shares_said = told(params, shares)
    said += [f"{shares_said[name]}: {place}" for name, place in measured.items() if name in shares_said]
    guessed = [line for name, line in shares_said.items() if name not in measured]
    memory = told_needs(params, past, prompter.hub, lengths.prompt) if training else []
    book = Book()
    return Plan(
        params, stages, counted, said, [*_constants(stages, count), *guessed], memory, {name: book.of(name) for name in params.budget}
    )


def _count(prompter: Prompter, asks: Sequence[Asked]) -> str:
    """How prompts are counted."""
    try:
        prompter.count([ask for ask in asks if prompter.tokenizer(ask.role).source])
    except (EngineError, DataError):
        prompter.trusts_tokenizers = False
    sources = {prompter.source(ask.role) for ask in asks} - {""}
    return f"counted by the tokenizer of {', '.join(sorted(sources))}" if sources else "4 characters a token"


def _detail(ask: Asked, past: History, measures: Measures, prompter: Prompter, rates: Rates) -> Detail:
    stage, names = ask.stage.replace("@", "_"), stored_names(ask, past)
    average, rate = measures.average(stage, names), rates.generating
    if average:
        tokens, answer, said = average.tokens_in, average.tokens_out, f"{amount(average.answers, 'answer')} of {names[0]} in the store"
        if others := measures.other_limits(stage, names, ask.max_tokens):
            said += f", made under max_tokens {', '.join(map(str, others))}: of these only what was cut is asked again"
        rate = rate or measures.rate(stage)
    elif ask.role.engine == "recorded":
        tokens, answer, said = 0.0, 0.0, "recorded: nothing is asked"
    elif not ask.max_tokens:
        tokens, answer, said = 0.0, 0.0, "scores: no tokens are counted"
    else:
        counts = [count for question in ask.questions for count in prompter.counts(ask, question)]
        tokens, answer = sum(counts) / len(counts), FILLED * ask.max_tokens
        said = f"{', '.join(ask.questions)} rendered; {FILLED:.0%} of {ask.limit} (assumed)"
    tokens_in, tokens_out = ask.requests * tokens, ask.requests * answer
    counted = ask.role.engine == "recorded" or (ask.how != "unknown" and (bool(average) or ask.max_tokens > 0))
    return Detail(
        ask.asker, ask.role.model, ask.requests, ask.how, ask.why, tokens_in, tokens_out, said, rate,
        role_prices(ask.role, tokens_in, tokens_out), ask.stored, counted,
    )  # fmt: skip


def _as_it_ran(stage: str, items: list[Detail], past: History) -> list[Detail]:
    """The same with the requests that the stage made, where it ran with these params: their sum is known, or each role's own."""
    if stage == "demonstrations" and past.ran(stage):
        logged = {row["role"]: row for row in past.usage()}
        return [
            _scaled(item, logged[item.asker]["requests"], "the log of the last run") if item.asker in logged else item for item in items
        ]
    total, counted = past.requests(stage), sum(item.requests for item in items if item.stored)
    if not total or not counted:
        return items
    return [_scaled(item, item.requests * total / counted, "the last run's tables") for item in items]


def _scaled(item: Detail, requests: float, why: str) -> Detail:
    factor = requests / item.requests if item.requests else 0.0
    dollars = None if item.dollars is None else item.dollars * factor
    values = {"requests": requests, "how": "exactly", "why": why, "dollars": dollars}
    return Detail(**{**vars(item), **values, "tokens_in": item.tokens_in * factor, "tokens_out": item.tokens_out * factor})


def _lengths(asks: Iterable[Asked], details: dict[str, list[Detail]]) -> Lengths:
    """Of rollouts and of the planner, as they are estimated above."""
    items = {**{item.asker: item for item in details.get("trajectories", [])}}
    first = next((details[ask.stage][0] for ask in asks if ask.stage.startswith("rollouts@")), None)
    planner = items.get("planner")
    return Lengths(
        *((first.tokens_in / first.requests, first.tokens_out / first.requests) if first and first.requests else (0.0, 0.0)),
        planner.tokens_out / planner.requests if planner else 0.0,
    )  # fmt: skip


def _cost(
    title: str, details: list[Detail], training: Trained | None, count: int | None, past: History, rates: Rates
) -> Cost:  # fmt: skip
    seconds = None
    if training:
        given = training.tokens / rates.training if rates.training and training.tokens is not None else None
        seconds = given if rates.training else past.seconds(title)
    model = count * WEIGHT if count and (training or title.startswith("adoption@")) else 0
    texts = round(BYTES * sum(item.tokens_in + item.tokens_out for item in details if item.stored))
    known = past.bytes(title)
    unknown = count is None and (training or title.startswith("adoption@"))
    size = known if known is not None else None if unknown else model + texts
    return Cost(title, details, training, seconds, size, past.ran(title))


def _constants(stages: Sequence[Cost], count: int | None) -> list[str]:
    found = ["disk is that of the outs: where DVC cannot link, its cache takes as much again"]
    if any("(assumed)" in item.said for stage in stages for item in stage.details):
        found.append(f"an answer fills {FILLED:.0%} of its max_tokens where the store has none of that stage and model")
    if count and any(not stage.ran and stage.trained for stage in stages):
        found.append(f"{WEIGHT} bytes a parameter of a model, {BYTES} bytes a token in tables and store")
    return found
