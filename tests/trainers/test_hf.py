"""How a training's order is cut over processes and passes: every row once, nearly equal parts, weights that make one mean of them."""

import itertools
from pathlib import Path

import pytest
import torch

from trainers import hf
from trainers.machine import Machine


def job(rows: int, batch: int, pass_tokens: int | None = None) -> hf.Job:
    """Every row has 10 tokens."""
    return hf.Job("try", Machine(pass_tokens=pass_tokens), [10] * rows, batch, 1e-3, 1, (), torch.nn.Module)  # type: ignore[arg-type]


def cuts(one: hf.Job, step: int, ranks: int, monkeypatch: pytest.MonkeyPatch) -> list[list[list[int]]]:
    """Rank → pass → rows."""
    monkeypatch.setenv("WORLD_SIZE", str(ranks))
    found = []
    for rank in range(ranks):
        monkeypatch.setenv("RANK", str(rank))
        found.append(one.cut(step))
    return found


@pytest.mark.parametrize(("rows", "batch"), [(1, 1), (1, 8), (7, 3), (16, 8), (17, 8), (23, 6), (40, 32)])
@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize("rows_a_pass", [None, 1, 3])
def test_every_row_is_taken_once_in_parts_of_nearly_one_size(
    rows: int, batch: int, ranks: int, rows_a_pass: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(ranks))
    one = job(rows, batch, rows_a_pass and rows_a_pass * 10)
    seen = []
    for step in range(len(one.tokens)):
        found = cuts(one, step, ranks, monkeypatch)
        assert len({len(passes) for passes in found}) == 1, "processes meet after the same passes"
        assert found[0], "and there is one at least"
        parts = [part for passes in found for part in passes]
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert rows_a_pass is None or max(map(len, parts)) <= rows_a_pass
        assert all(any(part) for part in map(list, zip(*found, strict=True))), "no pass is empty everywhere"
        taken = sorted(itertools.chain(*parts))
        assert taken == list(one.rows(step))
        seen += taken
        if rows_a_pass is None:
            sizes = [len(passes[0]) for passes in found]
            assert all(len(passes) == 1 for passes in found)
            assert sum(size == 0 for size in sizes) == max(0, ranks - len(taken)), "idle: only where there are fewer rows than processes"
        shares = [one.weight(step, len(part)) for part in parts]  # the trainer's mean over passes and processes
        assert sum(shares) / len(parts) == pytest.approx(1.0)
        assert shares == pytest.approx([len(part) * len(parts) / len(taken) for part in parts])
    assert seen == list(range(rows))


def test_a_pass_has_no_more_padded_tokens_than_the_machine_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert job(64, 32).passes == 1
    assert job(64, 32, pass_tokens=320).passes == 1
    assert job(64, 32, pass_tokens=319).passes == 2  # 31 rows of 10 tokens fit
    assert job(64, 32, pass_tokens=5).passes == 32  # a row that is too long stands alone
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert job(64, 32, pass_tokens=40).passes == 2


def test_the_log_thins_to_about_fifty_lines_which_are_means(tmp_path: Path) -> None:
    one = job(4 * 120, 4)
    history = [{"step": step, "loss": float(step), "learning_rate": 1 / step, "seen": step % 2} for step in range(1, 121)]
    lines = one.lines([*history, {"step": 120, "train_loss": 9.0}], {"loss": "loss", "lr": "learning_rate", "odd": "seen", "gone": "gone"})
    assert [line["step"] for line in lines] == [1, *range(2, 121, 2)]
    assert lines[0] == {"step": 1, "tokens_seen": 40, "loss": 1.0, "lr": 1.0, "odd": 1, "gone": None}
    assert lines[2] == {"step": 4, "tokens_seen": 160, "loss": 3.5, "lr": 1 / 4, "odd": 0.5, "gone": None}
    assert lines[-1]["loss"] == 119.5
