"""`factory estimate`: what a profile will ask and cost, stage by stage, before it runs.

factory estimate
factory estimate qwen-0.5b --tokens-per-second 2000 --why
"""

from typing import TYPE_CHECKING, Annotated

import typer

from factory.cli.printing import console, print_table

if TYPE_CHECKING:
    from factory.planning.costs import Cost, Plan, Use

EPILOG = "Examples: factory estimate · factory estimate qwen-0.5b --tokens-per-second 2000 · factory estimate satori-7b --why"
MARKS = {"exactly": "", "at most": "≤ ", "about": "≈ ", "unknown": "≥ "}
UNKNOWN = "?"
HOUR = 3600
NO_RATE = "no rate known: give --tokens-per-second"


def estimate(
    profile: Annotated[str, typer.Argument(help="A profile under pipelines/profiles, or a params file.")] = "params.yaml",
    tokens_per_second: Annotated[
        float | None, typer.Option("--tokens-per-second", min=0.001, help="Written by a model with all that it does at once.")
    ] = None,
    training_tokens_per_second: Annotated[
        float | None, typer.Option("--training-tokens-per-second", min=0.001, help="Read by a trainer.")
    ] = None,
    why: Annotated[bool, typer.Option("--why", help="Each role's part of each stage, and where its figures come from.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="As if nothing had run or been asked before.")] = False,
) -> None:
    """What a line asks from its beginning: requests, tokens in and out, tokens trained on, disk, hours, dollars at roles.*.price.

    Requests are counted from the params: ≤ at most, ≈ expected from shares that only a run knows; ≥ and `at least`: a part is unknown,
    ? all of it. A stage that has run with these params
    (*) gives its own numbers; tokens come from the request store's answers of that stage and model, else from prompts as they render.
    What the store has answered already costs nothing when it is asked again."""
    from factory.engines.store import default_path
    from factory.planning.checks import file_of
    from factory.planning.estimate import Rates
    from factory.planning.estimate import estimate as planned

    plan = planned(file_of(profile), default_path(), Rates(tokens_per_second, training_tokens_per_second), fresh=fresh)
    if why:
        _print_details(plan)
    headers = ["stage", "requests", "tokens in", "tokens out", "trained on", "disk", "hours", "dollars"]
    print_table(headers, [*(_cells(stage) for stage in plan.stages), _totals(plan)], profile)
    output = console()
    for title, lines in (("measured from", plan.measured), ("assumed", plan.assumed), ("memory", plan.memory), ("budgets", _budgets(plan))):
        for line in lines:
            output.print(f"{title}: {line}", style="dim", markup=False)
    if any(stage.seconds is None for stage in plan.stages):
        output.print(f"hours: {NO_RATE}, and --training-tokens-per-second", style="yellow", markup=False)


def _cells(stage: "Cost") -> list[str]:
    trained, lost = stage.trained, stage.how == "unknown" and not stage.counted
    return [
        f"{stage.stage}{' *' if stage.ran else ''}", _requests(stage.requests, stage.how),
        _least(_count(stage.tokens_in), whole=stage.counted), _least(_count(stage.tokens_out), whole=not lost),
        UNKNOWN if trained and trained.tokens is None else _count(_trained(stage)), _size(stage.bytes),
        _least(_hours(stage.least_seconds), whole=_timed(stage)),
        _least("" if stage.dollars is None else f"{stage.dollars:,.2f}", whole=stage.priced),
    ]  # fmt: skip


def _totals(plan: "Plan") -> list[str]:
    """Over what is known: where a stage hides something, at least that."""
    stages = plan.stages
    dollars = [stage.dollars for stage in stages if stage.dollars is not None]
    columns = [
        (_count(sum(stage.requests for stage in stages)), [stage.how != "unknown" for stage in stages]),
        (_count(sum(stage.tokens_in for stage in stages)), [stage.counted for stage in stages]),
        (_count(sum(stage.tokens_out for stage in stages)), [stage.counted or stage.how != "unknown" for stage in stages]),
        (_count(sum(map(_trained, stages))), [not stage.trained or stage.trained.tokens is not None for stage in stages]),
        (_size(sum(stage.bytes or 0 for stage in stages)), [stage.bytes is not None for stage in stages]),
        (_hours(sum(stage.least_seconds for stage in stages)), [_timed(stage) for stage in stages]),
        (f"{sum(dollars):,.2f}" if dollars else "", [stage.priced for stage in stages]),
    ]
    return ["all", *(_least(text, whole=all(whole), word="at least ") for text, whole in columns)]


def _requests(count: float, how: str) -> str:
    return f"{MARKS[how]}{count:,.0f}" if count else UNKNOWN if how == "unknown" else ""


def _least(text: str, *, whole: bool, word: str = "≥ ") -> str:
    """A figure of which a part is unknown says so; of which all is, is a question mark."""
    return text if whole else f"{word}{text}" if text else UNKNOWN


def _timed(stage: "Cost") -> bool:
    """Scores take time too, of which no rate is known."""
    return stage.seconds is not None and stage.counted


def _trained(stage: "Cost") -> float:
    return stage.trained.tokens or 0.0 if stage.trained else 0.0


def _print_details(plan: "Plan") -> None:
    rows = []
    for stage in plan.stages:
        for item in stage.details:
            rate = f"{item.rate:,.0f} tokens/s" if item.rate else NO_RATE if item.tokens_out else ""
            rows.append([
                stage.stage, item.asker, item.model, _requests(item.requests, item.how), item.why, item.said,
                rate if item.stored else "in its trainer",
            ])  # fmt: skip
        if stage.trained:
            rows.append([stage.stage, "trains", stage.trained.model, "", stage.trained.said, "", ""])
    print_table(["stage", "asked", "model", "requests", "counted from", "tokens from", "rate"], rows)


def _budgets(plan: "Plan") -> list[str]:
    """What each role has paid of its limits, and whether what is still to be asked would pass them."""
    from factory.planning.costs import Use

    waiting, found = plan.to_ask(), []
    for name, budget in plan.params.budget.items():
        use, spent = waiting.get(name, Use()), plan.spent[name]
        if budget.tokens is not None:
            found.append(_budget(f"{name} tokens", "{:,.0f}", budget.tokens, spent.tokens, use.tokens, use))
        if budget.dollars is not None:
            found.append(_budget(f"{name} dollars", "{:,.2f}", budget.dollars, spent.dollars, use.dollars, use))
    return found


def _budget(what: str, shown: str, limit: float, used: float, more: float, use: "Use") -> str:
    least, over = "" if use.whole else "at least ", used + more - limit
    said = f"{what}: {shown.format(used)} of {shown.format(limit)} used, {least}{shown.format(more)} still to ask"
    if over > 0:
        return f"{said}: {shown.format(over)} too many, the line would stop (what the store has answered is free)"
    return f"{said}: {'enough' if use.whole else 'whether it is enough is not known'}"


def _count(tokens: float) -> str:
    return f"{tokens:,.0f}" if tokens else ""


def _hours(seconds: float) -> str:
    return f"{seconds / HOUR:,.2f}" if seconds else ""


def _size(size: int | None) -> str:
    from factory.planning.outside import readable

    return "?" if size is None else readable(size) if size else ""
