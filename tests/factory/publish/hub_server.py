"""A Hub on localhost: repositories with commits, large files by their content, faults on demand. A real threaded HTTP server.

    with HubServer(folder) as hub:                                   # in a test: threads of its own; state lies in `folder`
        hub.faults.append(Fault("POST", "/commit/", status=503))     # the next request like this fails, then all is as usual
    python tests/factory/publish/hub_server.py FOLDER --slow 0.5     # a process of its own: prints its port

What it speaks of the Hub's protocol (huggingface_hub 2.4, HF_HUB_DISABLE_XET=1): whoami-v2, repos/create, validate-yaml, info of a
revision, tree, paths-info, refs, branch, preupload, git-LFS batch with upload and verify, commit, resolve with ranges. A commit whose large
file never arrived is refused, as is one onto another parent than the head.
"""

import argparse
import base64
import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".parquet", ".safetensors", ".bin", ".duckdb", ".arrow")
TOKEN = "hf_" + "x" * 34


@dataclass
class Fault:
    """What the next `times` requests of this method whose path holds `part` get. `lost`: the request is done and its answer cut off."""

    method: str
    part: str
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    lost: bool = False
    after: int = 0  # matching requests that pass first


@dataclass
class Repo:
    kind: str
    private: bool
    commits: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)  # commit → path → {oid, size, lfs}
    branches: dict[str, str] = field(default_factory=dict)


