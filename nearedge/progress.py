"""Progress of anything that takes more than two seconds: a bar on a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

LINE_EVERY_S = 5.0


def say(text: str) -> None:
    """One line for the person or the log that follows this program."""
    print(text, file=sys.stderr, flush=True)


def track(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """Yield `items`, showing how far we are: a bar on a terminal, else a line at most every five seconds."""
    if sys.stderr.isatty():
        from rich.console import Console  # most programs start without a terminal, and this takes a while
        from rich.progress import track as bar

        yield from bar(items, what, total=total, console=Console(stderr=True), transient=True)
        return
    said = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        if time.monotonic() - said > LINE_EVERY_S:
            said = time.monotonic()
            say(f"{what}: {number} of {total}")
