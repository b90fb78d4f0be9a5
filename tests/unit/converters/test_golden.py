"""Golden samples: sure decisions only, within count and bytes, the same bytes every time."""

import io

import numpy as np
import pytest

from converters import golden
from converters.golden import Candidate
from converters.thresholds import ACROSS, CLOSE, logit_margin
from nearedge.errors import InputError
from nearedge.release.description import Description, Golden

CLASS = {"y": "class"}
ALLOWED = Golden(rows=(0, 100), count=4)


def candidate(scores, least=None, name="y"):
    here = {name: np.asarray([scores])}
    return Candidate({"x": np.zeros((1, 2), "f4")}, here, (here if least is None else {name: np.asarray([least])},))


def sure(scores, precision, kind="class", least=None):
    return golden.is_sure(candidate(scores, least), {"y": kind}, {"y": 10.0}, precision)


@pytest.mark.parametrize("precision", list(ACROSS))
def test_the_margin_must_exceed_twice_what_an_instruction_set_moves(precision):
    wide = 10 * logit_margin(precision)
    assert sure([10.0, 10.0 - 1.01 * wide, -5.0], precision)
    assert not sure([10.0, 10.0 - 0.99 * wide, -5.0], precision)


def test_a_sample_another_set_decides_otherwise_is_never_sure():
    assert not sure([10.0, 0.0], "f32", least=[0.0, 10.0])
    assert not sure([10.0, 0.0], "f32", least=[10.0, 0.0, 1.0])


@pytest.mark.parametrize("scores,precision,is_sure", [
    ([0.97, 0.03], "int8", True), ([0.9, 0.1], "int8", False), ([0.9, 0.1], "bf16", True),
    ([0.52, 0.48], "f32", False), ([0.6, 0.4], "fp16", True),
])  # fmt: skip
def test_probabilities_have_margins_of_their_own(scores, precision, is_sure):
    assert sure(scores, precision) == is_sure


def test_values_and_decisions():
    assert sure([1.0, 2.0], "int8", "value", [1.0, 2.9])
    assert not sure([1.0, 2.0], "int8", "value", [1.0, 4.0])
    assert sure([1, 2], "int8", "discrete") and not sure([1, 2], "int8", "discrete", [1, 3])


def test_the_margin_is_the_least_of_all_places():
    assert golden.margin(np.array([[[5.0, 1.0], [2.0, 1.5]]])) == 0.5
    images = np.zeros((1, 3, 2, 2))
    images[0, 1] = [[4.0, 3.0], [2.0, 1.0]]
    assert golden.margin(images) == 1.0


def test_each_class_comes_before_any_comes_twice():
    found = [candidate(np.eye(3)[kind] * 20) for kind in (0, 0, 0, 1, 2, 1)]
    picked = golden.choose(found, CLASS, ALLOWED, "int8")
    assert [golden.decision(one, CLASS) for one in picked] == [0, 1, 2, 0]
    assert picked[0] is found[0] and picked[3] is found[1]


def test_thin_and_odd_shaped_samples_are_left_out():
    found = [candidate([20.0, 0.0]), candidate([20.0, 19.0]), candidate([20.0, 0.0, 0.0])]
    assert golden.choose(found, CLASS, ALLOWED, "int8") == found[:1]
    assert golden.choose([], CLASS, ALLOWED, "int8") == []
    assert golden.decision(found[0], {"y": "value"}) == 0


def test_bytes_are_capped():
    found = [candidate([20.0, 0.0]) for _ in range(4)]
    two = len(golden.archive(found[:2]))
    assert len(golden.choose(found, CLASS, Golden(rows=(0, 9), count=4, max_bytes=two), "f32")) == 2
    with pytest.raises(InputError, match=r"golden\.max_bytes: 100 hold no sample"):
        golden.choose(found, CLASS, Golden(rows=(0, 9), max_bytes=100), "f32")


def test_the_archive_is_numpys_and_the_same_every_time():
    found = [candidate([20.0, 0.0]), candidate([0.0, 20.0])]
    content = golden.archive(found)
    assert content == golden.archive(found)
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        assert set(arrays.files) == {"input/x", "output/y"}
        assert arrays["output/y"].tolist() == [[[20.0, 0.0]], [[0.0, 20.0]]] and arrays["input/x"].shape == (2, 1, 2)


def describe(metric=None):
    body = {
        "schema": 1, "name": "m", "source": {"path": "m"}, "inputs": [{"name": "x", "shape": [1], "dtype": "FP32"}],
        "outputs": [{"name": "y"}],
    }  # fmt: skip
    if metric:
        body |= {"data": {"path": "d", "labels": "l"}, "metric": {"name": metric, "allowed_drop": 7.5}}
    return Description.model_validate(body)


def test_tolerances_are_of_the_decision_and_of_closeness():
    found = [candidate([20.0, 0.0])]
    [one] = golden.tolerances(describe(), found, CLASS, "int8")
    assert (one.kind, one.value, one.close) == ("top1", 0.0, pytest.approx(20 * CLOSE["int8"]))
    [one] = golden.tolerances(describe(), found, {"y": "value"}, "int8")
    assert (one.kind, one.value) == ("value", pytest.approx(20 * ACROSS["int8"]))
    [one] = golden.tolerances(describe("mae"), found, {"y": "value"}, "int8")
    assert one.value == 7.5
    [one] = golden.tolerances(describe(), found, {"y": "discrete"}, "int8")
    assert (one.kind, one.value, one.close) == ("value", 0.0, 0.0)
