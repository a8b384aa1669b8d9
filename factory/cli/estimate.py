"""`factory estimate`: what a profile will ask and cost, stage by stage, before it runs.

factory estimate
factory estimate qwen-0.5b --tokens-per-second 2000 --why
"""

from typing import TYPE_CHECKING, Annotated

import typer

from factory.cli.printing import console, print_table

if TYPE_CHECKING:
    from factory.planning.estimate import Cost, Plan

EPILOG = "Examples: factory estimate · factory estimate qwen-0.5b --tokens-per-second 2000 · factory estimate satori-7b --why"
MARKS = {"exactly": "", "at most": "≤ ", "about": "≈ "}
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

    Requests are counted from the params: ≤ at most, ≈ expected from shares that only a run knows. A stage that has run with these params
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
    for title, lines in (("measured from", plan.measured), ("assumed", plan.assumed), ("budgets", _budgets(plan))):
        for line in lines:
            output.print(f"{title}: {line}", style="dim", markup=False)
    if any(stage.seconds is None for stage in plan.stages):
        output.print(f"hours: {NO_RATE}, and --training-tokens-per-second", style="yellow", markup=False)


def _cells(stage: "Cost") -> list[str]:
    asks = bool(stage.details)
    return [
        f"{stage.stage}{' *' if stage.ran else ''}",
        f"{MARKS[stage.how]}{stage.requests:,.0f}" if asks and stage.requests else "",
        _count(stage.tokens_in), _count(stage.tokens_out), _count(stage.trained.tokens if stage.trained else 0), _size(stage.bytes),
        _hours(stage.seconds, stage), "" if stage.dollars is None else f"{stage.dollars:,.2f}",
    ]  # fmt: skip


def _totals(plan: "Plan") -> list[str]:
    stages = plan.stages
    seconds = [stage.seconds for stage in stages if stage.seconds is not None]
    dollars = [stage.dollars for stage in stages if stage.dollars is not None]
    partly = "" if len(seconds) == len(stages) else " and more"
    return [
        "all", f"{sum(stage.requests for stage in stages):,.0f}", _count(sum(stage.tokens_in for stage in stages)),
        _count(sum(stage.tokens_out for stage in stages)), _count(sum(stage.trained.tokens for stage in stages if stage.trained)),
        _size(sum(stage.bytes or 0 for stage in stages)), f"{sum(seconds) / HOUR:,.2f}{partly}", f"{sum(dollars):,.2f}" if dollars else "",
    ]  # fmt: skip


def _print_details(plan: "Plan") -> None:
    rows = []
    for stage in plan.stages:
        for item in stage.details:
            rate = f"{item.rate:,.0f} tokens/s" if item.rate else NO_RATE if item.tokens_out else ""
            requests = f"{MARKS[item.how]}{item.requests:,.0f}"
            rows.append([stage.stage, item.asker, item.model, requests, item.why, item.said, rate if item.stored else "in its trainer"])
        if stage.trained:
            rows.append([stage.stage, "trains", stage.trained.model, "", stage.trained.said, "", ""])
    print_table(["stage", "asked", "model", "requests", "counted from", "tokens from", "rate"], rows)


def _budgets(plan: "Plan") -> list[str]:
    """A role's limits beside what it is expected to use."""
    used, found = plan.by_role(), []
    for name, budget in plan.params.budget.items():
        tokens, dollars = used.get(name, (0.0, 0.0))
        limits = [f"{tokens:,.0f} of {budget.tokens:,} tokens"] if budget.tokens is not None else []
        limits += [f"{dollars:,.2f} of {budget.dollars:,.2f} dollars"] if budget.dollars is not None else []
        found.append(f"{name} uses {' and '.join(limits)}")
    return found


def _count(tokens: float) -> str:
    return f"{tokens:,.0f}" if tokens else ""


def _hours(seconds: float | None, stage: "Cost") -> str:
    if seconds is None:
        return "?"
    return f"{seconds / HOUR:,.2f}" if seconds else ""


def _size(size: int | None) -> str:
    from factory.planning.outside import readable

    return "?" if size is None else readable(size) if size else ""
