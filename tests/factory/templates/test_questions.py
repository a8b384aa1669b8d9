"""The questions that only templates ask: files that render, in both forms, with nothing left over."""

import json

import jinja2
import pytest

from factory.templates.questions import FOLDER, QUESTIONS, VARIABLES, Questions


@pytest.mark.parametrize("question", VARIABLES)
def test_a_question_speaks_of_its_variables_and_renders(question: str, planner_kit) -> None:
    assert QUESTIONS.speaks_of(question) <= VARIABLES[question]
    given = {"templates": planner_kit.library()[:2], "tags": ("rules", "a {% block user %} of data")}
    for held in (False, True):
        turns = QUESTIONS.render(question, **given, json=held)
        assert [turn.role for turn in turns if turn.role != "system"][::2] == ["user"] * ((len(turns) + 1) // 2)
        assert turns[-1].role == "user"
        if QUESTIONS.asks_json(question):
            own = [turn.content for turn in turns if turn.role == "assistant"]
            assert {json.loads(text)["answer"] if held else text for text in own} == {"yes", "no"}


def test_every_file_is_a_question_and_its_version_is_its_content(tmp_path) -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(VARIABLES)
    (tmp_path / "same.j2").write_text("{% block user %}Same?{% endblock %}")
    mine = Questions(tmp_path)
    assert [turn.content for turn in mine.render("same")] == ["Same?"]
    assert mine.version("same") != QUESTIONS.version("same")
    with pytest.raises(jinja2.UndefinedError):
        QUESTIONS.render("same_tag", json=False)
