"""Names and numbers of params.yaml are checked where they are written: one line says the key, the value and what would fit."""

import copy
import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from factory.errors import ParamsError
from factory.line import stages_of
from factory.params import Role, consistency, load, parse
from factory.params.consistency import COLUMNS
from factory.params.names import OnHub, on_hub
from factory.params.sections import CORPUS_ROLES
from factory.params.yaml_file import read_yaml
from factory.problems.world.roles import ROLES
from factory.schemas import Restart, table_of

ROOT = Path(__file__).parents[3]
FILES = [*sorted((ROOT / "pipelines/profiles").glob("*.yaml")), ROOT / "params.yaml", ROOT / "tests/line/tiny.yaml"]
FILES += [ROOT / "pipelines/recorded_gsm8k/params.yaml"]
LAPTOP = yaml.safe_load((ROOT / "pipelines/profiles/laptop.yaml").read_text())
RECORDED = yaml.safe_load((ROOT / "pipelines/recorded_gsm8k/params.yaml").read_text())


def refused(document: dict[str, Any]) -> str:
    with pytest.raises(ParamsError) as caught:
        parse(document)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix("params.yaml: ")


def changed(keys: str, value: object, start: dict[str, Any] = LAPTOP) -> dict[str, Any]:
    """The document with one value set, `a.b.c` deep."""
    document = copy.deepcopy(start)
    *above, last = keys.split(".")
    at: Any = document
    for part in above:
        at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
    at[int(last) if isinstance(at, list) else last] = value
    return document


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_files_of_the_project_load(path: Path) -> None:
    assert load(path).seed == 1


@pytest.mark.parametrize("name", ["long_context", "r.1", "r 1", "../x", "", "é", "r" * 200, "1", "R1", "r\n", "-r", "r@1", "${r}", "r/1"])
@pytest.mark.parametrize("section", ["rounds", "policies", "distillations"])
def test_a_name_that_no_file_or_stage_can_have_is_refused(section: str, name: str) -> None:
    document = copy.deepcopy(LAPTOP)
    document[section][name] = next(iter(document[section].values()))
    assert refused(document).startswith(f"{section} has the key {name!r}: expected 1 to 40 lower-case letters, digits and hyphens")


@pytest.mark.parametrize("name", ["r3", "long-context", "x" * 40])
def test_a_name_that_is_allowed_works_everywhere(name: str) -> None:
    document = copy.deepcopy(LAPTOP)
    document["policies"][name] = {"model": "distilled_r1", "part": 3}
    document["rounds"][name] = {"start": "distilled_r1", "restarts": True, "temperature": 1.0, "samples": 4}
    document["datasets"] |= {f"orm_pairs_{name}": {"parents": f"rollouts_{name}"}, f"restarts_{name}": {"parents": f"rollouts_{name}"}}
    assert name in parse(document).rounds
    assert table_of(f"restarts_{name}") is Restart


def test_a_table_that_nothing_knows_is_named() -> None:
    with pytest.raises(Exception, match="restart_r1 is no table: expected one of problems, corpus"):
        table_of("restart_r1")


@pytest.mark.parametrize(("keys", "says"), [
    ("restarts.max_backtrak", "unknown key restarts.max_backtrak, did you mean max_backtrack?"),
    ("evalute", "unknown key evalute, did you mean evaluate?"),
    ("policies.r1.modle", "unknown key policies.r1.modle, did you mean model?"),
    ("problems.sources.0.colums", "unknown key problems.sources.0.colums, did you mean columns?"),
    ("demonstrations.critic.temprature", "unknown key demonstrations.critic.temprature, did you mean temperature?"),
    ("distillations.r1.keep", "unknown key distillations.r1.keep"),
    ("ppo.zzz", "unknown key ppo.zzz"),
])  # fmt: skip
def test_an_unknown_key_says_which_was_meant(keys: str, says: str) -> None:
    assert refused(changed(keys, 1)) == says


