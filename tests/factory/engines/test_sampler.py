import gc
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from factory.engines import sampler as sampler_module
from factory.engines.cache import InPlaceCache
from factory.engines.sampler import Sampler, draw, nucleus
from factory.errors import EngineError

CONTEXT, EOS = 48, 1


def prompts_of(count: int) -> list[list[int]]:
    """Lengths 3 to 17, every prompt another."""
    return [[3 + (row * 7 + place * (1 + row % 5)) % 20 for place in range(3 + (row * 4) % 15)] for row in range(count)]


@pytest.fixture
def sampler(model: Any, tokenizer: Any) -> Sampler:
    return Sampler(model, tokenizer, batch=8)


@pytest.mark.slow
def test_greedy_is_what_generate_writes(sampler: Sampler, model: Any) -> None:
    prompts = prompts_of(10)
    found = sampler.sample(prompts, [0] * 10, max_tokens=24, temperature=0)
    for prompt, sampled in zip(prompts, found, strict=True):
        with torch.inference_mode():
            reference = model.generate(input_ids=torch.tensor([prompt]), do_sample=False, max_new_tokens=24)[0, len(prompt) :].tolist()
        assert list(sampled.token_ids) == [token for token in reference if token != EOS]
        assert sampled.finished == (EOS in reference)
    assert {sampled.finished for sampled in found} == {True, False}, "the fixture must show both kinds"


@pytest.mark.slow
def test_a_row_depends_neither_on_company_nor_on_order(sampler: Sampler, model: Any, tokenizer: Any) -> None:
    prompts, seeds = prompts_of(30), list(range(100, 130))
    together = sampler.sample(prompts, seeds, max_tokens=24, temperature=1.0, top_p=0.95)
    assert len({sampled.token_ids for sampled in together}) > 25
    reverse = Sampler(model, tokenizer, batch=30).sample(prompts[::-1], seeds[::-1], max_tokens=24, temperature=1.0, top_p=0.95)[::-1]
    for row in range(0, 30, 3):
        alone = sampler.sample([prompts[row]], [seeds[row]], max_tokens=24, temperature=1.0, top_p=0.95)[0]
        for other in (alone, reverse[row]):
            assert other.token_ids == together[row].token_ids
            assert other.finished == together[row].finished
            assert other.logprobs == pytest.approx(together[row].logprobs, abs=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.0])
def test_logprobs_are_those_of_the_plain_softmax(sampler: Sampler, model: Any, temperature: float) -> None:
    prompts = prompts_of(12)
    for prompt, sampled in zip(prompts, sampler.sample(prompts, range(12), max_tokens=20, temperature=temperature), strict=True):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([prompt + list(sampled.token_ids)])).logits[0]
        expected = logits.log_softmax(-1)[len(prompt) - 1 : -1].gather(-1, torch.tensor(sampled.token_ids)[:, None])[:, 0]
        assert sampled.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.slow
