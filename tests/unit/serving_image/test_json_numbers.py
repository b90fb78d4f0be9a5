"""Numbers parsed straight into arrays: the same values as the ordinary way gives, and the same refusals."""

import contextlib
import json

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving_image import json_numbers, protocol_json, protocol_rest
from serving_image.faults import RequestError

FLOATS = [0.5, -0.0, 1e-45, 3.4028234e38, 0.1, 7]


def body(datatype: object, shape: object, data: object, **more: object) -> bytes:
    return json.dumps({"inputs": [{"name": "x", "datatype": datatype, "shape": shape, "data": data}], **more}).encode()


def outcome(given: bytes, monkeypatch: pytest.MonkeyPatch, long: int) -> object:
    """What `decode` makes of a body: names, dtypes, bytes; or the fault's class and text."""
    with monkeypatch.context() as patch:
        patch.setattr(json_numbers, "LONG_BYTES", long)
        try:
            request, wanted = protocol_rest.decode("m", None, given, None, 1 << 20)
        except RequestError as fault:
            return type(fault), str(fault)
    tensors = [
        (one.name, one.datatype, one.array.dtype, one.array.shape, one.array.tobytes()) for one in request.tensors
    ]
    return tensors, request.id, request.outputs, wanted


def same(given: bytes, monkeypatch: pytest.MonkeyPatch) -> object:
    """The outcome of both ways, which must be one."""
    fast, slow = (outcome(given, monkeypatch, long) for long in (0, 1 << 60))
    assert fast == slow
    return fast


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("FP32", [6], FLOATS),
        ("FP64", [2, 3], [FLOATS[:3], FLOATS[3:]]),
        ("FP16", [6], [0.1, 65504, -65504, 6e-8, 1e-9, 3]),
        ("BF16", [2, 1, 2], [[[0.1, 2]], [[3, 1e38]]]),
        ("INT64", [2], [-(2**63), 2**63 - 1]),
        ("UINT64", [2], [0, 2**64 - 1]),
        ("INT8", [2], [-128, 127]),
        ("UINT16", [1, 1], [[65535]]),
        ("FP32", [2], [2**53 + 1, 2**64 - 1]),
    ],
)
def test_values_are_parsed_into_an_array(
    datatype: str, shape: list[int], data: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = json_numbers.document(body(datatype, shape, data, id="7"))
    assert isinstance(found["inputs"][0]["data"], np.ndarray) and found["id"] == "7"
    assert isinstance(same(body(datatype, shape, data), monkeypatch)[0], list)


@pytest.mark.parametrize(
    "given",
    [
        *(body("FP32", [3], data) for data in (
            [1, "2", 3], [1, True, 3], [1, None, 3], [1, [2], 3], [[1], [2], [3]], [1, 2], [1, 2, 3, 4], [], {"0": 1},
            "123", None, 3, [1, {}, 3], [1e39, 2, 3], [[], [1, 2, 3]],
        )),
        *(body("FP32", [2, 2], data) for data in ([[1, 2], [3]], [[1, 2], 3], [[1, 2, 3, 4]], [1, [2, 3, 4]],
          [[1, 2], [[3], 4]], [[[1, 2], [3, 4]]], [[1], [2], [3], [4]], [[1, 2], [3, 4]], [1, 2, 3, 4])),
        *(body(datatype, [1], [value]) for datatype, value in (
            ("INT8", 128), ("UINT8", -1), ("INT64", 2**63), ("UINT64", -1), ("INT32", 1.0), ("BOOL", 1), ("BOOL", True),
            ("FP16", 65536), ("BF16", 1e39), ("FP99", 1), (None, 1), ([], 1), ("BYTES", "a"),
        )),
        *(body("FP32", shape, [1]) for shape in (None, [], ["1"], [True], [1.0], [0], [-1], [2**40], "1", [[1]])),
        *(body("FP32", [1], [1], **more) for more in (
            {"parameters": {"a": [1, [2]], "b": "[["}}, {"outputs": [{"name": "y[0]"}]}, {"inputs": 3},
            {"inputs": [[1]]},
            {"id": "["}, {"outputs": [{"name": "y", "parameters": {"binary_data": True}}]}, {"inputs": []},
        )),
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1], "data": [2]}]}',
        b'{"inputs": [{"name": "x", "datatype": "INT8", "datatype": "FP32", "shape": [1], "data": [1.5]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1e400]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [123456789012345678901234567890]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [-0]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [NaN]}]}',
        b'{"inputs": [{"name": "\\u005bx\\u005b", "datatype": "FP32", "shape": [1], "data": [1]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1], "\\u0000": {"a": 1}}]}',
        b'{"id": "7", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}], "id\\u0000": "8"}',
        b'{"inputs": [{"name": "\xff", "datatype": "FP32", "shape": [1], "data": [1]}]}',
        b'{"inputs": [{"name": "\\ud800", "datatype": "FP32", "shape": [1], "data": [1]}]}',
        b"", b"[]", b"[" * 5000, b'{"inputs":' * 2000, b"3",
        b'{"inputs": [{"data": ' + b"[" * 3000 + b"]" * 3000 + b"}]}",
    ],
)  # fmt: skip
def test_both_ways_say_the_same(given: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    same(given, monkeypatch)


def test_many_short_rows_are_left_to_the_ordinary_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = json_numbers.MAX_ROWS + 1
    given = body("INT8", [rows, 1], [[1]] * rows)
    assert json_numbers.document(given) is None
    assert same(given, monkeypatch)[0][0][3] == (rows, 1)


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [{}] * (json_numbers.MAX_VALUES + 1)},
        {"inputs": [[]] * (json_numbers.MAX_VALUES + 1)},
        {"inputs": [], "x": ["a"] * (json_numbers.MAX_VALUES + 1)},
        {"inputs": [{"name": "x", "parameters": {"a": [{}] * json_numbers.MAX_VALUES}}]},
        {"inputs": [], **{str(at): 1 for at in range(json_numbers.MAX_KEYS)}},
    ],
    ids=["objects", "lists", "strings", "within", "keys"],
)
def test_many_values_are_left_to_the_ordinary_parser(body: dict) -> None:
    """Where each costs many times as much: 15 MB of them would hold up everybody for seconds."""
    assert json_numbers.document(json.dumps(body).encode()) is None
    assert protocol_json.document(json.dumps(body).encode()) == body


