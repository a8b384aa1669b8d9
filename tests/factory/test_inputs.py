"""Hashes of what lies outside of the line: the right owner, the right bytes, read once, and one line for what is missing."""

import json
import os
import time
from pathlib import Path

import pytest

from factory import inputs
from factory.errors import DataError, ParamsError
from factory.params import Params, Role, Source
from factory.params.sections import TemplateImport


@pytest.fixture
def params(small_line) -> Params:
    """A line without any input from outside, in a temporary folder."""
    return small_line.params


def with_sources(params: Params, *sources: Source, benchmarks: tuple[str, ...] = ()) -> Params:
    problems = params.problems.model_copy(update={"sources": list(sources), "benchmarks": list(benchmarks)})
    return params.model_copy(update={"problems": problems})


def with_role(params: Params, name: str, **values: object) -> Params:
    return params.model_copy(update={"roles": {**params.roles, name: Role(**values)}})


def written(params: Params) -> dict[str, dict[str, str]]:
    inputs.write(params)
    return {path.stem: json.loads(path.read_text()) for path in sorted(inputs.FOLDER.glob("*.json"))}


def model(folder: str, **files: str) -> None:
    Path(folder).mkdir(parents=True)
    for name, text in {"config.json": "{}", "model.safetensors": "weights", **files}.items():
        (Path(folder) / name).write_text(text)


def test_a_line_without_anything_from_outside_has_empty_files_of_every_owner(params: Params) -> None:
    assert written(params) == {owner: {} for owner in sorted(inputs.OWNERS)}


def test_an_imported_library_is_an_input_of_its_own(params: Params) -> None:
    Path("library.json").write_text("{}", encoding="utf-8")
    item = TemplateImport(path="library.json", licence="MIT", source="org/repo@1")
    line = params.model_copy(update={"templates": params.require("templates").model_copy(update={"imports": [item]})})
    assert list(written(line)["templates"]) == ["library.json"]
    Path("library.json").unlink()
    with pytest.raises(DataError, match=r"templates.imports.0.path is library.json: no such file"):
        written(line)


def prompts(folder: str, **files: str) -> None:
    Path(folder).mkdir()
    for name, text in {"solve": "{% block user %}{{ problem }}{% endblock %}", **files}.items():
        (Path(folder) / f"{name}.j2").write_text(text)


def test_every_owner_gets_what_is_its_own(params: Params) -> None:
    for name in ("a.jsonl", "b.csv", "bench.jsonl", "answers.jsonl", "critic.json"):
        Path(name).write_text(name, encoding="utf-8")
    model("models/labeller"), model("models/base")
    prompts("mine"), prompts("theirs")
    (Path("rows") / "data").mkdir(parents=True)
    Path("rows/data/train.jsonl").write_text("{}", encoding="utf-8")
    sources = Source(name="a", kind="jsonl", path="a.jsonl"), Source(name="hub", kind="hub", path="rows", revision="x")
    line = with_sources(params, *sources, benchmarks=("bench.jsonl",))
    line = with_role(line, "generator", engine="recorded", model="answers.jsonl", models=("m",))
    line = with_role(line, "critic", engine="recorded", model="critic.json", models=("m",))
    line = with_role(line, "labeller", engine="vllm", model="models/labeller", prompts="mine")
    line = with_role(line, "inference", engine="openai", model="a.jsonl@1", base_url="http://localhost:1", prompts="theirs")
    line = with_role(line, "judge", engine="openai", model="judge", base_url="http://localhost:1", prompts="mine")
    found = written(line.model_copy(update={"adoption": {"base": "models/base"}}))
    assert {owner: set(paths) for owner, paths in found.items() if paths} == {
        "problems": {"a.jsonl", "bench.jsonl", "rows"}, "recorded": {"answers.jsonl"}, "critic": {"critic.json"},
        "labeller": {"models/labeller"}, "adoption": {"models/base"}, "prompts": {"mine", "theirs"},
    }  # fmt: skip


@pytest.mark.parametrize(("name", "counts"), [
    ("model.safetensors", True), ("config.json", True), ("generation_config.json", True), ("tokenizer.json", True), ("merges.txt", True),
    ("README.md", False), ("training_args.bin", False), ("optimizer.bin", False), ("logs.csv", False), (".git/HEAD", False),
])  # fmt: skip
def test_of_a_model_counts_what_decides_its_answers(params: Params, name: str, counts: bool) -> None:
    model("models/critic")
    line = with_role(params, "critic", engine="transformers", model="models/critic")
    before = written(line)
    (Path("models/critic") / name).parent.mkdir(exist_ok=True)
    (Path("models/critic") / name).write_text("other")
    assert (written(line) != before) == counts


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (lambda folder: (folder / "solve.j2").write_text("{% block user %}{{ problem }}!{% endblock %}"), True),
        (lambda folder: (folder / "plan.j2").write_text("{% block user %}{{ problem }}{% endblock %}"), True),
        (lambda folder: (folder / "solve.j2").rename(folder / "plan.j2"), True),
        (lambda folder: os.utime(folder / "solve.j2"), False),
    ],
)
@pytest.mark.slow
def test_of_prompts_count_their_files(params: Params, change, counts: bool) -> None:
    prompts("mine")
    line = with_role(params, "critic", engine="transformers", model="data/models/base", prompts="mine")
    before = written(line)
    change(Path("mine"))
    assert (written(line)["prompts"] != before["prompts"]) == counts


