"""Stage `restarts@<round>`: start states of PPO. `python -m pipelines.restarts r1`"""

from factory.coat.buffers import start_states
from factory.coat.cutting import Cuts
from factory.coat.restarts import WINDOW, Draw
from factory.errors import DataError
from factory.merging import merge, merge_rejects, scratch
from factory.params import Params
from factory.processes import workers
from factory.schemas import Restart
from factory.storage import TABLES
from pipelines import stage


def main(params: Params, item: str) -> None:
    """A round without restarts has plain problems only. A line without rounds (recorded solutions) makes both signs, of all its problems
    whatever their split. Raises DataError, after writing why, when the window leaves no state."""
    settings, round = params.require("restarts"), params.rounds.get(item)
    restarts = round is None or round.restarts
    draw = Draw(
        cuts=Cuts(settings.max_backtrack, settings.prefix_share, params.steps),
        prompts=params.asked_with("generator"),
        plain=settings.plain,
        per_sign=settings.per_sign if restarts else 0,
        teacher=settings.teacher if restarts else 0,
        window=settings.pass_rate,
        prefer=settings.prefer,
        seed=params.seed,
        round=item,
    )
    with scratch(f"restarts_{item}") as folder:
        with workers() as each:
            rollouts = TABLES / f"rollouts_{item}.parquet"
            buffers = start_states(TABLES / "problems.parquet", rollouts, draw, folder, each, any_split=round is None)
        merge(TABLES / f"restarts_{item}.parquet", Restart, buffers.rows)
        merge_rejects(f"restarts_{item}", buffers.rejects)
    print(buffers.summary(draw))
    if buffers.left_out and not buffers.rows:
        raise DataError(f"no problem of round {item} has a pass rate in {WINDOW} {list(settings.pass_rate)}: widen the window")


if __name__ == "__main__":
    stage.run("restarts", main)
