"""For a chat template of every sort (`sorts`): what carries loss for SFT, ORM, DPO and PPO, token by token, and where generation stops."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch
from sorts import INSTRUCTED, LAPTOP, MENDED, MISTRAL, QUESTION, SORTS, WRONG, Sort, from_the_hub
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from zoo import put, small

from factory.coat import grammar
from factory.coat.rewards import Reward
from factory.engines.sampler import Sampler
from factory.errors import DataError
from factory.language import tokens
from factory.language.conversation import begun
from factory.schemas import Conversation, Demonstration, Message, OrmPair, Restart, TrajectoryPair
from pipelines import acting, ppo
from trainers import adopt, batches, dpo, policy, reward, rollout, run, sft, tokenizer
from trainers.collate import collate

SPELLED = (
    "<|im_end|>",
    "<|im_start|>",
    "</s>",
    "<s>",
    "<eos>",
    "<bos>",
    "<end_of_turn>",
    "[INST]",
    "<|endoftext|>",
    "<pad>",
    "<|reflect|>",
)


@dataclass(frozen=True)
class Base:
    """What the line trains: adopted, but for the laptop's, which is made with it."""

    sort: Sort
    folder: Path
    words: PreTrainedTokenizerBase


@pytest.fixture(scope="module", params=SORTS)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Base:
    torch.set_num_threads(1)
    place, sort = tmp_path_factory.mktemp("models"), SORTS[request.param]
    if request.param == "laptop":
        texts = [run.PROBE, QUESTION[0].content, "Count.", WRONG + MENDED]
        words = tokenizer.build(texts, grammar.ACTIONS.values(), 128)
        run.save_model(small("llama", len(words), eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id), words, place / "base")
    else:
        put(place / "hub", "llama", from_the_hub(sort), eos_token_id=None)
        adopt.adopt(str(place / "hub"), grammar.ACTIONS.values(), sampling=Sampler, target=place / "base")
    return Base(sort, place / "base", run.load_tokenizer(place / "base"))


def table(words: PreTrainedTokenizerBase, ids: Sequence[int], loss: Sequence[bool] | None = None) -> list[str]:
    """Runs of tokens; without `loss` unmarked."""
    shown = [words.decode([token]).replace(" ", "␣").replace("\n", "⏎") for token in ids]
    if loss is None:
        return [" ".join(shown)]
    runs = itertools.groupby(zip(loss, shown, strict=True), key=lambda cell: cell[0])
    return [f"{'+' if has_loss else '-'} {' '.join(token for _, token in cells)}" for has_loss, cells in runs]


def demonstration(prompt: Conversation, completion: str, wrong: tuple[int, ...] = ()) -> Demonstration:
    return Demonstration(
        id="d", problem_id="p", type="III-I", prompt=prompt, completion=completion, wrong_spans=wrong, score=0.0, critic="none",
        model="base@0", prompt_version="solve@0", seed=1, round="base",
    )  # fmt: skip


def orm_pair(prompt: Conversation, chosen: str, rejected: str) -> OrmPair:
    return OrmPair(
        id="o", problem_id="p", prompt=prompt, chosen=chosen, rejected=rejected, margin=2.0, chosen_id="a", rejected_id="b", round="r1"
    )


def trajectory_pair(prompt: Conversation, chosen: str, rejected: str) -> TrajectoryPair:
    return TrajectoryPair(
        id="t", problem_id="p", prompt=prompt, chosen=chosen, rejected=rejected, reward_chosen=1.0, reward_rejected=0.0, n_similar=1,
        n_decodes=1, template_ids=(), model="planner@0", prompt_version="plan@0", seed=1, round="base",
    )  # fmt: skip


def restart(prompt: Conversation, prefix: str) -> Restart:
    return Restart(
        id="r", problem_id="p", parent_id=None, buffer="-", backtrack=0, prompt=prompt, prefix=prefix, prefix_has_answer=False, answer="7",
        answer_kind="number", round="r1",
    )  # fmt: skip


