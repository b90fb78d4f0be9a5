"""Files that belong to a model file and lie beside it: ONNX's external data, the weights of an IR.

Field numbers are those of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).
"""

from collections.abc import Iterator
from pathlib import Path

from converters import wire
from nearedge.errors import InputError
from nearedge.files import inside
from nearedge.release.sections import Format

MODEL_GRAPH, MODEL_FUNCTIONS = 7, 25
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
FUNCTION_NODE = 7
NODE_ATTRIBUTE = 5
ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS = (5, 10), (6, 11)
TENSOR_EXTERNAL, ENTRY_KEY, ENTRY_VALUE = 13, 1, 2


def names(path: Path, form: Format) -> list[str]:
    """The files that the model needs besides `path`, relative to its folder, sorted; they need not be there yet.

    Raises InputError where one leads out of the model's folder, or the model is damaged.
    """
    if form == "openvino-ir":
        return [path.with_suffix(".bin").name]
    if form != "onnx":
        return []
    try:
        with wire.mapped(path) as view:
            found = sorted(set(_locations(view)))
    except (ValueError, RecursionError) as error:  # an empty file cannot be mapped
        raise InputError(f"{path}: a damaged or truncated onnx file; fetch or save it again") from error
    for name in found:
        inside(path.parent, name)
    return found


def check(path: Path, form: Format) -> None:
    """Raise InputError where a file that the model needs is missing or leads out of its folder."""
    for name in names(path, form):
        if not (path.parent / name).is_file():
            raise InputError(f"{path}: it needs {name}, which is missing; put that file beside the model")


def _locations(view: memoryview) -> Iterator[str]:
    """The places that the tensors of an ONNX model say their data are at."""
    for field in wire.fields(view):
        if field.number == MODEL_GRAPH:
            yield from _of_graph(view, field)
        elif field.number == MODEL_FUNCTIONS:
            yield from _of_nodes(view, wire.inner(view, field, FUNCTION_NODE))


def _of_graph(view: memoryview, graph: wire.Field) -> Iterator[str]:
    """The places in one graph and the graphs inside its nodes."""
    for tensor in wire.inner(view, graph, GRAPH_INITIALIZER):
        yield from _of_tensor(view, tensor)
    yield from _of_nodes(view, wire.inner(view, graph, GRAPH_NODE))


def _of_nodes(view: memoryview, nodes: Iterator[wire.Field]) -> Iterator[str]:
    """The places in the attributes of nodes."""
    for node in nodes:
        for attribute in wire.inner(view, node, NODE_ATTRIBUTE):
            for value in wire.fields(view, attribute.start, attribute.end):
                if value.wire == wire.BYTES and value.number in ATTRIBUTE_TENSORS:
                    yield from _of_tensor(view, value)
                elif value.wire == wire.BYTES and value.number in ATTRIBUTE_GRAPHS:
                    yield from _of_graph(view, value)


def _of_tensor(view: memoryview, tensor: wire.Field) -> Iterator[str]:
    """The place of one tensor's data, where they are external."""
    for entry in wire.inner(view, tensor, TENSOR_EXTERNAL):
        parts = {field.number: wire.text(view, field) for field in wire.fields(view, entry.start, entry.end)}
        if parts.get(ENTRY_KEY) == "location":
            yield parts.get(ENTRY_VALUE, "")
