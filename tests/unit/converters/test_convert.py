"""Conversion: the same bytes every time, model.yaml held against the model, refusals that name what is wrong."""

import hashlib
import re
import resource
import shutil
import subprocess
import sys
import warnings
from importlib import resources

import numpy as np
import pytest
import yaml

from converters import convert, exported, formats, sources
from nearedge.errors import InputError, MachineError, UnsupportedError
from nearedge.release.description import parse
from tests.models import FORMS, described, onnx_model, onnx_net_proto


def digests(folder):
    """sha256 of the two files of an IR."""
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.xml", "model.bin")]


def saved(model, folder):
    """The digests of `model` after it was written to `folder`."""
    folder.mkdir()
    convert.save(model, folder)
    return digests(folder)


AGAIN = """
import sys
import warnings
from pathlib import Path
from converters import convert
from nearedge.release.description import read
for line in sys.stdin.read().splitlines():
    path, form, description, folder = line.split("\\t")
    Path(folder).mkdir()
    convert.save(convert.convert(Path(path), form, read(Path(description))), Path(folder))
"""


def test_two_conversions_give_the_same_bytes_in_one_process_and_in_another(models, tmp_path):
    lines, first = [], {}
    for name in reversed(FORMS):
        path, form = models.path(name), FORMS[name]
        description = described(path, form, name)
        for number in range(2):
            first[name, number] = saved(convert.convert(path, form, description), tmp_path / f"{name}-{number}")
        assert first[name, 0] == first[name, 1], name
        elsewhere = tmp_path / f"copy-of-{name}"
        if path.is_dir():
            shutil.copytree(path, elsewhere)
        else:
            shutil.copytree(path.parent, elsewhere)
            elsewhere = elsewhere / path.name
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(description.model_dump(by_alias=True)))
        lines.append(f"{elsewhere}\t{form}\t{tmp_path / f'{name}.yaml'}\t{tmp_path / f'again-{name}'}")
    given = "\n".join(sorted(lines))  # in another order, from another place
    subprocess.run([sys.executable, "-c", AGAIN], input=given, text=True, check=True, capture_output=True)
    for name in FORMS:
        assert digests(tmp_path / f"again-{name}") == first[name, 0], name


def test_the_xml_holds_no_path_and_no_arguments(models, tmp_path):
    saved(convert.convert(models.path("onnx"), "onnx", described(models.path("onnx"), "onnx", "onnx")), tmp_path / "o")
    text = (tmp_path / "o" / "model.xml").read_text()
    assert str(tmp_path) not in text
    assert str(models.path("onnx").parent) not in text
    assert "conversion_parameters" not in text
    assert '<net name="tested"' in text


def test_weights_stay_f32(models, tmp_path):
    description = described(models.path("pt2"), "pt2", "pt2")
    saved(convert.convert(models.path("pt2"), "pt2", description), tmp_path / "o")
    text = (tmp_path / "o" / "model.xml").read_text()
    assert 'element_type="f32"' in text
    assert 'element_type="f16"' not in text


def test_a_static_shape_is_static_in_the_ir(models):
    for name in ("torchscript", "pt2", "onnx", "savedmodel-keras", "tflite", "openvino-ir"):
        path, form = models.path(name), FORMS[name]
        free = described(path, form, name).inputs[0].model_dump(exclude_none=True)
        fixed = described(path, form, name, inputs=[free | {"shape": [3, *free["shape"][1:]]}])
        inputs, outputs = convert.specs(convert.convert(path, form, fixed), name)
        assert inputs[0].shape == [3, *free["shape"][1:]]
        assert outputs[0].shape == [3, 5]
        assert outputs[0].datatype == "FP32"


def two_inputs(**changes):
    """The inputs of `Two` with changes to the one called weight."""
    weight = {"name": "weight", "shape": [-1, 6], "dtype": "FP32"} | changes
    return [{"name": "ids", "shape": [-1, 6], "dtype": "INT64"}, weight]


