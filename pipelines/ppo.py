"""Restart-and-explore reinforcement learning, one round (Satori §4.2): data/datasets/restarts_<round>, from the round's start model and
data/models/orm_<round> → data/models/policy_<round>, data/logs/policy_<round>.csv, data/rejects/ppo_<round>.parquet.

python -m pipelines.ppo r1

The trainer is given the two things that it may not know: the sampler, on the live actor, and the reward, which grades the response and
asks the frozen outcome reward model about the conversation in which the assistant says prefix + response, read from their text as in its
training. The policy is trained on the ids that were sampled; the one end that it may sample is the end of turn of its chat template.
"""

from collections.abc import Sequence
from functools import partial

from factory.coat.grammar import ACTIONS
from factory.coat.rewards import Reward, Weights, reward
from factory.engines import thinking
from factory.engines.sampler import Sampled, Sampler
from factory.errors import DataError, ParamsError
from factory.identity import seed_for
from factory.language import tokens
from factory.params import Params
from factory.schemas import Message, Restart
from factory.storage import DATASETS, LOGS, MODELS, write_rejects
from pipelines import stage
from trainers import batches, diagnostics, policy, ppo, rollout, run
from trainers.collate import Ids


def main(params: Params, item: str) -> None:
    if item not in params.rounds:
        raise ParamsError(f"rounds has no {item}: it names {', '.join(params.rounds) or 'none'}")
    section, turn, name, orm = params.require("ppo"), params.rounds[item], f"policy_{item}", MODELS / f"orm_{item}"
    trained = section.model_dump(exclude={"beta", "orm_weight", "max_tokens"})
    settings = ppo.Settings(**trained, samples=turn.samples, temperature=turn.temperature, seed=seed_for(params.seed, "ppo", item))
    rows = run.load_dataset_rows(DATASETS / f"restarts_{item}", Restart)
    state, tokenizer = ppo.open_state(MODELS / turn.start, orm, settings)
    reader = run.load_tokenizer(orm)
    behind = len(_closing(reader))  # the reward model reads what ends the conversation too
    limit = state.actor.model.config.max_position_embeddings - section.max_tokens - behind
    starts, rejects = rollout.start_states(rows, partial(batches.start_ids, tokenizer), limit, f"ppo_{item}")
    write_rejects(f"ppo_{item}", rejects)
    print(f"{name}: {len(starts)} start states, {len(rejects)} rejected as longer than {limit} tokens", flush=True)
    sample = _sampling(state.actor, tokenizer, section.max_tokens)
    frozen = policy.load_critic(orm).to(state.actor.model.device)
    weights = Weights(section.beta, section.orm_weight, frozen.mean, frozen.std)
    rewards = _rewards(frozen, reader, weights)
    log = ppo.train(
        state, starts, sample, rewards, settings, eos=tokens.turn_end(tokenizer), action_ids=_action_ids(tokenizer),
        report=lambda line: print(f"{name}: {line}", flush=True),
    )  # fmt: skip
    diagnostics.write_csv(LOGS / f"{name}.csv", log)
    run.save_model(state.actor.model, tokenizer, MODELS / name)


def _sampling(actor: policy.Actor, tokenizer: run.PreTrainedTokenizerBase, max_tokens: int) -> rollout.Sample:
    sampler = Sampler(actor.model, tokenizer)
    if sampler.ends != [end := tokens.turn_end(tokenizer)]:
        raise DataError(
            f"the start model stops at the tokens {sampler.ends}, expected only {end}, with which its chat template ends an answer: PPO "
            "has to know which end was sampled; the stage that made it saves one end only, run that again"
        )

    def sample(prompts: Sequence[Ids], seeds: Sequence[int]) -> list[Sampled]:
        return sampler.sample(prompts, seeds, max_tokens=max_tokens, temperature=actor.temperature)

    return sample


def _rewards(orm: policy.Critic, tokenizer: run.PreTrainedTokenizerBase, weights: Weights) -> rollout.Rewards:
    """The reward model reads every response closed as its chat template closes an answer, which is no action; `tokenizer`: its own. A text
    that needs more tokens than were sampled, and more than its context, is read without what stands before the closing."""
    closing = _closing(tokenizer)

    def read(starts: Sequence[rollout.Start], texts: Sequence[str]) -> list[Ids]:
        pairs = [(start.row.prompt, start.row.prefix + text) for start, text in zip(starts, texts, strict=True)]
        found = tokens.pair_ids(tokenizer, pairs)
        if reason := next((reason for _, reason in found if reason), None):
            raise DataError(f"the reward model cannot read a response: {reason}")
        most = orm.model.config.max_position_embeddings
        return [(*ids[: most - len(closing)], *closing) if len(ids) > most else tuple(ids) for ids, _ in found]

    def rewards(starts: Sequence[rollout.Start], responses: Sequence[rollout.Response]) -> list[Reward]:
        ids = [list(response.token_ids) for response in responses]
        texts = tokenizer.batch_decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        logits = orm.logits(read(starts, texts)) if weights.orm_weight else [0.0] * len(texts)
        answers = [thinking.split(text)[1] for text in texts]  # thoughts are never graded
        return [reward(start.row, text, logit, weights) for start, text, logit in zip(starts, answers, logits, strict=True)]

    return rewards


def _closing(tokenizer: run.PreTrainedTokenizerBase) -> Ids:
    """What the chat template writes behind an answer, up to the end of the conversation: the ids in which two answers agree."""
    asked = (Message("user", "12 + 7?"),)
    (one, reason), (other, _) = tokens.pair_ids(tokenizer, [(asked, "12"), (asked, "7")])
    if reason:
        raise DataError(f"the reward model cannot read a conversation: {reason}")
    same = 0
    while same < min(len(one), len(other)) and one[-1 - same] == other[-1 - same]:
        same += 1
    return tuple(one[len(one) - same :])


def _action_ids(tokenizer: run.PreTrainedTokenizerBase) -> dict[str, int]:
    vocabulary = tokenizer.get_vocab()
    return {name: vocabulary[token] for name, token in ACTIONS.items() if token in vocabulary}


if __name__ == "__main__":
    stage.run("ppo", main)
