"""BYTES tensors, the protocol's strings: arrays of numpy's fixed-width bytes, as OpenVINO's Python binding takes them.

That binding pads every element to the longest and cuts NUL bytes at the end off; both are bounded and refused here
rather than suffered silently.
"""

from collections.abc import Sequence

import numpy as np

from serving_image.faults import BadRequestError
from serving_image.tensors import Array, Tensor, elements, quoted

PADDED_BYTES = 1 << 26
"""Most that the elements of a tensor may take when each is as long as the longest: 64 MiB."""

LENGTH_BYTES = 4


def array(name: str, shape: tuple[int, ...], values: Sequence[bytes]) -> Array:
    """An array of `shape`, dtype S. Raises BadRequestError for another count, NUL at an end, or too much padding."""
    if len(values) != elements(shape):
        raise BadRequestError(
            f"input {quoted(name)}: data holds {len(values)} values, shape {list(shape)} needs {elements(shape)}"
        )
    longest = max(map(len, values), default=0)
    if longest * len(values) > PADDED_BYTES:
        raise BadRequestError(
            f"input {quoted(name)}: {len(values)} strings of which one has {longest} bytes "
            f"take over {PADDED_BYTES >> 20} MiB together; send less at once"
        )
    if any(value.endswith(b"\0") for value in values):
        raise BadRequestError(f"input {quoted(name)}: holds a string that ends with NUL, which OpenVINO would cut off")
    return np.array(values, dtype=f"S{max(1, longest)}").reshape(shape)


def encoded(name: str, values: Sequence[str]) -> list[bytes]:
    """UTF-8 bytes of strings. Raises BadRequestError for half of a surrogate pair, which JSON can spell."""
    try:
        return [value.encode() for value in values]
    except UnicodeEncodeError:
        raise BadRequestError(f"input {quoted(name)}: holds a string that is no Unicode text") from None


def split(name: str, chunk: memoryview) -> list[bytes]:
    """Strings out of the binary form: each behind its length, 4 bytes little-endian. Raises BadRequestError."""
    found: list[bytes] = []
    at = 0
    while at < len(chunk):
        start = at + LENGTH_BYTES
        end = start + int.from_bytes(chunk[at:start], "little")
        if start > len(chunk) or end > len(chunk):
            raise BadRequestError(f"input {quoted(name)}: string {len(found)} is cut short")
        found.append(bytes(chunk[start:end]))
        at = end
    return found


def joined(values: Array) -> bytes:
    """The binary form of an array of strings, row by row."""
    return b"".join(len(value).to_bytes(LENGTH_BYTES, "little") + value for value in np.ravel(values).tolist())


def texts(tensor: Tensor) -> list[str]:
    """The strings of an output as JSON carries them. Raises BadRequestError where one is no UTF-8."""
    try:
        return [value.decode() for value in np.ravel(tensor.array).tolist()]
    except UnicodeDecodeError:
        raise BadRequestError(
            f"output {quoted(tensor.name)}: holds bytes that are no UTF-8, which JSON cannot carry; ask for binary_data"
        ) from None
