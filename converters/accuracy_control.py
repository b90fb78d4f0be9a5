"""What int8-accuracy-aware holds the accuracy by while it decides which layers to turn back to floats.

The samples are calibration rows: what a model is judged by at the end must not have shaped it.
"""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from converters import execution, metrics, parity, thresholds
from converters.arrays import Array
from converters.execution import Runner
from converters.metrics import Score
from converters.samples import Feed, Samples
from nearedge import progress
from nearedge.errors import GateError, InputError
from nearedge.release.description import Description
from nearedge.release.metric import HIGHER_IS_BETTER
from nearedge.release.sections import RuntimeConfiguration

MOST_SAMPLES = 1000
"""Each layer that is turned back is judged on all of them, so more would cost more than they tell."""
MOST_BYTES = 256 << 20
"""Of the f32 model's answers that are kept, for layers to be ranked by."""
TINY = 1e-30
F32 = RuntimeConfiguration(inference_precision="f32", performance_hint="LATENCY", streams=1, threads=0)


class OutOfTimeError(Exception):
    """The time that may be spent is over; the half-made model is of no use."""


@dataclass(frozen=True)
class Control:
    """Requests of `samples`, by their numbers `places`, with labels; and the metric that may drop by `allowed`.

    `labels` holds one array for each of the places. `probabilities`: single scores are decided at 0.5, as the f32
    IR's are; None where there are none. `deadline` is on the monotonic clock, in seconds.
    """

    samples: Samples
    places: list[int]
    labels: list[Array]
    metric: str
    output: str
    allowed: float
    probabilities: bool | None
    deadline: float = math.inf

    def until(self, deadline: float) -> "Control":
        """The same, to be ended at `deadline`."""
        return replace(self, deadline=deadline)

    def feed(self, number: int) -> Feed:
        """The request of that number, cut from the data only when it is asked for. Raises OutOfTimeError."""
        if time.monotonic() > self.deadline:
            raise OutOfTimeError
        return self.samples.feeds[self.places[number]]

    def answers(self, model: Any, numbers: Iterable[int]) -> Iterator[tuple[int, Array]]:
        """Each of the requests `numbers` with a model's answer. `model` is an openvino.CompiledModel."""
        request = model.create_infer_request()
        for number in numbers:
            yield number, np.array(request.infer(self.feed(number))[self.output])

    def value(self, score: Score) -> float:
        """The metric; larger is better."""
        score.probable = self.probabilities
        value = score.value()
        return value if HIGHER_IS_BETTER[self.metric] else -value


class Followed:
    """NNCF's validation function for a control, called with a model and the numbers of the requests to judge it on.

    NNCF calls it with all requests to know whether a variant is good enough, first of all with the f32 model; and with
    a few to rank the layers by what turning them back mends. A few decisions, each right or wrong, rank nothing, so
    layers are ranked by how near the answers come to the f32 model's.

    NNCF ranks all layers again whenever a variant is worse than the one before, which takes longer than all else and is
    mostly chance: of a share of decisions, some always change sides. So a variant that is not good enough is never told
    to be worse than one before. What ends the search is only ever told as it is.
    """

    def __init__(self, control: Control) -> None:
        """Nothing asked yet."""
        self.control = control
        self.reference: dict[int, Array] = {}
        self.wanted: float | None = None
        self.best = -math.inf
        self.asked = 0
        self.said = time.monotonic()

    def __call__(self, model: Any, numbers: Iterable[int]) -> tuple[float, list[float]]:
        """What NNCF is told of a variant: its value over the requests, and of each alone. Raises OutOfTimeError.

        To look at more than it names would be a thousand times as dear.
        """
        asked = list(numbers)
        whole, alone, kept = Score(self.control.metric, self.control.output), [], {}
        for number, answer in self.control.answers(model, asked):
            whole.add(answer, self.control.labels[number])
            alone.append(self.nearness(number, answer))
            if self.wanted is None and answer.nbytes * len(asked) <= MOST_BYTES:
                kept[number] = answer
        self.tell()
        value = self.control.value(whole)
        if len(asked) < len(self.control.places):
            return (float(np.mean(alone)) if self.reference else value), alone
        if self.wanted is None:
            self.wanted, self.reference = value - self.control.allowed, kept
        return self.rising(value), alone

    def nearness(self, number: int, answer: Array) -> float:
        """How near the answer to one request is to the f32 model's, 0 at best; where that is not known, the metric."""
        if self.reference:
            wanted = self.reference[number].astype(np.float64)
            return -float(np.square(answer - wanted).sum() / max(np.square(wanted).sum(), TINY))
        score = Score(self.control.metric, self.control.output)
        score.add(answer, self.control.labels[number])
        return 0.0 if self.wanted is None else self.control.value(score)

    def rising(self, value: float) -> float:
        """What is told of a variant whose metric over all requests is `value`."""
        if self.wanted is not None and value < self.wanted:
            self.best = value = max(value, self.best)
        return value

    def tell(self) -> None:
        """Count one variant; a line in the log at most every few seconds."""
        self.asked += 1
        if time.monotonic() - self.said > progress.LINE_EVERY_S:
            self.said = time.monotonic()
            progress.say(f"int8-accuracy-aware: {self.asked} variants judged")


