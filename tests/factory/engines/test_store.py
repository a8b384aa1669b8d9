import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from served import asked

from factory.engines.keys import request_fields, request_key, score_key
from factory.engines.ledger import Chosen, Ledger, StageUsage, stats
from factory.engines.protocol import Request, SamplingParams
from factory.engines.store import Answered, default_path
from factory.errors import EngineError
from factory.schemas import Message

REQUEST = Request(prompt=asked("a b\n"), sampling=SamplingParams(max_tokens=8, temperature=0.5, top_p=0.9, stop=("x",)), seed=3, ordinal=1)

CHANGED = {
    "prompt": replace(REQUEST, prompt=asked("a b")),
    "prompt as ids": replace(REQUEST, prompt=(1, 2)),
    "prompt, role": replace(REQUEST, prompt=(Message("system", "a b\n"),)),
    "prompt, turns": replace(REQUEST, prompt=(*asked("a "), *asked("b\n"))),
    "max_tokens": replace(REQUEST, sampling=replace(REQUEST.sampling, max_tokens=9)),
    "temperature": replace(REQUEST, sampling=replace(REQUEST.sampling, temperature=0.6)),
    "top_p": replace(REQUEST, sampling=replace(REQUEST.sampling, top_p=1.0)),
    "stop": replace(REQUEST, sampling=replace(REQUEST.sampling, stop=("x", "y"))),
    "logprobs": replace(REQUEST, sampling=replace(REQUEST.sampling, logprobs=True)),
    "ignore_eos": replace(REQUEST, sampling=replace(REQUEST.sampling, ignore_eos=True)),
    "schema": replace(REQUEST, schema="{}"),
    "seed": replace(REQUEST, seed=4),
    "ordinal": replace(REQUEST, ordinal=2),
}


def answered(key: str, text: str = "c d") -> Answered:
    return Answered(key, {"prompt": "a b"}, {"text": text}, prompt_tokens=2, completion_tokens=3)


def test_every_field_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {name: request_key("transformers", "base@1", changed) for name, changed in CHANGED.items()}
    keys |= {"none": request_key("transformers", "base@1", REQUEST)}
    keys |= {"family": request_key("vllm", "base@1", REQUEST), "model": request_key("transformers", "base@2", REQUEST)}
    keys |= {
        "score": score_key("orm@1", asked("a"), "b"),
        "score, model": score_key("orm@2", asked("a"), "b"),
        "score, cut": score_key("orm@1", asked("ab"), ""),
    }
    monkeypatch.setattr("factory.engines.keys.KEY_VERSION", 3)
    keys |= {"version": request_key("transformers", "base@1", REQUEST), "score, version": score_key("orm@1", asked("a"), "b")}
    assert len(set(keys.values())) == len(keys) == 21
    assert len(request_fields("transformers", "base@1", CHANGED["ignore_eos"])) == 13, "a new field of the key needs a line in CHANGED"


def test_an_integer_temperature_is_the_same_request() -> None:
    whole = replace(REQUEST, sampling=replace(REQUEST.sampling, temperature=1))
    assert request_key("vllm", "m", whole) == request_key("vllm", "m", replace(whole, sampling=replace(whole.sampling, temperature=1.0)))


def test_answers_failures_and_usage(tmp_path: Path) -> None:
    store = Ledger(tmp_path / "deep" / "requests.sqlite")
    store.add("rollouts", "base@1", [answered("k1"), answered("k2")], {"k3": "no server", "k4": "too long"})
    store.add("rollouts", "base@1", [answered("k1", "another answer"), answered("k3")], {"k4": "too long still"})
    store.add("plans", "base@1", [answered("k5")])
    store.count("rollouts", hits=1, misses=4)
    store.count("rollouts", hits=4, seconds=2.5)
    assert store.spent() == [("plans", "base@1", 2, 3), ("rollouts", "base@1", 6, 9)]
    assert store.find(["k1", "k3", "k4", "k9"]) == {"k1": {"text": "c d"}, "k3": {"text": "c d"}}, "the first answer to a key stays"
    assert store.failures() == [("k4", "rollouts", 2, "too long still")]
    plans, rollouts = stats(store.path)
    assert rollouts == StageUsage("rollouts", 3, 6, 9, failures=1, bytes=rollouts.bytes, hits=5, misses=4, seconds=2.5)
    assert (plans.stage, plans.requests, plans.failures, plans.hits) == ("plans", 1, 0, 0)
    assert rollouts.bytes == 3 * plans.bytes > 0
    assert stats(tmp_path / "none.sqlite") == []


