import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fault_server import FaultServer
from served import asked

from factory.engines.ledger import stats
from factory.engines.protocol import Request, SamplingParams
from factory.engines.requests import StoredEngine, StoredScorer
from factory.engines.select import Engines, cost, maker, model_revision
from factory.errors import EngineError
from factory.language.prompting import Prompts
from factory.params import Requests, Role

SETTINGS = Requests(timeout=5, retries=1, max_failed_share=0.5)


def open_engine(role: Role, stage: str) -> StoredEngine:
    return Engines(SETTINGS, stage).engine(role, "generator")


def open_scorer(role: Role, stage: str) -> StoredScorer:
    return Engines(SETTINGS, stage).scorer(role, "reward_model")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACTORY_STORE", str(tmp_path / "store" / "requests.sqlite"))
    return tmp_path / "store" / "requests.sqlite"


def test_a_folder_behind_the_store(model_folder: Path, store: Path) -> None:
    engine = open_engine(Role(engine="transformers", model=str(model_folder)), "rollouts")
    assert engine.model == f"base@{model_revision(model_folder)}"
    completion = engine.generate([Request(asked("a b"), SamplingParams(8, 1.0), seed=1)])[0]
    assert completion.request_id
    usage = stats(store)[0]
    assert (usage.stage, usage.requests, usage.completion_tokens, usage.prompt_tokens) == ("rollouts", 1, completion.tokens, 2)


def test_a_reward_model_behind_the_store(reward_folder: Path, store: Path) -> None:
    role = Role(engine="transformers", model=str(reward_folder))
    assert open_scorer(role, "demonstrations").score([(asked("a"), "b")]) == open_scorer(role, "demonstrations").score([(asked("a"), "b")])
    assert (stats(store)[0].hits, stats(store)[0].misses) == (1, 1)


def test_the_revision_is_that_of_the_content(model_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(model_folder, tmp_path / "copy")
    assert model_revision(copy) == model_revision(model_folder), "names of folders and times of files do not count"
    (copy / "README.md").write_text("a card")
    (copy / "trainer_state.json").write_text("{}")
    assert model_revision(copy) == model_revision(model_folder)
    revisions = {model_revision(copy)}
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json", "generation_config.json"):
        (copy / name).write_bytes((copy / name).read_bytes() + b" ")
        revisions.add(model_revision(copy))
    assert len(revisions) == 6


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("format_tuned", "format_tuning"), ("cot_control", "cot_control"), ("orm_base", "orm@base"),
        ("orm_r1", "orm@r1"), ("policy_r2", "ppo@r2"), ("distilled_r1", "distill@r1"), ("planner_sft", "planner@sft"),
        ("planner_dpo", "planner_dpo"),
    ],
)  # fmt: skip
def test_a_missing_model_names_its_stage(name: str, stage: str, tmp_path: Path) -> None:
    assert maker(name) == stage
    for opened in (open_engine, open_scorer):
        with pytest.raises(EngineError, match=f"{name} is missing: `dvc repro {stage}` makes it"):
            opened(Role(engine="transformers", model=str(tmp_path / name)), "evaluate")
    (tmp_path / name).mkdir()
    with pytest.raises(EngineError, match="holds no model"):
        model_revision(tmp_path / name)


def test_a_hub_model_is_pinned_by_its_commit() -> None:
    assert open_engine(Role(engine="transformers", model="org/name@0123abc"), "rollouts").model == "org/name@0123abc"
    with pytest.raises(EngineError, match="'main' may move: pin a commit, org/name@<7 to 40 hex digits>"):
        open_engine(Role(engine="transformers", model="org/name@main"), "rollouts")


def test_a_reward_model_needs_an_engine_that_scores() -> None:
    with pytest.raises(EngineError, match=r"m: a reward model runs on the engine transformers, or on a server \(openai\), not on vllm"):
        open_scorer(Role(engine="vllm", model="m"), "demonstrations")


