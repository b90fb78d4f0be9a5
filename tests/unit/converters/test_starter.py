"""The pieces of a new model.yaml: names, layouts, scalars that read back."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from converters import datatypes, layouts, probe, starter
from converters.signature import Signature, Tensor
from nearedge.errors import InputError, UnsupportedError


@given(st.text(min_size=1))
def test_a_scalar_reads_back(text):
    assert yaml.safe_load(f"name: {starter.scalar(text)}") == {"name": text}


@pytest.mark.parametrize("text", ["yes", "null", "1.0", "a: b", "1e5", "", "x.1", "serving_default_image"])
def test_a_scalar_is_text_whatever_it_looks_like(text):
    assert yaml.safe_load(f"[{starter.scalar(text)}]") == [text]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/Digits CNN_v2.pt2", "digits-cnn-v2"),
        ("a/digits/model.onnx", "digits"),
        ("/model.pt", "model"),
        ("a/" + "x" * 80 + ".pt", "x" * 53),
        ("ä/ß.pt", "model"),
    ],
)
def test_a_model_is_named_after_its_file(tmp_path, path, name):
    target = tmp_path / "best" / path.lstrip("/")
    target.parent.mkdir(parents=True)
    target.touch()
    assert starter.name_of(target) == name


def test_outputs_without_names_get_some():
    tensor = Tensor("", None, None)
    assert starter.name_outputs([tensor]) == ["output"]
    assert starter.name_outputs([tensor, Tensor("logits", None, None)]) == ["output-1", "logits"]


@pytest.mark.parametrize(
    ("shape", "framework", "layout"),
    [
        ([1, 3, 224, 224], "pytorch", "NCHW"),
        ([-1, 224, 224, 3], "tensorflow", "NHWC"),
        ([-1, 224, 224, 3], "onnx", "NHWC"),
        ([-1, 1, 28, 1], "tensorflow", "NHWC"),
        ([-1, 1, 28, 1], "pytorch", "NCHW"),
        ([-1, 64, 7, 7], "pytorch", None),
        ([-1, 10], "onnx", None),
    ],
)
def test_a_layout_is_guessed_where_something_tells(shape, framework, layout):
    assert layouts.guess(shape, framework) == layout


def test_paths_are_relative_to_model_yaml(tmp_path):
    assert starter.relative_to(tmp_path / "a" / "m.onnx", tmp_path / "model.yaml", "the model") == "a/m.onnx"
    with pytest.raises(InputError, match="the model has to lie beside or below"):
        starter.relative_to(Path("/m.onnx"), tmp_path / "model.yaml", "the model")


def test_only_torchscript_may_hide_its_outputs(tmp_path):
    with pytest.raises(UnsupportedError, match="does not tell its outputs"):
        probe.outputs(tmp_path, "onnx", Signature((), None))


def test_element_types_that_the_protocol_has_not():
    assert datatypes.from_framework("torch.float32", "x") == "FP32"
    with pytest.raises(UnsupportedError, match=r"x: element type torch\.complex64 cannot be served"):
        datatypes.from_framework("torch.complex64", "x")
    with pytest.raises(UnsupportedError, match="element type nf4"):
        datatypes.from_openvino("nf4", "x")
