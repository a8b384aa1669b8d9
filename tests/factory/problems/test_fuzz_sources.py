"""Twenty thousand rows, many damaged: rows in = problems + rejects, no traceback, nothing that depends on the order of the lines."""

import csv
import io
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from factory.errors import DataError
from factory.params import Source
from factory.problems.dedup import deduplicate
from factory.problems.sources import from_records, read_raw
from factory.problems.split import assign
from factory.rejects import write_rejects
from factory.schemas import Problem, Reject
from factory.storage import read_rows, write_rows

pytestmark = pytest.mark.slow

ROWS = 20_000
COLUMNS = {"solution": "solution", "family": "family", "decimals": "decimals"}
STRANGE = "\x00\x01\x0b\x1b\x1c\x7f\x85\u00a0\u200b\u2028\ufeff\ufffd\U0001d7d9\u0661\u202e\U0001f600"
TEXTS = [
    "", " ", "\n\n", "<|reflect|>wait", "a\n<|explore|>b", "<|endoftext|></s>[INST]", "\ud83d", "\udfff\ud800", "\x00", "=1+1", "a\rb\r\nc",
    "{}", "[{'role': 'user', 'content': 'a'}]", r"\boxed{", r"\frac{1}{0}", "#### 7", "#### ", "9" * 5000, "1e999", "nan", "9" * 400,
    '"', "'", "<<1+1=2>>",
    r"so \boxed{7}", "The answer is 8.", "\u0301", "e\u0301", STRANGE, "x" * 3000, "-0", "1,000", "½", "٣",
]  # fmt: skip
TURN = {"role": "user", "content": "How many?"}


def value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(16 if depth < 3 else 8)
    if kind < 3:
        return chance.choice(TEXTS)
    if kind < 8:
        return chance.choice([None, True, False, 0, -1, 7, 10**18, 10**30, 0.5, -0.0, 1e22, 1e-300, float("nan"), float("inf"), 2**63])
    if kind < 10:
        return [value(chance, depth + 1) for _ in range(chance.randrange(3))]
    if kind < 12:
        return {chance.choice(["role", "content", "text", "\ud800", ""]): value(chance, depth + 1) for _ in range(chance.randrange(3))}
    if kind < 14:
        return [{**TURN, "content": value(chance, depth + 1)} for _ in range(1 + chance.randrange(2))]
    return "".join(chance.choice("ab 1\n" + STRANGE) for _ in range(chance.randrange(9)))


def row(chance: random.Random, number: int) -> dict[str, Any]:
    story = f"Farm {chance.choice('abcdefgh')} has {number % 5000} cows and {chance.randrange(90)} hens.\n  How   many?"
    made: dict[str, Any] = {"problem": story, "answer": chance.randrange(100), "solution": chance.choice(["", "3 + 4", r"\boxed{3}", None])}
    for column in ("problem", "answer", *COLUMNS, "at", "source", "malformed"):
        if chance.random() < 0.12:
            made[column] = value(chance)
    if chance.random() < 0.05:
        del made[chance.choice(list(made))]
    return made


