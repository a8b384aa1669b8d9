"""The table of pass rates: shares of problems, one row a policy."""

from collections import Counter

from factory.reports.page import Table
from factory.reports.pass_rates import PARTS, histogram, pass_rates
from factory.storage import TABLES


def test_every_rate_has_one_part() -> None:
    assert histogram(Counter([0.0, 0.25, 0.26, 0.5, 0.75, 0.76, 0.99, 1.0, 1.0, 0.125])) == [0.1, 0.2, 0.2, 0.1, 0.2, 0.2]
    assert histogram({1.0: 7}) == [0, 0, 0, 0, 0, 1.0]
    assert all(abs(sum(histogram({n / 8: n + 1 for n in range(top)})) - 1) < 1e-9 for top in range(1, 10))


def test_a_row_a_policy_that_has_rollouts(small_line) -> None:
    """Six problems, one of two samples right."""
    (TABLES / "rollouts_r2.parquet").unlink()
    (table,) = pass_rates(small_line.params)
    assert isinstance(table, Table)
    assert table.headers == ("policy", "problems", "samples", *PARTS, "mean")
    row = ("6", "12", "0.0 %", "0.0 %", "100.0 %", "0.0 %", "0.0 %", "0.0 %", "0.500")
    assert table.rows == tuple((name, *row) for name in small_line.params.policies if name != "r2")