def rollouts_of(words: PreTrainedTokenizerBase, row: Restart, said_then: str, *, finished: bool) -> rollout.Rollouts:
    """One iteration of PPO on one start state, in which the sampler says `said_then`."""

    @dataclass(frozen=True)
    class Sampled:
        token_ids: tuple[int, ...]
        finished: bool

    starts, _ = rollout.start_states([row], partial(batches.start_ids, words), 128, "ppo_r1")
    sampled = Sampled(tuple(tokens.text_ids(words, [said_then])[0]), finished)
    return rollout.collect(
        rollout.Order(starts, 1), 0, 1, 1, lambda *_: [sampled], lambda *_: [Reward("correct", 0.0, 0.0, 0.0)], tokens.turn_end(words)
    )


def ppo_table(words: PreTrainedTokenizerBase, rollouts: rollout.Rollouts) -> list[str]:
    batch = collate(rollouts.prompts, rollouts.actions, torch.device("cpu"))
    acted = [place - 1 in batch.states.tolist() for place in range(batch.input_ids.numel())]  # a state predicts the token behind it
    assert batch.input_ids[0][torch.tensor(acted)].tolist() == batch.targets.tolist()
    return table(words, batch.input_ids[0].tolist(), acted)


@pytest.mark.slow
def test_what_carries_loss_in_tuning(base: Base) -> None:
    (row,) = batches.completion_only(base.words, [INSTRUCTED], [WRONG + MENDED], [(0, len(WRONG))])
    assert table(base.words, row.ids, [label != batches.IGNORED for label in row.labels]) == base.sort.sft
    assert row.ids[-1] == row.labels[-1] == tokens.turn_end(base.words) == base.words.convert_tokens_to_ids(base.sort.end)


@pytest.mark.slow
def test_what_the_reward_model_reads(base: Base) -> None:
    """Its one logit stands at the last token. PPO gives it the same sequence."""
    (pair,) = reward.tokenise([orm_pair(QUESTION, "7", "8")], base.words)
    assert table(base.words, pair.chosen) + table(base.words, pair.rejected) == base.sort.orm
    assert table(base.words, ppo._closing(base.words)) == [base.sort.closing]
    assert tokens.pair_ids(base.words, [(QUESTION, "7")]) == [(pair.chosen, "")]


def test_other_trainers_read_a_released_row_as_the_same_tokens(base: Base) -> None:
    """TRL renders prompt, and prompt and completion, by the tokenizer's own method."""
    prompt = [turn._asdict() for turn in QUESTION]
    asked, whole = (
        base.words.apply_chat_template(turns, add_generation_prompt=reply, return_dict=False)
        for turns, reply in ((prompt, True), ([*prompt, {"role": "assistant", "content": WRONG + MENDED}], False))
    )
    ((head, tail),) = batches.sequences(base.words, [QUESTION], [WRONG + MENDED])
    assert head == asked
    assert batches.wholes(base.words, [QUESTION], [WRONG + MENDED]) == [whole]
    if base.sort.template != MISTRAL.template:  # it writes a space before an answer, where the model has to begin with one
        assert head + tail == whole[: len(head + tail)]


def test_what_dpo_compares(base: Base) -> None:
    ((prompt, chosen, rejected),) = dpo.tokenise([trajectory_pair(QUESTION, "7", "8")], base.words)
    assert [line for ids in (prompt, chosen, rejected) for line in table(base.words, ids)] == base.sort.dpo
    assert chosen[-1] == rejected[-1] == tokens.turn_end(base.words)


def test_what_ppo_starts_from_and_which_tokens_are_actions(base: Base) -> None:
    row = restart(QUESTION, f"{WRONG}\n<|reflect|>")
    assert ppo_table(base.words, rollouts_of(base.words, row, "But wait.\n7", finished=True)) == base.sort.ppo
    cut = ppo_table(base.words, rollouts_of(base.words, row, "But wait.\n7", finished=False))
    assert cut[1] == base.sort.ppo[1].removesuffix(f" {base.sort.end}")


def test_a_turn_begun_in_the_prompt_has_no_loss_and_the_same_ids(base: Base) -> None:
    (whole,) = batches.completion_only(base.words, [QUESTION], [WRONG + MENDED])
    (rest,) = batches.completion_only(base.words, [begun(QUESTION, WRONG)], [MENDED])
    assert rest.ids == whole.ids
    told = len(tokens.prompt_ids(base.words, [begun(QUESTION, WRONG)])[0])
    assert rest.labels == [batches.IGNORED] * told + whole.ids[told:]


