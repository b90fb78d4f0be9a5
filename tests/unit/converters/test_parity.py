"""Parity's figures against numpy's, and the gate against damage."""

import itertools

import numpy as np
import pytest

from converters import parity
from converters.parity import Difference
from converters.thresholds import ACROSS, CLOSE, THRESHOLDS, logit_margin
from nearedge.errors import GateError
from nearedge.release.description import Description

GENERATOR = np.random.default_rng(3)


def difference(source, converted, kind="value", rows_each=1):
    found = Difference("y", rows_each)
    for left, right in zip(source, converted, strict=True):
        found.add(left, right, kind)
    return found.result()


def test_figures_are_numpys():
    source = GENERATOR.normal(size=(20, 1, 7))
    converted = source + GENERATOR.normal(scale=0.1, size=source.shape)
    found = difference(source, converted, "class")
    distance = np.abs(source - converted)
    cosines = [(a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(source, converted, strict=True)]
    assert found.max_abs == pytest.approx(distance.max())
    assert found.mean_abs == pytest.approx(distance.mean())
    assert found.max_relative == pytest.approx(distance.max() / np.abs(source).max())
    assert found.cosine == pytest.approx(min(cosines))
    assert found.top1_agreement == pytest.approx((source.argmax(-1) == converted.argmax(-1)).mean())


def test_a_static_batch_holds_several_samples():
    source = np.array([[[1.0, 0.0], [1.0, 0.0]]])
    converted = np.array([[[1.0, 0.0], [0.0, 1.0]]])
    assert difference(source, converted, rows_each=2).cosine == pytest.approx(0.0)
    assert difference(source, converted, rows_each=1).cosine == pytest.approx(0.5)
    assert difference(source, converted, "class", rows_each=2).top1_agreement == 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["source", "IR"])
def test_what_is_not_finite_fails_even_where_both_agree(value, side):
    bad, good = np.array([[1.0, value]]), np.array([[1.0, 2.0]])
    with pytest.raises(GateError, match=f"the {side} answers with NaN or infinity"):
        difference([bad if side == "source" else good], [bad if side == "IR" else good])
    with pytest.raises(GateError):
        difference([bad], [bad])


def test_another_shape_fails():
    with pytest.raises(GateError, match=r"'y': the IR answers with shape \[1, 3\], the source with \[1, 2\]"):
        difference([np.ones((1, 2))], [np.ones((1, 3))])


@pytest.mark.parametrize("source,converted,relative,cosine", [
    ([0.0, 0.0], [0.0, 0.0], 0.0, 1.0),
    ([0.0, 0.0], [0.5, 0.0], 0.5, 0.0),
    ([2.0, 0.0], [0.0, 0.0], 1.0, 0.0),
    ([], [], 0.0, 1.0),
])  # fmt: skip
def test_zeros_have_figures(source, converted, relative, cosine):
    found = difference([np.array([source])], [np.array([converted])])
    assert (found.max_relative, found.cosine) == (relative, cosine)


def test_a_single_number_has_no_direction_of_its_own():
    source = np.array([[[5.0]], [[-1e-6]], [[3.0]]])
    assert difference(source, source + np.array([[[0.0]], [[2e-6]], [[0.0]]])).cosine == pytest.approx(1.0)
    assert difference(source, -source).cosine == pytest.approx(-1.0)


def test_noise_of_a_sample_that_is_nearly_nothing_has_no_direction():
    source = np.array([[[3.0, 4.0]], [[1e-6, 0.0]]])
    assert difference(source, source + np.array([[[0.0, 0.0]], [[0.0, 1e-6]]])).cosine == pytest.approx(1.0)


def describe(metric=None, output="y"):
    body = {
        "schema": 1, "name": "m", "source": {"path": "m"}, "inputs": [{"name": "x", "shape": [1], "dtype": "FP32"}],
        "outputs": [{"name": "y"}, {"name": "z"}],
    }  # fmt: skip
    if metric:
        body |= {"data": {"path": "d", "labels": "l"}}
        body |= {"metric": {"name": metric, "output": output, "allowed_drop": 0.1}}
    return Description.model_validate(body)


@pytest.mark.parametrize("metric,name,values,kind", [
    ("accuracy", "y", [[2.0, 5.0]], "class"), ("accuracy", "y", [[0.5, 0.5]], "probabilities"),
    ("f1", "y", [[0.3]], "value"), ("mae", "y", [[2.0, 5.0]], "value"),
    ("rmse", "y", [[0.5, 0.5]], "value"), ("accuracy", "y", [3], "discrete"), (None, "y", [True], "discrete"),
    (None, "y", [[0.2, 0.8]], "probabilities"), (None, "y", [[2.0, 5.0]], "class"),
    (None, "y", [[[2.0, 5.0]]], "value"),
    ("mae", "z", [[2.0, 5.0]], "value"), ("mae", "z", [[0.2, 0.8]], "probabilities"), (None, "y", 3.0, "value"),
])  # fmt: skip
def test_kinds(metric, name, values, kind):
    assert parity.kind_of(describe(metric), name, np.asarray(values)) == kind


