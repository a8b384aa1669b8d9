"""Critics beside people's labels: is the solution right, which step is the first wrong one.

    calibrate("reference", [(row, reference(row)) for row in source.rows])
    → Calibration(critic="reference", source="gsm8k samples", n=5276, wrong=3275, covered=4951, agree=Share(4567, 4951), …)

`reference` compares equations with the gold solution's, `arithmetic` only looks whether the attempt's own equations hold, a recorded critic
is what another model once said, asked through the engine `recorded`. A critic that cannot tell is silent, with a reason: never right.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.coat.demonstrations.equations import equations_of, plain
from factory.coat.demonstrations.reference import first_wrong
from factory.engines.protocol import Request, SamplingParams
from factory.engines.recorded_critics import critique_prompt, read_judgements
from factory.engines.recorded_engine import RecordedEngine
from factory.language.prompting import Prompts
from factory.reports.agreement import Share
from factory.reports.labelled import Labelled, read_labelled
from factory.reports.page import Block, Prose, Table
from factory.schemas import Problem

_NUMBERED = re.compile(r"s?tep (?:\d+|n) *:\s*", re.IGNORECASE)
_ANSWER = re.compile(r"#### *(\S+)")
_JUDGEMENT = re.compile(r"Final Judge?ment: *(\w+)", re.IGNORECASE)
_STEP = re.compile(r"First Error Step: *(?:Step *)?(\d+|N/?A|None)", re.IGNORECASE)


@dataclass(frozen=True)
class Finding:
    """`step`: the first wrong one, None: none, or it does not say which. `silent`: why the critic cannot tell; the rest is void then."""

    wrong: bool = False
    step: int | None = None
    silent: str = ""


@dataclass(frozen=True)
class Calibration:
    """`agree`: says right or wrong as people do, of the covered; `step`: names their step, of the covered wrong ones that have one."""

    critic: str
    source: str
    n: int
    wrong: int  # by the label
    covered: Share
    agree: Share
    false_accepts: Share  # of the covered wrong ones
    false_alarms: Share  # of the covered right ones
    step: Share
    silent: tuple[tuple[str, int], ...]  # (reason, rows)


def calibrate(critic: str, findings: Sequence[tuple[Labelled, Finding]]) -> Calibration:
    """One critic on one source's rows."""
    covered = [(row, found) for row, found in findings if not found.silent]
    wrong = [(row, found) for row, found in covered if not row.right]
    right = [found for row, found in covered if row.right]
    labelled = [(row, found) for row, found in wrong if row.first_wrong is not None]
    assert len(wrong) + len(right) == len(covered)
    return Calibration(
        critic, findings[0][0].source if findings else "", len(findings), sum(not row.right for row, _ in findings),
        Share(len(covered), len(findings)), Share(sum(found.wrong != row.right for row, found in covered), len(covered)),
        Share(sum(not found.wrong for _, found in wrong), len(wrong)), Share(sum(found.wrong for found in right), len(right)),
        Share(sum(found.wrong and found.step == row.first_wrong for row, found in labelled), len(labelled)),
        tuple(Counter(found.silent for _, found in findings if found.silent).most_common()),
    )  # fmt: skip


def steps_of(row: Labelled) -> tuple[str, ...]:
    """As the line would read them: no `Step 3:`, no calculator notes, `#### 5` boxed."""
    return tuple(_ANSWER.sub(r"\\boxed{\1}", _NUMBERED.sub("", plain(step), count=1)) for step in row.steps)


def reference(row: Labelled) -> Finding:
    """The reference critic of the demonstrations; silent where there are no two sets of equations to compare."""
    gold, steps = plain(row.gold or ""), steps_of(row)
    if not gold:
        return Finding(silent="no gold solution")
    if row.answer is None:
        return Finding(silent="no gold answer")
    if not equations_of(gold.split("\n")):
        return Finding(silent="no equation in the gold solution")
    if not equations_of(steps):
        return Finding(silent="no equation in the attempt")
    problem = Problem(
        id=row.at, source=row.source, family="none", group="none", split="heldout", instance=row.at, problem=row.problem,
        answer=row.answer, answer_kind=row.answer_kind, solution=gold,
    )  # fmt: skip
    found = first_wrong(problem, steps)
    return Finding(found is not None, found.step if found else None)


def arithmetic(row: Labelled) -> Finding:
    """Only what needs no gold solution: the first step with an equation that is false."""
    equations = equations_of(steps_of(row))
    if not equations:
        return Finding(silent="no equation in the attempt")
    false = [equation.step for equation in equations if not equation.holds]
    return Finding(bool(false), false[0] if false else None)


FREE: dict[str, Callable[[Labelled], Finding]] = {"reference": reference, "arithmetic": arithmetic}


@dataclass(frozen=True)
class Judgement:
    """What a recorded critic said of a solution. `reason_right`: what people thought of the reason that it gave."""

    row: Labelled
    finding: Finding
    reason_right: bool | None
    words: int


