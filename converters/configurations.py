"""The runtime configurations that are worth trying for a goal."""

import math

from converters.quantities import counted
from converters.workspace import Work
from nearedge.release.description import Target
from nearedge.release.sections import OptimizationSection, RuntimeConfiguration

BATCHES = (1, 4, 16)
LONGEST_WAIT_MS = 2.0
WAIT_OF_P99 = 0.25
"""At most so much of the latency that is allowed may be spent waiting for a batch to fill."""


def worth_trying(optimization: OptimizationSection, target: Target, threads: int) -> list[RuntimeConfiguration]:
    """What is worth trying, the simplest first: fewer threads, then fewer streams, then smaller batches."""
    base, goal = optimization.runtime, target.goal
    plain = {"max_batch": 1, "max_wait_ms": 0.0}
    if goal == "latency":
        return [
            base.model_copy(update={"performance_hint": "LATENCY", "streams": 1, "threads": number, **plain})
            for number in halves(threads)
        ]
    wait = min(LONGEST_WAIT_MS, (target.p99_ms or math.inf) * WAIT_OF_P99)
    found = []
    for size in BATCHES if takes_batches(optimization) else BATCHES[:1]:
        for streams in halves(threads):
            hint = "THROUGHPUT" if streams > 1 else "LATENCY"
            of_batch = {"max_batch": size, "max_wait_ms": wait if size > 1 else 0.0}
            found.append(
                base.model_copy(update={"performance_hint": hint, "streams": streams, "threads": threads, **of_batch})
            )
    return found


def halves(number: int) -> list[int]:
    """1, ..., number/4, number/2, number."""
    found = [number]
    while found[0] > 1:
        found.insert(0, found[0] // 2)
    return found


def takes_batches(optimization: OptimizationSection) -> bool:
    """Whether axis 0 of every input and output may have any size."""
    every = [*optimization.inputs, *optimization.outputs]
    return all(one.shape and one.shape[0] == -1 for one in every)


def for_site(runtime: RuntimeConfiguration, work: Work) -> RuntimeConfiguration:
    """The configuration with the site's threads where it took all that this machine has, and the site has more."""
    if runtime.threads < work.threads:
        return runtime
    return runtime.model_copy(update={"threads": max(runtime.threads, work.profile.threads)})


def described(runtime: RuntimeConfiguration) -> str:
    """A configuration in words."""
    batch = f", batches of up to {runtime.max_batch}" if runtime.max_batch > 1 else ""
    streams, threads = counted(runtime.streams, "stream"), counted(runtime.threads, "thread")
    return f"hint {runtime.performance_hint}, {streams}, {threads}{batch}"
