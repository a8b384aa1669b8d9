"""A library's vocabulary of tags: spellings that differ in case, plural, hyphens and accents are one tag, the most frequent of them.

    vocabulary([("Odd Functions", "Half-angle formula"), ("odd function", "half angle formulas")])
    → {"odd function": ("Odd Functions", "odd function"), "half-angle formula": (…)}

Nothing else is folded: `conditional probability` and `probability` stay two. A tag holds no comma, parenthesis or bullet, since a plan
writes tags in one pair of parentheses with commas between them.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from factory.grading import normalise
from factory.templates.merging import singular

LONGEST_TAG = 120  # characters
_WORD = re.compile(r"[^\W_]+|[^\w\s'’\"-]")
_NUMBERED = re.compile(r"(?<=\w)\s+\d{1,2}(?:\.\d{1,2})+\s+(?=[^\W\d])")  # `Permutations 6.2.2 Permutation numbers`
_CUT = re.compile(r"[()\[\]{},;|•·\n\"“”]+")


def tags_of(texts: Iterable[str], split: bool = False) -> tuple[str, ...]:
    """Tags as a plan can write them, each once. `split`: a comma or semicolon parts two tags, else it is one within a name."""
    found = []
    for text in texts:
        for part in _NUMBERED.split(text):
            for tag in re.split(r"[,;|\n]", part) if split else [part]:
                found.append(normalise(" ".join(_CUT.sub(" ", tag).split()).strip(" .:-–—_#*`'"))[:LONGEST_TAG].strip())
    return tuple(dict.fromkeys(filter(None, found)))


def key_of(tag: str) -> tuple[str, ...]:
    """What spellings of one tag share."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", tag.lower()) if not unicodedata.combining(letter))
    words = _WORD.findall(re.sub(r"['’](?:s\b)?", "", plain))
    return tuple(map(singular, words)) or (tag,)


def vocabulary(tagged: Iterable[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Tag → its spellings, in the order of how frequent they are; the tag is the first of them in lower case."""
    spellings: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for tags in tagged:
        for tag in tags:
            spellings[key_of(tag)][tag] += 1
    found = {}
    for counts in spellings.values():
        ordered = sorted(counts, key=lambda spelling: (-counts[spelling], spelling))
        found[ordered[0]] = tuple(ordered)
    return dict(sorted(found.items()))


def folded(tags: Sequence[str], known: dict[str, str]) -> tuple[str, ...]:
    """The tags under the vocabulary's spellings, each once."""
    return tuple(dict.fromkeys(known.get(tag, tag) for tag in tags))
