"""Stage `process_rewards`: which steps of the first policy's solutions are right, for a process reward model; no model is asked.

data/tables/{problems,rollouts_base,critic_judgements}.parquet → data/tables/process_rewards.parquet, data/rejects/process_rewards.parquet

python -m pipelines.process_rewards
"""

from collections import Counter

from factory.coat.process_rewards import compared, make_process_rewards
from factory.coat.stepwise import Noise
from factory.evaluation.statistics import wilson
from factory.params import Params
from factory.params.names import first_policy
from factory.rejects import write_rejects
from factory.schemas import CriticJudgement, Problem, Rollout
from factory.storage import TABLES, read_rows, write_rows
from factory.tables import ProcessReward
from pipelines import stage

STAGE = "process_rewards"


def main(params: Params) -> None:
    problems = read_rows(TABLES / "problems.parquet", Problem)
    rollouts = read_rows(TABLES / f"rollouts_{first_policy(params)}.parquet", Rollout)
    judgements = read_rows(TABLES / "critic_judgements.parquet", CriticJudgement)
    rows, rejects = make_process_rewards(
        problems, rollouts, judgements, params.require(STAGE), seed=params.seed, steps=params.steps,
        thinking=params.require("demonstrations").thinking,
    )  # fmt: skip
    write_rows(TABLES / "process_rewards.parquet", ProcessReward, rows)
    write_rejects(STAGE, rejects)
    by, reasons = Counter(row.by for row in rows), Counter(reject.reason for reject in rejects)
    wrong = sum(row.first_wrong is not None for row in rows)
    said = ", ".join(f"{count:,} by {source}" for source, count in sorted(by.items()))
    print(f"{len(rows):,} solutions ({said}; {wrong:,} with a wrong step), {sum(len(row.labels) for row in rows):,} steps labelled")
    print(_noise(compared(rows, rejects)))
    print(f"{len(rejects):,} left out: " + "; ".join(f"{count:,} {reason}" for reason, count in reasons.most_common()))


def _noise(found: Noise) -> str:
    """The critic's labels beside the exact check's, shares with their 95 % Wilson intervals. Steps of one solution are not independent."""
    if not found.solutions:
        return "the critic and the exact check are beside each other nowhere: the noise of the critic's labels is not known"
    same, accepted = _share(found.same, found.solutions), _share(found.accepted, found.wrong)
    return f"the critic names the exact check's first wrong step in {same} solutions; it accepts {accepted} wrong steps"


def _share(part: int, whole: int) -> str:
    low, high = wilson(part, whole)
    return f"{part:,} of {whole:,} ({100 * part / whole:.1f} % [{100 * low:.1f}, {100 * high:.1f}])" if whole else "none of 0"


if __name__ == "__main__":
    stage.run(STAGE, main)
