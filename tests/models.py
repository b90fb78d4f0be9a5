"""Small real models of every format, seeded, made once for a test session.

Two computations: `Net`, pictures [N,3,8,8] float32 to five logits, and `Two`, ids [N,6] int64 and weights [N,6] float32
to a sum [N,4] and its softmax.
"""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "torchscript": {"image": (-1, 3, 8, 8)},
    "torchscript-two": {"ids": (-1, 6), "weight": (-1, 6)},
    "torchscript-list": {"image": (-1, 3, 8, 8)},
}
"""What TorchScript does not keep."""


def net() -> Any:
    """A convolution and a dense layer in PyTorch."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c = torch.nn.Conv2d(3, 4, 3)
            self.d = torch.nn.Linear(4 * 36, 5)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.d(torch.relu(self.c(image)).flatten(1))

    torch.manual_seed(0)
    return Net().eval()


def two() -> Any:
    """A weighted sum of embeddings in PyTorch."""
    import torch

    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.e = torch.nn.Embedding(11, 4)

        def forward(self, ids: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            total = (self.e(ids) * weight.unsqueeze(-1)).sum(1)
            return total, torch.softmax(total, -1)

    torch.manual_seed(0)
    return Two().eval()


def torchscript(folder: Path) -> Path:
    """`Net`, traced."""
    import torch

    torch.jit.trace(net(), torch.zeros(1, 3, 8, 8)).save(folder / "net.pt")
    return folder / "net.pt"


def torchscript_two(folder: Path) -> Path:
    """`Two`, scripted."""
    import torch

    torch.jit.script(two()).save(folder / "two.pt")
    return folder / "two.pt"


def torchscript_list(folder: Path) -> Path:
    """`Net` giving a list of two tensors, whose number TorchScript's types do not tell."""
    import torch

    inner = net()

    class Listing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
            logits = self.inner(image)
            return [logits, torch.softmax(logits, -1)]

    torch.jit.script(Listing().eval()).save(folder / "listing.pt")
    return folder / "listing.pt"


def pt2(folder: Path) -> Path:
    """`Net`, exported with a batch that may vary."""
    import torch

    program = torch.export.export(net(), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, folder / "net.pt2")
    return folder / "net.pt2"


def pt2_two(folder: Path) -> Path:
    """`Two`, exported with a batch of 2; the weights are a keyword argument."""
    import torch

    ids = torch.zeros(2, 6, dtype=torch.int64)
    torch.export.save(torch.export.export(two(), (ids,), {"weight": torch.zeros(2, 6)}), folder / "two.pt2")
    return folder / "two.pt2"


def onnx_model(nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: list[Any], **more: Any) -> Any:
    """An ONNX ModelProto of opset 18."""
    from onnx import helper

    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 18), *more.pop("opsets", [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, **more)


def onnx_net_proto() -> Any:
    """`Net` in ONNX, with the weights of PyTorch's."""
    from onnx import TensorProto, helper, numpy_helper

    weights = [numpy_helper.from_array(value.numpy(), name) for name, value in net().state_dict().items()]
    nodes = [
        helper.make_node("Conv", ["image", "c.weight", "c.bias"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["f"]),
        helper.make_node("Gemm", ["f", "d.weight", "d.bias"], ["logits"], transB=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 8, 8])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 5])
    return onnx_model(nodes, [image], [logits], weights)


def onnx_net(folder: Path) -> Path:
    """`Net` in one ONNX file."""
    import onnx

    onnx.save(onnx_net_proto(), folder / "net.onnx")
    return folder / "net.onnx"


def onnx_external(folder: Path) -> Path:
    """`Net` in ONNX with its weights in another file."""
    import onnx

    inner = folder / "external"
    inner.mkdir()
    onnx.save(
        onnx_net_proto(), inner / "net.onnx", save_as_external_data=True, location="weights.bin", size_threshold=8
    )
    return inner / "net.onnx"


def onnx_two(folder: Path) -> Path:
    """`Two` in ONNX."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    table = numpy_helper.from_array(two().state_dict()["e.weight"].numpy(), "table")
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [-1])
    first = helper.make_tensor("first", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["e"]),
        helper.make_node("Unsqueeze", ["weight", "axis"], ["w"]),
        helper.make_node("Mul", ["e", "w"], ["m"]),
        helper.make_node("ReduceSum", ["m", "first"], ["total"], keepdims=0),
        helper.make_node("Softmax", ["total"], ["share"], axis=-1),
    ]
    inputs = [
        helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", 6]),
        helper.make_tensor_value_info("weight", TensorProto.FLOAT, ["n", 6]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("total", "share")]
    onnx.save(onnx_model(nodes, inputs, outputs, [table, axis, first]), folder / "two.onnx")
    return folder / "two.onnx"


def scorer() -> Any:
    """A tf.Module with two inputs and two outputs: features [N,4] float32 and offset [N,1] int32."""
    import tensorflow as tf

    class Scorer(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = tf.Variable([[0.5, -1.0, 2.0], [1.5, 0.25, -0.5], [0.0, 1.0, 1.0], [-1.0, 0.5, 0.125]])

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 4], tf.float32, name="features"),
                tf.TensorSpec([None, 1], tf.int32, name="offset"),
            ]
        )
        def score(self, features: Any, offset: Any) -> Any:
            total = features @ self.w + tf.cast(offset, tf.float32)
            return {"score": total, "share": tf.nn.softmax(total)}

    return Scorer()


def savedmodel(folder: Path) -> Path:
    """`scorer` as a SavedModel."""
    import tensorflow as tf

    model = scorer()
    tf.saved_model.save(model, str(folder / "scorer"), signatures={"serving_default": model.score})
    return folder / "scorer"


def savedmodel_keras(folder: Path) -> Path:
    """A small CNN in Keras, exported."""
    keras_net().export(folder / "keras_net", verbose=False)
    return folder / "keras_net"


def keras_net() -> Any:
    """Pictures [N,8,8,3] to five logits."""
    import keras

    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3), name="image"),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(5, name="logits"),
        ]
    )


def frozen_pb(folder: Path) -> Path:
    """`scorer` with its variables made constants."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    model = scorer()
    frozen = convert_variables_to_constants_v2(model.score.get_concrete_function())
    tf.io.write_graph(frozen.graph.as_graph_def(), str(folder), "scorer.pb", as_text=False)
    return folder / "scorer.pb"


