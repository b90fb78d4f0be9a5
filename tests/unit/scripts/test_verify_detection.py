"""verify-model on a detection model: mAP of the source and of the IR, and the gate on its drop."""

import shutil

import numpy as np
import pytest

from nearedge.files import sha256_file
from nearedge.release import sections
from nearedge.release.sections import SourceSection, VerificationF32Section
from scripts import convert_model, verify_model

MODEL_YAML = """
schema: 1
name: blobs
source: {path: model.onnx}
inputs:
  - {name: image, shape: [1, 1, 32, 32], dtype: FP32, layout: NCHW}
outputs: [{name: boxes}, {name: scores}, {name: classes}]
data: {path: data.npz, labels: box}
metric: {name: map, allowed_drop: 0.02, detection: {boxes: boxes, scores: scores, classes: classes}}
golden: {rows: [0, 40], count: 2}
"""


def pictures(count=40):
    """Pictures [count, 1, 32, 32] with up to three squares of 8 on a grid of 4, dark (class 0) or bright (class 1)."""
    random = np.random.default_rng(0)
    images, labels = random.uniform(0, 0.05, (count, 1, 32, 32)).astype("f4"), np.full((count, 3, 5), -1.0, "f4")
    for image, rows in zip(images, labels, strict=True):
        places = random.choice(16, int(random.integers(1, 4)), replace=False)
        for row, place in zip(rows, places, strict=False):
            y, x, kind = 8 * (place // 4), 8 * (place % 4), int(random.integers(0, 2))
            image[0, y : y + 8, x : x + 8] += 0.4 + 0.5 * kind
            row[:] = [x, y, x + 8, y + 8, kind]
    return images, labels


def detector(path):
    """The mean of each cell of 8 by 8 is its score; five best cells are the boxes; above 0.7 it is class 1."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    cells = np.array([[8 * x, 8 * y, 8 * x + 8, 8 * y + 8] for y in range(4) for x in range(4)], "f4")
    arrays = {"cells": cells, "flat": np.array([1, 16]), "five": np.array([5]), "bright": np.array(0.7, "f4")}
    nodes = [
        helper.make_node("AveragePool", ["image"], ["mean"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Reshape", ["mean", "flat"], ["each"]),
        helper.make_node("TopK", ["each", "five"], ["scores", "places"], axis=1),
        helper.make_node("Gather", ["cells", "places"], ["boxes"], axis=0),
        helper.make_node("Greater", ["scores", "bright"], ["over"]),
        helper.make_node("Cast", ["over"], ["classes"], to=TensorProto.INT32),
    ]
    graph = helper.make_graph(
        nodes, "blobs", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 32, 32])],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 5, 4]),
         helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 5]),
         helper.make_tensor_value_info("classes", TensorProto.INT32, [1, 5])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("blobs")
    source = root / "source"
    source.mkdir()
    (source / "model.yaml").write_text(MODEL_YAML)
    images, labels = pictures()
    np.savez(source / "data.npz", image=images, box=labels)
    detector(source / "model.onnx")
    sections.write(root, SourceSection(
        name="blobs", version="1", format="onnx", framework="onnx", sha256=sha256_file(source / "model.onnx"),
        size_bytes=1, description_sha256="0" * 64, data_sha256="1" * 64, origin="here",
    ))  # fmt: skip
    assert convert_model.main([f"--workspace={root}"]) == 0
    return root


@pytest.fixture
def blobs(made, tmp_path):
    return shutil.copytree(made, tmp_path / "blobs")


def verify(root, stage="f32"):
    return verify_model.main([f"--workspace={root}", f"--stage={stage}"])


def relabel(root, change):
    with np.load(root / "source/data.npz") as arrays:
        image, box = arrays["image"], arrays["box"]
    np.savez(root / "source/data.npz", image=image, box=change(box))


@pytest.mark.parametrize("name", ["map", "map50"])
def test_the_source_and_the_ir_are_judged(blobs, edit_yaml, name, capsys):
    edit_yaml(blobs, "name: map,", f"name: {name},")
    assert verify(blobs) == 0
    metric = sections.read(blobs, VerificationF32Section).metric
    assert metric.name == name and metric.source == metric.converted > 0.99 and metric.rows == 40
    assert metric.drop_low < 0 < metric.drop_high and metric.certain() is False
    said = capsys.readouterr().err
    assert f"warning: {name}: 95 % interval -0.0467 to 0.0467: 40 rows tell drops of 0.047 apart, too few to" in said


def deploy_worse(root, cells):
    """An IR as deployed at int8 whose boxes are further off in x by `cells` pixels."""
    from openvino import opset13

    from converters import convert, execution
    from nearedge.files import size_of
    from nearedge.release.sections import ConversionSection, OptimizationSection, RuntimeConfiguration

    model = execution.read(root / "ir/f32/model.xml")
    [gather] = [op for op in model.get_ordered_ops() if op.get_type_name() == "Gather"]
    moved = opset13.add(gather, opset13.constant(np.array([cells, 0, cells, 0], "f4")))
    names = gather.output(0).get_tensor().names
    gather.output(0).get_tensor().set_names(set())
    for result in model.get_results():
        if result.input_value(0).get_node().get_friendly_name() == gather.get_friendly_name():
            result.input(0).replace_source_output(moved.output(0))
    moved.output(0).get_tensor().set_names(names)
    (root / "ir/deployed").mkdir()
    convert.save(model, root / "ir/deployed")
    found = sections.read(root, ConversionSection)
    xml = root / "ir/deployed/model.xml"
    runtime = RuntimeConfiguration(inference_precision="f32", performance_hint="LATENCY", streams=1, threads=1)
    sections.write(root, OptimizationSection(
        requested="int8", precision="int8", runtime=runtime, inputs=found.inputs, outputs=found.outputs,
        xml_sha256=sha256_file(xml), bin_sha256=sha256_file(xml.with_suffix(".bin")), size_bytes=size_of(xml.parent),
        candidates=[], reused=False,
    ))  # fmt: skip


@pytest.mark.parametrize("cells,status", [(0.1, 0), (1.5, 3)])
def test_a_drop_of_map_stops_the_release(blobs, cells, status, capsys):
    deploy_worse(blobs, cells)
    assert verify(blobs, "deployed") == status
    assert ("map went from" in capsys.readouterr().err) == bool(status)
    assert (sections.read_optional(blobs, sections.VerificationDeployedSection) is None) == bool(status)


def test_labels_of_other_images_are_doubted(blobs, capsys):
    relabel(blobs, lambda box: np.roll(box, 1, axis=0))
    assert verify(blobs) == 3
    assert "the source's own map is" in capsys.readouterr().err


@pytest.mark.parametrize("change,said", [
    (lambda box: box[:, 0, 4], "labels of shape [1] are no boxes"),
    (lambda box: np.full_like(box, -1), "labels hold no box"),
])  # fmt: skip
def test_labels_that_do_not_fit_are_one_line(blobs, change, said, capsys):
    relabel(blobs, change)
    assert verify(blobs) == 1
    assert said in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("before,after,said", [
    (", detection: {boxes: boxes, scores: scores, classes: classes}", "", "detection goes with map and map50"),
    ("name: map,", "name: accuracy,", "detection goes with map and map50"),
    ("scores: scores,", "scores: score,", "metric.output 'score' is none of the outputs"),
    ("allowed_drop: 0.02,", "allowed_drop: 0.02, output: boxes,", "output is for other metrics"),
])  # fmt: skip
def test_a_description_that_contradicts_itself(blobs, edit_yaml, before, after, said, capsys):
    edit_yaml(blobs, before, after)
    assert verify(blobs) == 1
    assert said in capsys.readouterr().err
