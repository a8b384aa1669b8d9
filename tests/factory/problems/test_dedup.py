"""Duplicates: numbers, signs and answers decide first, words second; contradictions go; a survivor always stays."""

import dataclasses
import json
import random
import time

import pytest

from factory.params import World
from factory.problems.dedup import CONTRADICTION, deduplicate
from factory.problems.lexer import tokens
from factory.problems.similar import Index, jaccard, shingles
from factory.problems.world import draw_problems
from factory.schemas import AnswerKind, Problem, Reject

STORY = (
    "Tom has {a} apples in his basket and buys {b} more apples at the market near the old bridge in the morning. "
    "How many apples does he have now?"
)


def problem(
    key: str, text: str, answer: str = "1", kind: AnswerKind = "number", instance: str | None = None, solution: str | None = None
) -> Problem:
    return Problem(
        id=key, source="s", family="s", group="none", split="train", instance=instance or key, problem=text, answer=answer,
        answer_kind=kind, solution=solution,
    )  # fmt: skip


def fates(rejects: list[Reject]) -> dict[str, tuple[str, str | None]]:
    return {json.loads(row.row)["id"]: (row.reason, row.parent_id) for row in rejects}


def test_other_numbers_are_another_problem() -> None:
    keep, rejects = deduplicate([problem("a", STORY.format(a=3, b=4)), problem("b", STORY.format(a=3, b=5))], 0.5)
    assert len(keep) == 2
    assert rejects == []


def test_exact_and_near_duplicates() -> None:
    text = STORY.format(a=3, b=4)
    other = "Zoe has 3 cats and 4 dogs. How many?"
    rows = [problem("c", text.upper()), problem("a", text), problem("b", text.replace("old ", "")), problem("d", other)]
    keep, rejects = deduplicate(rows, 0.7)
    assert [row.id for row in keep] == ["a", "d"]
    assert {(row.reason, row.parent_id) for row in rejects} == {("near-duplicate", "a"), ("exact duplicate", "a")}
    assert len(deduplicate(rows, 0.95)[0]) == 3  # one word less is another problem for a stricter threshold


LONG = (
    "A teacher writes an exercise on the board for the class of this year and asks the pupils to be careful: what is {} when everything is "
    "written down in full and checked by a neighbour before the lesson ends with the usual song?"
)


@pytest.mark.parametrize("texts", [
    ["9 + 4", "9 - 4", "9 * 4", "9 / 4", "9 ^ 4", "9 = 4", "94", "-9 + 4", "9! + 4", "9% + 4", "(9 + 4)"],
    ["the root of y for y > 1", "the root of y for y < 1", "the root of y for y ≥ 1", "the root of z for y > 1", "the root of y for y ≠ 1"],
    [r"\frac{p}{q}", r"\sqrt{p}{q}", r"p^{q}", r"p_{q}", r"\binom{p}{q}", r"\log_p q"],
    ["A ∪ B", "A ∩ B", "A ⊂ B", r"A \setminus B"],
    ["the even part", "the odd part", "not the even part", "more than the even part"],
    ["6 metres", "6 miles", "6%", "$6", "six metres"],
])  # fmt: skip
def test_signs_relations_commands_and_units_tell_problems_apart(texts: list[str]) -> None:
    rows = [problem(f"{n:02}", LONG.format(text)) for n, text in enumerate(texts)]
    assert deduplicate(rows, 0.5) == (rows, [])


@pytest.mark.parametrize(("first", "second"), [
    ("def f(n):\n    t = 0\n    for i in range(n):\n        t += i\n        t *= 2\n    return t\n\nWhat is f(4)?",
     "def f(n):\n    t = 0\n    for i in range(n):\n        t += i\n    t *= 2\n    return t\n\nWhat is f(4)?"),
    ("while n:\n\tn -= 1\n\tk += 1\nprint(k)\nWhat is printed for n = 3, k = 0?",
     "while n:\n\tn -= 1\nk += 1\nprint(k)\nWhat is printed for n = 3, k = 0?"),
    ("Add the rows of this matrix:\n1 2\n3 4\n5 6", "Add the rows of this matrix:\n1 2 3\n4 5 6"),
    ("How many signs has 'one  word' in this sentence of a book?", "How many signs has 'one word' in this sentence of a book?"),
])  # fmt: skip
def test_white_space_that_means_something(first: str, second: str) -> None:
    for answers in (("1", "1"), ("1", "2")):
        rows = [problem("a", first, answers[0]), problem("b", second, answers[1])]
        assert deduplicate(rows, 0.5) == (rows, [])


