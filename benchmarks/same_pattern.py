"""Does a labeller know one pattern from two? 84 pairs of known truth, of real material, asked as the stage `templates` asks.

    python benchmarks/same_pattern.py data/models/base                        → every pair both ways round, on the engine `transformers`
    python benchmarks/same_pattern.py data/models/base --each 4 --orders 1 --words 30    → 24 pairs, once, short
    python benchmarks/same_pattern.py data/models/base --direct --words 28 --scope 12    → what all questions share is read once
    python benchmarks/same_pattern.py m@1 --server http://localhost:8000/v1   → whatever answers there
    python benchmarks/same_pattern.py                                         → no model: cosines of the same pairs

14 pairs of one pattern and 14 of two, of each kind:

    published   of ReasonFlux's library: templates that it has twice; two on neighbouring subjects (an ellipse, a hyperbola)
    halves      of that library: name, scope and description of one against tags and steps of the same one, or of a neighbour
    solved      `same_pattern.jsonl`: what two problems of GSM8K's train file (by line, from 0) give to somebody who analyses them; one
                pattern, or the likest of another pattern by the library's index

Truth of `published` and `solved` is one reader's. Near pairs that could be called either way were left out (KIN). Prints the words,
P(yes), precision and recall of merging by words, the area under the curve (AUC: .5 is chance) of the log-odds of yes, and precision and
recall with a threshold chosen on one half of the pairs and used on the other, both ways, and with one that controls of these templates set.
Public data is found by COAT_DATA, or at ../shared/data; answers stay in the request store (FACTORY_STORE).
"""

import argparse
import json
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from math import exp
from pathlib import Path

from factory.engines.select import Engines
from factory.evaluation.statistics import wilson
from factory.params import Requests, Role, Sampling
from factory.schemas import Template
from factory.templates.controls import Checked, control_pairs
from factory.templates.importing import templates_in
from factory.templates.merging import unit_vectors
from factory.templates.pairs import Asking, Judged, Pair, judged
from factory.templates.patterns import proposed
from factory.templates.questions import QUESTIONS

