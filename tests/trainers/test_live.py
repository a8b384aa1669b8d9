"""A live log has every step once, whatever became of its writer; the CSV made of the same steps is Trainer's own."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import Trainer
from trl import SFTConfig, SFTTrainer

from factory import live as reader
from factory.language.conversation import said
from trainers import batches, live, run


def entries(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (live.LIVE / f"{name}.jsonl").read_bytes().splitlines()]


def steps(name: str) -> list[int]:
    return [entry["step"] for entry in entries(name)]


def killed(write: Callable[[], None]) -> None:
    """Run `write` in a process of its own, which ends by kill -9."""
    if (child := os.fork()) == 0:
        try:
            write()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_a_line_a_step_with_finite_numbers_only() -> None:
    with live.Live("base", 3) as log:
        log.step(1, {"loss": 2.5, "margin": None, "accuracy": math.nan, "kl": math.inf}, tokens_seen=100)
        assert steps("base") == [0, 1]  # there at once
        log.step(2, {"loss": 2.0}, tokens_seen=220)
    start, first, second = entries("base")
    assert start == {"step": 0, "of": 3, "seconds": 0.0, "tokens_seen": 0}
    assert 0 <= first.pop("seconds") <= second["seconds"] < 5
    assert first == {"step": 1, "of": 3, "tokens_seen": 100, "loss": 2.5, "margin": None, "accuracy": None, "kl": None}


def test_only_the_first_process_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with live.Live("base", 3) as log:
        log.step(1, {"loss": 2.5})
    assert not live.LIVE.exists()


def test_a_run_runs_until_its_process_ends_however_it_ends() -> None:
    log = live.Live("base", 3)
    path = live.LIVE / "base.jsonl"
    assert reader.is_running(path)
    assert [found.name for found in reader.runs()] == ["base"]
    log.close()
    assert not reader.is_running(path)
    assert reader.runs() == []
    killed(lambda: live.Live("base", 3).step(1, {"loss": 1.0}))
    assert steps("base") == [0, 1]
    assert not reader.is_running(path)


def test_a_kill_in_the_middle_of_a_line_costs_that_line_alone() -> None:
    def write() -> None:
        log = live.Live("base", 9)
        for number in range(1, 6):
            log.step(number, {"loss": 1 / number}, tokens_seen=10 * number)
        assert log.stream is not None
        log.stream.write(b'{"step": 6, "of": 9, "sec')
        log.stream.flush()

    killed(write)
    path = live.LIVE / "base.jsonl"
    assert path.read_bytes().endswith(b'"sec')
    found = reader.read_run(path, reader.is_running(path))
    assert found is not None
    assert (found.step, found.total, found.running, found.value) == (5, 9, False, 0.2)
    before = entries_up_to(path, 3)
    with live.Live("base", 9, after=3) as log:
        log.step(4, {"loss": 0.5}, tokens_seen=40)
    assert steps("base") == [0, 1, 2, 3, 4]
    assert entries("base")[:4] == before
    assert entries("base")[4]["seconds"] >= before[3]["seconds"]  # the clock goes on where it stood
    live.Live("base", 9).close()
    assert steps("base") == [0]  # a run from the start begins anew


def entries_up_to(path: Path, last: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()[: last + 1]]


@pytest.mark.slow
def test_no_step_is_missing_or_twice_after_ten_kills_at_any_moment() -> None:
    rng, kept, found = random.Random(1), 0, list[int]()
    for kill in range(300):
        if kill >= 10 and len(found) > 20:  # a busy machine kills before anything is written
            break
        if (child := os.fork()) == 0:
            log = live.Live("base", 10**6, after=kept)
            for number in range(kept + 1, 10**6):
                log.step(number, {"loss": 1 / number})
        time.sleep(rng.uniform(0.005, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        path = live.LIVE / "base.jsonl"
        whole = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        found = [json.loads(line)["step"] for line in whole]
        assert found == list(range(len(found)))
        kept = rng.randint(kept // 2, max(0, len(found) - 1))  # the last checkpoint is older than the last line
    assert len(found) > 20


def test_a_log_that_is_gone_or_spoilt_goes_on_at_the_checkpoint() -> None:
    with live.Live("base", 9, after=4) as log:
        log.step(5, {"loss": 0.5})
    assert steps("base") == [4, 5]
    (live.LIVE / "base.jsonl").write_bytes(b'{"step": 0, "of": 9, "seconds": 0.0}\n[1]\n{"step": 2, "of": 9, "seconds": 1.0}\n')
    with live.Live("base", 9, after=2) as log:
        log.step(3, {"loss": 0.5})
    assert steps("base") == [0, 2, 3]


# -- a Hugging Face trainer


def trainer(start: Path, pairs: list[tuple[str, str]], name: str, **values: Any) -> SFTTrainer:
    model, tokenizer = run.load(start)
    rows = batches.completion_only(tokenizer, [said("user", prompt) for prompt, _ in pairs], [text for _, text in pairs], [()] * len(pairs))
    settings: dict[str, Any] = {
        "output_dir": str(Path("training") / name), "per_device_train_batch_size": 4, "num_train_epochs": 1, "learning_rate": 1e-3,
        "train_sampling_strategy": "sequential", "logging_first_step": True, "save_strategy": "no", "report_to": "none",
        "disable_tqdm": True, "use_cpu": True, "dataloader_pin_memory": False, "max_length": None, "packing": False,
        "dataset_kwargs": {"skip_prepare_dataset": True}, "logging_steps": 1, "seed": 1,
    }  # fmt: skip
    return SFTTrainer(
        model=model, args=SFTConfig(**settings | values), processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"input_ids": [row.ids for row in rows], "labels": [row.labels for row in rows]}),
    )  # fmt: skip


class Killed(Exception):
    pass


class KillAt(live.LiveCallback):
    def on_log(self, args: Any, state: Any, control: Any, **values: Any) -> None:
        super().on_log(args, state, control, **values)
        if state.global_step == 9:
            raise Killed


def csv_rows(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    columns = ("step", "loss", "learning_rate", "mean_token_accuracy", "entropy", "grad_norm", "num_tokens")
    return [{name: entry[name] for name in columns} for entry in history if "loss" in entry]


@pytest.fixture(scope="module")
def uninterrupted(start: Path, pairs: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, list[Any]]:
    with pytest.MonkeyPatch.context() as context:
        context.chdir(tmp_path_factory.mktemp("whole"))
        found = trainer(start, pairs, "tuned")
        found.add_callback(live.LiveCallback("tuned", lambda step: 100 * step))
        found.train()
        return found, entries("tuned")


@pytest.mark.slow
def test_a_trainers_steps_are_its_live_log(uninterrupted: tuple[Trainer, list[Any]]) -> None:
    whole, lines = uninterrupted
    assert [line["step"] for line in lines] == list(range(14))  # 50 rows in batches of 4
    assert all(line["of"] == 13 and line["tokens_seen"] == 100 * line["step"] for line in lines)
    logged = [entry for entry in whole.state.log_history if "loss" in entry]
    for line, entry in zip(lines[1:], logged, strict=True):
        assert [line[name] for name in ("loss", "grad_norm", "lr")] == [entry[name] for name in ("loss", "grad_norm", "learning_rate")]
        assert line["mean_token_accuracy"] == entry["mean_token_accuracy"]


@pytest.mark.slow
def test_thinned_is_what_the_trainer_logs_by_itself(
    start: Path, pairs: list[tuple[str, str]], uninterrupted: tuple[Trainer, list[Any]]
) -> None:
    plain = trainer(start, pairs, "plain", logging_steps=5)
    plain.train()
    expected = csv_rows(plain.state.log_history)
    assert [row["step"] for row in expected] == [1, 5, 10]
    found = csv_rows(live.thinned(uninterrupted[0].state.log_history, 5))
    assert found[:3] == expected  # to the last bit
    assert found[3]["step"] == 13  # and where the run ends, as `run.Watch` asks for


@pytest.mark.slow
def test_a_resumed_trainer_has_every_step_once_and_the_same_rows(
    start: Path, pairs: list[tuple[str, str]], uninterrupted: tuple[Trainer, list[Any]]
) -> None:
    saving: dict[str, Any] = {"save_strategy": "steps", "save_steps": 6}
    first = trainer(start, pairs, "tuned", **saving)
    first.add_callback(KillAt("tuned", lambda step: 100 * step))
    with pytest.raises(Killed):
        first.train()
    assert steps("tuned") == list(range(10))
    again = trainer(start, pairs, "tuned", **saving)
    again.add_callback(live.LiveCallback("tuned", lambda step: 100 * step))
    again.train(resume_from_checkpoint="training/tuned/checkpoint-6")
    whole, lines = uninterrupted
    assert [{**line, "seconds": 0} for line in entries("tuned")] == [{**line, "seconds": 0} for line in lines]
    rows = [csv_rows(live.thinned(each.state.log_history, 5)) for each in (again, whole)]
    assert [{**row, "num_tokens": 0} for row in rows[0]] == [{**row, "num_tokens": 0} for row in rows[1]]  # TRL's own counter starts anew


@pytest.mark.slow
def test_watch_follows_a_real_run_to_its_end(start: Path, pairs: list[tuple[str, str]]) -> None:
    """The command is started in the middle of the run, which goes on when it has shown its first table."""

    class Watched(live.LiveCallback):
        process: subprocess.Popen[str]

        def on_log(self, args: Any, state: Any, control: Any, **values: Any) -> None:
            super().on_log(args, state, control, **values)
            if state.global_step == 6:
                command = [sys.executable, "-c", "from factory.cli.status import follow; follow(every=0.05)"]
                self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")
                assert self.process.stdout is not None
                self.first = next(line for line in self.process.stdout if "tuned" in line)

    watched = Watched("tuned", lambda step: 100 * step)
    followed = trainer(start, pairs, "tuned")
    followed.add_callback(watched)
    followed.train()
    rest, _ = watched.process.communicate(timeout=300)
    assert watched.process.returncode == 0
    lines = [line.split() for line in [watched.first, *rest.splitlines()] if "tuned" in line]
    assert lines[0][1:4] == ["6/13", "46", "%"]
    assert lines[0][4] == "loss"
    assert lines[-1][1] == "13/13"
    assert lines[-1][-1] == "done"
    assert float(lines[-1][5]) == pytest.approx(entries("tuned")[-1]["loss"], rel=1e-3)
