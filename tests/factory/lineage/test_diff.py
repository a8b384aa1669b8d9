"""What differs between the origins of two rows, and nothing else."""

from typing import Any

import pytest

from factory.lineage.diff import Compared, compare
from factory.lineage.trace import trace

pytestmark = pytest.mark.slow


def compared(known: Any, first: str, second: str) -> Compared:
    return compare(trace(known.line, first), trace(known.line, second))


def test_two_policies_rollouts_of_one_problem_differ_in_model_sampling_and_text(traced_line: Any) -> None:
    found = compared(traced_line, traced_line.rollouts["base"][0], traced_line.rollouts["tuned"][0])
    facts = {item.name: (item.first, item.second) for item in found.facts}
    assert facts["models"] == ("base@3fa9c0de", "tuned@3fa9c0de")
    assert facts["stages"] == ("rollouts@base, problems", "rollouts@tuned, problems")
    assert not {"problem", "source", "licence", "prompts", "dvc.lock"} & set(facts)
    assert {item.name: (item.first, item.second) for item in found.requests} == {
        "request 1 model": ("base@3fa9c0de", "tuned@3fa9c0de"), "request 1 stage": ("rollouts_base", "rollouts_tuned"),
        "request 1 temperature": ("0.8", "0.5"),
    }  # fmt: skip
    assert ("rollouts.samples", "4", "8") in [(item.name, item.first, item.second) for item in found.params]
    assert found.texts["completion"][1:] == ("-12 + 7 = 18", "-\\boxed{18}", "+12 + 7 = 19", "+\\boxed{19}")
    assert "prompt" not in found.texts


def test_a_row_and_itself_differ_in_nothing(traced_line: Any) -> None:
    assert compared(traced_line, traced_line.pair, traced_line.pair).same


def test_rows_of_one_policy_differ_in_their_problem_alone(traced_line: Any) -> None:
    first, second, _ = traced_line.rollouts["base"]
    found = compared(traced_line, first, second)
    assert [item.name for item in found.facts] == ["problem"]
    assert found.requests == found.params == ()
    assert list(found.texts) == ["prompt"]
