"""What critics' remarks were worth, beside the grader and the reference critic: counted by SQL, whatever the number of remarks.

list(critics())   → [Prose("Each remark …"), Table(("critic", "asked to", "remarks", …), (("llm", "critique", "2,008", …), …))]
"""

from collections.abc import Iterable

from factory.reports.agreement import COUNTED, counted_records
from factory.reports.page import Block, Prose, Table
from factory.reports.scan import Scan
from factory.storage import TABLES


def critics() -> Iterable[Block]:
    path = TABLES / "critic_judgements.parquet"
    if not path.exists():
        return
    with Scan.of(path) as scan:
        rows = scan.ask(f"SELECT {', '.join(COUNTED)}, count(*) FROM {{rows}} GROUP BY ALL ORDER BY ALL")
    records = counted_records((row[:-1], row[-1]) for row in rows)
    if records:
        yield Prose(
            "Each remark beside the grader's verdict (no fault in a part of a right solution, one in a wrong attempt) and, where there are "
            "equations to compare, beside the exact reference critic's finding; 95 % Wilson intervals."
        )
        yield Table(
            ("critic", "asked to", "remarks", "not understood", "leak", "with the grader", "compared", "with the reference",
             "false accepts", "step named right", "used"),
            tuple(
                (r.critic, r.kind, f"{r.remarks:,}", f"{r.unparsed:,}", f"{r.leaks:,}", r.grader.percent, f"{r.compared:,}",
                 r.agree.percent, r.false_accepts.text, r.named.text, f"{r.accepted:,}")
                for r in records
            ),
            "Critics' remarks",
        )  # fmt: skip
