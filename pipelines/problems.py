"""Sources → problems: read, deduplicate, decontaminate, split. `python -m pipelines.problems`

data/tables/problems.parquet   Problem(family="tally", split="train", problem="Tom had 12 apples. …", answer="15", …)
data/rejects/problems.parquet  Reject(reason="near-duplicate", parent_id=<the survivor>, …)
"""

from collections import Counter

from factory.errors import DataError
from factory.params import Params
from factory.problems.decontaminate import Benchmark, decontaminate
from factory.problems.dedup import deduplicate
from factory.problems.sources import read_problems
from factory.problems.split import assign
from factory.problems.world import spaces
from factory.schemas import Problem, Reject
from factory.storage import REJECTS, TABLES, write_rejects, write_rows
from pipelines import stage


def main(params: Params) -> None:
    """Raises DataError when more than `max_reject_share` of the rows are rejected, after writing the rejects."""
    settings = params.problems
    read, rejects = read_problems(settings, params.seed)
    rows_in = len(read) + len(rejects)
    kept, doubles = deduplicate(read, settings.near_duplicate)
    clean, contaminated = _decontaminate(params, kept)
    rejects += doubles + contaminated
    hashed = {source.name for source in settings.sources if source.kind != "world" and source.split is None}
    free = assign([row for row in clean if row.source in hashed], settings.split_shares, settings.near_duplicate, params.seed)
    problems = free + [row for row in clean if row.source not in hashed]
    assert rows_in == len(problems) + len(rejects), (rows_in, len(problems), len(rejects))

    write_rejects("problems", rejects)
    _check_share(rejects, rows_in, settings.max_reject_share)
    write_rows(TABLES / "problems.parquet", Problem, problems)
    print(f"{len(problems)} problems ({_counts(Counter(row.split for row in problems))}), {len(rejects)} rejects ({_reasons(rejects)})")
    if settings.world is not None and any(row.source == "world" for row in problems):
        drawn = {family: f"{n} of {space}" for family, (space, n) in spaces(settings.world, problems).items()}
        print(f"instances drawn of those there are: {_counts(drawn)}")


def _decontaminate(params: Params, problems: list[Problem]) -> tuple[list[Problem], list[Reject]]:
    """An audit keeps the overlap, for it is what the line is about, and says how large it is."""
    benchmarks = [Benchmark.read(path, params.problems.contamination_ngram) for path in params.problems.benchmarks]
    clean, contaminated = decontaminate(problems, benchmarks)
    if benchmarks:
        print(f"{len(contaminated)} of {len(problems)} problems overlap {', '.join(benchmark.name for benchmark in benchmarks)}")
    return (problems, []) if params.purpose == "audit" else (clean, contaminated)


def _check_share(rejects: list[Reject], rows_in: int, most: float) -> None:
    if not rows_in or len(rejects) > most * rows_in:
        raise DataError(
            f"{len(rejects)} of {rows_in} rows are rejected, more than problems.max_reject_share {most:g} ({_reasons(rejects)}): "
            f"see {REJECTS / 'problems.parquet'}, mend the source or raise the share"
        )


def _reasons(rejects: list[Reject]) -> str:
    return _counts(dict(Counter(row.reason for row in rejects).most_common(4))) or "none"


def _counts(counts: Counter[str] | dict[str, int] | dict[str, str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


if __name__ == "__main__":
    stage.run("problems", main)
