"""Muon's update is an orthogonalised momentum, and one schedule drives both of its halves."""

import torch

from trainers.muon import Muon, orthogonalise


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    for shape in ((24, 24), (48, 16), (16, 48)):
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(3)) * 100
        values = torch.linalg.svdvals(orthogonalise(matrix, steps=8))
        assert values.max() < 1.3
        assert values.median() > 0.6


def two_layers() -> torch.nn.ModuleDict:
    torch.manual_seed(4)
    return torch.nn.ModuleDict({"embed": torch.nn.Embedding(5, 8), "layer": torch.nn.Linear(8, 8)})


def backward(model: torch.nn.ModuleDict, scale: float = 1.0) -> None:
    (scale * model["layer"](model["embed"](torch.tensor([1, 2]))).square().sum()).backward()


def test_a_matrix_moves_alike_whatever_the_scale_of_its_gradient() -> None:
    moved = []
    for scale in (1.0, 1000.0):
        model = two_layers()
        before = model["layer"].weight.detach().clone()
        backward(model, scale)
        Muon(model, muon_lr=0.1, adamw_lr=0.0).step()
        moved.append(model["layer"].weight.detach() - before)
    assert moved[0].norm() > 0.05
    assert torch.allclose(moved[0], moved[1], atol=1e-4)


def test_a_schedule_reaches_both_halves_also_after_the_state_was_loaded() -> None:
    """`accelerate` loads an optimizer's own state back into it: groups are new dictionaries then."""
    model = two_layers()
    optimizer = Muon(model, muon_lr=0.02, adamw_lr=0.003)
    rate = {"now": 0.0}
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate["now"])
    optimizer.load_state_dict(optimizer.state_dict())
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    backward(model)
    optimizer.step()
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    rate["now"] = 0.5
    schedule.step()
    assert schedule.get_last_lr() == [0.01, 0.0015]
    backward(model)
    optimizer.step()
    assert not torch.equal(model["layer"].weight, before["layer.weight"])
    assert not torch.equal(model["embed"].weight, before["embed.weight"])
