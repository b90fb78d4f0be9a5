"""The original model runs in its own framework, and the IR predicts the same: for every format."""

import subprocess
import sys

import numpy as np
import pytest

from converters import convert, preprocessing, sources
from converters.opened import Opened
from converters.signature import Signature, Tensor
from nearedge.errors import InputError, UnsupportedError
from nearedge.release.description import parse
from tests.models import FORMS, described, feed

CLOSE = 1e-5
LABELS = {
    "torchscript": "PyTorch 2.", "pt2": "PyTorch 2.", "onnx": "ONNX Runtime 1.", "savedmodel": "TensorFlow 2.",
    "frozen-pb": "TensorFlow 2.", "tflite": "TensorFlow 2.", "openvino-ir": "OpenVINO 20",
    "keras": "TensorFlow 2.", "keras-h5": "TensorFlow 2.",
}  # fmt: skip


def executed(model, values):
    """What an ov.Model gives in f32, by the names of its outputs."""
    import openvino as ov

    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(values)
    return {port.get_any_name(): found[port] for port in compiled.outputs}


@pytest.mark.parametrize("name", FORMS)
def test_the_ir_predicts_what_the_original_predicts(models, name):
    path, form = models.path(name), FORMS[name]
    description = described(path, form, name)
    values = feed(description)
    source = sources.load_source(path, form, description, threads=1)
    expected = source.predict(values)
    found = executed(convert.convert(path, form, description), values)
    assert source.framework.startswith(LABELS[form])
    assert list(expected) == [one.name for one in description.outputs] == list(found)
    for output, array in expected.items():
        assert array.shape == found[output].shape
        assert np.abs(array - found[output]).max() < CLOSE
        assert np.abs(array).max() > CLOSE * 1000, "an output of nothing proves nothing"


@pytest.mark.parametrize(
    ("name", "layout", "dtype"),
    [
        ("torchscript", "NCHW", "FP32"),
        ("torchscript", "NCHW", "UINT8"),
        ("pt2", "NCHW", "FP32"),
        ("pt2", "NCHW", "UINT8"),
        ("onnx", "NCHW", "UINT8"),
        ("onnx", "NCHW", "FP32"),
        ("savedmodel-keras", "NHWC", "UINT8"),
        ("tflite", "NHWC", "FP32"),
        ("openvino-ir", "NCHW", "INT64"),
    ],
)
@pytest.mark.parametrize(
    "steps",
    [
        {"mean": [1.0, 2.0, 3.0], "scale": [2.0, 4.0, 0.5]},
        {"mean": [5.0]},
        {"scale": [16.0]},
        {"mean": [0.1, 0.2, 0.3], "scale": [255.0]},
    ],
)
def test_preprocessing_folded_in_is_the_preprocessing_done_before(models, name, layout, dtype, steps):
    path, form = models.path(name), FORMS[name]
    plain = described(path, form, name)
    given = {"name": plain.inputs[0].name, "shape": plain.inputs[0].shape, "dtype": dtype, "layout": layout}
    description = described(path, form, name, inputs=[given | {"preprocessing": steps}])
    values = feed(description)
    source = sources.load_source(path, form, description, threads=1)
    expected = source.predict(preprocessing.preprocess(description, values))
    model = convert.convert(path, form, description)
    found = executed(model, values)
    inputs, _ = convert.specs(model, name)
    assert [(one.name, one.datatype, one.shape) for one in inputs] == [(given["name"], dtype, given["shape"])]
    for output, array in expected.items():
        assert np.abs(array - found[output]).max() < CLOSE * max(1.0, np.abs(array).max())
    unprocessed = source.predict({given["name"]: values[given["name"]].astype("float32")})
    assert any(np.abs(unprocessed[output] - array).max() > CLOSE for output, array in expected.items())


@pytest.mark.parametrize(
    ("dtype", "array", "result"),
    [
        ("FP32", np.float32, np.float32),
        ("FP64", np.float64, np.float64),
        ("FP16", np.float16, np.float16),
        ("UINT8", np.uint8, np.float32),
    ],
)
def test_preprocess_keeps_the_model_s_type(dtype, array, result):
    text = f"""
    {{schema: 1, name: m, source: {{path: x}}, outputs: [{{name: y}}], inputs: [
      {{name: x, shape: [-1, 2], dtype: {dtype}, layout: NC, preprocessing: {{mean: [1, 2], scale: [2, 4]}}}},
      {{name: z, shape: [1], dtype: INT64}}]}}"""
    values = {"x": np.array([[3, 10], [1, 2]], array), "z": np.array([7])}
    found = preprocessing.preprocess(parse(text, "model.yaml"), values)
    assert found["x"].dtype == result
    assert found["x"].tolist() == [[1.0, 2.0], [0.0, 0.0]]
    assert found["z"] is values["z"]


