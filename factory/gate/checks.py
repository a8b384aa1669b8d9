"""What Great Expectations cannot see: the meaning of rows. Each check is a pure function of a row and its background; its answer becomes a
column of the validation frame, and `table` states what the column must hold.

    prefix_of_parent(row, background)   → False for a prefix that its parent never wrote

Those of templates and plans stand in `template_checks`, those of adjustments in `adjusted`, those of lineage and script in
`provenance`. Sources: Satori appendix C (types), algorithm 1 (restarts), section 4.2 (pairs).
"""

import re
from collections.abc import Callable
from math import fsum, isclose, isfinite
from typing import Any

from factory.coat.grammar import ACTIONS, REFLECT, action_counts, problems_of, split_steps, unknown_tokens
from factory.gate.background import Background
from factory.gate.leakage import normalised
from factory.gate.template_checks import IMPORTED
from factory.grading import extract_answer, grade
from factory.language.conversation import flat
from factory.language.tokens.control import placed, strays
from factory.schemas import Message, Problem, Template

Check = Callable[[Any, Background], bool | float]

GIVEN = {"problem", "prompt", "solution", "example_problem", "example_solution"}  # columns that hold no model's steps
# Reflections and explorations of each type: (fewest, most).
MANY = 99
TYPES = {
    "I": ((0, 0), (0, 0)), "II-I": ((1, 1), (0, 0)), "II-II": ((1, MANY), (1, MANY)),
    "III-I": ((1, 1), (1, 1)), "III-II": ((2, 2), (2, 2)),
}  # fmt: skip


def control_tokens_in_place(row: Any, _: Background) -> bool:
    """No text spells a control token, but for meta-action tokens at the start of a line in what a model wrote."""
    texts = ((text, name in GIVEN) for name, value in vars(row).items() for text in _texts(value))
    return not any(strays(text) or (given and placed(text)) for text, given in texts)


def _texts(value: object) -> list[str]:
    """Those of a column's value: a text, texts, or what a conversation says."""
    if isinstance(value, Message):
        return [value.content]
    return [value] if isinstance(value, str) else [text for item in value for text in _texts(item)] if isinstance(value, tuple) else []


# -- rows that belong to a problem


def _problem_ids(row: Any, background: Background) -> list[str]:
    """The problems that a row comes from: its own, else those among its parents, templates' parents included."""
    if isinstance(row, Problem):
        return [row.id]
    if getattr(row, "problem_id", ""):
        return [row.problem_id]
    parents = list(row.parents)
    for key in row.parents:
        if key in background.templates:
            parents += background.templates[key].parents
    return [key for key in parents if key in background.problems]


def problem_known(row: Any, background: Background) -> bool:
    return row.problem_id in background.problems


def split_is_train(row: Any, background: Background) -> bool:
    found = [background.problems.get(key) for key in _problem_ids(row, background)]
    if not found and _of_import(row, background):
        return True  # of no problem of the line; `example_from_train` looks at its text
    return bool(found) and all(problem is not None and problem.split == "train" for problem in found)


def _of_import(row: Any, background: Background) -> bool:
    """Whether a template, or all templates among a row's parents, were imported."""
    if isinstance(row, Template):
        return row.model.startswith(IMPORTED)
    templates = [background.templates[key] for key in row.parents if key in background.templates]
    return bool(templates) and all(template.model.startswith(IMPORTED) for template in templates)


def on_one_side(row: Any, background: Background) -> bool:
    return background.two_sided.isdisjoint(_problem_ids(row, background))


def marked_audit(_: Any, background: Background) -> bool:
    """A dataset of audit data gets the notice in a column of its own; without a notice nothing would mark its rows."""
    return bool(background.notice.strip())


def prompt_of_problem(row: Any, background: Background) -> bool:
    return problem_known(row, background) and _folded(background.problems[row.problem_id].problem) in _folded(flat(row.prompt))


