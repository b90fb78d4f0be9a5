"""ONNX models run by onnxruntime on the CPU."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converters import companions
from converters.datatypes import from_framework
from converters.opened import Array, Opened
from converters.refusal import explained
from converters.signature import Signature, Tensor

ELEMENT = re.compile(r"tensor\((\w+)\)")
FLOATS = {"float": "float32", "double": "float64"}
NOTHING_BUT_CRASHES = 4


def open_onnx(path: Path, threads: int | None) -> Opened:
    """An ONNX model to run. Raises InputError or UnsupportedError where onnxruntime refuses it."""
    import onnxruntime

    companions.check(path, "onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = NOTHING_BUT_CRASHES  # errors come as exceptions
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    with explained(path, "onnxruntime cannot load it"):
        # A second try on another device, of which there is none, would only print what went wrong to stdout.
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    inputs = tuple(_tensor(one, path) for one in session.get_inputs())
    outputs = tuple(_tensor(one, path) for one in session.get_outputs())

    def run(feed: Sequence[Array]) -> list[Array]:
        named = {tensor.name: array for tensor, array in zip(inputs, feed, strict=True)}
        with explained(path, "onnxruntime cannot run it on these inputs"):
            return list(session.run(None, named))

    return Opened(f"ONNX Runtime {onnxruntime.__version__}", Signature(inputs, outputs), run)


def _tensor(one: Any, path: Path) -> Tensor:  # onnxruntime.NodeArg
    """An input or output: `tensor(float)` is its type, a name or None in its shape a dimension that may vary."""
    found = ELEMENT.fullmatch(one.type)
    element = found[1] if found else one.type
    datatype = from_framework(FLOATS.get(element, element), f"{path}: {one.name!r}")
    return Tensor(one.name, datatype, tuple(size if isinstance(size, int) else -1 for size in one.shape))
