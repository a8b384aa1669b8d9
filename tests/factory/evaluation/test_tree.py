"""Selection, backing up, closing and choosing, with the arithmetic written out."""

import pytest

from factory.evaluation.tree import Node, Solution, chosen, most_visited, select


def grown() -> tuple[Node, Node, Node]:
    root, often, good = Node(""), Node("a\n", prior=0.75), Node("b\n", prior=0.25)
    root.grow([often, good])
    often.back_up(0.4)
    good.back_up(0.6)
    return root, often, good


def test_values_count_on_the_whole_way_up() -> None:
    root, often, _ = grown()
    below = Node("a\nc\n", prior=1.0)
    often.grow([below])
    below.back_up(0.8)
    assert (below.visits, below.mean) == (1, 0.8)
    assert (often.visits, often.mean) == (2, pytest.approx(0.6))
    assert (root.visits, root.mean) == (3, pytest.approx(0.6))


def test_what_is_tried_weighs_value_and_share_of_samples() -> None:
    root, often, good = grown()
    # root has 2 visits: 0.4 + √2 · 0.75 / 2 = 0.93 and 0.6 + √2 · 0.25 / 2 = 0.78; without the bonus 0.4 and 0.6
    assert select(root, explore=1.0) is often
    assert select(root, explore=0.0) is good
    for _ in range(4):
        often.back_up(0.4)
    # 6 visits: 0.4 + √6 · 0.75 / 6 = 0.71 and 0.6 + √6 · 0.25 / 2 = 0.91
    assert select(root, explore=1.0) is good


def test_of_equals_the_first_is_tried() -> None:
    root, first, second = Node(""), Node("a\n", prior=0.5), Node("b\n", prior=0.5)
    root.grow([first, second])
    first.back_up(0.5)
    second.back_up(0.5)
    assert select(root, explore=1.0) is first


def test_a_closed_branch_is_not_tried_again_and_closes_what_has_no_other() -> None:
    root, often, good = grown()
    below = Node("a\nc")
    often.grow([below])
    below.back_up(1.0)
    below.close()
    assert often.closed
    assert not root.closed
    assert select(root, explore=1.0) is good
    good.close()
    assert root.closed
    assert select(root, explore=1.0) is None


def test_three_ways_to_choose() -> None:
    root, often, good = grown()
    right, other, best = Node("a\nc"), Node("a\nd"), Node("b\ne")
    often.grow([right, other])
    good.grow([best])
    for node, answer, value in ((right, "7", 0.6), (other, "7", 0.5), (best, "8", 0.9)):
        node.back_up(value)
        node.solve(Solution(node.text, answer, value))
        node.close()
    assert root.reaches
    assert chosen(root, "visits") == Solution("a\nc", "7", 0.6)  # often has 3 visits, good 2; then 0.6 before 0.5
    assert chosen(root, "value") == Solution("b\ne", "8", 0.9)
    assert chosen(root, "vote") == Solution("a\nc", "7", 0.6)  # 0.6 + 0.5 against 0.9


def test_the_path_with_an_answer_is_followed_where_a_busier_one_has_none() -> None:
    root, often, good = grown()
    often.grow([Node("a\nc\n"), Node("a\nd\n")])
    for child in often.children:
        child.back_up(0.9)
    good.solve(Solution("b", "8", 0.1))
    assert most_visited(root, solved=False) is often.children[0]
    assert chosen(root, "visits") == Solution("b", "8", 0.1)


def test_a_tree_without_a_solution_chooses_none() -> None:
    assert [chosen(grown()[0], by) for by in ("visits", "value", "vote")] == [None, None, None]
