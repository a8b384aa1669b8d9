"""How `factory preview` shows a run of a few rows: questions, answers and what was read of them, what it took, rows and rejects."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from factory.cli.printing import coloured, console, print_fields, print_table
from factory.engines.listening import Ear, Exchange
from factory.engines.protocol import Completion
from factory.engines.sent import sent
from factory.engines.store import default_path
from factory.errors import EngineError
from factory.grading import Grader
from factory.language.conversation import split
from factory.params import Params
from factory.reports.exchanges import SOLVED, conversation_of, grades, kinds, readings
from factory.reports.readable import fields_of, visible
from factory.schemas import Conversation, Problem, Reject, Row
from factory.words import amount

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Shown:
    """`problems`: that the questions are about. `said`: what the stage printed, `ended`: the error with which it ended."""

    title: str
    n: int
    sent: bool
    params: Params
    ear: Ear
    problems: Sequence[Problem]
    tables: Mapping[str, Sequence[Row]]
    rejects: Sequence[Reject]
    notes: Sequence[str]
    said: str
    ended: str


def show(shown: Shown) -> None:
    output = console()
    _exchanges(output, shown)
    if shown.ear.exchanges:
        _usage(shown.ear)
    _rows(output, shown)
    for line in filter(None, shown.said.splitlines()):
        output.print(visible(line), style="dim", markup=False)
    if shown.ended:
        output.print(f"On these few rows the stage ends with: {visible(shown.ended)}", style="bold red", markup=False)
    for note in shown.notes:
        output.print(note, style="dim", markup=False)
    kept = f"; answers are kept in {default_path()}, so that the whole run does not ask for them again" if shown.ear.exchanges else ""
    output.print(f"Nothing of the line was written{kept}.", style="dim", markup=False)


def _exchanges(output: "Console", shown: Shown) -> None:
    found = kinds(shown.ear.exchanges, [role.prompts for role in shown.params.roles.values()])
    read = readings(shown.tables, shown.rejects)
    for (name, question), exchanges in found.items():
        told: dict[str, list[str]] = {}
        if question in SOLVED:
            with Grader.of(shown.params.grading) as grader:
                told = {key: [text] for key, text in grades(exchanges, shown.problems, grader).items()}
        asked: dict[Conversation, list[Exchange]] = {}
        for exchange in exchanges:
            asked.setdefault(conversation_of(exchange), []).append(exchange)
        above: Conversation = ()
        for number, (conversation, answers) in enumerate(list(asked.items())[: shown.n], 1):
            output.rule(f"{name} · {question} · {number} of {len(asked):,}", align="left")
            if shown.sent:
                _print_sent(output, shown.ear, name, conversation)
            else:
                _print_asked(output, conversation, above)
            above = conversation
            _print_answers(output, answers, {key: [*told.get(key, []), *read.get(key, [])] for key in (item.key for item in answers)})


def _print_asked(output: "Console", conversation: Conversation, above: Conversation) -> None:
    """Without the turns with which the question above began too: the worked examples of a prompt."""
    turns, begun = split(conversation)
    same = next((place for place, (one, other) in enumerate(zip(turns, above, strict=False)) if one != other), 0)
    if same:
        output.print(f"[{amount(same, 'turn')} as above]", style="dim", markup=False)
    print_fields(output, [(message.role, message.content) for message in turns[same:]])
    if begun:
        print_fields(output, [("assistant, begun", begun)])


def _print_sent(output: "Console", ear: Ear, name: str, conversation: Conversation) -> None:
    from rich.text import Text

    try:
        (what,) = sent(ear.voices[name].role, [conversation])
    except EngineError as error:
        output.print(f"{error}. The conversation:", style="dim", markup=False)
        _print_asked(output, conversation, ())
        return
    if what.refused:
        output.print(what.refused, style="bold red", markup=False)
    text = Text()
    for piece in what.pieces:
        text.append(visible(piece.text), style="bold magenta" if piece.special else "")
    output.print(text)


def _print_answers(output: "Console", answers: Sequence[Exchange], read: Mapping[str, Sequence[str]]) -> None:
    """The first one whole, of the other samples what was read of them."""
    first, *others = answers
    if isinstance(first.answer, Completion):
        print_fields(output, [("thought", first.answer.reasoning)] if first.answer.reasoning else [])
        output.print("answer", style="dim", markup=False)
        output.print(coloured(first.answer.error or first.answer.text))
    elif isinstance(first.item, tuple):
        print_fields(output, [("completion", first.item[1])])
    output.print(f"→ {_told(first, read)}", style="bold", markup=False)
    if others:
        output.print(f"{amount(len(others), 'more answer')}:", style="dim", markup=False)
    for other in others:
        output.print(f"→ {_told(other, read)}", markup=False)


def _told(exchange: Exchange, read: Mapping[str, Sequence[str]]) -> str:
    parts = list(read[exchange.key])
    if isinstance(exchange.answer, Completion):
        end = {"stop": "finished", "length": "cut off", "error": "failed"}[exchange.answer.finish_reason]
        parts += [end, f"{amount(exchange.answer.prompt_tokens, 'token')} in, {exchange.answer.tokens:,} out"]
    else:
        parts.append(f"score {exchange.answer:.3f}")
    return visible("; ".join([*parts, *(["from the store"] if exchange.stored else [])])).replace("\n", " ")


def _usage(ear: Ear) -> None:
    rows = []
    for name, voice in ear.voices.items():
        own = [exchange for exchange in ear.exchanges if exchange.name == name]
        said = [exchange.answer for exchange in own if isinstance(exchange.answer, Completion)]
        fresh = sum(item.answer.tokens for item in own if not item.stored and isinstance(item.answer, Completion))
        rate = f"{fresh / voice.seconds:,.1f}" if fresh and voice.seconds else ""
        rows.append([
            name, voice.model, f"{len(own):,}", f"{sum(exchange.stored for exchange in own):,}",
            f"{sum(answer.prompt_tokens for answer in said):,}", f"{sum(answer.tokens for answer in said):,}",
            f"{voice.seconds:,.1f}", rate,
        ])  # fmt: skip
    print_table(["role", "model", "requests", "from the store", "tokens in", "tokens out", "seconds, loading too", "tokens/s"], rows)


def _rows(output: "Console", shown: Shown) -> None:
    counts = [[name, f"{len(rows):,}"] for name, rows in shown.tables.items()]
    reasons = Counter(reject.reason for reject in shown.rejects)
    counts += [[f"rejected: {visible(reason)}", f"{count:,}"] for reason, count in reasons.most_common()]
    if counts:
        print_table(["rows", ""], counts)
    asked = {exchange.key for exchange in shown.ear.exchanges}
    made = [name for name, rows in shown.tables.items() if any(asked & {*getattr(row, "request_ids", ())} for row in rows)]
    for name in (made or list(shown.tables))[:1]:
        for row in _first(shown.tables[name], shown.n):
            output.rule(f"{name} {row.id}", align="left")
            print_fields(output, fields_of(row))
    firsts = {reject.reason: reject for reject in reversed(shown.rejects)}
    for reason, _ in reasons.most_common(shown.n):
        output.rule(f"rejects {firsts[reason].id}", align="left")
        print_fields(output, fields_of(firsts[reason]))


def _first(rows: Sequence[Row], n: int) -> list[Row]:
    """Of different problems before several of one."""
    seen: Counter[str] = Counter()
    order = []
    for row in rows:
        problem = getattr(row, "problem_id", row.id)
        order.append((seen[problem], row))
        seen[problem] += 1
    return [row for _, row in sorted(order, key=lambda item: item[0])][:n]
