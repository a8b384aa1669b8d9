"""How a count is said.

>>> amount(1, "row"), amount(0, "row"), amount(1200, "query", "queries")
('1 row', '0 rows', '1,200 queries')
>>> amount(1, "row holds", "rows hold")
'1 row holds'
"""


def amount(count: int | float, noun: str, many: str = "") -> str:
    """`many`: the plural where it is not `noun` with an s. A number that is no whole one is rounded."""
    number = f"{count:,.0f}"
    return f"{number} {noun if number == '1' else many or f'{noun}s'}"
