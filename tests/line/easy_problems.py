"""Problems that a model of 135M parameters solves one time in three, as a user's own file: question, answer, solution."""

import json
import random
from pathlib import Path

STORIES = (
    "{name} has {a} {things} and buys {b} boxes of {c} {things}. How many {things} has {name} now?",
    "{name} has {a} {things} and finds {b} boxes of {c} {things}. How many {things} has {name} now?",
)
NAMES = ("Mia", "Tom", "Ada", "Ben", "Zoe", "Max")
THINGS = ("apples", "pens", "books", "shells", "coins")


def write(path: Path, count: int) -> None:
    """`count` rows of JSONL, always the same ones."""
    draw, rows = random.Random(15), dict[str, dict[str, str]]()
    while len(rows) < count:
        a, b, c = draw.randint(1, 9), draw.randint(2, 3), draw.randint(2, 4)
        question = draw.choice(STORIES).format(name=draw.choice(NAMES), things=draw.choice(THINGS), a=a, b=b, c=c)
        solution = f"{b} * {c} = {b * c}\n{a} + {b * c} = {a + b * c}"
        rows[question] = {"question": question, "answer": str(a + b * c), "solution": solution}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows.values()), encoding="utf-8")
