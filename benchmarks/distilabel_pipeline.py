"""The work of pipeline.py by distilabel 1.5.3: three steps, each a batch of questions at once. Run by pipeline.py with its interpreter."""

import sys

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration

PROBLEM = "Tom has {number} apples. " + "He gives some away and finds others. " * 8 + "How many are left?"


def step(name: str, url: str, batch: int, **mappings: dict[str, str]) -> TextGeneration:
    model = OpenAILLM(model="m", base_url=url, api_key="none", generation_kwargs={"max_new_tokens": 64, "temperature": 1.0})
    return TextGeneration(name=name, llm=model, input_batch_size=batch, **mappings)


def main(url: str, rows: int, batch: int) -> None:
    data = [{"instruction": PROBLEM.format(number=number)} for number in range(rows)]
    with Pipeline(name="bench") as pipeline:
        load = LoadDataFromDicts(data=data, batch_size=batch)
        draft = step("draft", url, batch, output_mappings={"generation": "draft"})
        critique = step("critique", url, batch, input_mappings={"instruction": "draft"}, output_mappings={"generation": "critique"})
        score = step("score", url, batch, input_mappings={"instruction": "critique"}, output_mappings={"generation": "score"})
        load >> draft >> critique >> score
    distiset = pipeline.run(use_cache=False)
    assert len(distiset["default"]["train"]) == rows


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
