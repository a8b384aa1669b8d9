"""`traced_line`: two policies' rollouts of three problems, what was made of them, a request store, a lock, a release, a git history."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from factory import storage
from factory.engines.ledger import Ledger
from factory.engines.protocol import Completion, Request, SamplingParams
from factory.engines.requests import StoredEngine
from factory.identity import row_id
from factory.language.prompting import Prompts
from factory.lineage.trace import Line
from factory.rejects import reject, write_rejects
from factory.schemas import OrmPair, Problem, Restart, Rollout, Template
from factory.whole import write_json

PROMPTS = Prompts.of("laptop")
ANSWERS = {"base": "12 + 7 = 18\n\\boxed{18}", "tuned": "12 + 7 = 19\n\\boxed{19}"}


class Policy:
    """A whole Engine that always says the same."""

    family = "rule"

    def __init__(self, name: str) -> None:
        self.name, self.model = name, f"{name}@3fa9c0de"

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        return [Completion(ANSWERS[self.name], (1, 2, 3), "stop", 9) for _ in requests]


@dataclass(frozen=True)
class Known:
    """Ids of the line's rows."""

    root: Path
    problems: tuple[str, ...]
    rollouts: dict[str, tuple[str, ...]]
    keys: dict[str, tuple[str, ...]]
    pair: str
    restart: str
    template: str
    reject: str

    @property
    def line(self) -> Line:
        return Line(Path("."))


def made_rollouts(name: str, problems: list[Problem], store: Ledger) -> list[Rollout]:
    """Asked for through the store, as the stage does."""
    conversations = [PROMPTS.render("solve", problem=problem.problem) for problem in problems]
    temperature = 0.8 if name == "base" else 0.5
    asked = [Request(prompt, SamplingParams(max_tokens=64, temperature=temperature), seed=7) for prompt in conversations]
    answers = StoredEngine(Policy(name), store, f"rollouts_{name}").generate(asked)
    return [
        Rollout(
            id=row_id("rollout", name, problem.id), problem_id=problem.id, prompt=prompt, completion=answer.text, steps=(), answer="19",
            verdict="correct", finish_reason="stop", tokens=3, model=f"{name}@3fa9c0de", request_ids=(answer.request_id,),
            prompt_version=PROMPTS.version("solve"), seed=7, round=name, parents=(problem.id,),
        )
        for problem, prompt, answer in zip(problems, conversations, answers, strict=True)
    ]  # fmt: skip


@pytest.fixture
def traced_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Known:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACTORY_STORE", str(tmp_path / "store.sqlite"))
    problems = [
        Problem(id=row_id("problem", n), source="books", family="tally", group="g", split="train", instance=f"tally {n}",
                problem=f"Tom has {n} apples and buys 7. How many?", answer="19", answer_kind="number")
        for n in (12, 13, 14)
    ]  # fmt: skip
    store = Ledger(tmp_path / "store.sqlite")
    rollouts = {name: made_rollouts(name, problems, store) for name in ANSWERS}
    store.close()
    right, wrong = rollouts["tuned"][0], rollouts["tuned"][1]
    pair = OrmPair(id=row_id("pair"), problem_id=problems[0].id, prompt=right.prompt, chosen="a", rejected="b", margin=2.0,
                   chosen_id=right.id, rejected_id=wrong.id, round="tuned")  # fmt: skip
    restart = Restart(id=row_id("restart"), problem_id=problems[0].id, parent_id=right.id, buffer="+", backtrack=1, prompt=right.prompt,
                      prefix="12", prefix_has_answer=False, answer="19", answer_kind="number", round="tuned")  # fmt: skip
    template = Template(
        id=row_id("template"), model="base@3fa9c0de", prompt_version="laptop/analyse@00000000", seed=1, round="base",
        parents=tuple(row.id for row in problems), name="add", tags=(), description="", scope="", steps=(), example_problem="",
        example_solution="", example_answer="", source="induced", licence="mit", status="accepted", resolved=0, solve_rate=None, version=1,
    )  # fmt: skip
    rejected = reject("restarts_tuned", wrong, "truncated parent", parent_id=wrong.id)
    for name, row_type, rows in (
        ("problems", Problem, problems), ("rollouts_base", Rollout, rollouts["base"]), ("rollouts_tuned", Rollout, rollouts["tuned"]),
        ("orm_pairs_tuned", OrmPair, [pair]), ("restarts_tuned", Restart, [restart]), ("templates", Template, [template]),
    ):  # fmt: skip
        storage.write_rows(storage.TABLES / f"{name}.parquet", row_type, rows)
    write_rejects("restarts_tuned", [rejected])
    release("restarts_tuned", Restart, [restart])
    write_lock(tmp_path)
    for words in (["init", "-q"], ["add", "dvc.lock"], ["-c", "user.name=n", "-c", "user.email=e@x", "commit", "-qm", "run"]):
        subprocess.run(["git", *words], check=True, capture_output=True)
    return Known(
        tmp_path, tuple(row.id for row in problems), {name: tuple(row.id for row in rows) for name, rows in rollouts.items()},
        {name: tuple(row.request_ids[0] for row in rows) for name, rows in rollouts.items()}, pair.id, restart.id, template.id, rejected.id,
    )  # fmt: skip


