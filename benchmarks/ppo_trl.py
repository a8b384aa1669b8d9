"""PPO here beside trl 1.12.0's `PPOTrainer` (the last trl that has one): cpu-seconds an iteration on one core, the same models and work.

python -m venv /tmp/trl && /tmp/trl/bin/pip install torch==2.13.0 transformers==5.19.0 trl==1.12.0   # an environment of its own
python benchmarks/ppo_trl.py --trl /tmp/trl/bin/python                                              # about ten minutes

Llamas with random weights, 32 responses of 48 tokens an iteration (or, `natural`, until the end token comes, at random, after 20 or so);
prompts of 24 to 48 tokens. Both sides are processes that stay alive and do an iteration in turns; a ratio is the median over these pairs.
`trl` is the trainer as it is: it computes a reference at KL 0 and calls `gc.collect` twice an iteration; `bare` is without both. trl
always trains a critic; `siblings` means four responses a prompt with their mean as the baseline. `products` are the matrix products of
our iteration alone, at their shapes: no program that does this work can be faster. Rewards cost nothing on either side.
"""

import argparse
import json
import math
import random
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

PAD, END, VOCABULARY, RESPONSES, ROOM = 0, 1, 252, 32, 48
SHAPES = {"1M": (144, 400), "3.6M": (256, 768)}  # hidden and intermediate size, of four layers with four heads


@dataclass(frozen=True)
class Case:
    shape: str
    samples: int = 1  # a prompt
    critic: bool = True
    minibatches: int = 4
    epochs: int = 1
    natural: bool = False

    def __str__(self) -> str:
        ends = "natural" if self.natural else "forced"
        kind = f"{self.samples} a prompt, {'critic' if self.critic else 'siblings'}"
        return f"{self.shape}, {kind}, {self.minibatches} × {self.epochs}, {ends}"


CASES = [
    Case("3.6M"), Case("3.6M", minibatches=1, epochs=4), Case("3.6M", natural=True), Case("1M"), Case("1M", natural=True),
    Case("3.6M", samples=4), Case("1M", samples=4), Case("3.6M", samples=4, natural=True), Case("1M", samples=4, natural=True),
    Case("3.6M", samples=4, critic=False, minibatches=1), Case("1M", samples=4, critic=False, minibatches=1),
    Case("3.6M", samples=4, critic=False, minibatches=1, natural=True), Case("1M", samples=4, critic=False, minibatches=1, natural=True),
]  # fmt: skip


def config(case: Case, **more: Any) -> LlamaConfig:
    hidden, intermediate = SHAPES[case.shape]
    return LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=4, num_attention_heads=4,
        max_position_embeddings=128, pad_token_id=PAD, eos_token_id=END, bos_token_id=None, **more,
    )  # fmt: skip


def models(case: Case) -> tuple[LlamaForCausalLM, LlamaForSequenceClassification]:
    """A policy whose output layer has a bias: no padding is sampled, and the end as often as it should be."""
    torch.manual_seed(0)
    policy = LlamaForCausalLM(config(case))
    head = nn.Linear(policy.config.hidden_size, VOCABULARY)
    head.weight.data.copy_(policy.lm_head.weight.data)
    head.bias.data.zero_()
    head.bias.data[PAD], head.bias.data[END] = -30.0, math.log(VOCABULARY / 20) if case.natural else -30.0
    policy.lm_head = head
    return policy, LlamaForSequenceClassification(config(case, num_labels=1))


def prompts(case: Case, count: int) -> list[tuple[int, ...]]:
    draw = random.Random(1)
    return [tuple(draw.randrange(2, VOCABULARY) for _ in range(draw.randint(24, 48))) for _ in range(count)]


