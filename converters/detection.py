"""Mean average precision of detected boxes as COCO defines it (cocodataset.org, detection evaluation).

A detection is right where its box overlaps a label's of the same class, not taken yet, by an IoU of at least a
threshold; the best scores choose first. A class' average precision is the mean of the precision at 101 recalls, each
the best at that recall or more. `map` is the mean over the classes that have labels and over the IoUs 0.5, 0.55 to
0.95; `map50` takes IoU 0.5 alone. At most 100 detections an image and class count. There are no crowds.

Flat arrays: a detection is a row of 7 float64, (image, x1, y1, x2, y2, score, class), a label one of 6, without score.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.arrays import Array
from nearedge.errors import InputError
from nearedge.release.detection import BoxFormat, Detection

Floats = NDArray[np.float64]

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST = 100
"""Detections of one image and class that count."""
LABEL = 5
"""Numbers of one label in the data: four of the box, and the class."""


def corners(boxes: Array, form: BoxFormat) -> Floats:
    """Boxes [..., 4] as x1, y1, x2, y2."""
    first, second = boxes[..., :2].astype(np.float64), boxes[..., 2:].astype(np.float64)
    if form == "cxcywh":
        first = first - second / 2
    return np.concatenate([first, second if form == "xyxy" else first + second], axis=-1)


def detected(how: Detection, answers: Mapping[str, Array], first: int = 0) -> Floats:
    """The detections in one request's answers, whose images are numbered from `first`.

    Classes below 0 fill up and are left out. Raises InputError where the outputs' shapes do not fit each other.
    """
    boxes = answers[how.boxes]
    width = 6 if how.scores is None else 4
    if boxes.ndim not in (2, 3) or boxes.shape[-1] != width:
        raise InputError(
            f"output {how.boxes!r} has shape {list(boxes.shape)}, not [images, boxes, {width}]: see metric.detection"
        )
    places = boxes.shape[:-1]
    scores, classes = judged(how, answers, boxes, places)
    image = first + np.arange(boxes.size // width) // max(boxes.shape[-2], 1)
    columns = [image[:, None], corners(boxes[..., :4], how.format).reshape(-1, 4), scores[:, None], classes[:, None]]
    found = np.concatenate(columns, axis=1)
    return found[classes >= 0]


def judged(
    how: Detection, answers: Mapping[str, Array], boxes: Array, places: tuple[int, ...]
) -> tuple[Floats, Floats]:
    """The score and the class of each box, flat."""
    if how.scores is None:
        scores, classes = boxes[..., 4], boxes[..., 5]
        classes = classes if how.classes is None else fitting(how.classes, answers[how.classes], places)
    elif how.classes is None:
        each = answers[how.scores]
        if each.shape[:-1] != places:
            raise InputError(
                f"output {how.scores!r} has shape {list(each.shape)}, not {[*places, 'classes']} as the boxes have it; "
                "correct metric.detection"
            )
        scores, classes = each.max(-1), each.argmax(-1)
    else:
        scores = fitting(how.scores, answers[how.scores], places)
        classes = fitting(how.classes, answers[how.classes], places)
    return scores.astype(np.float64).ravel(), classes.astype(np.float64).ravel()


def fitting(name: str, values: Array, places: tuple[int, ...]) -> Array:
    """One number for each box. Raises InputError where there are others."""
    if values.size != np.prod(places):
        raise InputError(f"output {name!r} has shape {list(values.shape)}, the boxes {list(places)}: one number each")
    return values


def labelled(how: Detection, labels: Array, first: int = 0) -> Floats:
    """The labels of one request's images, [images, boxes, 5]; class -1 fills up. Raises InputError for other shapes."""
    if labels.ndim != 3 or labels.shape[-1] != LABEL:
        raise InputError(
            f"labels of shape {list(labels.shape)} are no boxes: give [images, boxes, {LABEL}], four numbers and the "
            "class; class -1 where an image has fewer"
        )
    image = np.repeat(first + np.arange(len(labels)), labels.shape[1])[:, None]
    flat = labels.astype(np.float64).reshape(-1, LABEL)
    found = np.concatenate([image, corners(flat[:, :4], how.format), flat[:, 4:]], axis=1)
    return found[flat[:, 4] >= 0]


