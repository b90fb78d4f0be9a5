"""What the API keeps beside a run: `api.json`, what its process prints, a lock that lives as long as that."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nearedge.errors import InputError
from nearedge.runner import store
from nearedge.runner.fields import Document
from nearedge.runner.store import RunFolder

ASKED, PRINTED, LAUNCHED = "api.json", "api.log", ".launch"
LONGEST_LINE = 400
ENDING_S, PAUSE_S = 5.0, 0.02


@dataclass(frozen=True)
class Asked:
    """What the API was asked for. `content` is the digest that `reuse` compares; times are RFC 3339 in UTC."""

    pipeline: str
    content: str
    created: str
    labels: dict[str, str]
    cancelled: bool = False

    def write(self, folder: RunFolder) -> None:
        """Keep it beside the run, by rename."""
        store.write_json(folder.path / ASKED, self.__dict__)


def asked(folder: RunFolder) -> Asked | None:
    """What was asked for; None for a run that was not started by the API."""
    try:
        found = store.read_json(folder.path / ASKED)
        return Asked(**found)
    except (InputError, TypeError, OSError):
        return None


def document(folder: RunFolder) -> Document | None:
    """run.json; None where it is not there or is none, as while a run begins."""
    try:
        return folder.read_run()
    except (InputError, OSError):
        return None


def launched(folder: RunFolder) -> bool:
    """Whether a process that the API started for the run lives."""
    return held(folder.path / LAUNCHED)


def goes_on(folder: RunFolder) -> bool:
    """Whether the run has a process, whoever started it.

    The runner's own lock is only tried where no process of ours lives: trying it could make a run that is just about
    to take it believe that another one has it.
    """
    return launched(folder) or held(folder.path / ".lock")


def await_end(folder: RunFolder, within_s: float = ENDING_S) -> None:
    """Wait for the process of a run that has ended: it has written that, and is about to go."""
    deadline = time.monotonic() + within_s
    while goes_on(folder) and time.monotonic() < deadline:
        time.sleep(PAUSE_S)


def waiting(folder: RunFolder) -> bool:
    """Whether a process was started for the run that has not written run.json yet (again, after a retry)."""
    try:
        begun = (folder.path / LAUNCHED).stat().st_mtime_ns
    except FileNotFoundError:
        return False
    try:
        return (folder.path / "run.json").stat().st_mtime_ns < begun
    except FileNotFoundError:
        return True


def held(path: Path) -> bool:
    """Whether a process holds a lock on a file."""
    try:
        with path.open("rb") as file:
            return not store.try_lock(file.fileno())
    except FileNotFoundError:
        return False


def holder(folder: RunFolder) -> int | None:
    """The id of the process that runs the run; None where it has none, or one that is not ours to see."""
    if launched(folder):
        text = (folder.path / LAUNCHED).read_text().strip()
        return int(text) if text.isdigit() else None
    return locker(folder.path / ".lock")


def locker(path: Path) -> int | None:
    """The id of the process that locked a file, as Linux tells it (proc(5), /proc/locks)."""
    try:
        number = path.stat().st_ino
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    for words in map(str.split, lines):
        if words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(number) and opened(int(words[4]), path):
            return int(words[4])
    return None


def opened(pid: int, path: Path) -> bool:
    """Whether a process has a file open: the number of a file alone can be that of another file system's."""
    return any(target == str(path) for target in targets(pid))


def targets(pid: int) -> Iterator[str]:
    """The files that a process has open."""
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            yield str(link.readlink())
    except OSError:
        return


def last_line(folder: RunFolder) -> str:
    """The last line that the run's process printed: why it could not begin."""
    try:
        with (folder.path / PRINTED).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            lines = file.read().decode(errors="replace").split("\n")
    except FileNotFoundError:
        return ""
    return next((line.strip()[:LONGEST_LINE] for line in reversed(lines) if line.strip()), "")


def write_pid(folder: RunFolder, pid: int) -> None:
    """Say which process runs the run. In place, as the lock is on the file; its time stays that of the launch."""
    with (folder.path / LAUNCHED).open("r+") as file:
        begun = os.fstat(file.fileno()).st_mtime_ns
        file.write(f"{pid}\n")
        file.flush()
        os.utime(file.fileno(), ns=(begun, begun))


def touch(folder: RunFolder) -> None:
    """Make the folder look changed, which whoever watches it sees."""
    os.utime(folder.path)
