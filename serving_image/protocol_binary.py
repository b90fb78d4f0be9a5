"""The binary tensor data extension: tensors as little-endian bytes behind the JSON part of a body.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol/binary-tensor-data-extension
"""

import numpy as np

from serving_image import strings
from serving_image.faults import BadRequestError, TooLargeError
from serving_image.tensors import DTYPES, Array, Tensor, elements, quoted

HEADER = "Inference-Header-Content-Length"
HEADER_BYTES = HEADER.lower().encode()


def split(body: bytes, header: bytes | None, max_json: int) -> tuple[bytes | memoryview, memoryview]:
    """The JSON part and the binary part of a body; `header` is the value of Inference-Header-Content-Length.

    Without that header all of the body is JSON. Raises BadRequestError where the header is no length within the body,
    TooLargeError where the JSON part is over `max_json` bytes.
    """
    if header is None:
        return body, memoryview(b"")
    if not header.isdigit() or len(header) > 18:
        raise BadRequestError(f"{HEADER} must be the length of the JSON part in bytes")
    length = int(header)
    if length > len(body):
        raise BadRequestError(f"{HEADER} is {length}, the body has only {len(body)} bytes")
    if length > max_json:
        raise TooLargeError(
            f"the JSON part has {length} bytes, at most {max_json} are read; send more of it as binary data"
        )
    view = memoryview(body)
    return view[:length], view[length:]


class Chunks:
    """The binary part of a body, taken in the order of the inputs."""

    def __init__(self, binary: memoryview) -> None:
        """Start at the first byte."""
        self.binary = binary
        self.at = 0

    def take(self, name: str, datatype: str, shape: tuple[int, ...], size: object) -> Array:
        """The next `size` bytes as an array of `shape` (a view, not writable). Raises BadRequestError."""
        needed = size if datatype == "BYTES" else elements(shape) * DTYPES[datatype].itemsize
        if type(size) is not int or size != needed or size < 0:
            shown = size if type(size) is int else "no integer"
            raise BadRequestError(
                f"input {quoted(name)}: binary_data_size is {shown}, "
                f"{datatype} of shape {list(shape)} needs {needed} bytes"
            )
        if size > len(self.binary) - self.at:
            raise BadRequestError(
                f"input {quoted(name)}: binary_data_size is {size}, "
                f"only {len(self.binary) - self.at} bytes of the body are left (is {HEADER} right?)"
            )
        chunk = self.binary[self.at : self.at + size]
        self.at += size
        return of_bytes(name, datatype, shape, chunk)

    def finish(self) -> None:
        """Raise BadRequestError where bytes are left that belong to no input."""
        if self.at != len(self.binary):
            raise BadRequestError(
                f"the body has {len(self.binary) - self.at} bytes behind the last input's binary data"
            )


def of_bytes(name: str, datatype: str, shape: tuple[int, ...], chunk: memoryview) -> Array:
    """A view of a tensor's little-endian bytes, as many as its shape needs. Raises BadRequestError."""
    if datatype == "BYTES":
        return strings.array(name, shape, strings.split(name, chunk))
    if datatype == "BOOL" and np.frombuffer(chunk, np.uint8).max(initial=0) > 1:
        raise BadRequestError(f"input {quoted(name)}: a BOOL is a byte of 0 or 1")
    return np.frombuffer(chunk, dtype=DTYPES[datatype]).reshape(shape)


def dumped(tensor: Tensor) -> bytes:
    """Little-endian bytes of a tensor, row by row."""
    if tensor.datatype == "BYTES":
        return strings.joined(tensor.array)
    return np.ascontiguousarray(tensor.array, dtype=DTYPES[tensor.datatype]).tobytes()
