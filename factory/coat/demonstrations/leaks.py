"""Whether a critic gives the answer away: any expression in its words that equals the gold answer by the grader.

    gives_answer(problem, "write \\\\frac{3}{2}.", problem.problem)    with the answer 1.5   → True
    gives_answer(problem, "add seven to twelve.", problem.problem)  with the answer 19    → False

What stands already in the problem or in the attempt may be named, as it is written there; a box and *the answer is …* never. The test
leans to the safe side: an expression that the grader cannot decide, and a text of more expressions than a hint has, count as a leak.
"""

import itertools
import re
from collections.abc import Iterator
from fractions import Fraction

from factory import grading
from factory.coat.demonstrations.mentions import MOST, Mention, ascii_of, mentions, number_words
from factory.grading.grader import decide
from factory.grading.kinds import label_mentions, plain, read_label
from factory.schemas import Problem

MOST_NAMED = 20  # statements of an answer
LONGEST = 10_000  # characters; a longer text counts as a leak
_NAMED = re.compile(r"\banswer *(?:is|:|=|(?:should|must|would|will) be)[ :*`\"'$(\\]*", re.IGNORECASE)
_CALLED = re.compile(r"[\s\"'*`$)\\\].]{0,4}\b(?:is|as|being|for) (?:the|your|our|my) (?:\w{1,12} )?answer\b", re.IGNORECASE)
_WRITTEN = re.compile(r"(?<![\w.)])-?(?:\d+ (?=\d+/))?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:/\d+)?", re.ASCII)
_NUMBER = re.compile(r"(?<![\w.])(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)", re.ASCII)
_ENDLESS = re.compile(rf"[\d,.]{{{grading.LONGEST + 1},}}", re.ASCII)
_OPTION = re.compile(r"(?:^|(?<=[\s,;:]))(?:\(([A-Ja-j])\)|([A-J])[.):])\s{0,3}", re.MULTILINE)
_ARTICLE = re.compile(
    r"(?<![\w'’])(?:A(?= (?:better|simpler|different|good|correct|right|more|careful|useful|helpful|clean\w*|clear\w*|quick\w*|second|new"
    r"|possible|closer|simple|common|proper|eas\w+|safer|sensible|few|little|number|value|step|hint)\b)"
    r"|I(?= (?:would|think|am|suggest|see|should|have|will|can|do|believe|get|got|need|found|notice)\b|['’]))"
)
_LITERAL = re.compile(
    r"`([^`\n]{1,300})`|('[^'\n]{0,300}'|\"[^\"\n]{0,300}\")|([(\[{][^\n]{0,300}[)\]}])|\b(True|False|None)\b|(-?\d+(?:\.\d+)?)"
)
_MEMBERS = re.compile(r"\s*(?:[,;|\n]|\\text\{ ?(?:and|or) ?\}|\b(?:and|or)\b|\\cup)\s*")


def gives_answer(problem: Problem, text: str, given: str) -> bool:
    """Whether `text` holds the gold answer of `problem` and `given` does not. For a choice or a label the problem's own text gives nothing
    away and is taken out of `given`: every choice stands in it."""
    if "\\boxed" in text or "\\fbox" in text or len(text) > LONGEST:
        return True
    if problem.answer_kind in ("choice", "label"):
        given = given.replace(problem.problem, " ")
    text, given = ascii_of(text), ascii_of(given)
    if problem.answer_kind == "choice":
        return _gives_choice(problem, text, given)
    gold = plain(problem.answer)
    if problem.answer_kind in ("number", "math", "text") and _gives_value(gold, text, given, problem.decimals):
        return True
    if problem.answer_kind == "number":
        return False
    return _gives_words(gold, text, given) or _gives_kind(problem, text, given)


# -- values


def _gives_value(gold: str, text: str, given: str, decimals: int | None = None) -> bool:
    number = grading.parse_number(gold)
    if number is not None and number in _values(text) - _values(given):
        return True
    words = _value_in_words(gold)
    gold = str(words) if words is not None else gold
    found = list(mentions(text))
    if len(found) > MOST:
        return True
    equal = [mention for mention in found if _equals(mention.text, gold, decimals)]
    if not equal:
        return _all_members(gold, found, given, decimals)
    if any(_equals(named, gold, decimals) for named in _named(text)):
        return True
    there = {mention.key for mention in mentions(given)}
    return any(mention.key not in there for mention in equal)


def _values(text: str) -> set[Fraction]:
    """Numbers, and what is written with a sign or as a fraction; `18/2` is something to work out and not 9."""
    text = _ENDLESS.sub("…", text.replace("$", ""))
    read = {grading.parse_number(match.group()) for match in _WRITTEN.finditer(text)}
    signed = {value for value in read if value is not None and (value < 0 or value.denominator > 1)}
    return signed | {Fraction(number.replace(",", "")) for number in _NUMBER.findall(text)}


def _value_in_words(gold: str) -> Fraction | None:
    """The number that a gold answer is in words: `twelve`."""
    if any(map(str.isdigit, gold)) or not gold.isascii():
        return None
    found = list(number_words(gold))
    whole = len(found) == 1 and not re.sub(r"[a-z]+", "", gold.lower()).strip(" -.")
    return Fraction(found[0].text) if whole and "%" not in found[0].text else None


