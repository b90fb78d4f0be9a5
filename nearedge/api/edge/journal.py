"""Lines of JSON in a file that stays small: a full one becomes the earlier one, whose place was there before it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

LARGEST = 1 << 20
"""Bytes of the file; with the earlier one it is twice as many on disk."""


class Journal:
    """Numbered lines. Used from several threads."""

    def __init__(self, path: Path, largest: int = LARGEST) -> None:
        """`path` is the file, beside it `path.1` the earlier one; a torn last line, of a crash, is passed over."""
        self.path, self.earlier, self.largest = path, path.with_name(path.name + ".1"), largest
        self.lock = Lock()
        self.last = max((line["number"] for line in self.lines()), default=0)

    def add(self, **line: str | int | float | None) -> int:
        """Append a line and see it on disk; its number. Raises OSError."""
        with self.lock:
            self.last += 1
            short = {key: value[:500] if isinstance(value, str) else value for key, value in line.items()}
            text = json.dumps({"number": self.last, **short}).encode() + b"\n"
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and self.path.stat().st_size + len(text) > self.largest:
                self.path.replace(self.earlier)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(handle, "rb+") as file:
                file.write(whole(file) + text)
                file.flush()
                os.fsync(file.fileno())
            return self.last

    def lines(self) -> list[Mapping[str, Any]]:
        """All lines that are kept, the oldest first. Raises OSError where they cannot be read."""
        found: list[Mapping[str, Any]] = []
        for path in (self.earlier, self.path):
            try:
                content = path.read_bytes()[-2 * self.largest :]
            except FileNotFoundError:
                continue
            found += [line for text in content.splitlines() if (line := of_text(text)) is not None]
        return found


def whole(file: Any) -> bytes:
    """A newline where the file's last line was torn."""
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return b""
    file.seek(end - 1)
    return b"" if file.read(1) == b"\n" else b"\n"


def of_text(text: bytes) -> Mapping[str, Any] | None:
    """One line, None where it is none of ours."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("number"), int) else None
