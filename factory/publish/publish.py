"""The whole of `factory publish`: check, gather, compare, send, write down.

    publish(Order(repo="org/name", models=("planner_dpo",)), load(), stale)
    → [Outcome("dataset", "org/name", Plan(…), commit="8c1d…"), Outcome("model", "org/name-planner_dpo", Plan(…), commit="…")]

data/published.json, after all of it succeeded: what this folder published last, for `factory trace`. It is no out of the line, and git
ignores it: a clone has published nothing. Publishing the same again sends nothing and writes it anew.
{"endpoint": "https://huggingface.co", "repo": "org/name", "revision": "main", "commit": "8c1d…",
 "url": "https://huggingface.co/datasets/org/name/tree/8c1d…", "datasets": {"plans": "90be…", …},
 "models": {"planner_dpo": {"repo": "org/name-planner_dpo", "commit": "77aa…"}}}
"""

import re
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from factory.errors import EngineError, GateError, ParamsError
from factory.line import stages_of
from factory.lock import Locked, ancestors, read_lock
from factory.params import Params
from factory.publish.bundle import Item, dataset_items, made_here, model_items
from factory.publish.checks import Released, released
from factory.publish.facts import gather_facts
from factory.publish.shards import AIM, shards_of
from factory.publish.upload import Plan, Remote, unknown
from factory.storage import MODELS
from factory.whole import write_json
from factory.words import amount

STAGING = Path(".factory/publish")
PUBLISHED = Path("data/published.json")
BRANCH, LANGUAGE = re.compile(r"\w[\w./-]*"), re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True)
class Order:
    """What is asked for. `private`: of repositories that are created; one that is public stays no place for it."""

    repo: str
    private: bool = False
    revision: str = "main"
    models: tuple[str, ...] = ()
    dry: bool = False
    language: str = "en"
    aim: int = AIM


@dataclass(frozen=True)
class Outcome:
    """`commit`: "" of a dry run. `note`: why the Hub was not compared with, where it was not."""

    kind: Literal["dataset", "model"]
    repo: str
    plan: Plan
    commit: str = ""
    note: str = ""


def publish(order: Order, params: Params, stale: Callable[[], Set[str]]) -> list[Outcome]:
    """Raises GateError or ParamsError before anything was sent, EngineError when a Hub fails; then nothing of it is visible there."""
    _named(order)
    graph = read_lock({stage.title for stage in stages_of(params)})
    for name in order.models:
        made_here(name, graph)
    old = stale()  # takes seconds
    items = released(params, graph, old)
    _models_current(order.models, graph, old)
    shards = {item.name: shards_of(item, STAGING, order.aim) for item in items}
    facts = gather_facts(order.repo, items, shards, params, graph, order.language)
    jobs: list[tuple[Remote, list[Item]]] = [
        (
            Remote(order.repo, "dataset", order.revision, patient=not order.dry),
            dataset_items(facts, [shard for part in shards.values() for shard in part]),
        )
    ]
    for name in order.models:
        repo = f"{order.repo}-{name}"
        jobs.append((Remote(repo, "model", order.revision, patient=not order.dry), model_items(repo, name, facts, graph)))
    if order.dry:
        return [_planned(remote, files) for remote, files in jobs]
    absent = [remote for remote, _ in jobs if _absent(remote, order.private)]
    outcomes = []
    for remote, files in jobs:
        plan = remote.compare(files)
        if remote in absent:
            remote.create(order.private)
            plan = remote.compare(files)
        message = (
            f"{params.release.name}: {amount(facts.rows, 'row')}" if remote.kind == "dataset" else f"{remote.repo} of {params.release.name}"
        )
        outcomes.append(Outcome(remote.kind, remote.repo, plan, remote.send(files, plan, message)))
    _write_down(order, jobs[0][0].endpoint, items, outcomes)
    return outcomes


def _named(order: Order) -> None:
    """Raises ParamsError for what no Hub takes as a name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    for repo in (order.repo, *(f"{order.repo}-{name}" for name in order.models)):
        try:
            validate_repo_id(repo)
            named = repo.count("/") == 1
        except HFValidationError:
            named = False
        if not named:
            raise ParamsError(f"--repo {order.repo}: expected organisation/name" + (f", found {repo}" if repo != order.repo else ""))
    if not BRANCH.fullmatch(order.revision) or ".." in order.revision:
        raise ParamsError(f"--revision {order.revision!r}: expected the name of a branch")
    if not LANGUAGE.fullmatch(order.language):
        raise ParamsError(f"--language {order.language!r}: expected a code of ISO 639, as en")


def _models_current(names: tuple[str, ...], graph: dict[str, Locked], stale: Set[str]) -> None:
    for name in names:
        maker = next((title for title, stage in graph.items() if f"{MODELS}/{name}" in stage.outs), None)
        if maker and (old := [title for title in ancestors(graph, maker) if title in stale]):
            raise GateError(f"model {name} is stale: {old[0]} would run again; `dvc repro {maker}` first")


def _planned(remote: Remote, files: list[Item]) -> Outcome:
    try:
        return Outcome(remote.kind, remote.repo, remote.compare(files))
    except EngineError as error:
        return Outcome(remote.kind, remote.repo, unknown(files), note=str(error))


def _absent(remote: Remote, private: bool) -> bool:
    found = remote.private()
    if private and found is False:
        raise GateError(f"{remote.repo} is public, and --private was asked for: make it private in its settings, or choose another name")
    return found is None


def _write_down(order: Order, endpoint: str, items: list[Released], outcomes: list[Outcome]) -> None:
    first, *models = outcomes
    made = zip(order.models, models, strict=True)
    write_json(PUBLISHED, {
        "endpoint": endpoint, "repo": order.repo, "revision": order.revision, "commit": first.commit,
        "url": f"{endpoint}/datasets/{order.repo}/tree/{first.commit}",
        "datasets": {item.name: _hashes(item) for item in items},
        "models": {name: {"repo": outcome.repo, "commit": outcome.commit} for name, outcome in made},
    })  # fmt: skip


def _hashes(item: Released) -> str | dict[str, str]:
    """As the manifest has them: of the one shard, or of each by its name."""
    return next(iter(item.sha256.values())) if len(item.sha256) == 1 else item.sha256
