"""A trainer's stage that runs as two processes: one model, one log, one line for an error, and nothing that stays behind."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from factory import storage
from factory.coat import grammar
from factory.language.conversation import said
from factory.params import load, parse
from factory.schemas import Demonstration, Restart
from pipelines import format_tuning, ppo
from trainers import run, tokenizer

sys.path.append(str(Path(__file__).parents[1] / "trainers"))
from kills import together

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "pipelines.format_tuning"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def demonstration(n: int) -> Demonstration:
    text = f"{n} + 7 = {n + 8}\n<|reflect|>But wait.\n" + "<|explore|>Add again.\n" * (n % 3) + f"\\boxed{{{n + 7}}}"
    return Demonstration(
        id=f"d{n:03}", problem_id=f"p{n}", type="III-I", prompt=said("user", f"Tom has {n} apples. He buys 7.\nSolve:\n"), completion=text,
        wrong_spans=(0, 9), score=1.5, critic="llm", model="base@3fa9", prompt_version="solve@1f0c9a27", seed=7, round="r1",
    )  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which format tuning can run; 23 rows in batches of five."""
    monkeypatch.chdir(tmp_path)
    rows = [demonstration(n) for n in range(23)]
    folder = storage.DATASETS / "demonstrations"
    storage.write_rows(folder / "data" / "train-00000-of-00001.parquet", Demonstration, rows)
    (folder / "manifest.json").write_text(json.dumps({"purpose": "train", "rows": len(rows)}))
    words = tokenizer.build([f"{row.prompt[0].content}{row.completion}" for row in rows], grammar.ACTIONS.values(), 128)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=128, pad_token_id=words.pad_token_id, eos_token_id=words.eos_token_id,
    )  # fmt: skip
    run.save_model(LlamaForCausalLM(config), words, storage.MODELS / "base")
    return tmp_path


def write_params(processes: int, tokens: int = 2000, lr: float = 1e-3, **training: object) -> None:
    document = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    document["format_tuning"] = {"tokens": tokens, "batch": 5, "lr": lr, "mask_wrong": True}
    document["training"] = {"processes": processes, **training}
    Path("params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")


def tune() -> subprocess.CompletedProcess[str]:
    return subprocess.run(COMMAND, capture_output=True, check=False, text=True, env=ENVIRONMENT, timeout=500)


Made = tuple[dict[str, torch.Tensor], list[dict[str, str]]]


def taken(name: str) -> Made:
    """Weights and log of a training, which the next one finds no more; nothing else of it is left."""
    assert not (run.WORK / name).exists()
    model, log = storage.MODELS / name, storage.LOGS / f"{name}.csv"
    with log.open(encoding="utf-8") as stream:
        found = load_file(model / "model.safetensors"), list(csv.DictReader(stream))
    shutil.rmtree(model)
    log.unlink()
    return found


