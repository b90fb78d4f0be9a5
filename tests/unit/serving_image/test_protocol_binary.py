"""The binary tensor data extension, byte by byte."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving_image import protocol_binary, tensors
from serving_image.faults import BadRequestError, TooLargeError


@pytest.mark.parametrize("header", [b"", b"-1", b"+1", b"1.0", b"x", b" 1", b"\xd9\xa1", b"1" * 19, b"6"])
def test_a_header_that_is_no_length_within_the_body(header: bytes) -> None:
    with pytest.raises(BadRequestError, match="Inference-Header-Content-Length"):
        protocol_binary.split(b"12345", header, 100)


def test_the_parts_of_a_body() -> None:
    assert protocol_binary.split(b"{}abc", None, 100) == (b"{}abc", b"")
    assert protocol_binary.split(b"{}abc", b"2", 100) == (b"{}", b"abc")
    assert protocol_binary.split(b"{}", b"2", 100) == (b"{}", b"")


def test_a_json_part_over_its_limit() -> None:
    with pytest.raises(TooLargeError, match="101 bytes, at most 100"):
        protocol_binary.split(b" " * 200, b"101", 100)


@pytest.mark.parametrize("datatype", list(tensors.DTYPES))
def test_every_datatype_there_and_back(datatype: str) -> None:
    dtype = tensors.DTYPES[datatype]
    array = np.array([[1, 0, 1], [0, 1, 1]], dtype)
    content = protocol_binary.dumped(tensors.Tensor("x", datatype, array.T))
    assert datatype == "BYTES" or content == array.T.tobytes()
    chunks = protocol_binary.Chunks(memoryview(content))
    assert (chunks.take("x", datatype, (3, 2), len(content)) == array.T).all()
    chunks.finish()


@pytest.mark.parametrize(
    ("datatype", "shape", "size", "message"),
    [
        ("FP32", (2,), 4, "binary_data_size is 4, FP32 of shape \\[2\\] needs 8 bytes"),
        ("FP32", (2,), -8, "binary_data_size is -8"),
        ("FP32", (2,), True, "no integer"),
        ("FP32", (2,), "8", "no integer"),
        ("FP32", (2,), None, "no integer"),
        ("FP32", (4,), 16, "only 8 bytes of the body are left"),
        ("FP32", (2**31 - 1,) * 32, 8, "needs"),
        ("BOOL", (8,), 8, "a BOOL is a byte of 0 or 1"),
    ],
)
def test_chunks_that_do_not_fit(datatype: str, shape: tuple[int, ...], size: object, message: str) -> None:
    with pytest.raises(BadRequestError, match=f"^input 'x': .*{message}"):
        protocol_binary.Chunks(memoryview(b"\x02" * 8)).take("x", datatype, shape, size)


def test_bytes_behind_the_last_input() -> None:
    chunks = protocol_binary.Chunks(memoryview(b"1234"))
    chunks.take("x", "UINT8", (3,), 3)
    with pytest.raises(BadRequestError, match="1 bytes behind"):
        chunks.finish()


@settings(max_examples=100, deadline=None)
@given(
    body=st.binary(max_size=64),
    header=st.none() | st.binary(max_size=4) | st.integers(0, 80).map(lambda length: str(length).encode()),
    datatype=st.sampled_from(list(tensors.DTYPES)),
    shape=st.lists(st.integers(1, 4), max_size=3).map(tuple),
    size=st.integers(-1, 64) | st.none(),
)
def test_any_body_is_read_or_refused(body, header, datatype, shape, size) -> None:
    try:
        head, binary = protocol_binary.split(body, header, 40)
        assert bytes(head) + bytes(binary) == body
        assert protocol_binary.Chunks(binary).take("x", datatype, shape, size).shape == shape
    except (BadRequestError, TooLargeError):
        pass
