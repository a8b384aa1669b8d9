"""Mistakes that raise nothing: the run goes on, the curves look alive, the model is worse. docs/silent-failures.md tells their stories.

Each test holds a check to the code as it is, then plants the mistake in the code that trains and holds the check to that: `caught` passes
only when the same check fails then.
"""

import copy
import csv
import dataclasses
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache, partial, partialmethod
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import DataCollatorForLanguageModeling, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase, Trainer

from factory.coat.rewards import Reward, Weights
from factory.engines.sampler import Sampled, Sampler, nucleus
from factory.errors import ParamsError
from factory.language import tokens
from factory.language.conversation import said
from factory.params import parse
from factory.schemas import Example, Restart
from factory.storage import DATASETS, MODELS, write_rows
from pipelines import ppo as stage
from trainers import batches, hf, policy, ppo, reward, rollout, run, sft
from trainers.collate import Ids, collate
from trainers.machine import ALONE, Machine
from trainers.policy import Actor

sys.path.insert(0, str(Path(__file__).parent))
import sorts
import zoo
from gradients import GRADIENTS, SETTINGS, collected, in_two_processes, opened, starts

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
ROWS = [("Tom has 3.\nSolve:\n", "3 + 4 = 7"), ("Solve:\n", "7"), ("Tom has 9 apples now?\nSolve:\n", "9 + 9 = 18\n\\boxed{18}")]
Plant = Callable[[pytest.MonkeyPatch], None]
trains = pytest.mark.slow  # whole trainings, a few seconds each


def caught(check: Callable[[], None], plant: Plant) -> None:
    """The check passes, and fails where the mistake is planted."""
    check()
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        with pytest.raises(AssertionError):
            check()


def replaced(owner: Any, name: str, value: Any) -> Plant:
    return lambda patch: patch.setattr(owner, name, value)


def examples(rows: Sequence[tuple[str, str]] = ROWS) -> list[Example]:
    return [
        Example(
            id=str(n), problem_id=str(n), prompt=said("user", asked), completion=told, model="m", prompt_version="p", seed=1, round="base"
        )
        for n, (asked, told) in enumerate(rows)
    ]


def tune(
    start: Path, rows: Sequence[tuple[str, str]], target: str = "tuned", *, steps: int = 1, batch: int | None = None, **more: Any
) -> Path:
    """Supervised fine-tuning, as its stage calls it."""
    words = run.load_tokenizer(start)
    once = sum(
        len(head + tail) for head, tail in batches.sequences(words, [said("user", asked) for asked, _ in rows], [told for _, told in rows])
    )
    settings = sft.Settings(tokens=once * steps, batch=batch or len(rows), lr=1e-2)
    sft.tune(examples(rows), settings, seed=1, start=start, target=Path(target), log=Path(f"{target}.csv"), **more)
    return Path(target)


# What is trained on


def logged_loss_is_that_of_answers_alone(start: Path) -> None:
    log = tune(start, ROWS).with_suffix(".csv")
    logged = float(next(csv.DictReader(log.read_text().splitlines()))["loss"])
    model, words = run.load(start)
    total, count = 0.0, 0
    for asked, told in ROWS:
        head, tail = words(asked)["input_ids"], [*words(told)["input_ids"], words.eos_token_id]
        with torch.no_grad():
            chances = model(input_ids=torch.tensor([head + tail])).logits[0].log_softmax(-1)[len(head) - 1 : -1]  # (tail, V)
        total, count = total - chances[range(len(tail)), tail].sum().item(), count + len(tail)
    assert logged == pytest.approx(total / count, rel=1e-4)


def everything_labelled(*given: Any) -> list[batches.Tokens]:
    return [batches.Tokens(row.ids, list(row.ids)) for row in COMPLETION_ONLY(*given)]


def end_without_label(*given: Any) -> list[batches.Tokens]:
    return [batches.Tokens(row.ids, [*row.labels[:-1], batches.IGNORED]) for row in COMPLETION_ONLY(*given)]


COMPLETION_ONLY = batches.completion_only


class Recollated(sft._Tuner):
    """With the usual collator of Hugging Face, which makes labels of the ids anew, and ignores those that equal the padding."""

    def __init__(self, job: hf.Job, *, processing_class: PreTrainedTokenizerBase, **options: Any) -> None:
        usual = DataCollatorForLanguageModeling(processing_class, mlm=False)

        def collated(rows: list[dict[str, Any]]) -> Any:
            return usual([{"input_ids": row["input_ids"]} for row in rows])

        super().__init__(job, data_collator=collated, processing_class=processing_class, **options)


