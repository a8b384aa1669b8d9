"""A budget ends a stage in one line, nothing that was paid is lost, and the count goes on where it stood, whatever ended the run before."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from fault_server import Fault, FaultServer
from served import SETTINGS, asked, role_of

from factory.engines.budget import Account, Book, Budgets, Gate, Payment, Spent, estimated
from factory.engines.flow import Ask, Flow, run
from factory.engines.ledger import spent, stats
from factory.engines.protocol import Request, SamplingParams
from factory.engines.requests import StoredEngine
from factory.engines.select import Engines
from factory.errors import EngineError
from factory.params import Budget, Role

SERVER = Path(__file__).with_name("fault_server.py")
SOON = {"price": {"input": 1.0, "output": 1_000.0}, "concurrency": 4}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACTORY_STORE", str(tmp_path / "store.sqlite"))
    return tmp_path


def requests_of(count: int, tokens: int = 8, first: int = 0) -> list[Request]:
    return [Request(asked("a b"), SamplingParams(tokens, 1.0), seed=seed) for seed in range(first, first + count)]


def stage(role: Role, limits: dict[str, Budget], requests: list[Request], name: str = "critic") -> int:
    """A stage that asks and writes; the number of its answers."""
    with Engines(SETTINGS, "judging", limits) as engines:
        answers = engines.engine(role, name).generate(requests)
        Path("rows").write_text(str(len(answers)), encoding="utf-8")
    return len(answers)


def stored() -> int:
    """Tokens of all answers in the store."""
    return sum(read + written for _, _, read, written in spent(Path("store.sqlite").absolute()))


def counted(role: str = "critic") -> Spent:
    return Book().of(role)


@pytest.mark.slow
def test_a_stage_ends_when_the_tokens_are_used_up_and_goes_on_when_there_are_more(model_folder: Path) -> None:
    role, requests = Role(engine="transformers", model=str(model_folder)), requests_of(60)
    with pytest.raises(EngineError) as caught:
        stage(role, {"critic": Budget(tokens=200)}, requests)
    used = counted().tokens
    assert str(caught.value) == (
        f"the budget of roles.critic is used up: {used} of 200 tokens. What was answered is stored: raise budget.critic.tokens and run dvc "
        "repro again"
    )
    assert used == stored()
    assert 200 <= used < 210, "one more answer at most: as many are begun at once as the rest pays for"
    assert not Path("rows").exists()
    assert stage(role, {"critic": Budget(tokens=2_000)}, requests) == 60
    assert counted() == Spent(60, stored(), 0.0), "each was paid once"


def test_what_is_stored_is_free(model_folder: Path) -> None:
    role, requests = Role(engine="transformers", model=str(model_folder)), requests_of(5)
    stage(role, {}, requests)
    before = counted().tokens
    assert before == stored(), "counted where nobody has a budget too"
    assert stage(role, {"critic": Budget(tokens=1)}, requests) == 5, "it asks for nothing"
    with pytest.raises(EngineError, match=rf"is used up: {before} of 1 tokens"):
        stage(role, {"critic": Budget(tokens=1)}, [*requests, *requests_of(1, first=9)])
    assert counted().tokens == before, "nothing was begun"


def test_what_is_no_stage_is_not_counted(model_folder: Path) -> None:
    with Engines(SETTINGS, "asking") as engines:
        engines.engine(Role(engine="transformers", model=str(model_folder)), "critic").generate(requests_of(2))
    assert not Path(".factory").exists()


def test_roles_that_share_a_model_are_counted_apart(model_folder: Path) -> None:
    role = Role(engine="transformers", model=str(model_folder))
    with Engines(SETTINGS, "judging", {"critic": Budget(tokens=100)}) as engines:
        generator, critic = engines.engine(role, "generator"), engines.engine(role, "critic")
        assert generator.backend is critic.backend
        assert len(generator.generate(requests_of(40))) == 40, "it has no budget"
        with pytest.raises(EngineError, match=r"roles\.critic is used up"):
            critic.generate(requests_of(60, first=30))
    assert counted("generator").tokens >= 300
    assert counted("critic").answers < 20
    assert counted("generator").tokens + counted("critic").tokens == stored()


def remarks(generator: StoredEngine, critic: StoredEngine, number: int) -> Flow[str]:
    (draft,) = yield Ask(generator, requests_of(1, 64, first=number))
    (remark,) = yield Ask(critic, [Request(asked(draft.text), SamplingParams(64, 1.0), seed=number)])
    return remark.text


@pytest.mark.usefixtures("quick")
@pytest.mark.slow
def test_flows_end_when_dollars_are_used_up_and_what_servers_answered_is_stored() -> None:
    with FaultServer(delay=0.1) as one, FaultServer(delay=0.01) as other:
        generator, critic = role_of(one, model="m@1"), role_of(other, model="m@2", **SOON)
        used_up = r"roles\.critic is used up: 0\.\d{4} of 0\.5000 dollars.*raise budget\.critic\.dollars"
        with Engines(SETTINGS, "judging", {"critic": Budget(dollars=0.5)}) as engines:
            drafts, judge = engines.engine(generator, "generator"), engines.engine(critic, "critic")
            with pytest.raises(EngineError, match=used_up):
                run((remarks(drafts, judge, number) for number in range(500)), "remarks")
        paid = counted()
        assert 0.5 <= paid.dollars < 0.5 + 4 * 0.032, "at most what was under way"
        assert (one.stats.max_in_flight, other.stats.max_in_flight) == (4, 4)
        assert paid.answers == other.stats.answered == other.stats.requests, "what was under way landed"
        assert one.stats.answered == one.stats.requests < 500, "the other role's too, and its queue was dropped"
        assert sum(row.requests for row in stats(Path("store.sqlite").absolute())) == one.stats.answered + other.stats.answered


@pytest.mark.usefixtures("quick")
def test_a_small_budget_is_not_passed_by_all_that_a_server_takes_at_once() -> None:
    with FaultServer(delay=0.01, tokens=20) as server, pytest.raises(EngineError, match="of 100 tokens"):
        stage(role_of(server, concurrency=64), {"critic": Budget(tokens=100)}, requests_of(200, 20))
    assert 100 <= counted().tokens < 100 + 23
    assert server.stats.max_in_flight <= 4


@pytest.mark.usefixtures("quick")
def test_answers_without_usage_and_scores_are_counted_by_their_texts(reward_folder: Path) -> None:
    with FaultServer() as server:
        server.script["a b"] = [Fault(body='{"choices": [{"finish_reason": "stop", "message": {"content": "seven"}}]}')]
        stage(role_of(server), {"critic": Budget(tokens=100)}, requests_of(1))
        assert counted() == Spent(1, estimated("a b") + estimated("seven"), 0.0)
        for role in (role_of(server), Role(engine="transformers", model=str(reward_folder))):
            before = counted("reward_model").tokens
            with Engines(SETTINGS, "judging", {"reward_model": Budget(tokens=before + 10)}) as engines:
                scorer = engines.scorer(role, "reward_model")
                with pytest.raises(EngineError, match=r"roles\.reward_model is used up: \d+ of \d+ tokens"):
                    scorer.score([(asked("a b c d"), "e" * number) for number in range(1, 40)])
            assert before + 10 <= counted("reward_model").tokens <= before + 20


def test_a_lost_line_and_a_deleted_file(project: Path) -> None:
    book, paid = Book(), Payment("judging", "critic", "m@1", 2, 10, 5, 0.5)
    for _ in range(2):
        book.write(paid)
        with book.path.open("a", encoding="utf-8") as stream:
            stream.write('{"stage": "judging"}\n7\n{"st\n')
    assert book.of("critic") == Book().of("critic") == Spent(4, 30, 1.0)
    with book.path.open("a", encoding="utf-8") as stream:
        stream.write('{"stage": "judging", "role"')  # another process is just writing
    assert book.of("critic").tokens == 30
    book.path.unlink()
    assert book.of("critic") == Spent(), "whoever deletes it begins again"


@pytest.mark.parametrize(
    ("paid", "limit", "most", "room"),
    [
        ((0, 0), Budget(tokens=1000), (50, 150), 5), ((4, 200), Budget(tokens=1000), (50, 150), 4),
        ((4, 200), Budget(tokens=201), (50, 150), 1), ((4, 200), Budget(tokens=200), (50, 150), 0),
        ((4, 200), Budget(dollars=10.0), (50, 150), 64),
        ((4, 200), Budget(tokens=300, dollars=1.0), (50, 150), 1), ((4, 200), Budget(tokens=10_000, dollars=0.2), (50, 150), 0),
    ],
)  # fmt: skip
def test_as_many_are_under_way_as_the_rest_pays_for(paid: tuple[int, int], limit: Budget, most: tuple[int, int], room: int) -> None:
    role = Role(engine="openai", model="m@1", base_url="http://h/v1", price={"input": 0, "output": 1_000.0})
    account = Account(Budgets("judging", {"critic": limit}), "critic", role, "m@1")
    if paid[0]:
        account.pay(paid[0], (0, paid[1]))
    assert account.room(most) == room


CLIENT = """
import sys
from served import SETTINGS, asked
from factory.engines.protocol import Request, SamplingParams
from factory.engines.select import Engines
from factory.errors import EngineError
from factory.params import Budget, Role

