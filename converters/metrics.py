"""The task's metric, gathered request by request: accuracy, macro f1, mae, rmse; how much worse; and whether to doubt.

Formulas are scikit-learn's: accuracy_score, f1_score(average="macro"), mean_absolute_error, root_mean_squared_error.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.arrays import Array
from nearedge.errors import GateError, InputError
from nearedge.release.metric import HIGHER_IS_BETTER

ENOUGH_ROWS = 20
"""With fewer rows chance alone explains too much to doubt the labels."""


class Score:
    """One model's answers beside the labels."""

    probable: bool | None = None
    """Whether single scores are probabilities, set where another's answers told, so that both are judged alike."""

    def __init__(self, metric: str, output: str, rises: bool | None = None) -> None:
        """Nothing gathered yet. `output` is judged. `rises`: higher is better; None for one of ours, which knows."""
        self.metric, self.output = metric, output
        self.rises = HIGHER_IS_BETTER[metric] if rises is None else rises
        self.answers: list[NDArray[np.float64]] = []
        self.labels: list[NDArray[np.float64]] = []
        self.binary = False

    def take(self, answers: Mapping[str, Array], labels: Array) -> None:
        """Take one request's answers and its rows' labels."""
        self.add(answers[self.output], labels)

    def add(self, output: Array, labels: Array) -> None:
        """Take one request's output and its rows' labels. Raises InputError where they cannot be compared."""
        if self.metric in ("accuracy", "f1"):
            self.binary, decisions = decide(output, labels)
            self.answers.append(decisions)
        else:
            if output.size != labels.size:
                raise InputError(f"labels of shape {list(labels.shape)} do not fit an output of {list(output.shape)}")
            self.answers.append(output.astype(np.float64).ravel())
        self.labels.append(labels.astype(np.float64).ravel())

    def probabilities(self) -> bool:
        """Whether all single scores lie in [0, 1], so that the decision falls at 0.5; logits decide at 0."""
        return all(((part >= 0) & (part <= 1)).all() for part in self.answers)

    def gathered(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """All answers (classes or values) and all labels, each one flat array."""
        answers, labels = np.concatenate(self.answers), np.concatenate(self.labels)
        if self.binary:
            at = 0.5 if (self.probabilities() if self.probable is None else self.probable) else 0.0
            answers = (answers > at).astype(np.float64)
        return answers, labels

    def value(self) -> float:
        """The metric of all that was taken."""
        return FORMULAS[self.metric](*self.gathered())

    def beside(self) -> str:
        """What knows nothing of the rows and does as well as these answers; empty where nothing does.

        Classes: the share that agrees by chance, given how often each class is answered and labelled (Cohen's kappa
        uses the same), and two standard deviations. Values: the error of always answering the labels' median or mean.
        """
        answers, labels = self.gathered()
        if labels.size < ENOUGH_ROWS or np.unique(labels).size < 2:
            return ""
        if self.metric in ("accuracy", "f1"):
            chance = sum(float((answers == one).mean() * (labels == one).mean()) for one in np.unique(labels))
            doubtful = accuracy(answers, labels) <= chance + 2 * math.sqrt(chance * (1 - chance) / labels.size)
            return f"chance ({chance:.3g} of the rows would agree)" if doubtful else ""
        middle = np.median(labels) if self.metric == "mae" else labels.mean()
        chance = FORMULAS[self.metric](np.full_like(labels, middle), labels)
        return f"always answering {middle:.4g} ({chance:.4g})" if self.value() >= chance else ""


def decide(output: Array, labels: Array) -> tuple[bool, NDArray[np.float64]]:
    """Whether the output is a single score for each label, and its flat classes, or those scores.

    Labels of the output's shape without one axis: that axis holds the classes. Raises InputError where nothing fits.
    """
    wanted = squeezed(labels.shape)
    if output.size == labels.size:
        if output.dtype.kind in "iub":
            return False, output.astype(np.float64).ravel()
        return True, output.astype(np.float64).ravel()
    for axis in [output.ndim - 1, *range(output.ndim - 1)]:
        if squeezed(output.shape[:axis] + output.shape[axis + 1 :]) == wanted and output.shape[axis] > 1:
            return False, output.argmax(axis).astype(np.float64).ravel()
    raise InputError(
        f"labels of shape {list(labels.shape)} do not fit an output of {list(output.shape)}: "
        "give class numbers, one for each row (or place)"
    )


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its dimensions of one."""
    return tuple(size for size in shape if size != 1)


def accuracy(answers: NDArray[Any], labels: NDArray[Any]) -> float:
    """Share of answers that are the label."""
    return float((answers == labels).mean())


def f1(answers: NDArray[Any], labels: NDArray[Any]) -> float:
    """Mean over the classes of 2 tp / (2 tp + fp + fn)."""
    scores = []
    for one in np.union1d(answers, labels):
        right = int(((answers == one) & (labels == one)).sum())
        scores.append(2 * right / (int((answers == one).sum()) + int((labels == one).sum())))
    return float(np.mean(scores))


def mae(answers: NDArray[Any], labels: NDArray[Any]) -> float:
    """Mean absolute error."""
    return float(np.abs(answers - labels).mean())


def rmse(answers: NDArray[Any], labels: NDArray[Any]) -> float:
    """Root of the mean squared error over all values."""
    return math.sqrt(float(((answers - labels) ** 2).mean()))


FORMULAS = {"accuracy": accuracy, "f1": f1, "mae": mae, "rmse": rmse}


def drop(rises: bool, before: float, after: float) -> float:
    """How much worse `after` is, in the metric's own unit; negative where it is better. `rises`: higher is better."""
    return before - after if rises else after - before


def gate_drop(metric: str, rises: bool, before: float, after: float, allowed: float, unsure: str = "") -> None:
    """Raise GateError where more of the metric is lost than allowed; `unsure` says how far the rows can tell."""
    lost = drop(rises, before, after)
    if not lost <= allowed + 1e-9:
        raise GateError(
            f"{metric} went from {before:.4g} to {after:.4g}: a drop of {lost:.4g}, more than the allowed "
            f"{allowed:g}{unsure}; choose another precision or raise metric.allowed_drop"
        )


def gate_expected(score: Score, expected: float | None, allowed: float) -> None:
    """Raise GateError where the source itself is worse here than where it was trained: model.yaml does not describe it.

    Parity cannot see that, since the source and the IR are fed the same wrong values.
    """
    if expected is not None and not drop(score.rises, expected, score.value()) <= allowed + 1e-9:
        raise GateError(
            f"the source's own {score.metric} is {score.value():.4g}, metric.expected is {expected:g}: preprocessing, "
            "layout, labels or the data are not those it was trained with; correct model.yaml or the data"
        )


def gate_doubt(score: Score) -> None:
    """Raise GateError where the source itself does no better than answers that know nothing of the rows.

    A drop between two such figures proves nothing; labels shifted by a row or a class look like this.
    """
    beside = score.beside()
    if beside:
        raise GateError(
            f"the source's own {score.metric} is {score.value():.4g}, no better than {beside}: labels, their order or "
            "the preprocessing do not fit the model; correct model.yaml or the data"
        )
