"""A model of any architecture is either refused at `adoption` with its cause, or everything behind it works with it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, BertConfig, BertForMaskedLM, Gemma3Config, T5Config, T5ForConditionalGeneration
from zoo import byte_tokenizer, put, small

from factory.coat import grammar
from factory.engines import sampler as sampler_module
from factory.engines import supported
from factory.engines.protocol import Request, SamplingParams
from factory.engines.sampler import Sampler
from factory.engines.transformers_engine import TransformersEngine
from factory.errors import DataError, EngineError
from factory.language.conversation import said
from factory.schemas import Example, OrmPair
from trainers import adopt, policy, reward, run, sft, trial
from trainers.collate import collate
from trainers.tokenizer import CHAT_TEMPLATE

LONG = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
WORK: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "untied heads": ("llama", {"tie_word_embeddings": False}),
    "yarn": ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4, "original_max_position_embeddings": 32}}),
    "fp16": ("llama", {"dtype": "float16"}),
    "bf16": ("qwen2", {"dtype": "bfloat16"}),
    "qwen2, its window off": ("qwen2", {"use_sliding_window": False, "sliding_window": 8}),
    "qwen3": ("qwen3", {"head_dim": 8}),
    "mistral without a window": ("mistral", {"sliding_window": None}),
    "mistral, a window as long as the context": ("mistral", {"sliding_window": 128}),
    "gpt2, learned positions and dropout": ("gpt2", {}),
    "one head of keys": ("gpt_bigcode", {"multi_query": True}),
    "gpt_neox": ("gpt_neox", {}),
    "opt, positions from 2": ("opt", {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "phi, a head with a bias": ("phi", {}),
    "olmo2": ("olmo2", {}),
    "experts": ("mixtral", {"num_local_experts": 4}),
}  # fmt: skip
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "mistral": ("mistral", {"sliding_window": 8}, "windows of 8 tokens"),
    "qwen2": ("qwen2", {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 0}, "windows of 16 tokens"),
    "gemma3": ("gemma3_text", {"sliding_window": 16, "head_dim": 8}, "windows of 16 tokens"),
    "gpt_neo": ("gpt_neo", {"attention_types": [[["global", "local"], 1]], "num_layers": 2, "window_size": 8}, "windows of 8 tokens"),
    "longrope": ("phi3", {"max_position_embeddings": 256, "original_max_position_embeddings": 128, "rope_parameters": LONG}, "longrope"),
    "bloom": ("bloom", {}, "ALiBi"),
    "mpt": ("mpt", {}, "ALiBi"),
    "falcon": ("falcon", {"alibi": True}, "ALiBi"),
    "mamba": ("mamba", {}, "does not keep keys and values"),
    "jamba": ("jamba", {}, "does not keep keys and values"),
    "qwen3_next": ("qwen3_next", {}, "does not keep keys and values in every layer .linear_attention"),
    "gemma2": ("gemma2", {"head_dim": 8, "sliding_window": 128}, "final_logit_softcapping 30.0"),
    "granite": ("granite", {"logits_scaling": 8.0}, "no sequence classification for granite"),
    "cohere": ("cohere", {}, "no sequence classification for cohere"),
    "gptj": ("gptj", {}, "scaled dot-product attention"),
    "bert": ("bert", {}, "no linear layer `score`"),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def adopted(hub_id: str = "hub") -> Path:
    adopt.adopt(hub_id, grammar.ACTIONS.values(), sampling=Sampler, target=Path("data/models/base"))
    return Path("data/models/base")


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.slow
def test_what_cannot_work_is_refused_with_its_cause_in_one_line(name: str) -> None:
    kind, changes, cause = REFUSED[name]
    put(Path("hub"), kind, **changes)
    with pytest.raises(DataError, match=cause) as caught:
        adopted()
    assert str(caught.value).startswith("hub: ")
    assert "\n" not in str(caught.value)
    assert "choose" in str(caught.value)
    assert not Path("data").exists()


@pytest.mark.parametrize(
    "name", [name for name, (_, _, cause) in REFUSED.items() if "window" in cause or "ALiBi" in cause or "keep" in cause]
)
def test_the_sampler_refuses_the_same_with_the_same_words(name: str) -> None:
    kind, changes, _ = REFUSED[name]
    model = small(kind, 300, **changes)
    with pytest.raises(EngineError) as caught:
        Sampler(model, None)
    assert str(caught.value) == supported.unsupported(model)


@pytest.mark.parametrize("name", WORK)
@pytest.mark.slow
def test_an_adopted_model_samples_as_it_computes_and_takes_a_reward_head(name: str) -> None:
    kind, changes = WORK[name]
    before = put(Path("hub"), kind, **changes)
    folder = adopted()
    model, words = run.load(folder)
    stored = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert stored.dtype == before.dtype
    kept, weight = before.get_input_embeddings().weight, stored.get_input_embeddings().weight
    assert torch.equal(weight[: len(kept)], kept), "no known weight changes"
    prompts = [words(text, add_special_tokens=False)["input_ids"] for text in ("Tom has 3", "12 + 7 = 19\nSo", "x")]
    answers = Sampler(model, words).sample(prompts, [1, 2, 3], max_tokens=12, temperature=1.0)
    acted = [(*answer.token_ids, *([words.eos_token_id] if answer.finished else [])) for answer in answers]
    with torch.no_grad():
        logprobs = policy.Actor(model, 1.0).log_probs(collate([tuple(prompt) for prompt in prompts], acted, model.device)).tolist()
    for actions, answer in zip(acted, answers, strict=True):
        mine, logprobs = logprobs[: len(actions)], logprobs[len(actions) :]
        assert mine[: len(answer.logprobs)] == pytest.approx(answer.logprobs, abs=1e-3)
    head = reward.from_policy(folder, words)
    ids = torch.tensor([prompts[1]])
    with torch.no_grad():
        assert torch.allclose(*(one.eval().base_model(input_ids=ids).last_hidden_state for one in (head, model)), atol=1e-5)
        assert head(input_ids=ids).logits.tolist() == [[0.0]]


@pytest.mark.parametrize(
    "name", ["fp16", "qwen2, its window off", "gpt2, learned positions and dropout", "gpt_neox", "opt, positions from 2"]
)
@pytest.mark.slow
def test_an_adopted_model_goes_through_tuning_a_reward_model_and_the_engine(name: str) -> None:
    kind, changes = WORK[name]
    put(Path("hub"), kind, **changes)
    folder = adopted()
    rows = [
        Example(id=str(n), problem_id=str(n), prompt=said("user", f"{n} + 1\n"), completion=f"{n + 1}<|reflect|>\n", seed=n, model="m",
                prompt_version="1", round="r1")
        for n in range(8)
    ]  # fmt: skip
    sft.tune(rows, sft.Settings(tokens=40, batch=2, lr=1e-4), seed=1, start=folder, target=Path("data/models/tuned"), log=Path("tuned.csv"))
    pairs = [
        OrmPair(id=str(n), problem_id=str(n), prompt=said("user", f"{n} + 1\n"), chosen=f"{n + 1}", rejected=f"{n}", margin=2.0,
                chosen_id="c", rejected_id="r", round="r1")
        for n in range(4)
    ]  # fmt: skip
    reward.fit(pairs, reward.Settings(epochs=1, batch=2, lr=1e-4), seed=1, start=Path("data/models/tuned"),
               target=Path("data/models/orm"), log=Path("orm.csv"))  # fmt: skip
    assert policy.load_critic(Path("data/models/orm")).logits([(5, 6, 7)])
    (answer,) = TransformersEngine("data/models/tuned", "tuned@1").generate(
        [Request(prompt=said("user", "3 + 1\n"), sampling=SamplingParams(max_tokens=4, temperature=0.0), seed=1)]
    )
    assert answer.finish_reason in ("stop", "length")


class Blind(Sampler):
    """The sampler without its refusals: what is left must be found by trying."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer, self.batch, self.context, self.ends = model, tokenizer, 8, 128, [tokenizer.eos_token_id]