def test_texts_without_spaces_are_compared_by_characters() -> None:
    text = "小明有{}个苹果，他在市场上又买了{}个苹果，然后把其中的一半送给了他的好朋友小红，请问小明现在还剩下几个苹果？"
    rows = [problem("a", text.format(3, 4)), problem("b", text.format(3, 5)), problem("c", text.format(3, 4).replace("好朋友", "朋友"))]
    keep, rejects = deduplicate(rows, 0.8)
    assert [row.id for row in keep] == ["a", "b"]
    assert fates(rejects) == {"c": ("near-duplicate", "a")}


def test_gold_answers_that_differ_are_never_merged() -> None:
    text = STORY.format(a=3, b=4)
    rows = [problem("a", text, "7"), problem("b", text.replace("old ", ""), "8"), problem("c", text.replace("old ", "ancient "), "7.0")]
    keep, rejects = deduplicate(rows, 0.7)
    assert [row.id for row in keep] == ["a", "b"]
    assert fates(rejects) == {"c": ("near-duplicate", "a")}


def test_the_same_words_elsewhere_are_another_problem() -> None:
    text = (
        "Ann, Bob and Cid hold a red, a green and a blue ball. {} and {} swap, then Bob and Cid swap. Who has the red one? (A) Ann (B) Bob"
    )
    rows = [
        problem(key, text.format(*names), "A", "choice")
        for key, names in (("a", ("Ann", "Bob")), ("b", ("Bob", "Ann")), ("c", ("Ann", "Cid")))
    ]
    assert len(deduplicate(rows, 0.6)[0]) == 3


@pytest.mark.parametrize(("answers", "kind"), [
    (["7", "8", "6"], "number"), (["1/2", "0.5", "1/3"], "number"), ([r"\frac{1}{2}", r"\frac{2}{1}"], "math"), (["B", "(C)"], "choice"),
    (["yes", "no", "yes"], "label"), (["[1, 2]", "[2, 1]"], "literal"), (["Paris", "Rome"], "text"),
])  # fmt: skip
@pytest.mark.parametrize("seed", range(3))
def test_one_text_with_several_answers_is_no_problem(answers: list[str], kind: AnswerKind, seed: int) -> None:
    texts = ["What is the answer here, and  why?", "what is the answer here, and why?", "What is the answer\nhere, and why?"]
    rng = random.Random(seed)
    keys = rng.sample("abcdefgh", len(answers))
    rows = [problem(key, text, answer, kind) for key, text, answer in zip(keys, texts, answers, strict=False)]
    rows += [problem("x", "Another question altogether."), problem(keys[0], texts[0], answers[0], kind)]
    rng.shuffle(rows)
    keep, rejects = deduplicate(rows, 0.9)
    assert [row.id for row in keep] == ["x"]
    assert {(row.reason, row.parent_id) for row in rejects} == {(CONTRADICTION, None)}
    assert len(rejects) == len(rows) - 1


@pytest.mark.parametrize(("answers", "kind"), [
    (["0.5", "1/2", r"\frac{1}{2}"], "math"), (["1,000", "1000", "1000.0"], "number"), (["B", "(B)", r"\text{B}"], "choice"),
    (["yes", "True", "yes"], "label"), (["[1,2]", "[1, 2]"], "literal"),
])  # fmt: skip
def test_one_text_with_equal_answers_is_one_problem(answers: list[str], kind: AnswerKind) -> None:
    rows = [problem(f"{n}", "What is the answer?", answer, kind) for n, answer in enumerate(answers)]
    keep, rejects = deduplicate(rows[::-1], 0.9)
    assert keep == rows[:1]
    assert {(row.reason, row.parent_id) for row in rejects} == {("exact duplicate", "0")}


