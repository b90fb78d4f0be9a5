"""Protobuf's wire format (https://protobuf.dev/programming-guides/encoding/), as much as the protocol's messages use.

By hand rather than with the protobuf package: tensors stay where they were received, and the image stays small.
"""

import struct
from collections.abc import Iterator

import numpy as np

from serving_image.faults import BadRequestError
from serving_image.tensors import Array

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_FIELDS = 1 << 17
"""More fields than any request has whose numbers are packed; each costs a microsecond."""
CHUNK = 1 << 18
"""Bytes of packed varints that are decoded at once: decoding takes 40 times as much memory."""
SHIFTS = range(0, 70, 7)
DOUBLE = struct.Struct("<d")

Value = int | memoryview


class Budget:
    """How many fields may still be read of one message, those of the messages inside it included."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        """With all of MAX_FIELDS."""
        self.left = MAX_FIELDS


def malformed(reason: str) -> BadRequestError:
    """The fault of bytes that are no message."""
    return BadRequestError(f"the message cannot be read: {reason}")


def varint(view: memoryview, at: int) -> tuple[int, int]:
    """The varint at `at`, as an unsigned number of 64 bits, and where it ends. Raises BadRequestError."""
    value = shift = 0
    try:
        while True:
            byte = view[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value & 0xFFFFFFFFFFFFFFFF, at
            shift += 7
            if shift > 63:
                raise malformed("a varint has more than 10 bytes")
    except IndexError:
        raise malformed("it ends within a varint") from None


def fields(view: memoryview, budget: Budget) -> Iterator[tuple[int, int, Value]]:
    """Number, wire type and value of each field; strings, messages and fixed numbers are views.

    Raises BadRequestError.
    """
    at, end = 0, len(view)
    while at < end:
        budget.left -= 1
        if budget.left < 0:
            raise malformed(f"it has more than {MAX_FIELDS} fields; send raw_input_contents, or packed numbers")
        tag = view[at]
        if tag < 128:
            at += 1
        else:
            tag, at = varint(view, at)
        kind, number = tag & 7, tag >> 3
        if number == 0 or number > 0x1FFFFFFF:
            raise malformed(f"there is no field number {number}")
        if kind == VARINT:
            value, at = varint(view, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            size, at = varint(view, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise malformed(f"field {number} is of wire type {kind}")
        if size > end - at:
            raise malformed(f"field {number} has {size} bytes, {end - at} are left")
        yield number, kind, view[at : at + size]
        at += size


def message(where: str, value: Value, kind: int) -> memoryview:
    """The bytes of a message or of raw contents. Raises BadRequestError where the field is of another type."""
    if kind != BYTES or not isinstance(value, memoryview):
        raise malformed(f"{where} is of wire type {kind}")
    return value


def text(where: str, value: Value, kind: int) -> str:
    """A string. Raises BadRequestError where it is not UTF-8."""
    try:
        return str(message(where, value, kind), "utf-8")
    except UnicodeDecodeError:
        raise malformed(f"{where} is not UTF-8") from None


def number(where: str, value: Value, kind: int) -> int:
    """A bool or an unsigned integer. Raises BadRequestError."""
    if kind != VARINT or not isinstance(value, int):
        raise malformed(f"{where} is of wire type {kind}")
    return value


def signed(value: int) -> int:
    """An int64 from its 64 bits."""
    return value - (1 << 64) if value >> 63 else value


def varints(view: memoryview | bytearray, count: int) -> Array | None:
    """`count` packed varints as UINT64, None where there are more or less. Raises BadRequestError.

    By chunks, so that decoding takes little more memory than its result.
    """
    raw = np.frombuffer(view, np.uint8)
    if not len(raw):
        return np.empty(0, np.uint64) if count == 0 else None
    if raw[-1] >= 128:
        raise malformed("it ends within a varint")
    if np.count_nonzero(raw < 128) != count:
        return None
    if count == len(raw):
        return raw.astype(np.uint64)
    made = np.empty(count, np.uint64)
    at = done = 0
    while at < len(raw):
        chunk = raw[at : at + CHUNK]
        ends = np.flatnonzero(chunk < 128)
        if not len(ends):
            raise malformed("a varint has more than 10 bytes")
        made[done : done + len(ends)] = decoded(chunk, ends)
        done += len(ends)
        at += int(ends[-1]) + 1
    return made


def decoded(chunk: Array, ends: Array) -> Array:
    """The varints of a chunk, UINT64; `ends` are the places of their last bytes. Raises BadRequestError."""
    starts = np.concatenate(([0], ends[:-1] + 1))
    sizes = ends - starts + 1
    if sizes.max() > len(SHIFTS):
        raise malformed("a varint has more than 10 bytes")
    values = np.zeros(len(ends), np.uint64)
    for at, shift in enumerate(SHIFTS[: sizes.max()]):
        longer = np.flatnonzero(sizes > at)
        values[longer] |= (chunk[starts[longer] + at] & 127).astype(np.uint64) << np.uint64(shift)
    return values


def packed(values: Array) -> bytes:
    """Integers as packed varints: signed ones of 64 bits, as protobuf's int32 and int64 are."""
    if not values.size:
        return b""
    unsigned = values.astype(np.int64).view(np.uint64) if values.dtype.kind in "ib" else values.astype(np.uint64)
    if unsigned.max() < 128:
        return unsigned.astype(np.uint8).tobytes()
    return b"".join(encoded(unsigned[at : at + CHUNK]) for at in range(0, len(unsigned), CHUNK))


def encoded(unsigned: Array) -> bytes:
    """UINT64 numbers as varints."""
    groups = (unsigned[:, None] >> np.array(SHIFTS, np.uint64)).astype(np.uint8) & 127
    sizes = np.maximum(1, len(SHIFTS) - np.argmax(groups[:, ::-1] != 0, axis=1))
    sizes[unsigned == 0] = 1
    columns = np.arange(len(SHIFTS))
    groups[columns < sizes[:, None] - 1] |= 128
    made: bytes = groups[columns < sizes[:, None]].tobytes()
    return made


def small(value: int) -> bytes:
    """One unsigned number as a varint."""
    if value < 128:
        return bytes((value,))
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    made.append(value)
    return bytes(made)


def block(field: int, content: bytes) -> bytes:
    """A field of bytes, a string or a message."""
    return small(field << 3 | BYTES) + small(len(content)) + content


def string(field: int, value: str) -> bytes:
    """A string field; an empty one is left out, as proto3 does."""
    return block(field, value.encode()) if value else b""


def flag(field: int, value: bool) -> bytes:
    """A bool field; false is left out, as proto3 does."""
    return small(field << 3) + b"\1" if value else b""


def shape(field: int, sizes: list[int] | tuple[int, ...]) -> bytes:
    """A packed field of int64; -1 has ten bytes."""
    return block(field, b"".join(small(size & 0xFFFFFFFFFFFFFFFF) for size in sizes)) if sizes else b""
