"""What is wrong with a template: findings that quarantine it, and warnings for a person.

    Finding(template_id="51aa…", name="put together", problem="steps hold 12, a number of its own example", blocking=True, …)

A library that people import carries such defects by the dozen (papers/reasonflux, "Template T"): empty steps, steps that solve one example
only, duplicate names, entries that their own name and tags do not retrieve.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from factory.grading import Grader, normalise
from factory.schemas import Template
from factory.templates.defects import Defect, example_defects, text_defects
from factory.templates.duplicates import duplicates
from factory.templates.given import asks
from factory.templates.reading import balanced
from factory.templates.retrieve import label, similar_texts

MAX_STEPS = 12
MAX_WORDS = 200  # of all steps: the guided prompt repeats them for every template of a plan
NEAR_DUPLICATE = 90.0  # rapidfuzz ratio of two normalised names, 0 to 100
FEW_TEMPLATES = 30  # of a library in which a tag of one template tells nothing
REACH = 80  # characters before a number that say whether it is a result
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_WORD = re.compile(r"[^\W\d_]{2}|[\u3040-\u9fff]")  # one sign of Chinese or Japanese is a word
# numbers of a method: places, percent, minutes and seconds, angles, π
_CONSTANTS = frozenset((0, 1, 2, 3, 10, 100, 1000, 0.5, 0.1, 0.01, 60, 3600, 90, 180, 270, 360, 3.14))
_PLACES = re.compile(
    r"[\^_]\s*(?:\{[^{}]{0,40}\}|[-+]?\d+(?:\.\d+)?)"  # exponents and indices
    r"|\\[a-zA-Z]{1,20}\s?\[[^\[\]]{0,40}\]"  # \sqrt[3]{x}
    r"|\b(?:steps?|cases?|parts?|property|formula|method|type)\s?\d{1,2}\b|^\W{0,4}\d{1,2}[.:)]\s"  # what is numbered
    r"|\b4(?=\s?(?:a\s?c\b|\\pi|π)|/3)",  # of the discriminant and the sphere
    re.IGNORECASE,
)
_RESULT = re.compile(
    r"(?:(?:^|(?:[:;,.$]|\\[(\[])\s?|[a-zA-Z]{2}\s)(?:[a-zA-Z]|[(\d][\d\s.+*/×÷()-]{0,60})\s?=|\b[a-zA-Z]{2,20}\s=|[→⇒≈]|\\boxed\{|"
    r"\b(?:is|are|equals|equal to|gets?|gives?|obtain|yields?|leaves|answer|result)\b:?)[\s$(-]{0,4}$",
)
_FACTOR = re.compile(
    r"[a-zA-Zα-ω√|(]|\\[a-zA-Z]|\s?(?:[/*+^×·-]|times\b|\\(?:pi|times|cdot|sqrt)\b)"
)  # what follows a number within a formula


_ILLUSTRATION = re.compile(
    r"[(（](?:e\.g\.|i\.e\.|for (?:example|instance)|such as|like)[^()（）]*(?:\([^()]*\)[^()（）]*)*[)）]"
    r"|\bfor (?:example|instance)[^;]*?(?:[.;](?=\s|$)|$)",
    re.IGNORECASE,
)
_THRESHOLD = re.compile(
    r"(?:[<>≤≥]|\b(?:above|below|over|under|exceeds?|at\s(?:least|most)|(?:more|less|greater)\sthan))\s?$", re.IGNORECASE
)
_GLUED = re.compile(r"[A-Za-zα-ω√|(]")  # `4ac` is of the formula


@dataclass(frozen=True)
class Finding:
    """`code`: the kind, one word. `other`: the template that this one would merge into, or that is found before it."""

    template_id: str
    name: str
    problem: str
    blocking: bool  # the template must not be used as it is
    code: str = ""
    other: str = ""


def lint_template(template: Template) -> list[Finding]:
    """Findings that the template's own texts show, without its arithmetic."""
    found = []
    steps = " ".join(template.steps)
    if not steps.strip() or not all(step.strip() for step in template.steps):
        found.append(Defect("no-steps", "empty steps", True))
    if len(template.steps) > MAX_STEPS or len(steps.split()) > MAX_WORDS:
        long = f"{len(template.steps)} steps, {len(steps.split())} words (at most {MAX_STEPS} and {MAX_WORDS})"
        found.append(Defect("too-long", f"too long: {long}", True))
    if not template.tags:
        found.append(Defect("no-tags", "no tags", True))
    if "\n" in template.name or not template.name.strip() or not balanced(template.name):
        found.append(Defect("name", "a name that no plan line can hold", True))
    elif not _WORD.search(template.name):
        found.append(Defect("name", "a name without a word", True))
    own = _leaked(template)
    found += [Defect("own-number", f"steps hold {number}, a number of its own example", True) for number in own]
    if shown := [number for number in _leaked(template, illustrations=True) if number not in own]:
        found.append(Defect("illustrated", f"its steps illustrate with its own example: {', '.join(shown[:4])}", False))
    return [_finding(template, defect) for defect in [*found, *text_defects(template)]]