@trains
@pytest.mark.parametrize(
    "plant", [replaced(batches, "completion_only", everything_labelled), replaced(sft, "_Tuner", Recollated)], ids=["labels", "collator"]
)
def test_prompt_tokens_in_the_loss(start: Path, plant: Plant) -> None:
    caught(partial(logged_loss_is_that_of_answers_alone, start), plant)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose padding is its end of turn, as SmolLM2's is."""
    folder, words = tmp_path_factory.mktemp("chat") / "start", sorts.from_the_hub(sorts.SMOLLM2)
    assert words.pad_token_id == words.eos_token_id
    torch.manual_seed(1)
    run.save_model(LlamaForCausalLM(shape(len(words), words.pad_token_id, words.eos_token_id)), words, folder)
    return folder


def shape(vocabulary: int, pad: int, end: int, **more: Any) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, tie_word_embeddings=True,
        max_position_embeddings=128, pad_token_id=pad, eos_token_id=end, bos_token_id=None, **more,
    )  # fmt: skip


def what_is_learnt_by_heart_ends(start: Path) -> None:
    model, words = run.load(tune(start, [("3 + 4?", "7"), ("3 + 8?", "8")], steps=30))
    prompts = tokens.prompt_ids(words, [said("user", asked) for asked in ("3 + 4?", "3 + 8?")])
    found = Sampler(model, words).sample(prompts, [0, 1], max_tokens=9, temperature=0.0)
    assert [(words.decode(one.token_ids), one.finished) for one in found] == [("7", True), ("8", True)]


@trains
@pytest.mark.parametrize(
    "plant",
    [replaced(batches, "completion_only", end_without_label), replaced(sft, "_Tuner", Recollated)],
    ids=["no label", "it is the padding"],
)
def test_the_end_token_is_never_trained(chat: Path, plant: Plant) -> None:
    caught(partial(what_is_learnt_by_heart_ends, chat), plant)


def test_another_end_is_trained_than_the_template_writes() -> None:
    """A base model's eos is not where its chat template ends a turn."""
    words = sorts.from_the_hub(sorts.QWEN2_BASE)
    told = [*sorts.QUESTION, said("assistant", "7")[0]]

    def a_sequence_is_the_templates_own() -> None:
        (row,) = batches.completion_only(words, [sorts.QUESTION], ["7"])
        written = words(words.apply_chat_template([turn._asdict() for turn in told], tokenize=False), add_special_tokens=False)["input_ids"]
        assert written[: len(row.ids)] == row.ids

    def ended_by_eos(*given: Any) -> Any:
        return [(head, [*tail[:-1], words.eos_token_id]) for head, tail in tokens.sequence_ids(*given)]

    caught(a_sequence_is_the_templates_own, replaced(batches, "sequence_ids", ended_by_eos))


# How a step's loss is divided


@cache
def undivided(kind: str, start: Path) -> torch.Tensor:
    return GRADIENTS[kind](start, ALONE)


def same(one: torch.Tensor, other: torch.Tensor) -> None:
    assert torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(one.norm())), f"off by {float((one - other).norm() / one.norm()):.2g}"


def a_step_may_be_cut_anyhow(kind: str, start: Path) -> None:
    uneven = Machine(pass_tokens=130 if kind == "ppo" else 300)  # passes of one and of two rows
    same(undivided(kind, start), GRADIENTS[kind](start, uneven))


