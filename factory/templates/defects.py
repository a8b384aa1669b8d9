"""Defects of one template's texts that a reader sees: steps that say nothing, references to what is not there, drafts, wrong arithmetic.

    text_defects(template)             → [Defect("book", "a step refers to 'Example 7', which the template does not hold", True)]
    example_defects(template, grader)  → [Defect("example", "the example states 36 + 5 = 42, which does not hold", True)]

A library that people publish was written beside a textbook, by a model that sometimes gave up in the middle: papers/reasonflux, "The
released library". Patterns are narrow: a step that tells its reader to check a result, or to draw a figure, is no draft and needs none.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from factory.grading import Grader
from factory.schemas import Template
from factory.templates.contradictions import false_numbers, false_rewritings, false_solutions, other_end
from factory.templates.examples import without_answer
from factory.templates.follows import misses_point, unreached, wrong_equations
from factory.templates.given import lacking
from factory.templates.simplifications import false_simplifications

SHOWN = 60  # characters of a quotation
LONGEST = 600  # characters of a text's end in which it is looked for a circle
MOST = 3  # quotations of one kind a template
OFTEN = 3  # times that one step, or one phrase at the end of a text, stands when a model went round in a circle


class Defect(NamedTuple):
    code: str
    problem: str
    blocking: bool


_BOOK = re.compile(
    r"\b(?:text)?book(?:'s)?\s(?:examples?|exercises?|problems?|p\.?\s?\d+|original)\b|\btextbook\b"
    r"|\b(?:examples?|exercises?|(?-i:Problem)|chapter|theorem|lemma|formulas?|equation|eq\.)\s?(?:\(\d{1,3}\)|\d{1,3}(?:\.\d{1,2})?)(?:\s?\(\d{1,2}\))*(?![\d/])"
    r"|\bon\spage\s\d+",
    re.IGNORECASE,
)
_BY_WORD = re.compile(r"\b(?:formula|theorem|property|conclusion|equation)\s(?:one|two|three|four|five|six|seven|eight)\b", re.IGNORECASE)
_NUMBERED_OWN = re.compile(r"\b(?:theorem|lemma|formulas?|equation|eq\.|chapter)\b", re.IGNORECASE)  # may be the template's own number
_FIGURE = re.compile(
    r"\b(?:in|from|see|on)\s(?:the|this)\s(?:given\s|following\s|right\s|left\s)?(?:figure|diagram|picture|image)\b(?!\sof\b)"
    r"|\b(?:as\s|is\s|are\s)?(?:shown|illustrated|depicted)\s(?:below|above|in\s(?:the\s|this\s)?(?:figure|diagram|graph|picture|image|chart))\b"
    r"|\b(?:figure|fig\.|diagram)\s?(?:\(?\d{1,2}\b|[A-H]\b)"
    r"|\bfollowing\s(?:figure|diagram|graph|picture|image|chart|histogram)\b|\b(?:figure|diagram|graph|chart|histogram)\s(?:below|above)\b"
    r"|\bshaded\s(?:area|region|part)\b|\bas\sshown\b|!\[|\bhttps?://\S+\.(?:png|jpe?g|svg|gif)",
    re.IGNORECASE,
)
_TABLE = re.compile(
    r"\bfrom\sthe\s(?:data\s)?(?:table|chart)\b|\b(?:following|below)\s(?:frequency\s|distribution\s)?table\b|\btable\s(?:below|above)\b|\bdata\s(?:below|above)\b",
    re.IGNORECASE,
)
_ANYWHERE = (
    r"\b(?:TODO|FIXME|TBD)\b|\blorem ipsum\b|(?i:\bwait,|\bhmm\b|\blet me (?:re|check|try|think|start|see)"
    r"|\bas an ai\b|\bi (?:cannot|can't|will now|made an?)\b)"
)
_DRAFT = re.compile(_ANYWHERE)
_DRAFT_OF_EXAMPLE = re.compile(
    _ANYWHERE + r"|(?i:\bneeds?\s(?:to\s)?(?:verify|re-?check|re-?calculate|subtract again|add\b[^.\n]{0,20}\badjust\w*)\b"
    r"|\bneeds?\s(?:to\s)?(?:pairing|correction|verification)\b"
    r"|\b(?:requir\w+|with)\s(?:an?\s)?adjustment\b|\bcontradiction\s(?:found|arises here)|\bcheck\s(?:the\s)?calculations?\b"
    r"|\bshould\sbe\s(?:re-?checked|corrected|verified|revised|re-?calculated)\b|\bre-?check(?:ed|ing)?\b|\brecalculat\w+"
    r"|\boriginal\s(?:method|answer|solution|result|equation|text)\s(?:was|is|may be|might be)\s(?:incorrect|wrong|inconsistent)"
    r"|\b(?:an?|some)\s(?:error|mistake|misprint|typo)\s(?:was|is|in)\b|[\[【(]correction[\]】):]|\bcorrection:|\bcorrect(?:ing|ed)?\s(?:the\s|of\s|this\s){0,2}(?:initial|original|previous|above|earlier|mistakes?|errors?)\b|\b(?:a|the)\sbetter\sapproach\b"
    r"|\bfor\sthe\s(?:complete|full|detailed)\s(?:process|solution|proof)\b|\b(?:steps?|process|details?|calculations?)\s(?:is\s|are\s)?omitted\b|\(omitted\)"
    r"|\bre-?evaluat\w+|\bmay\sbe\serrors?\b|\boptions?\smust\sbe\s|\bneeding\sadjustment\b|\bfurther\s\w+\s[^.\n]{0,40}is\sneeded\b"
    r"|\b(?:seems?|appears?)\sto\sbe\s(?:wrong|incorrect|an\serror)|\btextbook\s(?:original|answer)\b|\bthe\sactual\s(?:answer|result|solution)\b"
    r"|\bactual(?:ly)?\s(?:correct|calculations?)\b|\bunreasonable\s(?:for|that|to)\b|\bcorrecting\sthe\b|\b(?:analysis|calculation)\serror\b"
    r"|\bdiscrepanc\w+|\bdoes\snot\smatch\s(?:the\s)?(?:options?|answer|given)\b|\bno\ssuch\soption\b)"
)
_OPTION = re.compile(r"(?:options?\s|choose\s|select\s)?\(?(?:[A-E]|[A-E]{2,4}|[A-E](?:(?:,\s?|\sand\s)[A-E]){1,3})\)?", re.IGNORECASE)
_OPTIONS = re.compile(r"(?:^|\s|\()[A-D]\s?[.)、:：]")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_CIRCLE = re.compile(r"(\b\w.{1,60}?)(?:\W{0,3}\1){3}\W{0,3}\w{0,60}\W{0,3}$", re.DOTALL)
_CUT_OFF = re.compile(r"(?:\.\.\.|…)\s*$")
_HEADING = re.compile(
    r".{0,120}[:：]|(?:step|method|case|option|part|stage)\s?(?:\d{1,2}|[a-d]|one|two|three)\W{0,3}|\W{1,20}|(?:steps?|procedure|solution|notes?)\W{0,3}",
    re.IGNORECASE,
)


def text_defects(template: Template) -> list[Defect]:
    """What the texts alone show."""
    found = []
    for number, step in enumerate(template.steps, 1):
        if step.strip() and _HEADING.fullmatch(step.strip()):
            found.append(Defect("heading", f"step {number} is a heading without a step: {_short(step)}", True))
    if template.steps and (not template.description.strip() or not template.scope.strip()):
        found.append(Defect("undescribed", f"no {'description' if not template.description.strip() else 'scope'}", True))
    found += [Defect("retells", f"{where} tells its own problem: {_short(text)}", False) for where, text in _retellings(template)]
    found += _quoted("circle", "repeats itself", _circles(template))
    found += _quoted("book", "refers to", _books(template), ", which the template does not hold")
    found += _quoted("figure", "needs a figure or table", _figures(template))
    found += _quoted("draft", "was left in a draft", _drafts(template))
    lacks = lacking(template.example_problem, template.example_solution, template.example_answer)
    found += [Defect("data", f"the example's problem {what}", True) for what in lacks]
    if not template.example_problem.strip():
        if not template.example_solution.strip():
            found.append(Defect("no-example", "no worked example", False))
    elif not template.example_solution.strip():
        found.append(Defect("no-example", "its example has no solution", False))
    elif answer_is_option(template):
        found.append(Defect("option", "its example's answer is the letter of an option that its problem does not state", False))
    elif not template.example_answer.strip():
        found.append(Defect("no-answer", "the answer of its example cannot be read", False))
    return found


def answer_is_option(template: Template) -> bool:
    """Whether the example's answer is the letter of an option that its problem does not state."""
    return bool(_OPTION.fullmatch(template.example_answer.strip())) and not _OPTIONS.search(template.example_problem)


