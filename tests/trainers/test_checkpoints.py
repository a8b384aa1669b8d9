"""What counts as a checkpoint, what is kept, and what makes another training of it."""

import dataclasses
import importlib.util
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from factory.errors import FactoryError
from trainers import checkpoints as module
from trainers.checkpoints import WHOLE, Checkpoints, weights_in
from trainers.machine import Machine

ROOT = Path("training/tuned")
SETTINGS = Machine(save_minutes=0.0, keep=2)


def some(*parts: object, settings: Machine = SETTINGS) -> Checkpoints:
    return Checkpoints.of(ROOT, settings, *parts)


def write(checkpoints: Checkpoints, *steps: int) -> None:
    for step in steps:
        with checkpoints.writing(step) as folder:
            (folder / "state").write_text(f"after {step}")


def steps() -> list[int]:
    return sorted(int(path.name.rpartition("-")[2]) for path in ROOT.glob("checkpoint-*"))


def test_the_newest_is_gone_on_from_and_the_last_few_are_kept() -> None:
    checkpoints = some("rows")
    assert checkpoints.latest() is None
    write(checkpoints, 8, 9, 10)
    assert steps() == [9, 10]
    found = some("rows").latest()
    assert found == ROOT / "checkpoint-10"
    assert (found / "state").read_text() == "after 10"
    write(some("rows", settings=dataclasses.replace(SETTINGS, keep=1)), 11)
    assert steps() == [11]
    checkpoints.clear()
    assert not ROOT.exists()
    checkpoints.clear()


def test_what_was_torn_by_a_kill_is_deleted() -> None:
    checkpoints = some("rows")
    write(checkpoints, 1, 2)
    (ROOT / "checkpoint-3" / "deep").mkdir(parents=True)
    (ROOT / "checkpoint-3" / "deep" / "state").write_text("half")
    (ROOT / "checkpoint-2" / WHOLE).write_text(checkpoints.text[:20])
    assert checkpoints.latest() == ROOT / "checkpoint-1"
    assert steps() == [1]


def test_what_was_trained_otherwise_is_deleted() -> None:
    write(some("rows", {"lr": 1e-3}), 5)
    assert some("rows", {"lr": 2e-3}).latest() is None
    assert steps() == []


def test_it_is_due_some_minutes_after_the_last() -> None:
    checkpoints = some(settings=dataclasses.replace(SETTINGS, save_minutes=1.0))
    assert not checkpoints.due()
    checkpoints.saved -= 61
    assert checkpoints.due()
    write(checkpoints, 1)
    assert not checkpoints.due()


@pytest.mark.slow
def test_everything_that_the_result_depends_on_is_in_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclasses.dataclass(frozen=True)
    class Settings:
        lr: float

    def text(rows: object = ((1, 2), (3,)), lr: float = 1e-3, **machine: object) -> str:
        return some(Settings(lr), rows, settings=dataclasses.replace(SETTINGS, **machine)).text  # type: ignore[arg-type]

    usual = text()
    assert text() == usual
    assert text(save_minutes=5.0, keep=7, report_to=("trackio",)) == usual
    others = [text(rows=((1,), (2, 3))), text(lr=1e-3 + 1e-18), text(precision="bfloat16"), text(pass_tokens=10)]
    assert len({usual, *others}) == 5
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert text(shard=True) == usual, "another number of processes goes on"


def test_other_code_makes_another_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every module of the project that the process has loaded, whatever its package."""
    monkeypatch.setattr(module, "PACKAGES", ("its",))
    file = tmp_path / "factory" / "coat" / "rewards.py"
    file.parent.mkdir(parents=True)
    file.write_text("beta = 0.5\n")
    (tmp_path / "factory" / "unused.py").write_text("1\n")
    before = some().text
    spec = importlib.util.spec_from_file_location("its.rewards", file)
    assert spec is not None
    monkeypatch.setitem(sys.modules, "its.rewards", importlib.util.module_from_spec(spec))
    loaded = some().text
    (tmp_path / "factory" / "unused.py").write_text("2\n")
    assert some().text == loaded
    file.write_text("beta = 0.6\n")
    assert len({before, loaded, some().text}) == 3


def test_other_start_weights_make_another_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EDGE", 64)
    texts = []
    for weights in (torch.zeros(100), torch.zeros(101), torch.cat([torch.zeros(99), torch.ones(1)]), torch.zeros(100)):
        save_file({"weight": weights}, tmp_path / "model.safetensors")
        texts.append(weights_in(tmp_path))
    assert texts[0] == texts[3]
    assert len(set(texts)) == 3


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("PytorchStreamWriter failed writing file data/2")])
def test_one_that_cannot_be_written_ends_the_run_and_leaves_those_before_it(error: Exception) -> None:
    checkpoints = some()
    write(checkpoints, 1)

    def fail() -> None:
        with checkpoints.writing(2) as folder:
            (folder / "state").write_text("half")
            raise error

    with pytest.raises(FactoryError, match=r"^training/tuned/checkpoint-2 cannot be written \((no space|Pytorch).*\): make room") as said:
        fail()
    assert "\n" not in str(said.value)
    assert steps() == [1]
    assert checkpoints.latest() == ROOT / "checkpoint-1"


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.slow
def test_a_kill_while_checkpoints_are_deleted_leaves_none_that_is_whole_but_lacks_files(number: int) -> None:
    checkpoints = some()
    write(checkpoints, 1, 2)
    if (child := os.fork()) == 0:
        left = iter(range(number - 1, -1, -1))

        def hook(event: str, _: tuple[object, ...]) -> None:
            if event in ("os.remove", "os.rmdir", "shutil.rmtree") and next(left) == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        checkpoints.clear()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status == signal.SIGKILL
    for path in ROOT.glob("checkpoint-*"):
        assert not (path / WHOLE).exists() or (path / "state").exists()
