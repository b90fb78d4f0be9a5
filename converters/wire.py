"""Reading protobuf messages field by field, without their schemas and without the packages that hold them.

Protocol Buffers encoding: https://protobuf.dev/programming-guides/encoding/. A field is a varint key
(number << 3 | wire type) and its value. Only what tells model files apart is read here.
"""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
LONGEST_VARINT = 10


class DamagedError(ValueError):
    """The bytes are no protobuf message, or end before it does. `number` is the field that did not fit, 0 if none."""

    def __init__(self, number: int = 0) -> None:
        """Keep the number of the field that was being read."""
        super().__init__(f"field {number}")
        self.number = number


@dataclass(frozen=True)
class Field:
    """One field: its number, its wire type, the value of a varint, or where its bytes are."""

    number: int
    wire: int
    value: int
    start: int
    end: int


@contextmanager
def mapped(path: Path) -> Iterator[memoryview]:
    """The bytes of a file that is not empty, read only as they are looked at."""
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as region,
        memoryview(region) as view,
    ):
        yield view


def varint(view: memoryview, at: int, end: int) -> tuple[int, int]:
    """The varint at `at` and where it ends. Raises DamagedError where it does not end before `end`."""
    value = 0
    for index in range(LONGEST_VARINT):
        if at + index >= end:
            raise DamagedError
        byte = view[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise DamagedError


def fields(view: memoryview, start: int = 0, end: int | None = None) -> Iterator[Field]:
    """The fields of the message in `view[start:end]`, in order. Raises DamagedError at the first that does not fit."""
    end = len(view) if end is None else end
    at = start
    while at < end:
        key, at = varint(view, at, end)
        number, wire = key >> 3, key & 7
        if number == 0 or wire not in (VARINT, BYTES, *FIXED_SIZES):
            raise DamagedError(number)
        value = 0
        if wire == VARINT:
            value, stop = varint(view, at, end)
        elif wire == BYTES:
            length, at = varint(view, at, end)
            stop = at + length
        else:
            stop = at + FIXED_SIZES[wire]
        if stop > end:
            raise DamagedError(number)
        yield Field(number, wire, value, at, stop)
        at = stop


def scan(view: memoryview) -> tuple[list[Field], DamagedError | None]:
    """All fields before the first damage, and the damage; the field that did not fit is among them, without bytes."""
    seen: list[Field] = []
    try:
        for field in fields(view):
            seen += [field]
    except DamagedError as error:
        if error.number:
            seen.append(Field(error.number, BYTES, 0, 0, 0))
        return seen, error
    return seen, None


def inner(view: memoryview, message: Field, *numbers: int) -> Iterator[Field]:
    """The fields of the message that `message` holds that have one of `numbers`."""
    return (field for field in fields(view, message.start, message.end) if field.number in numbers)


def text(view: memoryview, field: Field) -> str:
    """The field's bytes as text; what is not UTF-8 is replaced."""
    return bytes(view[field.start : field.end]).decode(errors="replace")
