"""Whatever OpenVINO reads by itself (ONNX, TensorFlow, TFLite, IR): reading it, its signature, and running an IR."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converters import companions
from converters.datatypes import from_openvino
from converters.opened import Array, Opened
from converters.refusal import explained
from converters.signature import Shape, Signature, Tensor
from nearedge.release.sections import Format

LITE = ".tflite"
"""The one format that OpenVINO tells by the file's name."""
TENSORFLOW: tuple[Format, ...] = ("savedmodel", "frozen-pb", "tflite")


def read(path: Path, form: Format) -> Any:  # openvino.Model
    """The ov.Model of a file, as it is. Raises InputError or UnsupportedError where OpenVINO refuses it."""
    import openvino as ov

    companions.check(path, form)
    with explained(path, "OpenVINO cannot convert it"):
        if form == "openvino-ir":
            return ov.Core().read_model(path)
        if form != "tflite" or path.suffix == LITE:
            return ov.convert_model(path)
        with tempfile.TemporaryDirectory(prefix="nearedge-lite-") as folder:
            named = Path(folder) / f"model{LITE}"
            named.symlink_to(path.resolve())
            return ov.convert_model(named)


def signature_of(model: Any, path: Path, form: Format) -> Signature:  # openvino.Model
    """Names, shapes and element types of an ov.Model read from `form`; `:0` is left out of TensorFlow's names."""
    inputs = [(node.friendly_name, node.output(0)) for node in model.get_parameters()]
    outputs = [(node.friendly_name, node.output(0)) for node in model.get_results()]
    return Signature(
        tuple(_tensor(name, port, form, f"{path}: input") for name, port in inputs),
        tuple(_tensor(name, port, form, f"{path}: output") for name, port in outputs),
    )


def _tensor(friendly_name: str, port: Any, form: Format, what: str) -> Tensor:  # openvino.Output
    """One input or output; of several names the node's own, else the first in order."""
    names = sorted(port.get_names())
    name = friendly_name if friendly_name in names or not names else names[0]
    name = (name if names else "").removesuffix(":0" if form in TENSORFLOW else "")
    element = port.get_element_type()
    datatype = None if element.is_dynamic() else from_openvino(element.get_type_name(), f"{what} {name!r}")
    return Tensor(name, datatype, shape_of(port.get_partial_shape()))


def shape_of(partial: Any) -> Shape | None:  # openvino.PartialShape
    """The shape with -1 where it may vary, None where not even the number of dimensions is known."""
    if partial.rank.is_dynamic:
        return None
    return tuple(size.get_length() if size.is_static else -1 for size in partial)


def open_ir(path: Path, threads: int | None) -> Opened:
    """An IR to run as its own original: on the CPU, in f32 whatever the machine would prefer."""
    import openvino as ov

    model = read(path, "openvino-ir")
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    with explained(path, "OpenVINO cannot compile it"):
        request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()

    def run(feed: Sequence[Array]) -> list[Array]:
        with explained(path, "OpenVINO cannot run it on these inputs"):
            found = request.infer(dict(enumerate(feed)))
        return [found[index].copy() for index in range(len(model.outputs))]

    return Opened(f"OpenVINO {ov.get_version().partition('-')[0]}", signature_of(model, path, "openvino-ir"), run)
