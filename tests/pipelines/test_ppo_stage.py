"""One round on a real tiny model: what is written, what is refused, and what the reward sees."""

import csv
import io
import json
import math
import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerBase

from factory import params, storage
from factory.coat import cutting, grammar
from factory.coat.rewards import Weights
from factory.errors import DataError, ParamsError
from factory.language.conversation import said
from factory.reports import training
from factory.schemas import Reject, Restart
from pipelines import ppo
from trainers import batches, policy, rollout, run, tokenizer

torch.set_num_threads(1)
ROOT = Path(__file__).parents[2]
QUESTION = "Tom has 3 apples. He buys 4 more.\nSolve:\n"
PROMPT = said("user", QUESTION)
SOLVED = "3 + 4 = 7\n\\boxed{7}\n<|reflect|>"
WEIGHTS = Weights(beta=0.5, orm_weight=1.0, mean=0.1, std=0.5)


def restart(number: int, buffer: Any = "0", prefix: str = "") -> Restart:
    return Restart(
        id=f"{number:03}", problem_id=f"p{number}", parent_id=None, buffer=buffer, backtrack=0, prompt=PROMPT, prefix=prefix,
        prefix_has_answer="boxed" in prefix, answer="7", answer_kind="number", round="r1",
    )  # fmt: skip


def words(extra: str = "") -> PreTrainedTokenizerBase:
    return tokenizer.build([QUESTION + SOLVED, "But wait." + extra], grammar.ACTIONS.values(), 64)


def save_models(words: PreTrainedTokenizerBase, orm_words: PreTrainedTokenizerBase) -> None:
    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = LlamaConfig(
        **shape, max_position_embeddings=64, vocab_size=len(words), pad_token_id=words.pad_token_id, eos_token_id=words.eos_token_id
    )
    run.save_model(LlamaForCausalLM(config), words, storage.MODELS / "format_tuned")
    config.num_labels, config.reward_mean, config.reward_std = 1, WEIGHTS.mean, WEIGHTS.std
    config.vocab_size = len(orm_words)
    run.save_model(LlamaForSequenceClassification(config), orm_words, storage.MODELS / "orm_r1")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [
        restart(1),
        restart(2, "-", "3 + 4 = 8\n<|reflect|>"),
        restart(3, "+", SOLVED),
        restart(4, "-", "3 + 4 = 8\n" * 7),
    ]  # 14 + 42 tokens
    folder = storage.DATASETS / "restarts_r1"
    storage.write_rows(folder / "data" / "train-00000-of-00001.parquet", Restart, rows)
    (folder / "manifest.json").write_text(json.dumps({"purpose": "train", "rows": len(rows)}))
    save_models(words(), words())
    return tmp_path


def profile(**changes: float) -> params.Params:
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    small = {
        "iterations": 2,
        "critic_warmup": 1,
        "baselines": ["critic"],
        "batch": 8,
        "minibatch": 4,
        "max_tokens": 8,
        "lr": 1e-3,
    }
    document["ppo"] |= small | changes
    return params.parse(document)


