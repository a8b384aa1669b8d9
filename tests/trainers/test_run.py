"""Order and budget of training rows, refusal of benchmark data, and checkpoints that read back as what was saved."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from factory import storage
from factory.errors import DataError
from factory.schemas import CorpusText
from trainers import batches, run


def release(folder: Path, rows: list[CorpusText], **manifest: object) -> Path:
    storage.write_rows(folder / "data/train-00000.parquet", CorpusText, rows)
    (folder / "manifest.json").write_text(json.dumps({"name": folder.name, "purpose": "train", "rows": len(rows)} | manifest))
    return folder


ROW = CorpusText(id="a", role="solve", family="tally", instance="tally 1", prompt="", completion="1 + 2 = 3")


def test_released_rows_come_back(tmp_path: Path) -> None:
    assert run.load_dataset_rows(release(tmp_path / "corpus", [ROW]), CorpusText) == [ROW]


@pytest.mark.parametrize("purpose", ["audit", None])
def test_benchmark_data_is_refused(tmp_path: Path, purpose: str | None) -> None:
    with pytest.raises(DataError, match="benchmark test data, not for training"):
        run.load_dataset_rows(release(tmp_path / "corpus", [ROW], purpose=purpose), CorpusText)


def test_a_folder_that_release_did_not_write_is_refused(tmp_path: Path) -> None:
    folder = release(tmp_path / "corpus", [ROW])
    (folder / "manifest.json").unlink()
    with pytest.raises(DataError, match="dvc repro release@corpus"):
        run.load_dataset_rows(folder, CorpusText)


def test_a_dataset_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no rows"):
        run.load_dataset_rows(release(tmp_path / "corpus", []), CorpusText)


def test_a_dataset_without_one_of_its_shards_is_refused(tmp_path: Path) -> None:
    folder = release(tmp_path / "corpus", [ROW, replace(ROW, id="b")])
    second = folder / "data/train-00001.parquet"
    storage.write_rows(second.with_stem("train-00000"), CorpusText, [ROW])
    storage.write_rows(second, CorpusText, [replace(ROW, id="b")])
    assert [row.id for row in run.load_dataset_rows(folder, CorpusText)] == ["a", "b"]
    second.unlink()
    with pytest.raises(DataError, match=r"corpus holds 1 rows in 1 shards, and 2 passed the gate: `dvc checkout .*corpus` restores it"):
        run.load_dataset_rows(folder, CorpusText)


def test_what_a_kill_left_set_aside_is_read(tmp_path: Path) -> None:
    """A model and a dataset, between the two renames that replace a folder."""
    aside = tmp_path / ".tuned.aside.part"
    aside.mkdir()
    (aside / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(OSError, match="not a valid JSON file"):  # of transformers: the folder is there, its config is none
        run.load(tmp_path / "tuned")
    assert (tmp_path / "tuned").is_dir()
    (tmp_path / ".corpus.aside.part").mkdir()
    (tmp_path / ".corpus.aside.part/manifest.json").write_text('{"purpose": "audit"}', encoding="utf-8")
    with pytest.raises(DataError, match="is benchmark test data"):
        run.load_dataset_rows(tmp_path / "corpus", CorpusText)


def test_a_missing_model_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no model"):
        run.load(tmp_path / "nothing")


def test_an_epoch_visits_every_row_once_and_two_epochs_twice() -> None:
    lengths = [5 + i % 17 for i in range(203)]
    assert sorted(batches.order(lengths, 8, 1, epochs=1)) == list(range(203))
    assert sorted(batches.order(lengths, 8, 1, epochs=2)) == sorted([*range(203), *range(203)])


def test_a_token_budget_is_met_within_one_row() -> None:
    lengths = [5 + i % 17 for i in range(203)]
    order = batches.order(lengths, 8, 1, tokens=10_000)
    used = sum(lengths[row] for row in order)
    assert 10_000 <= used < 10_000 + max(lengths)
    assert batches.tokens_by_step(lengths, order, 8)[-1] == used
    assert len(batches.tokens_by_step(lengths, order, 8)) == -(-len(order) // 8)


def test_batches_hold_rows_of_about_one_length_in_shuffled_order_and_the_seed_decides() -> None:
    lengths = [(i * 37) % 101 + 1 for i in range(800)]
    order = batches.order(lengths, 8, 3, epochs=1)
    spread = [max(group) - min(group) for group in ([lengths[i] for i in order[s : s + 8]] for s in range(0, 800, 8))]
    assert max(spread) <= 8  # 400 rows a pool over 101 lengths: a batch of 8 spans about two
    means = [sum(lengths[i] for i in order[s : s + 8]) / 8 for s in range(0, 400, 8)]
    assert means != sorted(means)
    assert means != sorted(means, reverse=True)
    assert order == batches.order(lengths, 8, 3, epochs=1)
    assert order != batches.order(lengths, 8, 4, epochs=1)


def test_the_last_step_alone_may_be_smaller() -> None:
    order = batches.order([3, 9, 4, 8, 5], 2, 1, epochs=1)
    assert order[-1] == 0  # the shortest row is left over: pairs are (4, 5) and (8, 9)
    assert {frozenset(order[:2]), frozenset(order[2:4])} == {frozenset({2, 4}), frozenset({3, 1})}


def test_rows_that_do_not_fit_are_left_out_aloud(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.fitting("sft", [10, 200, 30], 128) == [0, 2]
    assert "left out 1 of 3 rows" in capsys.readouterr().out
    with pytest.raises(DataError, match="none of 1 rows fits"):
        run.fitting("sft", [200], 128)


def test_padding_is_right_and_has_no_label() -> None:
    batch = batches.collate(0)([{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}, {"input_ids": [8], "labels": [8]}])
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [8, -100, -100]]


@pytest.mark.slow
def test_a_saved_model_gives_the_same_logits_and_is_small_and_readable(start: Path, tmp_path: Path) -> None:
    model, words = run.load(start)
    run.save_model(model, words, tmp_path / "again")
    other, again = AutoModelForCausalLM.from_pretrained(tmp_path / "again"), AutoTokenizer.from_pretrained(tmp_path / "again")
    ids = torch.tensor([again("Tom has 12 apples.")["input_ids"]])
    assert torch.equal(model(input_ids=ids).logits, other(input_ids=ids).logits)
    files = {file.name for file in (tmp_path / "again").iterdir()}
    assert files == {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
    }  # fmt: skip
    assert all(file.stat().st_mode & 0o444 == 0o444 for file in (tmp_path / "again").iterdir())


@pytest.mark.slow
def test_saving_is_byte_for_byte_repeatable(start: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run.save_model(*run.load(start), tmp_path / name)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_a_tokenizer_that_reads_back_differently_is_refused_and_nothing_is_left(start: Path, tmp_path: Path) -> None:
    model, words = run.load(start)
    words.add_tokens(["zebra"])
    words.save_pretrained = AutoTokenizer.from_pretrained(start).save_pretrained  # what the folder says is not what was used
    with pytest.raises(DataError, match="other ids"):
        run.save_model(model, words, tmp_path / "bad")
    assert list(tmp_path.iterdir()) == []


def test_a_chat_template_that_is_not_read_back_is_refused(start: Path, tmp_path: Path) -> None:
    model, words = run.load(start)
    words.chat_template = "{{ messages }}"
    words.save_pretrained = AutoTokenizer.from_pretrained(start).save_pretrained
    with pytest.raises(DataError, match="another chat template"):
        run.save_model(model, words, tmp_path / "bad")


def test_a_model_with_fewer_rows_than_tokens_is_refused(start: Path, tmp_path: Path) -> None:
    model, words = run.load(start)
    model.save_pretrained(tmp_path / "bad")
    words.add_tokens(["zebra"])
    words.save_pretrained(tmp_path / "bad")
    with pytest.raises(DataError, match="the tokenizer has"):
        run.load(tmp_path / "bad")


def test_a_log_has_short_floats_and_empty_cells(tmp_path: Path) -> None:
    run.write_log(
        tmp_path / "log.csv", ["step", "loss", "accuracy"], [{"step": 1, "loss": 0.123456789}, {"step": 2, "loss": 0.1, "accuracy": 0.5}]
    )
    assert (tmp_path / "log.csv").read_text() == "step,loss,accuracy\n1,0.123457,\n2,0.1,0.5\n"


def test_an_error_of_a_library_is_one_line() -> None:
    assert run.first_line(OSError("We cannot connect\n\nSee the manual")) == "We cannot connect"
    assert run.first_line(ValueError("Class validation error:\n    ValueError: 5 heads")) == "Class validation error: ValueError: 5 heads"
    assert run.first_line(KeyError(101)) == "KeyError 101"
    assert run.first_line(EOFError()) == "EOFError"
    assert len(run.first_line(ValueError("word " * 200))) == 200
