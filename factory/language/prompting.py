"""What a model is asked: Jinja files, one a question, that render to conversations.

    prompts = Prompts("laptop")
    prompts.render("solve", problem="Tom has 3 apples. …")   → (Message("user", "Tom has 3 apples. …\\nSolve:\\n"),)
    prompts.version("solve")                                 → "laptop/solve@1f0c9a27"      every row made with it carries it

A file holds blocks, one a message, named by its role: `{% block system %}`, `{% block user %}`, `{% block assistant %}`, and with a number
where a role speaks again (`{% block user_2 %}`: worked examples). Each block is rendered on its own, so that no text of data can begin
another message. An assistant's block at the end is a turn begun, which the model goes on with. What a block renders to without any word is
no message.

Two sets lie under `prompts/`: `instruct`, for instruct models of any size, and `laptop`, the words that the laptop's base is trained on. A
role of params.yaml names one of them, or a folder of the user's own; a file that is not there is taken from `instruct`.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import jinja2
import jinja2.meta
import jinja2.nodes

from factory.errors import ParamsError
from factory.identity import digest
from factory.language.steps import unnumbered
from factory.schemas import Conversation, Message

FOLDER = Path(__file__).parent / "prompts"
SETS = ("instruct", "laptop")
_BLOCK = re.compile(r"(?:system|user|assistant)(?:_\d+)?")
OF_ROWS = ("solve", "plan", "describe")  # questions that rows have as their prompt: their answers are not begun
VARIABLES: dict[str, frozenset[str]] = {  # what each question may speak of
    "solve": frozenset({"problem"}),
    "verify": frozenset({"problem", "steps", "json"}),
    "critique": frozenset({"problem", "solution", "steps", "json"}),
    "critique_again": frozenset({"problem", "solution", "earlier", "critique", "steps", "json"}),
    "analyse": frozenset({"problem", "solution", "step", "json"}),
    "describe": frozenset({"name", "tags"}),
    "propose": frozenset({"problem", "templates", "most", "json"}),
    "plan": frozenset({"problem"}),
    "guided": frozenset({"problem", "templates"}),
    "instantiate": frozenset({"problem", "templates", "template", "steps", "remark"}),
    "evaluate": frozenset({"problem", "templates", "template", "steps", "json"}),
    "revise": frozenset({"problem", "templates", "steps", "done", "remark", "candidates", "most", "json"}),
    "conclude": frozenset({"problem", "templates", "steps"}),
    "judge": frozenset({"problem", "gold", "answer"}),
    "repair": frozenset({"reason"}),
}


class Prompts:
    """`name`: a set, or a folder. Raises ParamsError naming the file and what is wrong with it: all files are read here."""

    def __init__(self, name: str) -> None:
        self.name = name
        folder = FOLDER / name if name in SETS else Path(name)
        if not folder.is_dir():
            raise ParamsError(f"prompts: {name} is no folder and no set: expected {' or '.join(SETS)}, or a folder of .j2 files")
        files = sorted(folder.glob("*.j2"))
        if not files:
            raise ParamsError(f"prompts: {folder} has no .j2 file: expected some of {', '.join(f'{key}.j2' for key in VARIABLES)}")
        if unknown := [file.name for file in files if file.stem not in VARIABLES]:
            raise ParamsError(
                f"{folder / unknown[0]} answers no question of the line: expected {', '.join(f'{key}.j2' for key in VARIABLES)}"
            )
        self.files = {
            key: next(path for path in (folder / f"{key}.j2", FOLDER / "instruct" / f"{key}.j2") if path.exists()) for key in VARIABLES
        }
        self._questions = {key: _Question(path, key) for key, path in self.files.items()}

    @staticmethod
    def of(name: str) -> "Prompts":
        """The same one for the same name while its files do not change."""
        folder = FOLDER / name if name in SETS else Path(name)
        stamps = tuple(sorted((file.name, file.stat().st_mtime_ns) for file in folder.glob("*.j2")))
        return _kept(name, stamps)

    def render(self, question: str, /, **values: object) -> Conversation:
        return self._questions[question].render(values)

    def asks_json(self, question: str) -> bool:
        """Whether the file can ask for JSON: it speaks of `json`. Then engines that hold a schema are given one."""
        return "json" in self._questions[question].speaks_of

    def version(self, question: str) -> str:
        """`laptop/solve@1f0c9a27`: the set or folder that the file lies in, and its content's hash."""
        asked = self._questions[question]
        return f"{asked.path.parent.name}/{question}@{asked.hash}"


