"""What the problem of a worked example leaves out: the problem itself, its question, its data, its points, its options, its end.

    asks("Given the function f(x) = lg(mx² + 4mx + 3)")                             → False
    lacking("Prove that EF ⊥ plane PAB.", "1. Take the midpoint M of PA …", "")   → ["says not what E, F, P, A, B are"]
    lacking("The following data were taken; find r.", "75/6 = 12.5 …", "")         → ["promises data and gives none"]

A textbook's example loses these on the way into a library: the figure's labels, the table, the part of the question before `(2)`. What the
words imply (`Distribute 16 slots to 4 classes`) is no question.
"""

import re
from collections.abc import Iterator
from itertools import pairwise, product

from factory.grading.trees import Node
from factory.templates.examples import without_answer
from factory.templates.statements import closed, statements

FEW = 3  # numbers that a table of data has at least; numbers of a solution that come from nowhere
LEAST = 13  # a smaller whole number may be counted or be of the method
_ASKS = re.compile(
    r"[?？]|_{2,}|\(\s*\)|=\s*$|\b(?:find(?:s|ing)?|prov(?:es?|ing)|show|measure|determin\w*|calculat\w*|comput\w*|solv\w*|evaluat\w*|simplif\w*|express|compar\w*|"
    r"writ(?:e|ing)|judg\w*|verif\w*|factor(?:i[sz]e)?|expand|convert|estimat\w*|analy[sz]\w*|discuss\w*|draw|sketch|graph the|plot|"
    r"construct|predict|deriv(?:e|ing)|design|explain|describe|state|list|give|use|using|complet\w*|fill|choose|select|seek\w*|obtain|"
    r"identify|establish|conjecture|test|check|rationali\w*|arrange|count|what|which|how|whether|represent|reduce|rewrite|differentiate|"
    r"integrate|locate|form the|make|transform|decompose|investigate|explore|study|try)\b",
    re.IGNORECASE,
)
_NOUN = re.compile(  # a problem that is nothing but the name of what is sought
    r"(?:[^.;]*[,:]\s)?(?:then\s)?(?:the\s)?(?:\w+\s){0,3}(?:number|value|range|probability|sum|area|volume|distance|equation|coefficient|"
    r"domain|solutions?(?:\sset)?|length|expectation|variance|derivative|period|maximum|minimum)\s(?:\w+\s)?(?:of|that|is|are|between)\b.*",
    re.IGNORECASE | re.DOTALL,
)
_OPTIONS = re.compile(r"(?:^|\s|\()[A-D]\s?[.)、:：]|[①-⑨]|\(\s?(?:1|i)\s?\)", re.MULTILINE)
_CHOICE = re.compile(
    r"\bfollowing\s(?:\w+\s){0,3}(?:statements?|conclusions?|propositions?|options?|judge?ments?|is|are)\b|\bmultiple[- ]choice\b"
    r"|\bcorrect\s(?:statements?|conclusions?|options?)\b",
    re.IGNORECASE,
)
_PROMISE = re.compile(
    r"\b(?:following|below|given)\s(?:\w+\s){0,3}(?:data|tables?|charts?|statistics|samples?|distribution|results)\b|\bas\s(?:follows|below)\b"
    r"|\b(?:data|table|results?)\s(?:is|are|was|were)?\s?(?:as\sfollows|below|shown)",
    re.IGNORECASE,
)
_SOURCED = re.compile(
    r"\b(?:given|known|stated|provided)\s(?:in|by|from)\sthe\s(?:problem|question|statement|table|figure|chart|graph)\b"
    r"|\bgiven\sthe\s\w+\s(?:term|value|sum|data)\b|\bfrom\sthe\s(?:problem|question|given data)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\d._^])\d+(?:,\d{3})*(?:\.\d+)?")
_CUT = re.compile(r"(?:[,，:：;；(（=+×]|(?<!\\)\\|\\[(\[])$")
_LABEL = re.compile(r"(?<![A-Za-z\\])(?:[A-Z][′']?[₀-₉]?(?:_\d)?){1,8}(?![a-z])")
_POINT = re.compile(r"[A-Z][′']?[₀-₉]?(?:_\d)?")
_BODY = re.compile(
    r"(?:△|triangles?|quadrilaterals?|rectangles?|squares?|parallelograms?|trape\w+|rhombus(?:es)?|polygons?|pyramids?|prisms?|cubes?|cuboids?|"
    r"tetrahedr\w+|parallelepipeds?|pentagons?|hexagons?|circles?)\s(?:△\s?)?((?:[A-Z][′']?[₀-₉]?(?:_\d)?)+(?:\s?-\s?(?:[A-Z][′']?[₀-₉]?(?:_\d)?)+)?)",
    re.IGNORECASE,
)
_SPACE = re.compile(
    r"∠|△|⊥|∥|//|\b(?:plane|line|vectors?|angle|segment|parallel|perpendicular|skew|collinear|coplanar|perimeter|area)\b|\\mathbf|\\overrightarrow|\\vec|·"
)
_TURN = re.compile(  # from here on something is sought, or given
    r"(?P<seeks>\b(?:find(?:s|ing)?|proves?|show|calculate|determine|compute|express|what\sis|verify|use\sthe)\b)"
    r"|(?:\b(?:where|if|when|given|let|suppose|such\sthat|in|for|of\sa|on\sthe)\b|(?<=[.;。；])\s)",
    re.IGNORECASE,
)


