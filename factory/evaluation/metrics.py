"""Evaluated answers → `data/evaluation/metrics.json`.

    {"models": {"base": {"heldout": {"pass@1": 0.41, "ci95": [0.38, 0.44], "n": 1000, "groups": {"easy": {…}, "hard": {…}},
                                     "families": {…}}, "unseen": {…}}, …},
     "self_correction": {"policy_r1": {"wrong_to_right": 40, "right_to_wrong": 9, "share": 0.8163, "n": 312, "no_answer_before": 200}, …},
     "planner": {"direct": {"heldout": {…}, "unseen": {…}}, …}, "cost": {"direct": {"tokens": 61200, "calls": 2000, "n": 2000}, …},
     "settling": {"early": {…}, "end": {…}, "gain": {"difference": 0.01, "ci95": [-0.02, 0.04], "n": 300}},
     "differences": {"policy_r1 - base": {"heldout": {"difference": 0.09, "ci95": [0.06, 0.12], "n": 1000, "above": true}, …}}}

A failed or unparsable answer counts as wrong. Figures are rounded to four digits, so that the file is stable.
Self-correction: Satori, section 5 (share of wrong → right among the changed answers).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from factory.coat.grammar import REFLECT, before_reflection
from factory.evaluation.statistics import paired_bootstrap, wilson
from factory.grading import extract_answer, grade_answer
from factory.identity import seed_for
from factory.schemas import Answer, Problem

SPLITS = ("heldout", "unseen")
UNGROUPED = ("", "none")
PLANNER_ARMS = ("direct", "random_template", "sft", "dpo", "dpo_agreed", "oracle", "interplay", "interplay_adjusted")
WITHOUT_REFLECTION = ("base", "cot_control")  # never shown a `<|reflect|>`
Arms = dict[str, list[Answer]]


def name_of(answer: Answer) -> str:
    """`policy_r1@3fa9…` → `policy_r1`."""
    return answer.model.split("@", 1)[0]


def accuracy(answers: Sequence[Answer]) -> dict[str, Any]:
    correct = sum(answer.verdict == "correct" for answer in answers)
    low, high = wilson(correct, len(answers))
    share = correct / len(answers) if answers else 0.0
    return {"pass@1": round(share, 4), "ci95": [round(low, 4), round(high, 4)], "n": len(answers)}


def groups_of(rows: Iterable[Answer | Problem]) -> list[str]:
    """The groups that rows name, sorted: whatever the problems were labelled with."""
    return sorted({row.group for row in rows} - set(UNGROUPED))


def by_split(answers: Sequence[Answer]) -> dict[str, Any]:
    """Accuracy of every split that was answered, whole, by group and by family."""
    found: dict[str, Any] = {}
    for split in SPLITS:
        rows = [answer for answer in answers if answer.split == split]
        if rows:
            found[split] = accuracy(rows)
            found[split]["groups"] = _parts(rows, lambda answer: answer.group, groups_of(rows))
            found[split]["families"] = _parts(rows, lambda answer: answer.family, sorted({row.family for row in rows}))
    return found


def _parts(rows: Sequence[Answer], key: Callable[[Answer], str], names: Iterable[str]) -> dict[str, Any]:
    parts = {name: [row for row in rows if key(row) == name] for name in names}
    return {name: accuracy(part) for name, part in parts.items() if part}


def self_correction(answers: Sequence[Answer], problems: Mapping[str, Problem]) -> dict[str, Any]:
    """Over responses with a boxed answer before their first `<|reflect|>`: that answer against the last one.

    `n` counts those responses; `no_answer_before` the reflecting ones without a box there; `share` is None when no answer changed sides.
    """
    counts = {"wrong_to_right": 0, "right_to_wrong": 0, "n": 0, "no_answer_before": 0}
    for answer in answers:
        if REFLECT not in answer.completion:
            continue
        if (was_right := right_before(answer, problems[answer.problem_id])) is None:
            counts["no_answer_before"] += 1
            continue
        is_right = answer.verdict == "correct"
        counts["n"] += 1
        counts["wrong_to_right"] += is_right and not was_right
        counts["right_to_wrong"] += was_right and not is_right
    changed = counts["wrong_to_right"] + counts["right_to_wrong"]
    return {**counts, "share": round(counts["wrong_to_right"] / changed, 4) if changed else None}


def right_before(answer: Answer, problem: Problem) -> bool | None:
    """Whether the answer boxed before the first `<|reflect|>` was right; None without one."""
    if REFLECT not in answer.completion or (first := extract_answer(before_reflection(answer.completion))) is None:
        return None
    return grade_answer(first, problem.answer, problem.answer_kind, problem.decimals).correct


def corrected(answer: Answer, problem: Problem) -> tuple[int, int]:
    """(1 when it ends right all the same, 1 when its first attempt is not right).

    The first attempt is what stands before the first `<|reflect|>`, the whole answer where there is none; it is right when it boxes the
    right answer. An attempt that was given up before its box is not.
    """
    ends_right = answer.verdict == "correct"
    failed = not right_before(answer, problem) if REFLECT in answer.completion else not ends_right
    return int(failed and ends_right), int(failed)


def difference(a: Sequence[Answer], b: Sequence[Answer], *, resamples: int, seed: int, name: str) -> dict[str, Any]:
    """Paired over the problems that both arms answered, per split and per group within it."""
    scores_a, scores_b = ({answer.problem_id: answer for answer in arm} for arm in (a, b))
    shared = [scores_a[key] for key in sorted(scores_a.keys() & scores_b.keys())]

    def compare(rows: Sequence[Answer], part: str) -> dict[str, Any]:
        right_a = [float(scores_a[row.problem_id].verdict == "correct") for row in rows]
        right_b = [float(scores_b[row.problem_id].verdict == "correct") for row in rows]
        mean, low, high = paired_bootstrap(right_a, right_b, resamples=resamples, seed=seed_for(seed, "bootstrap", name, part))
        return {"difference": round(mean, 4), "ci95": [round(low, 4), round(high, 4)], "n": len(rows), "above": low > 0}

    found: dict[str, Any] = {}
    for split in SPLITS:
        rows = [row for row in shared if row.split == split]
        if rows:
            groups = {group: [row for row in rows if row.group == group] for group in groups_of(rows)}
            found[split] = compare(rows, split)
            found[split]["groups"] = {group: compare(part, f"{split} {group}") for group, part in groups.items() if part}
    return found


def settling(early: Sequence[Answer], end: Sequence[Answer], *, resamples: int, seed: int) -> dict[str, Any]:
    """Accuracies at 4/5 of the base's pretraining and at its end, on the same problems, and the difference with its interval."""
    scores = [[float(row.verdict == "correct") for row in sorted(rows, key=lambda row: row.problem_id)] for rows in (end, early)]
    gain, low, high = paired_bootstrap(*scores, resamples=resamples, seed=seed_for(seed, "bootstrap", "settling"))
    return {
        "early": accuracy(early), "end": accuracy(end),
        "gain": {"difference": round(gain, 4), "ci95": [round(low, 4), round(high, 4)], "n": len(end)},
    }  # fmt: skip


