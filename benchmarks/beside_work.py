"""Two threads beside other work: what it costs to wait awake (factory/__init__.py).

python benchmarks/beside_work.py    → seconds of the same small products, alone and beside two busy processes: medians of three in turn
"""

import os
import subprocess
import sys
from statistics import median

PRODUCTS = """
import time
import factory
import torch
weights, row = torch.ones(400, 400), torch.ones(96, 400)
began = time.perf_counter()
for _ in range(4000):
    row = torch.tanh(row @ weights)
print(time.perf_counter() - began)
"""
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"  # not longer than what it disturbs
WAITING = {
    "libgomp's default": {"GOMP_SPINCOUNT": "300000"},
    "as factory sets it": {},
    "one thread": {"OMP_NUM_THREADS": "1"},
}


def seconds(settings: dict[str, str]) -> float:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command, environment = [sys.executable, "-c", PRODUCTS], environment | {"OMP_NUM_THREADS": "2"} | settings
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    for beside in (0, 2):
        busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(beside)]
        try:
            found: dict[str, list[float]] = {name: [] for name in WAITING}
            for _ in range(3):
                for name, settings in WAITING.items():
                    found[name].append(seconds(settings))
        finally:
            for process in busy:
                process.kill()
        for name, times in found.items():
            print(f"beside {beside} busy processes, {name}: {median(times):.1f} s", flush=True)


if __name__ == "__main__":
    main()
