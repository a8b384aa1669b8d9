"""What the trainers make of one GPU: a prepared run of a few minutes, on random weights in the shape of Qwen2.5-0.5B (nothing is fetched).

    python benchmarks/gpu.py                 # on a GPU, about five minutes
    python benchmarks/gpu.py --small         # the same on a CPU with a tiny shape, half a minute: does the script still run?
    python benchmarks/gpu.py --only sft,ppo  # some parts

First the rate of a bfloat16 matrix product (8,192³), the limit that all else is compared with. Then each trainer, whole and under LoRA:
tokens a second from the third step on, peak memory, and model FLOPs utilisation: the products that the method needs (2 a parameter and
token forward, 2 for the gradient of the input, 2 for that of the weights, where they train; attention not counted, nothing for what is
recomputed) over time, over the measured rate. Last the invariants that a GPU could break. A table in Markdown at the end.
"""

import argparse
import json
import os
import random
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from factory.coat.grammar import ACTIONS
from factory.coat.rewards import Reward
from factory.engines.sampler import Sampler
from factory.language.conversation import said
from factory.language.tokens import turn_end
from factory.schemas import Example, OrmPair, Restart, TrajectoryPair
from trainers import batches, dpo, ppo, reward, rollout, run, sft, tokenizer
from trainers.collate import collate
from trainers.head import log_probs_and_entropy
from trainers.live import LIVE
from trainers.lora import Lora
from trainers.machine import Machine
from trainers.players import Players, open_players
from trainers.policy import Actor

CUDA = torch.cuda.is_available()
LORA = Lora(rank=32, alpha=64, tokens=tuple(ACTIONS.values()))
WARM = 2  # steps that are not timed
HALF_B = {"vocab_size": 151_936, "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
          "intermediate_size": 4864}  # fmt: skip