def prepare(description: Description, f32: Path, calibration: Samples, max_drop: float | None = None) -> Control | None:
    """The control for a model: model.yaml's metric, else agreement with the f32 IR's decisions, else None.

    A metric of the user's own is of all rows and tells nothing of a single one, so decisions are held then; also where
    the samples are made up. `max_drop` is what may be lost; None: what model.yaml says, else what the gate allows.
    Raises GateError where the f32 IR does no better on the calibration rows than chance: noise, or wrong labels.
    """
    _, judging = parted(len(calibration.feeds))
    places = [judging[int(at)] for at in np.linspace(0, len(judging) - 1, min(len(judging), MOST_SAMPLES))]
    runner = Runner(f32, execution.properties(F32))
    wished = description.quantization.max_drop if max_drop is None else max_drop
    if description.metric is None or description.metric.own or description.metric.detection or calibration.synthetic:
        return agreement(description, runner, calibration, places, wished)
    metric = description.metric
    output = metric.output or description.outputs[0].name
    reference, labels = Score(metric.name, output), []
    for at in places:
        wanted = calibration.labels_of(at)
        if wanted is None:
            raise InputError("metric: the data hold no labels for the calibration rows")
        reference.add(runner.predict(calibration.feeds[at])[output], wanted)
        labels.append(wanted)
    try:
        metrics.gate_doubt(reference)
    except GateError as error:
        raise GateError(f"calibration rows: {error}") from error
    probabilities = reference.probabilities() if reference.binary else None
    allowed = metric.allowed_drop if wished is None else wished
    return Control(calibration, places, labels, metric.name, output, allowed, probabilities)


def agreement(
    description: Description, runner: Runner, calibration: Samples, places: list[int], wished: float | None = None
) -> Control | None:
    """The control of a model without a metric: its own decisions are the labels. None where it decides nothing."""
    first = runner.predict(calibration.feeds[places[0]])
    for output in (one.name for one in description.outputs):
        if parity.kind_of(description, output, first[output]) in parity.DECIDING:
            axis = parity.class_axis(first[output].shape)
            labels: list[Array] = [runner.predict(calibration.feeds[at])[output].argmax(axis) for at in places]
            allowed = surely(1 - thresholds.of(description, "int8-accuracy-aware").min_top1_agreement, len(places))
            given = allowed if wished is None else wished
            return Control(calibration, places, labels, "accuracy", output, given, None)
    return None


def parted(total: int) -> tuple[list[int], list[int]]:
    """Numbers of the requests that ranges and biases are fitted to, and of those that judge: the same random halves.

    On EfficientNet-Lite0 INT8 kept 0.96 of the decisions on rows that it was fitted to, 0.84 on others.
    """
    if total < 2:
        return [0], [0]
    order = [int(at) for at in np.random.default_rng(0).permutation(total)]
    return sorted(order[: total // 2]), sorted(order[total // 2 :])


def surely(share: float, requests: int) -> float:
    """What of a share that is allowed to differ may differ on so many requests: one standard error less.

    The gate counts on rows that the layers were not chosen by, and a share of n rows is off by sqrt(p (1 - p) / n).
    """
    return max(share - math.sqrt(share * (1 - share) / requests), 0.0)
