"""A small real release in a workspace: digits in three channels, an ONNX model with real accuracy, its f32 IR."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

CLASSES, FILTERS, TRAINED = 10, 6, 1200
MEAN, SCALE = [8.0, 2.0, 12.0], [8.0, 4.0, 6.0]
MODEL_YAML = f"""
schema: 1
name: digits
source: {{path: model.onnx}}
inputs:
  - {{name: image, shape: [-1, 3, 8, 8], dtype: FP32, layout: NCHW, preprocessing: {{mean: {MEAN}, scale: {SCALE}}}}}
outputs:
  - name: logits
  - name: probabilities
data: {{path: data.npz, labels: label, calibration: [0, {TRAINED}], evaluation: [{TRAINED}, 1500]}}
metric: {{name: accuracy, output: logits, allowed_drop: 0.01}}
target: {{profile: microshift-small}}
golden: {{rows: [{TRAINED}, 1500], count: 8}}
"""


def pictures():
    """Scikit-learn's digits, shuffled, as three channels that differ: [rows, 3, 8, 8] of 0 to 16, and labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    grey = digits.images[order].astype(np.float32)
    return np.stack([grey, grey[:, ::-1] / 2, 16 - grey[:, :, ::-1] / 4], axis=1), digits.target[order].astype(np.int64)


def features(images, kernel):
    """Relu of a 3x3 convolution without padding: [rows, FILTERS * 36]."""
    normal = (images - np.reshape(MEAN, (3, 1, 1))) / np.reshape(SCALE, (3, 1, 1))
    windows = np.lib.stride_tricks.sliding_window_view(normal, (3, 3), axis=(2, 3))
    return np.maximum(np.einsum("nchwij,fcij->nfhw", windows, kernel), 0).reshape(len(images), -1)


def trained(seed, outlier=1.0):
    """A random convolution, and a linear layer fitted to it by ridge regression.

    The first filter is `outlier` times as large, its weights in the linear layer that much smaller: the same answers,
    but eight bits for all filters together leave the others nothing.
    """
    images, labels = pictures()
    kernel = np.random.default_rng(seed).normal(0, 0.3, (FILTERS, 3, 3, 3))
    found = features(images[:TRAINED], kernel)
    found = np.hstack([found, np.ones((TRAINED, 1))])
    wanted = np.where(np.eye(CLASSES)[labels[:TRAINED]] > 0, 10.0, -1.0)
    weights = np.linalg.solve(found.T @ found + 10 * np.eye(found.shape[1]), found.T @ wanted)
    kernel[0] *= outlier
    weights[: found.shape[1] // FILTERS] /= outlier
    return SimpleNamespace(kernel=kernel, weights=weights[:-1], bias=weights[-1])


def onnx_model(weights, path):
    """Convolution, Relu, Flatten, Gemm, and a Softmax as the second output."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    arrays = {"kernel": weights.kernel, "weights": weights.weights, "bias": weights.bias}
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["conv"]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("Flatten", ["relu"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", CLASSES])
            for name in ("logits", "probabilities")
        ],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def write_ir(workspace, model):
    """`model` as the workspace's f32 IR, with the section that convert-model writes."""
    import openvino

    from converters import convert
    from nearedge.files import sha256_file, size_of
    from nearedge.release import sections

    folder = workspace / "ir" / "f32"
    folder.mkdir(parents=True, exist_ok=True)
    convert.save(model, folder)
    inputs, outputs = convert.specs(model, "model")
    section = sections.ConversionSection(
        openvino=openvino.__version__, inputs=inputs, outputs=outputs,
        xml_sha256=sha256_file(folder / "model.xml"), bin_sha256=sha256_file(folder / "model.bin"),
        size_bytes=size_of(folder), seconds=0.1,
    )  # fmt: skip
    sections.write(workspace, section)


def fetched(workspace, seed=0, outlier=1.0):
    """What fetch-model leaves: model.yaml, the model, the data and the section."""
    from nearedge.files import sha256_file
    from nearedge.release import sections

    folder = workspace / "source"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(MODEL_YAML)
    images, labels = pictures()
    np.savez(folder / "data.npz", image=images, label=labels)
    onnx_model(trained(seed, outlier), folder / "model.onnx")
    section = sections.SourceSection(
        name="digits", version="1", format="onnx", framework="onnx", sha256=sha256_file(folder / "model.onnx"),
        size_bytes=(folder / "model.onnx").stat().st_size, description_sha256="0" * 64,
        data_sha256=sha256_file(folder / "data.npz"), origin="here",
    )  # fmt: skip
    sections.write(workspace, section)


def converted(workspace, **weights):
    """`workspace` as fetch-model and convert-model leave it."""
    from converters import convert, telemetry
    from nearedge.release import description

    telemetry.off()
    fetched(workspace, **weights)
    described = description.read(workspace / "source" / "model.yaml")
    write_ir(workspace, convert.convert(workspace / "source" / "model.onnx", "onnx", described))
    return workspace


@pytest.fixture(scope="session")
def digits_release(tmp_path_factory):
    """A workspace after fetch-model and convert-model; not to be changed."""
    return converted(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="session")
def outlier_release(tmp_path_factory):
    """The same with a model that plain INT8 ruins; not to be changed."""
    return converted(tmp_path_factory.mktemp("outlier"), outlier=300.0)


@pytest.fixture
def release(digits_release, tmp_path):
    """A copy of that workspace, to be used and damaged."""
    return shutil.copytree(digits_release, tmp_path / "release")


@pytest.fixture
def rewrite_ir():
    """The function that puts another f32 IR into a workspace, as a wrong conversion would."""
    return write_ir


@pytest.fixture
def edit_yaml():
    """A function that replaces text in a workspace's model.yaml; the text has to be there."""

    def edit(workspace: Path, before: str, after: str) -> None:
        path = workspace / "source" / "model.yaml"
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))

    return edit


def put_small_base(store, tag, content=b"runtime", scratch=None, **settings):
    """A runtime base of one file, put into a layout or a repository; its manifest."""
    import tempfile

    from nearedge.delivery import digest, layers, oci

    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        layer = layers.write_layer([layers.Entry("opt/runtime", content)], Path(folder) / "layer", "runtime")
        store.add_file(layer.descriptor, layer.path)
    run = {"Entrypoint": ["/opt/runtime"], "User": "1001", "Labels": {"kept": "yes"}} | settings.pop("config", {})
    document = {
        "os": "linux", "architecture": "amd64", "config": run,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]}, "history": [{"created_by": "test"}],
    }  # fmt: skip
    config = oci.encode(document | settings)
    described = oci.Descriptor(oci.CONFIG, digest.of_bytes(config), len(config))
    store.add_bytes(described, config)
    titled = layer.descriptor.to_json() | {"annotations": {oci.TITLE: "runtime"}}
    body = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": described.to_json(), "layers": [titled]}
    manifest = oci.manifest(oci.encode(body), "the base")
    store.publish(manifest, tag)
    return manifest


@pytest.fixture(scope="session")
def small_base():
    """The function that puts a small runtime base into a layout or a repository."""
    return put_small_base