@pytest.mark.parametrize("texts", [
    ("Find AB if BC = 3.", "Find ab if bc = 3."), ("What is f('Ab')?", "What is f('ab')?"), ("Solve $X + x = 2$.", "Solve $x + x = 2$."),
    ("Is 3 -5 a list?", "Is 3 - 5 a list?"), ("How long is '5'+'5'?", "How long is 5+5?"),
])  # fmt: skip
def test_capitals_and_signs_that_mean_something_are_no_contradiction(texts: tuple[str, str]) -> None:
    rows = [problem(f"{n}", text, f"{n}") for n, text in enumerate(texts)]
    assert deduplicate(rows, 0.9) == (rows, [])


def test_the_survivor_has_a_solution() -> None:
    text = STORY.format(a=3, b=4)
    rows = [problem("a", text), problem("c", text, solution="3 + 4"), problem("b", text, solution="4 + 3"), problem("d", text + " ")]
    keep, rejects = deduplicate(rows, 0.9)
    assert [row.id for row in keep] == ["b"]
    assert {row.parent_id for row in rejects} == {"b"}


@pytest.mark.parametrize("copies", [2, 3, 40])
def test_rows_of_one_id_leave_one(copies: int) -> None:
    rows = [problem("a", STORY.format(a=3, b=4))] * copies + [problem("b", "Another one?")]
    keep, rejects = deduplicate(rows, 0.9)
    assert [row.id for row in keep] == ["a", "b"]
    assert [(row.reason, row.parent_id) for row in rejects] == [("exact duplicate", "a")] * (copies - 1)
    other = dataclasses.replace(rows[0], solution="3 + 4")
    for order in ([rows[0], other], [other, rows[0]]):
        assert deduplicate(order, 0.9)[0] == [other]


def test_world_rows_of_one_id_leave_one() -> None:
    row = problem("a", "One text.", instance="tally:1")
    keep, rejects = deduplicate([row, row, problem("b", "Other.", instance="tally:1")], 0.9)
    assert keep == [row]
    assert sorted((row.reason, row.parent_id) for row in rejects) == [("duplicate instance", "a"), ("exact duplicate", "a")]


def test_chains_of_doubles_end_at_a_row_that_stays() -> None:
    words = [
        "one",
        "by",
        "one",
        "the",
        "pupils",
        "of",
        "the",
        "old",
        "village",
        "school",
        "near",
        "the",
        "river",
        "walk",
        "home",
        "in",
        "the",
        "rain",
        "and",
        "sing",
        "a",
        "song",
        "about",
        "3",
        "ships",
    ]
    rows = []
    for n in range(30):  # each like the one before, the first and the last unlike
        words[n % len(words)] = f"word{'abcdefghij'[n % 10]}{'xyz'[n // 10]}"
        rows += [problem(f"{n:02}{copy}", " ".join(words)) for copy in "ab"]
    for seed in range(5):
        shuffled = random.Random(seed).sample(rows, len(rows))
        keep, rejects = deduplicate(shuffled, 0.7)
        assert (keep, rejects) == deduplicate(rows, 0.7)
        assert len(keep) + len(rejects) == len(rows)
        assert {row.parent_id for row in rejects} <= {row.id for row in keep}
        assert 1 < len(keep) < 30


def test_a_cluster_is_closed_and_leaves_one() -> None:
    """The first and the last of a chain are unlike, and still one problem with what stands between."""
    words = [f"w{'abcdefghijklmnopqrst'[n]}" for n in range(20)]
    rows = []
    for n in range(10):
        words[n] += "x"
        rows.append(problem(f"{9 - n:02}", " ".join(words), solution="so it is" if n in (4, 6) else None))
    assert jaccard(shingles(tokens(rows[0].problem)), shingles(tokens(rows[-1].problem))) < 0.3
    keep, rejects = deduplicate(rows, 0.7)
    assert [row.id for row in keep] == ["03"], "the lowest id of those with a solution"
    assert {(row.reason, row.parent_id) for row in rejects} == {("near-duplicate", "03")}
    assert len(deduplicate(rows, 0.95)[0]) == 10


