"""How likely a model finds parts of given answers: nats of the tokens that touch some characters of a completion.

    losses(Path("data/models/base"), rows, [(13, 36, 44, 60), …], machine)   → [(9.7, 21), …]: nats and tokens of each row

Source: ReasonFlux section 3.2, L_struct = -E log π(T_des, T_sco | T_nam, T_tag).
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from factory.language.tokens import offsets
from factory.schemas import Example
from trainers import batches, run
from trainers.machine import ALONE, Machine


@torch.inference_mode()
def losses(folder: Path, rows: Sequence[Example], spans: Sequence[tuple[int, ...]], machine: Machine = ALONE) -> list[tuple[float, int]]:
    """`spans`: character offsets (start, end, start, end, …) into each row's completion. One row a pass: they are few. Raises DataError
    for a word that the tokenizer lacks."""
    loaded, tokenizer = run.load(folder)
    model: torch.nn.Module = loaded
    model.to(machine.device).eval()
    found = []
    for row, edges, (head, tail) in zip(
        rows, spans, batches.sequences(tokenizer, [row.prompt for row in rows], [row.completion for row in rows]), strict=True
    ):
        inside = [
            place
            for place, (start, end) in enumerate(offsets(tokenizer, row.completion))
            if any(start < last and end > first for first, last in zip(edges[::2], edges[1::2], strict=True))
        ]
        ids = torch.tensor([head + tail], device=machine.device)  # (1, T)
        logps = model(input_ids=ids).logits[0, :-1].float().log_softmax(-1)  # (T - 1, V): of the token behind each
        taken = logps.gather(1, ids[0, 1:, None])[:, 0]  # (T - 1)
        found.append((-sum(float(taken[len(head) + place - 1]) for place in inside), len(inside)))
    return found