@pytest.mark.parametrize("values,probable", [
    ([[0.2, 0.8]], True), ([[0.2, 0.7]], False), ([[-0.5, 1.5]], False), (1.0, False), (np.zeros((0, 2)), False),
])  # fmt: skip
def test_probabilities(values, probable):
    assert parity.is_probabilities(np.asarray(values)) == probable


def damaged(source, how):
    converted = source.copy()
    if how == "permuted":
        return np.roll(converted, 1, axis=-1)
    if how == "scaled":
        return converted * 1.5
    if how == "shifted":
        return converted + 0.5 * np.abs(source).max()
    if how == "rows":
        return np.roll(converted, 1, axis=0)
    return np.zeros_like(converted)


@pytest.mark.parametrize("precision", list(THRESHOLDS))
@pytest.mark.parametrize("how", ["permuted", "scaled", "shifted", "rows", "zeroed"])
def test_damage_fails_the_gate_of_every_precision(how, precision):
    source = GENERATOR.normal(size=(50, 1, 10)) * 5
    good = difference(source, source * (1 + 1e-6), "class")
    parity.gate([(good, "class")], THRESHOLDS[precision], precision)
    bad = difference(source, damaged(source, how), "class")
    with pytest.raises(GateError, match=rf"output 'y': \w+ \S+ is (over|under) \S+ for {precision}"):
        parity.gate([(bad, "class")], THRESHOLDS[precision], precision)


def test_decisions_are_judged_by_their_share_alone():
    source = np.arange(100).reshape(100, 1)
    same = difference(source, source, "discrete")
    assert same.top1_agreement == 1.0 and not parity.faults(same, THRESHOLDS["f32"], "discrete")
    other = source.copy()
    other[:3] += 50
    found = difference(source, other, "discrete")
    assert found.top1_agreement == 0.97
    assert parity.faults(found, THRESHOLDS["f32"], "discrete") == ["top1_agreement 0.97 is under 0.99"]
    assert not parity.faults(found, THRESHOLDS["int8"], "discrete")


def test_probabilities_of_a_sample_that_may_go_to_another_class_are_judged_by_top1():
    source = np.tile([[[0.51, 0.49]]], (100, 1, 1))
    other = source.copy()
    other[:3] = [[0.0, 1.0]]
    found = difference(source, other, "probabilities")
    assert not parity.faults(found, THRESHOLDS["int8"], "probabilities")
    assert len(parity.faults(found, THRESHOLDS["fp16"], "probabilities")) == 3
    assert len(parity.faults(found, THRESHOLDS["int8"], "class")) == 2
    other[:6] = [[0.0, 1.0]]
    assert parity.faults(difference(source, other, "probabilities"), THRESHOLDS["int8"], "probabilities") == [
        "top1_agreement 0.94 is under 0.95"
    ]


def test_thresholds_loosen_with_precision():
    ordered = [THRESHOLDS[name] for name in ("f32", "fp16", "bf16", "int8")]
    for tight, loose in itertools.pairwise(ordered):
        assert tight.max_relative < loose.max_relative and tight.min_cosine > loose.min_cosine
        assert tight.min_top1_agreement >= loose.min_top1_agreement
    assert all(CLOSE[name] < ACROSS[name] and logit_margin(name) == 2 * ACROSS[name] for name in THRESHOLDS)
    assert ACROSS["int8"] > 2.5 / 21


def test_top5_is_the_share_of_the_sources_decisions_among_the_five_largest():
    source = np.tile(np.arange(8.0), (4, 1))[:, None]
    other = source.copy()
    other[1, 0, 7] = 2.5  # the fifth largest
    other[2, 0, 7] = 1.5  # the sixth
    found = difference(source, other, "class")
    assert (found.top1_agreement, found.top5_agreement) == (0.5, 0.75)
    judge = [7 in np.argsort(-row[0])[:5] for row in other]
    assert found.top5_agreement == np.mean(judge)
    limits = THRESHOLDS["int8"].model_copy(update={"max_relative": 9.0, "min_cosine": -1.0, "min_top1_agreement": 0.0})
    assert parity.faults(found, limits, "class") == ["top5_agreement 0.75 is under 0.98"]
    assert not parity.faults(found, limits.model_copy(update={"min_top5_agreement": None}), "class")


@pytest.mark.parametrize("classes,told", [(5, False), (6, True)])
def test_top5_of_five_classes_tells_nothing(classes, told):
    values = GENERATOR.normal(size=(3, 1, classes))
    assert (difference(values, values, "class").top5_agreement is not None) == told
    assert difference(values, values, "value").top5_agreement is None


def test_detections_may_be_more_or_fewer_and_change_places_where_decisions_may():
    source = np.array([[[0.0, 0, 9, 9], [5, 5, 8, 8]]])
    fewer = difference([source], [source[:, :1]], "detections")
    assert fewer.max_abs == 8.0 and fewer.top1_agreement is None
    assert parity.faults(fewer, THRESHOLDS["f32"], "detections") and parity.faults(
        fewer, THRESHOLDS["fp16"], "detections"
    )
    assert not parity.faults(fewer, THRESHOLDS["int8"], "detections")