def lacking(problem: str, solution: str, answer: str) -> list[str]:
    """What is missing, in words that go on `the example's problem …`."""
    if not problem.strip():
        return ["is not stated"] if solution.strip() else []
    return [
        *_unchosen(problem, answer),
        *_unfinished(problem),
        *_unplaced(problem),
        *_ungiven(problem, without_answer(solution)),
    ]


def asks(problem: str) -> bool:
    """Whether there is a question, a task, or the name of what is sought. Only a library whose other problems ask shows that one must."""
    return bool(_ASKS.search(problem) or _NOUN.fullmatch(problem.strip()) or _OPTIONS.search(problem))


def _unchosen(problem: str, answer: str) -> Iterator[str]:
    several = re.fullmatch(r"(?:options?\s)?(?:[A-E]{2,4}|[A-E](?:(?:,\s?|\sand\s)[A-E])+)", answer.strip(), re.IGNORECASE)
    if not _OPTIONS.search(problem) and (
        several or (_CHOICE.search(problem) and len(problem) < 400 and not re.search(r"following\s\w*\s?data", problem))
    ):
        yield "lets choose among statements that it does not make"


def _unfinished(problem: str) -> Iterator[str]:
    if _CUT.search(problem.strip()):
        yield "breaks off"


def _unplaced(problem: str) -> Iterator[str]:
    """Points that only the question names, as ends of a segment or corners of an angle. The origin O needs no word."""
    if not _SPACE.search(problem):
        return
    turns = [(0, False), *((match.start(), bool(match["seeks"])) for match in _TURN.finditer(problem))]
    known, used = {"O"}, list[str]()
    for (start, seeks), (end, _) in pairwise([*turns, (len(problem), False)]):
        for label in _LABEL.findall(problem[start:end]):
            points = _POINT.findall(label)
            if not seeks or len(points) == 1:
                known |= {*points, *(point[0] for point in points)}
            else:
                used += points
    known |= {point for body in _BODY.findall(problem) for point in _POINT.findall(body)}
    if missing := [point for point in dict.fromkeys(used) if point not in known and point[0] not in known]:
        yield f"says not what {', '.join(missing[:5])} {'is' if len(missing) == 1 else 'are'}"


def _ungiven(problem: str, solution: str) -> Iterator[str]:
    given = {_value(number) for number in _NUMBER.findall(problem)}
    table = problem.count("|") >= 4
    if _PROMISE.search(problem) and len(given) < FEW and not table and not _OPTIONS.search(problem):
        yield "promises data and gives none"
    reached = _reached(given)
    computed = {_value(number) for number in re.findall(r"[=≈]\s?(\d+(?:\.\d+)?)", solution)}
    nowhere: dict[str, None] = {}
    for statement in statements(solution):
        first = next((node for node in statement.nodes if closed(node)), None)
        for number in _leaves(first) if first else ():
            if number not in reached | computed and _telling(number, problem + solution):
                nowhere[f"{number:g}"] = None
    if len(nowhere) >= FEW:
        yield f"is solved with {', '.join([*nowhere][:4])}, which it does not give"
    for line in solution.split("\n"):
        if _SOURCED.search(line):
            told = [number for number in _NUMBER.findall(line) if "." in number or _value(number) >= LEAST]
            before = {_value(number) for number in re.findall(r"[=≈]\s?(\d+(?:\.\d+)?)", line)}
            if missing := [number for number in told if _value(number) not in reached | before]:
                yield f"does not give {', '.join(missing[:3])}, which its solution takes from it"
                return


def _telling(number: float, text: str) -> bool:
    """Whether it must have been given: no count, no whole hundred, no angle's."""
    return (number >= LEAST or number % 1 != 0) and number % 100 != 0 and not (number % 15 == 0 and "°" in text)


def _value(number: str) -> float:
    return float(number.replace(",", ""))


def _reached(given: set[float]) -> set[float]:
    """The given numbers, and what one operation makes of two of them or of one and a small number."""
    few = sorted(given)[:40]
    found = set(few)
    for one, other in product(few, [*few, *map(float, range(1, 13)), 100.0]):
        found |= {
            one + other,
            abs(one - other),
            one * other,
            round(one / other, 6) if other else one,
            round(other / one, 6) if one else other,
        }
    return found


def _leaves(node: Node) -> Iterator[float]:
    """The numbers of a tree, exponents and bases of logarithms aside."""
    if node[0] == "num":
        yield float(node[1])
    elif node[0] == "pow":
        yield from _leaves(node[1])
    else:
        yield from (leaf for part in node[1:] if isinstance(part, tuple) and part and isinstance(part[0], str) for leaf in _leaves(part))
