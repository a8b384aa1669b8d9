"""The base model: from scratch on data/datasets/corpus, or a model from the Hub at a pinned revision (or of a local folder),
prepared and tried → data/models/base.

python -m pipelines.base_model
"""

from factory.coat import grammar
from factory.engines.sampler import Sampler
from factory.identity import seed_for
from factory.params import Params
from factory.schemas import CorpusText
from factory.storage import DATASETS, LOGS, MODELS
from pipelines import stage
from trainers import adopt, base, run


def main(params: Params) -> None:
    section, target = params.require("base_model"), MODELS / "base"
    if section.hub_id is not None:
        adopt.adopt(section.hub_id, section.revision, grammar.ACTIONS.values(), sampling=Sampler, target=target)
        run.write_log(LOGS / "base.csv", run.LOG_COLUMNS, [])
        return
    corpus = run.load_dataset_rows(DATASETS / "corpus", CorpusText)
    settings = base.Settings(**section.model_dump(exclude={"hub_id", "revision"}))
    seed = seed_for(params.seed, "base_model")
    base.pretrain(corpus, grammar.ACTIONS.values(), settings, seed=seed, target=target, log=LOGS / "base.csv")


if __name__ == "__main__":
    stage.run("base_model", main)
