"""Distillation as a reset (Satori §3.4): the base, not the policy, is tuned on what a round's policy solved; or another base, which the
params name (`into`): weak-to-strong where that is larger. The next round starts from the result, whichever it is.
data/datasets/distillation_<round>, from data/models/<into> → data/models/distilled_<round>.

With `on_policy` only the rows' prompts are used: the base answers them itself, and data/models/policy_<round> says what of it was likely.

python -m pipelines.distill r1
"""

from pathlib import Path

from factory.errors import DataError, ParamsError
from factory.identity import seed_for
from factory.language import tokens
from factory.params import Params
from factory.params.sections import OnPolicy
from factory.schemas import Example, Restart
from factory.storage import DATASETS, LOGS, MODELS
from pipelines import stage, training
from pipelines.acting import sampling
from trainers import batches, lora, machine, on_policy, run, sft, shards
from trainers.checkpoints import Checkpoints, weights_in
from trainers.live import Live, trackers
from trainers.machine import Machine
from trainers.policy import Actor
from trainers.rollout import Start


def main(params: Params, item: str) -> None:
    if item not in params.distillations:
        raise ParamsError(f"distillations has no {item}: it names {', '.join(params.distillations) or 'none'}")
    name, settings = f"distilled_{item}", sft.Settings(**training.section(params.require("distill")))
    rows = run.load_dataset_rows(DATASETS / f"distillation_{item}", Example)
    seed, start, here = seed_for(params.seed, "distill", item), MODELS / params.distillations[item].into, training.machine(params)
    if section := params.distillations[item].on_policy:
        _on_policy(rows, section, settings.lora, seed, start, MODELS / f"policy_{item}", name, here)
    else:
        sft.tune(rows, settings, seed=seed, start=start, target=MODELS / name, log=LOGS / f"{name}.csv", machine=here)


def _on_policy(
    rows: list[Example], section: OnPolicy, adapters: lora.Lora | None, seed: int, start: Path, teacher: Path, name: str, here: Machine
) -> None:
    machine.connect()
    settings = on_policy.Settings(**section.model_dump())
    (model, tokenizer), (taught, reader) = run.load(start), run.load(teacher)
    if (reader.get_vocab(), reader.chat_template) != (tokenizer.get_vocab(), tokenizer.chat_template):
        raise DataError(f"{teacher} reads other tokens than {start}: leave on_policy out, texts can be imitated whatever reads them")
    student, mentor = (Actor(one, section.temperature, here) for one in (lora.ready(model, adapters, tokenizer, here), taught))
    for player in (student, mentor):
        if player is mentor or not shards.wanted(here):
            player.to(here.device)
    student.recompute(here.recomputes(student.whole))
    state = on_policy.build(student, mentor, settings, seed)
    starts = _starts(rows, tokenizer, name, state.actor.model.config.max_position_embeddings - section.max_tokens)
    origins = [weights_in(folder) for folder in (start, teacher)]
    checkpoints = Checkpoints.of(run.WORK / name, here, *origins, settings, adapters, seed, rows=starts)
    if found := checkpoints.latest():
        state.load(found)
    with Live(name, settings.iterations, state.iteration, trackers(here.report_to, name, state.iteration)) as live:
        log = on_policy.distil(
            state, starts, sampling(state.actor, tokenizer, section.max_tokens), settings, seed, eos=tokens.turn_end(tokenizer),
            checkpoints=checkpoints, live=live, report=lambda line: print(f"{name}: {line}", flush=True),
        )  # fmt: skip
    whole = lora.collected(state.actor.whole, lambda: run.load(start)[0], here)
    if machine.rank() == 0:
        run.write_log(LOGS / f"{name}.csv", list(on_policy.COLUMNS), on_policy.rows(log))
        run.save_model(lora.merged(whole, lambda: run.load(start)[0]), tokenizer, MODELS / name)
    machine.wait()
    checkpoints.clear()


def _starts(rows: list[Example], tokenizer: run.PreTrainedTokenizerBase, name: str, limit: int) -> list[Start]:
    """One of each problem; those that leave no room for a response are counted and left out."""
    first = {row.problem_id: row for row in reversed(rows)}
    asked = [first[key] for key in sorted(first)]
    ids = batches.start_ids(tokenizer, [row.prompt for row in asked], [""] * len(asked))
    kept = run.fitting(name, [len(one) for one in ids], limit)
    return [Start(_state(asked[at]), ids[at]) for at in kept]


def _state(row: Example) -> Restart:
    """Nobody grades what follows it: there is no answer."""
    return Restart(
        id=row.id, problem_id=row.problem_id, parent_id=None, buffer="0", backtrack=0, prompt=row.prompt, prefix="",
        prefix_has_answer=False, answer="", answer_kind="text", round=row.round,
    )  # fmt: skip


if __name__ == "__main__":
    stage.run("distill", main, trains=True)
