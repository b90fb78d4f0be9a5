"""Protobuf messages, field by field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters import wire


def encoded(number):
    """A varint."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


@given(st.integers(0, 2**64 - 1))
def test_a_varint_reads_back(number):
    content = encoded(number)
    assert wire.varint(memoryview(content), 0, len(content)) == (number, len(content))


def test_fields_of_every_wire_type():
    content = memoryview(b"\x08\x96\x01" + b"\x11" + b"\1" * 8 + b"\x1a\x02hi" + b"\x25" + b"\2" * 4)
    found = list(wire.fields(content))
    assert [(field.number, field.wire) for field in found] == [(1, 0), (2, 1), (3, 2), (4, 5)]
    assert found[0].value == 150
    assert wire.text(content, found[2]) == "hi"


@pytest.mark.parametrize(
    "content", [b"\x08", b"\x08" + b"\xff" * 11, b"\x1a\x05hi", b"\x0b", b"\x00\x01", b"\x11\x01", b"\xff" * 20]
)
def test_what_does_not_fit_is_damaged(content):
    with pytest.raises(wire.DamagedError):
        list(wire.fields(memoryview(content)))


@given(st.binary(max_size=64))
def test_scanning_never_fails(content):
    seen, fault = wire.scan(memoryview(content))
    assert fault is not None or sum(field.end - field.start for field in seen) <= len(content)


def test_scanning_tells_which_field_did_not_fit():
    seen, fault = wire.scan(memoryview(b"\x08\x01\x3a\x7f"))
    assert [field.number for field in seen] == [1, 7]
    assert fault is not None
    assert fault.number == 7