def test_many_keys_are_found_at_once(tmp_path: Path) -> None:
    store = Ledger(tmp_path / "requests.sqlite")
    store.add("rollouts", "base@1", [answered(f"k{number}", str(number)) for number in range(1300)])
    found = store.find([f"k{number}" for number in range(100, 1400)])
    assert [found[f"k{number}"]["text"] for number in (100, 700, 1299)] == ["100", "700", "1299"]
    assert len(found) == 1200


def test_the_default_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACTORY_STORE", str(tmp_path / "here.sqlite"))
    assert default_path() == tmp_path / "here.sqlite"
    monkeypatch.setenv("FACTORY_STORE", "here.sqlite")
    with pytest.raises(EngineError, match=r"'here\.sqlite': expected an absolute path"):
        default_path()
    monkeypatch.delenv("FACTORY_STORE")
    assert default_path().parts[-2:] == ("coat-factory", "requests.sqlite")


def one_line(caught: pytest.ExceptionInfo[EngineError], path: Path, *words: str) -> None:
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message


def test_a_read_only_store_is_a_clear_error_before_anything_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    store = Ledger(path)
    store.add("rollouts", "base@1", [answered("k1")])
    store.connection.execute("PRAGMA journal_mode = DELETE")
    store.close()
    with path.open("r+b") as stream:  # file format: a write version above 2 makes it read-only, for root as well
        stream.seek(18)
        stream.write(b"\x03")
    with pytest.raises(EngineError) as caught:
        Ledger(path)
    one_line(caught, path, "cannot be written to", "make it and its folder writable", "FACTORY_STORE")


