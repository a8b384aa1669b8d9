"""Stage `structure`: templates described from their names and tags, a planner's first view (L_struct).

python -m pipelines.structure
"""

from factory.language.prompting import Prompts
from factory.params import Params
from factory.schemas import Example, Template
from factory.storage import DATASETS, TABLES, read_rows, write_rows
from factory.templates.descriptions import structure_examples
from pipelines import stage


def main(params: Params) -> None:
    rows = structure_examples(read_rows(DATASETS / "templates", Template), Prompts.of(params.asked_with("labeller")))
    write_rows(TABLES / "structure.parquet", Example, rows)
    print(f"structure: {len(rows)} templates described")


if __name__ == "__main__":
    stage.run("structure", main)
