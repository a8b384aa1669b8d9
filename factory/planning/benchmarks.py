"""The benchmarks' files read as the line will read them, and which of the first problems they hold.

read(params)    → [Benchmark("gsm8k_test.jsonl", …)], [Finding("files", "problems.benchmarks.0", "ok", "gsm8k_test.jsonl (750 kB, …)")]

One that is missing or empty is left to `outside`, which says so.
"""

from pathlib import Path

from factory.errors import DataError
from factory.params import Params
from factory.planning.findings import Finding
from factory.planning.outside import readable
from factory.problems.decontaminate import Benchmark
from factory.words import amount

KEY = "problems.benchmarks."
REMEDY = "correct or convert the file, or take it out of problems.benchmarks"


def read(params: Params) -> tuple[list[Benchmark], list[Finding]]:
    found, findings = list[Benchmark](), list[Finding]()
    for number, path in enumerate(params.problems.benchmarks):
        try:
            if not Path(path).is_file() or not (size := Path(path).stat().st_size):
                continue
            benchmark = Benchmark.read(path, params.problems.contamination_ngram)
        except (DataError, OSError) as error:
            findings.append(Finding("files", f"{KEY}{number}", "wrong", str(error).removeprefix("the benchmark "), REMEDY))
            continue
        found.append(benchmark)
        count, lost = len(benchmark.questions), benchmark.unreadable
        said = f"{path} ({readable(size)}, {amount(count, 'question')})"
        if lost:
            said += f"; {lost:,} of {amount(benchmark.rows, 'row')} have none that can be read: they protect nothing"
        findings.append(Finding("files", f"{KEY}{number}", "warning" if lost else "ok", said))
    return found, findings