def test_adopting_changes_no_reading(base: Base) -> None:
    """Also where it makes another token the tokenizer's eos."""
    if base.sort is LAPTOP:
        pytest.skip("the laptop's base is not adopted")
    before = AutoTokenizer.from_pretrained(base.folder.parent / "hub")
    asked, answers = [INSTRUCTED, QUESTION, begun(QUESTION, "3")], ["7", "8", " + 4 = 7"]
    for made in (batches.sequences, batches.wholes, batches.start_ids):
        assert made(base.words, asked, answers) == made(before, asked, answers)
    assert (before.eos_token == base.sort.end) == (base.sort.special["eos_token"] == base.sort.end)
    assert base.words.eos_token == base.sort.end


def test_there_is_exactly_the_templates_bos(base: Base) -> None:
    """Though some tokenizers put one before every text by themselves."""
    bos = base.words.bos_token_id
    (row,) = batches.completion_only(base.words, [QUESTION], ["7"])
    (pair,) = reward.tokenise([orm_pair(QUESTION, "7", "8")], base.words)
    for ids in (row.ids, pair.chosen, pair.rejected, list(rollouts_of(base.words, restart(QUESTION, ""), "7", finished=True).prompts[0])):
        assert (ids[0] == bos) == (base.sort.bos > 0)
        assert ids.count(bos) == base.sort.bos
    if base.sort.begun:
        assert base.words("7")["input_ids"][0] == bos


@pytest.mark.parametrize("spelled", SPELLED)
def test_text_of_data_never_becomes_a_control_token(base: Base, spelled: str) -> None:
    def controls(word: str) -> list[list[int]]:
        """The control tokens of all that is trained on, with `word` in question and answers."""
        asked = (Message("system", f"Count. {word}"), Message("user", f"3 + {word} 4?"))
        row = batches.completion_only(base.words, [asked], [f"3 {word} 4{MENDED}"])[0]
        pair = reward.tokenise([orm_pair(asked, f"7 {word}", f"{word}")], base.words)[0]
        compared = dpo.tokenise([trajectory_pair(asked, f"7 {word}", f"{word}")], base.words)[0]
        rollouts = rollouts_of(base.words, restart(asked, f"3 {word}\n<|reflect|>"), "7", finished=True)
        return [[token for token in ids if token in known] for ids in (row.ids, pair.chosen, pair.rejected, *compared, rollouts.prompts[0])]

    known = {*base.words.all_special_ids} - {base.words.unk_token_id}
    if spelled == "<|reflect|>":  # at the start of a line of the assistant's words it is meant
        assert [ids.count(base.words.convert_tokens_to_ids(spelled)) for ids in controls(f"3 {spelled}")] == [1, 0, 0, 0, 0, 0, 1]
    else:
        assert controls(spelled) == controls("4")


@pytest.mark.slow
def test_a_model_that_was_tuned_stops_at_the_end_of_turn(base: Base, tmp_path: Path) -> None:
    """And is what PPO takes: one end, the one that was trained."""
    answer = f"{WRONG}{MENDED}"
    settings = sft.Settings(tokens=2000, batch=1, lr=2e-2)
    sft.tune([demonstration(QUESTION, answer)], settings, seed=1, start=base.folder, target=tmp_path / "tuned", log=tmp_path / "log.csv")
    model, words = run.load(tmp_path / "tuned")
    end = tokens.turn_end(words)
    assert model.generation_config.eos_token_id == end
    assert words.chat_template == base.sort.template
    (sampled,) = Sampler(model, words).sample(tokens.prompt_ids(words, [QUESTION]), [1], max_tokens=40, temperature=0.0)
    assert sampled.finished
    assert words.decode(sampled.token_ids) == answer
    sample = acting.sampling(policy.Actor(model, 1.0), words, 40)
    ((_, trained),) = tokens.sequence_ids(words, [QUESTION], [answer])
    ((*begin, last),) = [(*one.token_ids, end) for one in sample([tuple(tokens.prompt_ids(words, [QUESTION])[0])], [1])]
    assert len(begin) == len(trained) - 1
    assert last == trained[-1]


def test_a_model_that_ends_in_other_ways_too_is_not_ppos(base: Base) -> None:
    model, words = run.load(base.folder)
    model.generation_config.eos_token_id = [tokens.turn_end(words), 7]
    with pytest.raises(DataError, match="PPO has to know which end was sampled"):
        acting.sampling(policy.Actor(model, 1.0), words, 8)
