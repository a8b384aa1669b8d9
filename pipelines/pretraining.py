"""Stage `pretraining@base`: a base model from scratch on data/datasets/corpus → data/models/base. `python -m pipelines.pretraining base`

Another base, which a round is distilled into, has another key: data/datasets/corpus_large → data/models/large."""

from factory.coat import grammar
from factory.identity import seed_for
from factory.params import Params
from factory.schemas import CorpusText
from factory.storage import DATASETS, LOGS, MODELS
from pipelines import stage, training
from trainers import base, run


def main(params: Params, item: str) -> None:
    section = params.pretraining[item]
    corpus = run.load_dataset_rows(DATASETS / section.corpus, CorpusText)
    settings = base.Settings(**section.model_dump(exclude={"corpus"}))
    seed = seed_for(params.seed, "base_model")
    base.pretrain(
        corpus,
        grammar.ACTIONS.values(),
        settings,
        seed=seed,
        target=MODELS / item,
        log=LOGS / f"{item}.csv",
        machine=training.machine(params),
    )


if __name__ == "__main__":
    stage.run("pretraining", main, trains=True)
