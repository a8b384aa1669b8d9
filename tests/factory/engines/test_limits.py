"""A raised `max_tokens` asks again for what was cut and for nothing else, in stores of today and of before."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fault_server import FaultServer, fault_servers
from served import SETTINGS, asked, requests_of, role_of

from factory.engines.budget import Book
from factory.engines.ledger import Ledger
from factory.engines.limits import fits
from factory.engines.protocol import Completion, Request, SamplingParams
from factory.engines.requests import StoredEngine
from factory.engines.select import Engines
from factory.engines.transformers_engine import TransformersEngine

pytestmark = pytest.mark.usefixtures("quick")

COUNT = 60


def limited(limit: int, count: int = COUNT) -> list[Request]:
    return [replace(one, sampling=replace(one.sampling, max_tokens=limit, temperature=1.0)) for one in requests_of(count)]


def same(one: Completion, other: Completion) -> bool:
    return replace(one, request_id="") == replace(other, request_id="")


def drawn_afresh(limit: int, folder: Path) -> list[Completion]:
    """What an empty store is given."""
    with fault_servers(1) as (server,), opened_at(folder / f"fresh_{limit}.sqlite", server) as engine:
        return engine.generate(limited(limit))


class opened_at:
    def __init__(self, path: Path, server: FaultServer) -> None:
        from factory.engines.openai_engine import OpenAIEngine

        self.engine = StoredEngine(OpenAIEngine(role_of(server), SETTINGS), Ledger(path), "rollouts")

    def __enter__(self) -> StoredEngine:
        return self.engine

    def __exit__(self, *_: object) -> None:
        self.engine.close()
        self.engine.store.close()


@pytest.mark.parametrize("of_before", [False, True])
@pytest.mark.slow
def test_a_raised_limit_asks_again_for_what_was_cut(of_before: bool, server: FaultServer, tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with opened_at(path, server) as engine:
        short = engine.generate(limited(16))
        if of_before:  # a store of a version that knew no limits
            engine.store.connection.execute("DROP TABLE limits")
    cut = [one.finish_reason == "length" for one in short]
    assert 10 < sum(cut) < 50
    assert server.stats.requests == COUNT
    with opened_at(path, server) as engine:
        longer = engine.generate(limited(64))
        (usage,) = engine.store.usage()
        assert engine.limits.told() == [
            f"{COUNT - sum(cut)} answers made under max_tokens 16 ended by themselves and serve 64; what was cut is asked again"
        ]
    assert server.stats.requests == COUNT + sum(cut), "each of the others was paid once"
    assert [sent["max_tokens"] for sent in server.seen[COUNT:]] == [64] * sum(cut)
    assert all(map(same, longer, drawn_afresh(64, tmp_path))), "seeds: the answers of a fresh run under the larger limit"
    assert [one.request_id == other.request_id for one, other in zip(short, longer, strict=True)] == [not one for one in cut]
    assert (usage.reused, usage.hits, usage.misses) == (COUNT - sum(cut), COUNT - sum(cut), COUNT + sum(cut))
    with opened_at(path, server) as engine:
        assert engine.generate(limited(64)) == longer
        assert engine.generate(limited(16)) == short, "the lower limit finds its own answers"
    assert server.stats.requests == COUNT + sum(cut)


@pytest.mark.slow
def test_a_lowered_limit_takes_what_fits_and_no_more(server: FaultServer, tmp_path: Path) -> None:
    with opened_at(tmp_path / "store.sqlite", server) as engine:
        long = engine.generate(limited(64))
    with opened_at(tmp_path / "store.sqlite", server) as engine:
        lower = engine.generate(limited(16))
    too_long = sum(one.tokens >= 16 for one in long)
    assert 10 < too_long < 50
    assert server.stats.requests == COUNT + too_long
    assert all(map(same, lower, drawn_afresh(16, tmp_path)))


def test_one_run_that_asks_under_two_limits_mixes_nothing(server: FaultServer, tmp_path: Path) -> None:
    for _ in range(2):  # and finds it all again
        with opened_at(tmp_path / "store.sqlite", server) as engine:
            small, large = engine.generate(limited(40)), engine.generate(limited(64))
        assert not {one.request_id for one in small} & {one.request_id for one in large}
        assert server.stats.requests == 2 * COUNT


def test_another_stage_is_another_thing(server: FaultServer, tmp_path: Path) -> None:
    """Else a row would depend on which of two stages ran first."""
    with opened_at(tmp_path / "store.sqlite", server) as engine:
        engine.generate(limited(40))
    with opened_at(tmp_path / "store.sqlite", server) as engine:
        engine.stage = engine.limits.stage = "evaluate"
        engine.generate(limited(64))
    assert server.stats.requests == 2 * COUNT


@pytest.mark.slow
def test_of_several_limits_the_next_smaller_one_is_taken(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    made = {}
    for limit in (200, 50, 40):
        with opened_at(tmp_path / f"{limit}.sqlite", server) as engine:
            made[limit] = engine.generate(limited(limit))
    for limit in (200, 50, 40):
        with monkeypatch.context() as before, opened_at(tmp_path / "store.sqlite", server) as engine:
            before.setattr("factory.engines.limits.NEAREST", 0)  # a version that asked everything again
            engine.generate(limited(limit))
    with opened_at(tmp_path / "store.sqlite", server) as engine:
        found = engine.generate(limited(64))
    assert [one.request_id for one in found] == [one.request_id for one in made[50]]


def test_the_budget_is_charged_for_what_is_asked_again(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACTORY_STORE", str(tmp_path / "store.sqlite"))
    role = role_of(server, price={"input": 1.0, "output": 2.0})

    def stage(limit: int) -> list[Completion]:
        with Engines(SETTINGS, "rollouts", {}) as engines:
            return engines.engine(role, "generator").generate(limited(limit))

    cut = sum(one.finish_reason == "length" for one in stage(16))
    before = Book().of("generator").answers
    stage(64)
    assert (before, Book().of("generator").answers) == (COUNT, COUNT + cut)
    assert f"rollouts: m@1: {COUNT - cut} answers made under max_tokens 16" in capsys.readouterr().err


@pytest.mark.slow
def test_greedy_and_seeded_answers_of_a_real_model_are_the_same_under_a_larger_limit(model_folder: Path, tmp_path: Path) -> None:
    def ask(path: Path, limit: int, temperature: float) -> Sequence[Completion]:
        store = Ledger(path)
        requests = [Request(asked(f"{'a b c d e'[: 1 + 2 * (n % 5)]}"), SamplingParams(limit, temperature), seed=n) for n in range(40)]
        try:
            return StoredEngine(TransformersEngine(str(model_folder), "base@1"), store, "rollouts").generate(requests)
        finally:
            store.close()

    for temperature in (0.0, 1.0):
        short, larger = ask(tmp_path / f"{temperature}", 8, temperature), ask(tmp_path / f"{temperature}", 40, temperature)
        assert {one.finish_reason for one in short} == {"stop", "length"} or temperature == 0.0
        assert all(map(same, larger, ask(tmp_path / f"fresh {temperature}", 40, temperature)))
        assert [one.request_id for one in short if one.finish_reason == "stop"] == [
            other.request_id for one, other in zip(short, larger, strict=True) if one.finish_reason == "stop"
        ]


@pytest.mark.parametrize(
    ("answer", "made", "wanted", "fit"),
    [
        ({"finish_reason": "stop", "text": "a", "token_ids": [1]}, 8, 9, True),
        ({"finish_reason": "length", "text": "a", "token_ids": [1]}, 8, 9, False),
        ({"finish_reason": "length", "text": "a", "token_ids": [1]}, 8, 4, False),
        ({"finish_reason": "stop", "text": "a b", "token_ids": [1, 2]}, 8, 3, True),
        ({"finish_reason": "stop", "text": "a b", "token_ids": [1, 2]}, 8, 2, False),  # the end has no place
        ({"finish_reason": "stop", "text": "a b", "token_ids": [], "counted": 3}, 8, 4, True),
        ({"finish_reason": "stop", "text": "a b", "token_ids": [], "counted": None}, 8, 7, False),  # of unknown length
        ({"finish_reason": "stop", "text": "a b", "token_ids": [], "counted": None}, 8, 9, True),
        ({"finish_reason": "stop", "text": "", "token_ids": []}, 8, 1, True),
        ({"finish_reason": "stop", "text": "", "token_ids": [], "reasoning": "hm"}, 8, 7, False),
    ],
)
def test_which_answers_fit(answer: dict[str, object], made: int, wanted: int, fit: bool) -> None:
    assert fits(answer, made, wanted) is fit


def test_a_request_that_goes_on_behind_its_end_is_like_no_other(server: FaultServer, stored: Callable[..., StoredEngine]) -> None:
    for limit in (40, 64):
        stored(server).generate([replace(one, sampling=replace(one.sampling, ignore_eos=True)) for one in limited(limit, 5)])
    assert server.stats.requests == 10
