"""Starting `nearedge run` as a process of its own that outlives the API, and signalling it.

The process inherits a locked file, `.launch` of the run's folder: the lock is there as long as the process is, and
nothing has to be remembered about it but its id.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.api.core import run_files
from nearedge.errors import InputError, OutsideError
from nearedge.runner.store import RunFolder
from nearedge.runner.substitution import Value

LONGEST_ARGUMENT = 100_000
"""Bytes; Linux takes 128 KiB (execve(2), MAX_ARG_STRLEN)."""
TRIES, PAUSE_S = 20, 0.01
LONGEST_LINE = 1_000_000
"""Bytes of all arguments together."""


def arguments(
    pipeline: str, name: str, params: Mapping[str, Value], workspaces: Mapping[str, str], files: Sequence[Path]
) -> list[str]:
    """The arguments of `nearedge` that start a run. Raises InputError for a value that no argument can carry."""
    found = ["run", pipeline, f"--name={name}", "--quiet"]
    for file in files:
        found += ["-f", str(file)]
    for key, value in params.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        found.append(f"--param={carried(key, text)}")
    found += [f"--workspace={carried(key, text)}" for key, text in workspaces.items()]
    if sum(len(one.encode()) for one in found) > LONGEST_LINE:
        raise InputError(f"params: together they are longer than {LONGEST_LINE} bytes; put large values into a file")
    return found


def carried(name: str, text: str) -> str:
    """`NAME=VALUE`. Raises InputError where it is too long, or holds a NUL."""
    item = f"{name}={text}"
    if "\0" in item or len(item.encode(errors="replace")) > LONGEST_ARGUMENT:
        raise InputError(
            f"{name}: at most {LONGEST_ARGUMENT} bytes and no NUL character; put a large value into a file"
        )
    return item


def launch(folder: RunFolder, given: Sequence[str], home: Path) -> None:
    """Start `nearedge` with these arguments for a run. Raises OutsideError where one goes on for it already."""
    with (folder.path / run_files.LAUNCHED).open("a") as lock:
        take(lock.fileno(), folder)
        lock.truncate(0)
        os.utime(lock.fileno())
        with (folder.path / run_files.PRINTED).open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "scripts.nearedge", *given],
                env={**os.environ, "NEAREDGE_HOME": str(home)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock.fileno(),),
            )
        run_files.write_pid(folder, process.pid)
    threading.Thread(target=process.wait, daemon=True, name=f"run-{process.pid}").start()


def take(descriptor: int, folder: RunFolder) -> None:
    """Lock the file; who only looks whether it is locked has it for a moment."""
    for _ in range(TRIES):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(PAUSE_S)
    raise OutsideError(f"run {folder.path.name}: a process for it goes on already")


@dataclass
class Signals:
    """Stops runs: once as Ctrl-C does, so that `finally` runs; again at once; a third time without a last word."""

    sent: dict[int, int] = field(default_factory=dict)

    def stop(self, folder: RunFolder) -> None:
        """Signal the run's process. Raises OutsideError where it is out of reach."""
        pid = run_files.holder(folder)
        name = folder.path.name
        if pid is None:
            raise OutsideError(f"run {name}: the process that runs it is not to be seen from here; stop it there")
        self.sent = {one: count for one, count in self.sent.items() if Path(f"/proc/{one}").exists()}
        count = self.sent[pid] = self.sent.get(pid, 0) + 1
        try:
            os.kill(pid, signal.SIGTERM if count < 3 else signal.SIGKILL)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise OutsideError(f"run {name}: process {pid} belongs to another user; stop it there") from error