def judgements(path: Path, model: str, rows: Sequence[Labelled]) -> list[Judgement]:
    """Ask the engine `recorded` for the model's judgement of every solution. Raises EngineError for a missing file or model."""
    asked = Prompts.of("instruct")
    engine, labels = RecordedEngine(path, [model], asked), read_judgements(path, asked).labels
    prompts = [critique_prompt(asked, row.problem, row.gold or "", row.steps) for row in rows]
    answers = engine.generate([Request(prompt, SamplingParams(max_tokens=1024)) for prompt in prompts])
    found = []
    for row, prompt, answer in zip(rows, prompts, answers, strict=True):
        finding = Finding(silent=answer.error) if answer.error else read_judgement(answer.text, len(row.steps))
        found.append(Judgement(row, finding, labels.get(prompt, {}).get(model), len(answer.text.split())))
    return found


def read_judgement(text: str, steps: int) -> Finding:
    """`Final Judgement: Wrong` / `First Error Step: Step 3` of `steps` → Finding(True, 3); silent when it has not this form."""
    said, step = _JUDGEMENT.search(text), _STEP.search(text)
    if not said or said[1].lower() not in ("correct", "right", "wrong", "incorrect"):
        return Finding(silent="no final judgement")
    wrong = said[1].lower() in ("wrong", "incorrect")
    number = int(step[1]) if step and step[1].isdecimal() else None
    if wrong and number is None:
        return Finding(silent="it names no first wrong step")
    if not wrong and number is not None:
        return Finding(silent="it calls the solution right and a step wrong")
    if number is not None and not 1 <= number <= steps:
        return Finding(silent="it names a step that is not there")
    return Finding(wrong, number)


def fault(judgement: Judgement) -> str:
    """Why a recorded judgement could not be used as a critique; "" for one that could."""
    row, finding = judgement.row, judgement.finding
    if finding.silent:
        return finding.silent
    if finding.wrong == row.right:
        return "it accepts a wrong solution" if not row.right else "it refuses a right solution"
    if finding.step != row.first_wrong:
        return "it names another step than people do"
    return {True: "", False: "its reason is wrong by people's judgement", None: "nobody judged its reason"}[judgement.reason_right]


@dataclass(frozen=True)
class Yield:
    """Of one recorded critic. `words`: of all its judgements, those of rejected ones included, per accepted one."""

    critic: str
    judgements: int
    accepted: Share
    words: float | None
    rejects: tuple[tuple[str, int], ...]  # (reason, judgements)


def yield_of(critic: str, found: Sequence[Judgement]) -> Yield:
    rejects = Counter(reason for judgement in found if (reason := fault(judgement)))
    accepted = len(found) - sum(rejects.values())
    words = sum(judgement.words for judgement in found)
    return Yield(critic, len(found), Share(accepted, len(found)), words / accepted if accepted else None, tuple(rejects.most_common()))


RECORDED = (("mrgsm8k_Claude.json", "claude2", "mrgsm8k Claude"), ("mrgsm8k_GPT3_5.json", "gpt3_5", "mrgsm8k GPT3_5"))


def calibration(data: Path) -> Iterable[Block]:
    """Every critic on every source of `data`. Raises DataError or EngineError for a file that is missing."""
    sources = read_labelled(data)
    found = {model: judgements(data / "recorded" / file, model, sources[name].rows) for file, model, name in RECORDED}
    records = [calibrate(critic, [(row, look(row)) for row in source.rows]) for source in sources.values() for critic, look in FREE.items()]
    records += [calibrate(model, [(item.row, item.finding) for item in items]) for model, items in found.items()]
    yield Prose(
        "Agreement: says right or wrong as people do, of the covered rows, 95 % Wilson interval. A critic that cannot tell is not covered, "
        "never right. Step named right: of the covered wrong solutions whose first wrong step people named. The gold solutions of "
        "bbmistake's arithmetic are ours: its brackets, worked out."
    )
    yield _records(records)
    silent = [(r.source, r.critic, why, f"{count:,}") for r in records for why, count in r.silent]
    if silent:
        yield Table(("source", "critic", "why it cannot tell", "rows"), tuple(silent), "Not covered")
    yield from _yields(found)
    malformed = [line for source in sources.values() for line in source.malformed]
    if malformed:
        yield Table(("malformed",), tuple((line,) for line in malformed), "Rows that could not be read")


def _records(records: Sequence[Calibration]) -> Table:
    return Table(
        ("source", "critic", "n", "wrong", "covered", "agreement", "false accepts", "false alarms", "step named right"),
        tuple(
            (r.source, r.critic, f"{r.n:,}", f"{r.wrong:,}", r.covered.text, r.agree.percent, r.false_accepts.text, r.false_alarms.text,
             r.step.text)
            for r in records
        ),
        "Critics beside people's labels",
    )  # fmt: skip


def _yields(found: dict[str, list[Judgement]]) -> Iterable[Block]:
    yields = [yield_of(model, items) for model, items in found.items()]
    yield Prose(
        "These files of MR-GSM8K hold wrong solutions whose error the critic had placed well, for people to judge the reason that it gave: "
        "that recorded critics agree is how they were chosen, their yield is what is measured. Tokens and cost are not recorded."
    )
    cells = [(y.critic, f"{y.judgements:,}", y.accepted.text, "" if y.words is None else f"{y.words:.0f}") for y in yields]
    yield Table(("critic", "judgements", "accepted", "words per accepted one"), tuple(cells), "Recorded critics: yield")
    rejects = [(y.critic, why, f"{count:,}") for y in yields for why, count in y.rejects]
    if rejects:
        yield Table(("critic", "reason", "judgements"), tuple(rejects), "Recorded critics: rejects by reason")