@pytest.mark.parametrize(
    ("kind", "changes", "found"),
    [
        ("mistral", {"sliding_window": 4}, "padding on the left or the key-value cache"),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0}, "padding on the left or the key-value cache"),
        ("falcon", {"alibi": True}, "padding on the left or the key-value cache|running it failed"),
        ("bloom", {}, "running it failed"),
        ("mamba", {}, "running it failed|padding on the left"),
        ("bert", {}, "not those of its output layer"),
        ("granite", {"logits_scaling": 8.0}, "logits_scaling 8.0"),
        ("cohere", {"logit_scale": 0.25}, "logit_scale 0.25"),
    ],
)
def test_the_trial_finds_it_even_where_no_config_is_known(
    kind: str, changes: dict[str, Any], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = byte_tokenizer(chat_template=CHAT_TEMPLATE)
    monkeypatch.setattr(trial, "reward_head", lambda model: None)
    with pytest.raises(DataError, match=found):
        trial.check(small(kind, len(words), **changes), words, Blind, "hub")


def test_the_trial_leaves_the_weights_as_they_were() -> None:
    words = byte_tokenizer(chat_template=CHAT_TEMPLATE)
    model = small("gpt2", len(words), tie_word_embeddings=True).half().train()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    trial.check(model, words, Sampler, "hub")
    assert model.training
    assert model.lm_head.weight is model.transformer.wte.weight
    for name, weight in model.state_dict().items():
        assert weight.dtype == before[name].dtype
        assert torch.equal(weight, before[name])


def test_a_model_that_reads_to_the_right_is_no_causal_one() -> None:
    words = byte_tokenizer(chat_template=CHAT_TEMPLATE)
    model = small("llama", len(words))
    for layer in model.model.layers:
        layer.self_attn.is_causal = False
    with pytest.raises(DataError, match="no causal model"):
        trial.check(model, words, Sampler, "hub")


def test_a_weight_that_is_no_number_is_found() -> None:
    words = byte_tokenizer(chat_template=CHAT_TEMPLATE)
    model = small("llama", len(words))
    model.model.layers[1].mlp.up_proj.weight.data[3, 3] = float("nan")
    with pytest.raises(DataError, match="no finite numbers"):
        trial.check(model, words, Sampler, "hub")


@pytest.mark.slow
def test_models_that_are_no_decoder_at_all_are_named() -> None:
    words = byte_tokenizer()
    words.save_pretrained("t5")
    T5ForConditionalGeneration(T5Config(vocab_size=len(words), d_model=16, d_ff=16, num_layers=1, num_heads=2, d_kv=8)).save_pretrained(
        "t5"
    )
    with pytest.raises(DataError, match=r"t5: transformers has no causal language model of type t5: choose"):
        adopted("t5")
    words.save_pretrained("bert")
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertForMaskedLM(BertConfig(vocab_size=len(words), **shape)).save_pretrained("bert")
    with pytest.raises(DataError, match="bert is a BertForMaskedLM, expected a causal language model"):
        adopted("bert")
    words.save_pretrained("vision")
    Gemma3Config().save_pretrained("vision")
    with pytest.raises(DataError, match="vision: gemma3 is a model of several parts"):
        adopted("vision")
    words.save_pretrained("parts")
    Path("parts/config.json").write_text(
        json.dumps({"model_type": "qwen2_5_vl", "architectures": ["Qwen2_5_VLForConditionalGeneration"]}), encoding="utf-8"
    )
    with pytest.raises(DataError, match="parts: transformers has no causal language model of type qwen2_5_vl"):
        adopted("parts")


def test_sampler_module_has_no_refusal_of_its_own() -> None:
    assert sampler_module.unsupported is supported.unsupported
