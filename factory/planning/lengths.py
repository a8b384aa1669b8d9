"""Whether what is asked fits the models' contexts: the longest rendered prompt and what it may be answered with.

    check(Prompter(params, sample, past, Hub()), asks)
    → [Finding("tokens", "plans: labeller", "ok", "812 tokens (propose) + 256 (plans.labeller.max_tokens) of 2,048"), …]

Tokens are counted by the role's own tokenizer, where it lies here or on the Hub: of a model there, the tokenizer and the config are
fetched, never the weights. A base that the line adopts counts as the model that it is made from.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from factory.errors import DataError, EngineError
from factory.params import Params, Role
from factory.params.names import model_of_line
from factory.planning import questions
from factory.planning.asks import Asked
from factory.planning.findings import Finding
from factory.planning.history import History
from factory.planning.hub import Hub, fetched
from factory.planning.outside import hub_id
from factory.planning.samples import Sample
from factory.schemas import Conversation
from factory.words import amount

CHARACTERS = 4.0  # of a text a token, where no tokenizer is here
FEW = 0.05  # a share of prompts that may be too long: their answers are cut or refused, the line goes on
INVENTED = SimpleNamespace(
    name="multiply groups then add", tags=("multiplication", "addition"), description="Equal groups are counted and joined.",
    scope="Something is given in equal groups and added to a known amount.",
    steps=("Multiply the number of groups by the size of each group.", "Add the result to the amount that was there before."),
)  # fmt: skip
PROPOSED = 8  # templates that a labeller chooses from
GUIDED = 3  # templates of a plan: as many as the arm of random plans has at most


Key = tuple[str, str, bool, str]  # prompts, question, whether schemas are held, tokenizer


@dataclass(frozen=True)
class Tokenizer:
    """`source`: what transformers reads it from, "" where there is none here; `why`: then the reason. `context` None: not known."""

    source: str
    context: int | None
    why: str = ""


@dataclass
class Prompter:
    """Renders what is asked for the sample and counts it; every count is made once."""

    params: Params
    sample: Sample
    past: History
    hub: Hub
    templates: list[Any] = field(default_factory=list)
    trusts_tokenizers: bool = True  # False: one of them cannot be used
    _counts: dict["Key", list[int] | str] = field(default_factory=dict)  # a text: why it is refused

    def conversations(self, ask: Asked, question: str) -> list[Conversation]:
        from factory.engines.dialect import holds_schemas
        from factory.language.prompting import Prompts

        prompts = Prompts.of(ask.prompts)
        json_ = holds_schemas(ask.role) and questions.asks_json(prompts, question)
        found = []
        for values in self._values:
            most = values["most"] if question == "guided" else PROPOSED
            given = {**values, "templates": values["templates"][:most]}
            found.append(questions.asked(prompts, question, given, json=json_))
        return found

    @cached_property
    def _values(self) -> list[dict[str, Any]]:
        """The second attempt of a critique is as long as the first."""
        templates = self.templates or [INVENTED] * PROPOSED
        most = min(self.params.plans.max_templates, GUIDED) if self.params.plans else GUIDED
        every = [questions.values(problem, self.params.steps, templates) for problem in self.sample.problems]
        return [{**values, "most": most, "earlier": values["steps"]} for values in every]

    def counts(self, ask: Asked, question: str) -> list[int]:
        """Tokens of the question for every problem of the sample: by the tokenizer, else by the characters. Raises EngineError where the
        tokenizer cannot be read, DataError where its chat template refuses a conversation."""
        key = self._key(ask, question)
        if key not in self._counts:
            self.count([ask])
        found = self._counts[key]
        if isinstance(found, str):
            raise DataError(found)
        return found

    def count(self, asks: Sequence[Asked]) -> None:
        """All that is not counted yet, each tokenizer read once."""
        new: dict[str, dict[Key, list[Conversation]]] = defaultdict(dict)
        for ask in asks:
            for question in ask.questions:
                if (key := self._key(ask, question)) not in self._counts and key not in new[key[-1]]:
                    new[key[-1]][key] = self.conversations(ask, question)
        for source, missing in new.items():
            every = [conversation for conversations in missing.values() for conversation in conversations]
            counts = iter(_counted(source, every) if source else [round(_characters(one) / CHARACTERS) for one in every])
            for key, conversations in missing.items():
                found = list(islice(counts, len(conversations)))
                self._counts[key] = next((one for one in found if isinstance(one, str)), [one for one in found if isinstance(one, int)])

    def _key(self, ask: Asked, question: str) -> "Key":
        return ask.prompts, question, ask.role.engine in ("vllm", "openai"), self.source(ask.role)

    def source(self, role: Role) -> str:
        """Where its tokenizer is read from, "" where characters are counted."""
        return self.tokenizer(role).source if self.trusts_tokenizers else ""

    def tokenizer(self, role: Role) -> Tokenizer:
        """Of the model that a role has in its stage."""
        if role.engine == "recorded":
            return Tokenizer("", None, "recorded answers need none")
        if role.engine == "openai":
            return Tokenizer("", role.max_length, "the server makes the tokens")
        model = model_of_line(role.model)
        if model is None:
            return self._from(role.model, role)
        if adopted := self.params.adoption.get("base"):
            return self._from("data/models/base" if self.past.ran("adoption@base") else adopted, role)
        if base := self.params.pretraining.get("base"):
            folder = Path("data/models/base")
            made = self.past.ran("pretraining@base") or (self.past.ran("rollouts@base") and (folder / "config.json").exists())
            return Tokenizer(str(folder) if made else "", base.max_length, "" if made else "the line has not made its base yet")
        return Tokenizer("", role.max_length, "no stage makes its model")

    def _from(self, model: str, role: Role) -> Tokenizer:
        if ".gguf" in model:
            return Tokenizer("", role.max_length, "the tokenizer of a GGUF file is only read by the line itself")
        try:
            if not (name := hub_id(model)):
                return Tokenizer(model, role.max_length or _context(Path(model) / "config.json"))
            if not self.hub.look("model", *name).usable:
                return Tokenizer("", role.max_length, "its model cannot be had, see models")
            return Tokenizer(model, role.max_length or _context(fetched(*name, "config.json")))
        except DataError as error:
            return Tokenizer("", role.max_length, str(error))


def check(prompter: Prompter, asks: Sequence[Asked]) -> list[Finding]:
    """For every stage and role that is asked there its longest question, and what stands behind it; those of which the same is said in one
    line."""
    with suppress(EngineError):  # said below, where it is counted
        prompter.count([ask for ask in asks if ask.max_tokens and prompter.tokenizer(ask.role).source])
    same: dict[Finding, list[str]] = defaultdict(list)
    for ask in asks:
        if ask.max_tokens:
            finding = _fits(prompter, ask)
            same[replace(finding, key="")].append(finding.key)
    return [replace(finding, key=f"{keys[0]} and {len(keys) - 1} more" if keys[1:] else keys[0]) for finding, keys in same.items()]


def _fits(prompter: Prompter, ask: Asked) -> Finding:
    key, known = f"{ask.stage}: {ask.asker}", prompter.tokenizer(ask.role)
    if not known.source:
        return Finding("tokens", key, "skipped", f"{known.why}: tokens are not counted")
    try:
        counts = {question: prompter.counts(ask, question) for question in ask.questions}
    except (EngineError, DataError) as error:
        return Finding("tokens", key, "wrong", str(error), "correct the prompts, or choose a model whose chat template takes them")
    question = max(counts, key=lambda name: max(counts[name]))
    longest, behind = max(counts[question]), ask.begun + ask.max_tokens
    begun = f" + {ask.begun:,} of the model's own" if ask.begun else ""
    said = f"{amount(longest, 'token')} ({question}){begun} + {ask.max_tokens:,} ({ask.limit})"
    if known.context is None:
        return Finding("tokens", key, "warning", f"{said}; its config says no context length")
    if longest + behind <= known.context:
        return Finding("tokens", key, "ok", f"{said} of {known.context:,}")
    over = sum(count + behind > known.context for count in counts[question])
    share = over / len(counts[question])
    said = f"{said} = {longest + behind:,}, {longest + behind - known.context:,} more than the context of {known.context:,}"
    remedy = f"lower {ask.limit} to {max(known.context - longest - ask.begun, 0):,}, or choose a model with a longer context"
    return Finding(
        "tokens", key, "warning" if share <= FEW else "wrong", f"{said}, in {over} of {amount(len(counts[question]), 'prompt')}", remedy
    )


def _counted(source: str, conversations: Sequence[Conversation]) -> list[int | str]:
    """Raises EngineError where the tokenizer cannot be read; a text says why a conversation is refused."""
    from factory.engines.sent import sent

    return [one.refused or one.tokens for one in sent(Role(engine="transformers", model=source), conversations)]


def _characters(conversation: Conversation) -> int:
    return sum(len(message.content) for message in conversation)


def _context(path: Path) -> int | None:
    """Raises DataError for a config that cannot be read."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        length = (
            config.get("max_position_embeddings")
            or config.get("n_positions")
            or config.get("text_config", {}).get("max_position_embeddings")
        )
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    return length if isinstance(length, int) else None
