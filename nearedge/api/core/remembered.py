"""What was answered to a request with an Idempotency-Key, so that the same one again is not done again."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from nearedge.api.problems import conflict
from nearedge.files import write_text

MOST = 1000
"""Answers that are kept; the oldest go."""
LONGEST_KEY = 255


@dataclass(frozen=True)
class Remembered:
    """Answers in files of `folder`, which outlive the process."""

    folder: Path

    def path(self, who: str, key: str) -> Path:
        """Where the answer to a key of somebody lies."""
        return self.folder / f"{hashlib.sha256(json.dumps([who, key]).encode()).hexdigest()}.json"

    def find(self, who: str, key: str, request: str) -> str | None:
        """The answer's JSON, None for none yet. Raises ProblemError 409 where the key was another request's."""
        found = self.read(who, key)
        if found is None:
            return None
        if found.request != digest(request):
            raise conflict("Idempotency-Key: was sent with another request before; take a new key for a new request")
        return found.answer

    def read(self, who: str, key: str) -> "Answer | None":
        """What was answered to whatever request had the key; None for nothing, or for what cannot be read."""
        try:
            return Answer.model_validate_json(self.path(who, key).read_bytes())
        except (OSError, ValidationError):
            return None

    def keep(self, who: str, key: str, request: str, answer: str) -> None:
        """Keep the answer to a request."""
        document = Answer(request=digest(request), answer=answer)
        write_text(self.path(who, key), document.model_dump_json())
        with suppress(OSError):  # what is done is done: that nothing was cleared away makes it no failure
            there = sorted(self.folder.glob("*.json"), key=age)
            for path in there[: max(0, len(there) - MOST)]:
                path.unlink(missing_ok=True)


class Answer(BaseModel):
    """One file: the digest of the request, and the answer's JSON."""

    request: str
    answer: str


def age(path: Path) -> int:
    """When a file was written, in ns; 0 for one that somebody removed meanwhile."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def digest(request: str) -> str:
    """What tells requests apart."""
    return hashlib.sha256(request.encode()).hexdigest()