DATA = Path(os.environ.get("COAT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SOLVED = Path(__file__).with_name("same_pattern.jsonl")
KINDS = ("published", "halves", "solved")
EACH = 14  # pairs of a kind and truth
# Places in the published file, from 0.
TWICE = (
    (372, 367), (179, 182), (218, 219), (371, 366), (389, 384), (400, 394), (397, 398),
    (359, 360), (391, 392), (379, 374), (382, 375), (150, 156), (124, 119), (235, 225),
)  # fmt: skip
NEIGHBOURS = (
    (122, 263), (94, 119), (96, 121), (382, 379), (389, 366), (408, 410), (400, 366),
    (227, 231), (178, 175), (372, 366), (97, 122), (391, 397), (179, 183), (41, 40),
)  # fmt: skip
HALVES = (  # of the first 40 by `seed_for(28, "halves", place)` those with a neighbour that is another pattern
    (409, 411), (118, 263), (21, 17), (416, 417), (296, 299), (306, 323), (326, 325),
    (363, 354), (287, 278), (7, 4), (55, 47), (157, 155), (412, 414), (45, 62),
)  # fmt: skip
KIN = ({"what a percentage leaves", "what known shares leave"}, {"money left after buying", "what is missing from a goal"})


@dataclass(frozen=True)
class Known:
    kind: str
    same: bool
    first: Template
    second: Template


def known_pairs(each: int = EACH) -> list[Known]:
    """The first `each` of a kind and truth. Raises DataError where the published library is missing."""
    rows, origins, _ = templates_in(DATA / "templates" / "template_library.json")
    by = {origins[row.id].number: row for row in rows}
    found = [Known("published", same, by[a], by[b]) for same, pairs in ((True, TWICE), (False, NEIGHBOURS)) for a, b in pairs[:each]]
    for one, other in HALVES[:each]:
        what = replace(by[one], steps=(by[one].description,))
        how = [replace(by[place], name=", ".join(by[place].tags[:2]).lower(), scope="") for place in (one, other)]
        found += [Known("halves", True, what, how[0]), Known("halves", False, what, how[1])]
    return found + _solved(rows[0], each)


def cut(row: Template, words: int, scope: int) -> Template:
    """A shorter question: so many words of the steps and of the scope."""
    return replace(row, scope=" ".join(row.scope.split()[:scope]), steps=(" ".join(" ".join(row.steps).split()[:words]),))


def _solved(blank: Template, each: int) -> list[Known]:
    entries = [json.loads(line) for line in SOLVED.read_text(encoding="utf-8").splitlines()]
    rows = [
        replace(
            blank, id=f"{number:020x}", name=entry["name"], tags=(), description="", scope=entry["scope"], steps=tuple(entry["steps"])
        )
        for number, entry in enumerate(entries)
    ]  # fmt: skip
    pattern = [entry["pattern"] for entry in entries]
    two = [
        pair
        for pair in sorted(proposed(rows, 5), key=lambda pair: (-pair.score, pair))
        if pattern[pair.first] != pattern[pair.second] and {pattern[pair.first], pattern[pair.second]} not in KIN
    ]
    seen: Counter[str] = Counter()
    found = [Known("solved", True, rows[place], rows[place + 1]) for place in range(0, 2 * each, 2)]
    for pair in two:  # no pattern in more than three of them
        if max(seen[pattern[pair.first]], seen[pattern[pair.second]]) < 3 and sum(not item.same for item in found) < each:
            seen.update((pattern[pair.first], pattern[pair.second]))
            found.append(Known("solved", False, rows[pair.first], rows[pair.second]))
    return found


def area(known: Sequence[Known], scores: Sequence[float]) -> float:
    """How often one of one pattern has the higher score of two drawn from both truths."""
    one, two = ([score for item, score in zip(known, scores, strict=True) if item.same is truth] for truth in (True, False))
    return sum((a > b) + 0.5 * (a == b) for a in one for b in two) / (len(one) * len(two))


def said(title: str, known: Sequence[Known], merges: Sequence[bool]) -> None:
    right = sum(merge and item.same for item, merge in zip(known, merges, strict=True))
    every, one = sum(merges), sum(item.same for item in known)
    low, high = wilson(right, every) if every else (0.0, 1.0)
    share = f"{right / every:.0%} [{low:.0%}, {high:.0%}]" if every else "–"
    print(f"  {title:<52} precision {share}, recall {right / one:.0%} ({every - right} false, {right} right of {one})")


def halved(known: Sequence[Known], scores: Sequence[float]) -> list[bool]:
    """What merges with the threshold that is right most often on the other half (every second pair of each kind and truth)."""
    seen: Counter[tuple[str, bool]] = Counter()
    half = []
    for item in known:
        half.append(seen[item.kind, item.same] % 2)
        seen[item.kind, item.same] += 1
    least = []
    for own in (0, 1):
        others = [(score, item.same) for score, item, side in zip(scores, known, half, strict=True) if side != own]
        cuts = sorted({score for score, _ in others} | {float("inf")})
        least.append(max(cuts, key=lambda cut: sum((score >= cut) is same for score, same in others)))
    return [score >= least[side] for score, side in zip(scores, half, strict=True)]


def areas(title: str, known: Sequence[Known], scores: Sequence[float]) -> None:
    kinds = defaultdict(list)
    for item, score in zip(known, scores, strict=True):
        kinds[item.kind].append((item, score))
    each = ", ".join(f"{kind} {area(*zip(*kinds[kind], strict=True)):.2f}" for kind in KINDS)  # type: ignore[arg-type]
    print(f"  {title:<52} AUC {area(known, scores):.2f} ({each})")


def cosines(known: Sequence[Known]) -> None:
    print(f"{len(known)} pairs, no model")
    for title, text in (
        ("cosine of the names", lambda row: row.name),
        ("cosine of the steps", lambda row: " ".join(row.steps)),
        ("cosine of all that the question shows", lambda row: " ".join((row.name, row.scope, *row.steps))),
    ):
        vectors = unit_vectors([text(row) for item in known for row in (item.first, item.second)])
        both = list(zip(vectors[::2], vectors[1::2], strict=True))
        scores = [sum(one[term] * other[term] for term in one.keys() & other.keys()) for one, other in both]
        areas(title, known, scores)
        said("  threshold of the other half", known, halved(known, scores))


def asked(known: Sequence[Known], role: Role, orders: int, controls: int) -> None:
    rows = [row for item in known for row in (item.first, item.second)]
    pairs = [Pair(2 * number, 2 * number + 1, 0.0) for number in range(len(known))]
    asking = Asking("same", Sampling(temperature=0.0, top_p=1.0, max_tokens=1), orders, seed=1, odds=True)
    whole = list({row.id: row for item in known if item.kind == "published" for row in (item.first, item.second)}.values())
    with Engines(Requests(max_failed_share=1.0), "benchmark") as engines:
        labeller = engines.engine(role, "labeller")
        found = judged(pairs, rows, "templates", labeller, asking)
        of_controls: list[Judged] = []
        if controls:
            made, halves = control_pairs(whole, [], controls, seed=1)
            of_controls = judged(made, halves, "templates", labeller, asking)
        print(f"{len(known)} pairs, {labeller.model}, {orders} orders, {labeller.usage.prompt_tokens:,} prompt tokens")
    for truth in (True, False):
        own = [item for item, pair in zip(found, known, strict=True) if pair.same is truth]
        words = Counter(answer for item in own for answer in item.answers)
        told = [1 / (1 + exp(-odds)) for item in own for odds in item.odds if odds is not None]
        mean = f", P(yes) {sum(told) / len(told):.3f} on the mean" if told else ""
        print(f"  {'one pattern' if truth else 'two patterns':<14} {dict(words)}{mean}")
    said("yes in every order", known, [item.agreed for item in found])
    scores = [-99.0 if item.sureness is None else item.sureness for item in found]
    areas("log-odds of yes", known, scores)
    said("threshold of the other half", known, halved(known, scores))
    if controls:
        for odds in (False, True):
            checked = Checked.of(of_controls, odds)
            print(f"  controls by {'odds' if odds else 'words'}: {checked.told()}: {'believed' if checked.tells else 'not believed'}")
        said("threshold of the controls", known, [replace(item, least=checked.least).agreed for item in found])


def direct(known: Sequence[Known], folder: str) -> None:
    """Each pair once, in float32: the probabilities of both words, written and spaced in all ways, at the first token."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompts = []
    for item in known:
        asked_so = QUESTIONS.render("same", templates=(item.first, item.second), json=False)
        turns = [{"role": message.role, "content": message.content} for message in asked_so]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        prompts.append(tokenizer.encode(text, add_special_tokens=False))
    shared = next(place for place, ids in enumerate(zip(*prompts, strict=False)) if len(set(ids)) > 1)
    spellings = [[word, word.capitalize(), f" {word}", f" {word.capitalize()}"] for word in ("yes", "no")]
    yes, no = (sorted({tokenizer.encode(text, add_special_tokens=False)[0] for text in texts}) for texts in spellings)
    scores, answers, told = [], [], []
    with torch.inference_mode():
        begun = model(torch.tensor([prompts[0][:shared]]), use_cache=True, logits_to_keep=1).past_key_values
        for ids in prompts:
            out = model(torch.tensor([ids[shared:]]), past_key_values=deepcopy(begun), use_cache=True, logits_to_keep=1)
            told.append(torch.softmax(out.logits[0, -1].float(), -1))
            scores.append(float(told[-1][yes].sum().log() - told[-1][no].sum().log()))
            best = int(told[-1].argmax())
            answers.append("yes" if best in yes else "no" if best in no else "unreadable")
    each = sum(map(len, prompts)) / len(prompts) - shared
    print(f"{len(known)} pairs, {folder}, one order, {shared} tokens shared and {each:.0f} of their own")
    for truth in (True, False):
        own = [place for place, item in enumerate(known) if item.same is truth]
        print(
            f"  {'one pattern' if truth else 'two patterns':<14} {dict(Counter(answers[place] for place in own))}, P(yes) "
            f"{sum(float(told[place][yes].sum()) for place in own) / len(own):.3f} on the mean"
        )
    said("yes", known, [answer == "yes" for answer in answers])
    areas("log-odds of yes", known, scores)
    said("threshold of the other half", known, halved(known, scores))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="a folder, org/name@commit, or with --server a server's name@version")
    parser.add_argument("--server", help="an OpenAI-compatible server's URL")
    parser.add_argument("--engine", default="transformers", choices=("transformers", "vllm"))
    parser.add_argument("--each", type=int, default=EACH, help=f"pairs of a kind and truth, at most {EACH}")
    parser.add_argument("--orders", type=int, default=2, choices=(1, 2))
    parser.add_argument("--controls", type=int, default=0, help="control pairs of each truth, of the published templates")
    parser.add_argument("--words", type=int, default=100, help="of the steps that are shown")
    parser.add_argument("--scope", type=int, default=40, help="words of the scope that are shown")
    parser.add_argument("--direct", action="store_true", help="no engine: what all questions begin with is read once")
    options = parser.parse_args()
    chosen = [
        replace(item, **{name: cut(getattr(item, name), options.words, options.scope) for name in ("first", "second")})
        for item in known_pairs(options.each)
    ]
    if options.direct:
        direct(chosen, options.model)
    elif options.model:
        place = {"engine": "openai", "base_url": options.server} if options.server else {"engine": options.engine}
        asked(chosen, Role(model=options.model, **place), options.orders, options.controls)
    else:
        cosines(chosen)
