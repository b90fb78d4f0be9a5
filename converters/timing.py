"""Timing several models fairly: each in a process of its own, on the same cores, in turns within one run.

Machines differ by a factor of two between runs; in turns, what slows one slows the others as well. Each turn's median
is a repeat, and the median of the repeats is the figure (as in Fleming and Wallace, CACM 29(3): never mix runs).
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from converters.samples import Feed
from nearedge.errors import InputError, MachineError
from nearedge.progress import track
from nearedge.release.sections import Timing

REPEATS = 15
WARM_UP_S = 0.15


@dataclass(frozen=True)
class Subject:
    """What is timed. `model` is an IR's .xml or the trained model; `config` are OpenVINO's properties.

    `feeds` are what it is fed in turn: raw for an IR, preprocessed for a trained model.
    """

    name: str
    kind: Literal["ir", "source"]
    model: Path
    feeds: Sequence[Feed]
    config: Mapping[str, Any] = field(default_factory=dict)
    format: str = ""
    description: Path | None = None


@dataclass
class Measured:
    """What a child reported. Times in milliseconds."""

    load_ms: float
    first_ms: float
    repeats: list[list[float]] = field(default_factory=list)
    peak_mib: float = 0.0

    def medians(self) -> list[float]:
        """The median of each repeat."""
        return [float(np.median(one)) for one in self.repeats]

    def p50_ms(self) -> float:
        """The median of the repeats' medians."""
        return float(np.median(self.medians()))

    def timing(self, name: Literal["source", "f32", "deployed"], detail: str) -> Timing:
        """The section's entry; percentiles are of all latencies, throughput is of one request after the other."""
        every, medians = np.concatenate(self.repeats), self.medians()
        return Timing(
            name=name,
            detail=detail,
            p50_ms=self.p50_ms(),
            p90_ms=float(np.percentile(every, 90)),
            p99_ms=float(np.percentile(every, 99)),
            max_ms=float(every.max()),
            throughput_per_s=float(1000 / every.mean()),
            repeats=len(self.repeats),
            spread=(max(medians) - min(medians)) / self.p50_ms(),
        )


class Child:
    """A running `converters.timed_child`."""

    def __init__(self, subject: Subject, process: "subprocess.Popen[str]", log: Path) -> None:
        """Wrap a process that was just started; its stderr goes to `log`."""
        self.subject, self.process, self.log = subject, process, log

    def hear(self) -> dict[str, Any]:
        """The child's next answer. Raises InputError or MachineError where it died instead."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if line:
            found: dict[str, Any] = json.loads(line)
            return found
        status = self.process.wait()
        last = [text.strip() for text in self.log.read_text(errors="replace").splitlines() if text.strip()][-1:]
        if status == -9:
            raise MachineError(f"timing {self.subject.name}: the process was killed; it may need more memory")
        raise InputError(f"timing {self.subject.name}: {''.join(last)[:200] or f'ended with status {status}'}")

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
def child(subject: Subject, cores: Sequence[int], extra: Mapping[str, str], folder: Path) -> Iterator[Child]:
    """A child for `subject`, pinned to `cores`; ended with the block. `folder` takes its files."""
    spec = folder / f"{subject.name}.json"
    save_feeds(subject.feeds, folder / f"{subject.name}.npz")
    body = {
        "kind": subject.kind,
        "model": str(subject.model),
        "config": dict(subject.config),
        "format": subject.format,
        "description": str(subject.description or ""),
        "feeds": str(folder / f"{subject.name}.npz"),
        "cores": list(cores),
        "threads": len(cores),
    }
    spec.write_text(json.dumps(body), encoding="utf-8")
    log = folder / f"{subject.name}.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "converters.timed_child", str(spec)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            env=environment(len(cores), extra),
        )  # fmt: skip
        try:
            yield Child(subject, process, log)
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


def interleaved(
    subjects: Sequence[Subject],
    cores: Sequence[int],
    seconds: float,
    folder: Path,
    extra: Mapping[str, str],
) -> dict[str, Measured]:
    """Time the subjects in turns for `seconds` in all after a warm-up; the figures by subject name.

    Raises InputError where a model cannot be loaded or run.
    """
    each = seconds / (REPEATS * len(subjects))
    with ExitStack() as stack:
        children = [stack.enter_context(child(one, cores, extra, folder)) for one in subjects]
        measured = {}
        for one in children:
            loaded = one.hear()
            measured[one.subject.name] = Measured(loaded["load_ms"], loaded["first_ms"])
        for one in children:
            one.tell(do="time", seconds=WARM_UP_S)
        for _ in track(range(REPEATS), "timing in turns", REPEATS):
            for one in children:
                found = one.tell(do="time", seconds=each)
                measured[one.subject.name].repeats.append(found["latencies"])
                measured[one.subject.name].peak_mib = found["peak_mib"]
    return measured


def answers_held_to(
    subject: Subject, cores: Sequence[int], extra: Mapping[str, str], folder: Path
) -> list[dict[str, Any]]:
    """An IR's answers to its feeds from a process with the environment `extra` (a lesser instruction set)."""
    path = folder / f"{subject.name}-answers.npz"
    with child(subject, cores, extra, folder) as one:
        one.hear()
        one.tell(do="answer", path=str(path))
    with np.load(path, allow_pickle=False) as arrays:
        whole = {name: arrays[name] for name in arrays.files}
    return [{name: array[at] for name, array in whole.items()} for at in range(len(next(iter(whole.values()))))]
