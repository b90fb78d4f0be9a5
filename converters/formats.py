"""Which format a model file has, told by its content and never by its name; needs no framework.

What cannot be converted is refused here, with what to do instead.
"""

import codecs
from pathlib import Path

from converters import archive, weight_files, wire
from nearedge.errors import InputError
from nearedge.release.sections import Format, Framework

FRAMEWORKS: dict[Format, Framework] = {
    "torchscript": "pytorch",
    "pt2": "pytorch",
    "state-dict": "pytorch",
    "safetensors": "pytorch",
    "onnx": "onnx",
    "openvino-ir": "onnx",
    "savedmodel": "tensorflow",
    "frozen-pb": "tensorflow",
    "keras": "tensorflow",
    "keras-h5": "tensorflow",
    "tflite": "tensorflow",
}
FORMATS = (
    "TorchScript, torch.export (.pt2), weights with a Python factory, ONNX, SavedModel, Keras (.keras, .h5), "
    "frozen GraphDef, TFLite, OpenVINO IR"
)
WEIGHTS: dict[Format, str] = {"state-dict": "a state_dict", "safetensors": "safetensors"}
"""Formats that hold weights and no model; what makes the model is source.factory."""
HEAD_BYTES = 4096
ZIP, LITE, PICKLE = b"PK\x03\x04", b"TFL3", b"\x80"
LATEST_ONNX_IR = 64
MODEL_GRAPH, MODEL_IR_VERSION = 7, 1
SAVED_SCHEMA, SAVED_META_GRAPH, META_SIGNATURE, MAP_KEY = 1, 2, 5, 1
GRAPH_NODE, NODE_NAME, NODE_OP = 1, 1, 2
GRAPH_FIELDS = {1, 2, 3, 4, 5}
VARIABLES = (b"VarHandleOp", b"VariableV2")
"""Operations of a graph whose weights are in another file."""
VARIABLE_FILES = {"variables.index", "variables.data"}
"""The files that hold them; the second in parts such as variables.data-00000-of-00001."""


def framework_of(form: Format) -> Framework:
    """The framework whose step image can run and convert that format."""
    return FRAMEWORKS[form]


def recognise(path: Path, factory: bool = False) -> Format:
    """The format of the model in `path`, a file or a folder; `factory`: model.yaml names what makes it from weights.

    Raises InputError where it holds no model, or a whole one beside a factory, UnsupportedError where it holds one that
    we do not convert.
    """
    form = form_of(path)
    if form in WEIGHTS and not factory:
        raise InputError(
            f"{path}: holds weights ({WEIGHTS[form]}) and no model to convert; name the Python function that makes the "
            f"module as source.factory in model.yaml (docs/model-formats.md), or {archive.SAVE_TORCH}"
        )
    if factory and form not in WEIGHTS:
        raise InputError(f"{path}: source.factory goes with weights alone, this is a whole {form} model; leave it out")
    return form


def form_of(path: Path) -> Format:
    """The format of what is in `path`, where that are weights alone as well. Raises as `recognise` does."""
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder; check the model's path")
    size = path.stat().st_size
    if size == 0:
        raise InputError(f"{path}: the file is empty; fetch or save it again")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return _by_magic(path, head, size) or _by_text(path, head) or _by_fields(path)


def _folder(path: Path) -> Format:
    """A SavedModel, or the refusal of a folder that is none."""
    if not (path / "saved_model.pb").is_file():
        text = " (only saved_model.pbtxt, the text form)" if (path / "saved_model.pbtxt").is_file() else ""
        raise InputError(
            f"{path}: a folder without saved_model.pb{text}; give a SavedModel folder, or the model file itself"
        )
    signatures_of(path)
    stored = {file.name.partition("-")[0] for file in (path / "variables").glob("variables.*")} >= VARIABLE_FILES
    if not stored and any(weight_files.holds(path / "saved_model.pb", operation) for operation in VARIABLES):
        raise InputError(f"{path}: its weights are missing (variables/variables.*); copy the whole folder again")
    return "savedmodel"


def signatures_of(folder: Path) -> list[str]:
    """The names of a SavedModel's signatures, such as serving_default. Raises InputError where it is damaged."""
    try:
        with wire.mapped(folder / "saved_model.pb") as view:
            graphs = [field for field in wire.fields(view) if field.number == SAVED_META_GRAPH]
            return [
                wire.text(view, key)
                for graph in graphs
                for entry in wire.inner(view, graph, META_SIGNATURE)
                for key in wire.inner(view, entry, MAP_KEY)
            ]
    except ValueError as error:  # also for an empty file, which cannot be mapped
        raise InputError(f"{folder / 'saved_model.pb'}: damaged or truncated; export the model again") from error


def _by_magic(path: Path, head: bytes, size: int) -> Format | None:
    """The format of a file that begins with a known mark; None where it begins with none."""
    if head.startswith(ZIP):
        return archive.recognise(path)
    if head[4:8] == LITE:
        return "tflite"
    if head.startswith(weight_files.HDF5):
        return weight_files.hdf5(path, head, size)
    if weight_files.is_safetensors(head):
        return weight_files.safetensors(path, head, size)
    if head.startswith(PICKLE) and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        with path.open("rb") as file:
            return archive.of_pickle(path, file)
    return None


def _by_text(path: Path, head: bytes) -> Format | None:
    """OpenVINO IR; None where the file is no text."""
    if b"\0" in head:
        return None
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and b"<net" in head:
        return "openvino-ir"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut off
    except UnicodeDecodeError:
        return None
    if all(byte >= 0x20 or byte in b"\t\r\n\f" for byte in head):
        raise InputError(f"{path}: a text file, no model; supported are {FORMATS}")
    return None


def _by_fields(path: Path) -> Format:
    """ONNX or a TensorFlow GraphDef, by the fields of the protobuf message."""
    with wire.mapped(path) as view:
        seen, fault = wire.scan(view)
        form = _protobuf(path, view, seen, cut=fault is not None)
    if fault is not None:
        raise InputError(f"{path}: a truncated or damaged {form} file; fetch or save it again")
    return form


def _protobuf(path: Path, view: memoryview, seen: list[wire.Field], cut: bool) -> Format:
    """The format of a message that has these fields."""
    numbers = {field.number for field in seen}
    first = seen[0] if seen else None
    if first is not None and first.wire == wire.VARINT and first.number == MODEL_IR_VERSION:
        if MODEL_GRAPH in numbers and 0 < first.value <= LATEST_ONNX_IR:
            return "onnx"
        if SAVED_META_GRAPH in numbers and not cut:
            raise InputError(f"{path}: a SavedModel's saved_model.pb alone; give its folder, with the variables")
    if numbers and numbers <= GRAPH_FIELDS and first is not None and _is_node(view, first):
        return "frozen-pb"
    raise InputError(f"{path}: not recognised as a model; supported are {FORMATS}")


def _is_node(view: memoryview, field: wire.Field) -> bool:
    """Whether the field holds a TensorFlow NodeDef: a name first, then an operation."""
    if field.number != GRAPH_NODE or field.wire != wire.BYTES:
        return False
    try:
        inner = [one.number for one in wire.fields(view, field.start, field.end)]
    except wire.DamagedError:
        return False
    return inner[:2] == [NODE_NAME, NODE_OP]
