"""The small vocabulary: who, what, and how things change hands.

Cast.draw(rng)                                           → Tom (he), Ann, apples
told(cast, [("gain", 7), ("loss", 4)], rng)              → "Then he found 7 and lost 4."
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

NAMES = {
    "Tom": "he", "Ann": "she", "Ben": "he", "Eva": "she", "Sam": "he", "Mia": "she",
    "Leo": "he", "Zoe": "she", "Max": "he", "Amy": "she", "Dan": "he", "Ida": "she",
}  # fmt: skip
THINGS = ("apples", "pens", "books", "cards", "stones", "shells", "eggs", "cups", "balls", "stamps")
PACKS = ("boxes", "bags", "baskets", "jars")

GAINS = ("found {n}", "bought {n}", "won {n}", "got {n}")
LOSSES = ("lost {n}", "sold {n}", "dropped {n}", "gave away {n}")
LEADS = ("Then {he}", "Today {he}", "Later {he}", "{name}")


@dataclass(frozen=True)
class Cast:
    name: str
    other: str
    thing: str
    pack: str

    @classmethod
    def draw(cls, rng: random.Random) -> "Cast":
        name, other = rng.sample(sorted(NAMES), 2)
        return cls(name, other, rng.choice(THINGS), rng.choice(PACKS))

    @property
    def he(self) -> str:
        return NAMES[self.name]

    def say(self, text: str, **numbers: object) -> str:
        """Fill {name}, {other}, {he}, {He}, {thing}, {pack} and the numbers."""
        words = {"name": self.name, "other": self.other, "he": self.he, "He": self.he.capitalize(), "thing": self.thing, "pack": self.pack}
        return text.format(**words, **numbers)

    def one_of(self, texts: Sequence[str], rng: random.Random, **numbers: object) -> str:
        return self.say(rng.choice(texts), **numbers)


def told(cast: Cast, changes: Sequence[tuple[str, int]], rng: random.Random) -> str:
    """Changes (`gain` or `loss`, number) as one or more sentences, in order. Who gives to whom decides, not the verb alone."""
    sentences: list[str] = []
    pending: list[str] = []

    def close() -> None:
        if pending:
            lead = cast.say(rng.choice(LEADS))
            sentences.append(f"{lead} {', '.join(pending[:-1])}{' and ' if len(pending) > 1 else ''}{pending[-1]}.")
            pending.clear()

    for kind, number in changes:
        if rng.random() < 0.3:
            close()
            giver, taker = (cast.other, cast.name) if kind == "gain" else (cast.name, cast.other)
            sentences.append(f"{giver} gave {number} to {taker}.")
            continue
        if rng.random() < 0.3:
            close()
        pending.append(rng.choice(GAINS if kind == "gain" else LOSSES).format(n=number))
    close()
    return " ".join(sentences)