@pytest.mark.parametrize(("keys", "value"), [
    ("problems.near_duplicate", 50), ("problems.near_duplicate", 0), ("problems.max_reject_share", 1.01), ("ppo.warmup_share", -0.1),
    ("demonstrations.keep_box_share", 75), ("trajectories.min_gap", 2), ("requests.max_failed_share", 5), ("templates.min_solve_rate", -1),
    ("orm.lr", float("inf")), ("pretraining.base.lr", float("nan")), ("grading.seconds", float("inf")), ("ppo.clip_high", float("inf")),
    ("orm_pairs.margin", float("nan")), ("pretraining.base.muon_lr", 0), ("pretraining.base.lr", -1), ("pretraining.base.hidden", 0),
    ("pretraining.base.layers", -1), ("pretraining.base.heads", 0), ("pretraining.base.batch", 0),
    ("pretraining.base.epochs", 0), ("pretraining.base.intermediate", 0), ("pretraining.base.max_length", 0), ("seed", -1), ("seed", 2**63),
    ("seed", True), ("seed", "1"),
    ("seed", 1.5), ("rollouts.samples", "4"),
    ("rollouts.samples", True), ("orm.lr", "1e-3"), ("orm.lr", False), ("rounds.r1.restarts", 1), ("rounds.r1.restarts", "yes"),
    ("corpus.roles.solve", -1), ("release.licence", ""), ("release.name", "../x"), ("release.name", "a/b"), ("release.name", ".."),
    ("problems.split_shares.train", 80), ("problems.sources", []), ("grading.rules", []),
    ("problems.sources.0.weight", 0), ("problems.sources.0.weight", -1.0), ("problems.sources.0.weight", float("inf")),
    ("problems.sources.0.cap", 0), ("problems.sources.0.cap", 1.5),
])  # fmt: skip
def test_a_value_out_of_its_range_names_its_key(keys: str, value: object) -> None:
    assert refused(changed(keys, value)).startswith(f"{keys} is {value!r}: ")


@pytest.mark.parametrize(("changes", "says"), [
    ({"pretraining.base.hidden": 145}, "pretraining.base.hidden is 145: expected an even number of times pretraining.base.heads, 4"),
    ({"pretraining.base.hidden": 12}, "pretraining.base.hidden is 12: expected an even number"),
    ({"ppo.batch": 126}, "ppo.minibatch is 128: expected at most ppo.batch, 126"),
    ({"ppo.batch": 130}, "ppo.batch is 130: expected a multiple of rounds.r1.samples, 4"),
    ({"ppo.critic_warmup": 3}, "ppo.critic_warmup is 3: expected 0, ppo.baselines names no critic"),
    ({"ppo.critic_warmup": 60, "ppo.baselines": ["critic"]}, "ppo.critic_warmup is 60: expected less than ppo.iterations, 60"),
    ({"ppo.alike": "refill", "ppo.baselines": ["critic"]}, "ppo.alike is refill: expected keep, ppo.baselines names no siblings"),
    ({"rounds.r2.samples": 1}, "rounds.r2.samples is 1, but ppo.baselines names siblings"),
    ({"policies.r2.part": 4}, "policies.r2.part is 4: with rollouts.problems 900 it needs 4500 train problems"),
    ({"rollouts.problems": 1201}, "policies.r2.part is 2: with rollouts.problems 1201 it needs 3603 train problems"),
    ({"distillation.problems": 901}, "distillation.problems is 901: they are of a part of rollouts.problems, 900"),
    ({"evaluate.n": 1001}, "evaluate.n is 1001: the splits have 1000"),
    ({"ppo.max_tokens": 448}, "ppo.max_tokens is 448: expected less than pretraining.base.max_length, 448"),
    ({"trajectories.planner.max_tokens": 500}, "trajectories.planner.max_tokens is 500: expected less than"),
    ({"problems.split_shares": {"train": 0.8, "dev": 0.1}}, "problems.split_shares sums to 0.9: expected 1"),
    ({"problems.split_shares": {"train": 0.9, "heldot": 0.1}}, "problems.split_shares.heldot is no split"),
    ({"problems.split_shares": {}}, "problems.split_shares sums to 0: expected 1"),
    ({"corpus.roles.slove": 1}, "corpus.roles.slove is no role"),
])  # fmt: skip
def test_values_that_do_not_fit_together_name_both_keys(changes: dict[str, object], says: str) -> None:
    document = LAPTOP
    for keys, value in changes.items():
        document = changed(keys, value, document)
    assert refused(document).startswith(says)


