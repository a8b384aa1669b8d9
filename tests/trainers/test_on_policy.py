"""On-policy distillation: the student comes to say what its teacher would, from nothing but its own samples."""

import sys
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from factory.language.conversation import said
from factory.schemas import Restart
from trainers import on_policy
from trainers.policy import Actor
from trainers.rollout import Start

sys.path.insert(0, str(Path(__file__).parent))
import pytest
from cuts import Drawn

pytestmark = pytest.mark.slow

EOS = 1
SETTINGS = on_policy.Settings(iterations=40, batch=64, lr=1e-2, temperature=1.0, max_tokens=3)


def model(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=8, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, max_position_embeddings=16,
            pad_token_id=0, eos_token_id=EOS,
        )
    )  # fmt: skip


def start(number: int) -> Start:
    row = Restart(
        id=f"{number}", problem_id="p", parent_id=None, buffer="0", backtrack=0, prompt=said("user", "a"), prefix="",
        prefix_has_answer=False, answer="", answer_kind="text", round="r1",
    )  # fmt: skip
    return Start(row, (2 + number % 4,))


def test_the_reverse_kl_falls() -> None:
    teacher = Actor(model(1), 1.0)
    with torch.no_grad():
        teacher.model.get_output_embeddings().weight.mul_(8)  # an opinion
    student = Actor(model(2), 1.0)
    kept = [parameter.clone() for parameter in teacher.parameters()]

    def sample(prompts: list[tuple[int, ...]], seeds: list[int]) -> list[Drawn]:
        found = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            ids, generator = list(prompt), torch.Generator().manual_seed(seed % 2**31)
            for _ in range(3):
                with torch.no_grad():
                    chances = student.model(torch.tensor([ids])).logits[0, -1].softmax(-1)
                ids.append(int(torch.multinomial(chances, 1, generator=generator)))
                if ids[-1] == EOS:
                    break
            own = tuple(ids[len(prompt) :])
            found.append(Drawn(own[:-1], True) if own[-1] == EOS else Drawn(own, False))
        return found

    state = on_policy.build(student, teacher, SETTINGS, seed=1)
    log = on_policy.rows(
        on_policy.distil(state, [start(number) for number in range(8)], sample, SETTINGS, 1, eos=EOS, report=lambda _: None)  # type: ignore[arg-type]
    )
    assert [list(row) for row in log] == [list(on_policy.COLUMNS)] * SETTINGS.iterations
    losses = [row["loss"] or 0.0 for row in log]
    assert sum(losses[:3]) / 3 > 0.2
    assert sum(losses[-3:]) / 3 < 0.5 * sum(losses[:3]) / 3
    assert all(torch.equal(one, other) for one, other in zip(kept, teacher.parameters(), strict=True))
    assert log[-1]["tokens_seen"] == sum(row.rollouts["tokens"] or 0 for row in state.log)