def words() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models, pre_tokenizers

    core = Tokenizer(models.WordLevel({f"w{number}": number for number in range(VOCABULARY)}, unk_token="w2"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token=f"w{PAD}", eos_token=f"w{END}", padding_side="left")


class Turns:
    """A worker's side: an iteration when it is told to, and what it cost."""

    def __init__(self) -> None:
        self.began = 0.0
        print("ready", flush=True)
        self.wait()

    def wait(self, *_: Any) -> None:
        if not sys.stdin.readline():
            sys.exit()
        self.began = time.process_time()

    def done(self, *_: Any) -> None:
        print(time.process_time() - self.began, flush=True)
        self.wait()


def ours(case: Case) -> None:
    from factory.coat.rewards import Reward
    from factory.engines.sampler import Sampled, Sampler
    from factory.language.conversation import said
    from factory.schemas import Restart
    from trainers import ppo
    from trainers.policy import Actor, Critic
    from trainers.rollout import Start

    policy, value = models(case)
    settings = ppo.Settings(
        iterations=1000, batch=RESPONSES, minibatch=RESPONSES // case.minibatches, epochs=case.epochs, samples=case.samples,
        temperature=0.7, lr=1e-5, critic_lr=1e-5, warmup_share=0.1, critic_warmup=0, clip_low=0.2, clip_high=0.2, value_clip=0.2, gamma=1.0,
        lam=0.95 if case.critic else 1.0, kl=0.0, baselines=("critic",) if case.critic else ("siblings",), max_grad_norm=1.0, seed=1,
    )  # fmt: skip
    row = Restart(
        id="", problem_id="p", parent_id=None, buffer="0", backtrack=0, prompt=said("user", "?"), prefix="", prefix_has_answer=False,
        answer="", answer_kind="text", round="r1",
    )  # fmt: skip
    starts = [Start(row, ids) for ids in prompts(case, 256)]
    state = ppo.build_state(Actor(policy, settings.temperature), Critic(value, 0.0, 1.0) if case.critic else None, settings)
    sampler = Sampler(policy, words())
    sampler.ends = [END]

    def sample(asked: list[tuple[int, ...]], seeds: list[int]) -> list[Sampled]:
        return sampler.sample(asked, seeds, max_tokens=ROOM, temperature=settings.temperature)

    def reward(asked: list[Start], responses: list[Any]) -> list[Reward]:
        return [Reward("wrong", float(response.actions[0] % 2), 0.0, 0.0) for response in responses]

    ppo.train(state, starts, sample, reward, settings, eos=END, action_ids={}, report=Turns().done)


def theirs(case: Case, bare: bool) -> None:
    import copy
    import gc
    import tempfile
    from types import SimpleNamespace

    from datasets import Dataset
    from transformers import TrainerCallback
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    policy, value = models(case)
    reference: Any = copy.deepcopy(policy)
    if bare:
        gc.collect = lambda *_: 0

        class Nothing(nn.Module):
            def forward(self, input_ids: torch.Tensor, **_: Any) -> SimpleNamespace:
                return SimpleNamespace(logits=torch.zeros(*input_ids.shape, VOCABULARY))

        reference = Nothing()
    tiny = LlamaForSequenceClassification(LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, pad_token_id=PAD,
        num_labels=1,
    ))  # fmt: skip
    asked = [list(ids) for ids in prompts(case, 256) for _ in range(case.samples)]
    rows = Dataset.from_dict({"input_ids": asked})

    class Turn(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.turns = Turns()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.turns.done()

    with tempfile.TemporaryDirectory() as folder:
        options = PPOConfig(
            output_dir=folder, per_device_train_batch_size=RESPONSES, gradient_accumulation_steps=1, num_mini_batches=case.minibatches,
            num_ppo_epochs=case.epochs, total_episodes=1000 * RESPONSES, response_length=ROOM, temperature=0.7, kl_coef=0.0,
            stop_token_id=END if case.natural else None, local_rollout_forward_batch_size=RESPONSES, num_sample_generations=0,
            learning_rate=1e-5, bf16=False, gradient_checkpointing=False, use_cpu=True, report_to="none", save_strategy="no",
            logging_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        trainer = PPOTrainer(options, words(), policy, reference, tiny, rows, value, eval_dataset=rows.select(range(1)), callbacks=[Turn()])
        trainer.log = lambda *_: None
        trainer.train()


def products(case: Case) -> float:
    """Seconds of the matrix products in one of our iterations with forced ends: sampling, values of the acting critic, training."""
    hidden, intermediate = SHAPES[case.shape]
    asked = prompts(case, RESPONSES // case.samples)
    widest, wide = max(map(len, asked)), sum(map(len, asked))
    tokens = wide + RESPONSES * ROOM if case.samples > 1 else sum(len(ids) + ROOM for ids in asked)
    layer = [(hidden, hidden)] * 4 + [(hidden, intermediate)] * 3

    def forward(rows: int, head: int) -> float:
        return 4 * sum(_mm(rows, *shape) for shape in layer) + (_mm(head, hidden, VOCABULARY) if head else 0.0)

    def attention(rows: int, queries: int, keys: int) -> float:
        q, k = (torch.randn(rows * 4, length, hidden // 4) for length in (queries, keys))
        p = torch.randn(rows * 4, queries, keys)
        return 4 * (_seconds(lambda: q @ k.transpose(1, 2)) + _seconds(lambda: p @ k))

    acted, passes = RESPONSES * ROOM, math.ceil(tokens / 2048)
    attend = attention(RESPONSES, ROOM + (0 if case.samples > 1 else wide // len(asked)), widest + ROOM)
    sampling = forward(wide, len(asked)) + ROOM * (forward(RESPONSES, RESPONSES) + attention(RESPONSES, 1, widest + ROOM // 2))
    once = case.epochs * 3  # a forward pass, the gradients of states, those of weights
    reading = passes * forward(tokens // passes, 0) + attend
    total = sampling + once * (reading + _mm(acted, hidden, VOCABULARY))
    return total + (1 + once) * reading if case.critic else total


def _mm(rows: int, inside: int, outside: int) -> float:
    a, b = torch.randn(rows, inside), torch.randn(outside, inside)
    return _seconds(lambda: torch.nn.functional.linear(a, b))


def _seconds(product: Any) -> float:
    product()
    found = []
    for _ in range(3):
        count, began = 0, time.process_time()
        while (spent := time.process_time() - began) < 0.004:
            product()
            count += 1
        found.append(spent / count)
    return median(found)


class Worker:
    def __init__(self, python: str, side: str, case: Case) -> None:
        command = [python, __file__, "--worker", side, "--case", json.dumps(asdict(case))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        while (line := self._line()) != "ready":
            assert line, f"{side} ended before its first iteration: run {' '.join(command)!r} by hand"

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def iterate(self) -> float:
        """Cpu-seconds of one iteration."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        while True:
            try:
                return float(self._line())
            except ValueError:  # what trl prints
                continue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl", help="the Python of an environment with trl 1.12.0; without it our side alone is measured")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose name has this text")
    parser.add_argument("--bare", action="store_true", help="trl without its reference and gc.collect, too")
    parser.add_argument("--worker", choices=["ours", "trl", "bare"], help=argparse.SUPPRESS)
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.worker == "ours":
        return ours(Case(**options.case))
    if options.worker:
        return theirs(Case(**options.case), options.worker == "bare")
    print("| work | ours, s | trl, s | trl / ours | products, s | products / ours |\n|---|---|---|---|---|---|")
    for case in (case for case in CASES if options.only in str(case)):
        sides = [("ours", sys.executable)]
        sides += [(side, options.trl) for side in (["trl", "bare"] if options.bare else ["trl"])] if options.trl else []
        workers = {side: Worker(python, side, case) for side, python in sides}
        for worker in workers.values():
            worker.iterate()  # the first one allocates
        found: list[dict[str, float]] = []
        for _ in range(options.pairs):
            found.append({side: worker.iterate() for side, worker in workers.items()} | {"products": products(case)})
        for worker in workers.values():
            worker.process.kill()
            worker.process.wait()
        mid = {side: median(one[side] for one in found) for side in found[0]}
        ratio = {side: median(one[side] / one["ours"] for one in found) for side in found[0]}
        theirs_s, times = (" / ".join(f"{of[side]:.2f}" for side in ("trl", "bare") if side in of) or "–" for of in (mid, ratio))
        bound = (f"{mid['products']:.2f}", f"{ratio['products']:.0%}") if not case.natural else ("–", "–")
        print(f"| {case} | {mid['ours']:.2f} | {theirs_s} | {times} | {bound[0]} | {bound[1]} |", flush=True)


if __name__ == "__main__":
    main()