@pytest.mark.parametrize(("keys", "value", "says"), [
    ("policies.base.model", "bsae", "policies.base.model is bsae: no stage makes it, did you mean base?"),
    ("policies.more", {"model": "distilled_r2", "part": 3}, "policies.more.model is distilled_r2: no stage makes it, did you mean"),
    ("rounds.r1.start", "orm_base", "rounds.r1.start is orm_base: no stage makes it"),
    ("rounds.r9", {"start": "base", "restarts": True, "temperature": 1.0, "samples": 4}, "rounds.r9 has no policies.r9: {model: base}"),
    ("distillations.r2", {"into": "base"}, "distillations.r2: no round starts from distilled_r2; the last round has no distillation"),
    ("distillations.r9", {"into": "base"}, "distillations.r9 has no rounds.r9"),
    ("datasets.restart_r1", {"parents": "rollouts_r1"}, "datasets.restart_r1 is no table that a stage makes, did you mean restarts_r1?"),
    ("datasets.restarts_r9", {"parents": "rollouts_r1"}, "datasets.restarts_r9 is no table that a stage makes"),
    ("datasets.to /x", {"parents": "problems"}, "datasets.to /x is no table that a stage makes"),
    ("datasets.corpus.parents", "tempaltes", "datasets.corpus.parents is tempaltes, a table that no stage makes, did you mean templates?"),
    ("roles.critic.model", "data/models/bsae", "roles.critic.model is data/models/bsae, did you mean base?"),
    ("roles.critic.model", "./data/models/policy_r1", "roles.critic.model is ./data/models/policy_r1: it is made after"),
    ("roles.reward_model.model", "data/models/base", "roles.reward_model.model is data/models/base: it is made after"),
    ("roles.labeller.model", "~/models/x", "roles.labeller.model is '~/models/x': ~ is another folder for everybody"),
    ("roles.labeller.model", "", "roles.labeller.model is '': a path of printable characters is expected"),
    ("adoption", {"base": "org/name@1234567"}, "pretraining and adoption both make data/models/base"),
    ("problems.benchmarks", ["a\0b"], "problems.benchmarks.0 is 'a\\x00b': a path of printable characters"),
])  # fmt: skip
def test_a_name_that_nothing_makes_is_refused_with_what_was_meant(keys: str, value: object, says: str) -> None:
    assert refused(changed(keys, value)).startswith(says)


def test_a_round_that_starts_from_itself_is_refused() -> None:
    document = changed("rounds.r1.start", "policy_r2")
    document["policies"]["r1"]["model"] = "policy_r2"
    assert refused(document) == "rounds.r1.start is policy_r2, which is made from round r1 itself: start from an earlier model"


@pytest.mark.parametrize("dataset", ["corpus", "restarts_r1", "orm_pairs_base", "distillation_r1", "templates", "trajectory_pairs"])
def test_a_dataset_that_a_stage_needs_cannot_be_left_out(dataset: str) -> None:
    document = copy.deepcopy(LAPTOP)
    del document["datasets"][dataset]
    assert refused(document).startswith(f"datasets lacks {dataset}, which ")


@pytest.mark.parametrize("role", ["generator", "labeller", "inference", "critic"])
def test_a_role_that_a_stage_asks_cannot_be_left_out(role: str) -> None:
    document = copy.deepcopy(LAPTOP)
    del document["roles"][role]
    assert f"roles.{role}" in refused(document)


SERVER = {"engine": "openai", "model": "llama@1", "base_url": "http://gpu:8000/v1"}


def test_a_server_may_solve_what_the_lines_planners_plan() -> None:
    params = parse(changed("roles.inference", SERVER))
    assert params.own("planner_sft", "inference") == Role(engine="transformers", model="data/models/planner_sft")
    assert params.own("planner_sft", "labeller").engine == params.roles["labeller"].engine


@pytest.mark.parametrize(("role", "value", "says"), [
    ("generator", SERVER, "roles.generator is a server, which cannot sample policies.base, data/models/base"),
    ("generator", {"engine": "recorded", "model": "a.jsonl", "models": ["m"]}, "roles.generator is a file of recorded answers"),
    ("inference", {"engine": "recorded", "model": "a.jsonl", "models": ["m"]}, "roles.inference is a file of recorded answers"),
    ("generator", {"engine": "recorded", "model": "a.jsonl"}, "roles.generator.models is empty"),
    ("reward_model", {"engine": "vllm", "model": "data/models/orm_base"}, "roles.reward_model.engine is vllm: expected transformers"),
    ("writer", SERVER, "roles has the key 'writer': expected 'generator', 'critic'"),
])  # fmt: skip
def test_a_role_whose_stages_ask_for_a_model_that_its_engine_has_not_is_refused(role: str, value: dict, says: str) -> None:
    assert refused(changed(f"roles.{role}", value)).startswith(says)


