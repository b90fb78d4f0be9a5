"""What NNCF is told: depthwise convolutions that stay in floats, the range of weights, preset and subset."""

import numpy as np
import pytest

from converters import quantize
from converters.accuracy_control import Control
from converters.samples import Samples
from nearedge.release.quantization import Quantization

ROWS, CHANNELS = 16, 8


def mobile():
    """A convolution, a depthwise one and one of 1x1, with Relu between; [N, 3, 8, 8] to logits of [N, 4, 8, 8]."""
    import openvino
    from openvino import opset13 as ops

    draw = np.random.default_rng(0)
    x = ops.parameter([-1, 3, 8, 8], np.float32, name="x")
    node = x
    for shape in ((CHANNELS, 3, 3, 3), (CHANNELS, 1, 1, 3, 3), (4, CHANNELS, 1, 1)):
        kernel = ops.constant(draw.normal(size=shape).astype(np.float32))
        pads = [shape[-1] // 2] * 2
        convolution = ops.group_convolution if len(shape) == 5 else ops.convolution
        node = convolution(node, kernel, [1, 1], pads, pads, [1, 1])
        if shape[0] != 4:
            node = ops.relu(node)
    result = ops.result(node)
    model = openvino.Model([result], [x], "mobile")
    model.outputs[0].get_tensor().set_names({"logits"})
    model.inputs[0].get_tensor().set_names({"x"})
    return model


@pytest.fixture(scope="module")
def calibration():
    draw = np.random.default_rng(1)
    feeds = [{"x": (at + 1) * draw.normal(size=(1, 3, 8, 8)).astype(np.float32)} for at in range(ROWS)]
    return Samples(feeds, None, ROWS, 1, synthetic=False)


def weights(model):
    """The INT8 constants by the type of the node that takes them in the end."""
    found = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() not in ("Convolution", "GroupConvolution"):
            continue
        at = node.input_value(1).get_node()
        while at.get_type_name() != "Constant":
            at = at.input_value(0).get_node()
        if at.get_element_type().to_string() == "i8":
            found.setdefault(node.get_type_name(), []).append(np.abs(at.data.astype(int)).max())
    return found


def test_a_depthwise_convolution_is_known_by_its_weights():
    import openvino
    from openvino import opset13 as ops

    names = quantize.depthwise(mobile())
    assert len(names) == 1 and names[0].startswith("GroupConvolution")
    x = ops.parameter([1, 8, 4, 4], np.float32)
    in_groups = ops.group_convolution(x, np.ones((2, 4, 4, 1, 1), np.float32), [1, 1], [0, 0], [0, 0], [1, 1])
    assert quantize.depthwise(openvino.Model([in_groups], [x], "groups")) == []


@pytest.mark.parametrize("whole,least,most", [(True, 120, 128), (False, 60, 64)])
def test_accuracy_aware_leaves_depthwise_convolutions_and_uses_the_range_it_may(calibration, whole, least, most):
    labels = [np.zeros((1, 8, 8), np.int64)] * ROWS
    control = Control(calibration, list(range(ROWS)), labels, "accuracy", "logits", 1.0, None)
    found = weights(quantize.accuracy_aware(mobile(), calibration, control, whole_range=whole))
    assert list(found) == ["Convolution"] and len(found["Convolution"]) == 2
    assert all(least <= one <= most for one in found["Convolution"])


def test_plain_int8_takes_them_too(calibration):
    found = weights(quantize.int8(mobile(), calibration))
    assert set(found) == {"Convolution", "GroupConvolution"} and max(found["Convolution"]) <= 64


def ranges(model):
    """Lower and upper end of each FakeQuantize of activations."""
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() == "FakeQuantize"]
    return [
        (float(node.input_value(1).get_node().data.min()), float(node.input_value(2).get_node().data.max()))
        for node in nodes
    ]


def test_preset_alone_has_an_effect(calibration):
    plain, mixed = (
        ranges(quantize.int8(mobile(), calibration, Quantization(preset=preset))) for preset in ("performance", "mixed")
    )
    assert plain[0][0] == pytest.approx(-plain[0][1], rel=0.02)
    assert mixed[0] != plain[0]


def test_subset_alone_has_an_effect(calibration):
    """Rows grow, so the first ones alone have smaller ranges."""
    all_of_them, one = (
        ranges(quantize.int8(mobile(), calibration, Quantization(subset=subset)))[0][1] for subset in (ROWS, 1)
    )
    assert one < 0.5 * all_of_them
