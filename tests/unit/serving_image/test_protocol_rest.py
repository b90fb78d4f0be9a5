"""Whole requests and responses; random ones are read or refused, never anything else."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving_image import protocol_rest, tensors
from serving_image.faults import BadRequestError, RequestError
from serving_image.messages import InferenceResponse

LIMIT = 1 << 20
INPUT = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}


def decode(document: object, binary: bytes | None = None):
    head = json.dumps(document).encode()
    header = None if binary is None else str(len(head)).encode()
    return protocol_rest.decode("m", "1", head + (binary or b""), header, LIMIT)


def test_a_request_of_all_parts() -> None:
    request, wanted = decode(
        {
            "id": "a",
            "parameters": {"binary_data_output": True, "priority": 3},
            "inputs": [
                INPUT,
                {"name": "b", "datatype": "INT16", "shape": [2], "parameters": {"binary_data_size": 4}},
                {"name": "c", "datatype": "UINT8", "shape": [1], "parameters": {"binary_data_size": 1}},
            ],
            "outputs": [{"name": "y"}, {"name": "z", "parameters": {"binary_data": False}}],
        },
        b"\x01\x00\xff\xff\x07",
    )
    assert (request.model, request.version, request.id, request.outputs) == ("m", "1", "a", ["y", "z"])
    assert [tensor.array.tolist() for tensor in request.tensors] == [[1.0], [1, -1], [7]]
    assert wanted.is_binary("y") and not wanted.is_binary("z")


def test_a_request_without_extras() -> None:
    request, wanted = decode({"inputs": [INPUT], "id": "", "parameters": None})
    assert (request.id, request.outputs, wanted.is_binary("y")) == ("", [], False)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "inputs must be a list"),
        ({"inputs": None}, "inputs must be a list"),
        ({"inputs": {}}, "inputs must be a list"),
        ({"inputs": [1]}, "inputs must be a list of objects"),
        ({"inputs": [INPUT] * 1025}, "1025 entries, at most 1024"),
        ({"inputs": [{}]}, "input 0: has no name"),
        ({"inputs": [INPUT | {"name": ""}]}, "input 0: has no name"),
        ({"inputs": [INPUT | {"name": 1}]}, "input 0: has no name"),
        ({"inputs": [INPUT | {"datatype": "FP8"}]}, "input 'x': datatype is 'FP8'"),
        ({"inputs": [INPUT | {"shape": "1"}]}, "input 'x': shape"),
        ({"inputs": [INPUT | {"parameters": []}]}, "input 'x': parameters must be an object"),
        ({"inputs": [INPUT | {"parameters": {"binary_data_size": 4}}]}, "both data and binary_data_size"),
        ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}]}, "input 'x': data must be"),
        ({"inputs": [INPUT], "id": 1}, "id must be a string"),
        ({"inputs": [INPUT], "parameters": 1}, "the request: parameters must be an object"),
        ({"inputs": [INPUT], "parameters": {"binary_data_output": 1}}, "binary_data_output must be true or false"),
        ({"inputs": [INPUT], "outputs": {}}, "outputs must be a list"),
        ({"inputs": [INPUT], "outputs": [{"name": "y"}, {"name": "y"}]}, "output 'y': asked for twice"),
        ({"inputs": [INPUT], "outputs": [{"name": "y", "parameters": {"binary_data": "no"}}]}, "binary_data must be"),
    ],
)
def test_malformed_requests_say_what_is_wrong(document: dict, message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        decode(document)


def test_binary_data_without_the_header() -> None:
    entry = {"name": "x", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}
    with pytest.raises(BadRequestError, match=r"only 0 bytes of the body are left.*Inference-Header-Content-Length"):
        decode({"inputs": [entry]})


def response() -> InferenceResponse:
    outputs = [
        tensors.Tensor("y", "FP32", np.array([[0.5, 1]], np.float32)),
        tensors.Tensor("z", "INT8", np.array([3], np.int8)),
    ]
    return InferenceResponse("m", "2", "a", outputs)


def test_a_json_response() -> None:
    body, headers = protocol_rest.encode(response(), protocol_rest.Wanted(False, {}))
    assert dict(headers) == {b"content-type": b"application/json"}
    assert json.loads(body) == {
        "model_name": "m",
        "model_version": "2",
        "id": "a",
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 1.0]},
            {"name": "z", "datatype": "INT8", "shape": [1], "data": [3]},
        ],
    }


def test_a_response_with_one_binary_output() -> None:
    body, headers = protocol_rest.encode(response(), protocol_rest.Wanted(False, {"y": True}))
    length = int(dict(headers)[b"inference-header-content-length"])
    outputs = json.loads(body[:length])["outputs"]
    assert outputs[0] == {"name": "y", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
    assert outputs[1]["data"] == [3]
    assert np.frombuffer(body[length:], "<f4").tolist() == [0.5, 1.0]


KEYS = st.sampled_from(
    ["name", "datatype", "shape", "data", "parameters", "inputs", "outputs", "id", "binary_data_size"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["x", "y", "FP32", "BF16", "INT64", "BOOL", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=15,
)
ENTRIES = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["x", "y"]) | VALUES, "datatype": st.sampled_from(["FP32", "INT8", "BF16"]) | VALUES},
        optional={
            "shape": st.lists(st.integers(0, 3), max_size=3) | VALUES,
            "data": VALUES,
            "parameters": st.dictionaries(KEYS, VALUES, max_size=2),
        },
    ),
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(
    document=st.fixed_dictionaries({"inputs": ENTRIES | VALUES}, optional={"outputs": VALUES, "parameters": VALUES}),
    binary=st.none() | st.binary(max_size=40),
)
def test_any_request_is_read_or_refused(document: dict, binary: bytes | None) -> None:
    try:
        request, _ = decode(document, binary)
    except RequestError as fault:
        assert fault.status == 400
        return
    assert all(isinstance(tensor.array, np.ndarray) for tensor in request.tensors)