def test_tokens_that_no_recorded_answer_has_are_not_asked_for() -> None:
    document = changed("roles.generator", {"engine": "recorded", "model": "a.jsonl", "models": ["m"]})
    document["rollouts"]["drawn_tokens"] = True
    assert refused(document) == (
        "rollouts.drawn_tokens is true, and roles.generator is a file of recorded answers, which has no tokens: leave it out"
    )
    document["rollouts"]["drawn_tokens"] = "yes"
    assert "rollouts.drawn_tokens is 'yes'" in refused(document)
    document = changed("roles.generator", LAPTOP["roles"]["generator"])
    document["rollouts"]["drawn_tokens"] = True
    assert parse(document).require("rollouts").drawn_tokens
    assert not parse(LAPTOP).require("rollouts").drawn_tokens


@pytest.mark.parametrize("role", ["critic", "labeller", "reward_model", "judge"])
def test_roles_that_are_asked_for_their_own_model_may_be_servers(role: str) -> None:
    assert parse(changed(f"roles.{role}", SERVER))


def source(**values: object) -> dict[str, object]:
    return {"name": "mine", "kind": "jsonl", "path": "mine.jsonl", **values}


@pytest.mark.parametrize(("sources", "says"), [
    ([source(), source(path="other.jsonl")], "problems.sources.mine stands twice"),
    ([source(), source(name="MINE")], "problems.sources.MINE stands twice"),
    ([source(name="world")], "problems.sources.world is of kind jsonl: the name world"),
    ([{"name": "procedural", "kind": "world"}], "problems.sources.procedural is of kind world: the name world"),
    ([source(path=None)], "problems.sources.mine has no path"),
    ([source(path="~/x.jsonl")], "problems.sources.mine.path is '~/x.jsonl'"),
    ([source(columns={"famliy": "topic"})], "problems.sources.mine.columns.famliy is no field of ours, expected some of problem, answer"),
    ([source(columns={"Problem": "q"})], "problems.sources.mine.columns.Problem is no field of ours"),
    ([source(columns={"": "q"})], "problems.sources.mine.columns. is no field of ours"),
    ([source(name="../x")], "problems.sources.0.name is '../x'"),
    ([source(name="")], "problems.sources.0.name is ''"),
    ([source(name="a b")], "problems.sources.0.name is 'a b'"),
])  # fmt: skip
def test_sources_have_names_and_columns_of_ours(sources: list[dict], says: str) -> None:
    assert refused(changed("problems.sources", sources)).startswith(says)


def test_every_column_of_ours_may_be_mapped() -> None:
    assert parse(changed("problems.sources", [source(columns=dict.fromkeys(COLUMNS, "theirs"))]))


def test_the_roles_of_the_corpus_are_those_that_the_world_plays() -> None:
    assert sorted(CORPUS_ROLES) == sorted(ROLES)