CONTRADICTIONS = {
    "input name": ({"inputs": two_inputs(name="wait")}, "'wait'.*'ids', 'weight'"),
    "too few inputs": ({"inputs": two_inputs()[:1]}, "has an input 'weight'.*only 'ids'"),
    "too many inputs": ({"inputs": [*two_inputs(), {"name": "x", "shape": [1], "dtype": "FP32"}]}, "'x'.*'weight'"),
    "rank": ({"inputs": two_inputs(shape=[-1, 6, 1])}, r"'weight'.*\[-1, 6, 1\].*\[-1, 6\]"),
    "size": ({"inputs": two_inputs(shape=[-1, 7])}, r"\[-1, 7\].*\[-1, 6\]"),
    "varying": ({"inputs": two_inputs(shape=[-1, -1])}, r"\[-1, -1\].*\[-1, 6\]"),
    "dtype": ({"inputs": two_inputs(dtype="INT32")}, "'weight'.*INT32.*FP32"),
    "too few outputs": ({"outputs": [{"name": "total"}]}, "names 1 outputs.*'total'.*has 2.*'share'"),
    "too many outputs": ({"outputs": [{"name": name} for name in "abc"]}, "names 3 outputs.*has 2"),
    "moved output": ({"outputs": [{"name": "share"}, {"name": "other"}]}, "'share' at another place"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_model_yaml_that_contradicts_its_model_says_both_sides(models, case):
    changes, text = CONTRADICTIONS[case]
    path = models.path("onnx-two")
    with pytest.raises(InputError, match=text) as caught:
        convert.convert(path, "onnx", described(path, "onnx", "onnx-two", **changes))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "error", "text"),
    [
        ("pt2", [-1, 3, 8, 9], "FP32", InputError, r"\[-1, 3, 8, 9\].*\[-1, 3, 8, 8\]"),
        ("pt2", [-1, 3, 8, 8], "INT32", InputError, "INT32.*FP32"),
        ("savedmodel-keras", [-1, 3, 8, 8], "FP32", InputError, r"\[-1, 3, 8, 8\].*\[-1, 8, 8, 3\]"),
        ("tflite", [-1, 8, 8, 3], "FP64", InputError, "FP64.*FP32"),
        ("torchscript", [-1, 3, 8, 9], "FP32", InputError, r"refuses.*image \[-1, 3, 8, 9\] FP32.*shapes cannot be"),
        ("torchscript", [-1, 2, 8, 8], "FP32", InputError, r"refuses.*to have 3 channels, but got 2"),
        ("torchscript", [-1, 3, 8, 8], "INT64", InputError, r"refuses.*INT64.*type"),
    ],
)
def test_shapes_and_types_are_checked_for_every_framework(models, name, shape, dtype, error, text):
    path, form = models.path(name), FORMS[name]
    own = described(path, form, name).inputs[0].name
    description = described(path, form, name, inputs=[{"name": own, "shape": shape, "dtype": dtype}])
    with pytest.raises(error, match=text):
        convert.specs(convert.convert(path, form, description), name)


def onnx_of(folder, operator, domain="", **more):
    """An ONNX model of one operator, x [n,4,4] to y."""
    import onnx
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4, 4]) for name in "xy")
    opsets = [helper.make_opsetid(domain, 1)] if domain else []
    node = helper.make_node(operator, ["x"], ["y"], domain=domain, **more)
    onnx.save(onnx_model([node], [x], [y], [], opsets=opsets), folder / "one.onnx")
    return folder / "one.onnx"


