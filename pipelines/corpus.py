"""Stage `corpus@base`: pretraining text of every role for a base made here. `python -m pipelines.corpus base`

    data/tables/corpus.parquet   CorpusText(role="verify", family="tally", instance="tally:12,+7,-4", text="Tom had 12 apples. …")

Strategies come from the world, never from the templates that a model induces later; instances are disjoint from every split.
"""

from collections import Counter

from factory.params import Params
from factory.problems.world import role_texts
from factory.rejects import write_rejects
from factory.schemas import CorpusText, Problem
from factory.storage import TABLES, read_rows, write_rows
from pipelines import stage


def main(params: Params, item: str) -> None:
    corpus, name = params.require("corpus"), params.pretraining[item].corpus
    problems = read_rows(TABLES / "problems.parquet", Problem)
    assert params.problems.world is not None  # as factory.params.consistency demands
    texts = role_texts(corpus, params.problems.world, {problem.instance for problem in problems}, params.seed)
    assert len(texts) == corpus.texts
    write_rejects(name, [])
    write_rows(TABLES / f"{name}.parquet", CorpusText, texts)
    print(f"{len(texts)} texts: " + ", ".join(f"{role} {count}" for role, count in Counter(text.role for text in texts).most_common()))


if __name__ == "__main__":
    stage.run("corpus", main)
