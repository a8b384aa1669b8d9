"""A profile as a whole: what is checked, what is found, what fits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from factory.errors import ParamsError
from factory.planning.checks import checked, file_of
from factory.planning.findings import faults, summary

TEMPLATE = "{% for message in messages %}<|im_start|>{{ message.content }}<|im_end|>{% endfor %}"
Written = Callable[[dict[str, Any]], Path]


@pytest.fixture
def words(project: Path) -> Path:
    """A tokenizer of single characters beside the model's config: every prompt has as many tokens as letters, and a few more."""
    vocabulary = {letter: number for number, letter in enumerate(map(chr, range(10, 127)))}
    backend = Tokenizer(models.WordLevel({**vocabulary, "<unk>": 200, "<|im_start|>": 201, "<|im_end|>": 202}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    folder = project / "models/mine"
    backend.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "unk_token": "<unk>", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def context(folder: Path, tokens: int) -> None:
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": tokens}))


@pytest.mark.slow
def test_a_profile_that_can_run_has_no_fault(words: Path, written: Written, document: dict[str, Any]) -> None:
    context(words, 4000)
    found = checked(written(document))
    assert faults(found) == []
    assert {finding.topic for finding in found} == {"params", "files", "models", "graph", "prompts", "tokens"}
    assert summary(found) == f"{len(found)} checks: {len(found)} ok"


@pytest.mark.slow
def test_what_does_not_fit_the_context_is_said_with_the_numbers(words: Path, written: Written, document: dict[str, Any]) -> None:
    """82 letters of a problem's text and of `Solve:` with the two marks, and 304 tokens of an answer, in a context of 350."""
    context(words, 350)
    found = {finding.key: finding for finding in checked(written(document)) if finding.topic == "tokens"}
    finding = next(finding for key, finding in found.items() if key.startswith("rollouts@base: generator"))
    longest = int(finding.said.split(" tokens")[0])
    assert finding.state == "wrong"
    assert (
        f"{longest} tokens (solve) + 304 (rollouts.sampling.max_tokens) = {longest + 304}, {longest + 304 - 350} more than" in finding.said
    )
    assert finding.remedy.startswith(f"lower rollouts.sampling.max_tokens to {350 - longest}")


@pytest.mark.slow
def test_all_faults_of_a_profile_are_found_at_once(words: Path, written: Written, document: dict[str, Any]) -> None:
    context(words, 4000)
    document["problems"]["sources"][0]["columns"]["problem"] = "text"
    document["problems"]["benchmarks"] = ["nowhere.jsonl"]
    document["roles"]["critic"] = {"engine": "openai", "model": "big@1", "base_url": "http://127.0.0.1:9/v1"}
    Path("own").mkdir()
    Path("own/solve.j2").write_text("{% block user %}{{ problm }}{% endblock %}", encoding="utf-8")
    document["roles"]["inference"]["prompts"] = "own"
    found = {finding.key: finding.said for finding in faults(checked(written(document)))}
    assert set(found) == {"problems.benchmarks.0", "problems.sources.mine", "roles.critic", "roles.inference.prompts"}
    assert "has no column 'text' for problem in its first 40 rows; it has answer, question" in found["problems.sources.mine"]
    assert "own/solve.j2 speaks of 'problm'" in found["roles.inference.prompts"]


def test_params_that_do_not_agree_are_the_only_finding(written: Written, document: dict[str, Any]) -> None:
    document["rollouts"]["sample"] = document["rollouts"].pop("samples")
    (finding,) = checked(written(document))
    assert (finding.state, finding.topic) == ("wrong", "params")
    assert "unknown key rollouts.sample, did you mean samples?" in finding.said


@pytest.mark.slow
def test_a_model_that_cannot_be_had_leaves_its_tokens_uncounted(written: Written, document: dict[str, Any]) -> None:
    document["adoption"]["base"] = "org/model@1234567"
    found = checked(written(document))
    assert [finding.key for finding in faults(found)] == ["adoption.base"]
    (skipped,) = [finding for finding in found if finding.state == "skipped"]
    assert "its model cannot be had" in skipped.said


def test_a_name_is_a_profile_or_a_file(project: Path) -> None:
    Path("pipelines").unlink()
    Path("pipelines/profiles").mkdir(parents=True)
    Path("pipelines/profiles/mine.yaml").touch()
    Path("other.yaml").touch()
    assert file_of("mine") == Path("pipelines/profiles/mine.yaml")
    assert file_of("other.yaml") == Path("other.yaml")
    with pytest.raises(ParamsError, match=r"'moon' is no profile and no file in .*\n  name a profile \(mine\) or"):
        file_of("moon")