TINY = {"vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 128}  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    """Words are tokens here. `steps` are the timed ones and two more."""

    shape: dict[str, int]
    words: int = 768  # of a completion, at most; half of it at least
    batch: int = 32  # sequences or pairs a step
    steps: int = 8
    responses: int = 128  # of a PPO iteration, four a start state
    answer: int = 256  # tokens of a response, at most
    iterations: int = 3
    product: int = 8192


SMALL = Sizes(TINY, words=40, batch=4, steps=3, responses=8, answer=12, iterations=2, product=256)


@dataclass
class Report:
    rate: float  # FLOP/s of the matrix product
    parameters: int
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, what: str, tokens: float, seconds: float, flops_a_token: float, peak: float) -> None:
        """`flops_a_token`: in multiples of the parameters."""
        used = flops_a_token * self.parameters * tokens / seconds / self.rate if flops_a_token else None
        share = f"{used:.1%}" if used is not None else ""
        self.rows.append((what, f"{tokens / seconds:,.0f}", f"{peak / 2**30:.1f}", share))
        print("| " + " | ".join(self.rows[-1]) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a tiny shape, for a machine without a GPU")
    parser.add_argument("--only", default="sft,orm,dpo,ppo,invariants", help="parts, comma-separated")
    parser.add_argument("--tokens-a-pass", type=int, default=None)
    parser.add_argument("--compile", action="store_true", help="compile layers, as long trainings do by themselves: ten minutes, not five")
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    options = parser.parse_args()
    sizes = SMALL if options.small or not CUDA else Sizes(HALF_B)
    machine = Machine(pass_tokens=options.tokens_a_pass, save_minutes=1e9, precision=options.precision, compile=options.compile)
    name = torch.cuda.get_device_name() if CUDA else "CPU"
    rate = matmul_rate(sizes.product)
    print(f"{name}, torch {torch.__version__}; {sizes.product}³ in bfloat16: {rate / 1e12:,.1f} TFLOP/s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        parameters = start_model(Path("start"), sizes)
        report, failed = Report(rate, parameters), list[str]()
        for part in options.only.split(","):
            began = time.monotonic()
            try:
                PARTS[part](report, sizes, machine)
            except RuntimeError as error:  # the other parts are worth their minutes
                failed.append(part)
                traceback.print_exception(error)
            print(f"({part}: {time.monotonic() - began:.0f} s)", flush=True)
    print(f"\n{name}, {parameters / 1e6:,.0f}M parameters, {rate / 1e12:,.0f} TFLOP/s measured\n")
    print("| what | tokens/s | peak GB | model FLOPs utilisation |\n|---|---|---|---|")
    print("\n".join("| " + " | ".join(row) + " |" for row in report.rows))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def matmul_rate(size: int) -> float:
    device = "cuda" if CUDA else "cpu"
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    wait()
    began = time.perf_counter()
    for _ in range(20):
        a @ b
    wait()
    return 20 * 2 * size**3 / (time.perf_counter() - began)


def wait() -> None:
    if CUDA:
        torch.cuda.synchronize()


def text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(words))


MADE = {"problem_id": "p", "model": "start", "prompt_version": "1", "seed": 1, "round": "r1"}
LETTERS = "abcdefghij"
WORDS = [a + b for a in LETTERS for b in LETTERS]


def start_model(folder: Path, sizes: Sizes) -> int:
    """Random weights and a tokenizer of whole words; returns the number of parameters."""
    words = tokenizer.build([" ".join(WORDS), run.PROBE], ACTIONS.values(), 4096)
    config = LlamaConfig(  # Qwen2.5 is a Llama with biases; transformers gives its own kind another tokenizer when it reads it back
        **sizes.shape, attention_bias=True, max_position_embeddings=4096, tie_word_embeddings=True, pad_token_id=words.pad_token_id,
        eos_token_id=words.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    run.save_model(model, words, folder)
    return model.num_parameters()


@contextmanager
def peak() -> Iterator[Callable[[], float]]:
    """Bytes of GPU memory that were allocated at once inside the block."""
    if CUDA:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    yield lambda: float(torch.cuda.max_memory_allocated()) if CUDA else 0.0


def timed(name: str) -> tuple[float, float]:
    """(tokens, seconds) of the steps after the first WARM, from the live log."""
    lines = [json.loads(line) for line in (LIVE / f"{name}.jsonl").read_text().splitlines()]
    first, last = next(line for line in lines if line["step"] == WARM), lines[-1]
    return last["tokens_seen"] - first["tokens_seen"], last["seconds"] - first["seconds"]


def prompts(rng: random.Random, count: int) -> list[str]:
    return [text(rng, 64) for _ in range(count)]


def length(rng: random.Random, sizes: Sizes) -> int:
    return rng.randint(sizes.words // 2, sizes.words)


def sft_part(report: Report, sizes: Sizes, machine: Machine) -> None:
    rng = random.Random(1)
    rows = [
        Example(id=f"{n}", prompt=said("user", asked), completion=text(rng, length(rng, sizes)), **MADE)
        for n, asked in enumerate(prompts(rng, sizes.batch * sizes.steps))
    ]
    budget = sum(len(row.completion.split()) + 65 for row in rows)
    for lora in (None, LORA):
        name = "sft_lora" if lora else "sft"
        with peak() as used:
            sft.tune(rows, sft.Settings(budget, sizes.batch, 1e-5, lora=lora), seed=1, start=Path("start"), target=Path(name),
                     log=Path(f"{name}.csv"), machine=machine)  # fmt: skip
            report.add(f"SFT, {'LoRA' if lora else 'full'}", *timed(name), 4 if lora else 6, used())
        shutil.rmtree(name)


def orm_part(report: Report, sizes: Sizes, machine: Machine) -> None:
    rng = random.Random(2)
    rows = [
        OrmPair(
            id=f"{n}", problem_id=f"{n}", prompt=said("user", asked), chosen=text(rng, length(rng, sizes)),
            rejected=text(rng, length(rng, sizes)), margin=2.0, chosen_id="a", rejected_id="b", round="r1",
        )
        for n, asked in enumerate(prompts(rng, sizes.batch * sizes.steps))
    ]  # fmt: skip
    for lora in (None, LORA):
        name = "orm_lora" if lora else "orm"
        with peak() as used:
            reward.fit(rows, reward.Settings(1, sizes.batch, 1e-5, lora=lora), seed=1, start=Path("start"), target=Path(name),
                       log=Path(f"{name}.csv"), machine=machine)  # fmt: skip
            report.add(f"reward model, {'LoRA' if lora else 'full'}", *timed(name), 4 if lora else 6, used())


def dpo_part(report: Report, sizes: Sizes, machine: Machine) -> None:
    rng = random.Random(3)
    rows = [
        TrajectoryPair(
            id=f"{n}", prompt=said("user", asked), chosen=text(rng, length(rng, sizes) // 2), rejected=text(rng, length(rng, sizes) // 2),
            reward_chosen=1.0, reward_rejected=0.0, n_similar=1, n_decodes=1, template_ids=(), **MADE,
        )
        for n, asked in enumerate(prompts(rng, sizes.batch * sizes.steps))
    ]  # fmt: skip
    for lora in (None, LORA):
        name = "dpo_lora" if lora else "dpo"
        with peak() as used:
            dpo.prefer(rows, dpo.Settings(1, sizes.batch, 1e-6, 0.1, lora=lora), seed=1, start=Path("start"), target=Path(name),
                       log=Path(f"{name}.csv"), machine=machine)  # fmt: skip
            report.add(f"DPO, {'LoRA' if lora else 'full'}, both answers and the prompt twice", *timed(name), 4 if lora else 6, used())
        shutil.rmtree(name)


def ppo_part(report: Report, sizes: Sizes, machine: Machine) -> None:
    for lora in (None, LORA):
        for baselines in (("critic",), ("siblings",)):
            orm = Path("orm_lora" if lora else "orm")
            if not orm.exists():
                orm_part(report, sizes, machine)
            with peak() as used:
                players = open_players(
                    Path("start"), orm, machine, adapters=lora, temperature=1.0, critic="critic" in baselines, reward=True
                )
                seconds, tokens = ppo_iterations(players, baselines, sizes)
                kind = f"PPO, {'LoRA' if lora else 'full'}, {baselines[0]}"
                trained = (2 if "critic" in baselines else 1) * (4 if lora else 6)
                for phase, what in (("sample", "sampling"), ("reward", "reward model"), ("evaluate", "old log-probabilities, values")):
                    if seconds[phase] > 1e-3:
                        report.add(f"{kind}: {what}", tokens[phase], seconds[phase], 0, used())
                report.add(f"{kind}: update", tokens["update"], seconds["update"], trained, used())
                report.add(f"{kind}: an iteration", tokens["update"], sum(seconds.values()), 0, used())
            del players


def ppo_iterations(players: Players, baselines: tuple[str, ...], sizes: Sizes) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds and tokens of each phase over the iterations after the first."""
    settings = ppo.Settings(
        iterations=sizes.iterations, batch=sizes.responses, minibatch=sizes.responses // 2, epochs=1, samples=4, temperature=1.0, lr=1e-6,
        critic_lr=1e-6, warmup_share=0.1, critic_warmup=0, clip_low=0.2, clip_high=0.2, value_clip=0.2, gamma=1.0, lam=1.0, kl=0.0,
        baselines=baselines, max_grad_norm=1.0, seed=1,
    )  # fmt: skip
    rng, words = random.Random(4), players.tokenizer
    rows = [
        Restart(id=f"{n}", problem_id="p", parent_id=None, buffer="0", backtrack=0, prompt=said("user", asked), prefix="",
                prefix_has_answer=False, answer="1", answer_kind="number", round="r1")
        for n, asked in enumerate(prompts(rng, sizes.responses))
    ]  # fmt: skip
    starts, _ = rollout.start_states(rows, partial(batches.start_ids, words), 1024, "ppo")
    state = ppo.build_state(players.actor, players.critic, settings)
    sampler, seconds, tokens = Sampler(players.actor.model, words), dict[str, float](), dict[str, float]()

    def sample(prompts: object, seeds: object) -> object:
        with clock(seconds, "sample"), players.actor.acting() as model:
            sampler.model = model
            return sampler.sample(prompts, seeds, max_tokens=sizes.answer, temperature=1.0)  # type: ignore[arg-type]

    def rewarded(starts: object, responses: list[rollout.Response]) -> list[Reward]:
        with clock(seconds, "reward"):
            assert players.orm is not None
            read = [(*start.ids, *response.actions) for start, response in zip(starts, responses, strict=True)]  # type: ignore[call-overload]
            logits = players.orm.logits(read)
        return [Reward("correct" if logit > 0 else "wrong", float(number % 2), 0.0, 0.0) for number, logit in enumerate(logits)]

    order = rollout.Order(starts, 1)
    for iteration in range(sizes.iterations):
        if iteration == 1:
            seconds.clear()
            tokens.clear()
        got = rollout.collect(order, iteration * sizes.responses // 4, sizes.responses // 4, 4, sample, rewarded, turn_end(words))  # type: ignore[arg-type]
        with clock(seconds, "evaluate"):
            experience = ppo.evaluate(state, got, settings)
        with clock(seconds, "update"):
            ppo.update(state, got, experience, settings)
        state.iteration += 1
        for phase, count in (
            ("sample", got.tokens),
            ("reward", sum(got.lengths)),
            ("evaluate", sum(got.lengths)),
            ("update", sum(got.lengths)),
        ):
            tokens[phase] = tokens.get(phase, 0) + count
    return seconds, tokens


@contextmanager
def clock(seconds: dict[str, float], phase: str) -> Iterator[None]:
    wait()
    began = time.perf_counter()
    yield
    wait()
    seconds[phase] = seconds.get(phase, 0.0) + time.perf_counter() - began


def invariants(report: Report, sizes: Sizes, machine: Machine) -> None:
    """Each prints what was measured, and stops the script where it does not hold."""
    model, words = run.load(Path("start"))
    model.to(machine.device)
    rng = random.Random(5)
    asked = [tuple(words(text(rng, 20))["input_ids"]) for _ in range(6)]
    answered = [tuple(words(text(rng, rng.randint(5, 30)))["input_ids"]) for _ in range(6)]
    batch = collate(asked, answered, machine.device)
    states = model.base_model(input_ids=batch.input_ids, use_cache=False).last_hidden_state.flatten(0, 1)[batch.states].detach()
    head = model.get_output_embeddings()
    plain, spread = log_probs_and_entropy(states, head, batch.targets, 0.7)
    cut, cut_spread = log_probs_and_entropy(states, head, batch.targets, 0.7, values=7 * sizes.shape["vocab_size"])
    holds("log-probabilities in groups equal the plain ones", (plain - cut).abs().max(), 1e-5)
    holds("entropies in groups equal the plain ones", (spread - cut_spread).abs().max(), 1e-4)
    sampled = Sampler(model, words).sample(asked, range(6), max_tokens=16, temperature=1.0)
    acted = [one.token_ids or (words.eos_token_id,) for one in sampled]
    again = collate(asked, acted, machine.device)
    with torch.no_grad():
        hidden = model.base_model(input_ids=again.input_ids, use_cache=False).last_hidden_state.flatten(0, 1)[again.states]
        found, _ = log_probs_and_entropy(hidden, head, again.targets, 1.0)
    own = torch.tensor([value for one in sampled for value in one.logprobs], device=machine.device)
    kept = torch.tensor([bool(one.token_ids) for one in sampled for _ in (one.token_ids or (1,))], device=machine.device)
    holds("the sampler's log-probabilities are the trainer's", (found[kept] - own).abs().max(), 2e-3)
    gradients = []
    for limit in (10**9, 64):
        actor = Actor(model, 1.0, replace(machine, precision="float32", pass_tokens=limit))
        model.zero_grad()
        for rows in ppo.micro_batches([len(a) + len(b) for a, b in zip(asked, answered, strict=True)], range(6), limit):
            piece = collate([asked[row] for row in rows], [answered[row] for row in rows], machine.device)
            actor.log_probs(piece).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    holds("how a batch is cut changes no gradient (relative)", (gradients[0] - gradients[1]).norm() / gradients[0].norm(), 1e-3)


def holds(what: str, found: torch.Tensor, most: float) -> None:
    print(f"{what}: {found.item():.2g} (at most {most:g})", flush=True)
    assert found.item() <= most, what


PARTS = {"sft": sft_part, "orm": orm_part, "dpo": dpo_part, "ppo": ppo_part, "invariants": invariants}

if __name__ == "__main__":
    main()
