"""A changed input makes the stages stale that read it, and no others: real DVC over the real graph, every sort of change in a table."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

Line = Any  # the class of the fixture, in conftest.py
ROOT = Path(__file__).parents[2]
QUESTION = "{% block user %}{{ problem }} What then?{% endblock %}\n"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROLLOUTS = {"rollouts@base", "rollouts@r1"}
PLANS = {"plans@first", "plans@sft"}
ASKING = {*ROLLOUTS, "demonstrations", "restarts@r1", "templates", "structure", *PLANS, "trajectories", "evaluate"}
PROMPTED = {
    "problems", *ASKING, "process_rewards", "adjustments", "report",
    *(f"release@{name}" for name in yaml.safe_load((Path(__file__).parent / "tiny.yaml").read_text())["datasets"] if name != "corpus"),
}  # fmt: skip


def model(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, text in {"config.json": "{}", "tokenizer.json": "{}", "model.safetensors": "weights", "README.md": "a card"}.items():
        (folder / name).write_text(text)


def params() -> dict[str, Any]:
    """The tiny line with every sort of input from outside."""
    document = yaml.safe_load((Path(__file__).parent / "tiny.yaml").read_text())
    document["roles"] |= {
        "generator": {"engine": "recorded", "model": "in/answers.jsonl", "models": ["m"]},
        "critic": {"engine": "transformers", "model": "in/critic", "prompts": "in/prompts"},
        "labeller": {"engine": "transformers", "model": "in/labeller"},
        "inference": {"engine": "transformers", "model": "org/name@4f1c2ab"},
        "judge": {"engine": "transformers", "model": "in/nowhere"},
    }
    document |= {"pretraining": {}, "adoption": {"base": "in/base"}}
    del document["datasets"]["corpus"]
    rows = {"kind": "jsonl", "columns": {"problem": "question"}}
    document["problems"]["sources"] += [{"name": "one", "path": "in/one.jsonl", **rows}, {"name": "two", "path": "in/two.jsonl", **rows}]
    document["problems"]["benchmarks"] = ["in/bench.jsonl"]
    return document


def make_outs(line: Line) -> None:
    """Something at every out of the graph, so that DVC can lock it as it stands; the hashes are the real ones."""
    code = "from dvc.repo import Repo; print('\\n'.join(out.fs_path for stage in Repo('.').index.stages for out in stage.outs))"
    for name in line.run("python", "-c", code).stdout.split("\n"):
        path = Path(name)
        if not name or "data/inputs/" in name:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.write_text(name, encoding="utf-8")
        else:
            (path / "data").mkdir(parents=True)
            for file in ("manifest.json", "data/made.txt"):  # trainers depend on these of a dataset
                (path / file).write_text(name)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, new_project: Callable[[Path], Line]) -> Line:
    project = new_project(tmp_path_factory.mktemp("locked"))
    shutil.rmtree(project.folder / "pipelines/recorded_gsm8k")
    folder = project.folder / "in"
    for name in ("critic", "labeller", "base"):
        model(folder / name)
    (folder / "prompts").mkdir()
    (folder / "prompts/critique.j2").write_text("{% block user %}{{ problem }}{% endblock %}")
    for name in ("one", "two", "bench", "answers"):
        (folder / f"{name}.jsonl").write_text(json.dumps({"question": name, "answer": "1"}) + "\n")
    (project.folder / "params.yaml").write_text(yaml.safe_dump(params(), sort_keys=False))
    make_outs(project)
    assert project.run("python", "-m", "pipelines.inputs").returncode == 0
    project.dvc("commit", "-f", "-q")
    assert stale(project) == set(), "a line that has run is up to date"
    return project


@pytest.fixture(autouse=True)
def restored(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every change begins from the locked state."""
    if "locked" not in request.fixturenames:
        yield
        return
    line = request.getfixturevalue("locked")
    names = ("in", "factory", "params.yaml")
    kept = {path: path.read_bytes() for name in names for path in files(line.folder / name)}
    yield
    for path in {path for name in names for path in files(line.folder / name)} - set(kept):
        path.unlink()
    for path, text in kept.items():
        if not path.exists() or path.read_bytes() != text:
            path.write_bytes(text)


