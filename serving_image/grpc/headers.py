"""Heads of calls out of HPACK header blocks (RFC 7541), and the header blocks that we answer with.

A client's blocks soon are all the same few indices, so that what they mean is remembered until the table changes.
"""

import re
from dataclasses import dataclass

from hpack import Decoder, HPACKError, OversizedHeaderListError

from serving_image.grpc.frames import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, ConnectionFaultError

MAX_HEADER_LIST = 16384
"""Largest list of a call's headers, counted as HTTP/2 counts it."""
REMEMBERED = 64
REMEMBERED_BYTES = 512
TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])", re.ASCII)
UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
REQUEST_ID = re.compile(r"[!-~]{1,128}", re.ASCII)
CONTENT_TYPE = re.compile(r"application/grpc(\+proto)?( *;.*)?", re.ASCII)


@dataclass(frozen=True)
class Head:
    """What a call's headers say. `timeout` is in seconds, None where there is none; `malformed` says what is wrong."""

    method: str
    path: str
    content_type: str
    encoding: str
    timeout: float | None
    request_id: str
    authorization: str
    malformed: str = ""

    @property
    def is_grpc(self) -> bool:
        """Whether the content is gRPC's with protobuf."""
        return CONTENT_TYPE.fullmatch(self.content_type) is not None


class Heads:
    """Reads the header blocks of one connection, in their order."""

    def __init__(self) -> None:
        """With an empty table."""
        self.decoder = Decoder(MAX_HEADER_LIST)
        self.known: dict[bytes, Head] = {}

    def read(self, block: bytes) -> Head:
        """The head in a block. Raises ConnectionFaultError: after a block that cannot be read none can."""
        known = self.known.get(block)
        if known is not None:
            return known
        first, *sizes = self.table()
        try:
            fields = self.decoder.decode(block, raw=True)
        except OversizedHeaderListError:
            raise ConnectionFaultError(ENHANCE_YOUR_CALM, f"headers are over {MAX_HEADER_LIST} bytes") from None
        except HPACKError as error:
            raise ConnectionFaultError(COMPRESSION_ERROR, f"headers cannot be read: {type(error).__name__}") from None
        read = head({bytes(field[0]): bytes(field[1]) for field in fields})
        now, *sizes_now = self.table()
        if now is not first or sizes_now != sizes:
            self.known.clear()
        elif len(block) <= REMEMBERED_BYTES and len(self.known) < REMEMBERED:
            self.known[block] = read
        return read

    def table(self) -> tuple[object, int, int]:
        """What changes with the table: its newest entry, how many there are, how large it may be."""
        entries = self.decoder.header_table.dynamic_entries
        return entries[0] if entries else None, len(entries), self.decoder.header_table_size


def head(fields: dict[bytes, bytes]) -> Head:
    """A call's head from its headers."""
    text = {name: value.decode("latin-1") for name, value in fields.items()}
    given = text.get(b"grpc-timeout")
    timeout = None if given is None else TIMEOUT.fullmatch(given)
    malformed = "" if given is None or timeout else "grpc-timeout is up to 8 digits and a unit of H M S m u n"
    identifier = text.get(b"x-request-id", "")
    return Head(
        method=text.get(b":method", ""),
        path=text.get(b":path", ""),
        content_type=text.get(b"content-type", ""),
        encoding=text.get(b"grpc-encoding", "identity"),
        timeout=int(timeout[1]) * UNITS[timeout[2]] if timeout else None,
        request_id=identifier if REQUEST_ID.fullmatch(identifier) else "",
        authorization=text.get(b"authorization", ""),
        malformed=malformed,
    )


def integer(value: int, prefix: int, first: int = 0) -> bytes:
    """An HPACK integer behind the bits `first` (RFC 7541, section 5.1)."""
    limit = (1 << prefix) - 1
    if value < limit:
        return bytes([first | value])
    made = bytearray([first | limit])
    value -= limit
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    made.append(value)
    return bytes(made)


def literal(name: bytes, value: bytes) -> bytes:
    """A header as it is, which changes no table (RFC 7541, section 6.2.2)."""
    return b"\0" + integer(len(name), 7) + name + integer(len(value), 7) + value


OK_HEAD = b"\x88" + literal(b"content-type", b"application/grpc") + literal(b"grpc-accept-encoding", b"identity,gzip")
"""Status 200 is entry 8 of the static table."""
OK_TRAILERS = literal(b"grpc-status", b"0")


def refusal(status: int) -> bytes:
    """The head of an answer to what is no gRPC call."""
    return literal(b":status", str(status).encode())


def trailers(code: int, message: str, pushback: int | None = None) -> bytes:
    """The trailers of a call: `message` percent-encoded, `pushback` in milliseconds (gRPC's A6 and PROTOCOL-HTTP2)."""
    if code == 0:
        return OK_TRAILERS
    block = literal(b"grpc-status", str(code).encode()) + literal(b"grpc-message", percent_encoded(message))
    return block if pushback is None else block + literal(b"grpc-retry-pushback-ms", str(pushback).encode())


def percent_encoded(message: str) -> bytes:
    """Text for grpc-message: ASCII from blank to tilde but for the percent sign, all else as %XX of its UTF-8."""
    raw = message.encode("utf-8", "replace")[:2000]
    return b"".join(bytes([byte]) if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte for byte in raw)
