"""README.md of the dataset repository and of a model's, with the front matter that the Hub reads. The same facts give the same bytes.

dataset_card(facts)                              → "---\\nlicense: apache-2.0\\nconfigs:\\n- config_name: corpus\\n…"
model_card("org/name-base", "base", facts, graph)
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml

from factory.gate.card import environment, size_category
from factory.lock import Locked, ancestors
from factory.publish.facts import Facts, Step
from factory.publish.licences import front_matter
from factory.storage import MODELS

FOLDER = Path(__file__).parent


def drawn(step: Step) -> str:
    """`plans   651 plans, 14 structure, 1,159 rejected   ← release@templates, base`."""
    made = [f"{count:,} {name}" for name, count in step.rows.items()]
    made += [f"{step.rejected:,} rejected"] if step.rejected else []
    reads = f" ← {', '.join(step.reads)}" if step.reads else ""
    return f"{step.title:<26} {', '.join(made):<34}{reads}".rstrip()


@cache
def _environment() -> jinja2.Environment:
    found = environment(FOLDER)
    found.filters |= {"drawn": drawn, "last_name": lambda path: str(path).rsplit("/", 1)[-1]}
    return found


def dataset_card(facts: Facts) -> str:
    return _environment().get_template("dataset_card.md.j2").render(facts=facts, front=_yaml(_front(facts)))


def _front(facts: Facts) -> dict[str, Any]:
    sources = [origin.path for origin in facts.origins if origin.kind == "hub" and not origin.path.startswith((".", "/"))]
    return {
        **front_matter(facts.params.release.licence), "pretty_name": facts.params.release.name, "language": [facts.language],
        "task_categories": ["text-generation", "reinforcement-learning"],
        "size_categories": [size_category(facts.rows)], "source_datasets": [f"extended|{name}" for name in sources] or ["original"],
        "annotations_creators": ["machine-generated"], "language_creators": ["machine-generated", *(["found"] if sources else [])],
        "tags": ["reasoning", "math", "synthetic", "coat", "thought-templates", "preference", "trl", "croissant"],
        "configs": [
            {"config_name": config.name, "data_files": [{"split": config.released.split, "path": config.pattern}],
             **({"default": True} if number == 0 else {})}
            for number, config in enumerate(facts.configs)
        ],
        "dataset_info": [
            {"config_name": config.name, "features": config.features,
             "splits": [{"name": config.released.split, "num_bytes": config.size, "num_examples": config.released.rows}],
             "download_size": config.size, "dataset_size": config.size}
            for config in facts.configs
        ],
    }  # fmt: skip


def model_card(repo: str, name: str, facts: Facts, graph: Mapping[str, Locked], classifier: bool) -> str:
    """`classifier`: a reward model, which is loaded as a sequence classifier of one label."""
    path = f"{MODELS}/{name}"
    maker = next(title for title, stage in graph.items() if path in stage.outs)
    reads = sorted({title for title, _ in graph[maker].made_by if title != "inputs"})
    trained = [title.removeprefix("release@") for title in reads if title.startswith("release@")]
    behind = {title.removeprefix("adoption@") for title in ancestors(graph, maker) if title.startswith("adoption@")}
    adopted = [str(facts.params.adoption[key]) for key in sorted(behind)]
    hub = [model.partition("@")[0] for model in adopted if model.count("/") == 1 and "@" in model]
    matter = {
        **(front_matter(facts.params.release.licence) if not adopted else {"license": "other", "license_name": "of-the-base-model"}),
        "language": [facts.language], "library_name": "transformers",
        "pipeline_tag": "text-classification" if classifier else "text-generation", **({"base_model": hub} if hub else {}),
        "datasets": [facts.repo], "tags": ["coat", "reasoning"],
    }  # fmt: skip
    section = maker.partition("@")[0]
    held = getattr(facts.params, section, None)
    held = held.get(maker.partition("@")[2]) if isinstance(held, dict) else held
    shown = _yaml({section: held.model_dump(mode="json", exclude_none=True)}) if held is not None and hasattr(held, "model_dump") else ""
    loader = "AutoModelForSequenceClassification" if classifier else "AutoModelForCausalLM"
    return _environment().get_template("model_card.md.j2").render(
        facts=facts, repo=repo, name=name, maker=maker, reads=reads, trained=trained, adopted=", ".join(adopted), loader=loader,
        hash=graph[maker].outs[path], section=shown, front=_yaml(matter),
    )  # fmt: skip


def _yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Front, sort_keys=False, allow_unicode=True, width=2**31)


class _Front(yaml.SafeDumper):
    """Text of several lines with escapes, in one: no line of it can be taken for the `---` that ends the front matter."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if len(text.splitlines()) > 1 else None)


_Front.add_representer(str, _text)
