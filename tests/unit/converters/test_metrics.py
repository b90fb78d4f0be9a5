"""Metrics against scikit-learn's, and doubt about labels that do not fit."""

import numpy as np
import pytest
from sklearn import metrics as judge

from converters import metrics
from converters.metrics import Score
from nearedge.errors import GateError, InputError
from nearedge.release.metric import HIGHER_IS_BETTER

GENERATOR = np.random.default_rng(5)


def score(metric, outputs, labels):
    found = Score(metric, "scores")
    for output, label in zip(outputs, labels, strict=True):
        found.add(output[None], label[None])
    return found


def test_classes_are_judged_as_scikit_learn_does():
    outputs, labels = GENERATOR.normal(size=(200, 4)), GENERATOR.integers(0, 5, 200)
    answers = outputs.argmax(1)
    assert score("accuracy", outputs, labels).value() == pytest.approx(judge.accuracy_score(labels, answers))
    assert score("f1", outputs, labels).value() == pytest.approx(judge.f1_score(labels, answers, average="macro"))


def test_values_are_judged_as_scikit_learn_does():
    outputs, labels = GENERATOR.normal(size=(50, 3)), GENERATOR.normal(size=(50, 3))
    assert score("mae", outputs, labels).value() == pytest.approx(judge.mean_absolute_error(labels, outputs))
    assert score("rmse", outputs, labels).value() == pytest.approx(
        judge.root_mean_squared_error(labels.ravel(), outputs.ravel())
    )


@pytest.mark.parametrize("shift", [0.0, -0.5])
def test_a_single_score_decides_at_a_half_or_for_logits_at_zero(shift):
    outputs = np.array([[0.1], [0.6], [0.9], [0.4]]) + shift
    labels = np.array([0, 1, 1, 1])
    found = score("accuracy", outputs, labels)
    assert found.binary and found.value() == 0.75 and found.probabilities() == (shift == 0.0)
    assert score("f1", outputs, labels).value() == pytest.approx(
        judge.f1_score([0, 1, 1, 1], [0, 1, 1, 0], average="macro")
    )


def test_the_ir_is_judged_as_the_source_was():
    logits = score("accuracy", np.array([[0.2], [0.3]]), np.array([1, 1]))
    assert logits.value() == 0.0
    logits.probable = False
    assert logits.value() == 1.0


@pytest.mark.parametrize("output,labels,classes", [
    (np.eye(3)[None, :2], np.array([[0, 1]]), [0, 1]),
    (np.moveaxis(np.eye(3), 1, 0)[None, :, :, None], np.array([[[0], [1], [2]]]), [0, 1, 2]),
    (np.array([4, 5]), np.array([4, 0]), [4, 5]),
    (np.array([[0.1, 0.9]]), np.array([[1]]), [1]),
])  # fmt: skip
def test_where_the_classes_lie(output, labels, classes):
    assert metrics.decide(output, labels)[1].tolist() == classes


def test_labels_of_another_shape_are_refused():
    with pytest.raises(InputError, match=r"labels of shape \[1, 7\] do not fit an output of \[1, 10\]"):
        score("accuracy", np.ones((1, 10)), np.ones((1, 7)))
    with pytest.raises(InputError, match="do not fit"):
        score("mae", np.ones((1, 3)), np.ones((1, 2)))


@pytest.mark.parametrize("metric,before,after,lost", [
    ("accuracy", 0.9, 0.8, 0.1), ("f1", 0.5, 0.6, -0.1), ("mae", 2.0, 2.5, 0.5), ("rmse", 2.0, 1.5, -0.5),
])  # fmt: skip
def test_a_drop_is_how_much_worse(metric, before, after, lost):
    assert metrics.drop(HIGHER_IS_BETTER[metric], before, after) == pytest.approx(lost)


def test_the_gate_names_figures_and_limit():
    metrics.gate_drop("accuracy", True, 0.97, 0.96, 0.01)
    with pytest.raises(GateError, match=r"accuracy went from 0.97 to 0.95: a drop of 0.02, more than the allowed 0.01"):
        metrics.gate_drop("accuracy", True, 0.97, 0.95, 0.01)
    with pytest.raises(GateError):
        metrics.gate_drop("accuracy", True, 0.97, float("nan"), 0.01)
    with pytest.raises(GateError):
        metrics.gate_drop("mae", False, 1.0, 1.2, 0.1)


def classified(labels, wrong=0.1):
    answers = np.where(GENERATOR.random(len(labels)) < wrong, GENERATOR.integers(0, 10, len(labels)), labels)
    return np.eye(10)[answers]


@pytest.mark.parametrize("damage", ["none", "shifted by a class", "shifted by a row"])
@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_labels_that_do_not_fit_are_doubted(metric, damage):
    labels = GENERATOR.integers(0, 10, 300)
    outputs = classified(labels)
    if damage == "none":
        metrics.gate_doubt(score(metric, outputs, labels))
        return
    wrong = (labels + 1) % 10 if damage == "shifted by a class" else np.roll(labels, 1)
    with pytest.raises(GateError, match=f"the source's own {metric} is .* no better than chance"):
        metrics.gate_doubt(score(metric, outputs, wrong))


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_values_worse_than_a_constant_are_doubted(metric):
    labels = GENERATOR.normal(size=(100, 1))
    metrics.gate_doubt(score(metric, labels + 0.1, labels))
    with pytest.raises(GateError, match="no better than always answering"):
        metrics.gate_doubt(score(metric, np.roll(labels, 1), labels))


def test_few_rows_and_a_single_class_are_not_doubted():
    metrics.gate_doubt(score("accuracy", np.eye(10), (np.arange(10) + 1) % 10))
    metrics.gate_doubt(score("accuracy", np.eye(10)[np.ones(50, int)], np.ones(50, int)))


def test_a_rare_class_is_not_doubted():
    labels = (np.arange(200) % 20 == 0).astype(int)
    metrics.gate_doubt(score("accuracy", np.eye(2)[labels], labels))
