"""Twenty runs that are killed -9, at any step and while a checkpoint is written, end in the very bytes of a run that nobody disturbed.

A disk that is full, and settings that were changed, too.
"""

import dataclasses
import os
import random
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from kills import LOG, MODEL, NAME, begun, differences, killed, later, results, resumed_after, shown, torn, undisturbed, whole, writing

from factory.coat import grammar
from factory.coat.rewards import Reward
from factory.engines.sampler import Sampled, Sampler
from factory.language import tokens
from factory.language.conversation import said
from factory.schemas import CorpusText, Demonstration, OrmPair, Restart, TrajectoryPair
from trainers import base, batches, diagnostics, dpo, live, ppo, reward, run, sft
from trainers.checkpoints import Checkpoints
from trainers.collate import Ids
from trainers.lora import Lora
from trainers.machine import Machine
from trainers.players import open_players
from trainers.rollout import Response, Start

pytestmark = pytest.mark.slow
EVERY_STEP = Machine(save_minutes=0.0)
LORA = Lora(4, 8, tuple(grammar.ACTIONS.values()))


@dataclasses.dataclass(frozen=True)
class Given:
    start: Path
    orm: Path
    pairs: list[tuple[str, str]]


def tuned(given: Given, lora: Lora | None = None, lr: float = 1e-3, machine: Machine = EVERY_STEP) -> None:
    rows = [
        Demonstration(
            id=str(n), problem_id="p", type="III-I", prompt=said("user", prompt), completion=completion, wrong_spans=(), score=0.0,
            critic="none", model="base@0", prompt_version="solve@0", seed=1, round="base",
        ) for n, (prompt, completion) in enumerate(given.pairs)
    ]  # fmt: skip
    settings = sft.Settings(tokens=5000, batch=8, lr=lr, lora=lora)
    sft.tune(rows, settings, seed=3, start=given.start, target=MODEL, log=LOG, machine=machine)


def in_passes(given: Given) -> None:
    """Several passes a step."""
    tuned(given, machine=dataclasses.replace(EVERY_STEP, pass_tokens=150))


def fitted(given: Given, lora: Lora | None = None, target: Path = MODEL, log: Path = LOG) -> None:
    rows = [
        OrmPair(
            id=str(n), problem_id=str(n % 10), prompt=said("user", prompt), chosen=completion, rejected=completion.replace("}", "0}"),
            margin=2.0, chosen_id="a", rejected_id="b", round="base",
        ) for n, (prompt, completion) in enumerate(given.pairs)
    ]  # fmt: skip
    settings = reward.Settings(epochs=2, batch=8, lr=1e-3, lora=lora)
    reward.fit(rows, settings, seed=3, start=given.start, target=target, log=log, machine=EVERY_STEP)


def preferred(given: Given, lora: Lora | None = None) -> None:
    rows = [
        TrajectoryPair(
            id=str(n), problem_id=str(n), prompt=said("user", f"Tom has {n} apples.\nPlan:\n"), chosen="put together (add, total)",
            rejected="take away (left)\ntake away (left)", reward_chosen=1.0, reward_rejected=0.0, n_similar=1, n_decodes=1,
            template_ids=(), model="planner@0", prompt_version="plan@0", seed=1, round="base",
        ) for n in range(2, 26)
    ]  # fmt: skip
    settings = dpo.Settings(epochs=4, batch=8, lr=1e-3, beta=0.1, lora=lora)
    dpo.prefer(rows, settings, seed=3, start=given.start, target=MODEL, log=LOG, machine=EVERY_STEP)


def pretrained(given: Given) -> None:
    """The early model is kept at step 11 of 14."""
    rows = [
        CorpusText(id=str(n), role="solve", family="tally", instance=str(n), prompt=p, completion=c) for n, (p, c) in enumerate(given.pairs)
    ]
    settings = base.Settings(
        hidden=32, layers=2, heads=2, intermediate=64, max_length=128, epochs=2, batch=8, lr=1e-2, muon_lr=0.02, init=0.05
    )
    base.pretrain(rows, grammar.ACTIONS.values(), settings, seed=3, target=MODEL, log=LOG, machine=EVERY_STEP)


