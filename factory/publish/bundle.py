"""Every file of a repository by its path in it: what is sent, and nothing beside it.

README.md, croissant.json                 the card, for people and for machines
data/<config>/train-00000-of-00001.parquet
audits/<config>.json                      Great Expectations' findings, suites/<table>.json what the rows are held to
lineage/params.yaml, dvc.yaml, dvc.lock, manifests/<config>.json, prompts/<set>/<question>.j2

No config's data_files match what lies outside of data/.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.errors import GateError
from factory.gate import table as gate
from factory.language.prompting import Prompts
from factory.lock import LOCK, Locked
from factory.params import Params
from factory.publish.card import dataset_card, model_card
from factory.publish.croissant import croissant
from factory.publish.facts import Facts
from factory.publish.shards import Shard
from factory.storage import AUDITS, DATASETS, MODELS
from factory.whole import restored

OURS = ("data/", "audits/", "suites/", "lineage/")  # folders of which nothing stays that is not sent
SECRETS = re.compile(
    r"hf_[A-Za-z0-9]{30,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY-----|"
    r"https?://[^/\s:@\"']+:[^/\s:@\"']+@"
)
UNSENT = ("trainer_state.json", "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth")


@dataclass(frozen=True)
class Item:
    """A file to be sent: `content` of small ones that are written here, else `file` where it lies, with its hash where that is known."""

    path: str
    content: bytes = b""
    file: Path | None = None
    sha256: str = ""

    @property
    def size(self) -> int:
        return self.file.stat().st_size if self.file else len(self.content)


def dataset_items(facts: Facts, shards: Iterable[Shard]) -> list[Item]:
    """In the order of their paths. Raises GateError when a file to be read is missing, or a secret stands in one."""
    texts = {
        "README.md": dataset_card(facts),
        "croissant.json": json.dumps(croissant(facts), indent=1, ensure_ascii=False) + "\n",
        **{f"suites/{table}.json": _suite(table) for table in sorted({config.released.table for config in facts.configs})},
        **{path: _text(source) for path, source in _beside(facts)},
    }
    _no_secret(texts, facts.params)
    items = [Item(path, content=text.encode()) for path, text in texts.items()]
    items += [Item(shard.path, file=shard.file, sha256=shard.sha256) for shard in shards]
    return sorted(items, key=lambda item: item.path)


def _suite(table: str) -> str:
    return json.dumps(gate.document(table), indent=1, ensure_ascii=False) + "\n"


def _beside(facts: Facts) -> Iterator[tuple[str, Path]]:
    for config in facts.configs:
        yield f"audits/{config.name}.json", AUDITS / f"{config.name}.json"
        yield f"lineage/manifests/{config.name}.json", DATASETS / config.name / "manifest.json"
    for path in (Path("params.yaml"), Path("dvc.yaml"), LOCK):
        yield f"lineage/{path.name}", path
    for name in sorted({role.prompts for role in facts.params.roles.values()}):
        for question, path in sorted(Prompts.of(name).files.items()):
            yield f"lineage/prompts/{path.parent.name}/{question}.j2", path


def made_here(name: str, graph: Mapping[str, Locked]) -> Path:
    """A model's folder. Raises GateError for a name that no stage of the line made."""
    folder = restored(MODELS / name)
    if not any(str(folder) in stage.outs for stage in graph.values()) or not (folder / "config.json").is_file():
        made = sorted(Path(out).name for stage in graph.values() for out in stage.outs if out.startswith(f"{MODELS}/"))
        raise GateError(f"--models {name}: no stage of this line made {folder}; it made {', '.join(made) or 'no model'}")
    return folder


def model_items(repo: str, name: str, facts: Facts, graph: Mapping[str, Locked]) -> list[Item]:
    """A model's files with its card; raises GateError for a name that no stage of the line made."""
    folder = made_here(name, graph)
    config = folder / "config.json"
    architectures = json.loads(_text(config)).get("architectures") or [""]
    card = model_card(repo, name, facts, graph, classifier=str(architectures[0]).endswith("ForSequenceClassification"))
    _no_secret({"README.md": card}, facts.params)
    files = [
        path for path in sorted(folder.iterdir()) if path.is_file() and path.name not in (*UNSENT, "README.md") and path.name[0] != "."
    ]
    return sorted([Item("README.md", content=card.encode()), *(Item(path.name, file=path) for path in files)], key=lambda item: item.path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        what = "is missing" if isinstance(error, FileNotFoundError) else "is no text in UTF-8"
        raise GateError(f"{path} {what}, and is published with the data: restore it, or `dvc repro`") from None


def _no_secret(texts: Mapping[str, str], params: Params) -> None:
    held = [*(os.environ.get(role.api_key_env, "") for role in params.roles.values()), *_tokens()]
    for path, text in texts.items():
        if SECRETS.search(text) or any(len(secret) >= 8 and secret in text for secret in held):
            raise GateError(f"{path} would publish what looks like a token or password: take it out of the file that it comes from")


def _tokens() -> Sequence[str]:
    from huggingface_hub import get_token

    return [token] if (token := get_token()) else []
