"""Start states, their order, actions and where the reward stands; collation."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch

from factory.coat.rewards import Reward
from factory.errors import DataError
from factory.language.conversation import said
from factory.schemas import Conversation, Restart
from trainers.collate import action_mask, collate, micro_batches
from trainers.rollout import TOO_LONG, Order, Response, Rollouts, Start, collect, collect_differing, start_states

EOS = 1
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Made:
    token_ids: tuple[int, ...]
    finished: bool


def row(number: int, prompt: str = "5 6", prefix: str = "") -> Restart:
    return Restart(
        id=f"{number:03}", problem_id="p", parent_id=None, buffer="-" if prefix else "0", backtrack=0, prompt=said("user", prompt),
        prefix=prefix, prefix_has_answer=False, answer="7", answer_kind="number", round="r1",
    )  # fmt: skip


def encode(prompts: Sequence[Conversation], prefixes: Sequence[str]) -> list[tuple[int, ...]]:
    return [tuple(map(int, f"{prompt[0].content} {prefix}".split())) for prompt, prefix in zip(prompts, prefixes, strict=True)]


def starts(count: int) -> list[Start]:
    return [Start(row(number), (5, number + 10)) for number in range(count)]


def test_prompt_and_prefix_are_one_prompt_and_a_row_that_does_not_fit_is_rejected_not_cut() -> None:
    rows = [row(1), row(2, prefix=" 7 4"), row(3, prefix=" 7 7 7 4")]
    kept, rejects = start_states(rows, encode, limit=4, stage="ppo_r1")
    assert [(start.row.id, start.ids) for start in kept] == [("001", (5, 6)), ("002", (5, 6, 7, 4))]
    assert [(reject.parent_id, reject.reason) for reject in rejects] == [("003", TOO_LONG)]


def test_no_row_that_fits_is_an_error() -> None:
    with pytest.raises(DataError, match="none of 1 start states fits into 1 tokens"):
        start_states([row(1)], encode, limit=1, stage="ppo_r1")


def test_order_is_one_seeded_permutation_after_another() -> None:
    pool = starts(7)
    stream = [Order(pool, 3)[place].row.id for place in range(21)]
    for epoch in range(3):
        assert sorted(stream[7 * epoch : 7 * epoch + 7]) == [start.row.id for start in pool]
    assert stream[:7] != stream[7:14]
    assert stream == [Order(pool, 3)[place].row.id for place in range(21)]
    assert stream != [Order(pool, 4)[place].row.id for place in range(21)]


def test_a_place_does_not_depend_on_the_way_there() -> None:
    pool = starts(7)
    used = Order(pool, 3)
    for place in (0, 15, 4):
        assert used[place].row.id == Order(pool, 3)[place].row.id


def test_the_end_is_an_action_only_when_it_was_sampled() -> None:
    def sample(prompts: Sequence[tuple[int, ...]], seeds: Sequence[int]) -> list[Made]:
        return [Made((8, 9), True), Made((8, 9), False), Made((), True)]

    def reward(starts: Sequence[Start], responses: Sequence[Response]) -> list[Reward]:
        assert [response.token_ids for response in responses] == [(8, 9), (8, 9), ()]
        return [Reward("correct", 0.0, 0.7, 0.5), Reward("wrong", -1.0, 0.1, 0.0), Reward("unparsable", -1.0, 0.2, 0.0)]

    rollouts = collect(Order(starts(3), 1), 0, 3, 1, sample, reward, EOS)
    assert rollouts.actions == [(8, 9, EOS), (8, 9), (EOS,)]
    assert rollouts.mask.tolist() == [[True, True, True], [True, True, False], [True, False, False]]
    assert torch.allclose(rollouts.terminal_rewards(), torch.tensor([[0, 0, 1.2], [0, -0.9, 0], [-0.8, 0, 0]]))
    assert rollouts.tokens == 6


def test_siblings_are_each_others_baseline() -> None:
    """Leave-one-out: less the mean of the others. What all siblings share, right or wrong, teaches nothing."""
    totals = [1.0, -1.0, -1.0, 0.5, 0.5, 0.5]
    rewards = [Reward("wrong", total, 0.0, 0.0) for total in totals]
    rollouts = Rollouts(starts(6), [Response((8,), (8, EOS), True)] * 6, rewards)
    expected = [1.0 - -1.0, -1.0 - 0.0, -1.0 - 0.0, 0.0, 0.0, 0.0]
    assert torch.allclose(rollouts.terminal_rewards(siblings=3)[:, 1], torch.tensor(expected))
    assert torch.equal(rollouts.terminal_rewards(siblings=3)[:, 0], torch.zeros(6))


def test_samples_of_a_prompt_are_consecutive_and_every_seed_differs() -> None:
    seen: list[tuple[tuple[int, ...], int]] = []

    def sample(prompts: Sequence[tuple[int, ...]], seeds: Sequence[int]) -> list[Made]:
        seen.extend(zip(prompts, seeds, strict=True))
        return [Made((8,), True)] * len(prompts)

    def reward(starts: Sequence[Start], responses: Sequence[Response]) -> list[Reward]:
        return [Reward("wrong", -1.0, 0.0, 0.0)] * len(starts)

    order = Order(starts(2), 1)
    for iteration in range(2):
        collect(order, iteration * 4, 4, 2, sample, reward, EOS)
    assert len(seen) == 16
    assert all(seen[at][0] == seen[at + 1][0] for at in range(0, 16, 2))
    assert len({seed for _, seed in seen}) == 16


def test_refilling_samples_as_many_as_should_do_and_keeps_the_first_that_differ() -> None:
    """Start states with odd numbers always fare alike: half of a batch does, so that twice what lacks is sampled."""
    tried: list[list[str]] = []

    def sample(prompts: Sequence[tuple[int, ...]], seeds: Sequence[int]) -> list[Made]:
        return [Made((8,), True)] * len(prompts)

    def reward(starts: Sequence[Start], responses: Sequence[Response]) -> list[Reward]:
        tried.append([start.row.id for start in starts[::2]])
        right = [int(start.row.id) % 2 == 0 and number % 2 == 0 for number, start in enumerate(starts)]
        return [Reward("correct" if one else "wrong", float(one) - 1, 0.0, 0.0) for one in right]

    order = Order(starts(20), 1)
    everyones, kept = collect_differing(order, 3, 6, 18, 2, sample, reward, EOS)
    places = [order[place].row.id for place in range(3, 21)]
    even = [name for name in places if int(name) % 2 == 0]
    first = len([name for name in tried[0] if int(name) % 2 == 0])
    assert len(tried[0]) == 6
    assert len(tried[1]) == min(-(-(6 - first) * 6 // first), 12)
    assert [name for part in tried for name in part] == places[: len(everyones.starts) // 2]
    assert [start.row.id for start in kept.starts[::2]] == even[:6]
    assert not any(kept.alike(2))
    everyones, kept = collect_differing(
        Order([start for start in starts(20) if int(start.row.id) % 2], 1), 0, 6, 18, 2, sample, reward, EOS
    )
    assert (len(everyones.starts), len(kept.starts)) == (36, 0)


def test_collation_shows_which_state_predicts_which_action() -> None:
    batch = collate([(5, 6, 7), (5,)], [(8, 9), (2, 3, EOS)], CPU)
    assert batch.input_ids.tolist() == [[5, 6, 7, 8, 9], [5, 2, 3, EOS, 0]]
    assert batch.states.tolist() == [2, 3, 5, 6, 7]
    assert batch.targets.tolist() == [8, 9, 2, 3, EOS]


def test_selecting_by_the_mask_gives_the_order_of_the_targets() -> None:
    actions = [(8, 9), (2, 3, EOS)]
    padded = torch.tensor([[8, 9, 0], [2, 3, EOS]])
    assert padded[action_mask(actions)].tolist() == collate([(5,), (5, 6)], actions, CPU).targets.tolist()


def test_micro_batches_hold_every_row_once_under_the_limit() -> None:
    lengths = [3, 9, 4, 4, 30, 1]
    batches = micro_batches(lengths, [0, 1, 2, 4, 5], limit=12)
    assert sorted(row for rows in batches for row in rows) == [0, 1, 2, 4, 5]
    assert all(len(rows) * max(lengths[row] for row in rows) <= 12 or len(rows) == 1 for rows in batches)
    assert batches == [[4], [1], [2, 0, 5]]


def test_rollout_lengths_are_prompt_and_actions() -> None:
    assert Rollouts(starts(1), [Response((8,), (8, EOS), True)], [Reward("wrong", -1, 0, 0)]).lengths == [4]