def improved(given: Given, lora: Lora | None = None, **changes: Any) -> None:
    """As the stage does it: critic and KL reference, two epochs and minibatches an iteration."""
    plain = ppo.Settings(
        iterations=8, batch=8, minibatch=4, epochs=2, samples=2, temperature=1.0, lr=1e-3, critic_lr=1e-3, warmup_share=0.2,
        critic_warmup=1, clip_low=0.2, clip_high=0.2, value_clip=0.2, gamma=1.0, lam=0.95, kl=0.05, baselines=("critic",),
        max_grad_norm=1.0, seed=3,
    )  # fmt: skip
    settings = dataclasses.replace(plain, **changes)
    players = open_players(
        given.start, given.orm, EVERY_STEP, adapters=lora, temperature=1.0, critic="critic" in settings.baselines, reward=False
    )
    actor, words = players.actor, players.tokenizer
    state = ppo.build_state(actor, players.critic, settings)
    rows = [
        Restart(
            id=str(n), problem_id="p", parent_id=None, buffer="-" if n % 3 else "0", backtrack=0, prompt=said("user", prompt), prefix="",
            prefix_has_answer=False, answer="7", answer_kind="number", round="r1",
        ) for n, (prompt, _) in enumerate(given.pairs[:10])
    ]  # fmt: skip
    starts = [
        Start(row, ids) for row, ids in zip(rows, batches.start_ids(words, [row.prompt for row in rows], [""] * len(rows)), strict=True)
    ]
    sampler = Sampler(actor.model, words)

    def sample(prompts: Sequence[Ids], seeds: Sequence[int]) -> list[Sampled]:
        with actor.acting() as model:
            sampler.model = model
            return sampler.sample(prompts, seeds, max_tokens=6, temperature=1.0)

    def rewards(_: Sequence[Start], responses: Sequence[Response]) -> list[Reward]:
        return [Reward("wrong", (sum(one.actions) % 5) / 5 - 0.5, 0.0, 0.0) for one in responses]

    checkpoints = Checkpoints.of(run.WORK / NAME, EVERY_STEP, settings, lora, starts)
    if found := checkpoints.latest():
        state.load(found)
        print("goes on after step", state.iteration)
    with live.Live(NAME, settings.iterations, after=state.iteration) as shown:
        log = ppo.train(
            state, starts, sample, rewards, settings, eos=tokens.turn_end(words), action_ids={}, checkpoints=checkpoints, live=shown
        )
    diagnostics.write_csv(LOG, log)
    if players.critic is not None:
        torch.save([parameter.detach() for parameter in players.critic.trained()], "critic.pt")
    run.save_model(actor.whole.merge_and_unload() if lora else actor.whole, words, MODEL)
    checkpoints.clear()


def by_siblings(given: Given) -> None:
    improved(given, baselines=("siblings",), lam=1.0, critic_warmup=0, kl=0.0)


def with_adapters(train: Callable[..., None]) -> Callable[[Given], None]:
    return lambda given: train(given, lora=LORA)


