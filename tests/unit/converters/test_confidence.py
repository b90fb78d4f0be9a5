"""The interval of a drop: it holds what it says as often as it says, and never claims what few rows cannot tell."""

import numpy as np
import pytest

from converters import confidence, detection
from nearedge.release.detection import Detection


def test_few_rows_without_a_change_are_not_sure():
    low, high = confidence.paired(0, 0, 20)
    assert low == -high and 0.08 < high < 0.1
    assert confidence.paired(0, 0, 540)[1] < 0.004
    assert confidence.paired(6, 1, 100) == pytest.approx((-0.0044, 0.1025), abs=1e-3)


@pytest.mark.parametrize("metric,rises", [("accuracy", True), ("f1", True), ("mae", False), ("rmse", False)])
def test_the_interval_holds_the_true_drop(metric, rises, monkeypatch):
    """Forty draws from a population whose drop is known; 95 % should hold it, 85 % have to."""
    monkeypatch.setattr(confidence, "RESAMPLES", 200)
    random = np.random.default_rng(4)
    labels = random.integers(0, 3, 20_000).astype(float)
    source = np.where(random.random(20_000) < 0.05, 0, labels)
    converted = np.where(random.random(20_000) < 0.05, 1, source)
    if not rises:
        source, converted = source + random.normal(0, 1, 20_000), converted + random.normal(0, 1.1, 20_000)
    value = [confidence.WEIGHTED[metric](one, labels, 20_000)(np.ones(20_000)) for one in (source, converted)]
    truth = value[0] - value[1] if rises else value[1] - value[0]
    held = 0
    for _ in range(40):
        rows = random.integers(0, 20_000, 400)
        found = confidence.interval(metric, rises, (source[rows], labels[rows]), (converted[rows], labels[rows]), 400)
        held += found[0] <= truth <= found[1]
    assert held >= 34


def test_it_is_the_same_every_time_and_holds_the_point():
    random = np.random.default_rng(1)
    labels = random.normal(size=90)
    source, converted = labels + random.normal(0, 0.1, 90), labels + random.normal(0, 0.2, 90)
    first = confidence.interval("mae", False, (source, labels), (converted, labels), 90)
    assert first == confidence.interval("mae", False, (source, labels), (converted, labels), 90)
    assert 0 < first[0] < np.abs(converted - labels).mean() - np.abs(source - labels).mean() < first[1]


def test_several_places_a_row_are_not_several_rows():
    """A picture of a thousand places that are all right or all wrong is one row."""
    labels = np.zeros(20_000)
    converted = np.repeat(np.arange(20) == 0, 1000).astype(float)
    low, high = confidence.interval("accuracy", True, (labels, labels), (converted, labels), 20)
    assert low < 0.0 < 0.1 < high


def test_boxes_are_resampled_by_image():
    random = np.random.default_rng(2)
    corner = random.uniform(0, 50, (30, 3, 2))
    labels = np.concatenate([corner, corner + 20, random.integers(0, 2, (30, 3, 1))], axis=2)
    found = np.concatenate([labels[..., :4], random.random((30, 3, 1)), labels[..., 4:]], axis=2)
    worse = found.copy()
    worse[:6, 0, :4] += 12
    how = Detection(boxes="b")
    truths = detection.labelled(how, labels)
    before, after = (detection.detected(how, {"b": one}) for one in (found, worse))
    point = detection.value("map", before, truths) - detection.value("map", after, truths)
    low, high = confidence.interval("map", True, (before, truths), (after, truths), 30)
    assert 0 <= low < point < high < 0.4
    low, high = confidence.interval("map", True, (before, truths), (before, truths), 30)
    assert low == -high == -confidence.least_width(30)


@pytest.mark.parametrize("metric,rows", [("accuracy", 1), ("package.module:function", 50)])
def test_there_is_none_where_nothing_is_known(metric, rows):
    values = np.zeros(rows)
    assert confidence.interval(metric, True, (values, values), (values, values), rows) is None


def test_too_many_classes_have_none(monkeypatch):
    monkeypatch.setattr(confidence, "MOST_COUNTS", 10)
    values = np.arange(20.0)
    assert confidence.interval("f1", True, (values, values), (values, values), 20) is None
