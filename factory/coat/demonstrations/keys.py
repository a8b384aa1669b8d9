"""What names a request to a critic, for its seed and for the id of the judgement that came of it.

critique_key("51aa…")   → ("critique", "51aa…", "III-I", 0)
"""

from factory.identity import row_id
from factory.schemas import CriticJudgement, DemonstrationType


def verify_key(rollout_id: str) -> tuple[object, ...]:
    """Names the request to verify a step of a right solution, for its seed and the judgement's id."""
    return ("verify", rollout_id)


def critique_key(rollout_id: str, type: DemonstrationType = "III-I", round: int = 0) -> tuple[object, ...]:
    """The same of a critique; as it stands: of the wrong solution itself, not of what was tried after it."""
    return ("critique", rollout_id, type, round)


def of_solution(found: CriticJudgement) -> bool:
    """Whether a judgement is of its rollout's own steps: a critique may be of the continuation that was tried after an earlier one."""
    key = verify_key(found.parent_id) if found.kind == "verify" else critique_key(found.parent_id)
    return found.id == row_id("judgement", found.critic, *key, found.request_id)
