"""Which templates L_struct is held out from, and what is said of them."""

from math import exp

import pytest

from factory.language.prompting import Prompts
from factory.templates.descriptions import structure_examples
from factory.templates.structure import report, spans_of, split_templates


def rows_of(kit, count: int):
    return structure_examples([kit.template(f"t{number}") for number in range(count)], Prompts.of("laptop"))


@pytest.mark.parametrize(
    ("share", "count", "heldout"), [(0.0, 14, 0), (0.3, 14, 4), (0.01, 14, 1), (1.0, 14, 13), (0.5, 1, 0), (0.5, 2, 1)]
)
def test_a_share_is_held_out_and_one_at_least_is_on_each_side(planner_kit, share, count, heldout):
    rows = rows_of(planner_kit, count)
    trained, held = split_templates(rows, share, 1)
    assert len(held) == heldout
    assert sorted(row.id for row in [*trained, *held]) == sorted(row.id for row in rows)


def test_the_draw_is_the_seeds_and_does_not_depend_on_the_order(planner_kit):
    rows = rows_of(planner_kit, 14)
    drawn = [{row.id for row in split_templates(order, 0.3, seed)[1]} for order, seed in ((rows, 1), (rows[::-1], 1), (rows, 2))]
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_loss_is_on_description_and_scope_and_not_on_the_words_that_introduce_them(planner_kit):
    (row,) = structure_examples([planner_kit.template("put together")], Prompts.of("laptop"))
    edges = spans_of(row.completion)
    assert [row.completion[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)] == ["Add what comes in.", "There is a gain."]


def test_means_are_over_tokens_and_n_is_said(planner_kit):
    rows = rows_of(planner_kit, 3)
    found = report(rows, rows[:2], [(4.0, 4), (2.0, 8), (6.0, 6)], [(0.4, 4), (0.8, 8), (3.0, 6)])
    assert found["described"] == 2
    assert found["trained"] == {
        "templates": 2, "tokens": 12, "before": 0.5, "perplexity_before": round(exp(0.5), 3), "after": 0.1,
        "perplexity_after": round(exp(0.1), 3),
    }  # fmt: skip
    assert (found["heldout"]["templates"], found["heldout"]["before"], found["heldout"]["after"]) == (1, 1.0, 0.5)
    assert [(row["trained"], row["before"], row["after"]) for row in found["templates"]] == [
        (True, 1.0, 0.1), (True, 0.25, 0.1), (False, 1.0, 0.5),
    ]  # fmt: skip
    nothing = report([], rows, [], [])
    assert (nothing["described"], nothing["heldout"]["templates"], nothing["heldout"]["after"]) == (3, 0, None)
