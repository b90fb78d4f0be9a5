"""Idempotency keys: which run a key stands for, kept in files, so that it holds after a restart of the API too.

As the IETF's draft of the Idempotency-Key header has it: the same key with another content is refused.
"""

import fcntl
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

KEPT_S = 7 * 24 * 3600.0
"""Seconds after which a key is forgotten."""


@dataclass
class Held:
    """A key that is held: nobody else starts a run for it meanwhile."""

    file: IO[str]
    content: str
    run: str
    done: bool

    def write(self, content: str, run: str, *, done: bool) -> None:
        """Say which run the key stands for; `done` once it was started."""
        self.content, self.run, self.done = content, run, done
        self.file.seek(0)
        self.file.truncate()
        json.dump({"content": content, "run": run, "done": done}, self.file)
        self.file.flush()


def path_of(folder: Path, key: str) -> Path:
    """Where a key's file lies; its text may be anything."""
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json"


@contextmanager
def held(folder: Path, key: str) -> Iterator[Held]:
    """Hold a key, as long as it takes: the second of two requests at a time waits for the first."""
    folder.mkdir(parents=True, exist_ok=True)
    with path_of(folder, key).open("a+", encoding="utf-8") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        file.seek(0)
        try:
            found = json.loads(file.read())
            yield Held(file, str(found["content"]), str(found["run"]), bool(found["done"]))
        except (ValueError, KeyError, TypeError):  # new, or its writer was killed
            yield Held(file, "", "", done=False)


def forget_old(folder: Path, kept_s: float = KEPT_S) -> None:
    """Remove keys that are older than `kept_s` seconds."""
    for path in folder.glob("*.json"):
        if path.stat().st_mtime < time.time() - kept_s:
            path.unlink(missing_ok=True)