def sum_of_means(self: Any, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
    return super(sft._Tuner, self).compute_loss(model, inputs, return_outputs=return_outputs)


def uncounted(self: Any, batches_of: Any, count: int, device: Any) -> Any:
    return [next(batches_of) for _ in range(count)], None


def mean_of_a_pass(patch: pytest.MonkeyPatch) -> None:
    plain, valued = ppo.policy_loss, ppo.value_loss
    patch.setattr(ppo, "policy_loss", lambda *given: (found := plain(*given))._replace(loss=found.loss / len(found.loss)))
    patch.setattr(ppo, "value_loss", lambda *given: (found := valued(*given)) / len(found))


@pytest.mark.parametrize(
    ("kind", "plant"),
    [
        pytest.param("sft", replaced(sft._Tuner, "compute_loss", sum_of_means), marks=trains),
        pytest.param("sft", replaced(Trainer, "get_batch_samples", uncounted), marks=trains),
        pytest.param("orm", replaced(hf.Job, "weight", lambda *_: 1.0), marks=trains),
        pytest.param("dpo", replaced(hf.Job, "weight", lambda *_: 1.0), marks=trains),
        ("ppo", mean_of_a_pass),
    ],
    ids=["sft sum of means", "sft mean of means", "orm", "dpo", "ppo"],
)
def test_loss_scale_under_accumulation(kind: str, plant: Plant, start: Path) -> None:
    caught(partial(a_step_may_be_cut_anyhow, kind, start), plant)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_loss_scale_over_ranks(start: Path, tmp_path: Path) -> None:
    alone = {kind: undivided(kind, start) for kind in GRADIENTS}
    for kind, gradient in in_two_processes(start, tmp_path / "sound").items():
        same(alone[kind], gradient)
    for kind, gradient in in_two_processes(start, tmp_path / "planted", "planted").items():
        with pytest.raises(AssertionError, match="off by"):
            same(alone[kind], gradient)


# Who samples, and what the ratio is of


def its_own_copy(actor: Actor, *given: Any) -> rollout.Sample:
    return SAMPLING(copy.deepcopy(actor), *given)


SAMPLING = stage._sampling


def twin_made_once(patch: pytest.MonkeyPatch) -> None:
    acting = Actor.acting

    def stale(self: Actor) -> Any:
        if self._twin is None:
            return acting(self)
        return nullcontext(self._twin[0])

    patch.setattr(Actor, "acting", stale)


@pytest.mark.parametrize(
    ("precision", "plant"), [("float32", replaced(stage, "_sampling", its_own_copy)), ("bfloat16", twin_made_once)], ids=["copy", "twin"]
)
def test_stale_sampler(precision: Any, plant: Plant, start: Path) -> None:
    """For vLLM: tests/factory/engines/test_vllm_rollouts.py, where faults are planted in the way between the actor and the engine."""
    words = run.load_tokenizer(start)
    prompts, seeds = [one.ids for one in starts(start)], range(6)

    def new_weights_are_what_samples() -> None:
        actor = Actor(run.load(start)[0], 1.0, Machine(precision=precision))
        sample = stage._sampling(actor, words, 8)
        before = sample(prompts, seeds)
        torch.manual_seed(3)
        for parameter in actor.parameters():
            parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
        now = copy.deepcopy(actor.model)
        for parameter in now.parameters():
            parameter.data = parameter.data.to(getattr(torch, precision))
        after = [one.token_ids for one in sample(prompts, seeds)]
        assert after == [one.token_ids for one in Sampler(now, words).sample(prompts, seeds, max_tokens=8, temperature=1.0)]
        assert after != [one.token_ids for one in before]

    caught(new_weights_are_what_samples, plant)


def cut_to(top_p: float) -> Plant:
    return replaced(Sampler, "sample", partialmethod(Sampler.sample, top_p=top_p))


def untempered(patch: pytest.MonkeyPatch) -> None:
    plain = policy.log_probs_and_entropy
    patch.setattr(policy, "log_probs_and_entropy", lambda states, head, targets, _: plain(states, head, targets, 1.0))


@pytest.mark.parametrize("plant", [cut_to(0.8), untempered], ids=["top_p 0.8", "temperature forgotten"])
def test_ratio_under_another_distribution_than_was_sampled(plant: Plant, chat: Path) -> None:
    model, words = run.load(chat)
    model.get_input_embeddings().weight.data.mul_(8)  # far from uniform
    actor, draws = Actor(model, 0.6), 4000
    (prompt,) = tokens.prompt_ids(words, [sorts.QUESTION])

    def sampled_as_trained() -> None:
        """E[∇ log π] is 0 where actions come from π; over one state's logits that is frequencies less π."""
        found = stage._sampling(actor, words, 1)([prompt] * draws, range(draws))
        drawn = torch.tensor([one.token_ids[0] if one.token_ids else words.eos_token_id for one in found])
        frequency = torch.bincount(drawn, minlength=len(words)) / draws
        every = collate([tuple(prompt)] * len(words), [(token,) for token in range(len(words))], CPU)
        chances = actor.log_probs(every).exp().detach()
        assert chances.sum().item() == pytest.approx(1.0, abs=1e-4)
        assert (frequency - chances).abs().sum() / 2 < 0.1  # the total variation distance; 4,000 draws alone make 0.07

    caught(sampled_as_trained, plant)


def test_truncated_sampling_makes_ratios_below_one_on_average_and_is_refused() -> None:
    """The mean of π / π_sampler is the mass that is kept: a policy that has not moved looks as if it had."""
    torch.manual_seed(0)
    chances = torch.randn(64, 256).mul(2).softmax(-1)
    kept = nucleus(chances, 0.8)
    sampler = kept / kept.sum(-1, keepdim=True)
    ratio = torch.where(kept > 0, chances / sampler, 0.0)
    assert (sampler * ratio).sum(-1).mean().item() == pytest.approx(kept.sum(-1).mean().item(), abs=1e-5)
    assert 0.8 < (sampler * ratio).sum(-1).mean() < 0.83
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    parse(document)
    for key, value in (("top_p", 0.95), ("top_k", 50), ("min_p", 0.05)):
        asked = copy.deepcopy(document)
        asked["rounds"]["r1"][key] = value
        with pytest.raises(ParamsError, match=f"rounds.r1.*{key} cuts off what is unlikely"):
            parse(asked)


def first_ratio_is_one(start: Path, config: LlamaConfig) -> None:
    torch.manual_seed(0)
    state = opened(start)
    state.actor = Actor(LlamaForCausalLM(config), 1.0)
    rollouts = collected(start, state)
    experience = ppo.evaluate(state, rollouts, SETTINGS)
    batch = collate(rollouts.prompts, rollouts.actions, CPU)
    with torch.no_grad():
        ratio = (state.actor.log_probs(batch) - experience.select([*range(6)]).logprobs).exp()
    assert torch.allclose(ratio, torch.ones_like(ratio), atol=1e-4)


def test_dropout_while_ratios_are_computed(start: Path) -> None:
    words = run.load_tokenizer(start)
    dropping = shape(len(words), words.pad_token_id, words.eos_token_id, attention_dropout=0.3, initializer_range=0.5)
    states = Actor.states

    def in_training_mode(self: Actor, ids: torch.Tensor) -> torch.Tensor:
        self.whole.train()
        return states(self, ids)

    caught(partial(first_ratio_is_one, start, dropping), replaced(Actor, "states", in_training_mode))


def test_old_log_probabilities_are_taken_when_the_policy_has_moved(start: Path) -> None:
    """The ratio is then 1 whatever happens, and nothing is ever clipped."""

    def the_second_epoch_sees_another_policy() -> None:
        settings = dataclasses.replace(SETTINGS, epochs=2, lr=1e-2)
        state = opened(start, settings)
        rollouts = collected(start, state, settings)
        updates = ppo.update(state, rollouts, ppo.evaluate(state, rollouts, settings), settings)
        assert updates.approx_kl is not None
        assert updates.approx_kl > 1e-4

    caught(the_second_epoch_sees_another_policy, replaced(ppo.Settings, "on_policy", True))


def test_the_samplers_copy_in_bfloat16_rounds_positions(start: Path) -> None:
    def they_are_counted_as_the_policy_does() -> None:
        actor = Actor(run.load(start)[0], 1.0, Machine(precision="bfloat16"))
        with actor.acting() as twin:
            assert twin.dtype == torch.bfloat16
            for one, other in zip(actor.model.buffers(), twin.buffers(), strict=True):
                assert torch.equal(one, other)

    def cast_whole(patch: pytest.MonkeyPatch) -> None:
        acting = Actor.acting

        @contextmanager
        def whole(self: Actor) -> Any:
            with acting(self) as twin:
                yield torch.nn.Module.to(twin, torch.bfloat16)

        patch.setattr(Actor, "acting", whole)

    caught(they_are_counted_as_the_policy_does, cast_whole)


@pytest.mark.parametrize("kind", ["llama", "starcoder2"])
def test_dropout_while_activations_are_recomputed(kind: str) -> None:
    """Transformers recomputes in training mode only; some models drop out in the very modules that recompute. Such a model is refused."""
    words = zoo.byte_tokenizer()
    batch = collate([(65, 66, 67)], [(70, 71)], CPU)
    steady = Actor(zoo.small(kind, len(words), attention_dropout=0.0, residual_dropout=0.0, embedding_dropout=0.0), 1.0)
    steady.recompute(True)
    assert torch.equal(steady.log_probs(batch), steady.log_probs(batch))
    dropping = Actor(zoo.small(kind, len(words), attention_dropout=0.3, residual_dropout=0.3, embedding_dropout=0.3), 1.0)
    with pytest.raises(ParamsError, match=r"training\.recompute is on, expected false for PPO with .*dropout is 0\.3"):
        dropping.recompute(True)
    if kind == "starcoder2":  # what the refusal spares: planted, two equal passes differ
        dropping.model.train()
        assert not torch.equal(dropping.log_probs(batch), dropping.log_probs(batch))


def test_sampling_leaves_recomputation_on(start: Path) -> None:
    actor = Actor(run.load(start)[0], 1.0, Machine(recompute=True))
    actor.recompute(True)
    before = [module.training for module in actor.modules()]
    assert any(before)
    stage._sampling(actor, run.load_tokenizer(start), 2)([(5, 6)], [1])
    assert [module.training for module in actor.modules()] == before


# What a response earns

BOX = "3 + 4 = 7\n\\boxed{7}\n<|reflect|>"


def test_reward_from_the_prompts_own_box(start: Path) -> None:
    words = run.load_tokenizer(start)
    rewards = stage._rewards(None, words, Weights(beta=0.5, orm_weight=0.0))
    rows = [
        Restart(id=str(n), problem_id="p", parent_id=None, buffer="+", backtrack=0, prompt=said("user", asked), prefix=prefix,
                prefix_has_answer="box" in prefix, answer="7", answer_kind="number", round="r1")
        for n, (asked, prefix) in enumerate([("Solve:\n", BOX), ("Solve 3 + 4 like \\boxed{7}.\n", ""), ("Solve:\n", BOX)])
    ]  # fmt: skip
    begun = [rollout.Start(row, (5,)) for row in rows]
    responses = [rollout.Response(ids := tuple(words(told)["input_ids"]), ids, True) for told in ("But wait.\n", "7\n", "\\boxed{8}")]

    def only_the_response_earns() -> None:
        found = rewards(begun, responses)
        assert [(one.verdict, one.rule) for one in found] == [("unparsable", -1.0), ("unparsable", -1.0), ("wrong", -1.0)]

    def whole_graded(row: Restart, text: str, *given: Any) -> Reward:
        return REWARD(row, row.prompt[0].content + row.prefix + text, *given)

    caught(only_the_response_earns, replaced(stage, "reward", whole_graded))


REWARD = stage.reward


@pytest.mark.parametrize(
    "regroup", [lambda totals: totals.view(3, -1).T, lambda totals: totals.view(1, -1)], ids=["interleaved", "whole batch"]
)
def test_the_siblings_mean_includes_other_prompts(regroup: Callable[[torch.Tensor], torch.Tensor], start: Path) -> None:
    settings = dataclasses.replace(SETTINGS, samples=3, batch=9, minibatch=9, lam=1.0, baselines=("siblings",))

    def easy_for_one(rows: Sequence[rollout.Start], responses: Sequence[rollout.Response]) -> list[Reward]:
        """All three succeed at one start, none at the others: nothing to learn."""
        return [Reward("wrong", -float(row.ids != rows[0].ids), 0.0, 0.0) for row in rows]

    def alike_means_nothing() -> None:
        state = opened(start, settings)
        rollouts = collected(start, state, settings, easy_for_one)
        assert not ppo.evaluate(state, rollouts, settings).advantages.any()

    def regrouped(self: rollout.Rollouts, siblings: int = 1) -> torch.Tensor:
        groups = regroup(torch.tensor([one.total for one in self.rewards]))
        totals = (groups - groups.mean(dim=1, keepdim=True)).reshape(-1)
        return torch.where(self.mask.cumsum(1) == self.mask.sum(1, keepdim=True), totals[:, None], 0.0)

    caught(alike_means_nothing, replaced(rollout.Rollouts, "terminal_rewards", regrouped))


def test_without_a_critic_lambda_below_one_fades_what_came_first(start: Path) -> None:
    changes: dict[str, Any] = {"lam": 0.95, "baselines": ("siblings",), "samples": 3, "batch": 9, "minibatch": 9}
    with pytest.raises(ParamsError, match=r"ppo\.lam is 0\.95, expected 1: without a critic"):
        dataclasses.replace(SETTINGS, **changes)

    def every_action_gets_its_responses_reward() -> None:
        state = opened(start, settings)
        experience = ppo.evaluate(state, collected(start, state, settings), settings)
        first, last = experience.advantages[:, 0], experience.mask.sum(1) - 1
        assert first.any()
        assert torch.allclose(first, experience.advantages[torch.arange(9), last])

    settings = dataclasses.replace(SETTINGS, **{**changes, "lam": 1.0})
    every_action_gets_its_responses_reward()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ppo.Settings, "__post_init__", lambda self: None)
        settings = dataclasses.replace(SETTINGS, **changes)
        with pytest.raises(AssertionError):
            every_action_gets_its_responses_reward()


