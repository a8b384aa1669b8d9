"""Stage `inputs`: hashes of what lies outside of the line, so that DVC sees when it changes. Always runs, in a second.

python -m pipelines.inputs
"""

from factory import inputs
from factory.params import Params
from pipelines import stage


def main(params: Params) -> None:
    print(f"inputs: {inputs.write(params)} from outside of the line, hashes in {inputs.FOLDER}")


if __name__ == "__main__":
    stage.run("inputs", main)
