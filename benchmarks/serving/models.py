"""The models that the servers are measured with, and one request body for each way to send it.

`tiny` takes 64 floats and computes next to nothing: what is measured is the server. `cnn` is shaped like MobileNetV2
(1x3x224x224 FP32, about 300 million multiplications) with seeded weights. Both lie in a folder as every server here
reads it: NAME/1/model.xml, with a release.json beside it for ours.
"""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

SHAPES = {"tiny": [1, 64], "cnn": [1, 3, 224, 224], "dense": [1, 1024]}
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, repetitions and first stride of MobileNetV2's bottlenecks (Sandler et al. 2018, table 2)."""
SEED = 5
RUNTIMES: dict[str, tuple[Any, int, int]] = {
    "tiny": ("LATENCY", 1, 1),
    "cnn": ("THROUGHPUT", 2, 2),
    "dense": ("LATENCY", 1, 2),
}
"""Hint, streams and threads, as benchmark-model chooses them: more than one stream costs a small model a thread."""


def write(folder: Path) -> None:
    """Write models and bodies to `folder`, unless they are there."""
    if (folder / "done").exists():
        return
    for name, build in (("tiny", tiny), ("cnn", cnn)):
        write_model(folder / "models" / name / "1", build())
        write_bodies(folder / "bodies", name)
    (folder / "done").touch()


def write_model(folder: Path, model: Any, **runtime: Any) -> None:
    """An IR in FP32, and a release's identity that says how to run it; `runtime` is what it says besides."""
    import openvino as ov

    from nearedge.files import sha256_file
    from nearedge.release import record, sections

    folder.mkdir(parents=True, exist_ok=True)
    ov.save_model(model, str(folder / "model.xml"), compress_to_fp16=False)
    name, (xml, weights) = model.get_friendly_name(), (folder / "model.xml", folder / "model.bin")
    hint, streams, threads = RUNTIMES[name]
    tensors = [
        sections.TensorSpec(
            name=title,
            datatype="FP32",
            shape=[-1 if size.is_dynamic else size.get_length() for size in port.partial_shape],
        )
        for title, port in (("x", model.inputs[0]), ("y", model.outputs[0]))
    ]
    identity = record.Identity(
        schema_version=sections.RECORD_VERSION,
        name=name,
        version="1",
        profile="microshift-small",
        source=record.SourceIdentity(
            format="onnx", framework="onnx", sha256="0" * 64, description_sha256="0" * 64, data_sha256="0" * 64
        ),
        ir=record.IrIdentity(
            openvino=ov.__version__,
            inputs=tensors[:1],
            outputs=tensors[1:],
            xml_sha256=sha256_file(xml),
            bin_sha256=sha256_file(weights),
        ),
        precision="f32",
        runtime=sections.RuntimeConfiguration(
            inference_precision="f32", performance_hint=hint, streams=streams, threads=threads, **runtime
        ),
        thresholds=sections.Thresholds(max_relative=0.1, min_cosine=0.9, min_top1_agreement=0.9),
        golden=None,
    )
    (folder / "release.json").write_text(record.dump(identity))