# Going on


class Stop(Exception):
    pass


def forgets_the_iteration(patch: pytest.MonkeyPatch) -> None:
    load = ppo.State.load

    def loaded(self: ppo.State, folder: Path) -> None:
        load(self, folder)
        self.iteration, self.log = 0, []

    patch.setattr(ppo.State, "load", loaded)


@trains
@pytest.mark.parametrize("plant", [forgets_the_iteration, replaced(ppo.State, "load", lambda *_: None)], ids=["iteration", "all"])
def test_a_resumed_ppo_replays_its_first_start_states(plant: Plant, start: Path) -> None:
    """The whole stage, stopped in its third iteration of four."""
    shutil.copytree(start, MODELS / "format_tuned")
    words = run.load_tokenizer(start)
    scored = reward.from_policy(start, words)
    scored.config.reward_mean, scored.config.reward_std = 0.0, 1.0
    run.save_model(scored, words, MODELS / "orm_r1")
    write_rows(DATASETS / "restarts_r1" / "data" / "train-00000-of-00001.parquet", Restart, [one.row for one in starts(start)])
    (DATASETS / "restarts_r1" / "manifest.json").write_text(json.dumps({"purpose": "train"}))
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    document["ppo"] |= {"iterations": 4, "batch": 4, "minibatch": 2, "max_tokens": 8, "lr": 1e-3, "orm_weight": 0.0, "critic_warmup": 0}
    document["ppo"] |= {"baselines": ["siblings"], "lam": 1.0, "lora": None, "sampler": None}
    document["rounds"]["r1"]["samples"] = 2
    document["training"] = {"save_minutes": 0.0}
    params, sample = parse(document), Sampler.sample

    def seen(stop: int | None = None) -> list[Ids]:
        found = list[Ids]()

        def watched(self: Sampler, prompts: Sequence[Ids], *given: Any, **more: Any) -> list[Sampled]:
            found.extend(prompts)
            if len(found) == stop:
                raise Stop
            return sample(self, prompts, *given, **more)

        with pytest.MonkeyPatch.context() as patch, nullcontext() if stop is None else pytest.raises(Stop):
            patch.setattr(Sampler, "sample", watched)
            stage.main(params, "r1")
        return found

    def a_resumed_run_is_the_same_run() -> None:
        straight, made = seen(), (MODELS / "policy_r1" / "model.safetensors").read_bytes()
        stopped = seen(stop=12)
        assert stopped[:8] + seen() == straight
        assert (MODELS / "policy_r1" / "model.safetensors").read_bytes() == made

    caught(a_resumed_run_is_the_same_run, plant)


