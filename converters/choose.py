"""Which of the candidates to deploy: the fastest that holds, unless a simpler one is as fast; each with its reason."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters import intervals
from converters.candidates import Made
from converters.quantities import megabytes, milliseconds
from converters.timing import Measured
from nearedge.errors import GateError
from nearedge.release.sections import DOES_NOT_HOLD, Candidate, Precision

PREFERENCE: tuple[Precision, ...] = ("fp16", "f32", "bf16", "int8-weights", "int8", "int8-accuracy-aware")
"""From the one to begin with to the dearest. fp16 weights are half the bytes to pull and run in f32; bf16 and those
with int8 change what is computed."""
QUIET = 20
"""Percentile of the latencies of one turn that candidates are compared by."""
WORTH: dict[Precision, float] = dict.fromkeys(PREFERENCE, 1.05) | {"f32": 1.25}
"""How many times faster each must be than the simpler one it would replace. f32 runs the kernels that fp16 weights run,
so a small gain of it is noise, and it is twice as large."""


@dataclass(frozen=True)
class Choice:
    """The precision to deploy and what is said about each candidate."""

    precision: Precision
    outcomes: dict[Precision, str]

    def noting(self, note: str, precisions: Sequence[Precision]) -> "Choice":
        """The same with `note` added to what is said about those of the precisions that there are."""
        return Choice(
            self.precision, {name: said + note * (name in precisions) for name, said in self.outcomes.items()}
        )


def gain(simpler: Measured, dearer: Measured) -> float:
    """How many times faster the dearer one is: the median of the ratios turn by turn.

    Of each turn the fast fifth counts: what else runs on the machine can only add to a latency.
    """
    ratios = [np.percentile(one, QUIET) / np.percentile(other, QUIET) for one, other in pairs(simpler, dearer)]
    return float(np.median(ratios))


def sure_gain(simpler: Measured, dearer: Measured) -> float:
    """The lower end of the 95 % interval of that gain (converters/intervals.py); of a single turn the gain itself."""
    fast = [[float(np.percentile(turn, QUIET)) for turn in one.repeats] for one in (simpler, dearer)]
    return intervals.faster(*fast).low if len(fast[0]) > 1 else gain(simpler, dearer)


def p99_ms(one: Measured) -> float:
    """The 99th percentile of all its latencies."""
    return float(np.percentile(np.concatenate(one.repeats), 99))


def pairs(simpler: Measured, dearer: Measured) -> Iterator[tuple[list[float], list[float]]]:
    """The latencies of both, turn by turn."""
    return zip(simpler.repeats, dearer.repeats, strict=True)


def fastest(made: Sequence[Made], measured: Mapping[str, Measured]) -> Choice:
    """Go from the simplest candidate that holds to dearer ones as long as each is worth it.

    Raises GateError where none holds.
    """
    by_name = {one.precision: one for one in made}
    outcomes: dict[Precision, str] = {}
    best: Precision | None = None
    for precision in PREFERENCE:
        one = by_name.get(precision)
        if one is None:
            continue
        if one.faults:
            outcomes[precision] = f"{DOES_NOT_HOLD}: {one.faults[0]}"
        elif best is None:
            best = precision
        else:
            best = replaced(best, precision, measured, outcomes)
    if best is None:
        raise GateError(f"precision auto: no candidate holds; f32: {outcomes.get('f32', 'was not made')}")
    outcomes[best] = f"chosen: {praise(best, by_name[best], measured)}"
    return Choice(best, outcomes)


def replaced(
    best: Precision, precision: Precision, measured: Mapping[str, Measured], outcomes: dict[Precision, str]
) -> Precision:
    """The better of the two, with the sentence about the other one added to `outcomes`."""
    faster = gain(measured[best], measured[precision])
    sure = sure_gain(measured[best], measured[precision])
    if faster > WORTH[precision] >= sure:
        outcomes[precision] = (
            f"holds, but its gain over {best} may be noise: {faster:.2f} times as fast, for sure only {sure:.2f}, "
            f"{WORTH[precision]:g} would make it worth it"
        )
        return best
    if faster > WORTH[precision]:
        outcomes[best] = f"holds, and {precision} is {faster:.2f} times as fast"
        return precision
    gains = "nothing" if faster <= 1 else "too little"
    outcomes[precision] = (
        f"holds, but gains {gains} over {best}: {faster:.2f} times as fast, {WORTH[precision]:g} would make it worth it"
    )
    return best


def praise(precision: Precision, one: Made, measured: Mapping[str, Measured]) -> str:
    """Why the chosen one was."""
    p50 = f"median {milliseconds(measured[precision].p50_ms())}" if precision in measured else "not timed"
    lost = "" if one.drop is None else f", drop {one.drop:.4g}"
    return f"holds{lost}, {p50}, {megabytes(one.size_bytes)}"


def table(
    made: Sequence[Made],
    measured: Mapping[str, Measured],
    left_out: Mapping[Precision, str],
    said: Mapping[Precision, str],
) -> list[Candidate]:
    """The section's entries: candidates that were made, then those that were not, with the reason."""
    rows = [
        Candidate(
            precision=one.precision,
            metric=one.metric,
            drop=one.drop,
            top1_agreement=one.top1_agreement(),
            max_relative=one.max_relative() if one.outputs else None,
            p50_ms=measured[one.precision].p50_ms() if one.precision in measured else None,
            p99_ms=p99_ms(measured[one.precision]) if one.precision in measured else None,
            peak_rss_mib=(measured[one.precision].peak_mib or None) if one.precision in measured else None,
            size_bytes=one.size_bytes,
            outcome=said[one.precision],
        )
        for one in made
    ]
    rows += [
        Candidate(
            precision=precision, metric=None, drop=None, top1_agreement=None, max_relative=None, p50_ms=None,
            size_bytes=None, outcome=why,
        )
        for precision, why in left_out.items()
    ]  # fmt: skip
    return rows
