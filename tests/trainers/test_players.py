"""What PPO starts from: models of their own, or adapters on one backbone that read exactly as the saved reward model does."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from factory.coat.grammar import ACTIONS
from factory.errors import DataError
from factory.language.conversation import said
from factory.schemas import OrmPair
from trainers import reward, run, tokenizer
from trainers.collate import collate
from trainers.lora import Lora
from trainers.machine import ALONE
from trainers.players import Players, open_players
from trainers.policy import Actor, load_critic

LORA = Lora(4, 8, tuple(ACTIONS.values()))
SEQUENCES = [(5, 9, 4, 7), (6, 3, 8, 11, 4)]
BATCH = collate(SEQUENCES, [(4, 5), (9, 8, 7)], torch.device("cpu"))


@pytest.fixture(scope="module")
def orms(start: Path, pairs: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A reward model trained whole, and one under adapters."""
    rows = rows_of(pairs)
    folder = tmp_path_factory.mktemp("orms")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, adapters in (("whole", None), ("adapted", LORA)):
            settings = reward.Settings(1, 4, 1e-2, lora=adapters)
            reward.fit(rows, settings, seed=1, start=start, target=folder / name, log=folder / f"{name}.csv")
    return {name: folder / name for name in ("whole", "adapted")}


@pytest.fixture(scope="module")
def untied(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The start model with an output layer of its own, as Qwen2.5's larger models have."""
    folder = tmp_path_factory.mktemp("untied") / "start"
    model, words = run.load(start)
    torch.manual_seed(2)
    run.save_model(LlamaForCausalLM(LlamaConfig(**{**model.config.to_dict(), "tie_word_embeddings": False})), words, folder)
    return folder


@pytest.fixture(scope="module")
def untied_orm(untied: Path, pairs: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untied_orm")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        settings = reward.Settings(1, 4, 1e-2, lora=LORA)
        reward.fit(rows_of(pairs), settings, seed=1, start=untied, target=folder / "orm", log=folder / "orm.csv")
    return folder / "orm"


def rows_of(pairs: list[tuple[str, str]]) -> list[OrmPair]:
    return [
        OrmPair(id=str(n), problem_id=str(n % 10), prompt=said("user", a), chosen=b, rejected=b.replace("}", "0}"), margin=2.0,
                chosen_id="a", rejected_id="b", round="base")
        for n, (a, b) in enumerate(pairs[:20])
    ]  # fmt: skip


def players(start: Path, orm: Path, adapters: Lora | None, critic: bool = True, reward: bool = True) -> Players:
    return open_players(start, orm, ALONE, adapters=adapters, temperature=0.7, critic=critic, reward=reward)


@pytest.mark.parametrize("kind", ["whole", "adapted"])
@pytest.mark.parametrize("adapters", [None, LORA])
@pytest.mark.slow
def test_all_read_as_the_saved_models_do(start: Path, orms: dict[str, Path], kind: str, adapters: Lora | None) -> None:
    found, saved = players(start, orms[kind], adapters), load_critic(orms[kind])
    assert found.critic is not None
    assert found.orm is not None
    assert found.orm.logits(SEQUENCES) == pytest.approx(saved.logits(SEQUENCES), abs=1e-5)
    assert torch.allclose(found.critic(BATCH), saved(BATCH), atol=1e-5)
    plain = AutoModelForCausalLM.from_pretrained(start)
    logits = torch.stack([plain(torch.tensor([(*SEQUENCES[1], 9, 8, 7)])).logits[0, place] for place in (4, 5, 6)])
    expected = torch.log_softmax(logits / 0.7, -1)[range(3), (9, 8, 7)]
    assert torch.allclose(found.actor.log_probs(BATCH)[2:], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["whole", "adapted"])
@pytest.mark.slow
def test_training_actor_and_critic_moves_neither_reward_model_nor_reference(start: Path, orms: dict[str, Path], kind: str) -> None:
    found = players(start, orms[kind], LORA)
    assert found.critic is not None
    assert found.orm is not None
    reference = found.actor.before()
    kept = reference.log_probs(BATCH).detach(), found.orm.logits(SEQUENCES)
    moving = found.actor.log_probs(BATCH).detach(), found.critic(BATCH).detach()
    for player in (found.actor, found.critic):
        optimizer = torch.optim.SGD(player.trained(), lr=0.5)
        for _ in range(2):
            (player.log_probs(BATCH) if isinstance(player, Actor) else player(BATCH).square()).sum().backward()
            assert all(parameter.grad is not None for parameter in player.trained())
            optimizer.step()
            optimizer.zero_grad()
    assert torch.equal(reference.log_probs(BATCH), kept[0])
    assert found.orm.logits(SEQUENCES) == kept[1]
    assert not torch.allclose(found.actor.log_probs(BATCH), moving[0], atol=1e-3)
    assert not torch.allclose(found.critic(BATCH), moving[1], atol=1e-3)


@pytest.mark.parametrize("kind", ["whole", "adapted", "untied"])
@pytest.mark.slow
def test_the_critic_trains_its_adapter_on_every_layer_and_not_its_head_alone(
    start: Path, untied: Path, orms: dict[str, Path], untied_orm: Path, kind: str
) -> None:
    found = players(*((untied, untied_orm) if kind == "untied" else (start, orms[kind])), LORA)
    assert found.critic is not None
    trained = {id(parameter) for parameter in found.critic.trained()}
    names = [name for name, parameter in found.critic.whole.named_parameters() if id(parameter) in trained]
    layers = AutoModelForCausalLM.from_pretrained(start).config.num_hidden_layers
    assert sum("lora_B" in name for name in names) == 7 * layers
    before = [parameter.detach().clone() for parameter in found.critic.trained()]
    optimizer = torch.optim.SGD(found.critic.trained(), lr=0.5)
    found.critic(BATCH).square().sum().backward()
    optimizer.step()
    moved = [name for name, old, new in zip(names, before, found.critic.trained(), strict=False) if not torch.equal(old, new)]
    assert sum("lora_B" in name for name in moved) == 7 * layers


@pytest.mark.slow
def test_an_untied_head_reads_as_the_saved_models_do(untied: Path, untied_orm: Path) -> None:
    found, saved = players(untied, untied_orm, LORA), load_critic(untied_orm)
    assert found.critic is not None
    assert found.orm is not None
    assert found.orm.whole is found.actor.whole
    assert found.orm.logits(SEQUENCES) == pytest.approx(saved.logits(SEQUENCES), abs=1e-5)
    assert torch.allclose(found.critic(BATCH), saved(BATCH), atol=1e-5)
    with found.actor.acting() as twin:
        plain = AutoModelForCausalLM.from_pretrained(untied)
        assert torch.allclose(twin(torch.tensor([SEQUENCES[0]])).logits, plain(torch.tensor([SEQUENCES[0]])).logits, atol=1e-5)


@pytest.mark.slow
def test_one_backbone_carries_all_when_the_reward_model_has_adapters_for_it(start: Path, orms: dict[str, Path]) -> None:
    alone = sum(parameter.numel() for parameter in AutoModelForCausalLM.from_pretrained(start).parameters())
    for kind, backbones in (("adapted", 1), ("whole", 2)):
        found = players(start, orms[kind], LORA)
        frozen = {
            id(p): p.numel() for one in (found.actor, found.critic, found.orm) if one for p in one.parameters() if not p.requires_grad
        }
        assert alone * backbones <= sum(frozen.values()) < alone * (backbones + 0.5)
    trained = {id(p) for p in found.actor.trained()} & {id(p) for p in found.critic.trained()} if found.critic else {0}
    assert not trained


@pytest.mark.slow
def test_adapters_for_another_start_model_are_not_put_on_this_one(start: Path, orms: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    model = AutoModelForCausalLM.from_pretrained(start)
    words = players(start, orms["whole"], None).tokenizer
    model.model.norm.weight.data *= 1.5
    run.save_model(model, words, other)
    found = players(other, orms["adapted"], LORA)
    assert found.orm is not None
    assert found.orm.logits(SEQUENCES) == pytest.approx(load_critic(orms["adapted"]).logits(SEQUENCES), abs=1e-5)


def test_what_is_not_wanted_is_not_loaded(start: Path, orms: dict[str, Path]) -> None:
    for adapters in (None, LORA):
        found = players(start, orms["adapted"], adapters, critic=False, reward=False)
        assert (found.critic, found.orm) == (None, None)


def test_a_reward_model_that_reads_other_tokens_is_refused(start: Path, orms: dict[str, Path], tmp_path: Path) -> None:
    words = tokenizer.build(["Tom has 3 pears"], ACTIONS.values(), 64)
    copy = tmp_path / "orm"
    copy.mkdir()
    for path in orms["whole"].iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    words.save_pretrained(copy)
    with pytest.raises(DataError, match="has another vocabulary than"):
        players(start, copy, None)
