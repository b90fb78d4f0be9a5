"""The metrics of detected boxes, `map` and `map50`, gathered request by request."""

from collections.abc import Mapping

import numpy as np

from converters import detection
from converters.arrays import Array
from converters.metrics import ENOUGH_ROWS, Score
from nearedge.errors import InputError
from nearedge.release.detection import Detection


class BoxScore(Score):
    """One model's detections beside the labels; a row is an image."""

    def __init__(self, metric: str, how: Detection) -> None:
        """Nothing gathered yet."""
        super().__init__(metric, how.boxes)
        self.how = how
        self.images = 0

    def take(self, answers: Mapping[str, Array], labels: Array) -> None:
        """Take one request's outputs and its images' labels. Raises InputError where they do not fit each other."""
        truths = detection.labelled(self.how, labels, self.images)
        shape = answers[self.how.boxes].shape
        if len(labels) != (shape[0] if len(shape) > 2 else 1):
            raise InputError(f"output {self.how.boxes!r} has shape {list(shape)} for {len(labels)} images")
        self.answers.append(detection.detected(self.how, answers, self.images))
        self.labels.append(truths)
        self.images += len(labels)

    def value(self) -> float:
        """The metric. Raises InputError where the labels hold no box."""
        answers, labels = self.gathered()
        if not len(labels):
            raise InputError("labels hold no box in these rows; class -1 is for what fills up")
        return detection.value(self.metric, answers, labels)

    def beside(self) -> str:
        """Whether the labels of the next image fit as well as its own: then the detections know nothing of the rows."""
        answers, labels = self.gathered()
        if self.images < ENOUGH_ROWS:
            return ""
        moved = np.concatenate([(labels[:, :1] + 1) % self.images, labels[:, 1:]], axis=1)
        found, other = self.value(), detection.value(self.metric, answers, moved)
        return "" if found > other else f"with the labels of other images ({other:.3g})"