@pytest.fixture(scope="session")
def given(start: Path, pairs: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Given:
    folder = tmp_path_factory.mktemp("orm")
    made = Given(start, folder / MODEL, pairs)
    undisturbed(lambda: fitted(made), folder)
    return made


TRAININGS: list[tuple[str, Callable[[Given], None], int]] = [  # and how often it is killed: 20 times together
    ("sft", tuned, 2),
    ("sft_passes", in_passes, 2),
    ("sft_lora", with_adapters(tuned), 2),
    ("reward", fitted, 2),
    ("reward_lora", with_adapters(fitted), 1),
    ("dpo", preferred, 2),
    ("dpo_lora", with_adapters(preferred), 1),
    ("base", pretrained, 3),
    ("ppo", improved, 3),
    ("ppo_siblings", by_siblings, 1),
    ("ppo_lora", with_adapters(improved), 1),
]


@pytest.mark.parametrize(("name", "train", "kills"), TRAININGS, ids=[name for name, _, _ in TRAININGS])
def test_a_run_that_is_killed_and_started_again_ends_in_the_same_bytes(
    name: str, train: Callable[[Given], None], kills: int, given: Given, tmp_path: Path
) -> None:
    chance = random.Random(name)
    work = partial(train, given)
    undisturbed(work, tmp_path / "straight")
    steps = shown(tmp_path / "straight")
    assert steps == list(range(steps[-1] + 1))
    stopped = tmp_path / "stopped"
    for number, step in enumerate(sorted(chance.sample(range(1, steps[-1] - 1), kills))):
        killed(work, stopped, step, writing(stopped, steps[-1] - 1) if (number + len(name)) % 2 else later(chance.uniform(0.0, 0.05)))
        assert not (stopped / MODEL).exists()
    undisturbed(work, stopped)
    assert shown(stopped) == steps
    assert differences(results(tmp_path / "straight"), results(stopped)) == []
    assert not list((stopped / run.WORK).iterdir()), "nothing of a checkpoint stays"


def test_twenty_kills() -> None:
    assert sum(kills for _, _, kills in TRAININGS) == 20


@pytest.mark.parametrize("train", [tuned, improved])
def test_a_kill_at_any_touch_of_a_file_of_a_checkpoint_loses_a_step_at_most(
    train: Callable[..., None], given: Given, tmp_path: Path
) -> None:
    """From the folder that is made to the last file of an older one that is deleted."""
    undisturbed(lambda: train(given), tmp_path / "straight")
    stopped = tmp_path / "stopped"
    for number in range(1, 40, 6):

        def dying(number: int = number) -> None:
            touched = iter(range(1, 1_000_000))

            def hook(event: str, values: tuple[object, ...]) -> None:
                named = values and isinstance(values[0], str | Path) and "checkpoint-" in str(values[0])
                writes = event in ("open", "os.mkdir", "os.remove", "os.rmdir", "os.rename", "shutil.rmtree")
                if named and writes and shown(Path()) and len(whole(Path())) >= 2 and next(touched) == number:
                    os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(hook)
            train(given)

        _, status = os.waitpid(begun(dying, stopped), 0)
        if status == 0:
            break
        assert status == signal.SIGKILL, (stopped / "said").read_text()
        assert max(shown(stopped)) - max(whole(stopped), default=0) <= 1
    undisturbed(lambda: train(given), stopped)
    assert differences(results(tmp_path / "straight"), results(stopped)) == []


@pytest.mark.parametrize(("train", "most"), [(tuned, 30_000), (tuned, 150_000), (improved, 150_000)])
def test_a_full_disk_ends_the_run_in_a_line_and_loses_nothing(train: Callable[..., None], most: int, given: Given, tmp_path: Path) -> None:
    """No file may be larger than `most`: the weights fail, which safetensors writes, or the optimizer's state, which PyTorch does."""
    undisturbed(lambda: train(given), tmp_path / "straight")
    stopped = tmp_path / "stopped"
    killed(lambda: train(given), stopped, 3, lambda: bool(whole(stopped)))
    before = whole(stopped)

    def cramped() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        train(given)

    (stopped / "said").unlink()
    _, status = os.waitpid(begun(cramped, stopped), 0)
    assert os.waitstatus_to_exitcode(status) == 1
    *_, said = (stopped / "said").read_text().splitlines()
    assert said.startswith("error: .factory/training/trained/checkpoint-")
    assert "cannot be written (" in said
    assert said.endswith("make room and run the stage again, it goes on from before")
    assert whole(stopped) == before
    assert torn(stopped) == []
    undisturbed(lambda: train(given), stopped)
    assert resumed_after(stopped) == [before[-1]] * 2
    assert differences(results(tmp_path / "straight"), results(stopped)) == []


def test_a_changed_training_begins_anew(given: Given, tmp_path: Path) -> None:
    undisturbed(lambda: tuned(given, lr=2e-3), tmp_path / "straight")
    stopped = tmp_path / "stopped"
    killed(lambda: tuned(given, lr=1e-3), stopped, 5, lambda: bool(whole(stopped)))
    undisturbed(lambda: tuned(given, lr=2e-3), stopped)
    assert resumed_after(stopped) == []
    assert differences(results(tmp_path / "straight"), results(stopped)) == []
