"""Labels stand where they should, the budget is kept, training learns, and a broken start stops the run."""

import csv
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from factory.errors import DataError
from factory.language.conversation import said
from factory.schemas import Demonstration
from trainers import batches, run, sft


def demonstrations(pairs: list[tuple[str, str]]) -> list[Demonstration]:
    return [
        Demonstration(
            id=str(number), problem_id="p", type="III-I", prompt=said("user", prompt), completion=completion,
            wrong_spans=(0, completion.index("\n")), score=0.0, critic="none", model="base@0", prompt_version="solve@0", seed=1,
            round="base",
        )
        for number, (prompt, completion) in enumerate(pairs)
    ]  # fmt: skip


def losses(log: Path) -> list[float]:
    return [float(line["loss"]) for line in csv.DictReader(log.read_text(encoding="utf-8").splitlines())]


def test_loss_is_on_the_completion_and_eos_but_not_on_wrong_spans(start: Path) -> None:
    words = AutoTokenizer.from_pretrained(start)
    completion = "2 + 3 = 6\n<|reflect|>But wait. 2 + 3 is 5."
    (row,) = batches.completion_only(words, [said("user", "Solve:\n")], [completion], [(0, 9)])  # "2 + 3 = 6" is characters 0 to 8
    tokens = ["Solve", ":", "\n", "2", "+", "3", "=", "6", "\n", "<|reflect|>", "But", "wait", ".", "2", "+", "3", "is", "5", ".", "<eos>"]
    assert words.convert_ids_to_tokens(row.ids) == tokens
    trained = [token for token, label in zip(tokens, row.labels, strict=True) if label != -100]
    assert row.labels[:8] == [-100] * 8  # three of the prompt, five of the span
    assert trained == ["\n", "<|reflect|>", "But", "wait", ".", "2", "+", "3", "is", "5", ".", "<eos>"]
    assert all(label in (-100, token) for label, token in zip(row.labels, row.ids, strict=True))


def test_two_spans_and_a_partly_covered_token(start: Path) -> None:
    words = AutoTokenizer.from_pretrained(start)
    (row,) = batches.completion_only(
        words, [said("user", "")], ["Tom has apples now"], [(0, 3, 10, 12)]
    )  # "Tom", and a part of "apples" (8 to 13)
    assert [label == -100 for label in row.labels] == [True, False, True, False, False]


def test_a_spelled_control_token_is_text_and_moves_no_span(start: Path) -> None:
    words = AutoTokenizer.from_pretrained(start)
    completion = "2 + <eos> 3 = 6\n<|reflect|>But <|reflect|> wait."
    asked = said("user", "Tom has <pad> apples\n<|reflect|>now\n")
    (row,) = batches.completion_only(words, [asked], [completion], [(0, completion.index("\n"))])
    taught = [token for token, label in zip(words.convert_ids_to_tokens(row.ids), row.labels, strict=True) if label != -100]
    assert taught == ["\n", "<|reflect|>", "But", "<unk>", "wait", ".", "<eos>"]
    assert words.pad_token_id not in row.ids
    assert row.ids.count(words.eos_token_id) == row.ids.count(words.convert_tokens_to_ids("<|reflect|>")) == 1


def test_without_spans_every_completion_token_has_its_label(start: Path) -> None:
    words = AutoTokenizer.from_pretrained(start)
    (row,) = batches.completion_only(words, [said("user", "Solve:\n")], ["2 + 3 = 5"])
    assert row.labels == [-100, -100, -100, *row.ids[3:]]


@pytest.mark.slow
def test_tuning_learns_within_its_budget_and_the_folder_is_a_model(start: Path, pairs: list[tuple[str, str]]) -> None:
    settings = sft.Settings(tokens=20_000, batch=3, lr=2e-3, mask_wrong=True)  # more steps than lines in the log
    sft.tune(demonstrations(pairs), settings, seed=1, start=start, target=Path("models/tuned"), log=Path("logs/tuned.csv"))
    lines = list(csv.DictReader(Path("logs/tuned.csv").read_text(encoding="utf-8").splitlines()))
    assert list(lines[0]) == ["step", "loss", "lr", "tokens_seen", "accuracy", "entropy"]
    assert 20_000 <= int(lines[-1]["tokens_seen"]) < 20_000 + 128
    found = losses(Path("logs/tuned.csv"))
    assert found[-1] < 0.75 * found[0]
    model, _ = run.load(Path("models/tuned"))
    assert model.config.use_cache
    before, _ = run.load(start)
    assert not torch.equal(model.get_input_embeddings().weight, before.get_input_embeddings().weight)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(start: Path, pairs: list[tuple[str, str]]) -> None:
    for name in ("one", "two"):
        settings = sft.Settings(tokens=3000, batch=8, lr=1e-3)
        sft.tune(demonstrations(pairs), settings, seed=5, start=start, target=Path(name), log=Path(f"{name}.csv"))
    assert Path("one/model.safetensors").read_bytes() == Path("two/model.safetensors").read_bytes()
    assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes()


@pytest.mark.slow
def test_masked_spans_do_not_train(start: Path, pairs: list[tuple[str, str]]) -> None:
    """With everything masked but eos, only eos is learnt: the model writes it at once."""
    rows = [Demonstration(**{**vars(row), "wrong_spans": (0, len(row.completion))}) for row in demonstrations(pairs)]
    settings = sft.Settings(tokens=6000, batch=16, lr=5e-3, mask_wrong=True)
    sft.tune(rows, settings, seed=1, start=start, target=Path("m"), log=Path("l.csv"))
    model, words = run.load(Path("m"))
    ids = torch.tensor([words(pairs[0][0])["input_ids"]])
    assert model(input_ids=ids).logits[0, -1].argmax().item() == words.eos_token_id


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_run_and_leaves_no_model(start: Path, pairs: list[tuple[str, str]]) -> None:
    model, words = run.load(start)
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    model.save_pretrained("broken")
    words.save_pretrained("broken")
    settings = sft.Settings(tokens=2000, batch=8, lr=1e-3)
    with pytest.raises(DataError, match=r"tuned: the loss is nan at step 1 of \d+"):
        sft.tune(demonstrations(pairs), settings, seed=1, start=Path("broken"), target=Path("tuned"), log=Path("l.csv"))
    assert not Path("tuned").exists()
    assert not Path("l.csv").exists()
