"""An outcome reward model for one policy (Satori §3.3): data/datasets/orm_pairs_<policy>, from that policy's model
→ data/models/orm_<policy>.

python -m pipelines.orm r1
"""

from factory.errors import ParamsError
from factory.identity import seed_for
from factory.params import Params
from factory.schemas import OrmPair
from factory.storage import DATASETS, LOGS, MODELS
from pipelines import stage, training
from trainers import reward, run


def main(params: Params, item: str) -> None:
    if item not in params.policies:
        raise ParamsError(f"policies has no {item}: it names {', '.join(params.policies) or 'none'}")
    reward.fit(
        run.load_dataset_rows(DATASETS / f"orm_pairs_{item}", OrmPair),
        reward.Settings(**training.section(params.require("orm"))),
        seed=seed_for(params.seed, "orm", item),
        start=MODELS / params.policies[item].model,
        target=MODELS / f"orm_{item}",
        log=LOGS / f"orm_{item}.csv",
        machine=training.machine(params),
    )


if __name__ == "__main__":
    stage.run("orm", main, trains=True)
