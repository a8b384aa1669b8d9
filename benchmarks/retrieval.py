"""Does a search find the template? And how fast, in libraries of any size?

    python benchmarks/retrieval.py LIBRARY.json                      → ReasonFlux's published library, asked its own example problems
    python benchmarks/retrieval.py LIBRARY.json --encoder wordllama  → with embeddings too: a package's, a folder's or the Hub's
    python benchmarks/retrieval.py --size 50000                      → build and look-up of a synthetic library of so many templates

Query: the example problem of a template without its solution (the whole example of those that state no problem). The index has no examples.
R@1, R@5 and MRR of that template among all. Nothing is trained; the few weights are chosen on one half of the queries too, and measured on
the other. Abstention: the example problems against `off_topic.txt`, with the code's threshold and with one chosen on the other half.
"""

import argparse
import json
import random
import re
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from factory.schemas import Template
from factory.storage import to_table
from factory.templates import index as index_module
from factory.templates import library as library_module
from factory.templates.index import CANDIDATES, CONFIDENT, Encoder, Index
from factory.templates.library import build_library
from factory.templates.retrieve import similar_texts

HEADING = re.compile(
    r"(?:^|\n|\\n|\. )\W{0,6}(?:[a-z ]{0,30}(?:solution|analysis|solving|proof|application|answer|explanation|steps?|process)[a-z ]{0,30}"
    r"\W{0,3}(?::|\n|\\n)|(?:step\s*)?1[.)]|①)", re.IGNORECASE,
)  # fmt: skip
NO_PROBLEM = re.compile(
    r"\W*(?:taking )?(?:example|textbook)[^:]{0,60}(?:analysis|judgment|verification|process|(?:method|solution) \d)\W*$", re.I
)
SHORTEST = 25  # characters of a problem
OFF_TOPIC = Path(__file__).with_name("off_topic.txt")
FIELDS = ("name", "tags", "description", "scope", "steps")
CHUNK = 50_000
Ranks = np.ndarray


def words(value: object) -> str:
    if isinstance(value, dict | list):
        return " ".join(words(part) for part in (value.values() if isinstance(value, dict) else value))
    return str(value or "")


def problem_of(example: object) -> str:
    """The problem of a worked example, which is a text or an object of any keys; all of it where no problem is stated."""
    if isinstance(example, dict):
        return words(next((value for key, value in example.items() if re.search("problem|question|title", key, re.I)), example))
    whole = words(example)
    heading = HEADING.search(whole, 15)
    problem = whole[: heading.start()] if heading else whole
    return whole if len(problem) < SHORTEST or NO_PROBLEM.match(problem) else problem


def published(path: Path) -> tuple[list[Template], list[str]]:
    """The templates of ReasonFlux's file, without their examples, and the examples' problems."""
    chapters = json.loads(path.read_text(encoding="utf-8"))
    entries = [entry for sections in chapters.values() for templates in sections.values() for entry in templates]
    steps = [entry["reason_flow"] if isinstance(entry["reason_flow"], list) else [entry["reason_flow"]] for entry in entries]
    templates = [
        template(
            number, entry["template_name"], tuple(entry["knowledge_tag"]), entry["description"], words(entry["application_scenario"]),
            tuple(map(words, flow)),
        )
        for number, (entry, flow) in enumerate(zip(entries, steps, strict=True))
    ]  # fmt: skip
    return templates, [problem_of(entry["example_application"]) for entry in entries]


def template(number: int, name: str, tags: tuple[str, ...], description: str, scope: str, steps: tuple[str, ...]) -> Template:
    return Template(
        id=f"{number:020x}", model="", request_ids=(), prompt_version="", seed=0, round="base", parents=(), name=name, tags=tags,
        description=description, scope=scope, steps=steps, example_problem="", example_solution="", example_answer="", source="",
        licence="", status="accepted", resolved=0, solve_rate=None, version=1,
    )  # fmt: skip


def only(templates: Sequence[Template], *kept: str) -> list[Template]:
    """The templates with some of `FIELDS` alone."""
    return [replace(item, **{name: type(getattr(item, name))() for name in FIELDS if name not in kept}) for item in templates]


def text_of(item: Template, fields: Sequence[str]) -> str:
    return " ".join(value if isinstance(value, str) else " ".join(value) for value in (getattr(item, field) for field in fields))


