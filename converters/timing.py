"""Timing several models fairly: each in a process of its own, on the same cores, in turns within one run.

Machines differ by a factor of two between runs; in turns, what slows one slows the others as well. Each turn's median
is a repeat, and the median of the repeats is the figure (as in Fleming and Wallace, CACM 29(3): never mix runs).
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.confinement import PERIOD_US, Share
from converters.measured import Measured
from converters.timed_process import Subject, child
from nearedge.progress import track

__all__ = ["Measured", "Subject", "answers_held_to", "interleaved", "turns"]

REPEATS = 15
LEAST_REPEATS = 5
WARM_UP_S = 0.15
LEAST_THROTTLED_S = 0.2


@dataclass(frozen=True)
class Turns:
    """How the time is cut: turns, and in each so many seconds for each subject after `lead` ones that do not count."""

    count: int
    seconds: float
    lead: float = 0.0


def turns(seconds: float, subjects: int, cores: Sequence[int], held: Share | None) -> Turns:
    """`seconds` in all, cut into turns.

    A process that is throttled gets its quota at the start of each period: turns of less than some periods would see
    the first bite alone, so they are longer then, fewer, and begin with a period that does not count.
    """
    if held is None or held.cpu_parent is None or held.cpu >= len(cores):
        return Turns(REPEATS, seconds / (REPEATS * subjects))
    each = max(LEAST_THROTTLED_S, seconds / (REPEATS * subjects))
    return Turns(min(REPEATS, max(LEAST_REPEATS, int(seconds / (each * subjects)))), each, PERIOD_US / 1e6)


def interleaved(
    subjects: Sequence[Subject],
    cores: Sequence[int],
    seconds: float,
    folder: Path,
    extra: Mapping[str, str],
    held: Share | None = None,
) -> dict[str, Measured]:
    """Time the subjects in turns for `seconds` in all after a warm-up; the figures by subject name.

    Raises InputError where a model cannot be loaded or run, GateError where what the site runs takes more memory than
    the share `held` has.
    """
    cut = turns(seconds, len(subjects), cores, held)
    with ExitStack() as stack:
        children = [stack.enter_context(child(one, cores, extra, folder, held)) for one in subjects]
        measured = {}
        for one in children:
            loaded = one.watched()
            measured[one.subject.name] = Measured(
                loaded["load_ms"], loaded["first_ms"], compile_ms=loaded["compile_ms"]
            )
        for one in children:
            one.tell(do="time", seconds=WARM_UP_S, lead=0.0)
        for _ in track(range(cut.count), "timing in turns", cut.count):
            for one in children:
                measured[one.subject.name].add(one.tell(do="time", seconds=cut.seconds, lead=cut.lead))
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
