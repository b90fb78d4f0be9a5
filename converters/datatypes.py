"""Open Inference Protocol's names of element types, and what numpy, OpenVINO and the frameworks call them."""

from nearedge.errors import UnsupportedError
from nearedge.release.inputs import Datatype

OPENVINO: dict[str, Datatype] = {
    "boolean": "BOOL", "u8": "UINT8", "u16": "UINT16", "u32": "UINT32", "u64": "UINT64",
    "i8": "INT8", "i16": "INT16", "i32": "INT32", "i64": "INT64",
    "f16": "FP16", "bf16": "BF16", "f32": "FP32", "f64": "FP64",
}  # fmt: skip
NUMPY: dict[str, Datatype] = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
    "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "float16": "FP16", "bfloat16": "BF16", "float32": "FP32", "float64": "FP64",
}  # fmt: skip
"""Also what PyTorch, without `torch.`, and TensorFlow call them."""
TO_OPENVINO = {ours: theirs for theirs, ours in OPENVINO.items()}
TO_NUMPY = {ours: theirs for theirs, ours in NUMPY.items()}
FLOATS = ("FP16", "BF16", "FP32", "FP64")


def from_openvino(name: str, what: str) -> Datatype:
    """Our name of an OpenVINO type such as `f32`; `what` names the tensor where there is none."""
    return _known(OPENVINO.get(name), name, what)


def from_framework(name: str, what: str) -> Datatype:
    """Our name of a type as numpy, PyTorch (`torch.` may stand before it) and TensorFlow write it."""
    return _known(NUMPY.get(name.removeprefix("torch.")), name, what)


def fed_to_model(datatype: Datatype, preprocessed: bool) -> Datatype:
    """What the model itself is fed where clients send `datatype`: preprocessing turns whole numbers into FP32."""
    return "FP32" if preprocessed and datatype not in FLOATS else datatype


def _known(datatype: Datatype | None, name: str, what: str) -> Datatype:
    """The type, or the refusal of one that the protocol cannot carry as numbers."""
    if datatype is None:
        raise UnsupportedError(f"{what}: element type {name} cannot be served; give the model numeric tensors")
    return datatype