class HubServer:
    """`log`: (method, path) of every request; `received`: SHA-256 of every large file, once each time its bytes came."""

    def __init__(self, folder: Path, slow: float = 0.0, port: int = 0) -> None:
        self.blobs = folder / "blobs"
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.repos: dict[str, Repo] = {}
        self.log: list[tuple[str, str]] = []
        self.received: list[str] = []
        self.authorizations: set[str] = set()
        self.faults: list[Fault] = []
        self.lock = threading.Lock()
        self.slow = slow
        self._http = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def serve(self) -> None:
        self._http.serve_forever()

    # -- state
    def keep(self, content: bytes) -> str:
        """Stores a large file's bytes under their SHA-256."""
        key = hashlib.sha256(content).hexdigest()
        (self.blobs / key).write_bytes(content)
        return key

    def files(self, name: str, revision: str = "main") -> dict[str, dict[str, Any]]:
        repo = self.repos[name]
        return repo.commits[repo.branches.get(revision, revision)]

    def commits(self, name: str) -> int:
        """Commits after the first, which creates the repository."""
        return len(self.repos[name].commits) - 1

    def content(self, entry: dict[str, Any]) -> bytes:
        return (self.blobs / entry["sha256"]).read_bytes()

    def create(self, name: str, kind: str, private: bool) -> None:
        self.repos[name] = Repo(kind, private)
        entry = self.entry(b"*.parquet filter=lfs diff=lfs merge=lfs -text\n", large=False)
        self.advance(self.repos[name], "main", {".gitattributes": entry})

    def advance(self, repo: Repo, branch: str, files: dict[str, dict[str, Any]]) -> str:
        state = json.dumps([repo.branches.get(branch), len(repo.commits), files], sort_keys=True)
        commit = hashlib.sha1(state.encode(), usedforsecurity=False).hexdigest()
        repo.commits[commit] = files
        repo.branches[branch] = commit
        return commit

    def entry(self, content: bytes, *, large: bool) -> dict[str, Any]:
        key = self.keep(content)
        return {"sha256": key, "size": len(content), "large": large, "oid": _git_oid(content)}


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        server_hub = hub

    return Handler


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    server_hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        hub = self.server_hub
        body = self._body()
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        with hub.lock:
            hub.log.append((method, path))
            hub.authorizations.add(self.headers.get("Authorization", ""))
            fault = self._fault(method, path)
        if fault and not fault.lost:
            return self._send(fault.status, b'{"error": "on demand"}', fault.headers)
        if method == "PUT" and hub.slow:
            time.sleep(hub.slow)
        try:
            with hub.lock:
                status, answer, headers = self._route(method, path, parse_qs(parts.query), body)
        except Refused as error:
            text = json.dumps({"error": error.message}).encode()
            status, answer, headers = error.status, text, {"X-Error-Code": error.code, "X-Error-Message": error.message}
        if fault:
            self.close_connection = True
            return self.connection.close()
        self._send(status, answer, headers)

    def _fault(self, method: str, path: str) -> Fault | None:
        for fault in self.server_hub.faults:
            if fault.method == method and fault.part in path and fault.times > 0:
                if fault.after > 0:
                    fault.after -= 1
                    return None
                fault.times -= 1
                return fault
        return None

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        wanted = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(wanted)
        if len(body) < wanted:
            raise ConnectionError("the sender died")
        return body

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    # -- routes: (status, body, headers)
    def _route(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if path.startswith("/lfs/"):
            return self._lfs(method, path, body)
        if path.endswith("/info/lfs/objects/batch"):
            return self._batch(json.loads(body))
        if found := re.fullmatch(r"/(datasets/)?([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve("dataset" if found[1] else "model", found[2], found[3], found[4])
        if path.startswith("/api/"):
            answer = self._api(method, path.removeprefix("/api/"), query, body)
            return 200, json.dumps(answer).encode(), {"Content-Type": "application/json"}
        raise Refused(404, "EntryNotFound", f"no such page: {path}")

    def _api(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> Any:
        hub = self.server_hub
        if path == "whoami-v2":
            return {"type": "user", "name": "org", "orgs": [{"name": "org"}], "auth": {"accessToken": {"role": "write"}}}
        if path == "validate-yaml":
            return {"errors": [], "warnings": []}
        if path == "repos/create":
            self._writes()
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if name in hub.repos:
                raise Refused(409, "RepoExists", f"{name} exists already")
            hub.create(name, asked.get("type", "model"), asked.get("visibility") == "private" or bool(asked.get("private")))
            return {"url": f"{hub.url}/{asked.get('type', 'model')}s/{name}", "name": name, "id": name}
        found = re.fullmatch(r"(dataset|model)s/([\w.-]+/[\w.-]+)(?:/([\w-]+)(?:/([^/]+)(?:/(.*))?)?)?", path)
        if not found or (repo := hub.repos.get(found[2])) is None or repo.kind != found[1]:
            raise Refused(404, "RepoNotFound", "Repository not found")
        if repo.private:
            self._writes()
        name, action, revision, rest = found[2], found[3], found[4] or "main", found[5] or ""
        if action in (None, "revision"):
            return self._info(name, repo, self._commit_of(repo, revision))
        if action == "refs":
            refs = [{"name": key, "ref": f"refs/heads/{key}", "targetCommit": commit} for key, commit in repo.branches.items()]
            return {"branches": refs, "tags": [], "converts": []}
        if action == "branch":
            self._writes()
            return self._branch(repo, revision, json.loads(body or b"{}"))
        commit = self._commit_of(repo, revision)
        if action == "tree":
            return self._tree(repo.commits[commit], rest, recursive=query.get("recursive", ["false"])[0].lower() in ("true", "1"))
        if action == "paths-info":
            return self._paths(repo.commits[commit], parse_qs(body.decode())["paths"])
        self._writes()
        if action == "preupload":
            return {"files": [self._mode(repo.commits[commit], file) for file in json.loads(body)["files"]]}
        if action == "commit":
            return self._make(name, repo, revision, [json.loads(line) for line in body.splitlines()])
        raise Refused(404, "EntryNotFound", f"no such action: {action}")

    def _writes(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refused(401, "Unauthorized", "Invalid credentials")

    @staticmethod
    def _commit_of(repo: Repo, revision: str) -> str:
        commit = repo.branches.get(revision, revision)
        if commit not in repo.commits:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _info(self, name: str, repo: Repo, commit: str) -> dict[str, Any]:
        files = [{"rfilename": path} for path in sorted(repo.commits[commit])]
        return {"_id": "1", "id": name, "sha": commit, "private": repo.private, "tags": [], "downloads": 0, "likes": 0, "siblings": files}

    def _branch(self, repo: Repo, branch: str, asked: dict[str, Any]) -> dict[str, Any]:
        if branch in repo.branches:
            raise Refused(409, "BranchExists", "Reference already exists")
        repo.branches[branch] = self._commit_of(repo, asked.get("startingPoint", "main"))
        return {}

    @staticmethod
    def _mode(files: dict[str, dict[str, Any]], file: dict[str, Any]) -> dict[str, Any]:
        known = files.get(file["path"])
        oid = None if known is None else known["sha256"] if known["large"] else known["oid"]
        mode = "lfs" if file["path"].endswith(LARGE) or file["size"] > 10_000_000 else "regular"
        return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    @staticmethod
    def _listed(path: str, entry: dict[str, Any]) -> dict[str, Any]:
        lfs = {"lfs": {"oid": entry["sha256"], "size": entry["size"], "pointerSize": 130}} if entry["large"] else {}
        return {"type": "file", "path": path, "size": entry["size"], "oid": entry["oid"], **lfs}

    def _tree(self, files: dict[str, dict[str, Any]], under: str, recursive: bool) -> list[dict[str, Any]]:
        prefix = f"{under}/" if under else ""
        folders, found = set(), []
        for path, entry in sorted(files.items()):
            if not path.startswith(prefix):
                continue
            inner = path.removeprefix(prefix).split("/")
            above = ["/".join(inner[:depth]) for depth in range(1, len(inner))]
            folders.update(prefix + folder for folder in (above if recursive else above[:1]))
            if recursive or len(inner) == 1:
                found.append(self._listed(path, entry))
        if under and not found and not folders:
            raise Refused(404, "EntryNotFound", f"{under} does not exist")
        return [{"type": "directory", "path": folder, "size": 0, "oid": "0" * 40} for folder in sorted(folders)] + found

    def _paths(self, files: dict[str, dict[str, Any]], paths: list[str]) -> list[dict[str, Any]]:
        found = []
        for path in paths:
            if path in files:
                found.append(self._listed(path, files[path]))
            elif any(name.startswith(f"{path}/") for name in files):
                found.append({"type": "directory", "path": path, "size": 0, "oid": "0" * 40})
        return found

    def _make(self, name: str, repo: Repo, branch: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
        head = lines[0]["value"]
        if head.get("parentCommit") not in (None, repo.branches.get(branch)):
            raise Refused(412, "Conflict", "A commit has happened since. Please refresh and try again.")
        files = dict(repo.commits[self._commit_of(repo, branch)])
        for line in lines[1:]:
            kind, value = line["key"], line["value"]
            if kind == "file":
                files[value["path"]] = self.server_hub.entry(base64.b64decode(value["content"]), large=False)
            elif kind == "lfsFile":
                blob = self.server_hub.blobs / value["oid"]
                if not blob.exists():
                    raise Refused(400, "BadRequest", f"LFS pointer to {value['oid']}, which does not exist")
                files[value["path"]] = {**self.server_hub.entry(blob.read_bytes(), large=True)}
            elif kind == "deletedFile":
                del files[value["path"]]
            else:
                raise Refused(400, "BadRequest", f"unknown key {kind}")
        commit = self.server_hub.advance(repo, branch, files)
        return {"success": True, "commitOid": commit, "commitUrl": f"{self.server_hub.url}/{repo.kind}s/{name}/commit/{commit}"}

    def _batch(self, asked: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        self._writes()
        objects = []
        for item in asked["objects"]:
            if not (self.server_hub.blobs / item["oid"]).exists():
                upload = {"href": f"{self.server_hub.url}/lfs/{item['oid']}?X-Amz-Signature=secret-of-the-address"}
                verify = {"href": f"{self.server_hub.url}/lfs/verify"}
                item = {**item, "actions": {"upload": upload, "verify": verify}}
            objects.append(item)
        return 200, json.dumps({"transfer": "basic", "objects": objects}).encode(), {"Content-Type": "application/vnd.git-lfs+json"}

    def _lfs(self, method: str, path: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        if method == "POST":
            asked = json.loads(body)
            there = self.server_hub.blobs / asked["oid"]
            ok = there.exists() and there.stat().st_size == asked["size"]
            return (200 if ok else 404), b"{}", {}
        if hashlib.sha256(body).hexdigest() != path.rsplit("/", 1)[-1]:
            raise Refused(400, "BadRequest", "these bytes have another hash")
        self.server_hub.received.append(self.server_hub.keep(body))
        return 200, b"", {}

    def _resolve(self, kind: str, name: str, revision: str, path: str) -> tuple[int, bytes, dict[str, str]]:
        repo = self.server_hub.repos.get(name)
        if repo is None or repo.kind != kind:
            raise Refused(404, "RepoNotFound", "Repository not found")
        commit = self._commit_of(repo, revision)
        entry = repo.commits[commit].get(path)
        if entry is None:
            raise Refused(404, "EntryNotFound", f"{path} does not exist")
        content = self.server_hub.content(entry)
        etag = entry["sha256"] if entry["large"] else entry["oid"]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{etag}"', "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        if entry["large"]:
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(entry["size"])}
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(wanted[1]), int(wanted[2] or len(content) - 1)
            part = content[start : end + 1]
            return 206, part, {**headers, "Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(content)}"}
        return 200, content, headers


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--slow", type=float, default=0.0)
    given = parser.parse_args()
    server = HubServer(given.folder, given.slow)
    print(server.url, flush=True)
    server.serve()


if __name__ == "__main__":
    main()
