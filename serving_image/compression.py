"""Bodies that are compressed with gzip or deflate: read within a bound, and written where it pays."""

import asyncio
import zlib

from serving_image.faults import BadRequestError, TooLargeError, WrongEncodingError

IDENTITY = b"identity"
WINDOW_BITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
"""zlib's names for the two formats (RFC 9110, section 8.4.1); deflate is zlib's format there."""

THREAD_BYTES = 1 << 16
"""Bodies from this size on are compressed or decompressed beside the event loop."""

SAMPLE_BYTES = 1 << 14
WORTH = 0.8
"""What its first bytes do not shrink below this share is sent as it is: most floats are noise to gzip."""

LEVEL = 1
"""The fastest of zlib's levels: CPU time is scarcer at a site than what the answer saves. Not measured here."""


def known_encoding(header: bytes) -> bytes:
    """The value of Content-Encoding, as WINDOW_BITS has it or IDENTITY. Raises WrongEncodingError."""
    encoding = header.strip().lower()
    if encoding != IDENTITY and encoding not in WINDOW_BITS:
        raise WrongEncodingError("Content-Encoding must be gzip, deflate or identity")
    return encoding


class Decompressor:
    """Decompresses bodies, one large body at a time, so that many bombs together are no worse than one."""

    def __init__(self) -> None:
        """Nothing is decompressed yet."""
        self.turn = asyncio.Semaphore(1)

    async def expand(self, body: bytes, encoding: bytes, limit: int, hint: str) -> bytes:
        """The body without its `encoding` (of WINDOW_BITS), at most `limit` bytes; `hint` says what to do about more.

        Raises TooLargeError, and BadRequestError where it is damaged or cut short.
        """
        bits = WINDOW_BITS[encoding]
        async with self.turn:
            if len(body) * 1000 < THREAD_BYTES:  # deflate shrinks about a thousandfold at the most
                return expanded(body, bits, limit, hint)
            return await asyncio.to_thread(expanded, body, bits, limit, hint)


def expanded(body: bytes, bits: int, limit: int, hint: str) -> bytes:
    """The decompressed body. No more than `limit` bytes and one are ever made of it. Raises as `expand` does."""
    inner = zlib.decompressobj(bits)
    try:
        made = inner.decompress(body, limit + 1)
    except zlib.error as error:
        raise BadRequestError(f"the body cannot be decompressed: {error}") from None
    if len(made) > limit:
        raise TooLargeError(f"the body has more than {limit} bytes when decompressed; {hint}")
    if not inner.eof or inner.unused_data:
        raise BadRequestError("the compressed body is cut short, or more follows it")
    return made


def accepts_gzip(header: bytes) -> bool:
    """Whether an Accept-Encoding header names gzip with a weight above 0 (RFC 9110, section 12.5.3)."""
    for part in header.lower().split(b","):
        coding, _, weight = part.partition(b";")
        if coding.strip() in (b"gzip", b"x-gzip", b"*"):
            return weight.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False


async def shrunk(body: bytes) -> bytes | None:
    """The body compressed with gzip, None where that would not pay."""
    sample = body[:SAMPLE_BYTES]
    if len(squeezed(sample)) > WORTH * len(sample):
        return None
    return squeezed(body) if len(body) < THREAD_BYTES else await asyncio.to_thread(squeezed, body)


def squeezed(body: bytes) -> bytes:
    """The body compressed with gzip."""
    return zlib.compress(body, LEVEL, 31)
