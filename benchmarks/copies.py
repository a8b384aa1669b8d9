"""Copies of benchmark questions by rule, each with what it is: the labelled set of `python -m benchmarks.contamination`.

    >>> copies("Tom has 3 red apples. He buys 4 more apples. How many apples does he have?", "7", 1)["renamed"].text
    'Maya has 3 red lemons. He buys 4 more lemons. How many lemons does he have?'

verbatim, wrapped, few-shot, embedded, reordered, renamed, paraphrased: the question is still there, and a training set must not have it.
numbers, one number: it is another problem. A kind for which a question gives nothing (no name, no second sentence, no number) is left out.
Copies depend on the question, the seed and the texts around alone.
"""

import random
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from factory.problems.lexer import is_program

WRAPPERS = (
    "Solve the following problem step by step.\n\n{}\n\nAnswer:",
    "Please answer this question and put your final answer within \\boxed{{}}.\n\nQuestion: {}",
    "<|im_start|>system\nYou are a helpful assistant that solves 1 problem at a time.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n"
    "<|im_start|>assistant\n",
    "### Instruction:\n{}\n\n### Response:\nLet's think step by step.",
    "[INST] <<SYS>>\nAnswer with one number only.\n<</SYS>>\n\n{} [/INST]",
    "Human: {}\n\nAssistant:",
    "**Problem 12.** {}\n\n*(5 points)*",
    "Below is an exercise for grade 4. Write a response that completes the request.\n\nQ: {}\nA: Let's work this out in 3 steps.",
    "<p>{}</p>",
    '{{"role": "user", "content": "{}"}}',
    "{}\n\nReason step by step. At the end, write #### and the answer as an integer.",
    "You will be given 1 question. Think before you answer, for at most 200 words.\n---\n{}\n---\nYour answer:",
)
NAMES = [
    "Maya", "Oskar", "Leila", "Tomas", "Ingrid", "Pavel", "Amara", "Dario", "Freya", "Hugo", "Imani", "Jonas", "Keiko", "Lorenzo",
    "Mirjam", "Nadia", "Ossian", "Priya", "Quentin", "Rosalind", "Stellan", "Tamsin", "Umberto", "Valeria", "Wilma", "Xenia", "Yusuf",
    "Zelda",
]  # fmt: skip
OBJECTS = [
    "lemons", "kettles", "lanterns", "pebbles", "ribbons", "sweaters", "marbles", "teapots", "violins", "puzzles", "candles", "helmets",
    "baskets", "carpets", "pillows", "hammers", "brushes", "flowers", "magnets", "buckets",
]  # fmt: skip
NO_OBJECT = {
    "years", "days", "hours", "minutes", "seconds", "weeks", "months", "times", "percent", "dollars", "cents", "feet", "inches", "miles",
    "pounds", "ounces", "meters", "more", "less", "of", "and", "or", "each", "per", "points", "degrees", "people", "students", "friends",
    "kids", "children", "is", "as", "pages", "grams", "units",
}  # fmt: skip
SYNONYMS = {
    "how many": "what number of", "how much": "what amount of", "does": "did", "buys": "purchases", "bought": "purchased",
    "buy": "purchase",
    "gets": "receives", "got": "received", "makes": "produces", "made": "produced", "gives": "hands", "gave": "handed", "wants": "wishes",
    "needs": "requires", "need": "require", "each": "every", "every": "each", "also": "additionally", "then": "afterwards",
    "total": "whole",
    "in total": "altogether", "left": "remaining", "starts": "begins", "has": "owns", "have": "own", "had": "owned", "spends": "pays",
    "spent": "paid", "sells": "offers", "sold": "offered", "eats": "consumes", "ate": "consumed", "big": "large", "small": "little",
    "kids": "children", "children": "kids", "house": "home", "job": "work", "car": "vehicle", "money": "cash", "costs": "is priced at",
    "cost": "price", "takes": "requires", "take": "require", "find": "determine", "which": "what", "following": "listed",
    "calculate": "compute", "determine": "find", "assume": "suppose", "given": "provided", "would": "could", "because": "since",
    "if": "when",
    "but": "yet", "only": "just", "while": "whereas", "after": "following", "person": "individual", "people": "persons", "store": "shop",
    "shop": "store", "begins": "starts", "uses": "employs", "using": "by means of", "contains": "holds", "large": "big", "per": "a",
    "day": "single day", "week": "whole week", "goes": "travels", "went": "travelled", "shows": "displays", "describe": "depict",
    "most likely": "most probably", "correct": "right", "possible": "feasible", "usually": "normally", "could": "might", "main": "chief",
}  # fmt: skip
_SYNONYM = re.compile(r"\b(" + "|".join(sorted(SYNONYMS, key=len, reverse=True)) + r")\b", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'$(])")
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w])")
_CAPITAL = re.compile(r"\b[A-Z][a-z]{2,}\b")
_COUNTED = re.compile(r"\b\d+\s+(?:[a-z]+\s+)?([a-z]{3,}s)\b")
POSITIVE = ("verbatim", "wrapped", "few-shot", "embedded", "reordered", "renamed", "paraphrased")
NEGATIVE = ("numbers", "one number", "unrelated")


