"""How trainers are given the sampler, on the live model: `sampling(actor, tokenizer, max_tokens)` → a `trainers.rollout.Sample`."""

import dataclasses
from collections.abc import Sequence

from factory.engines.sampler import Sampled, Sampler
from factory.errors import DataError
from factory.language import tokens
from trainers import policy, rollout, run
from trainers.collate import Ids


def sampling(actor: policy.Actor, tokenizer: run.PreTrainedTokenizerBase, max_tokens: int) -> rollout.Sample:
    sampler = Sampler(actor.model, tokenizer)
    assert_one_end(sampler.ends, tokenizer)

    def sample(prompts: Sequence[Ids], seeds: Sequence[int]) -> list[Sampled]:
        with actor.acting() as model:
            sampler.model = model
            found = sampler.sample(prompts, seeds, max_tokens=max_tokens, temperature=actor.temperature)
        itself = model is actor.model  # and no copy of other precision or with merged adapters: then these are not the actor's
        return found if itself else [dataclasses.replace(one, drawn_logprobs=()) for one in found]

    return sample


def assert_one_end(ends: Sequence[int], tokenizer: run.PreTrainedTokenizerBase) -> None:
    if list(ends) != [end := tokens.turn_end(tokenizer)]:
        raise DataError(
            f"the start model stops at the tokens {list(ends)}, expected only {end}, with which its chat template ends an answer: PPO "
            "has to know which end was sampled; the stage that made it saves one end only, run that again"
        )