role = Role(engine="openai", model="m@1", base_url=sys.argv[1], concurrency=8)
requests = [Request(asked("a b"), SamplingParams(20, 1.0), seed=seed) for seed in range(2000)]
try:
    with Engines(SETTINGS, "judging", {"critic": Budget(tokens=int(sys.argv[2]))}) as engines:
        engines.engine(role, "critic").generate(requests)
except EngineError as error:
    sys.exit(f"error: judging: {error}")
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_kill_loses_no_count(project: Path) -> None:
    """Of 12 + 23 tokens an answer."""
    command = [sys.executable, str(SERVER), "--port", "0", "--delay", "0.02", "--tokens", "20"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
    arguments = [sys.executable, "-c", CLIENT, url, "8000"]
    environment = os.environ | {"PYTHONPATH": f"{SERVER.parent}:{SERVER.parents[3]}"}
    try:
        for least in (1_000, 3_000):
            client = subprocess.Popen(arguments, env=environment)
            until = time.monotonic() + 120
            while counted().tokens < least and client.poll() is None and time.monotonic() < until:
                time.sleep(0.01)
            os.kill(client.pid, signal.SIGKILL)
            client.wait()
        assert 3_000 <= counted().tokens < 8_000
        last = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=300, check=False)
    finally:
        server.kill()
        server.wait()
    used = counted()
    assert last.stderr == (
        f"error: judging: the budget of roles.critic is used up: {used.tokens:,} of 8,000 tokens. What was answered is stored: raise "
        "budget.critic.tokens and run dvc repro again\n"
    )
    each = used.tokens // used.answers
    assert 8_000 <= used.tokens < 8_000 + each
    assert used.tokens - 2 * 8 * each <= stored() <= used.tokens, "counted before they are stored: what a kill came between is paid twice"


def test_a_thread_of_an_engine_begins_nothing_when_the_stage_has_ended() -> None:
    budgets, given, stored = Budgets("judging", {"critic": Budget(tokens=1_000)}), dict[str, int](), dict[str, float]()

    class Elsewhere:
        """An engine whose answers land in a thread of its own."""

        def submit(self, items: Mapping[str, int], landed: Callable[[Mapping[str, float]], None]) -> None:
            given.update(items)
            self.landed = landed

    engine = Elsewhere()
    gate = Gate[int, float](
        engine, Account(budgets, "critic", Role(engine="openai", model="m@1", base_url="u", concurrency=2), "m@1"), sizes
    )
    gate.submit({name: number for number, name in enumerate("abcde")}, stored.update)
    assert list(given) == ["a", "b"]
    engine.landed({"a": 0.1})
    assert list(given) == ["a", "b", "c"]
    budgets.close()
    engine.landed({"b": 0.2})
    assert (list(given), list(stored)) == (["a", "b", "c"], ["a", "b"]), "what lands is stored, and nothing else is begun"


def sizes(item: int) -> tuple[int, int]:
    return 1, item