def comparisons(models: Sequence[str], arms: Sequence[str]) -> list[tuple[str, str]]:
    """Which pairs the papers' claims are about: (arm, what it is compared with)."""
    tuned = [name for name in models if name.startswith(("policy_", "distilled_"))]
    pairs = [("format_tuned", other) for other in ("base", "cot_control")]
    pairs += [(name, other) for name in tuned for other in ("base", "format_tuned", "cot_control")]
    pairs = [(a, b) for a, b in pairs if a in models and b in models]
    planner = [("dpo", "sft"), ("dpo", "random_template"), ("dpo", "direct"), ("sft", "random_template"), ("sft", "direct")]
    planner += [("oracle", "direct"), ("oracle", "dpo"), ("interplay", "dpo"), ("dpo_agreed", "direct"), ("dpo_agreed", "sft")]
    planner += [("interplay_adjusted", "interplay")]
    return pairs + [(a, b) for a, b in planner if a in arms and b in arms]


def cost(answers: Sequence[Answer]) -> dict[str, int]:
    """Generated tokens and calls, plans included, over `n` problems."""
    return {"tokens": sum(row.tokens for row in answers), "calls": sum(row.calls for row in answers), "n": len(answers)}


def compute(answers: Sequence[Answer], problems: Sequence[Problem], *, resamples: int, seed: int) -> dict[str, Any]:
    """The whole metrics document. `planner` in `cost` is the arm `dpo`, or `sft` where there is none."""
    models: Arms = {}
    arms: Arms = {}
    for answer in sorted(answers, key=lambda row: row.id):
        if answer.arm == "policy":
            models.setdefault(name_of(answer), []).append(answer)
        else:
            arms.setdefault(answer.arm, []).append(answer)
    known = {problem.id: problem for problem in problems}
    everyone = {**models, **arms}
    planned = arms.get("dpo", arms.get("sft", []))
    return {
        "models": {name: by_split(models[name]) for name in sorted(models)},
        "self_correction": {name: self_correction(models[name], known) for name in sorted(models) if name not in WITHOUT_REFLECTION},
        "planner": {arm: by_split(arms[arm]) for arm in PLANNER_ARMS if arm in arms},
        "cost": {arm: cost(arms[arm]) for arm in PLANNER_ARMS if arm in arms} | ({"planner": cost(planned)} if planned else {}),
        "differences": {
            f"{a} - {b}": difference(everyone[a], everyone[b], resamples=resamples, seed=seed, name=f"{a} - {b}")
            for a, b in comparisons(sorted(models), sorted(arms))
        },
    }
