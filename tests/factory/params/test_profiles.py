"""Profiles: each parses and has the stages of dvc.yaml; the papers' own say where every line comes from and keep the papers' numbers."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from factory.line import stages_of
from factory.params import Params, load
from factory.params.names import COMMIT, on_hub
from factory.problems.records import Raw, from_records

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "pipelines/profiles"
PROFILES = sorted(FOLDER.glob("*.yaml"))
PAPERS = ("satori-7b", "reasonflux-32b")
PLACE = re.compile(r"§\d|App\. [A-Z]|Table \d|Algorithm \d|eq\. \d|\bcode: |not given|not in the paper|the line's own")
ALL = {"laptop", "laptop-vllm", "satori-7b", "reasonflux-32b"}

# (key, what the paper says, where): whoever edits a number here leaves the paper, and should say so in the profile and in docs/profiles.md
SATORI: list[tuple[str, object, str]] = [
    ("adoption.base", "Qwen/Qwen2.5-Math-7B", "§5"),
    ("roles.generator.model", "Qwen/Qwen2.5-Math-7B-Instruct", "App. D.1"),
    ("roles.critic.model", "meta-llama/Llama-3.1-70B-Instruct", "App. D.1"),
    ("roles.reward_model.model", "Skywork/Skywork-Reward-Llama-3.1-8B-v0.2", "App. D.1"),
    ("problems.sources.0.path", "nvidia/OpenMathInstruct-2", "App. D.1"),
    ("problems.sources.1.path", "AI-MO/NuminaMath-CoT", "App. D.1"),
    ("rollouts.problems", 550_000, "App. D.3"),
    ("rollouts.samples", 8, "App. D.3"),
    ("demonstrations.generator.temperature", 0.3, "App. D.1"),
    ("demonstrations.generator.max_tokens", 2048, "App. D.1"),
    ("demonstrations.critic.temperature", 0.2, "App. D.1"),
    ("demonstrations.critic.max_tokens", 256, "App. D.1"),
    ("demonstrations.keep", 4, "App. D.1"),
    ("demonstrations.critique_rounds", 2, "App. D.1"),
    ("format_tuning.lr", 2e-5, "App. D.2"),
    ("format_tuning.batch", 128, "App. D.2"),
    ("orm_pairs.margin", 2.0, "App. D.3"),
    ("orm.lr", 2e-6, "App. D.3"),
    ("orm.batch", 128, "App. D.3"),
    ("orm.epochs", 2, "App. D.3"),
    ("restarts.max_backtrack", 2, "App. D.3"),
    ("restarts.plain", 300_000, "App. D.3"),
    ("restarts.per_sign", 300_000, "Algorithm 1"),
    ("ppo.lr", 2e-7, "App. D.3"),
    ("ppo.critic_lr", 5e-6, "App. D.3"),
    ("ppo.batch", 1024, "App. D.3"),
    ("ppo.minibatch", 128, "App. D.3"),
    ("ppo.epochs", 1, "App. D.3"),
    ("ppo.kl", 0.0, "App. D.3"),
    ("ppo.beta", 0.5, "App. D.3"),
    ("ppo.orm_weight", 1.0, "§4.2"),
    ("ppo.baselines", ["critic"], "App. D.3"),
    ("ppo.gamma", 1.0, "code"),
    ("ppo.lam", 0.95, "code"),
    ("ppo.clip_low", 0.2, "code"),
    ("ppo.clip_high", 0.2, "code"),
    ("ppo.value_clip", 0.2, "code"),
    ("ppo.warmup_share", 0.03, "code"),
    ("ppo.max_tokens", 3072, "code"),
    ("rounds.r1.temperature", 0.6, "App. D.3"),
    ("rounds.r1.samples", 1, "App. D.3"),
    ("rounds.r1.restarts", True, "App. D.3"),
    ("rounds.r2.temperature", 1.2, "App. D.3"),
    ("rounds.r2.samples", 8, "App. D.3"),
    ("rounds.r2.restarts", False, "App. D.3"),
    ("distillation.problems", 240_000, "App. D.3"),
    ("distillation.keep", 180_000, "App. D.3"),
]
REASONFLUX: list[tuple[str, object, str]] = [
    ("adoption.base", "Qwen/Qwen2.5-32B-Instruct", "§4"),
    ("roles.inference.model", "data/models/base", "§4"),
    ("templates.problems", 7500, "§4"),
    ("trajectories.problems", 7500, "§4"),
    ("planner_sft.lr", 2e-5, "code"),
    ("planner_dpo.epochs", 6, "§4"),
    ("evaluate.n", 500, "Table 2"),
]


@cache
def document(name: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


@cache
def profile(name: str) -> Params:
    return load(FOLDER / f"{name}.yaml")


def value(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree[int(part)] if isinstance(tree, list) else tree[part]
    return tree


def has(tree: Any, key: str) -> bool:
    try:
        value(tree, key)
    except (KeyError, IndexError):
        return False
    return True


def key_lines(name: str) -> list[tuple[int, str, str]]:
    """(line number, what YAML reads of it, its comment) of every line that is no comment as a whole."""
    found = []
    for number, line in enumerate((FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            read, _, comment = line.partition(" # ")
            found.append((number, read.strip(), comment.strip()))
    return found


@cache
def composed(name: str) -> Any:
    return yaml.compose((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


@cache
def graph() -> dict[str, Any]:
    """The stages of dvc.yaml."""
    return yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def line_of(name: str, key: str) -> str:
    """The line on which a key stands: its own, or that of the map in braces which it is a part of."""
    node, at = composed(name), 0
    for part in key.split("."):
        if isinstance(node, yaml.SequenceNode):
            node = node.value[int(part)]
            at = node.start_mark.line
        else:
            assert isinstance(node, yaml.MappingNode)
            named, node = next(pair for pair in node.value if pair[0].value == part)
            at = named.start_mark.line
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[at]


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_parses_and_says_at_its_head_what_it_is(path: Path) -> None:
    params = profile(path.stem)
    assert params.purpose == "train"
    assert bool(params.pretraining) != bool(params.adoption)
    assert bool(params.pretraining) == bool(params.problems.world) == bool(params.corpus)
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_the_stages_of_a_profile_are_those_that_dvc_expands_to(path: Path) -> None:
    tree, expected = document(path.stem), set()
    for name, stage in graph().items():
        over = stage.get("foreach", "").strip("${}")
        expected |= {f"{name}@{key}" for key in tree[over]} if over else {name}
    assert {stage.title for stage in stages_of(profile(path.stem))} == expected


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_profile_has_every_key_that_a_stage_without_a_key_of_its_own_tracks(path: Path) -> None:
    """DVC stops at a tracked key that the file lacks. Stages of a foreach without an item are not there."""
    tree, missing = document(path.stem), []
    for name, stage in graph().items():
        over = stage.get("foreach", "").strip("${}")
        tracked = [
            key.replace("${key}", item) for item in (tree[over] if over else [""]) for key in stage.get("do", stage).get("params", [])
        ]
        missing += [f"{name}: {key}" for key in tracked if not has(tree, key)]
    assert not missing


def test_docs_and_profiles_name_each_other() -> None:
    page = (ROOT / "docs/profiles.md").read_text(encoding="utf-8")
    assert {path.stem for path in PROFILES} >= ALL
    assert all(f"`{path.stem}`" in page for path in PROFILES)
    for name in PAPERS:
        assert all(f'"{Path(benchmark).stem}": ' in page for benchmark in profile(name).problems.benchmarks)


@pytest.mark.parametrize("name", PAPERS)
def test_every_line_says_where_it_comes_from(name: str) -> None:
    lines = key_lines(name)
    assert len(lines) > 100
    bare = [f"{number}: {read}" for number, read, comment in lines if not comment]
    assert not bare, "lines without a comment: " + "; ".join(bare)
    vague = [f"{number}: {read} # {comment}" for number, read, comment in lines if not PLACE.search(comment)]
    assert not vague, "comments that name no place and no «not given»: " + "; ".join(vague)


CLAIMS = [
    pytest.param(name, *row, id=f"{name}:{row[0]}") for name, rows in zip(PAPERS, (SATORI, REASONFLUX), strict=True) for row in rows
]  # fmt: skip


@pytest.mark.parametrize(("name", "key", "said", "where"), CLAIMS)
def test_a_number_of_a_paper_is_the_papers(name: str, key: str, said: object, where: str) -> None:
    """The value, and the place that the line names."""
    found = value(document(name), key)
    assert (found.split("@")[0] if isinstance(found, str) else found) == said
    assert where in line_of(name, key), line_of(name, key)


def test_satoris_counts_agree_with_each_other() -> None:
    """What the paper gives as sentences: one episode over D ∪ D+ ∪ D-, the questions with right and wrong samples, the pool's size."""
    params = profile("satori-7b")
    rollouts, restarts, ppo = params.require("rollouts"), params.require("restarts"), params.require("ppo")
    starts = restarts.plain + 2 * restarts.per_sign
    assert 0 <= ppo.iterations * ppo.batch // params.rounds["r1"].samples - starts < ppo.batch
    assert restarts.pass_rate == (1 / rollouts.samples, 1 - 1 / rollouts.samples)
    pool = sum(source.cap or 0 for source in params.problems.sources) * params.problems.split_shares["train"]
    assert rollouts.problems <= pool < 1.02 * rollouts.problems
    assert 2 * params.require("demonstrations").keep * params.require("demonstrations").critique_rounds == 16
    assert {policy.part for policy in params.policies.values()} == {0}


