"""Golden samples: requests with the deployed IR's answers, shipped so that a site can repeat the proof.

Only decisions that stay the same on any instruction set are shipped. Measured: INT8 moved logits by 2.5 of 21 between
processors with and without VNNI, with the same top-1. So a class sample is taken only where its two largest scores
are further apart than such a move of both (`converters.thresholds`), and where processes held to less decide alike
(`converters.held_to_less`).
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters import parity, thresholds
from converters.arrays import Array
from converters.parity import Kind
from converters.samples import Feed
from nearedge.errors import InputError
from nearedge.release.description import Description, Golden
from nearedge.release.sections import Precision, Tolerance

Answers = Mapping[str, Array]
EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Candidate:
    """One request, the deployed IR's answers here, and those under each lesser instruction set it has to hold under."""

    feed: Feed
    here: Answers
    less: tuple[Answers, ...]


def magnitudes(found: Sequence[Candidate]) -> dict[str, float]:
    """The largest magnitude of each output over the candidates."""
    names = found[0].here
    return {
        name: max((float(np.abs(one.here[name].astype(np.float64)).max(initial=0.0)) for one in found), default=0.0)
        for name in names
    }


def margin(scores: Array) -> float:
    """The least distance between the two largest scores along the class axis."""
    ordered = np.sort(scores.astype(np.float64), axis=parity.class_axis(scores.shape))
    first, second = np.take(ordered, [-1, -2], axis=parity.class_axis(scores.shape)).swapaxes(
        0, parity.class_axis(scores.shape)
    )
    return float((first - second).min())


def least_margin(scores: Array, magnitude: float, precision: Precision) -> float:
    """The distance that a sample's two largest scores must exceed."""
    if parity.is_probabilities(scores):
        return thresholds.PROBABILITY_MARGIN[precision]
    return thresholds.logit_margin(precision) * magnitude


def is_sure(one: Candidate, kinds: Mapping[str, Kind], largest: Mapping[str, float], precision: Precision) -> bool:
    """Whether every decision of the sample is wide enough to hold anywhere, and holds under the lesser sets."""
    for name, kind in kinds.items():
        here = one.here[name]
        if kind in parity.DECIDING and not margin(here) > least_margin(here, largest[name], precision):
            return False
    return all(agree(one.here, less, kinds, largest, precision) for less in one.less)


def agree(
    here: Answers, less: Answers, kinds: Mapping[str, Kind], largest: Mapping[str, float], precision: Precision
) -> bool:
    """Whether answers under a lesser instruction set decide as those here do, and values are as near as they may be."""
    for name, kind in kinds.items():
        ours, theirs = here[name], less[name]
        if ours.shape != theirs.shape:
            return False
        if kind in parity.DECIDING:
            axis = parity.class_axis(ours.shape)
            if not (ours.argmax(axis) == theirs.argmax(axis)).all():
                return False
        elif kind == "discrete":
            if not (ours == theirs).all():
                return False
        elif np.abs(ours.astype(np.float64) - theirs).max(initial=0.0) > thresholds.ACROSS[precision] * largest[name]:
            return False
    return True


def kept(
    found: Sequence[Candidate], less: Sequence[Answers], kinds: Mapping[str, Kind], precision: Precision
) -> list[bool]:
    """Which candidates, sure or not, are answered alike by `less`, the answers to each under a lesser set."""
    if not found:
        return []
    largest = magnitudes(found)
    return [agree(one.here, other, kinds, largest, precision) for one, other in zip(found, less, strict=True)]


def decision(one: Candidate, kinds: Mapping[str, Kind]) -> int:
    """The class the sample is of, by its first class output; 0 where there is none."""
    for name, kind in kinds.items():
        if kind in parity.DECIDING:
            return int(one.here[name].argmax())
    return 0


def choose(
    found: Sequence[Candidate], kinds: Mapping[str, Kind], allowed: Golden, precision: Precision
) -> list[Candidate]:
    """Sure samples, in row order, no class twice before every class that is there came once; within count and bytes.

    Raises InputError where not even one sample is small enough.
    """
    if not found:
        return []
    largest = magnitudes(found)
    first = {name: array.shape for name, array in found[0].here.items()}
    sure = [
        one
        for one in found
        if {name: array.shape for name, array in one.here.items()} == first and is_sure(one, kinds, largest, precision)
    ]
    size = len(archive(found[:1]))
    if size > allowed.max_bytes:
        raise InputError(
            f"golden.max_bytes: {allowed.max_bytes} hold no sample, one takes {size}; raise it or drop golden"
        )
    picked = spread(sure, kinds, allowed.count)
    while picked and len(archive(picked)) > allowed.max_bytes:
        picked.pop()
    return picked


def spread(sure: Sequence[Candidate], kinds: Mapping[str, Kind], count: int) -> list[Candidate]:
    """`count` samples at most, taking one of each class in turn."""
    turns: dict[int, int] = {}
    ranked = []
    for row, one in enumerate(sure):
        turn = turns[decision(one, kinds)] = turns.get(decision(one, kinds), -1) + 1
        ranked.append((turn, row))
    return [sure[row] for _, row in sorted(ranked)[:count]]


def archive(picked: Sequence[Candidate]) -> bytes:
    """The .npz of the samples: arrays `input/NAME` and `output/NAME`, axis 0 the sample. The same bytes every time."""
    arrays = {f"input/{name}": np.stack([one.feed[name] for one in picked]) for name in picked[0].feed}
    arrays |= {f"output/{name}": np.stack([one.here[name] for one in picked]) for name in picked[0].here}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as whole:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            entry.external_attr = 0o644 << 16
            whole.writestr(entry, member.getvalue())
    return content.getvalue()


def tolerances(
    description: Description, picked: Sequence[Candidate], kinds: Mapping[str, Kind], precision: Precision
) -> list[Tolerance]:
    """How near an answer must be: the decision everywhere, and closeness on the same instruction set.

    A value that the metric judges may be off by what the metric may lose, where that is more than rounding.
    """
    largest = magnitudes(picked)
    judged = (description.metric.output or description.outputs[0].name) if description.metric else None
    found = []
    for name, kind in kinds.items():
        value = 0.0
        if kind in ("value", "detections"):
            value = max(thresholds.ACROSS[precision] * largest[name], 1e-6)
            if description.metric and name == judged and description.metric.name in ("mae", "rmse"):
                value = max(value, description.metric.allowed_drop)
        close = 0.0 if kind == "discrete" else max(thresholds.CLOSE[precision] * largest[name], 1e-6)
        found.append(
            Tolerance(output=name, kind="top1" if kind in parity.DECIDING else "value", value=value, close=close)
        )
    return found