class _Question:
    def __init__(self, path: Path, question: str) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
            tree = _ENVIRONMENT.parse(text)
            self.template = _ENVIRONMENT.from_string(text)
            self.blocks = self.template.blocks
        except jinja2.TemplateSyntaxError as error:
            raise ParamsError(f"{path}:{error.lineno}: {error.message}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ParamsError(f"{path} cannot be read: {error}") from None
        self.hash = digest(text)[:8]
        self.speaks_of = jinja2.meta.find_undeclared_variables(tree)
        for fault in (_outside(tree), self._order(question), self._unknown(question), self._trial(question)):
            if fault:
                raise ParamsError(f"{path}{fault}")

    def _order(self, question: str) -> str:
        roles = [name.partition("_")[0] for name in self.blocks]
        if strange := [name for name in self.blocks if not _BLOCK.fullmatch(name)]:
            return f" has a block {strange[0]!r}: expected system, user or assistant, with _2, _3, … where a role speaks again"
        turns = roles[1:] if roles[:1] == ["system"] else roles
        if not turns:
            return " has no {% block user %}: it asks nothing"
        for place, role in enumerate(turns):
            if role != ("user", "assistant")[place % 2]:
                return f": {role} speaks out of turn: expected system first if at all, then user and assistant in turn"
        if turns[-1] == "assistant" and question in OF_ROWS:
            return " ends in {% block assistant %}: rows are made with this question, and their answers would begin with these words"
        return ""

    def _unknown(self, question: str) -> str:
        unknown = sorted(self.speaks_of - VARIABLES[question])
        return f" speaks of {unknown[0]!r}, which this question does not have: {', '.join(sorted(VARIABLES[question]))}" if unknown else ""

    def _trial(self, question: str) -> str:
        """What breaks when it is rendered for an example: a misspelt attribute, a filter of something else."""
        try:
            for json in (False, True):
                if not any(message.role == "user" for message in self.render({**_EXAMPLE, "json": json})):
                    return " renders to no words of the user"
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            return f" cannot be rendered: {str(error).splitlines()[0]}"
        return ""

    def render(self, values: Mapping[str, object]) -> Conversation:
        found = []
        for name, block in self.blocks.items():
            content = "".join(block(self.template.new_context(dict(values))))
            if content.strip():
                found.append(Message(name.partition("_")[0], content))
        return tuple(found)


def _outside(tree: jinja2.nodes.Template) -> str:
    """What stands where no message would hold it."""
    for node in tree.body:
        if isinstance(node, jinja2.nodes.Block):
            if node.required or next(node.find_all(jinja2.nodes.Block), None):
                return f":{node.lineno}: the block {node.name} is required or holds another block: write one block a message"
        elif not (isinstance(node, jinja2.nodes.Output) and all(_is_space(part) for part in node.nodes)):
            return f":{node.lineno}: words or tags outside of the blocks, which no message holds: put them into one"
    return ""


def _is_space(node: jinja2.nodes.Node) -> bool:
    return isinstance(node, jinja2.nodes.TemplateData) and not node.data.strip()


_TEMPLATE = SimpleNamespace(name="add the parts", tags=("addition",), description="Add.", scope="Parts make a whole.", steps=("Add them.",))
_EXAMPLE: dict[str, object] = {
    "problem": "What is 12 + 7?", "solution": "12 + 7 = 19", "steps": ("12 + 7 = 18", "So it is 18."), "earlier": ("12 + 7 = 17",),
    "critique": "In Step 1: 12 + 7 is not 18.", "step": 1, "templates": (_TEMPLATE, _TEMPLATE), "most": 3, "name": "add the parts",
    "tags": ("addition",), "gold": "19", "answer": "19", "reason": "no hint", "template": _TEMPLATE, "remark": "18 is wrong.",
    "candidates": (_TEMPLATE,), "done": 1,
}  # fmt: skip
_ENVIRONMENT = jinja2.Environment(
    undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False
)


_ENVIRONMENT.filters["unnumbered"] = unnumbered  # steps that a prompt numbers itself


@lru_cache(maxsize=16)
def _kept(name: str, stamps: tuple[tuple[str, int], ...]) -> Prompts:
    return Prompts(name)
