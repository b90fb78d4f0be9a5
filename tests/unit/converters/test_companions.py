"""The files that belong to a model, found without any framework."""

import shutil

import pytest

from converters import companions
from nearedge.errors import InputError
from tests.models import FORMS, onnx_model


@pytest.mark.parametrize(
    ("name", "expected"),
    [("onnx-external", ["weights.bin"]), ("openvino-ir", ["ir.bin"]), ("onnx", []), ("pt2", []), ("tflite", [])],
)
def test_names_of_what_belongs_to_a_model(models, name, expected):
    assert companions.names(models.path(name), FORMS[name]) == expected
    companions.check(models.path(name), FORMS[name])


def test_a_missing_file_is_named(models, tmp_path):
    shutil.copy(models.path("openvino-ir"), tmp_path / "ir.xml")
    assert companions.names(tmp_path / "ir.xml", "openvino-ir") == ["ir.bin"]
    with pytest.raises(InputError, match=r"needs ir\.bin, which is missing"):
        companions.check(tmp_path / "ir.xml", "openvino-ir")


def external(location):
    """A tensor whose data are in another file."""
    import onnx

    tensor = onnx.TensorProto(name="w", data_type=1, dims=[2], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    tensor.external_data.add(key="length", value="8")
    return tensor


def test_data_in_attributes_branches_and_functions_are_found(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    branch = helper.make_graph([helper.make_node("Identity", ["w"], ["b"])], "b", [], [x], [external("in-branch")])
    constant = helper.make_node("Constant", [], ["c"], value=external("in-attribute"))
    choice = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    inside = helper.make_node("Constant", [], ["c"], value=external("in-function"))
    function = helper.make_function("local", "f", [], ["c"], [inside], [helper.make_opsetid("", 18)])
    model = onnx_model([constant, choice], [x], [x], [external("in-graph")], functions=[function])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert companions.names(tmp_path / "m.onnx", "onnx") == ["in-attribute", "in-branch", "in-function", "in-graph"]
    assert onnx.load(tmp_path / "m.onnx", load_external_data=False) == model


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/../../b"])
def test_data_outside_the_model_s_folder_are_refused(tmp_path, location):
    model = onnx_model([], [], [], [external(location)])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="leads out of"):
        companions.names(tmp_path / "m.onnx", "onnx")


@pytest.mark.parametrize("content", [b"", b"\x3a\x7f\x00"])
def test_a_damaged_model_is_the_input_s_fault(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(InputError, match="damaged or truncated"):
        companions.names(tmp_path / "m.onnx", "onnx")
