"""A real, tiny Llama (hidden 32, two layers) and its tokenizer, as a model folder; shared by the trainers' tests."""

import random
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from factory.coat import grammar
from trainers import run, tokenizer

sys.path.insert(0, str(Path(__file__).parent))  # `zoo`, which several tests share
torch.set_num_threads(1)  # matrices this small only wait for each other


def additions(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """(prompt, completion) of world-style sums with a reflection."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        a, b = rng.randint(2, 40), rng.randint(2, 9)
        prompt = f"Tom has {a} apples (red ones). He buys {b} more. How many apples has Tom now?\nSolve:\n"
        rows.append((prompt, f"{a} + {b} = {a + b + 1}\n<|reflect|>But wait. {a} + {b} is {a + b}.\n\\boxed{{{a + b}}}"))
    return rows


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained causal model folder."""
    folder = tmp_path_factory.mktemp("models") / "base"
    texts = [prompt + completion for prompt, completion in additions(50)] + ["Plan:\nput together (add, total)\ntake away (left)"]
    words = tokenizer.build(texts, grammar.ACTIONS.values(), 128)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, tie_word_embeddings=True,
        max_position_embeddings=128, pad_token_id=words.pad_token_id, eos_token_id=words.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    run.save_model(LlamaForCausalLM(config), words, folder)
    return folder


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def pairs() -> list[tuple[str, str]]:
    return additions(50)


@pytest.fixture(scope="session")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose padding is its end of turn, as SmolLM2's is."""
    import planted
    import sorts

    folder, words = tmp_path_factory.mktemp("chat") / "start", sorts.from_the_hub(sorts.SMOLLM2)
    assert words.pad_token_id == words.eos_token_id
    torch.manual_seed(1)
    run.save_model(LlamaForCausalLM(planted.shape(len(words), words.pad_token_id, words.eos_token_id)), words, folder)
    return folder