def ranks_by(search: Callable[[str], Sequence[str]], templates: Sequence[Template], queries: Sequence[str]) -> Ranks:
    """Rank of each template for its own query, infinite where it is not found."""
    found = [list(search(query)) for query in queries]
    return np.array([ids.index(t.id) + 1 if t.id in ids else np.inf for t, ids in zip(templates, found, strict=True)])


def in_index(index: Index, encoder: Encoder | None = None) -> Callable[[str], list[str]]:
    return lambda query: [hit.template_id for hit in index.search(query, CANDIDATES, confident=0, encoder=encoder)]


def plain_bm25(texts: Sequence[str], queries: Sequence[str], k1: float = 1.2, b: float = 0.75) -> Ranks:
    """The textbook's BM25 over small-letter words."""
    documents = [re.findall(r"\w+", text.lower()) for text in texts]
    average = np.mean([len(document) for document in documents])
    counts: dict[str, dict[int, int]] = {}
    for number, document in enumerate(documents):
        for word in document:
            row = counts.setdefault(word, {})
            row[number] = row.get(number, 0) + 1
    ranks = []
    for own, query in enumerate(queries):
        scores = np.zeros(len(documents))
        for word in set(re.findall(r"\w+", query.lower())) & counts.keys():
            idf = np.log1p((len(documents) - len(counts[word]) + 0.5) / (len(counts[word]) + 0.5))
            for number, tf in counts[word].items():
                scores[number] += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(documents[number]) / average))
        better = (scores > scores[own]) | ((scores == scores[own]) & (np.arange(len(scores)) < own))
        ranks.append(better.sum() + 1 if scores[own] > 0 else np.inf)
    return np.array(ranks)


def said(name: str, ranks: Ranks, note: str = "") -> None:
    print(f"  {name:<58} {np.mean(ranks == 1):.3f}  {np.mean(ranks <= 5):.3f}  {np.mean(1 / ranks):.3f}  {note}".rstrip(), flush=True)


def quality(path: Path, encoders: Sequence[str]) -> None:
    templates, queries = published(path)
    print(f"{len(templates)} templates of {path.name}, queries: their example problems{'':<10} R@1    R@5    MRR")
    for name, chosen in (("name", FIELDS[:1]), ("name, tags", FIELDS[:2]), ("name, tags, description, scope", FIELDS[:4]), ("all", FIELDS)):
        said(f"plain BM25: {name}", plain_bm25([text_of(t, chosen) for t in templates], queries))
    for name, chosen in (("name, tags", FIELDS[:2]), ("all", FIELDS)):
        documents = {t.id: text_of(t, chosen) for t in templates}
        found = dict(zip(queries, similar_texts(list(queries), documents, len(templates)), strict=True))
        said(f"cosine of first letters (`similar_texts`): {name}", ranks_by(lambda query, found=found: found[query], templates, queries))
    for name, chosen in (("name", FIELDS[:1]), ("name, tags", FIELDS[:2])):
        said(f"index: {name}", ranks_by(in_index(Index.of(only(templates, *chosen))), templates, queries))
    index = Index.of(templates)
    ours = ranks_by(in_index(index), templates, queries)
    with patched(index_module, SHAPE=0.0):
        said("index: all, terms alone", ranks_by(in_index(index), templates, queries))
    said("index: all", ours)
    for name, half in (("even", 0), ("odd", 1)):
        said(f"index: all, the {name} half of the queries", ours[half::2])
    cross_validated(templates, queries)
    for name in encoders:
        from factory.engines.embeddings import encoder_of

        encoder = remembered(encoder_of(name))
        vectors = encoder([text_of(t, FIELDS) for t in templates])
        nearest = np.argsort(-encoder(queries) @ vectors.T, axis=1, kind="stable")
        said(f"embeddings alone: {Path(name).name}", np.argsort(nearest, axis=1)[np.arange(len(queries)), np.arange(len(queries))] + 1)
        said(f"hybrid: {Path(name).name}", ranks_by(in_index(index, encoder), templates, queries))
    planned(templates, index)
    abstention(index, queries)


def remembered(encoder: Encoder) -> Encoder:
    """An encoder that reads no text twice."""
    vectors: dict[str, np.ndarray] = {}

    def encode(texts: Sequence[str]) -> np.ndarray:
        new = list(dict.fromkeys(text for text in texts if text not in vectors))
        vectors.update(zip(new, encoder(new), strict=True) if new else ())
        return np.stack([vectors[text] for text in texts])

    return encode