def example_defects(template: Template, grader: Grader) -> list[Defect]:
    """Where the worked example does not follow."""
    problem, solution = template.example_problem, template.example_solution
    wrong = list(
        dict.fromkeys((*wrong_equations(solution, grader), *false_numbers(solution, problem), *false_rewritings(solution, problem)))
    )
    found = [Defect("example", f"the example states {_short(equation)}, which does not hold", True) for equation in wrong[:MOST]]
    found += [
        Defect("example", f"the example goes on with {_short(what)}", True)
        for what in (*false_solutions(solution, problem), *false_simplifications(solution, problem))[:MOST]
    ]
    if point := misses_point(template.example_problem, template.example_answer, grader):
        found.append(Defect("example", f"the curve {_short(template.example_answer)} does not pass through {point}", True))
    if other_end(without_answer(solution), template.example_answer):
        found.append(Defect("example", f"the answer {_short(template.example_answer)} is not what its calculation ends in", True))
    if unreached(template.example_solution, template.example_answer):
        found.append(Defect("example", f"the solution never states the answer {_short(template.example_answer)}", True))
    return found


def _parts(template: Template) -> Iterator[tuple[str, str]]:
    """(what it is, text) of all that a template says."""
    yield "the description", template.description
    yield "the scope", template.scope
    for step in template.steps:
        yield "a step", step
    yield from _example(template)


