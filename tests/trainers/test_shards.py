"""Whether weights are spread decides who writes a checkpoint and what gradients are divided by. A real group of one process holds them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from trainers import shards


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tensor]:
    """A spread weight, as the second of two processes sees it."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        weight = distribute_tensor(torch.tensor([1.0, torch.inf]), init_device_mesh("cpu", (1,)), [Shard(0)])
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", "1")
        yield weight
    finally:
        dist.destroy_process_group()


def test_one_spread_parameter_makes_a_model_a_spread_one(divided: Tensor, tmp_path: Path) -> None:
    plain = torch.ones(3)
    for parameters, names in (([plain], []), ([plain, divided], ["state-1-of-2.pt"])):
        assert shards.any_spread(parameters) == bool(names)
        assert shards.averaged(parameters) == 1 + len(names)
        shards.write(tmp_path, {"step": 7}, parameters)
        assert [path.name for path in tmp_path.iterdir()] == names
        assert shards.has_parts(tmp_path) == bool(names)
    assert shards.read(tmp_path) == [{"step": 7}]


def test_of_a_plain_model_the_first_process_writes_all(divided: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    shards.write(tmp_path, {"step": 7}, [torch.ones(3)])
    assert [path.name for path in tmp_path.iterdir()] == [shards.WHOLE]


def test_what_is_whole_everywhere_is_told_from_what_is_spread(divided: Tensor) -> None:
    head = torch.ones(3)
    (found,) = shards.unspread([divided, head])
    assert found is head


def test_a_part_that_is_not_finite_is_seen(divided: Tensor) -> None:
    module = torch.nn.Linear(2, 1)
    assert shards.finite(module)
    module.weight = torch.nn.Parameter(divided)
    assert not shards.finite(module)
