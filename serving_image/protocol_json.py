"""Tensor data as JSON: flat or nested lists to arrays and back, strictly.

Nothing is guessed: a string is no number, `true` is no 1, and what overflows its datatype is refused.
"""

import gc
from itertools import chain
from typing import Any

import numpy as np
import orjson

from serving_image import json_numbers, strings
from serving_image.faults import BadRequestError
from serving_image.tensors import DTYPES, Array, Tensor, bf16_bits, elements, numbers, quoted

FLOATS = frozenset({"FP16", "BF16", "FP32", "FP64"})
KINDS: dict[str, tuple[frozenset[type], str]] = {
    name: (frozenset({bool}), "true or false")
    if name == "BOOL"
    else (frozenset({int, float}), "numbers")
    if name in FLOATS
    else (frozenset({str}), "strings")
    if name == "BYTES"
    else (frozenset({int}), "integers")
    for name in DTYPES
}
"""The Python types a JSON value of each datatype may have, and their name in a message."""


def document(body: bytes | memoryview) -> dict[str, Any]:
    """A JSON object from UTF-8. Raises BadRequestError; NaN, Infinity and very deep nesting are no JSON here."""
    if len(body) >= json_numbers.LONG_BYTES and (found := json_numbers.document(body)) is not None:
        return found
    gc.disable()  # what is made here holds no cycles; looking for them takes longer than a large body's parsing
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"the body is not JSON: {error}") from None
    finally:
        gc.enable()
    if not isinstance(value, dict):
        raise BadRequestError("the body must be a JSON object with a list of inputs")
    return value


def array(name: str, datatype: str, shape: tuple[int, ...], data: object) -> Array:
    """An array of `shape` from a flat list, or one nested as `shape` says. Raises BadRequestError."""
    if isinstance(data, np.ndarray):  # json_numbers has made sure that it fits
        return converted(name, datatype, data).reshape(shape)
    if not isinstance(data, list):
        raise BadRequestError(f"input {quoted(name)}: data must be a list of {KINDS[datatype][1]}")
    flat = flattened(name, shape, data) if data and type(data[0]) is list else data
    if len(flat) != elements(shape):
        raise BadRequestError(
            f"input {quoted(name)}: data holds {len(flat)} values, shape {list(shape)} needs {elements(shape)}"
        )
    types, expected = KINDS[datatype]
    if not types.issuperset(map(type, flat)):
        raise BadRequestError(f"input {quoted(name)}: data of {datatype} must be {expected}")
    return converted(name, datatype, flat).reshape(shape)


def flattened(name: str, shape: tuple[int, ...], data: list[Any]) -> list[Any]:
    """The elements of nested lists, level by level, so that no depth of nesting can exhaust the stack."""
    level = data
    for depth, size in enumerate(shape):
        if depth == 0:
            if len(level) != size:
                raise ragged(name, shape)
            continue
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            raise ragged(name, shape)
        level = list(chain.from_iterable(level))
    return level


def ragged(name: str, shape: tuple[int, ...]) -> BadRequestError:
    """The fault of lists that are nested otherwise than the shape says."""
    return BadRequestError(f"input {quoted(name)}: data is nested otherwise than shape {list(shape)} says")


def converted(name: str, datatype: str, flat: list[Any] | Array) -> Array:
    """A flat array of the datatype. Raises BadRequestError for what overflows it."""
    if datatype == "BYTES":
        return strings.array(name, (len(flat),), strings.encoded(name, list(flat)))
    dtype = np.dtype("<f4") if datatype == "BF16" else DTYPES[datatype]
    try:
        with np.errstate(over="ignore"):
            values = np.array(flat, dtype=dtype)
    except OverflowError:
        raise BadRequestError(f"input {quoted(name)}: data holds a number that {datatype} cannot hold") from None
    if datatype in FLOATS and not np.isfinite(values).all():
        raise BadRequestError(f"input {quoted(name)}: data holds a number that {datatype} cannot hold")
    return bf16_bits(values) if datatype == "BF16" else values


def values(tensor: Tensor) -> Array | list[str]:
    """What orjson writes as the flat `data` of an output.

    Raises BadRequestError for NaN and infinity, which JSON does not have, and for strings that are no UTF-8.
    """
    if tensor.datatype == "BYTES":
        return strings.texts(tensor)
    flat = np.ravel(numbers(tensor))
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        raise BadRequestError(
            f"output {quoted(tensor.name)}: holds NaN or infinity, which JSON cannot carry; ask for binary_data"
        )
    return flat


def dumped(value: object) -> bytes:
    """JSON text of plain values and arrays."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
