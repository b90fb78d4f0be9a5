"""Starting a program with its output in a log, and stopping it with everything it started."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

GRACE_S = 10.0
POLL_S = 0.02


@dataclass(frozen=True)
class Container:
    """One step or sidecar with every substitution done.

    Paths in `args` and `env` are paths of this machine; a container engine mounts `folders` under the same paths.
    `folders` are also where DIR of an image `oci:DIR:tag` is looked for. An empty `command` means the image's own
    entrypoint.
    """

    name: str
    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path | None
    log: Path
    folders: tuple[Path, ...]


class Running:
    """A started program. It leads a process group of its own, so that stopping it reaches its children."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """Take over a process that was started with `start_new_session=True`."""
        self.process = process

    def wait(self, timeout_s: float | None = None) -> int:
        """The exit status; a signal N gives 128 + N. Raises subprocess.TimeoutExpired."""
        status = self.process.wait(timeout_s)
        return 128 - status if status < 0 else status

    def stop(self, grace_s: float = GRACE_S) -> int:
        """SIGTERM to the whole tree, SIGKILL to what is left of it after `grace_s` seconds; the exit status."""
        deadline = time.monotonic() + grace_s
        others = self.others()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        send(others, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(grace_s)
        while any(alive(other) for other in others) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        others = [*others, *self.others()]
        if self.process.poll() is None:
            self.process.kill()
        send(others, signal.SIGKILL)
        return self.wait()

    def clean_up(self) -> None:
        """Kill what the program left running when it ended, as the end of a container's first process does."""
        send(self.others(), signal.SIGKILL)

    def others(self) -> list[psutil.Process]:
        """All other processes that the program started: its descendants, and whoever is still in its session."""
        found: dict[int, psutil.Process] = {}
        with contextlib.suppress(psutil.NoSuchProcess):
            if self.process.poll() is None:
                leader = psutil.Process(self.process.pid)
                found = {child.pid: child for child in leader.children(recursive=True)}
        for process in psutil.process_iter():
            with contextlib.suppress(OSError):
                if os.getsid(process.pid) == self.process.pid:
                    found[process.pid] = process
        found.pop(self.process.pid, None)
        return list(found.values())


def end_strays(work: Path) -> None:
    """Kill what a runner that was itself killed left running: processes whose TMPDIR lies in the folder `work`."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if Path(process.environ().get("TMPDIR", "/")).is_relative_to(work):
                process.kill()


def alive(process: psutil.Process) -> bool:
    """Whether a process still runs; one that only waits to be reaped by its parent does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to each process that is still there."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def start(argv: Sequence[str], env: Mapping[str, str], cwd: Path | None, log: Path) -> Running:
    """Start `argv` with exactly `env`, both outputs appended to `log`, no standard input.

    Raises OSError where the program or the folder is not there.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(argv),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Running(process)


def environment() -> dict[str, str]:
    """The environment of this process, which steps on our images start from."""
    return dict(os.environ)