@pytest.mark.parametrize("around", [
    "Solve the following problem step by step.\n\n{}\n\nAnswer:", "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
    "### Instruction 3:\n{}\n\n### Response:", '{{"role": "user", "content": "{}"}}', "Question 7: {} Write #### and the number in 1 line.",
])  # fmt: skip
def test_a_problem_in_an_instruction_is_a_double_and_the_bare_one_stays(around: str) -> None:
    text = STORY.format(a=3, b=4)
    rows = [problem("b", text, "7"), problem("a", around.format(text), "7"), problem("c", around.format(STORY.format(a=3, b=5)), "8")]
    keep, rejects = deduplicate(rows, 0.9)
    assert [row.id for row in keep] == ["b", "c"]
    assert fates(rejects) == {"a": ("near-duplicate", "b")}
    other = [rows[0], dataclasses.replace(rows[1], answer="8")]
    assert deduplicate(other, 0.9)[1] == [], "with another answer the rest of the text asks something else"
    solved = [rows[0], dataclasses.replace(rows[1], solution="3 + 4 = 7")]
    assert [row.id for row in deduplicate(solved, 0.9)[0]] == ["a"], "a solution counts more"


def test_the_order_of_rows_decides_nothing() -> None:
    rng = random.Random(3)
    words = ["red", "blue", "cat", "dog", "has", "buys", "3", "4", "+", "-", "x", "not", "Tom", "Ann"]
    rows = [problem(f"{n:03}", " ".join(rng.choices(words, k=rng.choice([2, 3, 9]))), rng.choice("12")) for n in range(300)]
    rows += rng.sample(rows, 40)
    wanted = deduplicate(rows, 0.5)
    assert len(wanted[0]) + len(wanted[1]) == len(rows)
    for _ in range(5):
        rng.shuffle(rows)
        assert deduplicate(rows, 0.5) == wanted


@pytest.mark.slow
def test_an_index_finds_what_all_pairs_find() -> None:
    """Planted doubles are found, and nothing else."""
    rng = random.Random(1)
    words = [f"w{n}" for n in ("abcdefghij"[n % 10] * (n // 10 + 1) for n in range(60))]
    texts = [" ".join(rng.choice(words) for _ in range(40)) for _ in range(200)]
    texts += [text.replace(text.split()[20], "other", 1) for text in texts[:100]]
    sets = [shingles(tokens(text)) for text in texts]
    for threshold in (0.4, 0.8, 1.0):
        index, found = Index(sets, threshold), set()
        for at in range(len(sets)):
            found |= {(earlier, at) for earlier in index.similar(at)}
            index.add(at)
        assert found == {(i, j) for j in range(len(sets)) for i in range(j) if jaccard(sets[i], sets[j]) >= threshold}
    assert len([1 for i, j in [(n, n + 200) for n in range(100)] if jaccard(sets[i], sets[j]) >= 0.8]) >= 90


def test_world_duplicates_are_instances() -> None:
    rows = draw_problems(World(train=120, dev=12, heldout=12, unseen=10, max_steps=4, max_number=99), seed=1)
    assert deduplicate(rows, 0.9) == (rows, [])
    twin = problem("0" * 20, "Another wording.", instance=rows[0].instance)
    keep, rejects = deduplicate([*rows, twin], 0.9)
    assert len(keep) == len(rows)
    assert [(row.reason, row.parent_id) for row in rejects] == [("duplicate instance", twin.id)]


@pytest.mark.slow
@pytest.mark.parametrize("names", [1, 1000])
def test_look_alikes_take_linear_time(names: int) -> None:
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghij", k=6)) for _ in range(2000)]
    wordings = [rng.choices(words, k=40) for _ in range(100)]
    rows = []
    for n in range(20_000):
        text = list(rng.choice(wordings))
        text[7], text[23], text[0] = str(rng.randint(1, 999)), str(rng.randint(1, 999)), words[rng.randrange(names)]
        rows.append(problem(f"{n:05}", " ".join(text), str(n)))
    start = time.process_time()
    keep, rejects = deduplicate(rows, 0.9)
    assert time.process_time() - start < 10  # 1.5 s on a quiet core
    assert len(keep) + len(rejects) == 20_000
