"""benchmarks/gpu.py in its small form: the script that is prepared for a GPU still runs, in both precisions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_prepared_run_ends_with_a_row_for_every_phase(precision: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/gpu.py"), "--small", "--precision", precision]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    table = done.stdout.rpartition("| what | tokens/s |")[2]
    for trained in ("full", "LoRA"):
        for what in (
            f"SFT, {trained}",
            f"reward model, {trained}",
            f"DPO, {trained}",
            f"PPO, {trained}, critic: update",
            f"PPO, {trained}, siblings",
        ):
            assert f"| {what}" in table, f"{what} is missing of {table}"
    assert done.stdout.count("(at most") == 4
