"""A worked example in any of the shapes that people publish → problem, solution, answer; what is not there stays empty.

    example_of({"question": "2 + 3?", "Solution Steps": ["1. Add.", "2 + 3 = 5"], "answer": "5"}, Counter())
    → Example("2 + 3?", "1. Add.\\n2 + 3 = 5\\nAnswer: 5", "5", "")
    example_of("Example 7(1): Find f(2).\\n\\nSolution Steps:\\n1. …\\nAnswer: 4", Counter())
    → Example("Find f(2).", "1. …\\nAnswer: 4", "4", "")

An object is read by its keys, a text by the labels at the starts of its lines. A solution that its source does not label begins at the
first item of a list. The answer is what stands behind `Answer:` or under such a key, or in the last line behind `Conclusion:` or words
such as `the final equation is`; no other words are taken for one. Of several examples the first is the template's; the others are `left`.
"""

import re
from collections import Counter
from typing import NamedTuple

from factory.grading import extract
from factory.templates.cleaning import lines_of, text_of


def _listed(labels: str) -> frozenset[str]:
    return frozenset(labels.split(", "))


_PROBLEM = _listed("example problem, problem, example question, question, title, example, problem statement, statement, task")
_SOLUTION = _listed(
    "solution, solution steps, solution process, solving process, solving steps, problem solving steps, solution flow, analysis, "
    "analysis steps, analysis process, analysis and solution, explanation, application process, application steps, template application, "
    "application template analysis, application of template steps, using the template to solve, steps, steps to solve, answer steps, "
    "step analysis, steps demonstration, proof, proof steps, process, calculation, worked solution, response"
)
_ANSWER = _listed("answer, answers, final answer, the answer, conclusion")

_LABEL = re.compile(
    r"\s{0,8}(?:\*\*|[\[【#])?\s?(?P<label>[A-Za-z][A-Za-z _-]{1,40}?)\s?(?:\*\*|[\]】])?\s?(?:[:：]|(?<=】))\s?(?:\*\*)?\s*(?P<rest>.*)",
    re.DOTALL,
)
_HEAD = re.compile(
    r"\s*(?:\*\*|[(（\[【])?(?:(?:based on|taking|using|adapted from|from)\s(?:the\s)?)?(?:textbook\s)?"
    r"(?:problem|question|example(?:\s(?:problem|question))?)(?:\sin\s(?:the\s)?textbook|\sfrom\s(?:the\s)?textbooks?)?"
    r"\s?(?:\d{1,2}(?:\sfrom\s(?:the\s)?textbooks?)?(?:\sas\san\sexample)?)?(?:\s?[(（]\d{1,2}[)）])*\s?[①-⑳]?(?:\*\*|[)）\]])?】?"
    r"(?P<note>(?:\s?[(（][^()（）]*(?:\([^()]*\)[^()（）]*)*[)）]){0,2})(?:\*\*)?"
    r"(?P<kind>\s(?:problem|question))?\s?(?P<colon>[:：]|\n|(?<=】)|(?=\s?[A-Z(\\$]))\s*",
    re.IGNORECASE,
)
_ABOUT = re.compile(  # a heading that names what follows and states no problem
    r"(?:[\w-]+\s){0,4}(?:analysis|proof|solution|verification|judg(?:e)?ment|method|application)(?:\s(?:process|steps|of\b[^:\n]{0,60}|\d{1,2}))*"
    r"(?:\s?[(（][^()（）]*[)）])?\s?[:：]\s*",
    re.IGNORECASE,
)
_ENUMERATED = re.compile(r"\s*(?:→\s?)?(?:[\[【*(]{0,2}\s?step\s?\d|[1１]\s?[.)、]\s?\S|①|[\[【]|[-•]\s|method\s1)", re.IGNORECASE)
_AGAIN = re.compile(
    r"\n\s*\n\s*(?=(?:\*\*|【)?(?:(?:example|problem)(?:\s(?:problem|question))?\s?(?:[:：】]|[\d(（][^\n:：]{0,50}[:：])"
    r"|variation[^\n:：]{0,50}[:：]))",
    re.IGNORECASE,
)