def test_no_store_and_a_damaged_store(tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear Sir or Madam, " * 100)
    with pytest.raises(EngineError) as caught:
        Ledger(letter)
    one_line(caught, letter, "is no request store", "move the file away")
    with pytest.raises(EngineError) as caught:
        Ledger(tmp_path)
    one_line(caught, tmp_path, "cannot be opened")
    with pytest.raises(EngineError) as caught:
        Ledger(letter / "below" / "requests.sqlite")
    one_line(caught, letter / "below", "FACTORY_STORE")

    path = tmp_path / "requests.sqlite"
    store = Ledger(path)
    store.add("rollouts", "base@1", [answered(f"k{number}") for number in range(200)])
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    blob = bytearray(path.read_bytes())
    blob[4096 * 2 :] = b"\x55" * (len(blob) - 4096 * 2)
    path.write_bytes(blob)
    with pytest.raises(EngineError) as caught:
        Ledger(path).find([f"k{number}" for number in range(200)])
    one_line(caught, path, "is damaged")


def test_a_damaged_answer(tmp_path: Path) -> None:
    store = Ledger(tmp_path / "requests.sqlite")
    store.add("rollouts", "base@1", [answered("k1")])
    store.connection.execute("UPDATE answers SET answer = x'00ff'")
    with pytest.raises(EngineError, match="is damaged"):
        store.find(["k1"])


def test_a_full_disk_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    store = Ledger(tmp_path / "requests.sqlite")
    store.add("rollouts", "base@1", [answered("k1")])
    pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
    store.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(EngineError) as caught:
        store.add("rollouts", "base@1", [answered(f"n{number}", f"{number} " * 500) for number in range(500)])
    one_line(caught, store.path, "has no room left", "free disk space")
    assert store.find(["k1", "n1"]) == {"k1": {"text": "c d"}}


def test_a_store_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 7")
    with pytest.raises(EngineError, match="has layout 7, this version reads 2"):
        Ledger(path)


WRITER = """
import sys
from pathlib import Path
from factory.engines.ledger import Ledger
from factory.engines.store import Answered
name, path = sys.argv[1], Path(sys.argv[2])
sys.stdin.readline()
store = Ledger(path)
for chunk in range(40):
    keys = [f"{name}-{chunk}-{number}" for number in range(20)] + [f"both-{chunk}"]
    store.add(name, "base@1", [Answered(key, {}, {"text": key}, 1, 1) for key in keys])
    store.count(name, hits=0, misses=21)
"""


@pytest.mark.slow
def test_two_processes_create_and_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, name, str(path)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        _, errors = writer.communicate(timeout=300)
        assert writer.returncode == 0, errors
    one, two = stats(path)
    assert one.requests + two.requests == 2 * 40 * 20 + 40
    assert (one.misses, two.misses) == (840, 840)


def test_entries_are_chosen_by_key_stage_model_and_age(tmp_path: Path) -> None:
    store = Ledger(tmp_path / "requests.sqlite")
    store.add("rollouts", "base@1", [answered("aa1"), answered("ab2")])
    store.add("plans", "base@2", [answered("aa3")])
    for chosen, keys in (
        (Chosen(), ["aa1", "ab2", "aa3"]),
        (Chosen(key="aa"), ["aa1", "aa3"]),
        (Chosen(key="aa", stage="plans"), ["aa3"]),
        (Chosen(model="base@1"), ["aa1", "ab2"]),
        (Chosen(before=1.0), []),
    ):
        assert [entry.key for entry in store.entries(chosen)] == keys
        assert store.count_entries(chosen) == len(keys)
    entry = next(store.entries(Chosen(key="aa3")))
    assert (entry.stage, entry.model, entry.prompt_tokens, entry.completion_tokens) == ("plans", "base@2", 2, 3)
    assert (entry.request, entry.answer) == ({"prompt": "a b"}, {"text": "c d"})
    assert len(list(store.entries(Chosen(), 2))) == 2


def test_vacuum_forgets_what_was_chosen_and_nothing_else(tmp_path: Path) -> None:
    store = Ledger(tmp_path / "requests.sqlite")
    store.add("rollouts", "base@1", [answered(f"a{number}", "x" * number) for number in range(2000)])
    store.add("plans", "base@1", [answered("b1")])
    assert store.vacuum()[0] == 0
    dropped, freed = store.vacuum(Chosen(stage="rollouts"))
    assert dropped == 2000
    assert freed > 100_000
    assert [entry.key for entry in store.entries(Chosen())] == ["b1"]


def test_a_store_of_the_layout_before_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "requests.sqlite"
    Ledger(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE lookups DROP COLUMN seconds")
        connection.execute("INSERT INTO lookups VALUES ('plans', 3, 4)")
        connection.execute("PRAGMA user_version = 1")
    store = Ledger(path)
    store.count("plans", hits=1, seconds=2.0)
    (row,) = store.usage()
    assert (row.stage, row.hits, row.misses, row.seconds) == ("plans", 4, 4, 2.0)


def test_where_another_process_was_first_its_answer_is_the_one_to_go_on_with(tmp_path: Path) -> None:
    ours, theirs = Ledger(tmp_path / "requests.sqlite"), Ledger(tmp_path / "requests.sqlite")
    assert theirs.add("rollouts", "base@1", [answered("k1", "theirs"), answered("k2", "same")]) == {}
    assert ours.add("rollouts", "base@1", [answered("k1", "ours"), answered("k2", "same"), answered("k3")]) == {"k1": {"text": "theirs"}}


def test_a_failure_behind_an_answer_is_none(tmp_path: Path) -> None:
    store = Ledger(tmp_path / "requests.sqlite")
    store.add("rollouts", "base@1", [answered("k1")])
    store.add("rollouts", "base@1", [], {"k1": "no server", "k2": "no server"})
    assert [row[0] for row in store.failures()] == ["k2"]
    store.vacuum(Chosen(stage="rollouts"))
    assert store.failures() == []


def test_what_has_no_json_form_is_no_answer(tmp_path: Path) -> None:
    store = Ledger(tmp_path / "requests.sqlite")
    with pytest.raises(TypeError):
        store.add("rollouts", "base@1", [Answered("k1", {}, {"text": Path("a")})])
    assert store.find(["k1"]) == {}


def test_reading_needs_no_right_to_write(tmp_path: Path) -> None:
    store = Ledger(tmp_path / "requests.sqlite")
    store.add("rollouts", "base@1", [answered("k1")])
    reader = Ledger.reader(store.path)
    assert reader.usage()[0].requests == 1
    with pytest.raises(EngineError, match="cannot be written to"):
        reader.add("rollouts", "base@1", [answered("k2")])
    reader.close()
    store.close()
    assert not Path(f"{store.path}-wal").exists()
    still = Ledger.reader(store.path)
    assert still.find(["k1"]) == {"k1": {"text": "c d"}}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["requests.sqlite"], "nothing is put beside it"


def test_another_program_s_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE answers (text TEXT)")
    before = path.read_bytes()
    for opened in (Ledger, Ledger.reader):
        with pytest.raises(EngineError, match="is no request store"):
            opened(path)
    assert path.read_bytes() == before
