"""InferTensorContents: a tensor's values in the field of its type, to arrays and back, strictly."""

import numpy as np

from serving_image import strings
from serving_image.faults import BadRequestError
from serving_image.grpc import wire
from serving_image.grpc.wire import Budget, block, fields, malformed, message, number
from serving_image.tensors import DTYPES, Array, Tensor, elements, quoted

FIELDS = {
    "BOOL": 1, "INT8": 2, "INT16": 2, "INT32": 2, "INT64": 3, "UINT8": 4, "UINT16": 4, "UINT32": 4, "UINT64": 5,
    "FP32": 6, "FP64": 7, "BYTES": 8,
}  # fmt: skip
"""The field of each datatype; FP16 and BF16 have none: they are sent raw."""
NAMES = {
    1: "bool_contents", 2: "int_contents", 3: "int64_contents", 4: "uint_contents", 5: "uint64_contents",
    6: "fp32_contents", 7: "fp64_contents", 8: "bytes_contents",
}  # fmt: skip
FLOATS = {6: wire.FIXED32, 7: wire.FIXED64}
STRINGS = 8


class Contents:
    """An InferTensorContents as it is read: the packed bytes of each field, and the strings."""

    def __init__(self) -> None:
        """Empty."""
        self.packed: dict[int, memoryview | bytearray] = {}
        self.strings: list[memoryview] = []
        self.size = 0

    def read(self, view: memoryview, budget: Budget) -> None:
        """Add what `view` holds. Raises BadRequestError."""
        self.size += len(view)
        for at, kind, value in fields(view, budget):
            if at == STRINGS:
                self.strings.append(message(NAMES[at], value, kind))
            elif at in NAMES:
                self.add(at, kind, value)

    def add(self, at: int, kind: int, value: wire.Value) -> None:
        """Add numbers, packed or one; those that are not packed are put together as if they were."""
        if kind == wire.BYTES or (at in FLOATS and kind == FLOATS[at]):
            piece = message(NAMES[at], value, wire.BYTES)
        else:
            if at in FLOATS:
                raise malformed(f"{NAMES[at]} is of wire type {kind}")
            piece = memoryview(wire.small(number(NAMES[at], value, kind)))
        held = self.packed.get(at)
        if held is None:
            self.packed[at] = piece
            return
        if not isinstance(held, bytearray):
            held = self.packed[at] = bytearray(held)
        held += piece


def from_contents(name: str, datatype: str, shape: tuple[int, ...], contents: Contents) -> Array:
    """An array of `shape` out of the field of its datatype. Raises BadRequestError."""
    at = FIELDS.get(datatype)
    if at is None:
        raise BadRequestError(f"input {quoted(name)}: {datatype} has no typed contents; send raw_input_contents")
    if at == STRINGS and not contents.packed:
        return strings.array(name, shape, [bytes(value) for value in contents.strings])
    others = [NAMES[other] for other in contents.packed if other != at] + (
        ["bytes_contents"] if contents.strings else []
    )
    if others:
        raise BadRequestError(f"input {quoted(name)}: {datatype} belongs in {NAMES[at]}, not in {others[0]}")
    data = contents.packed.get(at, memoryview(b""))
    needed = elements(shape)
    if at in FLOATS:
        if len(data) != needed * DTYPES[datatype].itemsize:
            raise wrong_count(name, at, shape)
        return np.frombuffer(data, DTYPES[datatype]).reshape(shape)
    values = wire.varints(data, needed)
    if values is None:
        raise wrong_count(name, at, shape)
    return narrowed(name, datatype, values).reshape(shape)


def wrong_count(name: str, at: int, shape: tuple[int, ...]) -> BadRequestError:
    """The fault of contents that hold more or less values than the shape needs."""
    return BadRequestError(
        f"input {quoted(name)}: {NAMES[at]} must hold {elements(shape)} values for shape {list(shape)}"
    )


def narrowed(name: str, datatype: str, values: Array) -> Array:
    """UINT64 varints as the datatype. Raises BadRequestError for what it cannot hold."""
    if datatype == "BOOL":
        return np.not_equal(values, 0)
    dtype = DTYPES[datatype]
    wide = values.view(np.int64) if dtype.kind == "i" else values
    limits = np.iinfo(dtype)
    if dtype.itemsize < 8 and wide.size and (wide.max() > limits.max or wide.min() < limits.min):
        raise BadRequestError(f"input {quoted(name)}: holds a number that {datatype} cannot hold")
    return wide.astype(dtype)


def to_contents(tensor: Tensor) -> bytes:
    """An InferTensorContents of a datatype in FIELDS."""
    at = FIELDS[tensor.datatype]
    flat = np.ravel(tensor.array)
    if at == STRINGS:
        return b"".join(block(at, value) for value in flat.tolist())
    return block(at, flat.astype(DTYPES[tensor.datatype]).tobytes() if at in FLOATS else wire.packed(flat))
