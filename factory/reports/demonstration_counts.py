"""What is counted of demonstrations, by SQL on three columns: lengths, steps and actions of each type, and how reflections begin.

    with Scan.of(TABLES / "demonstrations.parquet") as scan:
        tallies(scan)["III-I"].words      → Counter({38: 12, 41: 9, …}): how many of its rows have so many words
        lead_ins(scan)                    → [LeadIns(situation="explore", counts={"This time,": 171, "Another way:": 160, …}, other=0), …]

A word is what Python's `split` gives, a meta-action token being one; a step is what `grammar.split_steps` gives for lines.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import log

from factory.coat.demonstrations import lead_ins as phrases
from factory.coat.grammar import ACTIONS
from factory.reports.scan import Scan, literal
from factory.schemas import Demonstration, choices, field_types

TYPES = choices(field_types(Demonstration)["type"])
PHRASES = {"verify": phrases.VERIFY, "criticise": phrases.CRITIQUE, "explore": phrases.EXPLORE}
BLANK = "".join(f"\\x{{{code:x}}}" for code in range(0x3001) if chr(code).isspace())  # what `split` cuts at, as a class of RE2


@dataclass
class Tally:
    """One type's rows, counted: how many have so many words and steps, and the actions of all."""

    words: Counter[int] = field(default_factory=Counter)
    steps: Counter[int] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    by_reference: int = 0


@dataclass(frozen=True)
class LeadIns:
    """How reflections or explorations begin. `counts` has every phrase of the situation, used or not; `other`: begins with none."""

    situation: str
    counts: dict[str, int]
    other: int

    @property
    def entropy(self) -> float:
        """Of the known phrases, in [0, 1]: 1 when all are used alike, 0 when only one is (or nothing was counted)."""
        total = sum(self.counts.values())
        shares = [count / total for count in self.counts.values() if count]
        return -sum(share * log(share) for share in shares) / log(len(self.counts)) if len(shares) > 1 else 0.0


def words(column: str) -> str:
    """SQL: how many words a text has."""
    for token in ACTIONS.values():
        column = f"replace({column}, {literal(token)}, {literal(f' {token} ')})"
    return f"len(regexp_extract_all({column}, '[^{BLANK}]+'))"


def steps(column: str) -> str:
    """SQL: how many steps. Blank lines and a final newline stay with the step before."""
    return f"1 + len(regexp_extract_all({column}, '\\n[^\\n]'))"


def times(column: str, token: str) -> str:
    return f"(length({column}) - length(replace({column}, {literal(token)}, ''))) // {len(token)}"


def tallies(scan: Scan) -> dict[str, Tally]:
    """By type, in the types' order."""
    found = {kind: Tally() for kind in TYPES}
    actions = ", ".join(f"sum({times('completion', token)})" for token in ACTIONS.values())
    kinds = scan.ask(f"SELECT type, count(*) FILTER (critic = 'reference'), {actions} FROM {{rows}} GROUP BY type")
    for kind, by_reference, *counts in kinds:
        found[kind].by_reference = by_reference
        found[kind].actions.update({name: int(count) for name, count in zip(ACTIONS, counts, strict=True)})
    lengths = f"(SELECT type, {words('completion')} AS words, {steps('completion')} AS steps FROM {{rows}})"
    for kind, length, lines, rows in scan.ask(f"SELECT type, words, steps, count(*) FROM {lengths} GROUP BY ALL"):
        found[kind].words[length] += rows
        found[kind].steps[lines] += rows
    return {kind: tally for kind, tally in found.items() if tally.words}


def lead_ins(scan: Scan) -> list[LeadIns]:
    """A reflection that an exploration follows criticises, another one verifies."""
    said: dict[str, Counter[str]] = {situation: Counter() for situation in PHRASES}
    reflect, explore = literal(ACTIONS["reflect"]), literal(ACTIONS["explore"])
    tokens = "|".join(token.replace("|", r"\|") for token in ACTIONS.values())
    longest = max(len(phrase) for known in PHRASES.values() for phrase in known)
    begun = f"(SELECT regexp_extract_all(completion, '(?m)^(?:{tokens})[^\\n]{{0,{longest}}}') AS begun FROM {{rows}})"
    paired = f"(SELECT unnest(begun) AS own, unnest(list_append(begun[2:], '')) AS following FROM {begun} WHERE len(begun) > 0)"
    situation = (
        f"CASE WHEN starts_with(own, {explore}) THEN 'explore' WHEN NOT starts_with(own, {reflect}) THEN ''"
        f" WHEN starts_with(following, {explore}) THEN 'criticise' ELSE 'verify' END"
    )
    query = f"SELECT situation, {_phrase()} AS phrase, count(*) FROM (SELECT own, {situation} AS situation FROM {paired}) GROUP BY ALL"
    for name, phrase, count in scan.ask(query):
        if name:
            said[name][phrase] += count
    return [
        LeadIns(name, {phrase: said[name][phrase] for phrase in known}, said[name][""]) for name, known in PHRASES.items() if said[name]
    ]


def _phrase() -> str:
    """SQL: the first known phrase of the situation with which a step begins, '' for none."""
    return f"CASE {' '.join(_cases())} ELSE '' END"


def _cases() -> Iterator[str]:
    for situation, known in PHRASES.items():
        token = ACTIONS["explore" if situation == "explore" else "reflect"]
        for phrase in known:
            yield f"WHEN situation = '{situation}' AND starts_with(own, {literal(token + phrase)}) THEN {literal(phrase)}"