def badly_typed(folder):
    """An ONNX convolution whose weights have too few dimensions."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy")
    weights = numpy_helper.from_array(np.zeros((4, 4), "f4"), "w")
    onnx.save(onnx_model([helper.make_node("Conv", ["x", "w"], ["y"])], [x], [y], [weights]), folder / "conv.onnx")
    return folder / "conv.onnx"


def strings(folder):
    """An ONNX model that takes text."""
    import onnx
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.STRING, [4]) for name in "xy")
    onnx.save(onnx_model([helper.make_node("Identity", ["x"], ["y"])], [x], [y], []), folder / "text.onnx")
    return folder / "text.onnx"


REFUSED = {
    "unknown domain": (lambda folder: onnx_of(folder, "Frobnicate", "com.acme"), "com.acme.Frobnicate"),
    "missing operator": (lambda folder: onnx_of(folder, "Det"), "the operator Det-18"),
    "bad convolution": (badly_typed, "the operator Conv-18 .*3D, 4D or 5D"),
    "text": (strings, "string cannot be served"),
}
SIMPLE = (
    "{schema: 1, name: m, source: {path: x}, inputs: [{name: x, shape: [-1, 4, 4], dtype: FP32}], outputs: [{name: y}]}"
)


@pytest.mark.parametrize("case", REFUSED)
def test_an_operator_that_openvino_lacks_is_named(tmp_path, case):
    make, text = REFUSED[case]
    path = make(tmp_path)
    with pytest.raises(UnsupportedError, match=text) as caught:
        convert.convert(path, formats.recognise(path), parse(SIMPLE, "model.yaml"))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def scripted(module, path):
    """Save `module` as TorchScript."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit.script says that it is deprecated; its files are still about
        torch.jit.script(module).save(path)


