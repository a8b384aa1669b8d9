r"""The planner's third view (ReasonFlux §3.3, "evaluate and adjust"): a plan whose first steps are carried out → what is done next.

    Adjustment(choice="fetch", completion="other", place=1, steps=("12 + 7 = 19",), value_keep=0.0, n_keep=4, value_fetch=0.5, n_fetch=16,
               gain=0.5, interval=(0.0, 0.72), margin=0.5, parents=("9d02…", "51aa…", …), …)

Nothing is sampled: the trajectories of one problem that begin alike say what each choice was worth. Defined here, since the paper does
not. A *state* is a problem, a recorded plan T = (t₁ … tₙ), and a place k from 1 to n: t₁ … tₖ are carried out. *Steps so far* are the
first k steps (lines, or paragraphs: `steps` of the params) of the problem's own guided solution under T, one a template as in the loop,
none of them with the final answer. The *value* of a choice is the mean verdict of all decodes over X_sim under the plans that do so:

    keep     T itself
    revise   plans that begin t₁ … tₖ and go on otherwise, with at least one more template
    fetch    plans that begin t₁ … tₖ₋₁ and have another template than tₖ in its place
    stop     the plan t₁ … tₖ, where k < n

The best other choice is the label where it beats `keep` by `margin` at least, else `keep`: ties keep. Of equal others the one that undoes
least: stop, revise, fetch. The interval of the difference is Newcombe's (1998, method 10) of two proportions.

Left out, as rejects with their reason: plans of no template, solutions with fewer steps before the answer than the plan has templates,
places where no other plan was recorded, and what is above `per_problem` and `keep_share`, drawn by id.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from factory.identity import row_id, seed_for
from factory.language.steps import By
from factory.params import Params
from factory.rejects import reject
from factory.schemas import Conversation, Reject, Template, Trajectory
from factory.tables import Adjustment
from factory.templates.adjusting import SPOKEN, prompts_of, question
from factory.templates.interplay import parse_plan
from factory.templates.judged import Judged, by_problem, judge, related, steps_before_answer


def make_adjustments(
    trajectories: Sequence[Trajectory], problems: dict[str, str], templates: Sequence[Template], params: Params
) -> tuple[list[Adjustment], list[Reject]]:
    """`problems`: id → text. Every place of every recorded solution is a row or a reject, an empty plan one reject."""
    section, by_id = params.require("adjustments"), {template.id: template for template in templates}
    asking = prompts_of(params.asked_with("labeller"))
    rows, rejects = list[Adjustment](), list[Reject]()
    states = 0
    for group in by_problem(trajectories):
        for parent in group:
            places = len(parent.template_ids)
            for place, steps in _states(parent, params.steps):
                states += 1
                judged = judge(parent.template_ids, place, group) if len(steps) == place else None
                if judged is None:
                    rejects.append(_left_out(parent, place, _why(parent, place, steps)))
                    continue
                known = all(key in by_id for key in parent.template_ids)  # else they were planned by name and tags alone
                plan = [by_id[key] for key in parent.template_ids] if known else parse_plan(parent.plan, (), retrieval="none")
                prompt = question(asking, problems[parent.problem_id], plan, steps)
                rows.append(_row(parent, place, steps, prompt, asking.version("evaluate"), judged, section.margin, group))
            if not places:
                states += 1
                rejects.append(_left_out(parent, 0, "plan of no template"))
    kept, others = _drawn(rows, section.per_problem, section.keep_share, params.seed)
    rejects += [_left_out(row, row.place, reason) for row, reason in others]
    assert len(kept) + len(rejects) == states
    return kept, rejects


def _states(parent: Trajectory, by: By) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(place, the steps so far) of every different recorded solution of the problem itself; too few steps where it has no more."""
    seen: set[tuple[str, ...]] = set()
    for solution in parent.instantiations or ("",):
        steps = steps_before_answer(solution, by)
        for place in range(1, len(parent.template_ids) + 1):
            so_far = steps[:place]
            if len(so_far) == place and so_far in seen:
                continue  # as in an earlier solution
            seen.add(so_far)
            yield place, so_far


def _why(parent: Trajectory, place: int, steps: Sequence[str]) -> str:
    if not parent.instantiations:
        return "no guided solution recorded"
    return "answered before this place" if len(steps) < place else "no other plan recorded"


def _row(
    parent: Trajectory, place: int, steps: tuple[str, ...], prompt: Conversation, version: str, judged: Judged, margin: float,
    group: Sequence[Trajectory],
) -> Adjustment:  # fmt: skip
    choice, counts = judged.choice(margin), judged.counts
    compared = [row.id for _, row in related(parent.template_ids, place, group) if row is not parent]
    return Adjustment(
        id=row_id("adjustment", parent.id, place, steps), model=parent.model, request_ids=parent.request_ids, prompt_version=version,
        seed=parent.seed, round=parent.round, parents=(parent.id, *compared), problem_id=parent.problem_id, prompt=prompt,
        completion=SPOKEN[choice], choice=choice, place=place, steps=steps, template_ids=parent.template_ids,
        value_keep=counts["keep"].right / counts["keep"].n, value_revise=counts["revise"].value, value_fetch=counts["fetch"].value,
        value_stop=counts["stop"].value, n_keep=counts["keep"].n, n_revise=counts["revise"].n, n_fetch=counts["fetch"].n,
        n_stop=counts["stop"].n, gain=judged.gain, interval=judged.interval, margin=margin,
    )  # fmt: skip


def _left_out(row: Trajectory | Adjustment, place: int, reason: str) -> Reject:
    plan = row.template_ids
    gain = {"choice": row.choice, "gain": row.gain} if isinstance(row, Adjustment) else {}
    return reject("adjustments", {"problem_id": row.problem_id, "template_ids": plan, "place": place, **gain}, reason, row.id)


def _drawn(
    rows: Sequence[Adjustment], per_problem: int, keep_share: float, seed: int
) -> tuple[list[Adjustment], list[tuple[Adjustment, str]]]:
    """At most `per_problem` rows a problem and `keep_share` of all that keep, drawn by id; and the others, with why."""
    order = sorted(rows, key=lambda row: seed_for(seed, "adjustments", row.id))
    kept, left = list[Adjustment](), list[tuple[Adjustment, str]]()
    drawn = Counter[str]()
    for row in order:
        drawn[row.problem_id] += 1
        (kept.append(row) if drawn[row.problem_id] <= per_problem else left.append((row, "more states of this problem")))
    adjusting = [row for row in kept if row.choice != "keep"]
    keeping = [row for row in kept if row.choice == "keep"]
    most = len(keeping) if keep_share >= 1 else int(len(adjusting) * keep_share / (1 - keep_share))
    left += [(row, "more that keep the plan") for row in keeping[most:]]
    return adjusting + keeping[:most], left