def _finding(template: Template, defect: Defect) -> Finding:
    return Finding(template.id, template.name, defect.problem, defect.blocking, defect.code)


def blocked(template: Template) -> bool:
    """Whether a finding of its own texts quarantines it."""
    return any(finding.blocking for finding in lint_template(template))


def _leaked(template: Template, illustrations: bool = False) -> list[str]:
    """The numbers of the example's problem or answer that the steps hold, and those of its solution that a step states as a result.
    No leak are exponents, indices, coefficients, numbers of steps, and constants of a method unless a step states them as the result that
    they are; nor, unless `illustrations`, what stands in `(e.g., …)`."""
    asked = set(_NUMBER.findall(f"{template.example_problem} {template.example_answer}"))
    solved = set(_NUMBER.findall(template.example_solution))
    answer = set(_NUMBER.findall(template.example_answer))
    leaked = set()
    for step in template.steps:
        text = step if illustrations else _ILLUSTRATION.sub(lambda match: "·" * len(match[0]), step)
        text = _PLACES.sub(lambda match: "·" * len(match[0]), text)
        for match in _NUMBER.finditer(text):
            number = match[0]
            if 0 < float(number) < 1 and _THRESHOLD.search(text, max(0, match.start() - REACH), match.start()):
                continue  # |r| > 0.75, below 0.05: of the method
            if match.start() and (text[match.start() - 1].isalpha() or text[match.start() - 1] == "/"):
                continue  # lg5, p²/4
            if number in asked and float(number) not in _CONSTANTS:
                leaks = not _GLUED.match(text, match.end())
            else:
                leaks = (answer == {number} if float(number) in _CONSTANTS else number in solved) and _is_result(text, match)
            leaked |= {number} if leaks else set()
    return sorted(leaked)


def _is_result(text: str, number: re.Match[str]) -> bool:
    return bool(_RESULT.search(text, max(0, number.start() - REACH), number.start())) and not _FACTOR.match(text, number.end())


def lint_library(templates: Sequence[Template], grader: Grader | None = None) -> list[Finding]:
    """Every template's own findings, with a `grader` those of its example too, then what the templates are to each other: which would merge
    into which, near-duplicate names, templates that their own name and tags do not retrieve first, tags that no other template has."""
    from rapidfuzz import fuzz

    ordered = sorted(templates, key=lambda template: template.id)
    found = [finding for template in ordered for finding in lint_template(template)]
    if grader:
        found += [_finding(template, defect) for template in ordered for defect in example_defects(template, grader)]
    known = {template.id: template for template in ordered}
    merged = set()
    for merge in duplicates(ordered):
        kept = known[merge.kept]
        says = f"{merge.why} (cosine {merge.score:.2f}): would merge into {kept.name} ({kept.id})"
        merged.add((merge.gone, merge.kept))
        code = "duplicate" if merge.merges else "near-duplicate"
        found.append(Finding(merge.gone, known[merge.gone].name, says, merge.merges, code, kept.id))
    names = [normalise(template.name) for template in ordered]
    for index, template in enumerate(ordered):
        for other, name in zip(ordered[:index], names[:index], strict=True):
            if {(template.id, other.id), (other.id, template.id)} & merged:
                continue
            if fuzz.ratio(names[index], name) >= NEAR_DUPLICATE:
                says = f"name nearly that of {other.name} ({other.id})"
                found.append(Finding(template.id, template.name, says, False, "near-name", other.id))
    documents = {template.id: label(template) for template in ordered}
    for template, best in zip(ordered, similar_texts(list(documents.values()), documents, 1), strict=True):
        if best != [template.id]:
            says = f"its name and tags retrieve {best[0] if best else 'nothing'} before it"
            found.append(Finding(template.id, template.name, says, False, "not-first", best[0] if best else ""))
    posed = [template for template in ordered if template.example_problem.strip()]
    mute = [template for template in posed if not asks(template.example_problem)]
    if 2 * len(mute) < len(posed):
        found += [_finding(template, Defect("data", "the example's problem asks nothing", True)) for template in mute]
    counts = Counter(tag for template in ordered for tag in set(template.tags))
    for template in ordered if len(ordered) > FEW_TEMPLATES else ():
        if once := [tag for tag in template.tags if counts[tag] == 1]:
            found.append(Finding(template.id, template.name, f"tags that no other template has: {', '.join(once)}", False, "tag-once"))
    return found


def settled(templates: Sequence[Template], findings: Iterable[Finding]) -> list[Template]:
    """The templates, accepted where nothing blocks them and quarantined else; a retired one stays so."""
    bad = {finding.template_id for finding in findings if finding.blocking}
    return [
        template if template.status == "retired" else replace(template, status="quarantined" if template.id in bad else "accepted")
        for template in templates
    ]
