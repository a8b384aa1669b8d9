"""Bradley-Terry with margins: the loss by hand, ids as the scorer makes them, and a saved head that says its mean and deviation."""

import csv
import math
import shutil
import statistics
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl import RewardConfig, RewardTrainer

from factory.engines.transformers_engine import TransformersScorer
from factory.schemas import OrmPair
from trainers import reward, run


def orm_pairs(pairs: list[tuple[str, str]]) -> list[OrmPair]:
    """The right box against the same answer with a digit too many; ten problems."""
    return [
        OrmPair(
            id=str(n), problem_id=str(n % 10), prompt=prompt, chosen=completion, rejected=completion.replace("}", "0}"), margin=2.0,
            chosen_id="a", rejected_id="b", round="base",
        )
        for n, (prompt, completion) in enumerate(pairs)
    ]  # fmt: skip


def test_a_sequence_is_prompt_completion_eos_and_a_new_head_scores_zero(start: Path, pairs: list[tuple[str, str]]) -> None:
    words = AutoTokenizer.from_pretrained(start)
    (row, *_) = rows = orm_pairs(pairs)
    (pair, *_) = tokens = reward.tokenise(rows, words)
    assert pair.chosen == words(row.prompt)["input_ids"] + words(row.chosen)["input_ids"] + [words.eos_token_id]
    assert len(pair.rejected) == len(pair.chosen) + 1
    model = reward.from_policy(start, words)
    assert reward.scores(model, [pair.chosen for pair in tokens], 8) == [0.0] * len(tokens)


def test_a_score_is_read_at_the_eos_whatever_the_padding(start: Path, pairs: list[tuple[str, str]]) -> None:
    words = AutoTokenizer.from_pretrained(start)
    model = reward.from_policy(start, words)
    torch.manual_seed(0)
    torch.nn.init.normal_(model.score.weight)
    sequences = [pair.chosen for pair in reward.tokenise(orm_pairs(pairs)[:6], words)] + [[5, words.eos_token_id]]
    alone = []
    for ids in sequences:
        hidden = model.model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]  # (hidden,) at the eos
        alone.append((hidden @ model.score.weight[0]).item())
    assert reward.scores(model, sequences, 4) == pytest.approx(alone, abs=1e-5)


def test_the_loss_of_a_batch_is_the_written_formula_with_margins(start: Path, pairs: list[tuple[str, str]]) -> None:
    words = AutoTokenizer.from_pretrained(start)
    model = reward.from_policy(start, words)
    torch.manual_seed(0)
    torch.nn.init.normal_(model.score.weight)
    tokens = [
        reward.Pair(p.chosen, p.rejected, margin)
        for p, margin in zip(reward.tokenise(orm_pairs(pairs), words), (0.0, 1.0, 2.0, 3.5), strict=False)
    ]
    settings = run.arguments("orm", model, batch=4, steps=1, longest=99, lr=1e-3, seed=1)
    trainer = RewardTrainer(
        model=model, args=RewardConfig(**settings, max_length=None), train_dataset=reward.dataset(tokens), processing_class=words
    )
    batch = next(iter(trainer.get_train_dataloader()))
    loss = trainer.compute_loss(model, batch).item()
    chosen, rejected = (reward.scores(model, [getattr(p, side) for p in tokens], 4) for side in ("chosen", "rejected"))
    by_hand = [-math.log(1 / (1 + math.exp(-(c - r - p.margin)))) for c, r, p in zip(chosen, rejected, tokens, strict=True)]
    assert loss == pytest.approx(sum(by_hand) / 4, rel=1e-5)


def test_the_first_loss_of_a_zero_head_is_softplus_of_the_margin() -> None:
    assert -math.log(1 / (1 + math.exp(2.0))) == pytest.approx(2.126928)  # what the log's first line shows below


def test_a_tenth_of_the_problems_is_held_out_whole(pairs: list[tuple[str, str]]) -> None:
    rows = orm_pairs(pairs)
    train, held = reward.split(rows, 7)
    assert len({row.problem_id for row in held}) == 1
    assert {row.problem_id for row in train}.isdisjoint({row.problem_id for row in held})
    assert len(train) + len(held) == len(rows)
    assert reward.split(rows, 7)[1] == held
    assert reward.split(rows[:9], 7)[1] == []  # nine problems: a tenth is none


def test_fitting_learns_and_stores_mean_and_deviation(start: Path, pairs: list[tuple[str, str]]) -> None:
    rows = orm_pairs(pairs)
    settings = reward.Settings(epochs=8, batch=16, lr=5e-3)
    reward.fit(rows, settings, seed=1, start=start, target=Path("orm"), log=Path("orm.csv"))
    lines = list(csv.DictReader(Path("orm.csv").read_text(encoding="utf-8").splitlines()))
    assert list(lines[0]) == ["step", "loss", "lr", "tokens_seen", "accuracy", "margin", "heldout_accuracy"]
    assert float(lines[0]["loss"]) == pytest.approx(2.126928, abs=1e-5)
    assert float(lines[-1]["loss"]) < 1.0
    assert float(lines[-1]["heldout_accuracy"]) > 0.9
    assert {line["heldout_accuracy"] for line in lines[:-1]} == {""}
    model, words = AutoModelForSequenceClassification.from_pretrained("orm"), AutoTokenizer.from_pretrained("orm")
    assert model.config.num_labels == 1
    assert model.config.pad_token_id == words.pad_token_id
    train, _ = reward.split(rows, 1)
    logits = reward.scores(model, [ids for pair in reward.tokenise(train, words) for ids in (pair.chosen, pair.rejected)], 16)
    assert model.config.reward_mean == pytest.approx(statistics.fmean(logits), abs=1e-4)
    assert model.config.reward_std == pytest.approx(statistics.pstdev(logits), abs=1e-4)
    assert model.config.reward_std > 0.5


def test_the_saved_model_is_scored_as_it_was_trained_though_its_policy_has_a_chat_template(
    start: Path, pairs: list[tuple[str, str]], tmp_path: Path
) -> None:
    shutil.copytree(start, tmp_path / "chat")
    (tmp_path / "chat" / "chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    assert AutoTokenizer.from_pretrained(tmp_path / "chat").chat_template is not None
    rows = orm_pairs(pairs)[:20]
    settings = reward.Settings(epochs=1, batch=8, lr=1e-3)
    reward.fit(rows, settings, seed=1, start=tmp_path / "chat", target=Path("orm"), log=Path("orm.csv"))
    assert AutoTokenizer.from_pretrained("orm").chat_template is None
    assert not Path("orm/chat_template.jinja").exists()
    read = TransformersScorer("orm", "orm@1").encode([(row.prompt, row.chosen) for row in rows])
    assert read == [(pair.chosen, "") for pair in reward.tokenise(rows, AutoTokenizer.from_pretrained(start))]