def alive(place: Path) -> list[int]:
    """Processes of this stage, this very folder's."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if path.joinpath("cwd").readlink() == place and b"pipelines.format_tuning" in path.joinpath("cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def told(stderr: str) -> list[str]:
    """What a stage says; a library (triton, where vLLM is installed) adds its own lines when Python ends."""
    assert "Traceback" not in stderr
    return [line for line in stderr.split("nanobind:")[0].splitlines() if line]


def until(true: object, seconds: float) -> bool:
    """Whether a callable says yes in time."""
    assert callable(true)
    end = time.monotonic() + seconds
    while not (said_yes := bool(true())) and time.monotonic() < end:
        time.sleep(0.1)
    return said_yes


def assert_close(one: Made, other: Made, least: float) -> None:
    """But for rounding."""
    (weights, log), (again, lines) = one, other
    for row, line in zip(log, lines, strict=True):
        expected = {name: float(cell) for name, cell in row.items() if cell}
        assert {name: float(cell) for name, cell in line.items() if cell} == pytest.approx(expected, rel=1e-3, abs=least)
    for name, weight in weights.items():
        torch.testing.assert_close(again[name], weight, rtol=0, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


def test_two_processes_with_whole_or_sharded_weights_write_the_model_and_the_log_of_one(place: Path) -> None:
    write_params(1)
    format_tuning.main(load())
    alone = taken("format_tuned")
    write_params(2)
    assert together(lambda _: format_tuning.main(load()), place) == [0, 0], Path("said").read_text(encoding="utf-8")
    assert_close(alone, taken("format_tuned"), 1e-6)
    write_params(2, shard=True)
    done = tune()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("format_tuned: ") == 1, "the first process alone speaks"
    assert alive(place) == []
    assert_close(alone, taken("format_tuned"), 1e-6)
    timings = [json.loads(line) for line in Path(".factory/timings.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["stage"] for row in timings] == ["format_tuning"]


def test_an_error_of_all_or_of_one_is_told_once_and_ends_all(place: Path) -> None:
    write_params(2, lr=1e30)
    done = tune()
    assert done.returncode == 1
    cause, ended = told(done.stderr)
    assert "is nan at step" in cause
    assert "lower lr" in cause
    assert ended.startswith("error: format_tuning: process ")
    assert alive(place) == []
    assert not (storage.MODELS / "format_tuned").exists()


def test_a_killed_stage_leaves_no_process_and_a_second_one_waits_its_turn(place: Path) -> None:
    write_params(2, tokens=10_000_000)
    live = storage.LOGS / "live" / "format_tuned.jsonl"
    with Path("out.txt").open("w", encoding="utf-8") as out:
        stage = subprocess.Popen(COMMAND, stdout=out, stderr=subprocess.STDOUT, env=ENVIRONMENT)
    try:
        assert until(lambda: live.exists() and live.read_bytes().count(b"\n") > 3, 300), Path("out.txt").read_text(encoding="utf-8")
        assert len(alive(place)) == 3
        second = tune()
        assert second.returncode == 1
        assert told(second.stderr) == [f"error: format_tuning: already running as process {stage.pid}: wait for it or kill it"]
        stage.send_signal(signal.SIGKILL)
        stage.wait()
        assert until(lambda: not alive(place), 60), "a copy outlives its stage"
    finally:
        stage.kill()
    write_params(2, tokens=10_000_000)
    stage = subprocess.Popen(COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True)
    try:
        assert until(lambda: len(alive(place)) == 3 and live.exists() and live.read_bytes().count(b"\n") > 3, 300)
        copy = next(pid for pid in alive(place) if pid != stage.pid)
        os.kill(copy, signal.SIGKILL)
        _, stderr = stage.communicate(timeout=300)
        assert stage.returncode == 1
        assert ["was killed by signal 9" in line for line in told(stderr)] == [True]
        assert until(lambda: not alive(place), 60)
    finally:
        stage.kill()


@pytest.fixture
def round_one(place: Path) -> Path:
    """A start model, a reward model and start states beside it."""
    words = run.load_tokenizer(storage.MODELS / "base")
    model, _ = run.load(storage.MODELS / "base")
    run.save_model(model, words, storage.MODELS / "format_tuned")
    config = model.config
    config.num_labels, config.reward_mean, config.reward_std = 1, 0.1, 0.5
    run.save_model(LlamaForSequenceClassification(config), words, storage.MODELS / "orm_r1")
    rows = [
        Restart(
            id=f"{n:03}", problem_id=f"p{n}", parent_id=None, buffer="0+-"[n % 3], backtrack=0, prefix="12 + 7 = 20\n" * (n % 2),
            prompt=said("user", f"Tom has {n} apples. He buys 7.\nSolve:\n"), prefix_has_answer=False, answer=str(n + 7),
            answer_kind="number", round="r1",
        ) for n in range(9)
    ]  # fmt: skip
    folder = storage.DATASETS / "restarts_r1"
    storage.write_rows(folder / "data" / "train-00000-of-00001.parquet", Restart, rows)
    (folder / "manifest.json").write_text(json.dumps({"purpose": "train", "rows": len(rows)}))
    return place


def test_two_processes_with_whole_or_sharded_weights_make_the_policy_of_one(round_one: Path) -> None:
    document = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    small = {"iterations": 2, "batch": 12, "minibatch": 5, "max_tokens": 8, "lr": 1e-3, "baselines": ["critic", "siblings"], "kl": 0.1}
    document["ppo"] |= small
    found = []
    for training in ({"processes": 1}, {"processes": 2}, {"processes": 2, "shard": True}):
        params, count = parse(document | {"training": training}), training["processes"]
        codes = together(lambda _, params=params: ppo.main(params, "r1"), round_one, count)
        assert codes == [0] * count, Path("said").read_text(encoding="utf-8")
        found.append(taken("policy_r1"))
    for other in found[1:]:
        assert_close(found[0], other, 1e-5)