_SOURCE = re.compile(
    r"\s?[(（](?:from\s|in\s|adapted\sfrom\s)?(?:(?:the\s)?textbook\b|example\s\d)[^()（）]{0,40}(?:\([^()]{1,4}\)[^()（）]{0,20})?[)）]",
    re.IGNORECASE,
)


class Example(NamedTuple):
    """`left`: further examples and remarks of the source, which our rows have no place for."""

    problem: str
    solution: str
    answer: str
    left: str


def example_of(value: object, changes: Counter[str]) -> Example:
    if isinstance(value, dict):
        return _of_object(value, changes)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        first = _of_object(value[0], changes)
        left = "\n\n".join([first.left, *("\n".join(lines_of(item)) for item in value[1:])]).strip()
        changes["examples after the first left out"] += len(value) > 1
        return first._replace(left=left)
    return _of_text("\n".join(lines_of(value)), changes)


def _label(text: str) -> str:
    return " ".join(re.sub(r"[_\s-]+", " ", text).lower().split())


def _of_object(value: dict[str, object], changes: Counter[str]) -> Example:
    """By keys; an object without any that we know is read as the text of its first value."""
    found: dict[str, list[str]] = {"problem": [], "solution": [], "answer": []}
    left = []
    for key, inner in value.items():
        label = _label(str(key).removeprefix("example_") if str(key).startswith("example_s") else str(key))
        lines = [line for line in (text_of(line, changes) for line in lines_of(inner)) if line.strip()]
        field = "problem" if label in _PROBLEM else "solution" if label in _SOLUTION else "answer" if label in _ANSWER else ""
        if field and lines and not found[field]:
            found[field] = lines
        elif lines:
            left.append(f"{key}: " + "\n".join(lines))
    if not any(found.values()):
        texts = ["\n".join(lines_of(inner)) for inner in value.values()]
        first = _of_text(texts[0] if texts else "", changes)
        changes["examples after the first left out"] += len(texts) > 1
        return first._replace(left="\n\n".join([first.left, *texts[1:]]).strip())
    changes["examples that were objects"] += 1
    problem, note = _without_head("\n".join(found["problem"]))
    problem = _unsourced(problem, changes)
    changes["labels taken off a problem"] += note
    answer = _one_line("; ".join(found["answer"]))
    solution = "\n".join(found["solution"])
    stated, _ = _answer_in(solution)
    if not answer and stated:
        answer = stated
    elif answer and not stated and solution:
        solution = f"{solution}\nAnswer: {answer}"
    return Example(problem, solution, answer, "\n\n".join(left))


def _of_text(source: str, changes: Counter[str]) -> Example:
    text = text_of(source, changes).strip()
    if not text:
        return Example("", "", "", "")
    changes["examples that were texts"] += 1
    text, *others = _AGAIN.split(text, maxsplit=1)
    if others:
        changes["examples after the first left out"] += 1
    body, headed = _without_head(text)
    changes["labels taken off a problem"] += headed
    problem, solution = _split(body, changes)
    problem = _unsourced(problem, changes)
    answer, _ = _answer_in(solution)
    return Example(problem, solution, answer, "\n\n".join(others).strip())


def _without_head(text: str) -> tuple[str, bool]:
    """Without `Example 7(1) (Textbook example 3):`, twice where a label follows another."""
    rest = text.strip()
    for _ in range(2):
        match = _HEAD.match(rest)
        if not match or not match.end():
            break
        rest = rest[match.end() :].lstrip(" \t")
    return rest.strip(), rest.strip() != text.strip()


def _unsourced(problem: str, changes: Counter[str]) -> str:
    """Without `(Textbook Example 12)`."""
    plain = _SOURCE.sub("", problem).strip()
    changes["sources taken off a problem"] += plain not in ("", problem)
    return plain or problem