@pytest.mark.parametrize(("text", "says"), [
    (b"seed: 1\nppo: {lr: 1, clip: 2}\nseed: 2\n", ":3: the key seed stands twice: keep one of the two"),
    (b"ppo:\n  lr: 1\n  clip: 2\n  lr: 3\n", ":4: the key lr stands twice"),
    (b"policies: {r1: {},\n  r1: {}}\n", ":2: the key r1 stands twice"),
    ("seed: 1\n".encode("utf-16"), " is not UTF-8 (byte 0 is 0xff): save it as UTF-8"),
    ("notice: é\n".encode("latin-1"), " is not UTF-8 (byte 8 is 0xe9): save it as UTF-8"),
    (b"ppo:\n\tlr: 1\n", ":2: not YAML: found character '\\t'"),
    (b"a: b: c\n", ":1: not YAML: mapping values"),
    (b"rounds: {1: {}}\n", ": the key 1 below rounds is no text"),
    (b"rounds: {true: {}}\n", ": the key true below rounds is no text"),
    (b"rounds: {~: {}}\n", ": the key null below rounds is no text"),
    (b"seed: " + b"9" * 5000, " is not YAML: Exceeds the limit"),
    (b"seed: " + b"[" * 5000, " is not YAML: maximum recursion"),
    (b"a: &x [*x]\n", " is not YAML: maximum recursion"),
    (b"- a\n", ": expected a mapping of sections, got list"),
    (b"", ": expected a mapping of sections, got NoneType"),
])  # fmt: skip
@pytest.mark.slow
def test_a_file_that_is_no_params_file_is_one_line(tmp_path: Path, text: bytes, says: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(text)
    with pytest.raises(ParamsError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}{says}")
    assert "\n" not in str(caught.value)


def test_a_file_may_begin_with_a_byte_order_mark_and_write_floats_without_a_point(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text().replace("lr: 1.0e-3}", "lr: 1e-3}")
    assert "1e-3}" in text
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load(path) == load(ROOT / "params.yaml")


@pytest.mark.parametrize(("model", "says"), [
    ("~/qwen", "adoption.base is '~/qwen': ~ is another folder"),
    ("org/name", "adoption.base is org/name: no such folder here, and a model of the Hub wants its commit, org/name@<7 to 40 hex digits>"),
    ("org/name@main", "adoption.base is org/name@main: pin a commit"),
    ("org/name/q4.gguf@v1", "adoption.base is org/name/q4.gguf@v1: pin a commit"),
    ("", "adoption.base is '': a path of printable characters is expected"),
])  # fmt: skip
def test_a_base_that_may_change_is_refused(model: str, says: str) -> None:
    assert refused(adopting(model)).startswith(says)


@pytest.mark.parametrize("model", ["org/name@4f1c2ab", "org/name/q4.gguf@4f1c2ab", "./models/mine", "/mnt/models/q4.gguf", "./a@b/mine"])
def test_a_base_is_a_folder_a_file_or_a_commit_of_the_hub(model: str) -> None:
    line = parse(adopting(model))
    assert "adoption@base" in {stage.title for stage in stages_of(line)}
    assert not {"corpus@base", "pretraining@base"} & {stage.title for stage in stages_of(line)}


def adopting(model: str) -> dict[str, Any]:
    """The laptop line without its world's base."""
    document = copy.deepcopy(LAPTOP) | {"pretraining": {}, "adoption": {"base": model}}
    del document["datasets"]["corpus"]
    return document


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"critik": {"tokens": 5}}, "budget has the key 'critik': expected 'generator', 'critic', "),
        ({"judge": {"tokens": 5}}, "budget.judge: there is no roles.judge, only generator, "),
        ({"critic": {"dollars": 5}}, "budget.critic.dollars is 5: roles.critic has no price: add it, or limit tokens"),
        ({"critic": {}}, "budget.critic: a budget without a limit: write tokens, dollars or both"),
        ({"critic": {"tokens": 0}}, "budget.critic.tokens is 0: input should be greater than 0"),
        ({"critic": {"token": 5}}, "unknown key budget.critic.token, did you mean tokens?"),
    ],
)
def test_a_budget_is_of_a_role_and_dollars_need_its_price(budget: dict[str, Any], message: str) -> None:
    assert refused(changed("budget", budget)).startswith(message)


def test_a_budget_in_tokens_and_dollars() -> None:
    assert parse(LAPTOP).budget == {}
    priced = changed("roles.critic.price", {"input": 1.0, "output": 2.0})
    budget = parse(changed("budget", {"critic": {"tokens": 2_000_000, "dollars": 5}}, priced)).budget["critic"]
    assert (budget.tokens, budget.dollars) == (2_000_000, 5.0)


def test_dtype_is_an_option_of_vllm() -> None:
    assert (
        parse(changed("roles.critic", {"engine": "vllm", "model": "data/models/base", "dtype": "bfloat16"})).roles["critic"].dtype
        == "bfloat16"
    )
    assert "roles.critic.dtype is 'float16': input should be 'float32' or 'bfloat16'" in refused(
        changed("roles.critic", {"engine": "vllm", "model": "data/models/base", "dtype": "float16"})
    )
    assert "dtype is an option of the engine vllm, and this role's is transformers: leave it out" in refused(
        changed("roles.critic.dtype", "bfloat16")
    )


@pytest.mark.parametrize("section", ["restarts", "demonstrations"])
@pytest.mark.parametrize(("window", "says"), [
    ([0.9, 0.1], "{key}: [0.9, 0.1] is no window, expected [low, high] with low ≤ high"),
    ([0.0, 1.5], "{key}.1 is 1.5: input should be less than or equal to 1"), ([-0.1, 1.0], "{key}.0 is -0.1: "),
    ([0.5], "missing key {key}.1"), ([0.1, 0.2, 0.3], "{key} is [0.1, 0.2, 0.3]: "), (0.5, "{key} is 0.5: "),
])  # fmt: skip
def test_a_window_of_pass_rates_rises_within_zero_and_one(section: str, window: object, says: str) -> None:
    key = f"{section}.pass_rate"
    assert refused(changed(key, window)).startswith(says.format(key=key))
    for good in ([0, 1], [0.5, 0.5], [0.1, 0.9]):
        assert getattr(parse(changed(key, good)), section).pass_rate == tuple(good)


