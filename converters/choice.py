"""Choosing among timed runtime configurations: what keeps the p99 that was asked for, then the best, then the simplest.

A configuration keeps a p99 when the upper end of the 95 % interval of its own does. Among those that are not surely
slower than the best, the first is taken: noise must not choose. The latency of a request in a batch is counted with the
longest wait for the batch, as under a load that does not fill it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from converters import intervals
from converters.measured import Measured
from converters.quantities import milliseconds
from nearedge.errors import GateError
from nearedge.release.description import Target
from nearedge.release.sections import BenchmarkSection, RuntimeConfiguration, Trial

CHOSEN = "chosen"


@dataclass(frozen=True)
class Choice:
    """The configuration to deploy, all that were tried, and whether the latency that was asked for is kept."""

    runtime: RuntimeConfiguration
    trials: list[Trial]
    goal_met: bool = True


def judge(
    target: Target,
    tried: Sequence[RuntimeConfiguration],
    measured: Sequence[Measured],
    unlike: Callable[[RuntimeConfiguration], str],
) -> Choice:
    """The choice from what was measured; `unlike` says how a configuration's answers differ from the plain one's."""
    waits = [[[value + one.max_wait_ms for value in turn] for turn in found.repeats] for one, found in
             zip(tried, measured, strict=True)]  # fmt: skip
    spans = [intervals.p99(one) for one in waits]
    bound = target.p99_ms
    outcomes = {
        at: f"its p99 may be {milliseconds(high)}, over the {milliseconds(bound)} asked for"
        for at, (_, high) in enumerate(spans)
        if bound is not None and high > bound
    }
    goal_met = len(outcomes) < len(tried)
    costs = [cost(target, one) for one in measured]
    left = [at for at in range(len(tried)) if at not in outcomes]
    picked = None
    while left and picked is None:
        at = simplest(left, costs)
        why = unlike(tried[at])
        if why:
            outcomes[at] = why
            left.remove(at)
        else:
            picked = at
    if picked is None:
        goal_met = False
        picked = min(range(len(tried)), key=lambda at: (tried[at].max_batch, spans[at][1]))
    outcomes[picked] = CHOSEN if goal_met else f"{CHOSEN}, and yet {outcomes[picked]}"
    trials = [
        trial(one, found, late, span, outcomes.get(at) or slower(costs[at], costs[picked]))
        for at, (one, found, late, span) in enumerate(zip(tried, measured, waits, spans, strict=True))
    ]
    return Choice(tried[picked], trials, goal_met)


def cost(target: Target, found: Measured) -> list[float]:
    """What is to be small, turn by turn: the median latency, or the milliseconds that a request takes of the whole."""
    return found.medians() if target.goal == "latency" else [1000 / one for one in found.per_second]


def simplest(left: Sequence[int], costs: Sequence[Sequence[float]]) -> int:
    """The first of those that are not surely slower than the best."""
    best = min(left, key=lambda at: float(np.median(costs[at])))
    return next(at for at in left if at == best or intervals.faster(costs[at], costs[best]).low <= 1)


def slower(this: Sequence[float], chosen: Sequence[float]) -> str:
    """Why a configuration that holds was not chosen."""
    ratio = intervals.faster(this, chosen)
    if ratio.low <= 1:
        return "no faster that could be told from noise, and less simple"
    return f"{ratio.value:.2f} times as slow as what is chosen ({ratio.low:.2f} to {ratio.high:.2f})"


def trial(
    runtime: RuntimeConfiguration,
    found: Measured,
    late: Sequence[Sequence[float]],
    span: tuple[float, float],
    outcome: str,
) -> Trial:
    """The record's entry; `late` are the latencies with the longest wait for a batch."""
    every = np.concatenate([np.asarray(one) for one in late])
    return Trial(
        runtime=runtime,
        clients=runtime.streams * runtime.max_batch if runtime.max_batch > 1 else max(1, runtime.streams),
        p50_ms=float(np.median(every)),
        p99_ms=float(np.percentile(every, 99)),
        p99_low_ms=span[0],
        p99_high_ms=span[1],
        throughput_per_s=float(np.median(found.per_second)),
        outcome=outcome,
    )


def gate(target: Target, section: BenchmarkSection) -> None:
    """Raise GateError where even the lower end of the chosen configuration's p99 is over the one asked for."""
    picked = next((one for one in section.trials if one.outcome.startswith(CHOSEN)), None)
    low = picked.p99_low_ms if picked else None
    if target.p99_ms is not None and low is not None and low > target.p99_ms:
        raise GateError(
            f"target.p99_ms: {milliseconds(target.p99_ms)} was asked for, and no runtime configuration keeps it: the "
            f"best has at least {milliseconds(low)}; see report/, raise it, or take a larger site or a smaller model"
        )
