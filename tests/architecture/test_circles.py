"""No import circle: what a module needs can be read below it. Imports inside functions count, those for type checkers alone do not."""

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

PACKAGES = ("factory", "pipelines", "trainers")


def circle(graph: grimp.ImportGraph, modules: Iterable[str]) -> list[str]:
    """A circle among the modules, the first one again at its end; empty when there is none."""
    among = set(modules)
    try:
        TopologicalSorter({module: graph.find_modules_directly_imported_by(module) & among for module in among}).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)


@pytest.mark.parametrize("package", ["factory.cli", *PACKAGES])
def test_no_package_has_a_circle_among_its_modules(graph: grimp.ImportGraph, package: str) -> None:
    modules = {package, *graph.find_descendants(package)}
    assert len(modules) > 5
    assert not circle(graph, modules), " imports ".join(circle(graph, modules))


def test_no_circle_goes_through_several_packages(graph: grimp.ImportGraph) -> None:
    assert not circle(graph, graph.modules), " imports ".join(circle(graph, graph.modules))


def test_groups_of_commands_know_nothing_of_each_other(graph: grimp.ImportGraph) -> None:
    """`main` assembles them, `printing` and `columns` serve them."""
    frame = {"factory.cli.main", "factory.cli.__main__"}
    for module in graph.find_children("factory.cli") - frame:
        ours = graph.find_modules_directly_imported_by(module) & graph.find_children("factory.cli")
        assert ours <= {"factory.cli.printing", "factory.cli.columns"}, f"{module} imports {', '.join(sorted(ours))}"


@pytest.mark.parametrize(
    ("late", "found"),
    [
        ("def b():\n    from circular import a\n", True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from circular import a\n", False),
    ],
)
def test_a_circle_through_a_function_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: str, found: bool) -> None:
    (tmp_path / "circular").mkdir()
    for name, text in (("__init__", ""), ("a", "import circular.b\n"), ("b", late)):
        (tmp_path / f"circular/{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    graph = grimp.build_graph("circular", exclude_type_checking_imports=True, cache_dir=None)
    assert set(circle(graph, graph.modules)) == ({"circular.a", "circular.b"} if found else set())