@pytest.mark.parametrize(("model", "found"), [
    ("org/name@4f1c2ab", OnHub("org/name", None, "4f1c2ab")), ("org/name/a/q4.GGUF@4f1c2ab", OnHub("org/name", "a/q4.GGUF", "4f1c2ab")),
    ("models/q4.gguf", None), ("models/q4.gguf@4f1c2ab", None), ("org/name/../../q4.gguf@4f1c2ab", None), ("./a@b/mine", None),
    ("/mnt/a/b", None), ("org/name", OnHub("org/name", None, None)),
])  # fmt: skip
def test_what_a_name_means_on_the_hub(model: str, found: OnHub | None) -> None:
    assert on_hub(model) == found


def test_a_folder_that_is_here_is_none_of_the_hubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models/base@v2").mkdir(parents=True)
    assert on_hub("models/base@v2") is None
    assert parse(adopting("models/base@v2")).adoption == {"base": "models/base@v2"}


@pytest.mark.parametrize(("model", "says"), [
    ("data/models/format_tuned", "adoption.base is data/models/format_tuned: the line makes what lies there"),
    ("gpt2@4f1c2ab", "adoption.base is gpt2@4f1c2ab: a model of the Hub is written org/name@commit"),
])  # fmt: skip
def test_a_base_comes_from_elsewhere(model: str, says: str) -> None:
    assert refused(adopting(model)).startswith(says)


def test_both_maps_of_the_graph_are_written() -> None:
    document = adopting("models/q4.gguf")
    del document["pretraining"]
    assert refused(document).startswith("the key pretraining is missing: write `pretraining: {}`")


LARGE = {
    "pretraining.large": {**LAPTOP["pretraining"]["base"], "hidden": 192, "corpus": "corpus_large"},
    "datasets.corpus_large": {"parents": "problems"},
    "distillations.r1.into": "large",
}


def with_large(**changes: object) -> dict[str, Any]:
    document = copy.deepcopy(LAPTOP)
    for key, value in copy.deepcopy(LARGE | changes).items():
        *path, last = key.split(".")
        section = document
        for part in path:
            section = section[part]
        if value is None:
            section.pop(last, None)
        else:
            section[last] = value
    return document


def test_a_round_may_be_distilled_into_another_base() -> None:
    params = parse(with_large())
    made = {stage.title: stage for stage in stages_of(params)}
    assert made["corpus@large"].tables == ("corpus_large",)
    assert {"pretraining@large", "release@corpus_large"} <= set(made)
    assert "large" in set(consistency.models_of(params))


@pytest.mark.parametrize(("changes", "message"), [
    ({"distillations.r1.into": "lage"}, "distillations.r1.into is lage: no such base, did you mean large?"),
    ({"distillations.r1.into": "base"}, "pretraining.large: no distillation goes into it"),
    ({"datasets.corpus_large": None}, "datasets lacks corpus_large, which pretraining.large trains on"),
    ({"pretraining.large.corpus": "corpus"}, "pretraining.large.corpus is corpus: expected corpus_large, each base has its own"),
    ({"pretraining.large.corpus": "problems"}, "pretraining.large.corpus is problems: expected corpus_large"),
    ({"pretraining.base": None}, "pretraining has no base: add pretraining.base"),
    ({"pretraining.large.hidden": 12}, "pretraining.large.hidden is 12: expected an even number"),
])  # fmt: skip
def test_another_base_has_a_corpus_and_somebody_who_is_distilled_into_it(changes: dict[str, Any], message: str) -> None:
    assert message in refused(with_large(**changes))


def test_aliases_of_aliases_are_one_line_and_no_hour(tmp_path: Path) -> None:
    layers = "".join(f"{here}: &{here} [{', '.join(['*' + below] * 9)}]\n" for below, here in itertools.pairwise("abcdefghi"))
    (tmp_path / "params.yaml").write_text("a: &a [x, x, x, x, x, x, x, x, x]\n" + layers, encoding="utf-8")
    with pytest.raises(ParamsError, match=r"params\.yaml says more than 100,000 things: are there aliases"):
        read_yaml(tmp_path / "params.yaml")
