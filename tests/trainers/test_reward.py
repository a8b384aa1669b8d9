"""Bradley-Terry with margins: the loss by hand, ids as the scorer makes them, and a saved head that says its mean and deviation."""

import csv
import math
import shutil
import statistics
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl import RewardConfig

from factory.engines.transformers_engine import TransformersScorer
from factory.language.conversation import said
from factory.schemas import Message, OrmPair
from trainers import hf, policy, reward, tokenizer
from trainers.machine import ALONE


def orm_pairs(pairs: list[tuple[str, str]]) -> list[OrmPair]:
    """The right box against the same answer with a digit too many; ten problems."""
    return [
        OrmPair(
            id=str(n), problem_id=str(n % 10), prompt=said("user", prompt), chosen=completion, rejected=completion.replace("}", "0}"),
            margin=2.0, chosen_id="a", rejected_id="b", round="base",
        )
        for n, (prompt, completion) in enumerate(pairs)
    ]  # fmt: skip


def test_a_sequence_is_the_whole_conversation_and_a_new_head_scores_zero(start: Path, pairs: list[tuple[str, str]]) -> None:
    words = AutoTokenizer.from_pretrained(start)
    (row, *_) = rows = orm_pairs(pairs)
    (pair, *_) = tokens = reward.tokenise(rows, words)
    assert pair.chosen == words(row.prompt[0].content)["input_ids"] + words(row.chosen)["input_ids"] + [words.eos_token_id]
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
    job = hf.Job("orm", ALONE, [99] * 4, 4, 1e-3, 1, (), lambda: reward.from_policy(start, words))
    options = RewardConfig(**job.arguments(model), max_length=None)
    trainer = reward._Tokenised(job, model=model, args=options, train_dataset=reward.dataset(tokens), processing_class=words)
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


@pytest.mark.slow
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


TURNS = "{% for m in messages %}Plan: {{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"


@pytest.mark.parametrize("template", [tokenizer.CHAT_TEMPLATE, TURNS])
@pytest.mark.slow
def test_every_reader_reads_the_logit_at_the_same_last_token(
    template: str, start: Path, pairs: list[tuple[str, str]], tmp_path: Path
) -> None:
    """The saved model keeps its start's chat template; where that writes a newline behind the end of turn, it is the last token."""
    shutil.copytree(start, tmp_path / "chat")
    (tmp_path / "chat" / "chat_template.jinja").write_text(template)
    rows = orm_pairs(pairs)[:20]
    settings = reward.Settings(epochs=1, batch=8, lr=1e-3)
    reward.fit(rows, settings, seed=1, start=tmp_path / "chat", target=Path("orm"), log=Path("orm.csv"))
    words = AutoTokenizer.from_pretrained("orm")
    assert words.chat_template == template
    trained = [pair.chosen for pair in reward.tokenise(rows, words)]
    ends = ["<eos>"] if template == tokenizer.CHAT_TEMPLATE else ["<eos>", "\n"]
    assert all(words.convert_ids_to_tokens(ids)[-len(ends) :] == ends for ids in trained)
    # what vLLM's /classify makes of the messages: the template's text, tokenised as it is
    served = [[*row.prompt, Message("assistant", row.chosen)] for row in rows]
    rendered = [words.apply_chat_template([turn._asdict() for turn in turns], tokenize=False) for turns in served]
    assert words(rendered, add_special_tokens=False)["input_ids"] == trained
    scorer, asked = TransformersScorer("orm", "orm@1"), [(row.prompt, row.chosen) for row in rows]
    assert scorer.encode(asked) == [(ids, "") for ids in trained]
    critic = policy.load_critic(Path("orm"))
    by_hand = []
    with torch.no_grad():
        for ids in trained:
            hidden = critic.model.model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]  # (hidden,) at the last token
            by_hand.append((hidden @ critic.model.score.weight[0]).item())
    assert reward.scores(critic.model, trained, 8) == pytest.approx(by_hand, abs=1e-5)  # as in training: the last that is no padding
    assert critic.logits([tuple(ids) for ids in trained]) == pytest.approx(by_hand, abs=1e-5)
    assert scorer.score(asked) == pytest.approx(by_hand, abs=1e-5)
