"""Muon's update is an orthogonalised momentum, and one schedule drives both of its halves."""

import torch

from trainers.muon import Muon, MuonAdamW, orthogonalise


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    for shape in ((24, 24), (48, 16), (16, 48)):
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(3)) * 100
        values = torch.linalg.svdvals(orthogonalise(matrix, steps=8))
        assert values.max() < 1.3
        assert values.median() > 0.6


def test_an_update_does_not_depend_on_the_scale_of_the_gradient() -> None:
    updates = []
    for scale in (1.0, 1000.0):
        weight = torch.nn.Parameter(torch.zeros(8, 8))
        weight.grad = scale * torch.eye(8)
        Muon([weight], lr=0.1).step()
        updates.append(weight.detach().clone())
    assert torch.allclose(updates[0], updates[1], atol=1e-5)
    assert updates[0].diagonal().max() < 0


def test_a_zero_rate_for_both_halves_changes_nothing_and_a_schedule_reaches_both() -> None:
    model = torch.nn.ModuleDict({"embed": torch.nn.Embedding(5, 4), "layer": torch.nn.Linear(4, 4)})
    optimizer = MuonAdamW(model, muon_lr=0.02, adamw_lr=0.003)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5)
    assert schedule.get_last_lr() == [0.01, 0.0015]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    model["layer"](model["embed"](torch.tensor([1, 2]))).sum().backward()
    optimizer.step()
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
