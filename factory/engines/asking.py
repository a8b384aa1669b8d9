"""From the params to a request: how it is sampled, and whether its answer is asked for as JSON.

sampling_params(params.rollouts.sampling)            → SamplingParams(max_tokens=304, temperature=0.8, top_p=1.0)
in_json(labeller, Prompts("instruct"), "analyse")    → True on vLLM, False on transformers
"""

from factory.engines.protocol import Engine, SamplingParams
from factory.language.prompting import Prompts
from factory.params import Sampling


def sampling_params(sampling: Sampling) -> SamplingParams:
    return SamplingParams(max_tokens=sampling.max_tokens, temperature=sampling.temperature, top_p=sampling.top_p)


def in_json(engine: Engine, prompts: Prompts, question: str) -> bool:
    """Where the engine holds answers to a schema and the question's file can ask for JSON. A bare engine without the word holds none."""
    return prompts.asks_json(question) and bool(getattr(engine, "structured", False))
