"""A stage whose role has used its budget up ends with one line, writes none of its outs, and goes on when there is more."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from factory.schemas import Problem
from factory.storage import REJECTS, TABLES, write_rows

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "tests/factory/engines/fault_server.py"


def stage(name: str, *item: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", f"pipelines.{name}", *item], capture_output=True, text=True, check=False, timeout=300)


def test_a_budget_ends_a_stage_before_it_writes_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACTORY_STORE", str(tmp_path / "store.sqlite"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with Path("recorded.jsonl").open("w", encoding="utf-8") as stream:
        for number in range(3, 23):
            made = {"m0": {"is_correct": True, "solution": f"{number} + 4 = {number + 4}\nA: {number + 4}"}}
            stream.write(json.dumps({"question": f"Ann has {number} and gets 4.", **made}) + "\n")
    rows = [
        Problem(id=f"Ann{number}", source="test", family="none", group="none", split="heldout", instance=str(number),
                problem=f"Ann has {number} and gets 4.", answer=str(number + 4), answer_kind="number",
                solution=f"{number} + 4 = {number + 4}\n\\boxed{{{number + 4}}}")
        for number in range(3, 23)
    ]  # fmt: skip
    write_rows(TABLES / "problems.parquet", Problem, rows)
    server = subprocess.Popen([sys.executable, str(SERVER), "--port", "0", "--delay", "0.01"], stdout=subprocess.PIPE, text=True)
    assert server.stdout
    critic = {"engine": "openai", "model": "m@1", "base_url": f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"}
    document = yaml.safe_load((ROOT / "pipelines/recorded_gsm8k/params.yaml").read_text(encoding="utf-8"))
    document["roles"]["generator"] |= {"model": "recorded.jsonl", "models": ["m0"]}
    document["roles"]["critic"] = critic
    document["demonstrations"]["critics"] = ["llm"]
    document["budget"] = {"critic": {"tokens": 1_000}}
    try:
        Path("params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        assert stage("rollouts", "recorded").returncode == 0
        ended = stage("demonstrations")
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1].startswith("error: demonstrations: the budget of roles.critic is used up: 1,")
        assert "of 1,000 tokens. What was answered is stored: raise budget.critic.tokens and run dvc repro again" in ended.stderr
        assert "Traceback" not in ended.stderr
        names = ("demonstrations", "cot_demonstrations", "critic_judgements")
        tables = [*(TABLES / f"{name}.parquet" for name in names), REJECTS / "demonstrations.parquet"]
        assert not any(path.exists() for path in tables)
        del document["budget"]
        Path("params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        again = stage("demonstrations")
    finally:
        server.kill()
        server.wait()
    assert "used up" not in again.stderr
    assert all(path.exists() for path in tables), again.stderr
    paid = [json.loads(line) for line in Path(".factory/spent.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {(row["stage"], row["role"], row["model"]) for row in paid} == {("demonstrations", "critic", "m@1")}, "recorded answers are free"
    assert stage("demonstrations").returncode == again.returncode
    assert len(Path(".factory/spent.jsonl").read_text(encoding="utf-8").splitlines()) == len(paid), "a warm run pays nothing"