def tflite(folder: Path) -> Path:
    """The small CNN of Keras for TensorFlow Lite."""
    import tensorflow as tf

    keras_net().export(folder / "for_lite", verbose=False)
    content = tf.lite.TFLiteConverter.from_saved_model(str(folder / "for_lite")).convert()
    (folder / "net.tflite").write_bytes(content)
    return folder / "net.tflite"


def keras(folder: Path) -> Path:
    """The small CNN of Keras in Keras's own format."""
    keras_net().save(folder / "net.keras")
    return folder / "net.keras"


def keras_h5(folder: Path) -> Path:
    """The same as Keras 2 saved models."""
    keras_net().save(folder / "net.h5")
    return folder / "net.h5"


def openvino_ir(folder: Path) -> Path:
    """`Net` as an IR."""
    from converters import telemetry

    telemetry.off()
    import openvino as ov

    onnx_net(folder)
    ov.save_model(ov.convert_model(folder / "net.onnx"), folder / "ir.xml", compress_to_fp16=False)
    return folder / "ir.xml"


MAKERS: dict[str, Callable[[Path], Path]] = {
    "torchscript": torchscript,
    "torchscript-two": torchscript_two,
    "torchscript-list": torchscript_list,
    "pt2": pt2,
    "pt2-two": pt2_two,
    "onnx": onnx_net,
    "onnx-external": onnx_external,
    "onnx-two": onnx_two,
    "savedmodel": savedmodel,
    "savedmodel-keras": savedmodel_keras,
    "frozen-pb": frozen_pb,
    "tflite": tflite,
    "keras": keras,
    "keras-h5": keras_h5,
    "openvino-ir": openvino_ir,
}
FORMS = {name: name if name in ("frozen-pb", "openvino-ir", "keras-h5") else name.split("-")[0] for name in MAKERS}


class Models:
    """The models, each made where it is first asked for, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """`folder` lives as long as the session."""
        self.folder = folder
        self.made: dict[str, Path] = {}

    def path(self, name: str) -> Path:
        """The model file or folder; tests must not change it."""
        if name not in self.made:
            folder = self.folder / name
            folder.mkdir(parents=True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what frameworks say while they write is not ours
                self.made[name] = MAKERS[name](folder)
        return self.made[name]


SHARED: dict[Path, Models] = {}


def shared(base: Path) -> Models:
    """The models of the session whose temporary files are in `base`, the same for every test that asks."""
    if base not in SHARED:
        SHARED[base] = Models(base / "models-of-every-format")
    return SHARED[base]


def described(path: Path, form: str, name: str, **changes: Any) -> Any:
    """A description of a model of `MAKERS`, from its own signature. `changes` replaces whole top-level keys."""
    import yaml

    from converters import inspection
    from nearedge.release.description import parse

    found = inspection.inspect(path, form)  # type: ignore[arg-type]  # FORMS holds formats alone
    inputs = [
        {
            "name": tensor.name,
            "shape": list(tensor.shape or SHAPES[name][tensor.name]),
            "dtype": tensor.datatype or ("INT64" if tensor.name == "ids" else "FP32"),
        }
        for tensor in found.inputs
    ]
    names = ["", ""] if found.outputs is None else [tensor.name for tensor in found.outputs]
    outputs = [{"name": output or f"out-{number}"} for number, output in enumerate(names)]
    document = {"schema": 1, "name": "tested", "source": {"path": path.name}, "inputs": inputs, "outputs": outputs}
    return parse(yaml.safe_dump(document | changes), "model.yaml")


def feed(description: Any, rows: int = 2, seed: int = 0) -> dict[str, Any]:
    """Seeded arrays of what clients would send; whole numbers from 0 to 10."""
    import numpy as np

    from converters.datatypes import TO_NUMPY

    random = np.random.default_rng(seed)
    found = {}
    for one in description.inputs:
        shape = [rows if size == -1 else size for size in one.shape]
        whole = "INT" in one.dtype
        values = random.integers(0, 11, shape) if whole else random.standard_normal(shape)
        found[one.name] = np.asarray(values).astype(TO_NUMPY[one.dtype])
    return found