class Copy(NamedTuple):
    """`answer`: the copy's own, as a training set would have it: None where the rule cannot know it."""

    text: str
    answer: str | None


def copies(question: str, answer: str, seed: int, around: Sequence[str] = ()) -> dict[str, Copy]:
    """Kind → copy. `around`: other texts, for what stands about an embedded question or before one in few shots."""
    rng = random.Random(f"{seed} {question}")
    made = {
        "verbatim": question,
        "wrapped": rng.choice(WRAPPERS).format(
            question.replace("\n", " ") if rng.random() < 0.3 and not is_program(question) else question
        ),
    }
    if len(around) >= 4:
        first, second, before, after = rng.sample(list(around), 4)
        made["few-shot"] = f"Question: {first}\nAnswer: 12\n\nQuestion: {second}\nAnswer: yes\n\nQuestion: {question}\nAnswer:"
        made["embedded"] = f"{before} {question} {after}"
    found = {kind: Copy(text, answer) for kind, text in made.items()}
    rules: dict[str, Callable[[str, random.Random], str]] = {"reordered": _reordered, "renamed": _renamed, "paraphrased": _paraphrased}
    found |= {kind: Copy(text, answer) for kind, rule in rules.items() if (text := rule(question, rng)) != question}
    for kind, share in (("numbers", 1.0), ("one number", 0.0)):
        if (text := _numbers(question, rng, share)) != question:
            found[kind] = Copy(text, None)
    return found


def _reordered(text: str, rng: random.Random) -> str:
    """The last sentence, which asks, stays; three at least, none of the others where it was."""
    *said, asked = _SENTENCE.split(text)
    if len(said) < 2:
        return text
    by = rng.randrange(1, len(said))
    return " ".join([*said[by:], *said[:by], asked])


def _renamed(text: str, rng: random.Random) -> str:
    """Words with a capital inside sentences or before `'s`, and things that are counted; two different words at least."""
    starts = {sentence.split()[0].strip(",'\"") for sentence in _SENTENCE.split(text) if sentence.split()}
    names = [word for word in dict.fromkeys(_CAPITAL.findall(text)) if word not in starts or f"{word}'s" in text or text.count(word) > 1]
    names = [word for word in names if word.lower() not in {token for token in text.split() if token.islower()} and word not in _NO_NAME]
    things = [word for word in dict.fromkeys(_COUNTED.findall(text)) if word not in NO_OBJECT]
    new = dict(zip(names, rng.sample(NAMES, min(len(names), len(NAMES))), strict=False))
    for word, other in zip(things, rng.sample(OBJECTS, min(len(things), len(OBJECTS))), strict=False):
        new |= {word: other, word[:-1]: other[:-1]}
    if len(names) + len(things) < 2:
        return text
    return re.sub(r"\b(" + "|".join(sorted(map(re.escape, new), key=len, reverse=True)) + r")\b", lambda found: new[found[0]], text)


_NO_NAME = {
    "The", "How", "What", "Which", "When", "Where", "Who", "Why", "And", "But", "For", "She", "His", "Her", "They", "Their", "There",
    "This", "That", "These", "Those", "Each", "All", "Not",
}  # fmt: skip


def _paraphrased(text: str, rng: random.Random) -> str:
    """Every word of `SYNONYMS` becomes its synonym; `If A, B?` becomes `B, if A?`. Four words at least change."""
    text_was = text
    text, count = _SYNONYM.subn(lambda found: _as_written(SYNONYMS[found[0].lower()], found[0]), text)
    sentences = _SENTENCE.split(text)
    for at, sentence in enumerate(sentences):
        if found := re.fullmatch(r"(If|When|After|Once|Since) ([^,]{8,80}), (.{8,200})([.?])", sentence):
            opening, clause, main, end = found.groups()
            sentences[at] = f"{main[0].upper()}{main[1:]} {opening.lower()} {clause}{end}"
            count += 2
    return " ".join(sentences) if count >= 4 else text_was


def _as_written(word: str, as_before: str) -> str:
    return word.capitalize() if as_before[0].isupper() else word


def _numbers(text: str, rng: random.Random, share: float) -> str:
    """`share` 1: all numbers are others, 0: one is."""
    places = list(_NUMBER.finditer(text))
    if not places:
        return text
    chosen = places if share else [rng.choice(places)]
    for place in reversed(chosen):
        text = text[: place.start()] + _another(place[0], rng) + text[place.end() :]
    return text


def _another(number: str, rng: random.Random) -> str:
    """As many digits, another value."""
    while True:
        digits = [rng.choice("123456789" if at == 0 else "0123456789") if sign.isdigit() else sign for at, sign in enumerate(number)]
        if (new := "".join(digits)) != number and not (new.strip("0") in ("", ".") or new[0] == "0"):
            return new
