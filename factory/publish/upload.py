"""Compare with a Hub, send what it lacks, commit once.

    remote = Remote("org/name", "dataset", revision="main")
    plan = remote.compare(items)           → Plan(changes=(Change("README.md", "new", 9_120), …), head="3f0a…")
    remote.send(items, plan, "…", False)   → "8c1d…", the commit

Files are stored by their content before anything names them, so that a killed upload goes on where it stopped; the one commit comes last,
and only onto the head that was compared with. Who asks: HF_TOKEN or `hf auth login`; which Hub: HF_ENDPOINT.
"""

import contextlib
import hashlib
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from factory.errors import EngineError
from factory.lock import hidden
from factory.publish.bundle import OURS, Item

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # seconds before a request is sent again
PASSING = (408, 429, 500, 502, 503, 504)
State = Literal["new", "changed", "same", "gone", "unknown"]
T = TypeVar("T")


@dataclass(frozen=True)
class Change:
    path: str
    state: State
    size: int


@dataclass(frozen=True)
class Plan:
    """`head`: the commit compared with, "" where there is none yet. `branch`: whether the revision exists."""

    changes: tuple[Change, ...]
    head: str
    branch: bool

    @property
    def sent(self) -> list[Change]:
        return [change for change in self.changes if change.state in ("new", "changed", "unknown")]

    @property
    def gone(self) -> list[Change]:
        return [change for change in self.changes if change.state == "gone"]


def unknown(items: Sequence[Item]) -> Plan:
    """What would be sent where the Hub cannot be asked."""
    return Plan(tuple(Change(item.path, "unknown", item.size) for item in items), "", False)