def test_a_view_of_memory_is_as_good() -> None:
    given = np.frombuffer(body("FP32", [600], FLOATS * 100), np.uint8).copy().data
    assert (protocol_json.document(given)["inputs"][0]["data"] == FLOATS * 100).all()


NUMBER = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()
DATA = st.lists(NUMBER | st.lists(NUMBER, max_size=3), max_size=6)


@settings(max_examples=300, deadline=None)
@given(
    datatype=st.sampled_from(["FP32", "FP64", "FP16", "BF16", "INT64", "INT8", "UINT64", "BOOL"]),
    shape=st.lists(st.integers(0, 3), max_size=3),
    data=DATA,
    text=st.text(alphabet='[]{}a\\"', max_size=5),
)
def test_any_data(datatype: str, shape: list[int], data: list, text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        same(body(datatype, shape, data, id=text), patch)


@settings(max_examples=200, deadline=None)
@given(value=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_any_float_is_read_to_the_last_bit(value: list[float]) -> None:
    given = orjson.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [len(value)], "data": value}]})
    found = json_numbers.document(given)["inputs"][0]["data"].astype(np.float32)
    assert found.tobytes() == np.array(value, np.float32).tobytes()


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(0, 120), put=st.binary(max_size=3))
def test_any_damage(cut: int, put: bytes) -> None:
    whole = body("FP32", [2, 2], [[1, 2], [3, 4.5]])
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(RequestError):
        same(whole[:cut] + put + whole[cut + len(put) :], patch)
