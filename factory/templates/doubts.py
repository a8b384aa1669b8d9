"""What a record of merges says against the labeller: habits of a word that look like judgements.

    doubts(rows)    → ["65 of 66 answers about templates were no: …", "SmolLM2@1f0c cannot tell one pattern from two: …"]

Printed by the stage `templates` and by `factory templates merges`. Where odds decide, a no to everything is nothing to say: how surely it
was said is compared.
"""

from collections.abc import Sequence

from factory.templates.controls import CHANCE, ONE, Checked
from factory.templates.merges import Merge
from factory.templates.pairs import NO, YES

FEWEST = 10  # answers of which a habit can be seen
HABIT = 0.95  # of the answers that can be read, in one word: of no where none merged
ASKED = {"template": "templates", "tag": "tags"}
REMEDY = "name a larger labeller, or `merge: {by: names}`"


def doubts(rows: Sequence[Merge]) -> list[str]:
    """One line each, none where nothing speaks against it."""
    found = _of_controls([row for row in rows if row.kind == "control"])
    for kind, called in ASKED.items():
        asked = [row for row in rows if row.kind == kind and row.answers and ", least " not in row.why]
        answers = [answer for row in asked for answer in row.answers]
        if len(answers) < FEWEST:
            continue
        words = {word: answers.count(word) for word in (YES, NO)}
        unread = len(answers) - sum(words.values())
        for word, count in words.items():
            silent = word == YES or not any(row.merges for row in asked)
            if count and silent and count >= HABIT * sum(words.values()):
                found.append(
                    f"{count:,} of {len(answers):,} answers about {called} were {word}: either so they are, or {asked[0].model} cannot "
                    f"compare. templates.merge.controls: 20 asks it of pairs of known truth"
                )
        if 2 * unread > len(answers):
            found.append(f"{unread:,} of {len(answers):,} answers about {called} cannot be read, which counts as no: {REMEDY}")
    return found


def _of_controls(rows: Sequence[Merge]) -> list[str]:
    one, two = ([row.merges for row in rows if (row.score == ONE) is truth] for truth in (True, False))
    checked = Checked(sum(one), len(one), sum(two), len(two))
    if checked.tells:
        return []
    return [
        f"{rows[0].model} cannot tell one pattern from two: {checked.told()}, where {CHANCE} is needed. "
        f"No other pair was asked of it, and none merged: {REMEDY}"
    ]
