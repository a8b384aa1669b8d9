"""croissant.json: what the dataset is, for machines. Croissant 1.1 (https://docs.mlcommons.org/croissant), its vocabulary for
responsible AI (RAI 1.0), and PROV-O for where each config comes from.

    croissant(facts)   → {"@type": "sc:Dataset", "distribution": [a file object a shard], "recordSet": [one a config], …}

Files are named relative to croissant.json and have their SHA-256: it holds for a snapshot of the repository, wherever that lies.
"""

from typing import Any

from factory.publish.facts import Config, Facts
from factory.publish.licences import KNOWN, plain

TERMS = (
    "annotation arrayShape citeAs column containedIn dataBiases dataCollection equivalentProperty extract field fileObject fileProperty "
    "fileSet format includes isArray isLiveDataset jsonPath key md5 parentField path personalSensitiveInformation recordSet references "
    "regex repeated replace samplingRate separator source subField transform value"
)
CONTEXT: dict[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/", "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/", "dct": "http://purl.org/dc/terms/", "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo", "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"}, **{term: f"cr:{term}" for term in TERMS.split()},
}  # fmt: skip
TYPES = {"string": "sc:Text", "int64": "cr:Int64", "float64": "cr:Float64", "bool": "sc:Boolean"}
LICENCES = {"cc0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/", "apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0"}


def croissant(facts: Facts) -> dict[str, Any]:
    params = facts.params
    licence = plain(params.release.licence)
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": facts.repo.replace("/", "_"),
        "description": f"{params.release.name}: {facts.rows} rows in {len(facts.configs)} configs for training reasoning models "
        "(Chain-of-Action-Thought demonstrations, preference pairs, restart states, thought templates, plans).",
        "url": f"https://huggingface.co/datasets/{facts.repo}",
        "license": LICENCES.get(licence, f"https://spdx.org/licenses/{licence}" if licence in KNOWN else params.release.licence),
        "inLanguage": facts.language,
        "version": "1.0.0",
        "keywords": ["reasoning", "synthetic", "preference", "thought templates"],
        "creator": {"@type": "Organization", "name": facts.repo.split("/")[0], "url": f"https://huggingface.co/{facts.repo.split('/')[0]}"},
        "citeAs": f"{facts.repo.split('/')[0]}: {params.release.name}, Hugging Face dataset {facts.repo}. Made with COAT factory "
        "(arXiv:2502.02508, arXiv:2502.06772).",
        "isLiveDataset": False,
        "rai:dataCollection": "Problems from: "
        + "; ".join(_origin(origin) for origin in facts.origins)
        + ". Everything else was made of them.",
        "rai:dataCollectionType": ["Software Collection", "Others"],
        "rai:dataPreprocessingProtocol": [
            f"near-duplicates from a Jaccard similarity of {params.problems.near_duplicate} on are removed",
            f"overlap in {params.problems.contamination_ngram}-grams with {len(params.problems.benchmarks)} benchmarks is removed",
        ],
        "rai:machineAnnotationTools": [f"{model.name}@{model.revision}" for model in facts.models],
        "rai:dataLimitations": [f"{config.name}: not met: {finding['says']}" for config in facts.configs for finding in config.warnings]
        or ["explanations of models are checked only as far as the audits say"],
        "rai:dataUseCases": ["training; not for measuring"],
        "rai:hasSyntheticData": bool(facts.models) or any(origin.synthetic for origin in facts.origins),
        "prov:wasDerivedFrom": [{"@type": "prov:Entity", "name": _origin(origin)} for origin in facts.origins],
        "prov:wasGeneratedBy": {"@type": "prov:Activity", "name": "COAT factory", "prov:used": ["lineage/params.yaml", "lineage/dvc.lock"]},
        "distribution": [part for config in facts.configs for part in _files(config)],
        "recordSet": [_records(config) for config in facts.configs],
    }


def _origin(origin: Any) -> str:
    where = f" {origin.path}{'@' + origin.revision if origin.revision else ''}" if origin.path else ""
    return f"{origin.name} ({'a program' if origin.synthetic else origin.kind}{where})"


def _files(config: Config) -> list[dict[str, Any]]:
    shards = [
        {"@type": "cr:FileObject", "@id": shard.path, "name": shard.path, "contentUrl": shard.path,
         "encodingFormat": "application/x-parquet", "contentSize": f"{shard.size} B", "sha256": shard.sha256}
        for shard in config.shards
    ]  # fmt: skip
    files = {
        "@type": "cr:FileSet", "@id": f"{config.name}-files", "name": f"{config.name}-files", "encodingFormat": "application/x-parquet",
        "containedIn": [{"@id": shard.path} for shard in config.shards], "includes": config.pattern,
    }  # fmt: skip
    return shards if len(shards) == 1 else [*shards, files]


def _records(config: Config) -> dict[str, Any]:
    where = {"fileObject": {"@id": config.shards[0].path}} if len(config.shards) == 1 else {"fileSet": {"@id": f"{config.name}-files"}}
    return {
        "@type": "cr:RecordSet", "@id": config.name, "name": config.name, "description": config.about, "key": {"@id": f"{config.name}/id"},
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity", "name": f"release@{config.name}",
            "prov:wasAssociatedWith": [{"@type": "prov:SoftwareAgent", "name": model} for model in config.models],
        },
        "field": [_field(config, feature, where) for feature in config.features],
    }  # fmt: skip


def _field(config: Config, feature: dict[str, Any], where: dict[str, Any]) -> dict[str, Any]:
    """A column; one that holds a list is repeated, one of conversations has a field for role and for content."""
    name = feature["name"]
    inner = feature.get("list")
    found = {"@type": "cr:Field", "@id": f"{config.name}/{name}", "name": f"{config.name}/{name}"}
    if isinstance(inner, list):
        parts = [
            {"@type": "cr:Field", "@id": f"{config.name}/{name}/{part['name']}", "name": f"{config.name}/{name}/{part['name']}",
             "dataType": TYPES[part["dtype"]],
             "source": {**where, "extract": {"column": name}, "transform": {"jsonPath": part["name"]}}}
            for part in inner
        ]  # fmt: skip
        return {**found, "repeated": True, "subField": parts}
    dtype = inner if isinstance(inner, str) else str(feature["dtype"])
    source = {**where, "extract": {"column": name}}
    return {**found, "dataType": TYPES[dtype], **({"repeated": True} if inner else {}), "source": source}