def test_a_pinned_hub_model_and_a_model_of_the_line_are_left_out(params: Params) -> None:
    model("data/models/base")
    for name in ("org/name@4f1c2ab", "data/models/base", "./data/models/base", str(Path("data/models/base").resolve())):
        assert written(with_role(params, "critic", engine="transformers", model=name))["critic"] == {}


def jsonl(path: str) -> Source:
    return Source(name="a", kind="jsonl", path=path)


@pytest.mark.parametrize(("make", "says"), [
    (lambda line: with_sources(line, jsonl("no.jsonl")),
     "problems.sources.a.path is no.jsonl: no such file or directory. Correct the path in params.yaml, or fetch the file"),
    (lambda line: with_sources(line, Source(name="a", kind="hub", path="./no")), "problems.sources.a.path is ./no: no such folder"),
    (lambda line: with_sources(line, jsonl(".")), "problems.sources.a.path is .: a folder, expected a file"),
    (lambda line: with_sources(line, jsonl("a.jsonl/b")), "problems.sources.a.path is a.jsonl/b: "),
    (lambda line: with_sources(line, jsonl("a\0b")), "problems.sources.a.path is a\0b: "),
    (lambda line: with_sources(line, jsonl("x" * 5000)), "problems.sources.a.path is xxx"),
    (lambda line: with_sources(line, *line.problems.sources, benchmarks=("x/y",)), "problems.benchmarks.0 is x/y: no such file"),
    (lambda line: with_role(line, "generator", engine="recorded", model="no", models=("m",)), "roles.generator.model is no: no such file"),
    (lambda line: with_role(line, "critic", engine="transformers", model="models/no"),
     "roles.critic.model is models/no: no such folder. Correct the path in params.yaml, or pin a Hub id by its revision"),
    (lambda line: with_role(line, "labeller", engine="vllm", model="org/name"), "roles.labeller.model is org/name: no such folder"),
    (lambda line: with_role(line, "labeller", engine="vllm", model="empty"), "roles.labeller.model is empty: the folder is empty"),
    (lambda line: with_role(line, "labeller", engine="vllm", model="card"), "roles.labeller.model is card: it holds no model"),
    (lambda line: with_role(line, "critic", engine="vllm", model="org/name@4f1c2ab", prompts="my_prompts"),
     "roles.critic.prompts: my_prompts is no folder and no set: expected instruct or laptop, or a folder of .j2 files"),
    (lambda line: with_role(line, "critic", engine="vllm", model="org/name@4f1c2ab", prompts="empty"),
     "roles.critic.prompts: empty has no .j2 file: expected some of solve.j2, "),
])  # fmt: skip
def test_what_is_missing_is_one_line_with_its_key(params: Params, make, says: str) -> None:
    Path("empty").mkdir()
    Path("card").mkdir()
    Path("card/README.md").write_text("no weights", encoding="utf-8")
    with pytest.raises((DataError, ParamsError)) as caught:
        inputs.write(make(params))
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_an_unchanged_file_is_read_once_and_a_changed_one_again(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "SETTLED", 0.0)
    path = Path("a.jsonl")
    path.write_text("one", encoding="utf-8")
    line = with_sources(params, Source(name="a", kind="jsonl", path="a.jsonl"))
    time.sleep(0.01)
    first = written(line)
    entry = next(iter(json.loads(inputs.KNOWN.read_text()).values()))
    inputs.KNOWN.write_text(json.dumps({str(path.resolve()): {**entry, "hash": "remembered"}}))
    assert written(line)["problems"] == {"a.jsonl": "remembered"}, "not read again"
    before = path.stat()
    path.write_text("two", encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert written(line)["problems"] not in (first["problems"], {"a.jsonl": "remembered"}), "same size and date, other bytes"


def test_a_file_that_was_just_written_is_not_remembered(params: Params) -> None:
    Path("a.jsonl").write_text("one", encoding="utf-8")
    written(with_sources(params, Source(name="a", kind="jsonl", path="a.jsonl")))
    assert not inputs.KNOWN.exists() or json.loads(inputs.KNOWN.read_text()) == {}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": {"hash": "x"}}', "\x00"])
@pytest.mark.slow
def test_a_damaged_memory_is_no_harm(params: Params, text: str) -> None:
    Path("a.jsonl").write_text("one", encoding="utf-8")
    line = with_sources(params, Source(name="a", kind="jsonl", path="a.jsonl"))
    before = written(line)
    inputs.KNOWN.parent.mkdir(exist_ok=True)
    inputs.KNOWN.write_text(text)
    assert written(line) == before


def test_a_link_counts_as_the_file_that_it_leads_to(params: Params) -> None:
    Path("one.jsonl").write_text("one", encoding="utf-8")
    Path("two.jsonl").write_text("two", encoding="utf-8")
    Path("link.jsonl").symlink_to("one.jsonl")
    line = with_sources(params, Source(name="a", kind="jsonl", path="link.jsonl"))
    before = written(line)
    Path("link.jsonl").unlink()
    Path("link.jsonl").symlink_to("two.jsonl")
    assert written(line) != before
