"""Stage `adoption@base`: a model that there is (a folder, a GGUF file, a Hub id at a commit), given the three tokens of the actions,
made fit and tried → data/models/base. `python -m pipelines.adoption base`"""

from factory.coat import grammar
from factory.engines.sampler import Sampler
from factory.params import Params
from factory.storage import MODELS
from pipelines import stage
from trainers import adopt


def main(params: Params, item: str) -> None:
    adopt.adopt(params.adoption[item], grammar.ACTIONS.values(), sampling=Sampler, target=MODELS / item)


if __name__ == "__main__":
    stage.run("adoption", main)