def _split(body: str, changes: Counter[str]) -> tuple[str, str]:
    """(problem, solution) of what follows the head."""
    if match := _ABOUT.match(body):
        inner = body[match.end() :]
        if not inner.strip() or _ENUMERATED.match(inner) or match[0].endswith("\n"):
            lead, found = _before_list(inner)
            if not lead:
                changes["examples without a problem"] += 1
            return (lead, found) if lead else ("", inner.strip())
        body = inner
    lines = body.split("\n")
    for number, line in enumerate(lines):
        match = _LABEL.match(line)
        label = _label(match["label"]) if match else ""
        if match and label in _PROBLEM and not number:
            lines[0] = match["rest"]
        elif match and (label in _SOLUTION or (label in _ANSWER and _goes_on(match["rest"], lines[number + 1 :]))):
            solution = "\n".join([match["rest"], *lines[number + 1 :]]).strip()
            return "\n".join(lines[:number]).strip(), solution
    problem, solution = _before_list("\n".join(lines))
    if not solution:
        head, sign, tail = problem.partition("\n\n")
        if sign and tail.strip():
            return head.strip(), tail.strip()
        for number, line in enumerate(lines):
            if number and (match := _LABEL.match(line)) and _label(match["label"]) in _ANSWER:
                return "\n".join(lines[:number]).strip(), "\n".join(lines[number:]).strip()
        changes["examples without a solution apart"] += 1
    return problem, solution


def _goes_on(rest: str, below: list[str]) -> bool:
    """Whether `Answer:` heads a solution and not an answer."""
    return not rest.strip() and any(_ENUMERATED.match(line) for line in below[:2])


def _before_list(text: str) -> tuple[str, str]:
    """(what stands before the first item of a list, the list and all below it)."""
    lines = text.strip().split("\n")
    for number, line in enumerate(lines):
        if _ENUMERATED.match(line) and not re.match(r"\s*\(1\)", line):
            return "\n".join(lines[:number]).strip().rstrip(":："), "\n".join(lines[number:]).strip()
    return text.strip(), ""


_SAID = re.compile(  # `hence the range is {m | m ≤ 4}`, `Final result gives a₇ = -2`
    r".*\b(?:final\s(?:\w+\s){0,3}(?:is|are|gives)|final\s(?:\w+\s){0,2}(?:equation|result|solution|value|expression)(?=\s?[:：])|(?:value|equation|expression|formula|solution|solution\sset|range|probability|distance|area|volume|"
    r"result)(?:\sof\s[^.=]{1,40})?\s(?:is|are))\s?[:：]?\s*(?P<answer>(?<=[\s:：])[^.。]{1,100}(?:\.\d+)?)[.。]?",
    re.IGNORECASE,
)
_CONCLUSION = re.compile(
    r"(?:\d{1,2}[.)]\s|step\s\d{1,2}\s?[:.]\s)?(?:final\s)?(?:conclusion|result)\s?[:：]\s*(?P<answer>\S.*)", re.IGNORECASE
)
_ANSWER_LINE = re.compile(
    r"(?:\*\*|[\[【])?\s?(?:final\s|the\s)?answers?(?:(?:\*\*|\])?\s?[:：]|】\s?[:：]?)\s?(?:\*\*)?\s*(?P<answer>\S.*)", re.IGNORECASE
)


def _answer_in(solution: str) -> tuple[str, str]:
    """(what stands behind the last `Answer:` that begins a line, or in the last line behind `Conclusion:` or `the answer is`; the solution
    before it)."""
    lines = solution.split("\n")
    for number in range(len(lines) - 1, -1, -1):
        if match := _ANSWER_LINE.match(lines[number].strip()):
            return _one_line(match["answer"]), "\n".join(lines[:number])
    if match := _CONCLUSION.fullmatch(lines[-1].strip()):
        return _one_line(match["answer"]), "\n".join(lines[:-1])
    if (match := _SAID.fullmatch(lines[-1].strip())) and re.search(r"[\d=∈{√π]", match["answer"]):
        return _one_line(match["answer"]), solution
    found = extract(lines[-1], ("final_answer", "answer_is"), "math")
    return (_one_line(found.text) if found else ""), solution


def without_answer(solution: str) -> str:
    """The solution without its line `Answer: …`."""
    return _answer_in(solution)[1]


def _one_line(text: str) -> str:
    return " ".join(text.replace("**", "").split()).rstrip(".。").strip()