@trains
def test_a_resumed_tuning_replays_its_first_rows(start: Path) -> None:
    rows = [("Solve:\n", f"{a} + {b} = 7") for a in "34" for b in "3478"]
    step = sft._Tuner.training_step

    def stopping(self: Any, *given: Any, **more: Any) -> Any:
        if self.state.global_step == 3:
            raise Stop
        return step(self, *given, **more)

    def a_resumed_run_is_the_same_run() -> None:
        here, stopped = Machine(save_minutes=0.0), run.WORK / "stopped"
        straight = tune(start, rows, "straight", batch=2, machine=here)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sft._Tuner, "training_step", stopping)
            with pytest.raises(Stop):
                tune(start, rows, "stopped", batch=2, machine=here)
        assert [path.name for path in stopped.glob("checkpoint-3")] == ["checkpoint-3"]
        resumed = tune(start, rows, "stopped", batch=2, machine=here)
        assert (resumed / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()
        assert json.loads((resumed / "config.json").read_text()) == json.loads((straight / "config.json").read_text())

    def from_the_first_row(patch: pytest.MonkeyPatch) -> None:
        arguments = hf.Job.arguments
        patch.setattr(hf.Job, "arguments", lambda self, model: {**arguments(self, model), "ignore_data_skip": True})

    caught(a_resumed_run_is_the_same_run, from_the_first_row)
