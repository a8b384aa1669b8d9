"""Restart-and-explore reinforcement learning, one round (Satori §4.2): data/datasets/restarts_<round>, from the round's start model and
data/models/orm_<round> → data/models/policy_<round>, data/logs/policy_<round>.csv, data/rejects/ppo_<round>.parquet.

python -m pipelines.ppo r1

The trainer is given what it may not know: the sampler, on the live actor, the start states that its responses make, and the reward,
which grades the response and asks the frozen outcome reward model about the conversation in which the assistant says prefix + response,
read from their text as in its training. The policy is trained on the ids that were sampled; the one end that it may sample is the end of
turn of its chat template.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path

from factory.coat import cutting
from factory.coat.cutting import Cuts
from factory.coat.grammar import ACTIONS
from factory.coat.rewards import Reward, Weights, reward
from factory.engines import thinking
from factory.engines.sampler import Sampled
from factory.engines.vllm_rollouts import VllmSampler
from factory.errors import DataError, EngineError, ParamsError
from factory.identity import seed_for
from factory.language import tokens
from factory.params import Params
from factory.params.sections import PpoSampler
from factory.rejects import write_rejects
from factory.schemas import Message, Restart
from factory.storage import DATASETS, LOGS, MODELS
from pipelines import stage, training
from pipelines.acting import assert_one_end, sampling
from trainers import batches, diagnostics, lora, machine, policy, ppo, rollout, run, shards
from trainers.buffer import Quotas
from trainers.checkpoints import Checkpoints, weights_in
from trainers.collate import Ids
from trainers.live import Live, trackers
from trainers.players import open_players


def main(params: Params, item: str) -> None:
    if item not in params.rounds:
        raise ParamsError(f"rounds has no {item}: it names {', '.join(params.rounds) or 'none'}")
    section, turn, name, orm = params.require("ppo"), params.rounds[item], f"policy_{item}", MODELS / f"orm_{item}"
    machine.connect()
    here, adapters = training.machine(params), training.section(section)["lora"]
    if section.sampler:
        shards.refuse(here, "ppo.sampler")
    online = section.online if turn.restarts else None
    trained = section.model_dump(exclude={"beta", "orm_weight", "max_tokens", "lora", "sampler", "online"})
    settings = ppo.Settings(
        **trained, samples=turn.samples, temperature=turn.temperature, seed=seed_for(params.seed, "ppo", item),
        importance=section.sampler.importance if section.sampler else None,
        online=Quotas(**online.model_dump(exclude={"max_backtrack", "prefix_share"})) if online else None,
    )  # fmt: skip
    rows = run.load_dataset_rows(DATASETS / f"restarts_{item}", Restart)
    players = open_players(
        MODELS / turn.start, orm, here, adapters=adapters, temperature=turn.temperature, critic="critic" in settings.baselines,
        reward=section.orm_weight > 0,
    )  # fmt: skip
    state, tokenizer = ppo.build_state(players.actor, players.critic, settings), players.tokenizer
    reader = run.load_tokenizer(orm)
    behind = len(_closing(reader))  # the reward model reads what ends the conversation too
    limit = state.actor.model.config.max_position_embeddings - section.max_tokens - behind
    starts, rejects = rollout.start_states(rows, partial(batches.start_ids, tokenizer), limit, f"ppo_{item}")
    if machine.rank() == 0:
        write_rejects(f"ppo_{item}", rejects)
    print(f"{name}: {len(starts)} start states, {len(rejects)} rejected as longer than {limit} tokens", flush=True)
    sampler = (
        _vllm(state.actor, tokenizer, MODELS / turn.start, section.sampler, limit + section.max_tokens, section.max_tokens)
        if section.sampler
        else nullcontext(sampling(state.actor, tokenizer, section.max_tokens))
    )
    again = _restarting(tokenizer, Cuts(online.max_backtrack, online.prefix_share, params.steps), limit) if online else None
    frozen = players.orm
    weights = Weights(section.beta, section.orm_weight, frozen.mean if frozen else 0.0, frozen.std if frozen else 1.0)
    rewards = _rewards(frozen, reader, weights)
    origins = [weights_in(folder) for folder in (MODELS / turn.start, orm)]
    checkpoints = Checkpoints.of(run.WORK / name, here, *origins, settings, adapters, section, rows=starts)
    with sampler as sample:
        if found := checkpoints.latest():
            state.load(found)
            print(f"{name}: goes on after iteration {state.iteration}", flush=True)
        with Live(name, settings.iterations, state.iteration, trackers(here.report_to, name, state.iteration)) as live:
            log = ppo.train(
                state, starts, sample, rewards, settings, eos=tokens.turn_end(tokenizer), action_ids=_action_ids(tokenizer),
                again=again, checkpoints=checkpoints, live=live, report=lambda line: print(f"{name}: {line}", flush=True),
            )  # fmt: skip
    whole = lora.collected(state.actor.whole, lambda: run.load(MODELS / turn.start)[0], here)
    if machine.rank() == 0:
        diagnostics.write_csv(LOGS / f"{name}.csv", log)
        run.save_model(lora.merged(whole, lambda: run.load(MODELS / turn.start)[0]), tokenizer, MODELS / name)
    machine.wait()
    checkpoints.clear()


@contextmanager
def _vllm(
    actor: policy.Actor, tokenizer: run.PreTrainedTokenizerBase, start: Path, options: PpoSampler, context: int, max_tokens: int
) -> Iterator[rollout.Sample]:
    """vLLM samples, and has the actor's weights handed over before it does. What its log-probabilities may differ by is measured at once,
    while both hold the start model."""
    sampler = VllmSampler(start, tokenizer, max_length=context, memory=options.memory, dtype=options.dtype)

    def hand_over() -> None:
        sampler.load(actor.weights(), actor.plain_log_probs(sampler.probe))

    def sample(prompts: Sequence[Ids], seeds: Sequence[int]) -> list[Sampled]:
        hand_over()
        found = sampler.sample(prompts, seeds, max_tokens=max_tokens, temperature=actor.temperature)
        if failed := next((one.error for one in found if one.error), None):
            raise EngineError(f"vLLM did not answer a start state: {failed}")
        return found

    with closing(sampler):
        assert_one_end(sampler.ends, tokenizer)
        hand_over()
        yield sample


def _restarting(tokenizer: run.PreTrainedTokenizerBase, cuts: Cuts, limit: int) -> rollout.Again:
    """Finished responses without a thought, graded right or wrong, within the grammar, that leave room for another response."""

    def again(
        starts: Sequence[rollout.Start], responses: Sequence[rollout.Response], rewards: Sequence[rollout.Rewarded], seeds: Sequence[int]
    ) -> list[tuple[Restart, Ids] | None]:
        texts = _texts(tokenizer, responses)
        rows = [
            cutting.again(start.row, text, rewarded.verdict, cuts, seed)
            if response.finished and thinking.split(text) == (None, text) else None
            for start, response, text, rewarded, seed in zip(starts, responses, texts, rewards, seeds, strict=True)
        ]  # fmt: skip
        made = [row for row in rows if row is not None]
        ids = dict(zip(made, batches.start_ids(tokenizer, [row.prompt for row in made], [row.prefix for row in made]), strict=True))
        return [(row, ids[row]) if row is not None and len(ids[row]) <= limit else None for row in rows]

    return again


def _texts(tokenizer: run.PreTrainedTokenizerBase, responses: Sequence[rollout.Response]) -> list[str]:
    ids = [list(response.token_ids) for response in responses]
    return tokenizer.batch_decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _rewards(orm: policy.Critic | None, tokenizer: run.PreTrainedTokenizerBase, weights: Weights) -> rollout.Rewards:
    """The reward model, where there is one, reads every response closed as its chat template closes an answer, which is no action. A text
    that needs more tokens than were sampled, and more than its context, is read without what stands before the closing."""
    closing = _closing(tokenizer)

    def read(starts: Sequence[rollout.Start], texts: Sequence[str]) -> list[Ids]:
        pairs = [(start.row.prompt, start.row.prefix + text) for start, text in zip(starts, texts, strict=True)]
        found = tokens.pair_ids(tokenizer, pairs)
        if reason := next((reason for _, reason in found if reason), None):
            raise DataError(f"the reward model cannot read a response: {reason}")
        assert orm is not None
        most = orm.model.config.max_position_embeddings
        return [(*ids[: most - len(closing)], *closing) if len(ids) > most else tuple(ids) for ids, _ in found]

    def rewards(starts: Sequence[rollout.Start], responses: Sequence[rollout.Response]) -> list[Reward]:
        texts = _texts(tokenizer, responses)
        logits = orm.logits(read(starts, texts)) if orm is not None else [0.0] * len(texts)
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
    stage.run("ppo", main, trains=True)
