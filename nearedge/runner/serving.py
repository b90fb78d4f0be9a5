"""What `nearedge serve` started on this machine: a small file for each port, in `serving` of NEAREDGE_HOME.

The file stays when the server ends by itself, with how it ended; a person who stops it removes it.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from nearedge.files import write_text

MOST = 64
"""Files that are kept; the oldest go."""
LARGEST = 1 << 16
"""Bytes of one file; ours have some hundred."""


@dataclass(frozen=True)
class Served:
    """One server: where it answers, its log, what it serves, and since when. Times are RFC 3339 in UTC.

    `ended` is empty while it runs; `status` is what it ended with. `before` is how the server ended that was on this
    port before it, empty where that is not known or somebody stopped it.
    """

    url: str
    grpc: str = ""
    log: str = ""
    what: str = ""
    started: str = ""
    ended: str = ""
    status: int | None = None
    before: str = ""

    @property
    def end(self) -> str:
        """How it ended, in words; empty while it runs."""
        return f"ended with status {self.status} at {self.ended}" if self.ended else ""


def home() -> Path:
    """NEAREDGE_HOME, else `.nearedge` of the current folder."""
    return Path(os.environ.get("NEAREDGE_HOME") or ".nearedge").absolute()


def folder() -> Path:
    """Where the files lie."""
    return home() / "serving"


def now() -> str:
    """The time."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def path_of(served: Served, at: Path) -> Path:
    """Its file: one for each port, so that a server started again takes its place."""
    return at / f"{served.url.rpartition(':')[2]}.json"


def began(served: Served, at: Path) -> None:
    """Write down that it runs, and forget the oldest of too many; where that cannot be done, it runs all the same."""
    with contextlib.suppress(OSError):
        earlier = read(path_of(served, at))
        before = earlier.end or earlier.before if earlier else served.before
        write_text(path_of(served, at), json.dumps(asdict(replace(served, before=before)), indent=2) + "\n")
        files = sorted(at.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in files[:-MOST]:
            path.unlink(missing_ok=True)


def ended(served: Served, at: Path, status: int) -> None:
    """Write down that it ended by itself, and how."""
    began(replace(served, ended=now(), status=status), at)


def forgotten(served: Served, at: Path) -> None:
    """Remove its file: somebody stopped it, and misses nothing."""
    with contextlib.suppress(OSError):
        path_of(served, at).unlink(missing_ok=True)


def found(at: Path) -> Iterator[Served]:
    """The servers: those that run first, then by when they were started, the newest first. What is no file of ours is
    passed over.
    """
    all_of_them = [one for path in sorted(at.glob("*.json"))[:MOST] if (one := read(path)) is not None]
    yield from sorted(all_of_them, key=lambda one: (not one.ended, one.started), reverse=True)


def read(path: Path) -> Served | None:
    """One server, None where the file is damaged."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(LARGEST))
        served = Served(**document)
        texts = (served.url, served.grpc, served.log, served.what, served.started, served.ended, served.before)
        return served if all(isinstance(text, str) for text in texts) and of_status(served.status) else None
    except (OSError, ValueError, TypeError):
        return None


def of_status(status: object) -> bool:
    """Whether it is an exit status, or none."""
    return status is None or isinstance(status, int)
