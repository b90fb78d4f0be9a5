"""A metric that is a function of the user's own: called once with all answers and all labels, taken at its word."""

import math

import numpy as np

from converters.arrays import Array
from converters.box_metric import BoxScore
from converters.metrics import Score
from converters.own_code import OwnCode
from nearedge.errors import InputError
from nearedge.release.metric import Metric

KEY = "metric.name"


class OwnScore(Score):
    """One model's answers beside the labels, judged by `metric.name`, a `function(answers, labels) -> float`."""

    def __init__(self, metric: Metric, output: str, code: OwnCode) -> None:
        """Import the function. Raises InputError where it is not there."""
        super().__init__(metric.name, output, metric.rises)
        self.function = code.function(metric.name, KEY)

    def add(self, output: Array, labels: Array) -> None:
        """Take one request's output and its rows' labels; a model without batch dimension gives one row."""
        rows = output if output.ndim and output.shape[0] == len(labels) else output[None]
        self.answers.append(rows)
        self.labels.append(labels)

    def value(self) -> float:
        """What the function says of all rows. Raises InputError where that is no finite number."""
        found = self.function(np.concatenate(self.answers), np.concatenate(self.labels))
        try:
            value = float(found)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"{KEY} {self.metric}: gave {str(found)[:80]!r}; it has to give one finite number")
        return value

    def beside(self) -> str:
        """What it gives by chance is not known."""
        return ""


def score_of(metric: Metric, output: str, code: OwnCode | None) -> Score:
    """An empty score of `output` for model.yaml's metric. Raises InputError for a user's own where `code` is None."""
    if metric.detection is not None:
        return BoxScore(metric.name, metric.detection)
    if not metric.own:
        return Score(metric.name, output)
    if code is None:
        raise InputError(f"{KEY} {metric.name}: is Python of its own, and none is allowed here")
    return OwnScore(metric, output, code)
