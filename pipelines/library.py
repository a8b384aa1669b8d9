"""Stage `library`: the released templates as one DuckDB file for people. Run: python -m pipelines.library"""

from factory.params import Params
from factory.storage import DATASETS
from factory.templates.library import LIBRARY, build_library
from pipelines import stage


def main(params: Params) -> None:
    count = build_library(DATASETS / "templates", LIBRARY)
    print(f"library: {count} templates in {LIBRARY}")


if __name__ == "__main__":
    stage.run("library", main)
