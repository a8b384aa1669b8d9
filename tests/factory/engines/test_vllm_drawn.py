"""vLLM tells what it drew and with which log-probability, in this process and as a server: as recomputed by a forward pass."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from served import asked
from test_conformance import needs_vllm
from test_drawn import close_to_recomputed

from factory.engines.openai_engine import OpenAIEngine
from factory.engines.protocol import Completion, Request, SamplingParams
from factory.engines.requests import StoredEngine
from factory.engines.store import Store
from factory.errors import EngineError
from factory.params import Requests, Role

pytestmark = [pytest.mark.slow, needs_vllm[1]]


def vllm_samples(engine: Any, store: Store, sampling: SamplingParams) -> list[Completion]:
    stored = StoredEngine(engine, store, "rollouts")
    return stored.generate([Request(asked("Tom has"), sampling, seed=seed, ordinal=seed) for seed in range(12)])


@pytest.fixture
def plain_model(bytes_folder: Path) -> tuple[Any, list[int]]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words = AutoTokenizer.from_pretrained(bytes_folder)
    return AutoModelForCausalLM.from_pretrained(bytes_folder, dtype=torch.float32), words("user: Tom has\nassistant:").input_ids


HOT = SamplingParams(24, 0.7, top_p=0.9, drawn=True)


@pytest.mark.timeout(600)
def test_vllm_tells_what_it_drew(bytes_folder: Path, plain_model: tuple[Any, list[int]], tmp_path: Path) -> None:
    from factory.engines.vllm_engine import VllmEngine

    engine, store = VllmEngine(Role(engine="vllm", model=str(bytes_folder)), "bytes@1"), Store(tmp_path / "store.sqlite")
    for sampling in (HOT, replace(HOT, temperature=1.0, top_p=1.0), replace(HOT, temperature=0.0, top_p=1.0)):
        found = vllm_samples(engine, store, sampling)
        close_to_recomputed(found, *plain_model, sampling, 1)
    refused = vllm_samples(engine, store, SamplingParams(24, 0.7, logprobs=True))[0]
    assert "ask in a run of its own" in (refused.error or "")
    engine.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "tells"), [("processed", True), ("bytes", False)], ids=["processed_logprobs", "raw_logprobs"])
def test_a_real_vllm_server_tells_them_or_is_refused(
    name: str, tells: bool, served: dict[str, str], plain_model: tuple[Any, list[int]], tmp_path: Path
) -> None:
    role = Role(engine="openai", model="tiny@1", base_url=f"{served[name]}/v1")
    engine, store = OpenAIEngine(role, Requests(timeout=60, retries=2, max_failed_share=0.5)), Store(tmp_path / "store.sqlite")
    if tells:
        close_to_recomputed(vllm_samples(engine, store, HOT), *plain_model, HOT, 1)
    else:
        with pytest.raises(EngineError, match="plain softmax"):
            vllm_samples(engine, store, HOT)
    engine.close()