def test_leaving_the_batch_early_changes_nothing(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = prompts_of(24)

    def sample(share: int) -> list[Any]:
        monkeypatch.setattr(sampler_module, "COMPACT_SHARE", share)
        return sampler.sample(prompts, range(24), max_tokens=30, temperature=1.0)

    at_once, never = sample(10**9), sample(1)
    assert [sampled.token_ids for sampled in at_once] == [sampled.token_ids for sampled in never]
    assert [sampled.finished for sampled in at_once] == [sampled.finished for sampled in never]
    assert len({len(sampled.token_ids) for sampled in at_once}) > 5, "rows must end at different steps"


def test_seeds_and_equal_prompts(sampler: Sampler) -> None:
    prompt = [5, 9, 3]
    found = sampler.sample([prompt] * 20, [*range(10), *range(10)], max_tokens=16, temperature=1.0)
    assert [sampled.token_ids for sampled in found[:10]] == [sampled.token_ids for sampled in found[10:]]
    assert len({sampled.token_ids for sampled in found}) > 5


def test_first_tokens_follow_the_distribution(sampler: Sampler, model: Any) -> None:
    with torch.inference_mode():
        expected = (model(input_ids=torch.tensor([[5, 9, 3]])).logits[0, -1] / 0.7).softmax(-1)
    draws = 4000
    found = Sampler(model, sampler.tokenizer, batch=1000).sample([[5, 9, 3]] * draws, range(draws), max_tokens=1, temperature=0.7)
    counts = torch.zeros(len(expected))
    for sampled in found:
        counts[sampled.token_ids[0] if sampled.token_ids else EOS] += 1
    for count, probability in zip(counts.tolist(), expected.tolist(), strict=True):
        assert abs(count - draws * probability) <= 4 * math.sqrt(draws * probability * (1 - probability)) + 1


def test_truncation_is_flagged(sampler: Sampler) -> None:
    for sampled in sampler.sample(prompts_of(16), range(16), max_tokens=3, temperature=1.0):
        assert len(sampled.token_ids) == 3 or sampled.finished
        assert sampled.finished == (len(sampled.token_ids) < 3)
    sampler.ends = []  # nothing but the context can end these
    near, far = sampler.sample([[4] * (CONTEXT - 2), [4, 5]], [1, 2], max_tokens=40, temperature=1.0)
    assert (len(near.token_ids), near.finished, near.error) == (2, False, None)
    assert (len(far.token_ids), far.finished, far.error) == (40, False, None)
    assert far.token_ids == sampler.sample([[4, 5]], [2], max_tokens=40, temperature=1.0)[0].token_ids


def test_what_does_not_fit_is_an_error_and_harms_no_neighbour(sampler: Sampler) -> None:
    long, empty, good = sampler.sample([[4] * CONTEXT, [], [5, 9, 3]], [1, 1, 1], max_tokens=8, temperature=1.0)
    assert long.error == f"the prompt has {CONTEXT} tokens, the model's context holds {CONTEXT}"
    assert (long.token_ids, long.finished) == ((), False)
    assert empty.error == "the prompt is empty"
    assert good == sampler.sample([[5, 9, 3]], [1], max_tokens=8, temperature=1.0)[0]


def test_a_stop_string_ends_the_row_with_the_token_that_completes_it(sampler: Sampler, tokenizer: Any) -> None:
    free = sampler.sample([[5, 9, 3]], [2], max_tokens=30, temperature=1.0)[0]
    assert len(free.token_ids) >= 4
    stop = tokenizer.decode(list(free.token_ids[1:3]))
    assert " " in stop, "the stop string must span two tokens"
    held = sampler.sample([[5, 9, 3]] * 2, [2, 3], max_tokens=30, temperature=1.0, stop=(stop, "no such words"))[0]
    assert held.finished
    assert held.token_ids == free.token_ids[:3]


def test_nucleus_and_inversion_by_hand() -> None:
    probs = torch.tensor([[0.5, 0.1, 0.3, 0.1]])
    assert nucleus(probs, 0.6).tolist() == [[0.5, 0.0, pytest.approx(0.3), 0.0]]  # 0.5 alone is not 0.6: the token that crosses it stays
    assert nucleus(probs, 0.5).tolist() == [[0.5, 0.0, 0.0, 0.0]]
    assert nucleus(probs, 1.0) is probs
    kept = torch.tensor([[0.0, 0.25, 0.0, 0.75]])  # a quarter of the numbers falls on 1, the rest on 3, none on what has no mass
    assert [int(draw(kept, torch.tensor([u], dtype=torch.float64))) for u in (0.0, 0.2499, 0.2501, 1 - 2**-53)] == [1, 1, 3, 3]


def test_training_mode_and_gradients_survive(model: Any, sampler: Sampler) -> None:
    model.train()
    sampler.sample([[5, 9, 3]], [1], max_tokens=4, temperature=1.0)
    assert model.training
    model.eval()
    model(input_ids=torch.tensor([[5, 9, 3]])).logits.sum().backward()
    assert model.lm_head.weight.grad is not None
    model.zero_grad()


@pytest.fixture
def no_collections() -> Iterator[None]:
    """Stages make collections rare (`pipelines.stage.expect_many_rows`): what needs one to go away stays."""
    gc.collect()
    gc.freeze()  # what is there already is not looked at
    gc.disable()
    yield
    gc.enable()


def living(kind: type) -> int:
    """Made since the test began."""
    return sum(issubclass(type(thing), kind) for thing in gc.get_objects())


@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize("stop", [(), ("a b",)])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.slow
def test_the_cache_does_not_outlive_its_call(sampler: Sampler, temperature: float, stop: tuple[str, ...]) -> None:
    assert living(torch.Tensor) == 0
    for _ in range(3):
        sampler.sample(prompts_of(20), range(20), max_tokens=12, temperature=temperature, stop=stop)
        assert living(InPlaceCache) == 0
        assert living(torch.Tensor) == 0


@pytest.mark.usefixtures("no_collections")
@pytest.mark.slow
def test_a_call_that_fails_leaves_no_cache_either(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(*_: Any) -> torch.Tensor:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(sampler_module._Batch, "_choose", choose)
    try:
        sampler.sample(prompts_of(4), range(4), max_tokens=12, temperature=1.0)
    except RuntimeError:
        pass
    else:
        pytest.fail("nothing was raised")
    assert living(InPlaceCache) == 0


def test_windowed_attention_is_refused(tokenizer: Any) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    small = {"vocab_size": 24, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    with pytest.raises(EngineError, match="windows"):
        Sampler(MistralForCausalLM(MistralConfig(**small, num_key_value_heads=2, sliding_window=8)), tokenizer)
