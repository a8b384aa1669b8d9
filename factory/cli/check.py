"""`factory check`: whether a profile can run, before anything runs.

factory check
factory check qwen-0.5b
factory check pipelines/recorded_gsm8k/params.yaml
"""

from typing import Annotated

import typer

from factory.cli.printing import console, fail
from factory.words import amount

EPILOG = "Examples: factory check · factory check qwen-0.5b · factory check my_params.yaml"
STYLES = {"ok": "green", "skipped": "dim", "warning": "yellow", "missing": "bold red", "wrong": "bold red"}


def check(
    profile: Annotated[str, typer.Argument(help="A profile under pipelines/profiles, or a params file.")] = "params.yaml",
) -> None:
    """Whether a profile can run: its keys and names; files, models, servers and packages that it needs; the graph; prompts of every role;
    and that what is asked fits the models' contexts. Takes seconds, runs and writes nothing; fetches tokenizers, never weights.

    A line says `ok`, `skipped` (what cannot be known yet, and why), `warning`, `missing` or `wrong`; exit code 1 for the last two."""
    from factory.planning.checks import checked, file_of
    from factory.planning.findings import TOPICS, faults, summary
    from factory.reports.readable import visible

    found, output = checked(file_of(profile)), console()
    for topic in TOPICS:
        own = [finding for finding in found if finding.topic == topic]
        if own:
            output.print(topic, style="bold")
        for finding in own:
            output.print(f"  {finding.state:8}", style=STYLES[finding.state], end="")
            output.print(visible(f"{finding.key}: {finding.said}"), markup=False)
            if finding.remedy:
                output.print(visible(f"          → {finding.remedy}"), markup=False)
    output.print(summary(found), style="bold")
    if lacking := faults(found):
        fail(f"{profile} cannot run as it is: {len(lacking)} of {amount(len(found), 'check')} failed")
