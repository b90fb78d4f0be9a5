"""Shapes, datatypes and bfloat16."""

import numpy as np
import pytest

from serving_image import tensors
from serving_image.faults import BadRequestError


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (None, "list of integers"),
        ([1.0], "list of integers"),
        ([True], "list of integers"),
        (["1"], "list of integers"),
        ([0, 2], "at least 1"),
        ([-1], "at least 1"),
        ([1 << 40], "below 2\\*\\*31"),
        ([1] * 33, "33 dimensions"),
    ],
)
def test_shapes_that_are_none(shape: object, message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        tensors.checked_shape("x", shape)


@pytest.mark.parametrize("datatype", [None, 1, "FLOAT", "STRING", "fp32"])
def test_datatypes_that_are_none(datatype: object) -> None:
    with pytest.raises(BadRequestError, match=r"input 'x': datatype is .* expected one of BOOL, "):
        tensors.checked_datatype("x", datatype)


BOUNDED = tensors.Spec("x", "FP32", ((1, 8), (0, -1), (3, 3)))


@pytest.mark.parametrize(
    ("shape", "fits"),
    [((1, 5, 3), True), ((8, 1, 3), True), ((9, 5, 3), False), ((1, 5, 4), False), ((1, 5), False), ((), False)],
)
def test_shapes_against_bounds(shape: tuple[int, ...], fits: bool) -> None:
    tensor = tensors.Tensor("x", "FP32", np.zeros(shape, np.float32))
    assert BOUNDED.shape == [-1, -1, 3]
    if fits:
        BOUNDED.check(tensor)
    else:
        with pytest.raises(BadRequestError, match="dimension 0 from 1 to 8"):
            BOUNDED.check(tensor)


def test_another_datatype_is_named() -> None:
    with pytest.raises(BadRequestError, match="datatype is INT8, the model expects FP32"):
        BOUNDED.check(tensors.Tensor("x", "INT8", np.zeros((1, 1, 3), np.int8)))


def test_bfloat16_is_rounded_as_openvino_rounds_it() -> None:
    import openvino as ov
    from openvino import opset13 as op

    values = np.random.default_rng(3).normal(size=1000).astype(np.float32) * 100
    wide = op.parameter([1000], ov.Type.f32)
    model = ov.Model([op.convert(op.convert(wide, "bf16"), "f32")], [wide], "m")
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    bits = tensors.bf16_bits(values)
    assert bits.dtype == np.uint16
    exact = np.abs(tensors.bf16_floats(bits) - values).max()
    assert exact <= np.abs(values).max() / 256
    assert (tensors.bf16_floats(tensors.bf16_bits(tensors.bf16_floats(bits))) == tensors.bf16_floats(bits)).all()
    assert np.abs(compiled([values])[0] - tensors.bf16_floats(bits)).max() <= np.abs(values).max() / 128


def test_bfloat16_keeps_nan_and_shape() -> None:
    bits = tensors.bf16_bits(np.array([[np.nan, np.inf, -0.0, 1.0]], np.float32))
    assert bits.tolist() == [[0x7FC0, 0x7F80, 0x8000, 0x3F80]]


def test_values_and_back() -> None:
    tensor = tensors.of_numbers("x", "BF16", np.array([[0.5, -2.0]], np.float32))
    assert tensors.numbers(tensor).tolist() == [[0.5, -2.0]]
    assert tensors.of_numbers("x", "INT64", np.array(3, np.int32)).array.shape == ()


def test_long_names_are_cut_and_escaped() -> None:
    assert tensors.quoted("a\nb") == "'a\\nb'"
    assert len(tensors.quoted("x" * 1000)) < 100
