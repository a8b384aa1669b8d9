r"""The terms of a text in the library's index: stems of its words, and its signs of mathematics as they are read aloud.

    terms("Solve sin²x ≥ 1/2, x ∈ [0, π]")   → ["solv", "sin", "trigonometr", "inequ", "element", "set", "radian", "angl"]

A problem writes what a template says in words: `\frac{a}{b}`, f'(x) and P(A) are "fraction", "derivative" and "probability" there. Tokens
are found by one pattern, in SQL when a library is built and here for a query; each distinct token is read once.

Stems: Snowball's English stemmer (M. Porter), through the package snowballstemmer.
"""

from functools import lru_cache

import regex

# A LaTeX command; a function before its argument; a letter that a sign makes a function, an index or a power; a sign; a word
TOKEN = (
    r"\\[a-z]+"
    r"|(?:arc)?(?:sin|cos|tan|cot|sec|csc|log|lg|ln|lim)(?:[^a-z]|[a-z][^a-z]|$)"
    r"|[a-z]['′]+\(|[a-z]\(|[a-z]_|[a-z][₀-₉ₙ]|\^\{?[0-9a-z(]|[²³ⁿˣ⁴]|[0-9n]!"
    r"|[∠△⊥∥∈∉⊆⊂⊇∪∩∅∁∫∑∏∞√∛≤≥<>|°~∼π]|//"
    r"|\p{L}{3,}|[α-ω]"
)
_TOKEN = regex.compile(TOKEN)
_TRIGONOMETRIC = regex.compile(r"\\?((?:arc)?(?:sin|cos|tan|cot|sec|csc))(?![a-z]{2})")
_LOGARITHM = regex.compile(r"\\?(log|lg|ln)(?![a-z]{2})")
_DERIVED = regex.compile(r"[a-z]['′]+\(")
_LETTERS = frozenset("αβγθλμξσφωη")

_SAID = {
    "root radical": r"√ ∛ \sqrt",
    "angle": r"∠ \angle",
    "angle degree": r"° \circ",
    "radian angle": r"π \pi",
    "triangle": r"△ \triangle",
    "perpendicular": r"⊥ \perp",
    "parallel": r"∥ \parallel //",
    "element set": r"∈ ∉ \in \notin",
    "subset set": r"⊆ ⊂ ⊇ \subset \subseteq",
    "union set": r"∪ \cup",
    "intersection set": r"∩ \cap",
    "empty set": r"∅ \emptyset \varnothing",
    "complement set": r"∁ \complement",
    "integral": r"∫ \int",
    "sum": r"∑ \sum",
    "product": r"∏ \prod",
    "infinity limit": r"∞ \infty",
    "limit": r"\lim",
    "inequality": r"< > ≤ ≥ \le \ge \leq \geq \lt \gt",
    "absolute modulus": "|",
    "distribution": r"~ ∼ \sim",
    "square quadratic": "² ^2 ^{2",
    "cube cubic": "³ ^3 ^{3",
    "exponent power": "ⁿ ˣ",
    "probability": "p(",
    "expectation": "e(",
    "variance": "d(",
    "function": "f( g( h(",
    "fraction": r"\frac \dfrac",
    "vector": r"\vec \overrightarrow",
    "mean": r"\bar",
    "regression": r"\hat",
    "combination binomial": r"\binom",
    "combination": "c_",
    "sequence term": "a_ b_ aₙ bₙ",
    "sum sequence": "s_ sₙ",
}
_READ = {sign: tuple(words.split()) for words, signs in _SAID.items() for sign in signs.split()}


def tokens(text: str) -> list[str]:
    """What `TOKEN` finds in the text's small letters; DuckDB's regexp_extract_all(lower(text), TOKEN) finds the same."""
    return _TOKEN.findall(text.replace("İ", "i").lower())


def terms(text: str) -> list[str]:
    """In the order of the text, repeated as they repeat."""
    return [term for token in tokens(text) for term in read(token)]


@lru_cache(maxsize=1 << 17)
def read(token: str) -> tuple[str, ...]:
    """The terms of one token: () for a sign that is not read."""
    return tuple(_stemmed(word) for word in _words(token))


def _words(token: str) -> tuple[str, ...]:
    if token in _READ:
        return _READ[token]
    short = token[0] == "\\" or len(token) <= 8
    if short and (found := _TRIGONOMETRIC.match(token)):
        return found[1], "trigonometric"
    if short and (found := _LOGARITHM.match(token)):
        return found[1], "logarithm", "logarithmic"
    if token.startswith("lim") and len(token) <= 5 and not token.isalpha():
        return ("limit",)
    if _DERIVED.match(token):
        return "derivative", "function"
    if token[0] == "^":
        return "exponent", "power"
    if token[-1] == "!":
        return ("factorial",)
    if len(token) < 3 and token not in _LETTERS:
        return ()
    return (token.removeprefix("\\"),)


@lru_cache(maxsize=1)
def _stemmer():  # type: ignore[no-untyped-def]  # the package has no types
    import snowballstemmer

    return snowballstemmer.stemmer("english")


def _stemmed(word: str) -> str:
    return str(_stemmer().stemWord(word))
