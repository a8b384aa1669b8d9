"""`factory publish`: all released datasets as configs of one dataset repository of a Hub, and models beside it.

factory publish --repo org/name --dry-run
factory publish --repo org/name --private --models planner_dpo
"""

from typing import TYPE_CHECKING, Annotated

import typer

from factory.cli.printing import print_table
from factory.words import amount

if TYPE_CHECKING:
    from factory.publish.publish import Outcome

EPILOG = "Examples: factory publish --repo org/name --dry-run · factory publish --repo org/name --private --models planner_dpo"


def publish(
    repo: Annotated[str, typer.Option("--repo", help="organisation/name on the Hub (another Hub: HF_ENDPOINT).")],
    private: Annotated[bool, typer.Option("--private", help="Repositories that are created are private.")] = False,
    revision: Annotated[str, typer.Option("--revision", help="The branch; one that is missing starts from main.")] = "main",
    models: Annotated[list[str] | None, typer.Option("--models", help="A model under data/models, to organisation/name-MODEL.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent; write nothing.")] = False,
    language: Annotated[str, typer.Option("--language", help="Of the texts, ISO 639.")] = "en",
) -> None:
    """All released datasets as configs of one dataset repository, in one commit. Token: HF_TOKEN or `hf auth login`."""
    from factory.params import load
    from factory.publish.checks import left_over
    from factory.publish.publish import Order
    from factory.publish.publish import publish as run
    from factory.status import stale

    order = Order(repo, private, revision, tuple(models or ()), dry_run, language)
    params = load()
    for outcome in run(order, params, stale):
        _show(outcome, dry_run)
    if others := ", ".join(map(str, left_over(params))):
        print(f"left out: {others}: params.yaml names no such dataset; delete the folder, or name it under datasets")


def _show(outcome: "Outcome", dry: bool) -> None:
    plan = outcome.plan
    if dry:
        rows = [[change.path, change.state, f"{change.size:,}"] for change in plan.changes]
        print_table(["file", "", "bytes"], rows, f"{outcome.kind} {outcome.repo}")
        if outcome.note:
            print(f"not compared: {outcome.note}")
    size = sum(change.size for change in plan.sent)
    done = "would send" if dry else "sent"
    same = len(plan.changes) - len(plan.sent) - len(plan.gone)
    if plan.sent or plan.gone:
        print(f"{outcome.repo}: {done} {amount(len(plan.sent), 'file')}, {amount(size, 'byte')}; {len(plan.gone)} removed, {same} the same")
    else:
        print(f"{outcome.repo}: nothing to send, {amount(same, 'file is', 'files are')} the same")
    if outcome.commit:
        print(f"{outcome.repo}: commit {outcome.commit}")
