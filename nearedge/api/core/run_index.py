"""All runs by name, kept in step with the folder they lie in without reading each of them each time.

A run's document is written by rename, which changes its folder's time; so one look at the folders says which runs to
read again. A run that goes on is looked at each time: its process may be gone.
"""

import os
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from nearedge.api.core import run_documents, run_files
from nearedge.api.core.engine import Change
from nearedge.api.core.models import ENDED, RunSummary
from nearedge.runner import store
from nearedge.runner.store import RunFolder

FRESH_S = 0.4
"""Seconds for which a look at the folder holds."""
SETTLED_NS = 100_000_000
"""A folder changed less long ago is read again next time: two changes can have one time."""
OVERLAP_NS = 5_000_000_000
"""A watcher who saw changes of an earlier process of ours gets some of them again rather than too few."""
REMEMBERED = 4096
"""Latest changes, and deletions, that are kept for watchers."""
Numbered = tuple[int, Literal["changed", "deleted"], RunSummary]
NINES = str.maketrans("0123456789", "9876543210")


@dataclass(frozen=True, slots=True)
class Entry:
    """One run: its folder's time in ns when it was read, whether it may be another by now, its last change."""

    changed_ns: int
    settled: bool
    number: int
    content: str
    summary: RunSummary


@dataclass
class RunIndex:
    """The runs below `root`. Its methods are for threads."""

    root: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    ordered: list[RunSummary] | None = None
    recent: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    deleted: deque[tuple[int, RunSummary]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    last: int = field(default_factory=time.time_ns)
    looked_s: float = 0.0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        """Changes that are seen from now on have higher numbers than those seen by an earlier process."""
        self.began = self.last

    def place(self, after: str) -> int:
        """The number behind which a watcher wants to hear: of now, or what it saw last."""
        if not after.isdecimal() or len(after) > 20:
            return self.last if self.looked_s else self.began - SETTLED_NS
        return int(after) if int(after) >= self.began else int(after) - OVERLAP_NS

    def look(self, *, now: bool = False) -> None:
        """See what changed, unless somebody just did."""
        with self.lock:
            if not now and self.looked_s and time.monotonic() - self.looked_s < FRESH_S:
                return
            found = self.folders()
            for name in self.entries.keys() - found.keys():
                self.forget(name)
            for name, changed_ns in found.items():
                self.update(name, changed_ns)
            self.looked_s = time.monotonic()

    def folders(self) -> dict[str, int]:
        """The folders of runs with their times in ns."""
        found: dict[str, int] = {}
        try:
            with os.scandir(self.root) as entries:
                for entry in entries:
                    if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                        found[entry.name] = entry.stat(follow_symlinks=False).st_mtime_ns
        except FileNotFoundError:
            return {}
        return found

    def update(self, name: str, changed_ns: int) -> None:
        """Read a run again where it may have changed."""
        before = self.entries.get(name)
        if before is not None and before.settled and before.changed_ns == changed_ns:
            return
        summary = self.read(name)
        if summary is None:
            self.forget(name)
            return
        settled = summary.state in ENDED and time.time_ns() - changed_ns > SETTLED_NS
        if before is not None and before.changed_ns == changed_ns and before.summary == summary:
            self.entries[name] = replace(before, settled=settled)
            return
        number = self.numbered(name, changed_ns)
        self.entries[name] = Entry(changed_ns, settled, number, self.content(name), summary)
        self.ordered = None

    def numbered(self, name: str, changed_ns: int) -> int:
        """A number for a change: the time it happened, or the next after the last one given."""
        first = not self.looked_s
        if first:
            return changed_ns
        self.last = max(changed_ns, self.last + 1)
        self.recent.append((self.last, name))
        return self.last

    def read(self, name: str) -> RunSummary | None:
        """The run as it is now; None for a folder that holds none, or a damaged one."""
        try:
            return run_documents.summary(RunFolder(self.root / name))
        except (KeyError, IndexError, TypeError, AttributeError, OSError):
            return None

    def content(self, name: str) -> str:
        """The digest of what a run was asked for; empty where the API was not asked."""
        asked = run_files.asked(RunFolder(self.root / name))
        return asked.content if asked is not None else ""

    def forget(self, name: str) -> None:
        """A run is gone."""
        entry = self.entries.pop(name, None)
        if entry is not None:
            self.last = max(time.time_ns(), self.last + 1)
            self.deleted.append((self.last, entry.summary))
            self.ordered = None

    def refresh(self, name: str) -> RunSummary | None:
        """One run as it is now."""
        folder = store.folder(name, self.root)
        with self.lock:
            try:
                self.update(name, folder.path.stat().st_mtime_ns)
            except FileNotFoundError:
                self.forget(name)
            entry = self.entries.get(name)
            return None if entry is None else entry.summary

    def newest_first(self) -> list[RunSummary]:
        """All runs, in the order of `key`; not to be changed."""
        with self.lock:
            if self.ordered is None:
                self.ordered = sorted((entry.summary for entry in self.entries.values()), key=key)
            return self.ordered

    def same(self, content: str) -> RunSummary | None:
        """The newest run that ended well and was asked for the same."""
        with self.lock:
            found = [
                entry.summary
                for entry in self.entries.values()
                if entry.content == content and entry.summary.state == "Succeeded"
            ]
        return min(found, key=key, default=None)

    def behind(self, number: int) -> list[Change]:
        """What changed behind the change `number`, each run once, in order."""
        with self.lock:
            complete = number >= self.began and (len(self.recent) < REMEMBERED or self.recent[0][0] <= number)
            names = {name for at, name in self.recent if at > number} if complete else set(self.entries)
            entries = [self.entries[name] for name in names if name in self.entries]
            changed: list[Numbered] = [(one.number, "changed", one.summary) for one in entries if one.number > number]
            gone: list[Numbered] = [(at, "deleted", summary) for at, summary in self.deleted if at > number]
        found = sorted([*changed, *gone], key=lambda one: one[0])
        return [Change(number=str(at), kind=kind, run=run) for at, kind, run in found]


def key(summary: RunSummary) -> str:
    """What runs are ordered by: the newest first, those that have not begun before all."""
    return f"{(summary.started or '9').translate(NINES)} {summary.name}"
