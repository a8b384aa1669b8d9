"""The online restart buffer (Satori Algorithm 1): while PPO runs, the policy's own fresh trajectories refill D+ and D-.

    buffer.add(iteration, starts, found)      # found: of each start's response the start state that it makes, or None
    buffer.draw(seed, first=96, prompts=32)   → {97: Start(buffer "-", depth=1, born=3), …}: places of the order that these states take

Satori's online buffer failed because D- starved as the policy got better. Hence quotas: an iteration takes as many states of each sign as
of the other, and of each depth (restarts behind a state) in turn; of each sign and depth so many are held at once, and so many a problem;
the oldest make room, and a state that was drawn is gone. What a sign lacks comes from the order of old states, never from the other sign.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from factory.schemas import Message, Restart
from trainers.collate import Ids
from trainers.rollout import Start

Found = tuple[Restart, Ids]


@dataclass(frozen=True)
class Quotas:
    """As in `params.yaml` (ppo.online)."""

    share: float  # of an iteration's start states, at most
    per_sign: int  # states held of each sign and depth
    per_problem: int  # of these, of the same problem
    depth: int  # restarts behind a state, at most


@dataclass
class OnlineBuffer:
    quotas: Quotas
    held: dict[tuple[str, int], list[Start]] = field(default_factory=dict)  # (sign, depth) → oldest first

    def add(self, iteration: int, starts: Sequence[Start], found: Sequence[Found | None]) -> None:
        for start, new in zip(starts, found, strict=True):
            if new is not None and start.depth < self.quotas.depth:
                row, ids = new
                queue = self.held.setdefault((row.buffer, start.depth + 1), [])
                queue.append(Start(row, ids, start.depth + 1, iteration))
                same = [place for place, held in enumerate(queue) if held.row.problem_id == row.problem_id]
                if len(same) > self.quotas.per_problem:
                    queue.pop(same[0])
                elif len(queue) > self.quotas.per_sign:
                    queue.pop(0)

    def draw(self, seed: int, first: int, prompts: int) -> dict[int, Start]:
        """States, which leave the buffer, by the places that they take among the `prompts` from `first` on."""
        rng, drawn = random.Random(seed), list[Start]()
        wanted = int(self.quotas.share * prompts)
        for sign, count in (("-", (wanted + 1) // 2), ("+", wanted // 2)):
            queues = [self.held.get((sign, depth), []) for depth in range(1, self.quotas.depth + 1)]
            for _ in range(count):
                if queue := next((queue for queue in queues if queue), None):
                    drawn.append(queue.pop(rng.randrange(len(queue))))
                    queues = [*(other for other in queues if other is not queue), queue]  # the others' turn
        return dict(zip(rng.sample(range(first, first + prompts), len(drawn)), drawn, strict=True))

    def written(self) -> str:
        """All of it as text, for a checkpoint."""
        return json.dumps([asdict(start) for queue in self.held.values() for start in queue])

    def read(self, text: str) -> None:
        """Hold what `written` wrote."""
        self.held = {}
        for one in json.loads(text):
            start = Start(_row(one["row"]), tuple(one["ids"]), one["depth"], one["born"])
            self.held.setdefault((start.row.buffer, start.depth), []).append(start)


def _row(values: Mapping[str, object]) -> Restart:
    prompt = values["prompt"]
    assert isinstance(prompt, list)
    return Restart(**{**values, "prompt": tuple(Message(*message) for message in prompt)})  # type: ignore[arg-type]
