"""Whether a worked example follows: its arithmetic holds, its answer is what its solution reaches, its curve passes through its points.

    wrong_equations("1. 9 × 4 = 36, so 36 + 5 = 42.", grader)    → ["36 + 5 = 42"]

Read are equations of numbers alone (roots, powers, fractions and π too), bounded by blanks, brackets or signs of a sentence; each side is
data for the project's grader, which computes in bounded worker processes and evaluates no code. A decimal may be a rounded value of the
other side. What cannot be read that plainly is not judged.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from factory.grading import Grader, Task, parse_number
from factory.templates.examples import without_answer

LONGEST = 80  # characters of a side
MOST = 60  # equations of one example
_SIGNS = {"−": "-", "–": "-", "＝": "=", "：": ":", "，": ",", "（": "(", "）": ")", "×": "×", "÷": "÷", "∗": "*", "％": "%"}
_SIDE = r"[\d.,+\-*/^()\[\]√∛π·×÷!%\s½⅓¼¾⅔⁰¹²³⁴⁵⁶⁷⁸⁹⁻]"
_LEFT = re.compile(rf"{_SIDE}{{1,{LONGEST}}}$")
_RIGHT = re.compile(rf"{_SIDE}{{1,{LONGEST}}}")
_CUT = re.compile(r"[⇒→⟹∴∵;；≈<>≤≥≠∪∈⟺⇔\n]|\band\b|\bor\b|\\\\|\\(?:R|r)ightarrow|\\implies|\\to\b")
_LATEX = ((r"\\[td]?frac\s?\{([^{}]{1,30})\}\s?\{([^{}]{1,30})\}", r"((\1)/(\2))"), (r"\\sqrt\s?\{([^{}]{1,30})\}", r"√(\1)"))
_PLAIN = (
    (r"\\times|\\cdot", "×"),
    (r"\\div", "÷"),
    (r"\\pi\b", "π"),
    (r"\\left|\\right|\$|\\[(),;!\[\]]|\*\*", ""),
    (r"\^\{(-?\d{1,3})\}", r"^(\1)"),
)
_SUPPOSED = re.compile(
    r"\b(?:not|contradict\w*|discard\w*|invalid|impossible|wrong|incorrect|false|assum\w*|suppos\w*|verif\w*|check\w*|if|whether|when)\b|[?≠✗×]\s*$",
    re.IGNORECASE,
)  # a line that may state what does not hold
_FUNCTION = re.compile(r"(?:sin|cos|tan|cot|sec|csc|log|ln|lg|lim|exp|arc\w+|mod|max|min|gcd|lcm|card|step|\b[A-Za-z])\s*$", re.IGNORECASE)
_OPERATION = re.compile(r"[\d)\]π½!%⁰¹²³⁴-⁹]\s*[+\-*/^·×÷√]|√|[²³⁴-⁹!]")


def wrong_equations(text: str, grader: Grader) -> list[str]:
    """The equations that do not hold, each once, as they are written."""
    lines = [line for line in _readable(text).split("\n") if not _SUPPOSED.search(line)]
    pairs = list(dict.fromkeys(pair for line in lines for part in _CUT.split(line) for pair in _pairs(part)))[:MOST]
    tasks, which = [], []
    for left, right in pairs:
        decimals = _decimals(right) if _decimals(right) is not None else _decimals(left)
        one, other = (left, right) if _decimals(right) is not None or decimals is None else (right, left)
        tasks.append(Task(one, other, "math", decimals))
        which.append(f"{left} = {right}")
    grades = grader.grade_answers(tasks)
    return [
        equation for equation, grade in zip(which, grades, strict=True) if (grade.verdict, grade.reason) == ("wrong", "different values")
    ]


def _readable(text: str) -> str:
    for mark, sign in _SIGNS.items():
        text = text.replace(mark, sign)
    for pattern, plain in _LATEX * 2:
        text = re.sub(pattern, plain, text)
    for pattern, plain in _PLAIN:
        text = re.sub(pattern, plain, text)
    return text


def _pairs(part: str) -> list[tuple[str, str]]:
    """(left, right) of each `=` between two numbers or expressions of numbers."""
    sides = part.split("=")
    found = []
    for place, (before, after) in enumerate(pairwise(sides)):
        whole = place > 0 and _whole(before)  # in a chain the middle is a side of both
        left = before.strip() if whole else _left(before)
        right = _right(after)
        if left and right and (_OPERATION.search(left) or _OPERATION.search(right)):
            found.append((left, right))
    return found


def _whole(text: str) -> bool:
    return bool(_RIGHT.fullmatch(text.strip())) and _expression(text.strip())


def _left(text: str) -> str:
    """The expression at the end of `text`, "" when something that is no number stands beside it."""
    match = _LEFT.search(text)
    if not match:
        return ""
    run, before = match[0], text[: match.start()]
    if before and (not run[0].isspace() or _FUNCTION.search(before) or before.rstrip()[-1:] in "\\_'’\"°"):
        return ""
    if re.search(r"[\d)]\s?:\s", before[-40:] + run):  # a ratio
        return ""
    run = run if before.strip() else re.sub(r"^\s*-\s", "", run)  # an item of a list
    run = re.split(r"(?<=[,:])\s|(?:(?<=\s)|^)\d{1,2}\.\s|(?:^|(?<=\s))\(\d{1,2}\)\s|\.\s", run)[-1].strip().strip(",")
    if not run or run[0] in "+*/^·×÷%!)].," or (run[0] == "-" and before.strip()):
        return ""
    return run if _expression(run) else ""


def _right(text: str) -> str:
    match = _RIGHT.match(text)
    if not match:
        return ""
    run, after = match[0], text[match.end() :]
    if after and not run[-1].isspace() and run[-1] not in ".,":
        return ""
    if after and re.match(r"[A-Za-z](?![A-Za-z])|remainder|[|±:{}]|\\|[°′'∠△αβγθλμ]|(?:sin|cos|tan|log|ln|lg)", after):
        return ""
    run = re.split(r"[.,:](?:\s|$)|\s\(\D|\s\(\d{1,2}\)\s|\s{2,}", run.strip())[0].strip()
    run = run.rstrip("+-*/^·×÷([√ .,:")
    return run if _expression(run) else ""


def _expression(run: str) -> bool:
    """Whether it is one: balanced, with a number, and no two numbers side by side."""
    if not re.search(r"[\dπ½⅓¼¾⅔]", run) or not _balanced(run) or len(run) > LONGEST:
        return False
    if "÷" in run and "/" in run:  # 8/5÷2/5: which way it is meant is not said
        return False
    return not re.search(r"[\d)\]]\s+[\d(\[√π]|,(?!\d{3}(?!\d))|\d{1,3},\d{3},?\d*[.]\d*,|\.\.|[\])]\d|\(\)", run)


def _balanced(text: str) -> bool:
    stack = []
    for letter in text:
        if letter in "([":
            stack.append(letter)
        elif letter in ")]" and (not stack or stack.pop() + letter not in ("()", "[]")):
            return False
    return not stack


def _decimals(side: str) -> int | None:
    """The places of a decimal number that stands alone."""
    match = re.fullmatch(r"-?\d{1,12}\.(\d{1,8})", side)
    return len(match[1]) if match else None


_POINT = re.compile(r"(?:\b[A-Z])?\s?\(\s?([^(),\s]{1,12})\s?,\s?([^(),\s]{1,12})\s?\)")
_THROUGH = re.compile(
    r"(?:passes|passing|goes|pass)\sthrough\s(?:the\s)?(?:two\s)?(?:points?\s)?((?:[A-Z]?\s?\([^()]{1,30}\)(?:,?\s(?:and\s)?)?){1,3})"
)
_CURVE = re.compile(r"[\dxy²+\-*/^()\s.=√]{3,60}")


def misses_point(problem: str, answer: str, grader: Grader) -> str:
    """A point that the problem wants on a curve whose equation is the answer, and that is not on it: "(3, -2)"; "" else."""
    curve, through = _readable(answer).replace(" ", ""), _THROUGH.search(_readable(problem))
    if not through or curve.count("=") != 1 or not _CURVE.fullmatch(curve) or not re.search("[xy]", curve):
        return ""
    for across, up in _POINT.findall(through[1]):
        if not re.fullmatch(r"-?[\d√./]{1,10}", across) or not re.fullmatch(r"-?[\d√./]{1,10}", up):
            continue
        left, right = (_at(side, across, up) for side in curve.split("="))
        grade = grader.grade_answer(left, right, "math")
        if (grade.verdict, grade.reason) == ("wrong", "different values"):
            return f"({across}, {up})"
    return ""


def _at(side: str, x: str, y: str) -> str:
    """The side with numbers for x and y: `x²/15` at 3 → `(3)²/15`."""
    if side in ("x", "y"):
        return x if side == "x" else y
    return re.sub(r"(?<=[\d)])(?=[xy(])", "×", side).replace("x", f"({x})").replace("y", f"({y})")


_ENDS = re.compile(r"-?\d+(?:\.\d+)?(?:/\d+)?")


def unreached(solution: str, answer: str) -> bool:
    """Whether a solution with numbers never states the answer, a single number."""
    own = without_answer(solution)
    value = parse_number(answer)
    if value is None or not own.strip():
        return False
    return all(parse_number(found) != value for found in _stated(own)) and answer.strip() not in own


def _stated(text: str) -> Sequence[str]:
    return _ENDS.findall(text.replace(",", ""))