def files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file() and file.suffix != ".pyc"]


def stale(line: Line) -> set[str]:
    done = line.run("python", "-c", "import json; from factory.status import stale; print(json.dumps(sorted(stale())))")
    assert done.returncode == 0, done.stderr[-2000:]
    return set(json.loads(done.stdout))


def write(name: str, text: str = "changed\n") -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def append(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text((folder / name).read_text() + text)


def touch(folder: Path) -> None:
    for path in files(folder / "in"):
        os.utime(path)


def same_size_and_time(folder: Path) -> None:
    """What `rsync --times` leaves: other bytes, the same size and the same date."""
    path = folder / "in/one.jsonl"
    before = path.stat()
    path.write_text(path.read_text().replace('"1"', '"2"'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def rename_source(folder: Path) -> None:
    (folder / "in/two.jsonl").rename(folder / "in/zwei.jsonl")
    edit(lambda document: document["problems"]["sources"][2].update(path="in/zwei.jsonl"))(folder)


def link_to_another(folder: Path) -> None:
    (folder / "in/other.jsonl").write_text("other\n")
    (folder / "in/bench.jsonl").unlink()
    (folder / "in/bench.jsonl").symlink_to("other.jsonl")


def edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def changed(folder: Path) -> None:
        document = yaml.safe_load((folder / "params.yaml").read_text())
        change(document)
        (folder / "params.yaml").write_text(yaml.safe_dump(document, sort_keys=False))

    return changed


@pytest.mark.parametrize(("change", "expected"), [
    pytest.param(append("in/one.jsonl", '{"question": "new", "answer": "2"}\n'), {"problems"}, id="a row more in a source"),
    pytest.param(write("in/two.jsonl"), {"problems"}, id="the second source"),
    pytest.param(same_size_and_time, {"problems"}, id="other bytes of the same size and date"),
    pytest.param(rename_source, {"problems", "report"}, id="a source renamed"),
    pytest.param(write("in/bench.jsonl"), {"problems"}, id="a benchmark"),
    pytest.param(link_to_another, {"problems"}, id="a benchmark that became a link to another file"),
    pytest.param(write("in/answers.jsonl"), {*ROLLOUTS, "report"}, id="recorded answers"),
    pytest.param(write("in/critic/model.safetensors"), {"demonstrations"}, id="weights of the critic"),
    pytest.param(write("in/critic/README.md"), set(), id="the card of the critic"),
    pytest.param(write("in/labeller/tokenizer.json"), {"templates", *PLANS}, id="the tokenizer of the labeller"),
    pytest.param(write("in/base/config.json", '{"a": 1}'), {"adoption@base"}, id="the folder of the base"),
    pytest.param(write("in/base/optimizer.bin"), set(), id="an optimizer's state beside the base"),
    pytest.param(write("in/prompts/critique.j2", QUESTION), ASKING, id="prompts of the user's own"),
    pytest.param(write("in/prompts/solve.j2", QUESTION), ASKING, id="a prompt more of the user's own"),
    pytest.param(touch, set(), id="touched, not changed"),
    pytest.param(write("factory/language/prompts/laptop/solve.j2", QUESTION), PROMPTED, id="a prompt"),
    pytest.param(append("factory/gate/card.md.j2", "more"), {name for name in PROMPTED if "release@" in name}, id="the card's template"),
    pytest.param(append("factory/templates/plans.py", "\n"), {*PLANS, "trajectories"}, id="a code file"),
    pytest.param(edit(lambda document: document["plans"].update(problems=149)), PLANS, id="a value of the params"),
    pytest.param(edit(lambda document: document["roles"]["inference"].update(model="org/name@5f1c2ab")),
                 {"templates", *PLANS, "trajectories", "evaluate", "demonstrations"}, id="the revision of a Hub model"),
    pytest.param(edit(lambda document: document["requests"].update(retries=9)), set(), id="how engines are asked"),
])  # fmt: skip
def test_a_change_makes_the_stages_stale_that_read_it(locked: Line, change: Callable[[Path], object], expected: set[str]) -> None:
    change(locked.folder)
    assert stale(locked) == expected


@pytest.mark.parametrize("name", ["long-context", "x" * 40])
def test_a_round_may_have_any_name_that_the_params_allow(locked: Line, name: str) -> None:
    def another(document: dict[str, Any]) -> None:
        document["policies"] = {"base": {"model": "base", "part": 0}, name: {"model": "format_tuned", "part": 1}}
        document["rounds"] = {name: {"start": "format_tuned", "restarts": True, "temperature": 1.0, "samples": 1}}
        for kind in ("orm_pairs", "restarts"):
            del document["datasets"][f"{kind}_r1"]
            document["datasets"][f"{kind}_{name}"] = {"parents": f"rollouts_{name}"}

    edit(another)(locked.folder)
    assert {f"rollouts@{name}", f"ppo@{name}", f"release@restarts_{name}"} <= stale(locked)


@pytest.fixture
def recorded(tmp_path: Path, new_project: Callable[[Path], Line]) -> Line:
    """The recorded line on six problems of our own."""
    project = new_project(tmp_path)
    (project.folder / "dvc.yaml").unlink()
    place = project.folder / "pipelines/recorded_gsm8k"
    document = yaml.safe_load((ROOT / "pipelines/recorded_gsm8k/params.yaml").read_text())
    document["roles"]["generator"] = {"engine": "recorded", "model": "answers.jsonl", "models": ["m"]}
    document["problems"]["sources"][0]["path"] = "test.jsonl"
    (place / "params.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    (place / "dvc.lock").unlink(missing_ok=True)
    numbers = range(3, 9)
    rows = [
        {"question": f"Tom has {n} apples and buys {n * n} more. How many?", "answer": f"{n} + {n * n}\n#### {n + n * n}"} for n in numbers
    ]
    answers = [{"question": row["question"], "m": {"is_correct": True, "solution": row["answer"]}} for row in rows]
    for name, lines in {"test.jsonl": rows, "answers.jsonl": answers}.items():
        (place / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return type(project)(place, root=project.folder)


def test_repro_runs_again_what_a_change_asks_for_and_nothing_else(recorded: Line, ran: Callable[[str], set[str]]) -> None:
    """The same with stages that really run; twice in a row nothing but `inputs` does."""
    assert ran(recorded.repro("rollouts@recorded")) == {"problems", "rollouts@recorded"}
    assert ran(recorded.repro("rollouts@recorded")) == set()
    append("answers.jsonl", '{"question": "What is 1 plus 1, Anna?", "m": {"is_correct": true, "solution": "1"}}\n')(recorded.folder)
    assert ran(recorded.repro("rollouts@recorded")) == {"rollouts@recorded"}
    append("test.jsonl", '{"question": "What is 1 plus 1, Anna?", "answer": "#### 2"}\n')(recorded.folder)
    assert ran(recorded.repro("rollouts@recorded")) == {"problems", "rollouts@recorded"}
    append("test.jsonl", "\n")(recorded.folder)
    assert ran(recorded.repro("rollouts@recorded")) == {"problems"}, "the same rows: nothing follows"
    (recorded.folder / "answers.jsonl").unlink()
    done = recorded.run("dvc", "repro", "rollouts@recorded")
    assert done.returncode != 0
    assert "roles.generator.model is answers.jsonl: no such file" in done.stderr
    assert "Traceback" not in done.stderr