def write_bodies(folder: Path, name: str) -> None:
    """NAME.json and NAME.binary, with the length of the binary one's JSON part in NAME.header.

    Values are what pictures give: multiples of 1/255, written as Python writes a float32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = (np.random.default_rng(SEED).integers(0, 256, SHAPES[name]) / 255).astype(np.float32)
    tensor: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": SHAPES[name]}
    written = [float(str(value)) for value in values.ravel()]
    (folder / f"{name}.json").write_text(json.dumps({"inputs": [{**tensor, "data": written}]}))
    head = {"inputs": [{**tensor, "parameters": {"binary_data_size": values.nbytes}}]}
    encoded = json.dumps({**head, "parameters": {"binary_data_output": True}}).encode()
    (folder / f"{name}.binary").write_bytes(encoded + values.tobytes())
    (folder / f"{name}.header").write_text(str(len(encoded)))


class Weights:
    """Seeded constants."""

    def __init__(self) -> None:
        """Start the sequence."""
        self.random = np.random.default_rng(SEED)

    def __call__(self, *shape: int) -> Any:
        """A constant of `shape`, scaled by what goes into one output so that values stay in range."""
        from openvino import opset13 as op

        scale = np.sqrt(2 / np.prod(shape[1:]))
        return op.constant((self.random.standard_normal(shape) * scale).astype(np.float32))


def finished(node: Any, given: Any, name: str) -> Any:
    """A model of one input `x` and one output `y`."""
    import openvino as ov

    for port, title in ((given, "x"), (node, "y")):
        port.output(0).get_tensor().set_names({title})
    return ov.Model([node], [given], name)


def tiny() -> Any:
    """Two dense layers: 64 -> 32 -> 10."""
    import openvino as ov
    from openvino import opset13 as op

    weights = Weights()
    given = op.parameter(SHAPES["tiny"], ov.Type.f32)
    hidden = op.relu(op.matmul(given, weights(32, 64), False, True))
    return finished(op.matmul(hidden, weights(10, 32), False, True), given, "tiny")


def dense_layers() -> Any:
    """Four dense layers with 100 MB of weights and any number of rows: reading weights is most of its time."""
    import openvino as ov
    from openvino import opset13 as op

    weights, sizes = Weights(), (1024, 4096, 4096, 1024)
    given = node = op.parameter([-1, sizes[0]], ov.Type.f32)
    for narrow, wide in pairwise(sizes):
        node = op.relu(op.matmul(node, weights(wide, narrow), False, True))
    return finished(op.matmul(node, weights(10, sizes[-1]), False, True), given, "dense")


def cnn() -> Any:
    """MobileNetV2 of width 1 with 1000 classes."""
    import openvino as ov
    from openvino import opset13 as op

    weights = Weights()
    given = op.parameter(SHAPES["cnn"], ov.Type.f32)
    node, channels = dense(given, weights(32, 3, 3, 3), 2), 32
    for expansion, wide, stride in blocks():
        node, channels = bottleneck(node, weights, channels, expansion, wide, stride), wide
    node = dense(node, weights(1280, channels, 1, 1), 1)
    pooled = op.reduce_mean(node, op.constant(np.array([2, 3])), False)
    return finished(op.matmul(pooled, weights(1000, 1280), False, True), given, "cnn")


def blocks() -> Iterator[tuple[int, int, int]]:
    """Expansion, channels and stride of each bottleneck."""
    for expansion, channels, count, stride in BLOCKS:
        for at in range(count):
            yield expansion, channels, stride if at == 0 else 1


def dense(node: Any, kernel: Any, stride: int) -> Any:
    """A convolution that keeps the size (but for its stride), then ReLU6."""
    from openvino import opset13 as op

    edge = [kernel.get_output_shape(0)[2] // 2] * 2
    return op.clamp(op.convolution(node, kernel, [stride] * 2, edge, edge, [1, 1]), 0.0, 6.0)


def bottleneck(node: Any, weights: Weights, channels: int, expansion: int, wide: int, stride: int) -> Any:
    """An inverted residual: widen, filter each channel by itself, narrow, and add the input where the shapes agree."""
    from openvino import opset13 as op

    inner = channels * expansion
    made = dense(node, weights(inner, channels, 1, 1), 1) if expansion > 1 else node
    kernel = op.reshape(weights(inner, 1, 3, 3), op.constant(np.array([inner, 1, 1, 3, 3])), False)
    made = op.clamp(op.group_convolution(made, kernel, [stride] * 2, [1, 1], [1, 1], [1, 1]), 0.0, 6.0)
    made = op.convolution(made, weights(wide, inner, 1, 1), [1, 1], [0, 0], [0, 0], [1, 1])
    return op.add(node, made) if stride == 1 and channels == wide else made