def test_an_operator_of_torchscript_that_openvino_lacks_is_named(tmp_path):
    import torch

    class Rare(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.i0(x)

    scripted(Rare(), tmp_path / "rare.pt")
    with pytest.raises(UnsupportedError, match="aten::i0"):
        convert.convert(tmp_path / "rare.pt", "torchscript", parse(SIMPLE, "model.yaml"))


def test_a_torchscript_that_takes_no_tensor_is_refused(tmp_path):
    import torch

    class Counting(torch.nn.Module):
        def forward(self, x: torch.Tensor, times: int) -> torch.Tensor:
            return x * times

    scripted(Counting(), tmp_path / "counting.pt")
    with pytest.raises(UnsupportedError, match="'times', a int"):
        convert.convert(tmp_path / "counting.pt", "torchscript", parse(SIMPLE, "model.yaml"))


def test_a_torchscript_with_more_than_a_varying_batch_is_not_tried(tmp_path):
    """What sizes such a model can do with, nobody knows: with one of 1 this one would fail."""
    import torch

    class Pooling(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.avg_pool1d(x, 3)

    scripted(Pooling(), tmp_path / "pooling.pt")
    description = parse(SIMPLE.replace("[-1, 4, 4]", "[-1, 4, -1]"), "model.yaml")
    inputs, _ = convert.specs(convert.convert(tmp_path / "pooling.pt", "torchscript", description), "pooling")
    assert inputs[0].shape == [-1, 4, -1]


def test_an_exported_program_that_gives_no_tensor_is_refused(tmp_path):
    import torch

    class Half(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
            return x * 2, None

    with exported.quietly():
        torch.export.save(torch.export.export(Half(), (torch.ones(1, 4, 4),)), tmp_path / "half.pt2")
    with pytest.raises(UnsupportedError, match="which is no tensor"):
        convert.convert(tmp_path / "half.pt2", "pt2", parse(SIMPLE, "model.yaml"))


def test_a_torchscript_that_gives_a_dict_and_one_that_gives_a_number(tmp_path):
    import torch

    class Naming(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"y": x + 1}

    class Counting(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> list[int]:
            return [x.shape[0]]

    description = parse(SIMPLE, "model.yaml")
    feed = {"x": np.zeros((2, 4, 4), "f4")}
    scripted(Naming(), tmp_path / "naming.pt")
    assert sources.load_source(tmp_path / "naming.pt", "torchscript", description).predict(feed)["y"].max() == 1
    scripted(Counting(), tmp_path / "counting.pt")
    source = sources.load_source(tmp_path / "counting.pt", "torchscript", description)
    with pytest.raises(InputError, match="gives a int; only tensors"):
        source.predict(feed)


def test_a_saved_model_without_serving_default_names_those_it_has(tmp_path):
    import tensorflow as tf

    from tests.models import scorer

    model = scorer()
    tf.saved_model.save(model, str(tmp_path / "m"), signatures={"judge": model.score})
    with pytest.raises(InputError, match=re.escape("no signature serving_default (it has judge)")):
        convert.convert(tmp_path / "m", "savedmodel", parse(SIMPLE, "model.yaml"))


def test_external_data_must_be_there_and_inside(models, tmp_path):
    path = models.path("onnx-external")
    shutil.copy(path, tmp_path / "net.onnx")
    with pytest.raises(InputError, match=re.escape("it needs weights.bin, which is missing")):
        convert.convert(tmp_path / "net.onnx", "onnx", described(path, "onnx", "onnx-external"))


def test_damaged_weights_of_external_data(models, tmp_path):
    path = models.path("onnx-external")
    shutil.copytree(path.parent, tmp_path / "m")
    (tmp_path / "m" / "weights.bin").write_bytes(b"\0" * 8)
    with pytest.raises(InputError, match="damaged or truncated"):
        convert.convert(tmp_path / "m" / "net.onnx", "onnx", described(path, "onnx", "onnx-external"))


def test_a_full_disk_is_the_machine_s_fault(models, tmp_path):
    path = models.path("onnx")
    model = convert.convert(path, "onnx", described(path, "onnx", "onnx"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
    try:
        with pytest.raises(MachineError, match="is the disk full"):
            convert.save(model, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_output_whose_rank_depends_on_its_content_is_refused(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 4])
    shape = helper.make_tensor_value_info("shape", TensorProto.INT64, ["r"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    onnx.save(
        onnx_model([helper.make_node("Reshape", ["x", "shape"], ["y"])], [x, shape], [y], []), tmp_path / "r.onnx"
    )
    document = yaml.safe_load(SIMPLE)
    document["inputs"].append({"name": "shape", "shape": [-1], "dtype": "INT64"})
    model = convert.convert(tmp_path / "r.onnx", "onnx", parse(yaml.safe_dump(document), "model.yaml"))
    with pytest.raises(UnsupportedError, match="depends on its content"):
        convert.specs(model, "r.onnx")


def test_magika_s_own_model_converts(tmp_path):
    found = next((resources.files("magika") / "models").glob("*/model.onnx"))
    path = tmp_path / "model.onnx"
    path.write_bytes(found.read_bytes())
    text = SIMPLE.replace("name: x, shape: [-1, 4, 4], dtype: FP32", "name: bytes, shape: [-1, 2048], dtype: INT32")
    model = convert.convert(path, formats.recognise(path), parse(text, "model.yaml"))
    inputs, outputs = convert.specs(model, "magika")
    assert inputs[0].shape == [-1, 2048]
    assert outputs[0].name == "y"
    assert saved(model, tmp_path / "a") == saved(
        convert.convert(path, "onnx", parse(text, "model.yaml")), tmp_path / "b"
    )


def test_the_version_is_openvino_s():
    assert re.fullmatch(r"20\d\d\.\d+\.\d+", convert.version())


def test_an_ir_is_passed_through_with_the_same_weights(models):
    import openvino as ov

    path = models.path("openvino-ir")
    converted = convert.convert(path, "openvino-ir", described(path, "openvino-ir", "openvino-ir"))

    def weights(model):
        constants = [node for node in model.get_ordered_ops() if node.get_type_name() == "Constant"]
        return [node.data.tobytes() for node in constants if node.get_element_type() == ov.Type.f32]

    assert weights(converted) == weights(ov.Core().read_model(path))
    assert len(weights(converted)) == len(onnx_net_proto().graph.initializer)
