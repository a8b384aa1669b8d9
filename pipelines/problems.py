"""Sources → problems: read, decontaminate, deduplicate, cap, split. `python -m pipelines.problems`

data/tables/problems.parquet   Problem(family="tally", split="train", problem="Tom had 12 apples. …", answer="15", …)
data/rejects/problems.parquet  Reject(reason="near-duplicate", parent_id=<the survivor>, …)
"""

import json
from collections import Counter
from collections.abc import Sequence

from factory.errors import DataError
from factory.params import Params
from factory.problems.decontaminate import Benchmark, decontaminate
from factory.problems.dedup import deduplicate
from factory.problems.draw import BEYOND, capped
from factory.problems.keys import keys
from factory.problems.sources import Read, read_problems, reasons
from factory.problems.split import assign
from factory.problems.world import spaces
from factory.rejects import write_rejects
from factory.schemas import Problem, Reject
from factory.storage import REJECTS, TABLES, write_rows
from pipelines import stage

NOT_BAD = ("exact duplicate", "duplicate instance", BEYOND)  # rejects of good rows: another one says the same, or enough others are there


def main(params: Params) -> None:
    """Raises DataError, after writing the rejects, when a source gives no problem or more than `max_reject_share` of its rows are bad."""
    settings = params.problems
    read = read_problems(settings, params.seed)
    for source in read:
        if source.source.kind != "world":
            print("\n".join(source.said()))
    rejects = [row for source in read for row in source.rejects]
    clean, contaminated = _decontaminate(params, [row for source in read for row in source.problems])
    known = keys(row.problem for row in clean if row.instance == row.id)  # the world knows its doubles and its sides itself
    kept, doubles = deduplicate(clean, settings.near_duplicate, known)
    kept, beyond = capped(kept, {source.name: source.cap for source in settings.sources if source.cap}, params.seed)
    rejects += contaminated + doubles + beyond
    hashed = {source.name for source in settings.sources if source.kind != "world" and source.split is None}
    own = [row for row in kept if row.source not in hashed]
    free = [row for row in kept if row.source in hashed]
    fixed = [row for row in own if row.instance == row.id]
    free, notes = assign(free, settings.split_shares, settings.near_duplicate, params.seed, fixed, known)
    problems = free + own
    rows_in = sum(source.rows for source in read)
    assert rows_in == len(problems) + len(rejects), (rows_in, len(problems), len(rejects))

    write_rejects("problems", rejects)
    _check_sources(read, problems, rejects, settings.max_reject_share)
    write_rows(TABLES / "problems.parquet", Problem, problems)
    print(f"{len(problems)} problems ({_counts(Counter(row.split for row in problems))}), {len(rejects)} rejects ({reasons(rejects)})")
    print("".join(f"{note}\n" for note in notes), end="")
    if settings.world is not None and any(row.source == "world" for row in problems):
        drawn = {family: f"{n} of {space}" for family, (space, n) in spaces(settings.world, problems).items()}
        print(f"instances drawn of those there are: {_counts(drawn)}")


def _decontaminate(params: Params, problems: list[Problem]) -> tuple[list[Problem], list[Reject]]:
    """An audit keeps the overlap, for it is what the line is about, and says how large it is."""
    benchmarks = [Benchmark.read(path, params.problems.contamination_ngram) for path in params.problems.benchmarks]
    clean, contaminated = decontaminate(problems, benchmarks)
    if benchmarks:
        print("\n".join(benchmark.said() for benchmark in benchmarks))
        print(f"{len(contaminated)} of {len(problems)} problems overlap {', '.join(benchmark.name for benchmark in benchmarks)}")
    return (problems, []) if params.purpose == "audit" else (clean, contaminated)


def _check_sources(read: Sequence[Read], problems: Sequence[Problem], rejects: Sequence[Reject], most: float) -> None:
    """Each source by itself. What counts is every reject but `NOT_BAD`."""
    left = Counter(row.source for row in problems)
    bad: dict[str, list[Reject]] = {}
    for row in rejects:
        if row.reason not in NOT_BAD:
            bad.setdefault(json.loads(row.row)["source"], []).append(row)
    for source in read:
        name = source.source.name
        if not (found := bad.get(name)) or (left[name] and len(found) <= most * source.rows):
            continue
        what = f"more than problems.max_reject_share {most:g}" if len(found) > most * source.rows else "no problem is left"
        raise DataError(
            f"source {name}: {len(found)} of {source.rows} rows are rejected, {what} ({reasons(found)}): see "
            f"{REJECTS / 'problems.parquet'}, correct {source.source.path or 'the source'} or its columns, or raise the share"
        )


def _counts(counts: Counter[str] | dict[str, str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


if __name__ == "__main__":
    stage.run("problems", main)
