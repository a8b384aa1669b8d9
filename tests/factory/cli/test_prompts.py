"""`factory prompts show`: what a model is really sent."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from factory.cli.main import app
from factory.coat import grammar
from factory.errors import DataError, ParamsError
from factory.schemas import Restart
from factory.storage import TABLES, read_rows
from trainers import tokenizer

TEXT = "Tom has apples. He buys more. How many apples has Tom now? Solve: Plan: Name: Tags: Describe: Solution: Analyse step"


def show(*words: str) -> str:
    found = CliRunner().invoke(app, ["prompts", "show", *words], catch_exceptions=True)
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.output


@pytest.fixture
def asked(small_line) -> Path:
    """The small line, every role a folder with the laptop's kind of tokenizer; the critic behind a server."""
    tokenizer.build([TEXT], grammar.ACTIONS.values(), 200).save_pretrained("words")
    document = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    for role in document["roles"].values():
        role["model"] = "words"
    document["roles"]["critic"] = {"engine": "openai", "model": "big@1", "base_url": "http://localhost:1/v1", "prompts": "instruct"}
    Path("params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return small_line.root


def test_a_question_is_shown_as_the_model_gets_it_with_its_version(asked: Path) -> None:
    output = show("generator")
    assert "laptop/solve@" in output
    assert "How many apples has Tom now?\nSolve:" in output
    assert "tokens, then the model answers" in output


def test_every_question_of_a_role_is_shown(asked: Path) -> None:
    output = show("labeller")
    for name in ("laptop/analyse@", "laptop/propose@", "laptop/plan@", "laptop/describe@", "templates/same@", "templates/same_tag@"):
        assert name in output


def test_a_row_with_a_prompt_is_shown_with_the_words_that_it_goes_on_from(asked: Path) -> None:
    row = read_rows(TABLES / "restarts_r1.parquet", Restart)[0]
    output = show("generator", "--row", row.id[:12])
    assert row.id in output
    assert "<|reflect|>" in output


def test_a_servers_tokens_are_its_own_so_the_conversation_is_shown(asked: Path) -> None:
    output = show("critic")
    assert "the server makes the tokens" in output
    assert "JSON" in output  # this server holds schemas
    assert "Which step is the first wrong one?" in output


@pytest.mark.parametrize(("words", "error", "says"), [
    (("reward_model",), ParamsError, "reward_model is asked nothing: expected generator, critic, labeller, planner, inference, judge"),
    (("judge",), ParamsError, "params.yaml has no roles.judge"),
    (("generator", "--row", "zz"), DataError, "no problem and no row with a prompt has an id that begins with zz"),
])  # fmt: skip
def test_a_mistake_is_one_line(asked: Path, words: tuple[str, ...], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        show(*words)


def test_a_tokenizer_that_cannot_be_read_is_one_line(asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # a name that is no folder is not looked up elsewhere
    text = Path("params.yaml").read_text(encoding="utf-8").replace("words", "nowhere")
    Path("params.yaml").write_text(text, encoding="utf-8")
    assert "the tokenizer of nowhere cannot be read" in show("generator")
