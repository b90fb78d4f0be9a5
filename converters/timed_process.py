"""Starting `converters.timed_child` for one model, speaking with it, and ending it where it takes too much memory."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from converters.confinement import Share
from converters.samples import Feed
from nearedge.errors import GateError, InputError, MachineError

WATCH_EVERY_S = 0.02


@dataclass(frozen=True)
class Subject:
    """What is timed. `model` is an IR's .xml or the trained model; `config` are OpenVINO's properties.

    `feeds` are what it is fed in turn, raw as a client sends it. `workers` requests run at a time, of `batch` feeds
    each. `at_site`: it is what the site runs, so the share's memory limit is its own as well.
    """

    name: str
    kind: Literal["ir", "source"]
    model: Path
    feeds: Sequence[Feed]
    config: Mapping[str, Any] = field(default_factory=dict)
    format: str = ""
    description: Path | None = None
    workers: int = 1
    batch: int = 1
    at_site: bool = False


class Child:
    """A running `converters.timed_child`, ended where it takes more than `limit_mib` of memory."""

    def __init__(
        self, subject: Subject, process: "subprocess.Popen[str]", log: Path, limit_mib: int | None = None
    ) -> None:
        """Wrap a process that was just started; its stderr goes to `log`."""
        self.subject, self.process, self.log, self.limit_mib = subject, process, log, limit_mib

    def hear(self) -> dict[str, Any]:
        """The child's next answer. Raises InputError or MachineError where it died, GateError where over the limit."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if line:
            found: dict[str, Any] = json.loads(line)
            if self.limit_mib is not None and found.get("peak_mib", 0.0) > self.limit_mib:
                raise self.too_large()
            return found
        status = self.process.wait()
        last = [text.strip() for text in self.log.read_text(errors="replace").splitlines() if text.strip()][-1:]
        if status == -9 and self.limit_mib is not None:
            raise self.too_large()
        if status == -9:
            raise MachineError(f"timing {self.subject.name}: the process was killed; it may need more memory")
        raise InputError(f"timing {self.subject.name}: {''.join(last)[:200] or f'ended with status {status}'}")

    def too_large(self) -> GateError:
        """What is said of a model that the site has no memory for."""
        return GateError(
            f"the deployed model does not fit: it takes more than the {self.limit_mib} MiB that the target "
            "profile has for a model; choose a smaller precision or a larger site"
        )

    def watched(self) -> dict[str, Any]:
        """`hear` the first answer; until then the child is ended as soon as it takes more than its limit.

        Loading takes most, and watching what is timed would disturb it: after that its peak is looked at.
        """
        if self.limit_mib is None:
            return self.hear()
        heard = threading.Event()
        guard = threading.Thread(target=self.guard, args=(heard, self.limit_mib), daemon=True)
        guard.start()
        try:
            return self.hear()
        finally:
            heard.set()
            guard.join()

    def guard(self, heard: threading.Event, limit_mib: int) -> None:
        """Kill the child when it is over the limit. The body of a thread."""
        pages = limit_mib * (1 << 20) // os.sysconf("SC_PAGE_SIZE")
        statm = Path(f"/proc/{self.process.pid}/statm")
        while not heard.wait(WATCH_EVERY_S):
            with suppress(OSError, IndexError):
                if int(statm.read_text(encoding="ascii").split()[1]) > pages:
                    self.process.kill()

    def tell(self, **command: object) -> dict[str, Any]:
        """Send one command, wait for the answer."""
        with suppress(BrokenPipeError):  # the answer below says why it died
            print(json.dumps(command), file=self.process.stdin, flush=True)
        return self.hear()


def environment(threads: int, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: threads for every framework, none of which may spin while another one is timed."""
    limits = {
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "tensorflow",
    }
    roots = os.pathsep.join(dict.fromkeys([str(Path(__file__).resolve().parent.parent), *filter(None, sys.path)]))
    return {**os.environ, **limits, "PYTHONPATH": roots, **extra}


def save_feeds(feeds: Sequence[Feed], path: Path) -> None:
    """Write the feeds to an .npz, stacked along a new axis 0; those of another shape than the first are left out."""
    first = feeds[0]
    alike = [one for one in feeds if all(one[name].shape == first[name].shape for name in first)]
    whole: dict[str, Any] = {name: np.stack([one[name] for one in alike]) for name in first}
    np.savez(path, **whole)


@contextmanager
def child(
    subject: Subject, cores: Sequence[int], extra: Mapping[str, str], folder: Path, held: Share | None = None
) -> Iterator[Child]:
    """A child for `subject`, pinned to `cores` and held to a share; ended with the block. `folder` takes its files."""
    spec = folder / f"{subject.name}.json"
    save_feeds(subject.feeds, folder / f"{subject.name}.npz")
    threads = int(subject.config.get("INFERENCE_NUM_THREADS", len(cores)))
    log = folder / f"{subject.name}.log"
    with ExitStack() as stack:
        groups = stack.enter_context(held.group(memory=subject.at_site)) if held else []
        body = {
            "kind": subject.kind,
            "model": str(subject.model),
            "config": dict(subject.config),
            "format": subject.format,
            "description": str(subject.description or ""),
            "feeds": str(folder / f"{subject.name}.npz"),
            "cores": list(cores),
            "threads": threads,
            "workers": subject.workers,
            "batch": subject.batch,
            "feeds_kept": len(subject.feeds) if subject.batch == 1 else 0,
            "groups": [str(file) for file in groups],
        }
        spec.write_text(json.dumps(body), encoding="utf-8")
        errors = stack.enter_context(log.open("w"))
        process = subprocess.Popen(
            [sys.executable, "-m", "converters.timed_child", str(spec)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            env=environment(threads, extra),
        )  # fmt: skip
        try:
            yield Child(subject, process, log, held.memory_mib if held and subject.at_site else None)
        finally:
            end(process)


def end(process: "subprocess.Popen[str]") -> None:
    """End a child: it leaves when stdin ends; one that does not is killed."""
    if process.stdin:
        with suppress(BrokenPipeError):
            process.stdin.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
