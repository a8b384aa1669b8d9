"""How often each policy solves its problems, as a table: what `restarts.pass_rate` and `demonstrations.pass_rate` choose by.

pass_rates(params)   → Table(("policy", "problems", "samples", "never", "to 1/4", …), (("base", "400", "3,200", "12.0 %", …), …))
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from math import ceil, fsum

from factory.params import Params
from factory.reports.page import Block, Table
from factory.reports.scan import Scan
from factory.storage import TABLES

PARTS = ("never", "to 1/4", "to 1/2", "to 3/4", "below 1", "always")


def pass_rates(params: Params) -> Iterator[Block]:
    """A row a policy that has rollouts: the shares of its problems by pass rate."""
    rows = []
    for name in params.policies:
        path = TABLES / f"rollouts_{name}.parquet"
        if path.exists():
            with Scan.of(path) as scan:
                one = "(SELECT max(pass_rate) AS rate FROM {rows} GROUP BY problem_id)"  # all rows of a problem say the same
                rates = Counter(dict(scan.ask(f"SELECT rate, count(*) FROM {one} GROUP BY ALL ORDER BY ALL")))
                samples = scan.rows
            if problems := sum(rates.values()):
                parts = [f"{100 * share:.1f} %" for share in histogram(rates)]
                mean = fsum(rate * count for rate, count in rates.items()) / problems
                rows.append((name, f"{problems:,}", f"{samples:,}", *parts, f"{mean:.3f}"))
    if rows:
        yield Table(("policy", "problems", "samples", *PARTS, "mean"), tuple(rows), "Problems by the share of their samples that are right")


def histogram(rates: Mapping[float, int]) -> list[float]:
    """The share of the problems (rate → how many) in each of `PARTS`: 0, (0, 1/4], (1/4, 1/2], (1/2, 3/4], (3/4, 1), 1."""
    counts: Counter[int] = Counter()
    for rate, count in rates.items():
        counts[5 if rate == 1 else ceil(4 * rate)] += count
    return [counts[part] / sum(rates.values()) for part in range(len(PARTS))]
