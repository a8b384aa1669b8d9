"""Pretraining from scratch."""

import csv
import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import Qwen3ForCausalLM

from factory.coat import grammar
from factory.errors import DataError
from factory.schemas import CorpusText
from trainers import base, batches, run, tokenizer

SETTINGS = base.Settings(
    hidden=32, layers=2, heads=2, intermediate=64, max_length=128, epochs=60, batch=16, lr=1e-2, muon_lr=0.02, init=0.05
)


def corpus(texts: list[tuple[str, str]]) -> list[CorpusText]:
    return [
        CorpusText(id=str(number), role="solve", family="tally", instance=str(number), prompt=prompt, completion=completion)
        for number, (prompt, completion) in enumerate(texts)
    ]


@pytest.mark.slow
def test_pretraining_learns_and_saves_a_qwen(pairs: list[tuple[str, str]]) -> None:
    base.pretrain(corpus(pairs), grammar.ACTIONS.values(), SETTINGS, seed=1, target=Path("base"), log=Path("base.csv"))
    lines = list(csv.DictReader(Path("base.csv").read_text(encoding="utf-8").splitlines()))
    assert list(lines[0]) == ["step", "loss", "lr", "tokens_seen"]
    assert float(lines[-1]["loss"]) < 0.4 * float(lines[0]["loss"])
    model, words = run.load(Path("base"))
    lengths = [len(ids) + 1 for ids in batches.encode(words, [prompt + completion for prompt, completion in pairs])]
    assert int(lines[-1]["tokens_seen"]) == 60 * sum(lengths)
    assert isinstance(model, Qwen3ForCausalLM)
    assert model.config.tie_word_embeddings
    assert (model.config.eos_token_id, model.config.pad_token_id) == (words.eos_token_id, words.pad_token_id)
    # 60 epochs of 50 rows in batches of 16 are 188 steps: level from step 150 on, behind which the early model was saved
    rates = {int(line["step"]): float(line["lr"]) for line in lines}
    level = {rate for step, rate in rates.items() if step > 0.8 * max(rates) + 1}
    assert len(level) == 1
    assert level.pop() == pytest.approx(base.FLOOR * max(rates.values()), rel=0.05)
    early, same_words = run.load(Path("base/early"))
    assert same_words.get_vocab() == words.get_vocab()
    assert early.config.vocab_size == model.config.vocab_size
    changed = [not torch.equal(one, other) for one, other in zip(early.parameters(), model.parameters(), strict=True)]
    assert any(changed), "the early model is the last one"
    assert not list(run.WORK.glob("*_early")), "moved, not copied"


def test_the_schedule_rises_falls_in_a_line_and_stays_level() -> None:
    assert base.settled(0.0) == pytest.approx(0.02)  # not 0: the first step trains, too
    assert base.settled(0.025) == pytest.approx(0.5, abs=0.03)
    assert base.settled(base.WARMUP) == 1.0
    assert base.settled(0.375) == pytest.approx((1 + base.FLOOR) / 2)  # half way between 0.05 and 0.7
    assert base.settled(base.LEVEL) == pytest.approx(base.FLOOR)
    assert {base.settled(base.LEVEL + 0.01 * step) for step in range(1, 31)} == {base.FLOOR}
    falling = [base.settled(base.WARMUP + 0.01 * step) for step in range(65)]
    assert falling == sorted(falling, reverse=True)
    rising = [base.settled(0.01 * step) for step in range(5)]
    assert rising == sorted(rising)


@pytest.mark.slow
def test_a_run_of_one_step_has_an_early_model_too() -> None:
    settings = dataclasses.replace(SETTINGS, epochs=1)
    base.pretrain(corpus([("", "Tom has 3")]), grammar.ACTIONS.values(), settings, seed=1, target=Path("base"), log=Path("base.csv"))
    assert run.load(Path("base/early"))[0].config.hidden_size == 32


def test_prompts_have_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """A given wrong guess stands in the prompt of role `check`: what the base learns is to check it honestly."""
    rows = corpus([("Which two of 9, 20, 6 add to 26?\nSolve:\nTry 6 and 9.\n", "6 + 9 = 15\n\\boxed{6}")])
    seen: dict[str, list[dict[str, list[int]]]] = {}

    def trainer(job: object, **given: object) -> None:
        seen.update(rows=given["train_dataset"])
        raise DataError("seen")

    monkeypatch.setattr(base, "_Pretrainer", trainer)
    with pytest.raises(DataError, match="seen"):
        base.pretrain(rows, grammar.ACTIONS.values(), dataclasses.replace(SETTINGS, epochs=1), seed=1, target=Path("b"), log=Path("b.csv"))
    (row,) = seen["rows"]
    words = tokenizer.build([rows[0].prompt + rows[0].completion], grammar.ACTIONS.values(), 128)
    prompt, completion = (words(text)["input_ids"] for text in (rows[0].prompt, rows[0].completion))
    assert row["input_ids"] == [*prompt, *completion, words.eos_token_id]
    assert row["labels"] == [-100] * len(prompt) + [*completion, words.eos_token_id]


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    settings = dataclasses.replace(SETTINGS, hidden=33)
    with pytest.raises(DataError, match=r"pretraining.base.hidden is 33"):
        base.pretrain(corpus([("", "Tom has 3")]), grammar.ACTIONS.values(), settings, seed=1, target=Path("base"), log=Path("l.csv"))
