"""Stage `release@<dataset>`, the gate: audit with Great Expectations, then a Hugging Face dataset folder. One process a dataset.

Reads data/tables/<dataset>.parquet, and of problems and the parents' table that the params name what its rows name; writes
data/audits/<dataset>.json and .parquet (every row that breaks an expectation) always, data/datasets/<dataset> only when every critical one
holds.

    python -m pipelines.release restarts_r1
"""

from factory.gate.release import release
from factory.params import Params
from pipelines import stage


def main(params: Params, item: str) -> None:
    audit = release(item, params)
    warnings = [finding for finding in audit.findings if not finding.success]
    print(f"release@{item}: {audit.rows:,} rows pass {len(audit.findings) - len(warnings)} of {len(audit.findings)} expectations")
    for finding in warnings:
        print(
            f"  warning: '{finding.says}' fails "
            + (f"on {finding.unexpected:,} of {finding.of:,} rows" if finding.of else finding.observed)
        )


if __name__ == "__main__":
    stage.run("release", main)
