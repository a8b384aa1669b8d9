"""Is a row's origin named, and is it written in the script of its problem?

    lineage_named(row, background)   → False for a row whose model has no revision
    in_script(row, background)       → False for a solution in Chinese characters of a problem in Latin letters

Language is told by Unicode scripts alone: German for English is not seen, Chinese for English is. Greek counts as mathematics.
"""

import re
from typing import Any

from factory.gate.background import Background
from factory.language.conversation import flat

GOLD = "gold"  # the model of a row that holds a gold solution
FOREIGN = 0.2  # share of a text's letters in scripts that its prompt has none of
SCRIPTS = re.compile(
    "(?P<latin>[A-Za-zªºÀ-ÖØ-öø-ʯᴀ-ᶿḀ-ỿ])|(?P<cyrillic>[Ѐ-ԯᲀ-ᲈ])|(?P<han>[⺀-⿕々〇㐀-䶿一-鿿豈-﫿\U00020000-\U000323af])"
    "|(?P<kana>[ぁ-ヿㇰ-ㇿｦ-ﾝ])|(?P<hangul>[ᄀ-ᇿ㄰-㆏가-힣])|(?P<arabic>[؀-ۿݐ-ݿࢠ-ࣿﭐ-﷿ﹰ-ﻼ])|(?P<hebrew>[֐-׿])"
    "|(?P<indic>[ऀ-෿])|(?P<thai>[ก-๿])|(?P<armenian>[԰-֏])|(?P<georgian>[Ⴀ-ჿ])"
)
SAID = ("completion", "chosen", "rejected", "prefix", "plan")


def scripts(text: str) -> dict[str, int]:
    """Script → letters of it."""
    if text.isascii():
        letters = sum(map(str.isalpha, text))
        return {"latin": letters} if letters else {}
    found: dict[str, int] = {}
    for match in SCRIPTS.finditer(text):
        name = match.lastgroup or ""
        found[name] = found.get(name, 0) + 1
    return found


def in_script(row: Any, _: Background) -> bool:
    """At most a fifth of the letters of each text stands in scripts that the prompt has none of."""
    asked = flat(row.prompt)
    texts = [text for name in SAID if (text := getattr(row, name, ""))]
    if asked.isascii() and all(text.isascii() for text in texts):
        return True
    known = set(scripts(asked))
    known |= {"han"} if "kana" in known else set()  # Japanese is written in both
    for text in texts:
        found = scripts(text)
        if sum(count for name, count in found.items() if name not in known) > FOREIGN * sum(found.values()):
            return False
    return True


def lineage_named(row: Any, _: Background) -> bool:
    """A model with its revision (or gold), the version of the prompt, the round."""
    model = row.model.strip()
    return (model == GOLD or "@" in model.strip("@")) and "@" in row.prompt_version.strip("@") and bool(row.round.strip())


def origin_named(row: Any, _: Background) -> bool:
    """Of rows that no model wrote: the round, and the parents where there are any."""
    parents = [row.chosen_id, row.rejected_id] if hasattr(row, "chosen_id") else [row.parent_id] if row.buffer != "0" else []
    return bool(row.round.strip()) and all(key and key.strip() for key in parents)


def licensed(row: Any, background: Background) -> bool:
    """Every template among the parents has a licence."""
    return all(background.templates[key].licence.strip() for key in row.parents if key in background.templates)
