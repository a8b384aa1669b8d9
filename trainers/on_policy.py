"""On-policy distillation: the student samples, and its reward is what the teacher thinks of every token (Agarwal et al. 2024; MiniLLM, Gu
et al. 2024).

    state = build(student, teacher, Settings(iterations=60, batch=128, …), seed)
    log = distil(state, starts, sample, settings, …)

An action's advantage is log π_teacher - log π_student of that action, less the mean over the batch: one token's reverse KL, by the policy
gradient. So it is PPO whose reference is the teacher and whose only reward is the penalty, none of which is carried back to earlier
actions (γ = 0); checkpoints, processes and diagnostics are PPO's. What a student never says it never learns from a teacher this way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainers import ppo
from trainers.checkpoints import Checkpoints
from trainers.diagnostics import Diagnostics
from trainers.live import Live
from trainers.policy import Actor
from trainers.rollout import Response, Sample, Start

COLUMNS = ("step", "loss", "lr", "tokens_seen", "response_length", "truncated_share", "entropy", "grad_norm")


@dataclass(frozen=True)
class Settings:
    """As in `params.yaml` (distillations.<round>.on_policy)."""

    iterations: int
    batch: int  # responses an iteration, each to a prompt of its own
    lr: float
    temperature: float
    max_tokens: int

    def of_ppo(self, seed: int) -> ppo.Settings:
        return ppo.Settings(
            iterations=self.iterations, batch=self.batch, minibatch=self.batch, epochs=1, samples=1, temperature=self.temperature,
            lr=self.lr, critic_lr=0.0, warmup_share=0.1, critic_warmup=0, clip_low=0.2, clip_high=0.2, value_clip=0.2, gamma=0.0, lam=1.0,
            kl=1.0, baselines=(), max_grad_norm=1.0, seed=seed,
        )  # fmt: skip


@dataclass(frozen=True)
class _Nothing:
    """The reward of a response beside the penalty: it is not graded."""

    verdict: str = ""
    correct: bool = False
    first: bool | None = None
    rule: float = 0.0
    orm: float = 0.0
    bonus: float = 0.0
    total: float = 0.0


def build(student: Actor, teacher: Actor, settings: Settings, seed: int) -> ppo.State:
    return ppo.build_state(student, None, settings.of_ppo(seed), reference=teacher.requires_grad_(False))


def distil(
    state: ppo.State, starts: Sequence[Start], sample: Sample, settings: Settings, seed: int, *, eos: int,
    checkpoints: Checkpoints | None = None, live: Live | None = None, report: Callable[[str], None] = print,
) -> list[Diagnostics]:  # fmt: skip
    """Run the iterations that `state` lacks; returns the log. Raises DataError when something stops being finite."""

    def nothing(_: Sequence[Start], responses: Sequence[Response]) -> list[_Nothing]:
        return [_Nothing()] * len(responses)

    return ppo.train(
        state, starts, sample, nothing, settings.of_ppo(seed), eos=eos, action_ids={}, checkpoints=checkpoints, live=live, report=report
    )


def rows(log: Sequence[Diagnostics]) -> list[dict[str, float | None]]:
    """The log as other fine-tunings have theirs: `loss` is the mean of log π_student - log π_teacher over the actions, the reverse KL."""
    seen, found = 0.0, []
    for row in log:
        cells = row.cells()
        seen += cells["tokens"] or 0.0
        found.append(
            {
                "step": row.iteration, "loss": row.reference_kl, "lr": row.updates.actor_lr, "tokens_seen": seen,
                "response_length": cells["response_length"], "truncated_share": cells["truncated_share"], "entropy": row.updates.entropy,
                "grad_norm": row.updates.actor_grad_norm,
            }
        )  # fmt: skip
    return found