@pytest.mark.parametrize("name", PAPERS)
def test_what_comes_from_the_hub_is_pinned_to_a_whole_commit(name: str) -> None:
    params = profile(name)
    models = [*params.adoption.values(), *(role.model for role in params.roles.values() if not role.model.startswith("data/"))]
    revisions = [hub.revision or "" for model in models if (hub := on_hub(model)) and hub.revision]
    assert len(revisions) == len(models) > 0
    revisions += [source.revision or "" for source in params.problems.sources if source.kind == "hub"]
    assert all(COMMIT.fullmatch(revision) and len(revision) == 40 for revision in revisions), revisions


def test_no_paper_profile_knows_a_world_and_all_ask_as_instruct_models_are_asked() -> None:
    for name in PAPERS:
        params = profile(name)
        assert params.problems.world is None
        assert "corpus" not in params.datasets
        assert {role.prompts for role in params.roles.values()} == {"instruct"}
        assert all(role.price is None for role in params.roles.values())


ROWS = {  # the fields of each dataset's card; texts are made up
    "openmathinstruct-2": {
        "problem": "Find $x$ if $2x = 7$.", "generated_solution": "Halve both sides: \\[\nx = \\boxed{\\frac{7}{2}}\n\\]",
        "expected_answer": "\\frac{7}{2}", "problem_source": "augmented_math",
    },
    "numinamath-cot": {
        "problem": "Find $x$ if $2x = 7$.", "solution": "Halve both sides: $x = \\boxed{\\frac{7}{2}}$.", "source": "cn_k12",
        "messages": [],
    },
    "math": {
        "problem": "Find $x$ if $2x = 7$.", "solution": "Halve both sides: $x = \\boxed{\\frac{7}{2}}$.", "level": "Level 1",
        "type": "Algebra",
    },
}  # fmt: skip


@pytest.mark.parametrize(
    "source", [source for name in PAPERS for source in profile(name).problems.sources], ids=lambda source: source.name
)  # fmt: skip
def test_a_source_reads_rows_of_its_datasets_shape(source: Any) -> None:
    row = ROWS[source.name.removesuffix("-test")]
    assert set(source.columns.values()) <= set(row)
    (problem,), rejects = from_records(source, [Raw("1", row)])
    assert not rejects
    assert problem.answer == "\\frac{7}{2}"
    assert problem.solution is not None
    assert "boxed" in problem.solution
    assert problem.group in ("augmented_math", "cn_k12", "Algebra")


def test_a_proof_without_a_box_is_no_problem() -> None:
    """NuminaMath-CoT has no column of answers: what its solution boxes is the answer, and where nothing is boxed there is none."""
    source = profile("satori-7b").problems.sources[1]
    row = {"source": "olympiads", "problem": "Prove that $n^2$ is even if $n$ is.", "solution": "Let $n = 2k$, then $n^2 = 4k^2$.\n\nDone."}
    problems, rejects = from_records(source, [Raw("1", row)])
    assert not problems
    assert rejects[0].reason.startswith("the answer cannot be read")
