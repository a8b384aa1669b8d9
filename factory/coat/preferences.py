"""Pairs for the outcome reward model (Satori §4.2): a right and a wrong solution of one problem, a Bradley-Terry margin apart.

    OrmPair(id="77b0…", problem_id="a07b…", prompt=(Message("user", "Tom has 12 apples. …"),), chosen="12 + 7 = 19\\n\\\\boxed{19}",
            rejected="12 - 7 = 5\\n\\\\boxed{5}", margin=2.0, chosen_id="9d02…", rejected_id="51aa…", round="r1")

A table is sorted by ids, so that a problem's samples lie all over it: each row group's are dealt into shares by their problem, and each
share, a few thousand problems, is paired on its own, in several processes (a partitioned group-by, Graefe 1993, §4).

Run: `python -m pipelines.orm_pairs r1`.
"""

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.arrays import values_of
from factory.identity import row_id, seed_for
from factory.merging import LZ4, Run, one_batch, spill
from factory.processes import Each
from factory.rejects import reject
from factory.row_groups import Group, groups, read_group
from factory.schemas import Conversation, FinishReason, OrmPair, Reject, Rollout, Verdict, arrow_schema, field_types

SHARE = 30_000  # samples of a share, on average


class Sample(NamedTuple):
    """The columns of a rollout that are read."""

    id: str
    problem_id: str
    prompt: Conversation
    completion: str
    verdict: Verdict
    finish_reason: FinishReason


@dataclass
class Pairs:
    """Rows and rejects lie in files (factory/merging.py). `problems`: of how many problems the pairs are."""

    rows: list[Run] = field(default_factory=list)
    rejects: list[Run] = field(default_factory=list)
    problems: int = 0


def pairs_of_table(rollouts: Path, folder: Path, each: Each, *, per_problem: int, margin: float, seed: int, round: str) -> Pairs:
    """What `orm_pairs` makes of all rollouts of a table. `each`: the processes that read row groups (factory/processes.py)."""
    sources = groups(rollouts)
    shares = 1 + sum(group.rows for group in sources) // SHARE
    pair = partial(orm_pairs, per_problem=per_problem, margin=margin, seed=seed, round=round)
    dealt = list(each(partial(_deal, folder, shares), sources))
    found = Pairs()
    for pairs, rejects, problems in each(partial(_pair_share, folder, dealt, pair), range(shares)):
        found.rows.append(pairs)
        found.rejects.append(rejects)
        found.problems += problems
    return found


def _deal(folder: Path, shares: int, group: Group) -> Path:
    """A row group's samples in a file, a record batch a share. Texts that are in no pair are left behind."""
    schema = pa.schema([arrow_schema(Rollout).field(name) for name in Sample._fields])
    table = pa.Table.from_batches(read_group(group, Rollout, Sample._fields), schema).combine_chunks()
    share = np.array([crc32(name.encode()) % shares for name in table["problem_id"].to_pylist()], np.int64)
    usable = pc.and_(pc.equal(table["finish_reason"], "stop"), pc.is_in(table["verdict"], pa.array(["correct", "wrong"])))
    table = table.set_column(3, table.schema.field(3), pc.if_else(usable, table["completion"], ""))
    ordered = one_batch(table.take(pa.array(np.argsort(share, kind="stable"))))
    ends = np.cumsum(np.bincount(share, minlength=shares))
    path = folder / f"{group.path.stem}-{group.number}.arrow"
    with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_file(stream, schema, options=LZ4) as writer:
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            writer.write_batch(ordered[start:end])
    return path


def _pair_share(
    folder: Path, dealt: Sequence[Path], pair: "partial[tuple[list[OrmPair], list[Reject]]]", share: int
) -> tuple[Run, Run, int]:
    batches = []
    for path in dealt:
        with pa.OSFile(str(path)) as stream:
            batches.append(pa.ipc.open_file(stream).get_batch(share))
    table, types = pa.Table.from_batches(batches), field_types(Rollout)
    columns = [values_of(table[name].to_pylist(), types[name]) for name in Sample._fields]
    samples = list(map(Sample._make, zip(*columns, strict=True)))
    pairs, rejects = pair(samples)
    return spill(folder, OrmPair, pairs), spill(folder, Reject, rejects), len({row.problem_id for row in pairs})


def orm_pairs(
    rollouts: Sequence[Rollout | Sample], *, per_problem: int, margin: float, seed: int, round: str
) -> tuple[list[OrmPair], list[Reject]]:
    """Up to `per_problem` pairs of each problem that has finished solutions of both signs; the other problems are rejects.

    Unparsable and truncated solutions are in no pair: what would be learned from them is to box an answer, not to be right.
    """
    by_problem: dict[str, list[Rollout | Sample]] = defaultdict(list)
    for rollout in sorted(rollouts, key=lambda rollout: rollout.id):
        by_problem[rollout.problem_id].append(rollout)
    pairs: list[OrmPair] = []
    rejects: list[Reject] = []
    kept = 0
    for problem_id, samples in sorted(by_problem.items()):
        rng = random.Random(seed_for(seed, "orm_pairs", round, problem_id))
        right, wrong = _shuffled(samples, "correct", rng), _shuffled(samples, "wrong", rng)
        if not right or not wrong:
            unfit = {"problem_id": problem_id, "samples": len(samples), "right": len(right), "wrong": len(wrong)}
            rejects.append(reject(f"orm_pairs_{round}", unfit, "no wrong sample" if right else "no right sample", problem_id))
            continue
        kept += 1
        pairs += [_pair(right[i], wrong[j], margin, round) for i, j in _diagonals(len(right), len(wrong), per_problem)]
    assert kept + len(rejects) == len(by_problem)
    return pairs, rejects


def _shuffled(samples: Sequence[Rollout | Sample], verdict: Verdict, rng: random.Random) -> list[Rollout | Sample]:
    """One sample of each distinct text, in seeded order."""
    texts: dict[str, Rollout | Sample] = {}
    for rollout in samples:
        if rollout.verdict == verdict and rollout.finish_reason == "stop":
            texts.setdefault(rollout.completion, rollout)
    distinct = list(texts.values())
    rng.shuffle(distinct)
    return distinct


def _diagonals(rows: int, columns: int, count: int) -> list[tuple[int, int]]:
    """`count` distinct cells of a rows × columns table (all, if fewer), along diagonals so that no text returns before it must."""
    period = math.lcm(rows, columns)
    return [(k % rows, (k + k // period) % columns) for k in range(min(count, rows * columns))]


def _pair(right: Rollout | Sample, wrong: Rollout | Sample, margin: float, round: str) -> OrmPair:
    return OrmPair(
        id=row_id("orm_pair", right.id, wrong.id),
        problem_id=right.problem_id,
        prompt=right.prompt,
        chosen=right.completion,
        rejected=wrong.completion,
        margin=margin,
        chosen_id=right.id,
        rejected_id=wrong.id,
        round=round,
    )