def line(chance: random.Random, number: int) -> bytes:
    text = json.dumps(row(chance, number), ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    kind = chance.randrange(60)
    if kind < 4:
        return text[: chance.randrange(len(text))].replace(b"\n", b"")
    if kind == 5:
        return text[:-1] + b', "answer": 3}'
    if kind == 6:
        return text[:-1] + b', "deep": ' + b"[" * chance.choice([30, 900, 5_000]) + b"]" * chance.choice([30, 900, 5_000]) + b"}"
    if kind == 7:
        return text[:-1] + b', "n": ' + b"9" * 5000 + b"}"
    if kind == 8:
        return bytes(chance.randrange(256) for _ in range(20)).replace(b"\n", b" ")
    if kind == 9:
        return b"\xef\xbb\xbf" + text
    if kind == 10:
        at = chance.randrange(len(text))
        return text[:at] + bytes([chance.choice([0, 0x80, 0xC3, 0xFF])]) + text[at:]
    return text


def shuffled_alike(path: Path, orders: list[bytes], source: Source, count: int) -> None:
    """Whatever the order: the same problems with the same ids and splits, the same reasons, and all rows accounted for."""
    seen: list[tuple[list[Problem], Counter[str]]] = []
    for content in orders:
        path.write_bytes(content)
        raw = read_raw(source)
        problems, rejects = from_records(source, raw)
        assert len(raw) == count == len(problems) + len(rejects)
        kept, doubles = deduplicate(problems, 0.9)
        assert len(problems) == len(kept) + len(doubles)
        placed, _ = assign(kept, {"train": 0.6, "dev": 0.2, "heldout": 0.2}, 0.9, seed=1)
        write_rows(path.parent / "problems.parquet", Problem, placed)
        assert write_rejects("fuzz", [*rejects, *doubles]) == len(rejects) + len(doubles)
        again = read_rows(Path("data/rejects/fuzz.parquet"), Reject)
        assert Counter(item.reason for item in again) == Counter(item.reason for item in [*rejects, *doubles])
        assert all(isinstance(json.loads(item.row), dict) for item in again)
        seen.append((read_rows(path.parent / "problems.parquet", Problem), Counter(item.reason for item in again)))
    assert all(other == seen[0] for other in seen[1:])
    assert len(seen[0][0]) > count // 50
    assert len(seen[0][1]) > 3


@pytest.mark.parametrize("kind", ["number", "math", "literal", "text"])
def test_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    chance = random.Random(f"lines {kind}")
    lines = [found for number in range(ROWS // 4) if (found := line(chance, number)).strip()]
    orders = []
    for _ in range(2):
        orders.append(b"\n".join(lines))
        chance.shuffle(lines)
    path = tmp_path / "rows.jsonl"
    shuffled_alike(path, orders, Source(name="s", kind="file", path=str(path), columns=COLUMNS, answer_kind=kind), len(lines))  # type: ignore[arg-type]


def test_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CSV that is quoted as it should be, with cells of every sort; then with bytes changed, where an error in a line is allowed too."""
    monkeypatch.chdir(tmp_path)
    chance = random.Random("cells")
    rows = [row(chance, number) for number in range(2_000)]
    names = ["problem", "answer", *COLUMNS]
    texts = [["" if item.get(name) is None else str(item[name]).encode("utf-8", "replace").decode() for name in names] for item in rows]
    orders = []
    for _ in range(2):
        page = io.StringIO(newline="")
        csv.writer(page, lineterminator="\r\n", quoting=csv.QUOTE_ALL).writerows([names, *texts])
        orders.append(page.getvalue().encode())
        chance.shuffle(texts)
    path = tmp_path / "rows.csv"
    source = Source(name="s", kind="file", path=str(path), columns=COLUMNS)
    shuffled_alike(path, orders, source, len(rows))
    for _ in range(200):
        content = bytearray(orders[0][: chance.randrange(20_000)])
        for _ in range(chance.randrange(6)):
            content.insert(chance.randrange(len(content) + 1), chance.choice(b'",\r\n\x00\xff\t\\'))
        path.write_bytes(content)
        try:
            raw = read_raw(source)
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017 (either outcome is right)
            continue
        problems, rejects = from_records(source, raw)
        assert len(raw) == len(problems) + len(rejects)


def test_whole_files(tmp_path: Path) -> None:
    """Files cut and changed anywhere, under every ending: rows or an error in one line."""
    chance = random.Random("files")
    good = b"\n".join(line(chance, number) for number in range(20))
    array = json.dumps([row(chance, number) for number in range(20)]).encode()
    for number in range(2_000):
        content = bytearray(chance.choice([good, array]))
        for _ in range(chance.randrange(4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        start = 0 if chance.random() < 0.7 else chance.randrange(40)
        cut = bytes(content[start : len(content) if chance.random() < 0.5 else chance.randrange(len(content))])
        path = tmp_path / f"rows{chance.choice(['.jsonl', '.json', '.csv', '.tsv', '.parquet', '.jsonl.gz', '.jsonl.zst'])}"
        path.write_bytes(cut)
        source = Source(name="s", kind="file", path=str(path), columns=COLUMNS)
        try:
            raw = read_raw(source)
        except DataError as error:
            assert "\n" not in str(error), number  # noqa: PT017
            continue
        problems, rejects = from_records(source, raw)
        assert len(raw) == len(problems) + len(rejects)
