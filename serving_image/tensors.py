"""Tensors: the protocol's datatypes, what a model expects of each tensor, and whether one fits."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving_image.faults import BadRequestError

Array = NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype("S"),
}
"""How an array of each datatype is held. BF16 has no numpy type: its bits are, as UINT16. BYTES: see `strings`."""

OPENVINO: dict[str, str] = {
    "boolean": "BOOL",
    "u8": "UINT8",
    "u16": "UINT16",
    "u32": "UINT32",
    "u64": "UINT64",
    "i8": "INT8",
    "i16": "INT16",
    "i32": "INT32",
    "i64": "INT64",
    "f16": "FP16",
    "bf16": "BF16",
    "f32": "FP32",
    "f64": "FP64",
    "string": "BYTES",
}
"""OpenVINO's names of element types, and the protocol's."""

WIDE = frozenset({"INT64", "UINT32", "UINT64"})
"""Datatypes that OpenVINO's CPU plugin computes as signed 32-bit integers, silently cutting off the rest
(https://github.com/openvinotoolkit/openvino/issues/35823; seen with 2026.4 for all three)."""

MAX_RANK = 32
MAX_DIMENSION = 2**31 - 1
INT32 = np.iinfo(np.int32)


@dataclass(frozen=True)
class Tensor:
    """A tensor on its way in or out; `array` has the dtype of DTYPES[datatype] and the tensor's shape."""

    name: str
    datatype: str
    array: Array


@dataclass(frozen=True)
class Spec:
    """What a model says of a tensor. `bounds` holds (least, most) for each dimension, most -1 where unbounded."""

    name: str
    datatype: str
    bounds: tuple[tuple[int, int], ...]

    @property
    def shape(self) -> list[int]:
        """The shape as the protocol writes it: -1 for a dimension that may vary."""
        return [low if low == high else -1 for low, high in self.bounds]

    @property
    def static(self) -> bool:
        """Whether no dimension may vary."""
        return all(low == high for low, high in self.bounds)

    def check(self, tensor: Tensor) -> None:
        """Raise BadRequestError where `tensor` has another datatype or shape than the model takes, or too wide."""
        if tensor.datatype != self.datatype:
            raise BadRequestError(
                f"input {quoted(self.name)}: datatype is {tensor.datatype}, the model expects {self.datatype}"
            )
        shape = tensor.array.shape
        fits = len(shape) == len(self.bounds) and all(
            low <= size and (high == -1 or size <= high) for size, (low, high) in zip(shape, self.bounds, strict=True)
        )
        if not fits:
            raise BadRequestError(
                f"input {quoted(self.name)}: shape is {list(shape)}, the model expects {self.shape}{self.ranges()}"
            )

        if self.datatype in WIDE and (tensor.array.max() > INT32.max or tensor.array.min() < INT32.min):
            raise BadRequestError(
                f"input {quoted(self.name)}: holds a value outside {INT32.min} to {INT32.max}; "
                f"OpenVINO computes {self.datatype} with 32 bits on a CPU, so the answer would be wrong"
            )

    def ranges(self) -> str:
        """Words for the dimensions that vary within bounds, empty where there are none."""
        bounded = [
            f"dimension {at} from {low} to {high}"
            for at, (low, high) in enumerate(self.bounds)
            if low != high and high != -1
        ]
        return f" ({', '.join(bounded)})" if bounded else ""


def checked_shape(name: str, shape: object) -> tuple[int, ...]:
    """A shape from its JSON value, each dimension at least 1. Raises BadRequestError."""
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise BadRequestError(f"input {quoted(name)}: shape must be a list of integers")
    if len(shape) > MAX_RANK:
        raise BadRequestError(f"input {quoted(name)}: shape has {len(shape)} dimensions, at most {MAX_RANK} are read")
    if any(not 1 <= size <= MAX_DIMENSION for size in shape):
        raise BadRequestError(f"input {quoted(name)}: every dimension of shape must be at least 1 and below 2**31")
    return tuple(shape)


def checked_datatype(name: str, datatype: object) -> str:
    """A datatype that we read. Raises BadRequestError."""
    if not isinstance(datatype, str) or datatype not in DTYPES:
        said = quoted(datatype) if isinstance(datatype, str) else "missing or no string"
        raise BadRequestError(f"input {quoted(name)}: datatype is {said}, expected one of {', '.join(DTYPES)}")
    return datatype


def elements(shape: tuple[int, ...]) -> int:
    """How many elements a tensor of that shape has."""
    return math.prod(shape)


def quoted(text: str, limit: int = 80) -> str:
    """A client's text for a message: cut, with what cannot be printed escaped."""
    return repr(text if len(text) <= limit else text[:limit] + "…")


def check_finite(tensor: Tensor) -> None:
    """Raise BadRequestError where a tensor of floats holds NaN or infinity; say where the first one is."""
    values = numbers(tensor)
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    at = np.argwhere(~np.isfinite(values))[0].tolist()
    raise BadRequestError(f"input {quoted(tensor.name)}: holds NaN or infinity at {at}, which this server refuses")


def bf16_bits(array: Array) -> Array:
    """Bits of bfloat16, rounded to nearest even as OpenVINO rounds, from floats of any shape; NaN stays NaN."""
    bits = np.ascontiguousarray(array, dtype="<f4").view("<u4")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(array), 0x7FC0, rounded).astype("<u2").reshape(np.shape(array))


def bf16_floats(bits: Array) -> Array:
    """float32 values of bfloat16 bits."""
    return (bits.astype("<u4") << 16).view("<f4")


def numbers(tensor: Tensor) -> Array:
    """The values of a tensor as numbers that numpy can calculate with: bfloat16 as float32, others as they are."""
    return bf16_floats(tensor.array) if tensor.datatype == "BF16" else tensor.array


def of_numbers(name: str, datatype: str, array: Array) -> Tensor:
    """A tensor of that datatype from values, the reverse of `numbers`."""
    if datatype == "BF16" and array.dtype.kind == "f":
        return Tensor(name, datatype, bf16_bits(array))
    if datatype == "BYTES":
        return Tensor(name, datatype, array.astype("S"))
    return Tensor(name, datatype, np.ascontiguousarray(array, dtype=DTYPES[datatype]).reshape(array.shape))
