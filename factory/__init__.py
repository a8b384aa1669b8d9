"""The COAT factory: datasets, thought templates and preference pairs for reasoning models. Knows no trainer."""

import os

if "OMP_WAIT_POLICY" not in os.environ:  # what PyTorch's threads read when it is loaded
    # A thread waits some microseconds awake for the others of a sum, then asleep; left alone it stays awake as long as the one it waits
    # for, which beside other work has no core: a line of two threads was ten times slower there, and is as fast on a machine of its own
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
