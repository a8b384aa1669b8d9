"""How far a long generation is, how fast, and how long it will take: a bar on a terminal, a plain line every ten seconds elsewhere.

rollouts: 1,280 of 4,000 requests, 13,950 tokens/s, 31 s left
"""

import sys
import time
from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

EVERY = 10.0  # seconds between plain lines; nothing is printed of work that takes less
REFRESH = 0.1  # seconds between two looks at the clock of a bar


class Meter:
    """Without a total it grows as more is asked: an answer may raise further questions."""

    def __init__(self, title: str, total: int | None = None) -> None:
        self.title, self.total, self.done, self.tokens = title, total or 0, 0, 0
        self.known = total is not None
        self.started = self.printed = time.monotonic()
        self.bar: Progress | None = None

    def __enter__(self) -> "Meter":
        if sys.stderr.isatty():
            from rich.console import Console

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
            self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self.task = self.bar.add_task(self.title, total=self.total, rate="")
            self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar:
            self.bar.stop()

    def expect(self, requests: int) -> None:
        self.total += 0 if self.known else requests

    def advance(self, requests: int, tokens: int) -> None:
        self.done, self.tokens = self.done + requests, self.tokens + tokens
        now = time.monotonic()
        if now - self.printed < (REFRESH if self.bar else EVERY):
            return
        self.printed = now
        seconds = max(now - self.started, 1e-6)
        rate = f"{self.tokens / seconds:,.0f} tokens/s" if self.tokens else f"{self.done / seconds:,.0f} requests/s"
        if self.bar:
            text = f"{self.done:,} of {self.total:,} requests, {rate}"
            self.bar.update(self.task, completed=self.done, total=self.total, rate=text)
        else:
            left = seconds / self.done * (self.total - self.done)
            print(f"{self.title}: {self.done:,} of {self.total:,} requests, {rate}, {left:.0f} s left", file=sys.stderr, flush=True)