def test_roles_that_say_the_same_share_a_model_and_are_counted_apart(model_folder: Path, store: Path, tmp_path: Path) -> None:
    role = Role(engine="transformers", model=str(model_folder), price={"input": 2.0, "output": 10.0})
    with Engines(SETTINGS, "demonstrations") as engines:
        generator, critic = engines.engine(role, "generator"), engines.engine(role, "critic")
        assert generator.backend is critic.backend
        other = role.model_copy(update={"price": None, "prompts": "laptop"})
        assert engines.engine(other, "labeller").backend is critic.backend, "neither a price nor how it is asked makes another model"
        said = critic.generate(
            [Request(asked("a b"), SamplingParams(8, 1.0), seed=1), Request(asked("a b"), SamplingParams(8, 1.0), seed=2)]
        )
        engines.write_usage(tmp_path / "usage.csv")
    tokens = sum(completion.tokens for completion in said)
    assert cost(role, 4, tokens) == pytest.approx((4 * 2 + tokens * 10) / 1e6)
    assert (tmp_path / "usage.csv").read_text().splitlines() == [
        "role,model,requests,failed,prompt_tokens,completion_tokens,dollars",
        f"generator,{generator.model},0,0,0,0,0.000000",
        f"critic,{critic.model},2,0,4,{tokens},{cost(role, 4, tokens):.6f}",
        f"labeller,{critic.model},0,0,0,0,",
    ]
    with pytest.raises(EngineError, match="request store"):
        critic.generate([Request(asked("c"), SamplingParams(8))])


@pytest.mark.parametrize(("bad", "ends"), [(1, False), (2, True)])
def test_a_stage_ends_when_too_many_of_its_requests_failed(model_folder: Path, bad: int, ends: bool) -> None:
    role, written = Role(engine="transformers", model=str(model_folder)), []
    requests = [Request((), SamplingParams(8), ordinal=number) for number in range(bad)] + [Request(asked("a b"), SamplingParams(8))]

    def stage() -> None:
        with Engines(SETTINGS, "rollouts") as engines:
            written.append(engines.engine(role, "generator").generate(requests))

    if ends:
        with pytest.raises(
            EngineError, match=r"2 of 3 requests to base@\w+ failed \(requests.max_failed_share is 0.5\), 2 with: the prompt is empty"
        ):
            stage()
    else:
        stage()
    assert len(written[0]) == bad + 1, "rows and rejects are written before"


def test_answers_that_fit_no_schema_need_another_version_to_be_asked_anew(server: FaultServer) -> None:
    """They are stored as any other: a server that was corrected would not be asked, however often the stage ran."""
    schema = json.dumps({"type": "object", "properties": {"step": {"type": "integer"}}, "required": ["step"]})

    def stage(version: str) -> int:
        role, before = Role(engine="openai", model=f"m@{version}", base_url=server.url), server.stats.requests
        told = r"1 with: no answer of its schema in .*these too: correct that, give the model another version"
        with pytest.raises(EngineError, match=told), Engines(Requests(timeout=5, retries=0, max_failed_share=0), "templates") as engines:
            engines.engine(role, "labeller").generate([Request(asked("a"), SamplingParams(64), schema=schema)])
        return server.stats.requests - before

    assert (stage("1"), stage("1"), stage("2")) == (3, 0, 3)


def test_recorded_answers_and_their_malformed_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "solutions.jsonl"
    row = {"question": "How many?", "small": {"solution": "1 + 1 = 2\nA: 2", "is_correct": True}}
    path.write_text("\n".join([json.dumps(row), *["{"] * 5]))
    engine = open_engine(Role(engine="recorded", model=str(path), models=["small"], prompts="laptop"), "rollouts")
    found = engine.generate(
        [
            Request(Prompts.of("laptop").render("solve", problem="How many?"), SamplingParams(8)),
            Request(asked("no such problem"), SamplingParams(8)),
        ]
    )
    assert [completion.finish_reason for completion in found] == ["stop", "error"]
    printed = capsys.readouterr().err.splitlines()
    assert printed[0].startswith(f"rollouts: left out {path}:2: no JSON")
    assert printed[3] == "rollouts: left out 2 more malformed lines"


@pytest.mark.slow
def test_a_stage_without_a_model_imports_no_model_library(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text(json.dumps({"question": "Q", "m": {"solution": "A: 2", "is_correct": True}}))
    code = (
        "import sys; from factory.engines.select import Engines; from factory.params import Requests, Role;"
        f"role = Role(engine='recorded', model={str(tmp_path / 's.jsonl')!r}, models=['m']);"
        "Engines(Requests(timeout=1, retries=0, max_failed_share=1), 'rollouts').engine(role, 'generator');"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
