"""What int8-accuracy-aware holds the accuracy by while it decides which layers to turn back to floats.

The samples are calibration rows: what a model is judged by at the end must not have shaped it.
"""

import math
import time
from collections.abc import Iterable
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
        """The request of that number, cut from the data only when it is asked for."""
        return self.samples.feeds[self.places[number]]

    def validate(self, model: Any, numbers: Iterable[int]) -> tuple[float, list[float]]:
        """NNCF's validation function: the metric over the requests `numbers`, and of each alone; larger is better.

        NNCF names those it wants to know about; to look at all of them each time is a thousand times as dear. `model`
        is an openvino.CompiledModel. Raises OutOfTimeError.
        """
        sign = 1.0 if HIGHER_IS_BETTER[self.metric] else -1.0
        request = model.create_infer_request()
        whole, values = Score(self.metric), []
        for number in numbers:
            if time.monotonic() > self.deadline:
                raise OutOfTimeError
            answer = np.array(request.infer(self.feed(number))[self.output])
            alone = Score(self.metric)
            for score in (whole, alone):
                score.add(answer, self.labels[number])
            values.append(sign * alone.value(self.probabilities))
        return sign * whole.value(self.probabilities), values


class Followed:
    """A control's validation function that tells in the log how many variants of the model it was asked about."""

    def __init__(self, control: Control) -> None:
        """Nothing asked yet."""
        self.control = control
        self.asked = 0
        self.said = time.monotonic()

    def __call__(self, model: Any, numbers: Iterable[int]) -> tuple[float, list[float]]:
        """As the control's `validate`, with a line at most every few seconds."""
        found = self.control.validate(model, numbers)
        self.asked += 1
        if time.monotonic() - self.said > progress.LINE_EVERY_S:
            self.said = time.monotonic()
            progress.say(f"int8-accuracy-aware: {self.asked} variants judged")
        return found


def prepare(description: Description, f32: Path, calibration: Samples, max_drop: float | None = None) -> Control | None:
    """The control for a model: model.yaml's metric, else agreement with the f32 IR's decisions, else None.

    A metric of the user's own is of all rows and tells nothing of a single one, so decisions are held then; also where
    the samples are made up. `max_drop` is what may be lost; None: what model.yaml says, else what the gate allows.
    Raises GateError where the f32 IR does no better on the calibration rows than chance: noise, or wrong labels.
    """
    total = len(calibration.feeds)
    places = [int(at) for at in np.linspace(0, total - 1, min(total, MOST_SAMPLES))]
    runner = Runner(f32, execution.properties(F32))
    wished = description.quantization.max_drop if max_drop is None else max_drop
    if description.metric is None or description.metric.own or description.metric.detection or calibration.synthetic:
        return agreement(description, runner, calibration, places, wished)
    metric = description.metric
    output = metric.output or description.outputs[0].name
    reference, labels = Score(metric.name), []
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
            allowed = 1 - thresholds.of(description, "int8-accuracy-aware").min_top1_agreement
            given = allowed if wished is None else wished
            return Control(calibration, places, labels, "accuracy", output, given, None)
    return None
