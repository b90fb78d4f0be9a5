"""Tensor data as JSON, strictly; and random JSON, which must never be more than refused."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving_image import protocol_json, tensors
from serving_image.faults import BadRequestError


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "expected"),
    [
        ("FP32", (2, 2), [1, 2.5, 3, 4], [[1, 2.5], [3, 4]]),
        ("FP32", (2, 2), [[1, 2.5], [3, 4]], [[1, 2.5], [3, 4]]),
        ("FP64", (1, 2, 1), [[[0.1], [0.2]]], [[[0.1], [0.2]]]),
        ("FP16", (2,), [0.5, 65504], [0.5, 65504]),
        ("INT8", (2,), [-128, 127], [-128, 127]),
        ("UINT64", (1,), [2**64 - 1], [2**64 - 1]),
        ("INT64", (1,), [-(2**63)], [-(2**63)]),
        ("BOOL", (2,), [True, False], [True, False]),
        ("FP32", (), [7], 7),
    ],
)
def test_good_data(datatype: str, shape: tuple[int, ...], data: list, expected: object) -> None:
    found = protocol_json.array("x", datatype, shape, data)
    assert found.dtype == tensors.DTYPES[datatype]
    assert found.shape == shape
    assert found.tolist() == expected


def test_bfloat16_is_read_as_bits() -> None:
    assert protocol_json.array("x", "BF16", (2,), [1, -2.0]).tolist() == [0x3F80, 0xC000]


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "message"),
    [
        ("FP32", (2,), None, "must be a list of numbers"),
        ("FP32", (2,), "ab", "must be a list of numbers"),
        ("FP32", (2,), {"0": 1}, "must be a list"),
        ("FP32", (2,), [1], "1 values, shape \\[2\\] needs 2"),
        ("FP32", (2,), [], "0 values"),
        ("FP32", (2,), [1, True], "must be numbers"),
        ("FP32", (2,), [1, "2"], "must be numbers"),
        ("FP32", (2,), [1, None], "must be numbers"),
        ("FP32", (1,), [1e39], "FP32 cannot hold"),
        ("FP16", (1,), [65536], "FP16 cannot hold"),
        ("BF16", (1,), [1e39], "BF16 cannot hold"),
        ("INT8", (1,), [128], "INT8 cannot hold"),
        ("UINT8", (1,), [-1], "UINT8 cannot hold"),
        ("INT64", (1,), [2**63], "INT64 cannot hold"),
        ("INT32", (1,), [1.0], "must be integers"),
        ("INT32", (1,), [True], "must be integers"),
        ("BOOL", (1,), [1], "must be true or false"),
        ("FP32", (2, 2), [[1, 2], [3]], "nested otherwise"),
        ("FP32", (2, 2), [[1, 2], 3], "nested otherwise"),
        ("FP32", (2, 2), [[1, 2, 3, 4]], "nested otherwise"),
        ("FP32", (2,), [[1, 2]], "nested otherwise"),
        ("FP32", (4,), [[1], [2], [3], [4]], "must be numbers"),
        ("FP32", (), [[1]], "must be numbers"),
    ],
)
def test_bad_data_names_the_input(datatype: str, shape: tuple[int, ...], data: object, message: str) -> None:
    with pytest.raises(BadRequestError, match=f"^input 'x': .*{message}"):
        protocol_json.array("x", datatype, shape, data)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"1", b"null", b"{", b'{"a": NaN}', b'{"a": Infinity}', b"\xff\xfe", b'{"a": "\xff"}', b"[" * 100_000],
)
def test_what_is_no_json_object(body: bytes) -> None:
    with pytest.raises(BadRequestError, match="JSON"):
        protocol_json.document(body)


@pytest.mark.parametrize("datatype", list(tensors.DTYPES))
def test_outputs_are_written_as_they_are_read(datatype: str) -> None:
    given = {"BOOL": [True, False] * 2, "BYTES": ["a", "", "é", "long"]}.get(datatype, [1, 0, 3, 4])
    array = protocol_json.array("x", datatype, (2, 2), given)
    text = protocol_json.dumped({"data": protocol_json.values(tensors.Tensor("x", datatype, array.T))})
    again = protocol_json.array("x", datatype, (2, 2), protocol_json.document(text)["data"])
    assert (again == array.T).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_is_no_json(value: float) -> None:
    with pytest.raises(BadRequestError, match=r"output 'y': holds NaN or infinity.*binary_data"):
        protocol_json.values(tensors.Tensor("y", "FP32", np.array([1, value], np.float32)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    datatype=st.sampled_from(list(tensors.DTYPES)),
    shape=st.lists(st.integers(1, 3), max_size=3),
    data=JSON,
)
def test_any_data_is_read_or_refused(datatype: str, shape: list[int], data: object) -> None:
    try:
        found = protocol_json.array("x", datatype, tuple(shape), data)
    except BadRequestError:
        return
    assert found.shape == tuple(shape)
    assert found.dtype == tensors.DTYPES[datatype]


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    with contextlib.suppress(BadRequestError):
        assert isinstance(protocol_json.document(body), dict)