def files() -> set[str]:
    return {str(path.relative_to("data")) for path in Path("data").rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_round_writes_policy_log_and_rejects_and_nothing_else(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files()
    ppo.main(profile(), "r1")
    made = {name for name in files() - before if not name.startswith("models/policy_r1/")}
    assert made == {"logs/policy_r1.csv", "logs/live/policy_r1.jsonl", "rejects/ppo_r1.parquet"}
    # 64 tokens of context, less 8 for the response and 1 for its end: 55
    [rejected] = storage.read_rows(storage.REJECTS / "ppo_r1.parquet", Reject)
    assert (rejected.stage, rejected.parent_id, rejected.reason) == ("ppo_r1", "004", rollout.TOO_LONG)
    with (storage.LOGS / "policy_r1.csv").open() as stream:
        log = list(csv.DictReader(stream))
    assert [row["iteration"] for row in log] == ["1", "2"]
    assert log[0]["policy_loss"] == ""
    assert float(log[1]["approx_kl"]) >= 0
    assert {"continue", "reflect", "explore"} <= set(log[0])
    assert set(training.COMPARED).union(*training.PARTS.values()) <= set(log[0]), "the report draws columns that the log lacks"
    assert "policy_r1: 3 start states, 1 rejected" in capsys.readouterr().out
    trained, start = (run.load(storage.MODELS / name)[0] for name in ("policy_r1", "format_tuned"))
    assert any(not torch.equal(one, other) for one, other in zip(trained.parameters(), start.parameters(), strict=True))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(place: Path) -> None:
    made = []
    for _ in range(2):
        ppo.main(profile(), "r1")
        made.append([(storage.MODELS / "policy_r1" / "model.safetensors").read_bytes(), (storage.LOGS / "policy_r1.csv").read_bytes()])
    assert made[0] == made[1]


@pytest.mark.slow
def test_a_round_that_was_killed_goes_on_to_the_same_bytes(place: Path) -> None:
    class Deadly(io.StringIO):
        def write(self, text: str) -> int:
            if "policy_r1: 2/4" in text:
                os.kill(os.getpid(), signal.SIGKILL)
            return len(text)

    usual, often = profile(iterations=4), profile(iterations=4)
    often = often.model_copy(update={"training": often.training.model_copy(update={"save_minutes": 0.0})})
    written = [storage.MODELS / "policy_r1" / "model.safetensors", storage.LOGS / "policy_r1.csv"]
    ppo.main(usual, "r1")
    made = [path.read_bytes() for path in written]
    shutil.rmtree(written[0].parent)
    if (child := os.fork()) == 0:
        sys.stdout = Deadly()
        ppo.main(often, "r1")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert sorted(path.name for path in (run.WORK / "policy_r1").iterdir()) == ["checkpoint-1", "checkpoint-2"]
    assert not written[0].exists()
    ppo.main(often, "r1")
    assert [path.read_bytes() for path in written] == made
    live = [json.loads(line)["step"] for line in (storage.LOGS / "live" / "policy_r1.jsonl").read_text().splitlines()]
    assert live == [0, 1, 2, 3, 4]
    assert list(run.WORK.iterdir()) == []


@pytest.mark.slow
def test_divergence_saves_nothing(place: Path) -> None:
    with pytest.raises(DataError, match="diverged at iteration"):
        ppo.main(profile(lr=1e30, iterations=4), "r1")
    assert not (storage.MODELS / "policy_r1").exists()
    assert not (storage.LOGS / "policy_r1.csv").exists()


def test_an_unknown_round_is_named(place: Path) -> None:
    with pytest.raises(ParamsError, match="rounds has no r9: it names r1, r2"):
        ppo.main(profile(), "r9")


@pytest.mark.slow
def test_a_reward_model_that_reads_other_tokens_is_refused(place: Path) -> None:
    save_models(words(), words(" pears"))
    with pytest.raises(DataError, match="another vocabulary"):
        ppo.main(profile(), "r1")


def test_a_reward_model_that_reads_conversations_otherwise_is_refused(place: Path) -> None:
    (storage.MODELS / "orm_r1" / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    with pytest.raises(DataError, match="another chat template"):
        ppo.main(profile(), "r1")


@pytest.mark.slow
def test_a_model_with_two_ends_is_refused(place: Path) -> None:
    file = storage.MODELS / "format_tuned" / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": [1, 2]}))
    with pytest.raises(DataError, match="PPO has to know which end was sampled"):
        ppo.main(profile(), "r1")


def test_the_response_is_graded_and_the_reward_model_reads_it_all(place: Path) -> None:
    """An empty reply to a solved prefix earns nothing for the prefix's box; boxing it again does."""
    reader, orm = words(), policy.load_critic(storage.MODELS / "orm_r1")
    eos = reader.eos_token_id
    [start], _ = rollout.start_states([restart(3, "+", SOLVED)], partial(batches.start_ids, reader), 64, "ppo_r1")
    [again] = (tuple(ids) for ids in batches.encode(reader, ["But wait. 3 + 4 = 7.\n\\boxed{7}"]))
    responses = [rollout.Response((), (eos,), True), rollout.Response(again, (*again, eos), True)]
    silent, boxed = ppo._rewards(orm, reader, WEIGHTS)([start, start], responses)
    logits = orm.logits([(*start.ids, eos), (*start.ids, *again, eos)])
    expected = [1 / (1 + math.exp(-(logit - 0.1) / 0.5)) for logit in logits]
    assert (silent.rule, silent.bonus, silent.orm) == (-1.0, -0.5, pytest.approx(expected[0]))
    assert (boxed.rule, boxed.bonus, boxed.orm) == (0.0, 0.0, pytest.approx(expected[1]))


def test_finished_graded_responses_that_leave_room_become_start_states(place: Path) -> None:
    reader = words()
    starts, _ = rollout.start_states([restart(1)] * 5, partial(batches.start_ids, reader), 64, "ppo_r1")
    texts = ["3 + 4 = 7\n\\boxed{7}", "3 + 4 = 8\n\\boxed{8}", "3 + 4 = 7\n\\boxed{7}", "3 + 4 = 7\n" * 9 + "\\boxed{7}", "3 + 4 = 7"]
    ids = [tuple(ids) for ids in batches.encode(reader, texts)]
    responses = [rollout.Response(one, one, finished=number != 2) for number, one in enumerate(ids)]
    rewards = ppo._rewards(None, reader, Weights(beta=0.5, orm_weight=0.0))(starts, responses)
    found = ppo._restarting(reader, cutting.Cuts(0), 40)(starts, responses, rewards, range(5))
    right, wrong, *others = found
    assert others == [None] * 3  # unfinished, too long, without an answer
    assert right is not None
    assert wrong is not None
    assert (right[0].buffer, right[0].prefix) == ("+", f"{texts[0]}\n<|reflect|>")
    assert (wrong[0].buffer, wrong[0].prefix) == ("-", f"{texts[1]}\n<|reflect|>")
    assert right[1] == batches.start_ids(reader, [PROMPT], [right[0].prefix])[0]


def test_without_its_weight_the_reward_model_is_not_needed(place: Path) -> None:
    reader = words()
    [start], _ = rollout.start_states([restart(1)], partial(batches.start_ids, reader), 64, "ppo_r1")
    [rewarded] = ppo._rewards(None, reader, Weights(beta=0.5, orm_weight=0.0))([start], [rollout.Response((), (1,), True)])
    assert (rewarded.total, rewarded.orm) == (-1.0, 0.0)


def test_a_response_that_spells_control_tokens_is_read_as_in_training_and_cut_to_the_context(place: Path) -> None:
    reader, orm = words(), policy.load_critic(storage.MODELS / "orm_r1")
    [start], _ = rollout.start_states([restart(2, "-", "3 + 4 = 8\n<|reflect|>")], partial(batches.start_ids, reader), 64, "ppo_r1")
    reflect, pad = reader.convert_tokens_to_ids("<|reflect|>"), reader.pad_token_id
    short, long = (3, reflect, 4, pad), (pad,) * 30  # a pad is written in three letters
    texts = [reader.decode(ids) for ids in (short, long)]
    trained = [row.ids for row in batches.completion_only(reader, [PROMPT] * 2, [start.row.prefix + text for text in texts])]
    assert len(trained[0]) < 64 < len(trained[1])
    rewarded = ppo._rewards(orm, reader, WEIGHTS)([start] * 2, [rollout.Response(ids, ids, False) for ids in (short, long)])
    logits = orm.logits([tuple(trained[0]), (*trained[1][:63], reader.eos_token_id)])
    assert [one.orm for one in rewarded] == pytest.approx([1 / (1 + math.exp(-(logit - 0.1) / 0.5)) for logit in logits])


def test_a_text_that_is_cut_keeps_all_that_the_template_writes_behind_an_answer(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, orm = words(), policy.load_critic(storage.MODELS / "orm_r1")
    reader.chat_template = "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}<eos>{{ '\\n' }}{% endif %}{% endfor %}"
    [start], _ = rollout.start_states([restart(1)], partial(batches.start_ids, reader), 64, "ppo_r1")
    read: list[tuple[int, ...]] = []
    monkeypatch.setattr(orm, "logits", lambda sequences: read.extend(sequences) or [0.0] * len(sequences))
    responses = [rollout.Response(ids, ids, False) for ids in ((3,) * 10, (3,) * 90)]
    ppo._rewards(orm, reader, WEIGHTS)([start] * 2, responses)
    assert [len(ids) for ids in read] == [len(start.ids) + 12, 64]
    assert [reader.convert_ids_to_tokens(ids[-2:]) for ids in read] == [["<eos>", "\n"]] * 2
