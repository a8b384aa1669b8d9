"""All checks of a profile, in the order in which the line would meet their faults; every fault is found, not only the first.

    found = checked(Path("pipelines/profiles/qwen-0.5b.yaml"))
    → [Finding("params", "pipelines/profiles/qwen-0.5b.yaml", "ok", "31 stages, 5 roles"), Finding("files", …), …]

Nothing is written and nothing is asked of a model. Torch is only imported where a tokenizer counts tokens.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from factory.errors import ParamsError
from factory.line import stages_of
from factory.params import Params, load
from factory.params.profiles import FOLDER, PARAMS
from factory.params.yaml_file import read_yaml
from factory.planning import benchmarks, graph, lengths, outside, questions
from factory.planning.asks import Given, asked
from factory.planning.findings import Finding
from factory.planning.history import History
from factory.planning.hub import Hub
from factory.planning.samples import UNKNOWN, Sample, sample
from factory.words import amount


def file_of(name: str) -> Path:
    """The params file that a name means: a profile, or a path. Raises ParamsError, in two lines, for what is not there."""
    profile, path = FOLDER / f"{name}.yaml", Path(name)
    if path.is_file():
        return path
    if profile.is_file():
        return profile
    named = name.endswith((".yaml", ".yml")) or len(path.parts) > 1
    found = f"{name} is {'no file' if path.exists() else 'missing'}" if named else f"{name!r} is no profile and no file"
    known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.yaml")))
    makes = "`factory profile use laptop` makes it, or " if path == PARAMS else ""
    remedy = f"{makes}name a profile ({known}) or a params file" if known else "run it in the project's folder, or name a params file"
    raise ParamsError(f"{found} in {Path.cwd()}{'' if known else ', which has no pipelines/profiles'}\n  {remedy}")


def checked(file: Path) -> list[Finding]:
    """`file`: a whole params file. One that does not parse is the only finding. A line of its own (a dvc.yaml beside the file) is looked
    at from its folder, where DVC runs it."""
    whole, folder = file.resolve(), graph.line_of(file).parent
    try:
        with contextlib.chdir(folder):  # what is a folder and what a name of the Hub hangs on where one stands
            params, document = load(whole), read_yaml(whole)
    except ParamsError as error:
        return [Finding("params", str(file), "wrong", str(error).removeprefix(f"{whole}: "))]
    said = f"keys and names agree: {amount(len(stages_of(params)), 'stage')}, {amount(len(params.roles), 'role')}"
    with contextlib.chdir(folder):
        return [Finding("params", str(file), "ok", said), *_checked(params, document)]


def _checked(params: Params, document: dict[str, Any]) -> Iterator[Finding]:
    hub = Hub()
    held, read = benchmarks.read(params)
    keys = {finding.key for finding in read}
    yield from (finding for finding in outside.files(params) if finding.key not in keys)
    yield from read
    yield from outside.datasets(params, hub)
    past = History.of(document)
    found = sample(params, past, held)
    yield from found.faults
    if found.real:
        yield Finding("files", "problems.sources", "ok", f"rows become problems: {found.said}")
    yield from outside.models(params, hub)
    yield from graph.check(params, document)
    rendered = list(_prompts(params, found))
    yield from rendered
    if not any(finding.state == "wrong" for finding in rendered):
        yield from lengths.check(lengths.Prompter(params, found, past, hub), asked(params, UNKNOWN, Given()))


def _prompts(params: Params, found: Sample) -> Iterator[Finding]:
    """Every question of every role renders for every problem of the sample."""
    from factory.language.prompting import Prompts

    for name, role in params.roles.items():
        if name not in questions.ASKS:  # a reward model is asked nothing
            continue
        key = f"roles.{name}.prompts"
        try:
            prompts = Prompts.of(role.prompts)
            count = sum(1 for _ in questions.rendered(prompts, name, found.problems, params.steps))
        except ParamsError as error:
            yield Finding("prompts", key, "wrong", str(error), "correct the file, or name another folder")
            continue
        versions = ", ".join(prompts.version(question) for question in questions.ASKS[name])
        yield Finding("prompts", key, "ok", f"{versions}: rendered {amount(count, 'time')}")
