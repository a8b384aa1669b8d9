"""What only the making of a library asks: question files beside this module, read as those of the line are.

    QUESTIONS.render("same", templates=(one, other), json=False)    → (Message("system", "You compare two …"), …)
    QUESTIONS.version("same")                                       → "templates/same@1f0c9a27"
    QUESTIONS.asks_json("same")                                     → True

They stand apart from `factory/language/prompts`, on which nearly every stage depends, so that an edit here runs the stage `templates`
alone. A role's own folder of prompts does not change them.
"""

from functools import cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template, meta

from factory.identity import digest
from factory.schemas import Conversation, Message

FOLDER = Path(__file__).parent / "prompts"
VARIABLES: dict[str, frozenset[str]] = {  # what each question may speak of
    "same": frozenset({"templates", "json"}),  # two templates: one pattern?
    "same_tag": frozenset({"tags", "json"}),  # two tags: one meaning?
    "known_tags": frozenset({"tags"}),  # what is said behind `analyse`: tags that are in use
}
_ENVIRONMENT = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)


class Questions:
    """The files under `folder`, one a question."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder

    def render(self, question: str, /, **values: object) -> Conversation:
        """One message a block that has words, named by its role: system, user, assistant, user_2, …"""
        template = _template(self.folder / f"{question}.j2")
        found = [
            (name, "".join(block(template.new_context(values)))) for name, block in template.blocks.items()
        ]  # each on its own: no text of data can begin a message
        return tuple(Message(name.partition("_")[0], text) for name, text in found if text.strip())

    def asks_json(self, question: str) -> bool:
        """Whether the file can ask for JSON: it speaks of `json`."""
        return "json" in self.speaks_of(question)

    def speaks_of(self, question: str) -> set[str]:
        return meta.find_undeclared_variables(_ENVIRONMENT.parse(self._text(question)))

    def version(self, question: str) -> str:
        return f"templates/{question}@{digest(self._text(question))[:8]}"

    def _text(self, question: str) -> str:
        return (self.folder / f"{question}.j2").read_text(encoding="utf-8")


@cache
def _template(path: Path) -> Template:
    return _ENVIRONMENT.from_string(path.read_text(encoding="utf-8"))


QUESTIONS = Questions()
