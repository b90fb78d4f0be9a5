"""Confidence intervals, so that no gate works on a single figure.

Turns, not requests, are what is independent: requests of one turn share whatever slowed the machine then. So a ratio is
taken turn by turn (what slows one subject slows the other), and its 95 % interval is Student's on the logarithms of
those ratios (Jain, The Art of Computer Systems Performance Analysis, 13.4: paired observations; logarithms since a
ratio and its inverse must give the same answer). A percentile's interval is the bootstrap's over whole turns (Davison
and Hinkley, Bootstrap Methods and their Application, 3.8: resampling clusters), with a fixed seed.
"""

import math
from collections.abc import Sequence

import numpy as np

from nearedge.release.sections import Ratio

NORMAL_975 = 1.959963984540054
RESAMPLES = 1000
SEED = 0
ENOUGH_FOR_P99 = 367
"""Fewest requests among which the largest is over the true p99 with 97.5 %: ln 0.025 / ln 0.99."""


def student_975(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, from Abramowitz and Stegun 26.7.5; within 0.5 % from 4 degrees of freedom."""
    z = NORMAL_975
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(z + sum(term / freedom**power for power, term in enumerate(terms, 1)))


def faster(other: Sequence[float], this: Sequence[float]) -> Ratio:
    """How many times faster `this` is than `other`, from medians in milliseconds of the same two or more turns."""
    logs = np.log(np.asarray(other) / np.asarray(this))
    middle = float(logs.mean())
    half = student_975(len(logs) - 1) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    return Ratio(value=math.exp(middle), low=math.exp(middle - half), high=math.exp(middle + half))


def p99(turns: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The 95 % interval of the 99th percentile of latencies that were measured in turns.

    Of fewer than 367 requests nothing bounds it from above but the largest one seen, which then is the upper end.
    """
    every = [np.asarray(turn) for turn in turns]
    picks = np.random.default_rng(SEED).integers(0, len(every), (RESAMPLES, len(every)))
    found = [np.percentile(np.concatenate([every[at] for at in pick]), 99) for pick in picks]
    low, high = (float(value) for value in np.percentile(found, (2.5, 97.5)))
    if sum(map(len, every)) < ENOUGH_FOR_P99:
        high = max(high, float(max(turn.max() for turn in every)))
    return low, high
