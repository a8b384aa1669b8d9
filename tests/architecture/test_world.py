"""Only `factory/problems/world` names the laptop's world: its families, groups, strategies and phrases stay behind its door.

The door is what `factory.problems.world` lists in `__all__`; `factory/problems/manners.py` says what others may ask of it.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from factory.problems import world
from factory.problems.manners import Manners, Plain
from factory.problems.world import FAMILIES, MANNERS, STRATEGIES

ROOT = Path(__file__).parents[2]
DOOR, HOUSE = "factory.problems.world", "factory/problems/world/"
MAY_KNOCK = ("factory/problems/sources.py", "factory/problems/manners.py", "factory/reports/report.py", "pipelines/")
PHRASES = ("Try ", "Right.", "Wrong.", DOOR)
EVERYDAY = {"share"}  # a family, and what figures call a fraction of a whole
NAMES = {*FAMILIES, *STRATEGIES, *(family.group for family in FAMILIES.values())} - EVERYDAY
COMMON = {  # names that are also words of everyone: where they stand, they mean no part of the world
    ("factory/cli/templates.py", "search"),  # a command: `factory templates search`
    ("factory/coat/demonstrations/divergence.py", "take away"),  # the verb of a minus
}
MAY_SPLIT = ("factory/evaluation/", "factory/reports/")  # count and show by group


def sources() -> list[str]:
    files = [path.relative_to(ROOT).as_posix() for top in ("factory", "trainers", "pipelines") for path in (ROOT / top).rglob("*.py")]
    return sorted(file for file in files if not file.startswith(HOUSE))


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def knocks(code: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, what is imported) of every import of the world; through the door it is `world` and a name."""
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.startswith(DOOR))
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((node.lineno, name) for name in names if name == DOOR or name.startswith(f"{DOOR}."))


def literals(code: ast.Module) -> Iterator[tuple[int, str]]:
    """Strings of the code, those within f-strings too; docstrings and other bare strings do nothing and are left out."""
    bare = {id(node.value) for node in ast.walk(code) if isinstance(node, ast.Expr)}
    for node in ast.walk(code):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node.lineno, node.value


def decisions(code: ast.Module) -> Iterator[int]:
    """Lines that compare a `.group`, or match or branch on one. `match.group()` of a regular expression is a call and no column."""
    called = {id(node.func) for node in ast.walk(code) if isinstance(node, ast.Call)}
    for node in ast.walk(code):
        asked: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.If | ast.IfExp | ast.While):
            asked = [node.test]
        elif isinstance(node, ast.Match):
            asked = [node.subject]
        for part in (part for side in asked for part in ast.walk(side)):
            if isinstance(part, ast.Attribute) and part.attr == "group" and id(part) not in called:
                yield part.lineno


@pytest.mark.slow
def test_the_world_is_entered_by_its_door_and_by_few() -> None:
    found = [(file, line, name) for file in sources() for line, name in knocks(tree(file))]
    strangers = [f"{file}:{line} imports {name}" for file, line, name in found if not file.startswith(MAY_KNOCK)]
    assert not strangers, strangers
    windows = [f"{file}:{line} imports {name}" for file, line, name in found if name.removeprefix(f"{DOOR}.") not in world.__all__]
    assert not windows, windows
    assert {file for file, _, _ in found} >= {"factory/problems/sources.py", "factory/problems/manners.py"}


@pytest.mark.slow
def test_nobody_else_names_its_families_groups_and_strategies() -> None:
    found = {(file, text): line for file in sources() for line, text in literals(tree(file)) if text in NAMES}
    assert {"tally", "moves", "procedures", "search", "put together"} <= NAMES
    assert not found.keys() - COMMON, found
    assert not COMMON - found.keys(), "these exceptions are needed no more"


@pytest.mark.slow
def test_nobody_else_speaks_its_phrases() -> None:
    found = [
        f"{file}:{line} has {text!r}"
        for file in sources()
        for line, text in literals(tree(file))
        if any(phrase in text for phrase in PHRASES)
    ]
    assert not found, found


@pytest.mark.slow
def test_no_code_decides_by_a_group() -> None:
    found = [f"{file}:{line}" for file in sources() for line in decisions(tree(file)) if not file.startswith(MAY_SPLIT)]
    assert not found, found


def test_what_the_world_knows_has_an_answer_where_nothing_is_known() -> None:
    asked = {name for name in [*vars(Manners), *Manners.__annotations__] if not name.startswith("_")}
    for known in (Plain, type(MANNERS)):
        assert {name for name in vars(known) if not name.startswith("_")} == asked


@pytest.mark.parametrize(
    ("code", "imports", "texts", "groups"),
    [
        ("from factory.problems.world import FAMILIES", ["factory.problems.world.FAMILIES"], [], 0),
        ("def late():\n    from factory.problems.world.roles import ROLES", ["factory.problems.world.roles.ROLES"], [], 0),
        ("from factory.problems import world", ["factory.problems.world"], [], 0),
        ("import factory.problems.world.draw as d", ["factory.problems.world.draw"], [], 0),
        ("from factory.problems.worldly import x", [], [], 0),
        ('"""Try it."""\ndef f():\n    "Right."\n    return f"Try {1} now"', [], ["Try ", " now"], 0),
        ('a = row.group == "hard"', [], ["hard"], 1),
        ('if "x" in {problem.group}: pass', [], ["x"], 2),  # the branch and the comparison in it
        ("match row.group:\n    case _: pass", [], [], 1),
        ('a = found.group() == "5"', [], ["5"], 0),
        ("make(group=row.group)", [], [], 0),
    ],
)
def test_the_search_finds_what_it_looks_for(code: str, imports: list[str], texts: list[str], groups: int) -> None:
    parsed = ast.parse(code)
    assert [name for _, name in knocks(parsed)] == imports
    assert [text for _, text in literals(parsed)] == texts
    assert len(list(decisions(parsed))) == groups