def _folded(text: str) -> str:
    """White space aside: a prompt may indent a problem."""
    return " ".join(text.split())


def _verdict(text: str, row: Any, background: Background) -> str:
    problem = background.problems.get(row.problem_id)
    return grade(text, problem.answer, problem.answer_kind, problem.decimals).verdict if problem else "unparsable"


# -- COAT texts


def tokens_known(row: Any, _: Background) -> bool:
    return not unknown_tokens(row.completion)


def token_free(row: Any, _: Background) -> bool:
    return not any(action_counts(row.completion).values()) and not unknown_tokens(row.completion)


def coat_valid(row: Any, background: Background) -> bool:
    return not problems_of(row.completion, background.steps)


def explore_then_continue(row: Any, _: Background) -> bool:
    """The next meta-action after an explore is a continue; plain steps between them belong to the explore."""
    found = re.findall("|".join(map(re.escape, ACTIONS.values())), row.completion)
    return all(after == ACTIONS["continue"] for token, after in zip(found, [*found[1:], ""], strict=False) if token == ACTIONS["explore"])


def type_fits(row: Any, _: Background) -> bool:
    counts = action_counts(row.completion)
    (least_reflect, most_reflect), (least_explore, most_explore) = TYPES[row.type]
    return least_reflect <= counts["reflect"] <= most_reflect and least_explore <= counts["explore"] <= most_explore


def depth(row: Any, _: Background) -> float:
    """Reflections and explorations: 0 for a plain solution."""
    counts = action_counts(row.completion)
    return float(counts["reflect"] + counts["explore"])


def spans_inside(row: Any, _: Background) -> bool:
    """Character offsets (start, end, start, end, …) in rising order within the completion."""
    spans = list(row.wrong_spans)
    return len(spans) % 2 == 0 and spans == sorted(spans) and all(0 <= at <= len(row.completion) for at in spans)


def is_right(row: Any, background: Background) -> bool:
    return _verdict(row.completion, row, background) == "correct"


def verdict_true(row: Any, background: Background) -> bool:
    return row.verdict == _verdict(row.completion, row, background)


# -- pass rates


def rate_of_counts(row: Any, _: Background) -> bool:
    """right ≤ samples, of which there is one at least, and their ratio lies in its own interval."""
    known = 0 <= row.right <= row.samples and row.samples > 0
    return known and abs(row.pass_rate - row.right / row.samples) < 1e-9 and 0 <= row.pass_low <= row.pass_rate <= row.pass_high <= 1


def rate_of_verdict(row: Any, _: Background) -> bool:
    """A problem with a right sample is solved sometimes, one with another not always."""
    return row.right > 0 if row.verdict == "correct" else row.right < row.samples


def rate_of_rollouts(row: Any, background: Background) -> bool:
    """The pass rate of a start state is that of its problem's rollouts, none where there are none."""
    return row.pass_rate == background.pass_rates.get(row.problem_id)


# -- tokens as they were drawn


def tokens_told(row: Any, _: Background) -> bool:
    return len(row.token_ids) == len(row.token_logprobs)


def tokens_counted(row: Any, _: Background) -> bool:
    """None or one more than `tokens`: one for what ended by itself."""
    return len(row.token_ids) - row.tokens in ((0, 1) if row.finish_reason == "stop" else (0,)) and min(row.token_ids, default=0) >= 0


def logprobs_are_ones(row: Any, _: Background) -> bool:
    return all(value is not None and isfinite(value) and value <= 0 for value in row.token_logprobs)


def logprob_of_tokens(row: Any, _: Background) -> bool:
    """Where the row has one; to 1e-6 of its size, as floats are added."""
    values = [value for value in row.token_logprobs if value is not None]
    return row.logprob is None or isclose(row.logprob, fsum(values), rel_tol=1e-6, abs_tol=1e-6)


# -- restarts