class Remote:
    """One repository at a branch. `kind`: dataset or model."""

    def __init__(self, repo: str, kind: Literal["dataset", "model"], revision: str, *, patient: bool = True) -> None:
        """`patient`: whether a Hub that does not answer is waited for."""
        from huggingface_hub import HfApi

        self.waits = WAITS if patient else ()
        self.repo, self.kind, self.revision = repo, kind, revision
        self.api = HfApi()

    @property
    def endpoint(self) -> str:
        """The Hub's address, without a password in it."""
        return str(hidden(self.api.endpoint)).rstrip("/")

    def private(self) -> bool | None:
        """None where the repository does not exist. Raises EngineError when the Hub does not answer."""
        from huggingface_hub.errors import RepositoryNotFoundError

        with self._explained():
            try:
                return bool(self._patiently(lambda: self.api.repo_info(self.repo, repo_type=self.kind)).private)
            except RepositoryNotFoundError:
                return None

    def compare(self, items: Sequence[Item]) -> Plan:
        """By content, with the branch where it exists, else with main, from which it will start."""
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        branch, head, there = True, "", dict[str, Any]()
        with self._explained():
            try:
                try:
                    head, there = self._tree(self.revision)
                except RevisionNotFoundError:
                    branch = False
                    head, there = self._tree("main")
            except (RepositoryNotFoundError, RevisionNotFoundError):
                branch = False
        changes = [Change(item.path, _state(item, there.get(item.path)), item.size) for item in items]
        sent = {item.path for item in items}
        ours = OURS if self.kind == "dataset" else ()
        changes += [Change(path, "gone", file.size) for path, file in there.items() if path not in sent and path.startswith(ours)]
        return Plan(tuple(sorted(changes, key=lambda change: change.path)), head, branch)

    def _tree(self, revision: str) -> tuple[str, dict[str, Any]]:
        """The commit that a revision is at, and its files by path."""
        from huggingface_hub.hf_api import RepoFile

        head = str(self._patiently(lambda: self.api.repo_info(self.repo, repo_type=self.kind, revision=revision)).sha)
        entries = self._patiently(lambda: list(self.api.list_repo_tree(self.repo, repo_type=self.kind, revision=head, recursive=True)))
        return head, {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}

    def create(self, private: bool) -> None:
        with self._explained():
            self._patiently(lambda: self.api.create_repo(self.repo, repo_type=self.kind, private=private, exist_ok=True))

    def send(self, items: Sequence[Item], plan: Plan, message: str) -> str:
        """The commit that holds exactly `items`, the head where nothing differs. Raises EngineError; what arrived is not sent again."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        if plan.head and plan.branch and not plan.sent and not plan.gone:
            return plan.head
        wanted = {change.path for change in plan.sent}
        with self._explained():
            head = plan.head or str(self._patiently(lambda: self.api.repo_info(self.repo, repo_type=self.kind)).sha)
            base = self.revision if plan.branch else "main"
            additions = [CommitOperationAdd(item.path, item.file or item.content) for item in items if item.path in wanted]
            once = {item.sha256 or item.path: op for item, op in zip((item for item in items if item.path in wanted), additions)}
            for part in (list(once.values()), additions):  # files of one content are sent once: the second time it is there
                self._preupload(part, base)
            if not plan.branch and self.revision != "main":
                self._patiently(lambda: self._branch(head))
            operations = [*additions, *(CommitOperationDelete(change.path) for change in plan.gone)]
            return self._commit(operations, items, head, message) if operations else head

    def _preupload(self, additions: list[Any], base: str) -> None:
        def attempt() -> None:
            self.api.preupload_lfs_files(self.repo, additions, repo_type=self.kind, revision=base, free_memory=False)

        self._patiently(attempt)

    def _branch(self, head: str) -> None:
        self.api.create_branch(self.repo, repo_type=self.kind, branch=self.revision, revision=head, exist_ok=True)

    def _commit(self, operations: list[Any], items: Sequence[Item], head: str, message: str) -> str:
        """Onto `head` alone. An answer that is lost may be of a commit that was made: then the branch holds what was sent."""

        def attempt() -> str:
            try:
                made = self.api.create_commit(
                    self.repo, operations, commit_message=message, repo_type=self.kind, revision=self.revision, parent_commit=head
                )
                return str(made.oid)
            except self._errors():
                now = self.compare(items)
                if now.head != head and now.branch and not now.sent and not now.gone:
                    return now.head
                raise

        return self._patiently(attempt)

    def _errors(self) -> tuple[type[Exception], ...]:
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError

        return (HfHubHTTPError, httpx2.HTTPError)

    def _failures(self) -> tuple[type[Exception], ...]:
        """Those, and what an upload makes of them on its way."""
        return (*self._errors(), RuntimeError, OSError, ValueError)

    def _patiently(self, call: Callable[[], T]) -> T:
        """Again after a wait while the Hub is busy (429), failing (5xx) or cut off; for as long as a 429 says, at most a minute."""
        for wait in (*self.waits, None):
            try:
                return call()
            except self._errors() as error:
                response = getattr(error, "response", None)
                if wait is None or (response is not None and response.status_code not in PASSING):
                    raise
                after = str(response.headers.get("retry-after", "")) if response is not None else ""
                time.sleep(min(60.0, max(wait, float(after) if after.isdigit() else 0.0)))
        raise AssertionError("the last attempt returns or raises")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Every failure of the Hub or the way to it as one line, without what a signed address or a header holds."""
        from huggingface_hub import get_token
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

        try:
            with _quietly():
                yield
        except LocalTokenNotFoundError:
            raise EngineError(f"{self.repo}: no token: set HF_TOKEN or run `hf auth login`") from None
        except HFValidationError as error:
            raise EngineError(f"{self.repo}: {str(error).splitlines()[0]}") from None
        except self._failures() as error:
            status = error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else 0
            cause = error.__cause__ if error.__cause__ is not None else error
            said = re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]*", r"\1", (str(cause).strip().splitlines() or [type(cause).__name__])[0])
            if token := get_token():
                said = said.replace(token, "…")
            remedy = {
                401: "set HF_TOKEN to a token that may write, or run `hf auth login`", 403: "this token may not write there",
                412: "somebody committed meanwhile; run it again", 429: "the Hub asks to wait; run it again later",
            }.get(status, "run it again: what arrived is not sent twice")  # fmt: skip
            raise EngineError(f"{self.repo} at {self.endpoint}: {said[:200]}; {remedy}") from None


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Bars on a terminal alone, and no warnings of requests that are sent again: they show signed addresses."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars, logging

    before, level = are_progress_bars_disabled(), logging.get_verbosity()
    if not sys.stderr.isatty():
        disable_progress_bars()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if not before:
            enable_progress_bars()


def _state(item: Item, there: Any) -> State:
    if there is None:
        return "new"
    if there.size != item.size:
        return "changed"
    if there.lfs is not None:
        return "same" if there.lfs.sha256 == (item.sha256 or _hash(item, "sha256")) else "changed"
    return "same" if there.blob_id == _hash(item, "sha1", f"blob {item.size}\0".encode()) else "changed"


def _hash(item: Item, kind: str, head: bytes = b"") -> str:
    total = hashlib.new(kind, head, usedforsecurity=False)
    if item.file is None:
        total.update(item.content)
        return total.hexdigest()
    with item.file.open("rb") as stream:
        while block := stream.read(1 << 20):
            total.update(block)
    return total.hexdigest()