class patched:
    """Constants of a module, for a while."""

    def __init__(self, module: object, **values: float) -> None:
        self.module, self.values = module, values

    def __enter__(self) -> None:
        self.before = {name: getattr(self.module, name) for name in self.values}
        self._set(self.values)

    def __exit__(self, *_: object) -> None:
        self._set(self.before)

    def _set(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            setattr(self.module, name, value)


def cross_validated(templates: Sequence[Template], queries: Sequence[str]) -> None:
    """Weights chosen on one half of the queries, by MRR, and measured on the other."""
    tried: dict[tuple[float, ...], Ranks] = {}
    for steps, k1, b in product((0.2, 0.3, 0.5, 1.0), (1.2, 2.0), (0.5, 0.75)):
        with patched(library_module, STEPS=steps, K1=k1, B=b):
            index = Index.of(templates)
        for share in (0.1, 0.2, 0.3):
            with patched(index_module, SHAPE=share):
                tried[steps, k1, b, share] = ranks_by(in_index(index), templates, queries)
    held = np.empty(len(queries))
    notes = []
    for half in (0, 1):
        best = max(tried, key=lambda key: np.mean(1 / tried[key][half::2]))
        held[1 - half :: 2] = tried[best][1 - half :: 2]
        notes.append(f"steps {best[0]}, k1 {best[1]}, b {best[2]}, shape {best[3]}")
    said("index: all, weights chosen on the other half", held, "; ".join(notes))
    figures = np.array([[np.mean(ranks == 1), np.mean(ranks <= 5), np.mean(1 / ranks)] for ranks in tried.values()])
    low, high = figures.min(0), figures.max(0)
    print(
        f"  {f'  of {len(tried)} choices the worst and the best':<58} "
        + "  ".join(f"{a:.3f}–{b:.3f}" for a, b in zip(low, high, strict=True))
    )


def planned(templates: Sequence[Template], index: Index) -> None:
    """Names that no template has exactly: seven words of ten, in another order, and one of the tags."""
    chance = random.Random(0)
    names = []
    for t in templates:
        parts = t.name.split()
        chance.shuffle(parts)
        names.append(f"{' '.join(parts[: max(1, round(0.7 * len(parts)))])} ({chance.choice(t.tags)})")
    print("names that are not quite those of the library, with one tag")
    labels = {t.id: f"{t.name} ({', '.join(t.tags)})" for t in templates}
    found = dict(zip(names, similar_texts(names, labels, len(labels)), strict=True))
    said("cosine of first letters: name, tags", ranks_by(found.__getitem__, templates, names))
    looked_up = ranks_by(lambda name: [hit.template_id for hit in index.lookup(name, CANDIDATES, confident=0)], templates, names)
    said("index: look-up", looked_up)
    exact = [index.lookup(labels[t.id])[0].name == t.name for t in templates]
    brackets = sum(" (" in t.name for t in templates)
    print(f"  found exactly by their own name and tags: {sum(exact)} of {len(exact)}, {brackets} of them with ' (' in the name")


def confidence(index: Index, query: str) -> float:
    return next((hit.confidence for hit in index.search(query, 1, confident=0)), 0.0)


def abstention(index: Index, queries: Sequence[str]) -> None:
    on = np.array([confidence(index, query) for query in queries])
    off = np.array([confidence(index, query) for query in OFF_TOPIC.read_text(encoding="utf-8").splitlines()])
    print(f"abstention: {len(off)} off-topic questions, {len(on)} example problems")
    print(
        f"  below {CONFIDENT} (the code's): {np.mean(off < CONFIDENT):.1%} of the off-topic, {np.mean(on < CONFIDENT):.1%} of the problems"
    )
    for half in (0, 1):
        threshold = np.quantile(on[half::2], 0.04)
        off_held, on_held = off[1 - half :: 2], on[1 - half :: 2]
        print(
            f"  below {threshold:.3f} (4 % of one half): {np.mean(off_held < threshold):.1%} of {len(off_held)} off-topic questions and "
            f"{np.mean(on_held < threshold):.1%} of {len(on_held)} problems of the other"
        )


# -- size


def synthetic(path: Path, count: int) -> list[str]:
    """Templates as long as the published ones, words as frequent as in a language (1 / rank). Returns texts of twenty words to ask."""
    chance = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = np.array(["".join(word) for word in letters[chance.integers(0, 26, (100_000, 7))]])
    shares = 1 / np.arange(1, len(vocabulary) + 1)
    shares /= shares.sum()

    def texts(many: int, size: int) -> list[str]:
        return [" ".join(row) for row in vocabulary[chance.choice(len(vocabulary), (many, size), p=shares)]]

    names = texts(20_000, 4)
    tags, sentences, steps = (pa.array(texts(many, words)) for many, words in ((5_000, 2), (50_000, 33), (50_000, 16)))

    def drawn(pool: pa.Array, many: int) -> pa.Array:
        return pool.take(pa.array(chance.integers(0, len(pool), many)))

    def lists(pool: pa.Array, many: int, each: int) -> pa.Array:
        return pa.ListArray.from_arrays(pa.array(range(0, each * many + 1, each), pa.int32()), drawn(pool, each * many))

    one = to_table(Template, [template(0, "", (), "", "", ())])
    with pq.ParquetWriter(path, one.schema, compression="zstd") as writer:
        for start in range(0, count, CHUNK):
            size = min(CHUNK, count - start)
            same = pa.array(np.zeros(size, int))
            columns = {name: one.column(name).combine_chunks().take(same) for name in one.column_names}
            numbers = range(start, start + size)
            columns |= {
                "id": pa.array([f"{number:020x}" for number in numbers]),
                "name": pa.array([f"{names[number % len(names)]} {vocabulary[number % 99_991]} {number}" for number in numbers]),
                "tags": lists(tags, size, 4), "description": drawn(sentences, size), "scope": drawn(sentences, size),
                "steps": lists(steps, size, 6),
            }  # fmt: skip
            writer.write_table(pa.table(list(columns.values()), schema=one.schema))
    return texts(200, 20)


def sizes(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        dataset, path = Path(folder) / "templates.parquet", Path(folder) / "library.duckdb"
        queries = synthetic(dataset, count)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started, cpu = time.perf_counter(), time.process_time()
        build_library(dataset, path)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"{count:,} templates, {dataset.stat().st_size / 2**20:,.0f} MiB of Parquet: built in {time.perf_counter() - started:.1f} s, "
            f"{time.process_time() - cpu:.1f} cpu-s, peak {peak / 2**20:.2f} GiB ({before / 2**20:.2f} before), "
            f"file {path.stat().st_size / 2**20:,.0f} MiB"
        )
        started = time.perf_counter()
        index = Index.open(path)
        print(f"  opened in {(time.perf_counter() - started) * 1e3:.0f} ms")
        names = (
            pq.read_table(dataset, columns=["name", "tags"]).take(pa.array(np.random.default_rng(1).integers(0, count, 200))).to_pylist()
        )
        near = [f"{' '.join(row['name'].split()[1:])} ({', '.join(row['tags'])})" for row in names]
        exact = [f"{row['name']} ({', '.join(row['tags'])})" for row in names]
        for what, search, asked in (
            ("exact name, top 1", index.lookup, exact),
            ("name that is not quite there, top 5", lambda query: index.lookup(query, 5, confident=0), near),
            ("text of 20 words, top 5", lambda query: index.search(query, 5, confident=0), queries),
        ):
            times, cpus = [], []
            for query in asked:
                started, cpu = time.perf_counter(), time.process_time()
                search(query)
                times.append(time.perf_counter() - started)
                cpus.append(time.process_time() - cpu)
            print(
                f"  {what:<36} median {np.median(times) * 1e3:.2f} ms ({np.median(cpus) * 1e3:.2f} cpu), "
                f"90 % within {np.quantile(times, 0.9) * 1e3:.2f} ms"
            )
        print(f"  peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, nargs="?", help="ReasonFlux's template_library.json")
    parser.add_argument("--encoder", action="append", default=[], help="wordllama, a folder, or a name on the Hub")
    parser.add_argument("--size", type=int, action="append", default=[], help="templates of a synthetic library")
    arguments = parser.parse_args()
    if arguments.library:
        quality(arguments.library, arguments.encoder)
    for size in arguments.size:
        sizes(size)