def overlaps(one: Floats, other: Floats) -> Floats:
    """IoU of each box with each other one: [len(one), len(other)]. Boxes without area overlap nothing."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    found: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return found


def hits(overlap: Floats) -> NDArray[np.bool_]:
    """For each IoU and detection, best score first, whether it takes a label: [IoUs, detections]."""
    found = np.zeros((len(IOUS), len(overlap)), bool)
    free = np.ones((len(IOUS), overlap.shape[1]), bool)
    for number, row in enumerate(overlap):
        fits = free & (row >= IOUS[:, None])
        best = overlap.shape[1] - 1 - np.where(fits, row, -1.0)[:, ::-1].argmax(1)  # the last of equals, as COCO does
        found[:, number] = fits[np.arange(len(IOUS)), best]
        free[found[:, number], best[found[:, number]]] = False
    return found


@dataclass(frozen=True)
class Matches:
    """One class: the images of its detections by falling score, and the labels of each image.

    `hits` are the places of the detections that are right at some IoU, `right` whether they are: [IoUs, hits]. The
    others lower precision alone, so the best one at a recall or more is found at a hit.
    """

    images: NDArray[np.intp]
    hits: NDArray[np.intp]
    right: NDArray[np.bool_]
    labels: NDArray[np.intp]

    def precision(self, weights: NDArray[Any]) -> Floats | None:
        """Average precision at each IoU where image i counts weights[i] times; None where no label is left."""
        there = float(self.labels @ weights)
        if not there:
            return None
        count = weights[self.images]
        taken = (self.right * count[self.hits]).cumsum(1)
        precision = taken / np.maximum(count.cumsum()[self.hits], np.spacing(1))
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        reached = np.searchsorted(RECALLS, taken / there, side="right")  # recalls up to and at each hit's
        found: Floats = (best * np.diff(reached, prepend=0, axis=1)).sum(1) / len(RECALLS)
        return found


def match(answers: Floats, labels: Floats, images: int) -> list[Matches]:
    """The classes that have labels or detections in images 0 to `images` - 1."""
    return [
        of_class(answers[answers[:, 6] == one], labels[labels[:, 5] == one], images) for one in np.unique(labels[:, 5])
    ]


def of_class(answers: Floats, labels: Floats, images: int) -> Matches:
    """One class' matches."""
    parts, rights = [np.empty((0, 7))], [np.empty((len(IOUS), 0), bool)]
    for image in np.unique(answers[:, 0]):
        here = answers[answers[:, 0] == image]
        here = here[np.argsort(-here[:, 5], kind="stable")][:MOST]
        there = labels[labels[:, 0] == image]
        parts.append(here)
        none = np.zeros((len(IOUS), len(here)), bool)
        rights.append(hits(overlaps(here[:, 1:5], there[:, 1:5])) if len(there) else none)
    found, right = np.concatenate(parts), np.concatenate(rights, axis=1)
    order = np.argsort(-found[:, 5], kind="stable")
    counts = np.bincount(labels[:, 0].astype(np.intp), minlength=images)
    right = right[:, order]
    places = np.flatnonzero(right.any(0))
    return Matches(found[order, 0].astype(np.intp), places, right[:, places], counts)


def mean(matches: list[Matches], weights: NDArray[Any], name: str) -> float:
    """`map` or `map50` where image i counts weights[i] times; 0 where there are no labels."""
    each = [found for found in (one.precision(weights) for one in matches) if found is not None]
    if not each:
        return 0.0
    precisions = np.stack(each)
    return float(precisions[:, 0].mean() if name == "map50" else precisions.mean())


def value(name: str, answers: Floats, labels: Floats) -> float:
    """The metric over all the images that have a detection or a label."""
    images = int(max(answers[:, 0].max(initial=-1), labels[:, 0].max(initial=-1))) + 1
    return mean(match(answers, labels, images), np.ones(images), name)
