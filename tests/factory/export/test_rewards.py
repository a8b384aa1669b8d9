"""The files beside the data, loaded as each trainer loads them: by path."""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from datasets import load_dataset

RIGHT, WRONG, SILENT = "2 + 7 = 9\n\\boxed{9}", "\\boxed{8}", "I do not know."


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"reward_{abs(hash(path))}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_trl_s_function_grades_texts_and_turns(exported: Callable) -> None:
    module = loaded(exported("restarts_r2", "trl")[0] / "reward.py")
    told = {"answer": ["9"] * 3, "answer_kind": ["number"] * 3, "decimals": [None] * 3, "prompts": ["p"] * 3}
    assert module.reward_func(completions=[RIGHT, WRONG, SILENT], **told) == [1.0, 0.0, 0.0]
    turns = [[{"role": "assistant", "content": text}] for text in (RIGHT, WRONG, SILENT)]
    assert module.reward_func(completions=turns, **told) == [1.0, 0.0, 0.0]


@pytest.mark.slow
def test_verl_s_function_reads_a_row_as_verl_passes_it(exported: Callable) -> None:
    out, _ = exported("restarts_r2", "verl")
    row = load_dataset("parquet", data_files=str(out / "train.parquet"))["train"][0]
    given = {"data_source": row["data_source"], "ground_truth": row["reward_model"]["ground_truth"], "extra_info": row["extra_info"]}
    score = loaded(out / "reward.py").compute_score
    right = score(solution_str=f"\\boxed{{{given['ground_truth']}}}", **given)
    assert right == {"score": 1.0, "acc": 1.0, "unparsable": 0.0, "timeout": 0.0}
    assert score(solution_str=SILENT, **given) == {"score": 0.0, "acc": 0.0, "unparsable": 1.0, "timeout": 0.0}


@pytest.mark.slow
def test_openrlhf_s_function_grades_what_stands_behind_the_prompt(exported: Callable) -> None:
    module = loaded(exported("restarts_r2", "openrlhf")[0] / "reward.py")
    prompt = "Tom has 2 apples. He buys 7 more.\nSolve:\nTry it.\n\\boxed{9}\n<|reflect|>"  # a right answer in the prefix earns nothing
    label = json.dumps({"answer": "9", "answer_kind": "number", "decimals": None})
    found = module.reward_func([prompt + RIGHT, prompt + WRONG, prompt + SILENT], [prompt] * 3, [label] * 3)
    assert found["rewards"].tolist() == found["scores"].tolist() == [1.0, 0.0, 0.0]
    assert found["extra_logs"]["unparsable"].tolist() == [0.0, 0.0, 1.0]


@pytest.mark.slow
def test_openrlhf_s_prompt_may_be_cut_from_the_left_and_never_be_graded(exported: Callable) -> None:
    response = loaded(exported("restarts_r2", "openrlhf")[0] / "reward.py").response
    prompt = " ".join(map(str, range(300)))
    assert response(prompt[50:] + " more", prompt) == " more"
    with pytest.raises(ValueError, match="the query does not hold the end of its prompt"):
        response("something else", prompt)


@pytest.mark.slow
def test_verifiers_package_scores_and_loads_rows_with_and_without_prefixes(exported: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = exported("restarts_r1", "verifiers")
    module = loaded(out / "coat_restarts_r1" / "__init__.py")
    assert (len(list(module.rows(prefixed=True))), len(list(module.rows(prefixed=False)))) == (12, 0)
    info = {"answer_kind": "number", "decimals": None}
    assert (module.score(RIGHT, "9", info), module.score(WRONG, "9", info), module.score(SILENT, "9", info)) == (1.0, 0.0, 0.0)


def test_verifiers_itself_loads_the_taskset(exported: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    vf = pytest.importorskip("verifiers.v1", reason="verifiers is not installed")
    import asyncio

    out, _ = exported("restarts_r1", "verifiers")
    monkeypatch.syspath_prepend(str(out))
    from verifiers.v1.utils.loaders import taskset_class

    taskset = taskset_class("coat-restarts-r1")(vf.TasksetConfig(id="coat-restarts-r1"))
    assert list(taskset) == []
    module = sys.modules["coat_restarts_r1"]
    tasks = list(module.CoatRestartsR1Taskset(module.CoatRestartsR1Config(id="coat-restarts-r1", prefixed=True)))
    assert len(tasks) == 12
    answer = type("Answered", (), {"last_reply": f"\\boxed{{{tasks[0].data.answer}}}"})()
    assert asyncio.run(tasks[0].correct(answer)) == 1.0


def test_rules_and_limits_are_the_line_s(exported: Callable) -> None:
    params = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(params.replace("rules: [box]", "rules: [box, hash]"), encoding="utf-8")
    module = loaded(exported("restarts_r2", "trl")[0] / "reward.py")
    assert module.GRADER.rules == ("box", "hash")
