"""How often each policy solves its problems, as a table: what `restarts.pass_rate` and `demonstrations.pass_rate` choose by.

pass_rates(params)   → Table(("policy", "problems", "samples", "never", "to 1/4", …), (("base", "400", "3,200", "12.0 %", …), …))
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import ceil

from factory.params import Params
from factory.reports.page import Block, Table
from factory.storage import TABLES, read_table

PARTS = ("never", "to 1/4", "to 1/2", "to 3/4", "below 1", "always")


def pass_rates(params: Params) -> Iterator[Block]:
    """A row a policy that has rollouts: the shares of its problems by pass rate."""
    rows = []
    for name in params.policies:
        path = TABLES / f"rollouts_{name}.parquet"
        if path.exists():
            table = read_table(path, ["problem_id", "pass_rate"])
            rates = list(dict(zip(*(table.column(column).to_pylist() for column in ("problem_id", "pass_rate")), strict=True)).values())
            if rates:
                parts = [f"{100 * share:.1f} %" for share in histogram(rates)]
                rows.append((name, f"{len(rates):,}", f"{table.num_rows:,}", *parts, f"{sum(rates) / len(rates):.3f}"))
    if rows:
        yield Table(("policy", "problems", "samples", *PARTS, "mean"), tuple(rows), "Problems by the share of their samples that are right")


def histogram(rates: Sequence[float]) -> list[float]:
    """The share of the rates in each of `PARTS`: 0, (0, 1/4], (1/4, 1/2], (1/2, 3/4], (3/4, 1), 1."""
    counts = Counter(5 if rate == 1 else ceil(4 * rate) for rate in rates)
    return [counts[part] / len(rates) for part in range(len(PARTS))]
