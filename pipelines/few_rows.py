"""What a stage needs to run on a few rows, in a folder of its own: the params cut down, the tables cut or made, the rest linked.

    few = Few(load(), 5, "rollouts@base", folder)
    few.prepare()                 # now the working directory is `folder`
    rollouts.main(few.cut(), "base")

The rows are the first that the whole run will ask about, with its seeds and request keys: their answers are paid for once.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from factory.coat.rollouts import part_of
from factory.errors import DataError, EngineError
from factory.line import Stage, stages_of
from factory.params import Params
from factory.params.names import first_policy, model_of_line
from factory.sandbox import made_otherwise, mirror, with_whole_paths
from factory.schemas import Problem, Rollout
from factory.storage import DATASETS, MODELS, TABLES, read_rows, write_rows
from pipelines import demonstrations, distillation, evaluate, plans, problems, rollouts, templates, trajectories

MAINS: dict[str, Callable[..., None]] = {
    "problems": problems.main, "rollouts": rollouts.main, "demonstrations": demonstrations.main, "distillation": distillation.main,
    "templates": templates.main, "plans": plans.main, "trajectories": trajectories.main, "evaluate": evaluate.main,
}  # fmt: skip
PROBLEMS = TABLES / "problems.parquet"
ASKS = {  # stage → the roles whose models it asks, besides the policies
    "demonstrations": ("generator", "critic"), "templates": ("labeller", "inference"), "plans": ("labeller", "inference"),
    "trajectories": ("inference",), "evaluate": ("inference",),
}  # fmt: skip


@dataclass
class Few:
    """`notes`: what differs from the whole run."""

    params: Params
    n: int
    title: str
    folder: Path
    notes: list[str] = field(default_factory=list)
    anew: set[Path] = field(default_factory=set)  # made in the sandbox, so that what derives from it is made there too

    @property
    def name(self) -> str:
        return self.title.partition("@")[0]

    @property
    def item(self) -> str:
        return self.title.partition("@")[2]

    @property
    def stage(self) -> Stage:
        return next(entry for entry in stages_of(self.params) if entry.title == self.title)

    def run(self, params: Params) -> None:
        MAINS[self.name](params, *filter(None, [self.item]))

    # -- what the stage needs

    def prepare(self) -> None:
        """Raises DataError or EngineError for what only training or the gate makes."""
        params, written = self.params, {str(TABLES / f"{table}.parquet") for table in self.stage.tables}
        policy = first_policy(params) if self.name == "demonstrations" else "base"
        table, model = TABLES / f"rollouts_{policy}.parquet", MODELS / "base"
        maker = next((f"{kind}@base" for kind in ("pretraining", "adoption") if "base" in getattr(params, kind)), "")
        makers = {PROBLEMS: "problems", model: maker, table: f"rollouts@{policy}"}
        old = made_otherwise({path: title for path, title in makers.items() if title})
        self.params = with_whole_paths(params)
        mirror(Path.cwd(), self.folder, written | {str(path) for path in old})
        os.chdir(self.folder)
        if self.name == "problems":
            return
        if self._missing(PROBLEMS, old):
            self._make("problems")
        if model in self._models() and not model.exists() and "base" not in params.adoption:
            raise EngineError(f"{model} is {old.get(model) or 'missing'}: `dvc repro {maker}` makes it")
        if model in self._models() and self._missing(model, old):
            from pipelines import adoption  # imports what trains

            adoption.main(self.params, "base")
        if self.name in ("demonstrations", "templates"):
            if self.anew and table.is_symlink():  # of other problems, or by another model
                table.unlink()
            if self._missing(table, old):
                self._make(f"rollouts@{policy}")
        if self.name in ("plans", "trajectories") and not (DATASETS / "templates").exists():
            raise DataError(f"{DATASETS / 'templates'} is missing, and has to pass the gate: `dvc repro release@templates` makes it")

    def _missing(self, path: Path, old: dict[Path, str]) -> bool:
        if path.exists():
            return False
        small = "a model is" if path == MODELS / "base" else "all problems are" if path == PROBLEMS else "a few are"
        self.notes.append(f"{path} is {old.get(path) or 'missing'}: {small} made for this preview")
        print(f"preview: {self.notes[-1]}", file=sys.stderr, flush=True)
        self.anew.add(path)
        return True

    def _make(self, title: str) -> None:
        """Another stage of rows, cut down the same way; the problems stay whole."""
        inner, before = Few(self.params, self.n, title, self.folder), PROBLEMS.read_bytes() if PROBLEMS.exists() else b""
        inner.run(inner.cut())
        if before:
            PROBLEMS.unlink()
            PROBLEMS.write_bytes(before)

    def _models(self) -> set[Path]:
        """Models of the line that the stage asks."""
        roles = [self.params.roles[name] for name in ASKS.get(self.name, ()) if name in self.params.roles]
        if self.name == "rollouts":
            roles = [rollouts.policy_role(self.params, self.item)]
        if self.name == "evaluate":
            roles.append(self.params.own("base", "generator"))
        return {MODELS / own for role in roles if role.engine in ("transformers", "vllm") and (own := model_of_line(role.model))}

    # -- little of it

    def cut(self) -> Params:
        """Params that ask for n problems; tables in the sandbox that hold no more where the params cannot say it."""
        name, params = self.name, self.params
        if name in ("rollouts", "distillation"):
            return self._few_problems()
        if name == "demonstrations":
            self._few_rollouts()
            return self._without_reward_model()
        if name in ("templates", "plans", "trajectories"):
            section = params.require(name)
            few: dict[str, Any] = {"problems": min(self.n, section.problems)}
            if name == "templates" and section.min_support > 1:
                few["min_support"] = 1
                self.notes.append(f"templates.min_support is 1 here, {section.min_support} in params.yaml: few problems agree on little")
            if name == "templates" and section.imports:
                few["imports"] = []
                self.notes.append("templates.imports are left out here: they are asked templates.resolve times for each of their examples")
            return params.model_copy(update={name: section.model_copy(update=few)})
        return self._evaluation() if name == "evaluate" else params

    def _few_problems(self) -> Params:
        """The policy's first n problems, which are not those of a smaller part."""
        params, item = self.params, self.item
        role, policy = rollouts.policy_role(params, item), params.policies[item]
        count = params.require("rollouts").problems
        write_rows(PROBLEMS, Problem, part_of(read_rows(PROBLEMS, Problem), count, policy.part, role)[: self.n])
        return params.model_copy(update={"policies": {**params.policies, item: policy.model_copy(update={"part": 0})}})

    def _few_rollouts(self) -> None:
        """All rollouts of n problems: first of those with right and wrong ones, then in turn of those with one of the two; of problems
        that `demonstrations.pass_rate` leaves out only where there is no other."""
        path = TABLES / f"rollouts_{first_policy(self.params)}.parquet"
        rows, (low, high) = read_rows(path, Rollout), self.params.require("demonstrations").pass_rate
        signs: dict[str, set[str]] = {row.problem_id: set() for row in rows}
        for row in rows:
            signs[row.problem_id] |= {row.verdict} & {"correct", "wrong"}
        outside = {row.problem_id for row in rows if not low <= row.pass_rate <= high}
        right, wrong, mixed = (
            [key for key in sorted(signs) if signs[key] == found] for found in ({"correct"}, {"wrong"}, {"correct", "wrong"})
        )
        turns = [key for pair in zip(right, wrong, strict=False) for key in pair]
        order = sorted(dict.fromkeys([*mixed, *turns, *right, *wrong, *signs]), key=outside.__contains__)
        chosen = set(order[: self.n])
        write_rows(path, Rollout, [row for row in rows if row.problem_id in chosen])

    def _without_reward_model(self) -> Params:
        role = self.params.roles.get("reward_model")
        own = model_of_line(role.model) if role and role.engine == "transformers" else None
        if own is None or (MODELS / own).exists():
            return self.params
        kind, _, key = own.partition("_")
        self.notes.append(f"{MODELS / own} is missing, so that nothing is scored: `dvc repro {kind}@{key}` makes it")
        return self.params.model_copy(update={"roles": {name: role for name, role in self.params.roles.items() if name != "reward_model"}})

    def _evaluation(self) -> Params:
        """n problems a split, and the models that are there."""
        params, section, lacking = self.params, self.params.require("evaluate"), []
        changes: dict[str, Any] = {"evaluate": section.model_copy(update={"n": min(self.n, section.n)})}
        if params.demonstrations and (gone := [name for name in ("cot_control", "format_tuned") if not (MODELS / name).exists()]):
            changes["demonstrations"], lacking = None, gone
        gone = [name for name in params.rounds if not (MODELS / f"policy_{name}").exists()]
        undistilled = [name for name in params.distillations if not (MODELS / f"distilled_{name}").exists()]
        changes["rounds"] = {name: turn for name, turn in params.rounds.items() if name not in gone}
        changes["distillations"] = {name: turn for name, turn in params.distillations.items() if name not in undistilled}
        lacking += [f"policy_{name}" for name in gone] + [f"distilled_{name}" for name in undistilled]
        planner = [MODELS / "planner_sft", MODELS / "planner_dpo", DATASETS / "templates"]
        if params.planners and (absent := [path.name for path in planner if not path.exists()]):
            changes["planners"], lacking = {}, [*lacking, *absent]
        if params.planner_adjust and (not changes.get("planners", params.planners) or not (MODELS / "planner_adjust").exists()):
            changes["planner_adjust"], lacking = None, [*lacking, "planner_adjust"]
        if lacking:
            self.notes.append(f"not evaluated, because `dvc repro` has not made it yet: {', '.join(lacking)}")
        rows = read_rows(PROBLEMS, Problem)
        dev = [row.id for row in rows if row.split == "dev"][self.n :]
        write_rows(PROBLEMS, Problem, [row for row in rows if row.id not in set(dev)])
        return params.model_copy(update=changes)
