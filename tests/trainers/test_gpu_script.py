"""benchmarks/gpu.py in its small form: the script that is prepared for a GPU still runs, in both precisions."""

import runpy
import sys
from pathlib import Path

import pytest
from kills import undisturbed

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "benchmarks/gpu.py"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_prepared_run_ends_with_a_row_for_every_phase(precision: str, tmp_path: Path) -> None:
    def script() -> None:
        sys.argv = [str(SCRIPT), "--small", "--precision", precision]
        runpy.run_path(str(SCRIPT), run_name="__main__")

    undisturbed(script, tmp_path / "run")
    said = (tmp_path / "run/said").read_text(encoding="utf-8")
    table = said.rpartition("| what | tokens/s |")[2]
    for trained in ("full", "LoRA"):
        for what in (
            f"SFT, {trained}",
            f"reward model, {trained}",
            f"DPO, {trained}",
            f"PPO, {trained}, critic: update",
            f"PPO, {trained}, siblings",
        ):
            assert f"| {what}" in table, f"{what} is missing of {table}"
    assert said.count("(at most") == 4
