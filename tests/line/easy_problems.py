"""Problems of one step that a model of 135M parameters solves now and then, as a user's own file: question, answer, solution."""

import json
import random
from pathlib import Path

STORIES = (
    ("{name} has {a} {things}. A friend brings {b} more. How many {things} does {name} have now?", "+"),
    ("There were {a} {things} on the table. {name} took {b} of them. How many {things} are left?", "-"),
    ("{name} buys {a} boxes. Each box holds {b} {things}. How many {things} does {name} have?", "*"),
    ("{name} read {a} pages on Monday and {b} pages on Tuesday. How many pages did {name} read in all?", "+"),
)
NAMES = ("Mia", "Tom", "Ada", "Ben", "Zoe", "Max")
THINGS = ("apples", "pens", "books", "shells", "coins")


def write(path: Path, count: int) -> None:
    """`count` rows of JSONL, always the same ones."""
    draw = random.Random(15)
    rows = {}
    while len(rows) < count:
        story, sign = draw.choice(STORIES)
        b = draw.randint(2, 9)
        a = draw.randint(b + 1, 30)
        answer = {"+": a + b, "-": a - b, "*": a * b}[sign]
        question = story.format(name=draw.choice(NAMES), things=draw.choice(THINGS), a=a, b=b)
        rows[question] = {"question": question, "answer": str(answer), "solution": f"{a} {sign} {b} = {answer}"}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows.values()), encoding="utf-8")
