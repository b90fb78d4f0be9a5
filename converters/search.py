"""Searching hint, streams, threads and batch for the stated goal, inside the CPU share of the profile.

Every configuration is timed in a process of its own, in turns with the others. For `latency` one client sends one
request after the other, and the median counts; for `throughput` as many clients as keep every inference request and
batch full, and requests a second count. `converters.choice` says which is taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters import choice, configurations, execution, machine, thresholds, timing
from converters.arrays import Array
from converters.choice import Choice
from converters.confinement import Share
from converters.measured import Measured
from converters.quantities import counted, milliseconds
from converters.samples import Feed
from converters.timed_process import Subject
from nearedge.errors import InputError
from nearedge.progress import say
from nearedge.release.description import Target
from nearedge.release.sections import OptimizationSection, Precision, RuntimeConfiguration

PROCESS_MIB, COPIES = 120, 2
"""A process without a model, and what weights take in it at most: as read and as packed for the processor."""


@dataclass(frozen=True)
class Question:
    """What is searched for: the deployed IR at `xml`, for whom, with which samples, cores and share of the machine."""

    xml: Path
    optimization: OptimizationSection
    target: Target
    threads: int
    feeds: Sequence[Feed]
    cores: Sequence[int]
    held: Share
    folder: Path


def subject(name: str, asked: Question, runtime: RuntimeConfiguration, *, crowded: bool) -> Subject:
    """What is timed of a configuration; `crowded` with as many clients as keep it busy, else with one."""
    return Subject(
        name,
        "ir",
        asked.xml,
        asked.feeds,
        execution.properties(runtime, min(asked.threads, runtime.threads)),
        workers=runtime.streams if crowded else 1,
        batch=runtime.max_batch if crowded else 1,
        at_site=True,
    )


def choose(asked: Question, seconds: float) -> Choice:
    """Time every configuration for `seconds` in all and choose.

    Raises GateError where the model takes more memory than the profile has, InputError where it cannot be run.
    """
    tried = possible(asked)
    if len(tried) == 1 and asked.target.p99_ms is None:
        say(f"{counted(tried[0].threads, 'thread')}: there is one runtime configuration, nothing to search")
        return Choice(tried[0], [])
    say(f"searching among {counted(len(tried), 'runtime configuration')} for {wish(asked.target)}")
    return timed(asked, tried, seconds)


def check(asked: Question, kept: RuntimeConfiguration, seconds: float) -> Choice:
    """A configuration that is kept: timed alone, where a p99 was asked for, to see whether it keeps it still."""
    return Choice(kept, []) if asked.target.p99_ms is None else timed(asked, [kept], seconds)


def timed(asked: Question, tried: Sequence[RuntimeConfiguration], seconds: float) -> Choice:
    """Time these and choose among them."""
    crowded = asked.target.goal == "throughput"
    subjects = [subject(f"trial-{at}", asked, one, crowded=crowded) for at, one in enumerate(tried)]
    measured: dict[str, Measured] = {}
    at_once = together(asked.xml, len(subjects))
    for start in range(0, len(subjects), at_once):
        some = subjects[start : start + at_once]
        share = seconds * len(some) / len(subjects)
        measured |= timing.interleaved(some, asked.cores, share, asked.folder, {}, asked.held)
    return choice.judge(
        asked.target, tried, [measured[one.name] for one in subjects], lambda one: difference(asked, one)
    )


def possible(asked: Question) -> list[RuntimeConfiguration]:
    """The configurations, without batches where the model does not answer a batch as it answers one request."""
    every = configurations.worth_trying(asked.optimization, asked.target, asked.threads)
    batched = next((one for one in every if one.max_batch > 1), None)
    why = difference(asked, batched) if batched else ""
    if why:
        say(f"no batches: {why}")
        return [one for one in every if one.max_batch == 1]
    return every


def together(xml: Path, count: int) -> int:
    """How many of `count` processes with that IR go into half of the memory; those of one group are timed in turns."""
    each_mib = PROCESS_MIB + COPIES * xml.with_suffix(".bin").stat().st_size / (1 << 20)
    return max(2, min(count, int(machine.memory_mib() / 2 / each_mib)))


def wish(target: Target) -> str:
    """The goal as a person would say it."""
    bound = "" if target.p99_ms is None else f" at p99 of {milliseconds(target.p99_ms)} at most"
    return ("the lowest latency of one client" if target.goal == "latency" else "the most requests a second") + bound


def difference(asked: Question, runtime: RuntimeConfiguration) -> str:
    """How answers with a configuration differ from the plain one's that verify-model judged; empty where they agree."""
    plain = asked.optimization.runtime
    if runtime == plain:
        return ""
    say("comparing its answers with those that were verified")
    try:
        one, other = (
            timing.answers_held_to(subject(name, asked, config, crowded=True), asked.cores, {}, asked.folder)
            for name, config in (("plain", plain), ("chosen", runtime))
        )
    except InputError as error:
        return f"cannot answer so: {error}"
    return apart(one, other, asked.optimization.precision)


def apart(one: Sequence[Mapping[str, Array]], other: Sequence[Mapping[str, Array]], precision: Precision) -> str:
    """The first output whose answers are further apart than the order of additions explains."""
    for name in one[0]:
        left, right = (np.stack([found[name] for found in answers]).astype(np.float64) for answers in (one, other))
        if left.shape != right.shape:
            return f"output {name!r} has another shape in a batch: its requests cannot share one"
        far = float(np.abs(left - right).max(initial=0.0)) / (float(np.abs(left).max(initial=0.0)) or 1.0)
        if not far <= thresholds.CLOSE[precision]:
            return f"output {name!r} differs by {far:.2g} of its largest value from what was verified"
    return ""