def test_inputs_and_outputs_may_be_listed_in_another_order(models):
    path = models.path("onnx-two")
    straight = described(path, "onnx", "onnx-two")
    inputs = [one.model_dump(exclude_none=True) for one in reversed(straight.inputs)]
    turned = described(path, "onnx", "onnx-two", inputs=inputs, outputs=[{"name": "share"}, {"name": "total"}])
    values = feed(straight)
    expected = sources.load_source(path, "onnx", straight).predict(values)
    found = sources.load_source(path, "onnx", turned).predict(values)
    assert list(found) == ["share", "total"]
    assert all(np.array_equal(expected[name], found[name]) for name in expected)
    model = convert.convert(path, "onnx", turned)
    assert [port.get_any_name() for port in model.inputs] == ["weight", "ids"]
    assert np.abs(executed(model, values)["share"] - expected["share"]).max() < CLOSE


def test_outputs_may_have_names_of_their_own(models):
    path = models.path("savedmodel-keras")
    description = described(path, "savedmodel", "savedmodel-keras", outputs=[{"name": "species"}])
    assert list(sources.load_source(path, "savedmodel", description).predict(feed(description))) == ["species"]
    assert convert.convert(path, "savedmodel", description).outputs[0].get_names() == {"species"}


def test_names_with_a_colon_are_onnx_s_own(tmp_path):
    import onnx

    from tests.models import onnx_net_proto

    model = onnx_net_proto()
    model.graph.input[0].name = model.graph.node[0].input[0] = "image:0"
    model.graph.output[0].name = model.graph.node[-1].output[0] = "logits:0"
    path = tmp_path / "colon.onnx"
    onnx.save(model, path)
    description = described(path, "onnx", "onnx")
    assert [one.name for one in (*description.inputs, *description.outputs)] == ["image:0", "logits:0"]
    values = feed(description)
    expected = sources.load_source(path, "onnx", description).predict(values)
    found = executed(convert.convert(path, "onnx", description), values)
    assert np.abs(expected["logits:0"] - found["logits:0"]).max() < CLOSE


def test_a_frozen_graph_of_an_older_tensorflow(tmp_path):
    """Placeholders, and a result that is one of several of its operation."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 4], name="x")
        tf.identity(tf.split(x, 2, axis=1, name="halves")[1], name="right")
    (tmp_path / "halves.pb").write_bytes(graph.as_graph_def().SerializeToString())
    description = described(tmp_path / "halves.pb", "frozen-pb", "frozen-pb")
    values = feed(description)
    found = sources.load_source(tmp_path / "halves.pb", "frozen-pb", description).predict(values)
    model = convert.convert(tmp_path / "halves.pb", "frozen-pb", description)
    name = description.outputs[0].name
    assert np.array_equal(found[name], values["x"][:, 2:])
    assert np.array_equal(executed(model, values)[name], values["x"][:, 2:])


def test_tensorflow_greets_nobody(models):
    program = (
        "import sys; from pathlib import Path; from converters import tensorflow_source as t\n"
        "t.open_savedmodel(Path(sys.argv[1]), 1); t.open_lite(Path(sys.argv[2]), 1)"
    )
    paths = [str(models.path(name)) for name in ("savedmodel", "tflite")]
    done = subprocess.run([sys.executable, "-c", program, *paths], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_number_of_outputs_that_only_running_tells(models, monkeypatch):
    path = models.path("onnx")
    description = described(path, "onnx", "onnx")
    unknown = Signature((Tensor("image", None, None),), None)
    monkeypatch.setitem(sources.OPENERS, "onnx", lambda _path, _threads: Opened("x", unknown, lambda _feed: [1, 2]))
    with pytest.raises(InputError, match="names 1 outputs, the model gives 2"):
        sources.load_source(path, "onnx", description).predict(feed(description))


def test_inputs_that_the_model_cannot_take_are_named(models):
    for name in ("torchscript", "onnx", "savedmodel-keras", "tflite", "openvino-ir", "frozen-pb"):
        path, form = models.path(name), FORMS[name]
        description = described(path, form, name)
        values = {key: array[..., :-1] for key, array in feed(description).items()}
        with pytest.raises(UnsupportedError, match="cannot run it on these inputs"):
            sources.load_source(path, form, description).predict(values)


def test_weights_are_no_model_without_code(models):
    description = described(models.path("onnx"), "onnx", "onnx")
    with pytest.raises(InputError, match="none is allowed here"):
        sources.load_source(models.path("onnx"), "state-dict", description)
    with pytest.raises(InputError, match="none is allowed here"):
        convert.convert(models.path("onnx"), "safetensors", description)
