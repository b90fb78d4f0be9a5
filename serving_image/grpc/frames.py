"""HTTP/2 frames as bytes (RFC 9113, sections 4 and 6): names of what is in them, and those that we send."""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = struct.Struct(">HBBBI")
"""A frame's head: the length's upper 16 and lower 8 bits, type, flags, stream."""
HEAD_BYTES = HEAD.size

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR = 0x0, 0x1, 0x3, 0x5, 0x6
REFUSED_STREAM, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 0x7, 0x9, 0xB

ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 2, 3, 4, 5, 6
DEFAULT_WINDOW = 65535
DEFAULT_FRAME = 16384
MAX_WINDOW = 2**31 - 1
LARGEST_FRAME = 2**24 - 1


class ConnectionFaultError(Exception):
    """The client breaks the protocol so that the connection cannot go on; `code` is HTTP/2's."""

    def __init__(self, code: int, reason: str) -> None:
        """`reason` goes to the client as debug data."""
        super().__init__(reason)
        self.code = code


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    size = len(payload)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in values.items()))


def window_update(stream: int, amount: int) -> bytes:
    """A WINDOW_UPDATE frame; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream, amount.to_bytes(4, "big"))


def reset(stream: int, code: int) -> bytes:
    """A RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(last: int, code: int, reason: str = "") -> bytes:
    """A GOAWAY frame: `last` is the last stream that is answered."""
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code) + reason.encode())


def unpadded(flags: int, payload: bytes) -> bytes:
    """The payload of a HEADERS frame without padding and priority. Raises ConnectionFaultError."""
    start = end = 0
    if flags & PADDED:
        start, end = 1, payload[0] if payload else 1
    if flags & HAS_PRIORITY:
        start += 5
    if start + end > len(payload):
        raise ConnectionFaultError(PROTOCOL_ERROR, "padding is longer than the frame")
    return payload[start : len(payload) - end]
