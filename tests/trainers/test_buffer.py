"""The online buffer: quotas per sign, depth and problem, and that a checkpoint holds all of it."""

from factory.language.conversation import said
from factory.schemas import Restart
from trainers.buffer import Found, OnlineBuffer, Quotas
from trainers.rollout import Start


def state(number: int, sign: str = "+", problem: str | None = None) -> Found:
    row = Restart(
        id=f"{sign}{number}", problem_id=problem or f"p{number}", parent_id="s", buffer=sign, backtrack=1, prompt=said("user", "7?"),  # type: ignore[arg-type]
        prefix="3 + 4 = 7\n<|reflect|>", prefix_has_answer=False, answer="7", answer_kind="number", pass_rate=0.5, round="r1",
    )  # fmt: skip
    return row, (5, number)


def origin(depth: int = 0) -> Start:
    return Start(state(0)[0], (5,), depth)


def filled(quotas: Quotas, *found: Found, depth: int = 0) -> OnlineBuffer:
    buffer = OnlineBuffer(quotas)
    buffer.add(1, [origin(depth)] * len(found), found)
    return buffer


def ids(buffer: OnlineBuffer) -> dict[tuple[str, int], list[str]]:
    return {key: [start.row.id for start in queue] for key, queue in buffer.held.items()}


def test_the_oldest_of_a_sign_and_of_a_problem_make_room() -> None:
    quotas = Quotas(share=0.5, per_sign=3, per_problem=2, depth=1)
    one = filled(quotas, state(1), state(2, "-"), state(3), state(4), state(5))
    assert ids(one) == {("+", 1): ["+3", "+4", "+5"], ("-", 1): ["-2"]}
    same = filled(quotas, state(1, problem="p"), state(2), state(3, problem="p"), state(4, problem="p"))
    assert ids(same) == {("+", 1): ["+2", "+3", "+4"]}


def test_what_has_too_many_restarts_behind_it_or_makes_no_state_is_not_held() -> None:
    buffer = OnlineBuffer(Quotas(share=0.5, per_sign=9, per_problem=9, depth=2))
    buffer.add(1, [origin(0), origin(1), origin(2), origin(0)], [state(1), state(2), state(3), None])
    assert ids(buffer) == {("+", 1): ["+1"], ("+", 2): ["+2"]}
    assert {start.born for queue in buffer.held.values() for start in queue} == {1}


def test_half_of_each_sign_is_drawn_and_a_starving_one_is_not_made_up_for() -> None:
    many = [state(number, sign) for number in range(20) for sign in "+-"]
    quotas = Quotas(share=0.5, per_sign=99, per_problem=9, depth=1)
    buffer = filled(quotas, *many)
    drawn = buffer.draw(7, first=100, prompts=10)
    assert sorted(start.row.buffer for start in drawn.values()) == ["+", "+", "-", "-", "-"]
    assert set(drawn) < set(range(100, 110))
    assert sum(map(len, buffer.held.values())) == 35, "a state that was drawn is gone"
    assert filled(quotas, *many).draw(7, 100, 10) == drawn
    assert filled(quotas, *many).draw(8, 100, 10) != drawn
    starved = filled(quotas, state(1, "-"), *[state(number) for number in range(20)]).draw(7, 0, 12)
    assert sorted(start.row.buffer for start in starved.values()) == ["+", "+", "+", "-"]
    assert OnlineBuffer(quotas).draw(7, 0, 12) == {}


def test_depths_are_drawn_in_turn() -> None:
    buffer = OnlineBuffer(Quotas(share=1.0, per_sign=99, per_problem=9, depth=3))
    buffer.add(1, [origin(0)] * 20, [state(number) for number in range(20)])
    buffer.add(1, [origin(1)] * 2 + [origin(2)] * 2, [state(number) for number in range(20, 24)])
    drawn = buffer.draw(7, 0, 16)
    assert sorted(start.depth for start in drawn.values()) == [1, 1, 1, 1, 2, 2, 3, 3]


def test_a_checkpoint_holds_all_of_it() -> None:
    buffer = OnlineBuffer(Quotas(share=0.5, per_sign=9, per_problem=2, depth=2))
    buffer.add(3, [origin(0), origin(1), origin(1)], [state(1), state(2, "-"), state(3, "-")])
    other = OnlineBuffer(buffer.quotas)
    other.read(buffer.written())
    assert other == buffer
    assert other.draw(5, 0, 8) == buffer.draw(5, 0, 8)