def prefix_of_parent(row: Any, background: Background) -> bool:
    """What stands before the reflect token is the parent's completion, on the same problem, without its last `backtrack` steps; a
    teacher's is the problem's gold solution without them; a plain problem has no prefix."""
    if row.buffer == "0":
        return row.prefix == "" and row.parent_id is None
    if row.buffer == "t":
        problem = background.problems.get(row.problem_id)
        if not problem or not problem.solution or row.parent_id != problem.id or row.backtrack < 1:
            return False
        return row.prefix == "\n".join(split_steps(problem.solution, background.steps)[: -row.backtrack]) + "\n"
    parent = background.rollouts.get(row.parent_id)
    kept = row.prefix.removesuffix(REFLECT).removesuffix("\n")
    if not parent or not kept or parent.problem_id != row.problem_id or not parent.completion.startswith(kept):
        return False
    steps = split_steps(parent.completion, background.steps)
    return kept == "\n".join(steps[: len(steps) - row.backtrack]).rstrip("\n")


def ends_in_reflect(row: Any, _: Background) -> bool:
    if row.buffer == "t":
        return row.prefix.endswith("\n") and len(row.prefix) > 1
    return row.prefix.endswith(f"\n{REFLECT}") if row.buffer != "0" else row.prefix == ""


def sign_of_parent(row: Any, background: Background) -> bool:
    """D+ prefixes come from right completions, D- from wrong ones, a teacher's are on problems that no rollout solved."""
    if row.buffer == "0":
        return True
    if row.buffer == "t":
        return background.pass_rates.get(row.problem_id) == 0
    parent = background.rollouts.get(row.parent_id)
    return bool(parent and parent.verdict == {"+": "correct", "-": "wrong"}[row.buffer])


def box_marked(row: Any, _: Background) -> bool:
    return row.prefix_has_answer == (extract_answer(row.prefix) is not None)


def answer_of_problem(row: Any, background: Background) -> bool:
    problem = background.problems.get(row.problem_id)
    return bool(problem and (problem.answer, problem.answer_kind, problem.decimals) == (row.answer, row.answer_kind, row.decimals))


# -- pairs


def chosen_differs(row: Any, _: Background) -> bool:
    return row.chosen != row.rejected


def signs_differ(row: Any, background: Background) -> bool:
    """The chosen completion is graded correct, the rejected one is not."""
    return _verdict(row.chosen, row, background) == "correct" != _verdict(row.rejected, row, background)


def pair_of_parents(row: Any, background: Background) -> bool:
    """Both completions are the rollouts whose ids the pair carries, of this problem."""
    parents = [background.rollouts.get(key) for key in (row.chosen_id, row.rejected_id)]
    texts = [parent.completion for parent in parents if parent and parent.problem_id == row.problem_id]
    return texts == [row.chosen, row.rejected]


def rewards_differ(row: Any, _: Background) -> bool:
    return row.reward_chosen > row.reward_rejected


def rewards_of_parents(row: Any, background: Background) -> bool:
    """Chosen and rejected are plans of this problem's trajectories, with their rewards."""
    found = [background.trajectories[key] for key in row.parents if key in background.trajectories]
    known = {(parent.plan, parent.reward) for parent in found if parent.problem_id == row.problem_id}
    return {(row.chosen, row.reward_chosen), (row.rejected, row.reward_rejected)} <= known


def interval_of_difference(row: Any, _: Background) -> bool:
    """The difference of the rewards lies in its interval, and `clear` says whether the interval lies above 0."""
    apart, (low, high) = row.reward_chosen - row.reward_rejected, row.interval or (1.0, -1.0)
    return low <= apart <= high and row.clear == (low > 0)


# -- problems, corpus


def instance_disjoint(row: Any, background: Background) -> bool:
    return background.sides.new_instance(row.instance)


def text_disjoint(row: Any, background: Background) -> bool:
    return background.sides.new_text(row.prompt + row.completion)


def words(row: Any, _: Background) -> float:
    return float(len(normalised(row.completion).split()))
