"""The folder that a run leaves: `run.json`, `taskruns/`, `logs/`, and a lock while it goes on."""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nearedge.errors import InputError
from nearedge.files import write_text
from nearedge.runner.fields import Document

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")


def runs_root() -> Path:
    """Where runs are kept: `runs` in NEAREDGE_HOME, else in `.nearedge` of the current folder."""
    return (Path(os.environ.get("NEAREDGE_HOME") or ".nearedge") / "runs").absolute()


class RunFolder:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        """Name the folder; nothing is made yet."""
        self.path = path

    @property
    def log(self) -> Path:
        """What happened, a line for each event."""
        return self.path / "run.log"

    @property
    def volumes(self) -> Path:
        """Workspaces that the run makes itself."""
        return self.path / "volumes"

    @property
    def records(self) -> Path:
        """What `--resume` compares: one file for each Task that ended well."""
        return self.path / "records"

    def logs(self, label: str) -> Path:
        """The folder of a TaskRun's logs."""
        return self.path / "logs" / label

    def work(self, label: str) -> Path:
        """The private folder of a TaskRun; gone when it ends."""
        return self.path / "work" / label

    def write_run(self, document: Document) -> None:
        """Write run.json by rename."""
        write_json(self.path / "run.json", document)

    def write_taskrun(self, label: str, document: Document) -> None:
        """Write a child's document by rename."""
        write_json(self.path / "taskruns" / f"{label}.json", document)

    def read_run(self) -> Document:
        """The run's document. Raises InputError where it is not there or cannot be read."""
        return read_json(self.path / "run.json")

    def write_request(self, document: Mapping[str, object]) -> None:
        """Keep what was asked for, so that `--resume` needs nothing else."""
        write_json(self.path / "request.json", document)

    def read_request(self) -> Document:
        """What was asked for. Raises InputError where it is not there."""
        return read_json(self.path / "request.json")

    def taskruns(self) -> dict[str, Document]:
        """The children's documents by label."""
        return {path.stem: read_json(path) for path in sorted((self.path / "taskruns").glob("*.json"))}

    def began(self, label: str) -> str:
        """When the first step of a TaskRun began, as text that sorts; empty where it has no document."""
        path = self.path / "taskruns" / f"{label}.json"
        steps = read_json(path)["status"]["steps"] if path.is_file() else []
        states = [step.get("terminated") or step.get("running") or {} for step in steps[:1]]
        return str(states[0].get("startedAt", "")) if states else ""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run. Raises InputError where another process does."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as file:
            if not try_lock(file.fileno()):
                raise InputError(f"run {self.path.name}: is running already; wait for it, or give another --name")
            yield

    def running(self) -> bool:
        """Whether a process holds the run."""
        path = self.path / ".lock"
        if not path.is_file():
            return False
        with path.open("r+") as file:
            return not try_lock(file.fileno())


def try_lock(descriptor: int) -> bool:
    """Lock an open file for this process, if nobody else has."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_json(path: Path, document: Mapping[str, object]) -> None:
    """Write JSON by rename."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises InputError where it is not there or is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: is not there") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds no JSON object")
    return found


def folder(name: str, root: Path | None = None) -> RunFolder:
    """The folder of the run of this name. Raises InputError for a name that Kubernetes would not take."""
    if not NAME.fullmatch(name):
        raise InputError(f"run {name!r}: a name has lower case letters, digits, '-' and '.', at most 63")
    return RunFolder((root or runs_root()) / name)


def existing(name: str, root: Path | None = None) -> RunFolder:
    """The folder of a run that was started. Raises InputError where there is none of this name."""
    found = folder(name, root)
    if not (found.path / "run.json").is_file():
        raise InputError(f"run {name}: there is none; `nearedge runs` lists those kept here")
    return found


def every(root: Path | None = None) -> list[RunFolder]:
    """All runs that are kept, the oldest first."""
    paths = [path.parent for path in (root or runs_root()).glob("*/run.json")]
    return [RunFolder(path) for path in sorted(paths, key=lambda path: (path / ".lock").stat().st_ctime_ns)]
