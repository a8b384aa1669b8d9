"""`factory timings`: seconds and memory of each stage's last run.

factory timings
"""

import typer

from factory.errors import DataError


def timings() -> None:
    """Seconds and memory of each stage's last run, as a Markdown table for the docs; exit code 1 when one used more than it may."""
    from factory.params import load
    from factory.status import BOUND_MB, over_bound, timings_markdown

    params = load()
    typer.echo(timings_markdown(params))
    if over := over_bound(params):
        stages = ", ".join(f"{title} {peak:,} MB" for title, peak in over.items())
        raise DataError(f"more memory than the {BOUND_MB:,} MB that a stage of this line may use: {stages}")