def _equals(written: str, gold: str, decimals: int | None) -> bool:
    """By the grader, in this process; what only computer algebra could tell apart is taken as equal."""
    outcome = decide(written, gold, "math", decimals)
    return outcome is None or outcome[0] == "correct"


def _named(text: str) -> Iterator[str]:
    """What the text calls the answer: `the answer is 12`, `12 is the answer`."""
    for match in itertools.islice(_NAMED.finditer(text), MOST_NAMED):
        yield from (mention.text for mention in mentions(text[match.end() : match.end() + 100]) if mention.start == 0)
    for match in itertools.islice(_CALLED.finditer(text), MOST_NAMED):
        before = text[max(match.start() - 100, 0) : match.start()].rstrip()
        yield from (mention.text for mention in mentions(before) if before.endswith(mention.text))


def _all_members(gold: str, found: list[Mention], given: str, decimals: int | None) -> bool:
    """Whether all values of a list, a pair or an interval are named, and not all of them stand in `given`."""
    inner = gold.strip("()[]{}\\ $")
    members = [member for part in _MEMBERS.split(inner) if (member := part.strip("()[]{}\\ $"))]
    if not 2 <= len(members) <= 10:
        return False
    groups = [[mention.key for mention in found if _equals(mention.text, member, decimals)] for member in members]
    if not all(groups):
        return False
    there = {mention.key for mention in mentions(given)}
    return not all(there.intersection(keys) for keys in groups)


# -- words


def _gives_words(gold: str, text: str, given: str) -> bool:
    """Whether a literal answer stands in the text as words, case, spaces and marks aside."""
    folded = grading.normalise(gold)
    if not folded:
        return False
    literal = re.compile(rf"(?<!\w){re.escape(folded)}(?!\w)")
    named = re.compile(rf"\(?{re.escape(folded.strip('()'))}(?!\w)")
    if literal.search(grading.normalise(text)) and not literal.search(grading.normalise(given)):
        return True
    ahead = 2 * len(gold) + 100
    if any(named.match(grading.normalise(text[match.end() : match.end() + ahead])) for match in _NAMED.finditer(text)):
        return True
    words = _words(folded)
    return bool(words.strip()) and not words.strip().isdigit() and words in _words(text) and words not in _words(given)


def _words(text: str) -> str:
    return " " + " ".join(re.findall(r"\w+", text.lower())) + " "


def _gives_kind(problem: Problem, text: str, given: str) -> bool:
    """Labels by their synonyms, Python values and tables as they are graded."""
    if problem.answer_kind == "label":
        label = read_label(problem.answer).value
        return label in {found for found, _, _ in label_mentions(text)} - {found for found, _, _ in label_mentions(given)}
    if problem.answer_kind == "literal":
        excused, said = set(_literals(given)), set(_literals(text))
        return any((decide(literal, problem.answer, "literal") or "?")[0] == "correct" for literal in said - excused)
    if problem.answer_kind in ("table", "text", "math"):
        cells = [cell for cell in re.split(r"[,|\n\t]", problem.answer) if _words(cell).strip()]
        if 2 <= len(cells) <= 50:
            here, there = _words(text), _words(given)
            return all(_words(cell) in here for cell in cells) and not all(_words(cell) in there for cell in cells)
    return False


def _literals(text: str) -> Iterator[str]:
    for match in list(_LITERAL.finditer(text))[:MOST]:
        yield next(filter(None, match.groups()), "")


# -- choices


def _gives_choice(problem: Problem, text: str, given: str) -> bool:
    """By the letter as `(b)`, `B` or `option b` (`a` alone is a word), or by what the choice says."""
    letter = plain(problem.answer).strip("()[]. ")
    if len(letter) != 1:
        return _gives_words(letter, text, given)
    if _names_letter(letter, text) and not _names_letter(letter, given):
        return True
    if any(re.match(rf"{re.escape(letter)}(?!\w)", text[match.end() : match.end() + 2], re.IGNORECASE) for match in _NAMED.finditer(text)):
        return True
    stem, said = _choice_text(ascii_of(problem.problem), letter)
    if not said:
        return False
    return (
        _gives_words(said, text, given)
        if any(map(str.isalpha, said)) and "\\" not in said
        else _gives_value(said, text, f"{stem}\n{given}")
    )


def _names_letter(letter: str, text: str) -> bool:
    named = rf"\(\s*{re.escape(letter)}\s*\)|\b(?:option|choice|answer|statement)\s+{re.escape(letter)}(?!\w)"
    bare = _ARTICLE.sub(" ", text)
    return bool(re.search(named, text, re.IGNORECASE) or re.search(rf"(?<![\w'’]){re.escape(letter.upper())}(?!\w)", bare))


def _choice_text(problem: str, letter: str) -> tuple[str, str]:
    """(the problem before its choices, what the choice says), ("…", "") where it is not found."""
    options = list(_OPTION.finditer(problem))
    for place, option in enumerate(options):
        if next(filter(None, option.groups())).upper() == letter.upper():
            end = options[place + 1].start() if place + 1 < len(options) else len(problem)
            return problem[: options[0].start()], plain(problem[option.end() : end].strip().split("\n")[0].rstrip(".,; "))
    return problem, ""
