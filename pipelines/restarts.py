"""Stage `restarts@<round>`: start states of PPO. `python -m pipelines.restarts r1`"""

from factory.coat.pass_rates import rates
from factory.coat.restarts import WINDOW, Buffers, Cuts, plain_states, restart_states, teacher_states, within
from factory.errors import DataError
from factory.language.prompting import Prompts
from factory.params import Params
from factory.schemas import Problem, Restart, Rollout
from factory.storage import TABLES, read_rows, write_rejects, write_rows
from pipelines import stage


def main(params: Params, item: str) -> None:
    """A round without restarts has plain problems only. A line without rounds (recorded solutions) makes both signs, of all its problems
    whatever their split. Raises DataError, after writing why, when the window leaves no state."""
    settings, round = params.require("restarts"), params.rounds.get(item)
    problems = read_rows(TABLES / "problems.parquet", Problem)
    rollouts = read_rows(TABLES / f"rollouts_{item}.parquet", Rollout)
    known = rates(rollouts)
    startable = [problem for problem in problems if (problem.split == "train" and problem.id in known) or round is None]
    cuts, never_solved = Cuts(settings.max_backtrack, settings.prefix_share, params.steps), startable
    startable, parents, outside = within(startable, rollouts, settings.pass_rate, item)
    buffers, prompts = Buffers([], [], len(parents)), Prompts.of(params.asked_with("generator"))
    restarts = round is None or round.restarts
    per_sign, teacher = (settings.per_sign, settings.teacher) if restarts else (0, 0)
    if per_sign:
        buffers = restart_states(
            problems, parents, cuts=cuts, per_sign=per_sign, seed=params.seed, round=item, prefer=settings.prefer
        )  # fmt: skip
    if teacher:
        begun = teacher_states(never_solved, teacher, cuts=cuts, prompts=prompts, seed=params.seed, round=item, known=known)
        buffers.rows.extend(begun.rows)
        outside += begun.rejects
    buffers.rows.extend(plain_states(startable, settings.plain, prompts=prompts, seed=params.seed, round=item, known=known))
    buffers.rejects.extend(outside)
    write_rows(TABLES / f"restarts_{item}.parquet", Restart, buffers.rows)
    write_rejects(f"restarts_{item}", buffers.rejects)
    print(buffers.summary(settings.plain, per_sign, teacher))
    if outside and not buffers.rows:
        raise DataError(f"no problem of round {item} has a pass rate in {WINDOW} {list(settings.pass_rate)}: widen the window")


if __name__ == "__main__":
    stage.run("restarts", main)
