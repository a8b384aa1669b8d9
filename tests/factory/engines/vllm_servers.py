"""Real vLLM servers. All are forked from one process that has imported vLLM, which takes longer than a tiny model takes to load and answer.

with running({"bytes": ["--model", "folder"]}, logs) as urls: …          # logs/bytes: what that server says
python vllm_servers.py '[["logs/bytes", ["--model", "folder", …]]]'     # that process
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

OWN = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
SMALL = ["--served-model-name", "tiny", "--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager", "--max-num-seqs", "32"]
PATIENCE = 500  # seconds in which all of them are ready


@contextmanager
def running(options: Mapping[str, Sequence[str]], logs: Path) -> Iterator[dict[str, str]]:
    """A server for each list of options, side by side → the address of each. AssertionError with what one says that does not come."""
    with socket_per(options) as ports:
        jobs = [[str(logs / name), [*words, *SMALL, "--port", str(ports[name])]] for name, words in options.items()]
    parent = subprocess.Popen([sys.executable, __file__, json.dumps(jobs)], env=os.environ | OWN, cwd=logs, start_new_session=True)
    try:
        urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        for name, url in urls.items():
            assert healthy(url, parent), f"no server at {url}: {(logs / name).read_text(encoding='utf-8')[-2000:]}"
        yield urls
    finally:
        os.killpg(parent.pid, signal.SIGTERM)
        try:
            parent.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(parent.pid, signal.SIGKILL)
            parent.wait()


@contextmanager
def socket_per(names: Mapping[str, object]) -> Iterator[dict[str, int]]:
    """Ports that are free, no two alike."""
    held = {name: socket.create_server(("127.0.0.1", 0)) for name in names}
    yield {name: one.getsockname()[1] for name, one in held.items()}
    for one in held.values():
        one.close()


def healthy(url: str, parent: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and parent.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return True
        except OSError:
            time.sleep(0.3)
    return False


def main(jobs: list[tuple[str, list[str]]]) -> None:
    """vLLM spawns the process of its engine on a CPU, which would import all anew: here it is forked too."""
    import multiprocessing

    import vllm.v1.engine.async_llm  # noqa: F401 (what the forked ones need)
    import vllm.v1.worker.cpu_worker  # noqa: F401
    from vllm.entrypoints.launchers.api_server import entry

    plain = multiprocessing.get_context
    multiprocessing.get_context = lambda method=None: plain("fork")  # type: ignore[assignment]
    started = []
    for log, options in jobs:
        if child := os.fork():
            started.append(child)
            continue
        said = os.open(log, os.O_WRONLY | os.O_CREAT)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.argv = ["vllm", *options]
        try:
            entry.main()
        finally:
            os._exit(1)
    signal.signal(signal.SIGTERM, lambda *_: None)  # the servers get it too, and this process ends with them
    for child in started:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