def _example(template: Template) -> Iterator[tuple[str, str]]:
    yield "the example's problem", template.example_problem
    yield "the example's solution", template.example_solution
    if template.example_answer not in template.example_solution:
        yield "the example's answer", template.example_answer


def _retellings(template: Template) -> Iterator[tuple[str, str]]:
    """Description or scope with two numbers of the example's problem, one of them of two digits or more, or with a boxed answer: they are
    of this problem, not of its kind. A kind has small numbers, tens and hundreds of its own."""
    own = set(_NUMBER.findall(template.example_problem))
    for where, text in (("the description", template.description), ("the scope", template.scope)):
        told = own & set(_NUMBER.findall(text))
        if (len(told) > 1 and any(len(number.strip("0.")) > 1 for number in told)) or "\\boxed" in text:
            yield where, text


def _circles(template: Template) -> Iterator[tuple[str, str]]:
    """A step that stands `OFTEN` times, or a text that ends in one phrase four times over: small models go on until their limit."""
    steps = Counter(" ".join(step.casefold().split()) for step in template.steps if step.strip())
    yield from (("a step", step) for step, count in steps.items() if count >= OFTEN)
    for where, text in (
        ("the description", template.description),
        ("the scope", template.scope),
        *(("a step", step) for step in template.steps),
    ):
        if match := _CIRCLE.search(text[-LONGEST:]):
            yield where, match[1]


def _books(template: Template) -> Iterator[tuple[str, str]]:
    whole = " ".join((template.description, template.scope, *template.steps))
    for where, text in _parts(template):
        for match in _BY_WORD.finditer(text):  # it may be the template's own, which then says what it is
            if not re.search(re.escape(match[0]) + r"\W{0,3}(?:[:=(]|is\b|states\b)", whole, re.IGNORECASE):
                yield where, match[0]
        for match in _BOOK.finditer(text):
            if not _NUMBERED_OWN.search(match[0]) or "textbook" in match[0].lower():
                yield where, match[0]


def _figures(template: Template) -> Iterator[tuple[str, str]]:
    table = sum(text.count("|") for _, text in _example(template)) >= 6
    for where, text in _example(template):
        patterns = (_FIGURE,) if table else (_FIGURE, _TABLE)
        yield from ((where, match[0]) for pattern in patterns for match in pattern.finditer(text))
    for step in template.steps:
        yield from (("a step", match[0]) for match in re.finditer(r"\b(?:Figure|Fig\.)\s?\d{1,2}\b", step))


def _drafts(template: Template) -> Iterator[tuple[str, str]]:
    for where, text in _parts(template):
        pattern = _DRAFT_OF_EXAMPLE if "example" in where else _DRAFT
        yield from ((where, match[0]) for match in pattern.finditer(text))
        if match := _CUT_OFF.search(text):
            yield where, text[max(0, match.start() - 20) :].strip()


def _quoted(code: str, says: str, places: Iterator[tuple[str, str]], end: str = "") -> list[Defect]:
    """One defect for each place of the template, with its first quotation."""
    first: dict[str, str] = {}
    for where, quotation in places:
        first.setdefault(where, quotation)
    return [Defect(code, f"{where} {says}: {_short(quotation)}{end}", True) for where, quotation in first.items()]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return f"'{line if len(line) <= SHOWN else line[: SHOWN - 1] + '…'}'"
