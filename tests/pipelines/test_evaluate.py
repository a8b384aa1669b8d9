"""Evaluation and report on real, tiny, untrained models: every arm answers every question, and the second run asks nothing."""

import json
from pathlib import Path

import pytest

from factory import storage
from factory.engines.ledger import stats
from factory.engines.store import default_path
from factory.evaluation import greedy
from factory.evaluation.metrics import PLANNER_ARMS
from factory.gate.release import release
from factory.grading import SHARED, Grader
from factory.params import Params
from factory.schemas import Answer, Problem
from pipelines import evaluate, report
from trainers.tokenizer import CHAT_TEMPLATE

MODELS = ("base", "cot_control", "format_tuned", "policy_r1", "distilled_r1", "policy_r2", "policy_cot")
NAMES = (*MODELS, "planner_sft", "planner_dpo", "planner_adjust", "base/early")


def make_models(folder: Path, texts: list[str]) -> None:
    """Random one-layer Llamas over the words of `texts`."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = sorted({word for text in texts for word in text.split()})
    vocabulary = {token: place for place, token in enumerate(["<pad>", "<eos>", "<unk>", *words])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", chat_template=CHAT_TEMPLATE
    )
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
        max_position_embeddings=64, pad_token_id=0, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    for seed, name in enumerate(NAMES):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            LlamaForCausalLM(config).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)


@pytest.mark.slow
def test_every_arm_answers_and_the_store_replays(small_line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTORY_STORE", str(small_line.root / "requests.sqlite"))
    make_models(storage.MODELS, [problem.problem for problem in small_line.problems])
    release("templates", small_line.params)
    section = small_line.params.evaluate.model_copy(update={"n": 2, "interplay": 1, "max_tokens": 8, "bootstrap": 100})
    params = small_line.params.model_copy(update={"evaluate": section})
    evaluate.main(params)
    answers = storage.read_rows(storage.TABLES / "answers.parquet", Answer)
    assert len(answers) == 3 * (7 + 6) + 2 * 2  # 2 heldout and 1 unseen problems; 7 models, 6 planner arms, the loop on 1 and 1
    metrics = json.loads(evaluate.METRICS.read_text())
    assert list(metrics["models"]) == sorted(MODELS)
    assert list(metrics["planner"]) == list(PLANNER_ARMS)
    assert metrics["models"]["base"]["heldout"]["n"] == 2
    assert metrics["cost"]["direct"]["calls"] == 3
    assert metrics["planner"]["interplay_adjusted"]["heldout"]["n"] == 1
    assert metrics["differences"]["interplay_adjusted - interplay"]["unseen"]["n"] == 1
    assert metrics["planner"]["direct"] == metrics["models"]["base"]
    assert metrics["settling"]["gain"]["n"] == 1  # the dev problem, asked of the base and of its early model, and no arm of the table
    assert {row.split for row in answers} == {"heldout", "unseen"}
    before, first = evaluate.METRICS.read_bytes(), stats(default_path())[0]
    evaluate.main(params)
    assert evaluate.METRICS.read_bytes() == before
    assert stats(default_path())[0].requests == first.requests
    report.main(params)
    page = (report.REPORT / "index.html").read_text()
    assert "policy_r2" in page
    assert "policy_r2" in (report.REPORT / "report.md").read_text()


def test_models_follow_the_params_and_nothing_else(small_line) -> None:
    assert list(greedy.models_of(small_line.params)) == list(MODELS)
    fewer = small_line.params.model_copy(update={"distillations": {}, "rounds": {"r1": small_line.params.rounds["r1"]}})
    assert list(greedy.models_of(fewer)) == ["base", "cot_control", "format_tuned", "policy_r1"]


def test_settling_is_measured_where_an_early_model_and_dev_problems_are(small_line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub's bases have no early model."""
    asked: list[str] = []

    def answered(params: Params, model: str, problems: list[Problem], grader: Grader) -> list[Answer]:
        asked.append(model)
        assert {problem.split for problem in problems} == {"dev"}
        return [
            Answer(
                id=problem.id, model="base@1", arm="policy", problem_id=problem.id, split=problem.split, family=problem.family,
                group=problem.group, completion="", verdict="wrong" if model.endswith("early") else "correct", finish_reason="stop",
                tokens=1, calls=1,
            )
            for problem in problems
        ]  # fmt: skip

    monkeypatch.setattr(greedy, "answers", answered)
    assert evaluate.settled(small_line.params, small_line.problems, SHARED) == {}
    (storage.MODELS / "base/early").mkdir(parents=True)
    assert evaluate.settled(small_line.params, [row for row in small_line.problems if row.split != "dev"], SHARED) == {}
    found = evaluate.settled(small_line.params, small_line.problems, SHARED)
    assert asked == ["base/early", "base"]
    assert found["gain"] == {"difference": 1.0, "ci95": [1.0, 1.0], "n": 1}


def test_only_heldout_and_unseen_problems_are_asked(small_line) -> None:
    section = small_line.params.evaluate.model_copy(update={"n": 1})
    params = small_line.params.model_copy(update={"evaluate": section})
    asked = greedy.questions(params, sorted(small_line.problems, key=lambda problem: problem.id))
    assert [problem.split for problem in asked] == ["heldout", "unseen"]
    with pytest.raises(storage.DataError, match="nothing to evaluate on"):
        greedy.questions(params, [problem for problem in small_line.problems if problem.split == "train"])
