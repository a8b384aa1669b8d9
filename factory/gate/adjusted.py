"""Checks of the planner's third view, as those of checks.py: is a state that of its trajectory, and its label what the decodes say?

values_of_parents(row, background)   → False for a value that the recorded decodes do not have
"""

from factory.gate.background import Background
from factory.grading import extract_answer
from factory.language.conversation import flat
from factory.language.steps import unnumbered
from factory.tables import ADJUSTS, Adjustment
from factory.templates.choices import read_choice
from factory.templates.judged import ROUNDING, judge, steps_before_answer


def state_of_parent(row: Adjustment, background: Background) -> bool:
    """The plan of the first parent and the first steps of one of its solutions, which the prompt shows."""
    parent = background.trajectories.get(row.parents[0]) if row.parents else None
    if not parent or (parent.problem_id, parent.template_ids) != (row.problem_id, row.template_ids) or len(row.steps) != row.place:
        return False
    recorded = {steps_before_answer(text, background.steps)[: row.place] for text in parent.instantiations}
    said = " ".join(flat(row.prompt).split())
    shown = (*parent.plan.splitlines(), *map(unnumbered, row.steps))
    return row.steps in recorded and all(" ".join(text.split()) in said for text in shown)


def answer_not_given(row: Adjustment, _: Background) -> bool:
    return all(extract_answer(step) is None for step in row.steps)


def values_of_parents(row: Adjustment, background: Background) -> bool:
    """Counted again over the trajectories whose ids the row carries, all of its problem."""
    found = [background.trajectories[key] for key in row.parents if key in background.trajectories]
    judged = judge(row.template_ids, row.place, found)
    if len(found) < len(row.parents) or {one.problem_id for one in found} != {row.problem_id} or judged is None:
        return False
    counts = {choice: (getattr(row, f"value_{choice}"), getattr(row, f"n_{choice}")) for choice in ADJUSTS}
    same = counts == {choice: (judged.counts[choice].value, judged.counts[choice].n) for choice in ADJUSTS}
    return same and (judged.gain, judged.interval) == (row.gain, row.interval)


def choice_of_values(row: Adjustment, _: Background) -> bool:
    """By the row's own columns: the plan is kept unless the best other choice gains the margin, and then that one is made."""
    values = {choice: value for choice in ADJUSTS if (value := getattr(row, f"value_{choice}")) is not None}
    best = max((value for choice, value in values.items() if choice != "keep"), default=None)
    if best is None or abs(best - row.value_keep - row.gain) > ROUNDING:
        return False
    adjusts = row.gain > 0 and row.gain >= row.margin - ROUNDING
    return adjusts == (row.choice != "keep") and (not adjusts or abs(values.get(row.choice, -1) - best) < ROUNDING)


def choice_said(row: Adjustment, _: Background) -> bool:
    read = read_choice(row.completion)
    return read is not None and read.choice == row.choice


def interval_holds_gain(row: Adjustment, _: Background) -> bool:
    return len(row.interval) == 2 and -1 <= row.interval[0] <= row.gain <= row.interval[1] <= 1


CHECKS = (state_of_parent, answer_not_given, values_of_parents, choice_of_values, choice_said, interval_holds_gain)
