"""`factory show`: readable rows, read sparingly, with their lineage."""

import subprocess
from collections.abc import Callable

import pyarrow.parquet as pq
import pytest

from factory import storage
from factory.cli.printing import coloured
from factory.errors import DataError
from factory.schemas import Demonstration


def test_show_prints_rows_and_an_id_brings_the_lineage(small_line, ask: Callable[..., str]) -> None:
    output = ask("show", "demonstrations", "-n", "2")
    assert sum(line.startswith("demonstrations ") for line in output.splitlines()) == 2
    assert "<|explore|>Add again." in output
    assert "base@3fa9" not in output
    row = storage.read_rows(storage.TABLES / "demonstrations.parquet", Demonstration)[3]
    output = ask("show", "demonstrations", "--id", row.id[:8])
    assert row.id in output
    assert "base@3fa9" in output
    assert "1 of 6 rows" in output


def test_show_of_an_unknown_name_lists_what_there_is(small_line, run: Callable[..., subprocess.CompletedProcess]) -> None:
    answer = run("show", "demonstration", cwd=small_line.root)
    assert answer.returncode == 1
    assert "no dataset or table 'demonstration': there is adjustments, corpus, cot_demonstrations, demonstrations" in answer.stderr


def test_tokens_are_coloured_and_escapes_are_not_obeyed(small_line, run: Callable[..., subprocess.CompletedProcess]) -> None:
    text = coloured("a\x1b[2J\n<|reflect|>[red]b")
    assert "\x1b" not in text.plain
    assert "[red]b" in text.plain
    assert [str(span.style) for span in text.spans] == ["bold yellow"]
    small_line.change("demonstrations", Demonstration, critique="\x1b]0;owned\x07")
    output = run("show", "demonstrations", "-n", "6", cwd=small_line.root).stdout
    assert "\\x1b]0;owned\\x07" in output
    assert "\x1b]" not in output


def test_show_reads_no_more_than_it_shows(small_line, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., str]) -> None:
    monkeypatch.setattr(storage, "GROUP_ROWS", 2)
    rows = storage.read_rows(storage.TABLES / "demonstrations.parquet", Demonstration)
    path = small_line.write("demonstrations", Demonstration, rows)
    footer = pq.read_metadata(path)
    chunk = footer.row_group(1).column(footer.schema.names.index("completion"))
    content = bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    path.write_bytes(content)
    assert "1 of 6 rows" in ask("show", "demonstrations", "-n", "1")
    assert "1 of 6 rows" in ask("show", "demonstrations", "--id", rows[5].id)
    with pytest.raises(DataError, match="not a readable Parquet file"):
        ask("show", "demonstrations", "--id", rows[2].id)
