import subprocess
import sys

import pytest

SHOW = "import factory, os; print(os.environ.get('GOMP_SPINCOUNT'), os.environ.get('OMP_WAIT_POLICY'))"


@pytest.mark.parametrize(
    ("chosen", "shown"),
    [
        ({}, "10000 None"),
        ({"GOMP_SPINCOUNT": "7"}, "7 None"),
        ({"OMP_WAIT_POLICY": "active"}, "None active"),
    ],
)
def test_threads_do_not_wait_awake_for_long_unless_somebody_chose_it(chosen: dict[str, str], shown: str) -> None:
    done = subprocess.run([sys.executable, "-c", SHOW], env={"PATH": ""} | chosen, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == shown