def release(name: str, row_type: type, rows: list) -> None:
    storage.write_rows(storage.DATASETS / name / "data" / "train-00000-of-00001.parquet", row_type, rows)
    write_json(storage.DATASETS / name / "manifest.json", {"rows": len(rows), "sha256": "0" * 64})
    findings = [{"says": "one", "success": True}, {"says": "two", "success": False}]
    write_json(storage.AUDITS / f"{name}.json", {"success": True, "findings": findings})


def write_lock(root: Path) -> None:
    """As DVC writes it, with a price, a password in an address, and a stage that dvc.yaml no longer has."""
    import hashlib

    def out(path: str) -> dict[str, object]:
        file = root / path
        data = file.read_bytes() if file.is_file() else b""
        return {"path": path, "hash": "md5", "md5": hashlib.md5(data, usedforsecurity=False).hexdigest(), "size": len(data)}

    def rows(dataset: str) -> list[dict[str, object]]:
        return [out(f"data/datasets/{dataset}/{part}") for part in ("manifest.json", "data")]

    roles = {"engine": "openai", "model": "base@3fa9c0de", "price": {"input": 1.0, "output": 2.0}, "base_url": "https://me:pass@host/v1",
             "api_key": "abc", "api_key_env": "MY_KEY"}  # fmt: skip
    stages = {
        "problems": {"cmd": "python -m pipelines.problems", "outs": [out("data/tables/problems.parquet")], "params": {"params.yaml": {
            "problems": {"sources": [{"name": "books", "kind": "jsonl", "licence": "cc-by-4.0"}]}, "seed": 1}}},
        "gone": {"cmd": "old", "outs": [out("data/tables/rollouts_base.parquet")]},
        "rollouts@base": {"cmd": "python -m pipelines.rollouts base", "outs": [out("data/tables/rollouts_base.parquet")],
                          "params": {"params.yaml": {"roles.generator": roles, "rollouts": {"samples": 4}}}},
        "rollouts@tuned": {"cmd": "python -m pipelines.rollouts tuned", "outs": [out("data/tables/rollouts_tuned.parquet")],
                           "params": {"params.yaml": {"rollouts": {"samples": 8}}}},
        "format_tuning": {"cmd": "python -m pipelines.format_tuning", "outs": [out("data/models/tuned")],
                          "deps": [*rows("demonstrations"), out("data/models/base"), out("factory/schemas.py")]},
        "restarts@tuned": {"cmd": "r", "outs": [out("data/tables/restarts_tuned.parquet")]},
        "ppo@tuned": {"cmd": "p", "deps": rows("restarts_tuned"), "outs": [out("data/models/policy_tuned")]},
    }  # fmt: skip
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False), encoding="utf-8")
    foreach = {name: {"foreach": "${x}", "do": {}} for name in ("rollouts", "restarts", "ppo")}
    line = {"stages": {"problems": {}, "format_tuning": {}, **foreach}}
    (root / "dvc.yaml").write_text(yaml.safe_dump(line), encoding="utf-8")


def publish(**told: object) -> None:
    Path("data/published.json").write_text(json.dumps(told), encoding="utf-8")
