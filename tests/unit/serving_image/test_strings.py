"""BYTES: strings through JSON, the binary extension and OpenVINO, and what cannot be carried."""

import json

import numpy as np
import pytest

from serving_image import self_test, strings
from serving_image.faults import BadRequestError
from serving_image.tensors import Tensor


def test_the_binary_form_and_back() -> None:
    values = [b"", b"a", "é".encode(), b"\xff\x00x"]
    array = strings.array("s", (2, 2), values)
    packed = strings.joined(array)
    assert packed == b"\0\0\0\0\1\0\0\0a\2\0\0\0\xc3\xa9\3\0\0\0\xff\0x"
    assert strings.split("s", memoryview(packed)) == values


@pytest.mark.parametrize("chunk", [b"\1\0\0", b"\2\0\0\0a", b"\xff\xff\xff\xffa", b"\0\0\0\0\1"])
def test_cut_short(chunk: bytes) -> None:
    with pytest.raises(BadRequestError, match=r"input 's': string [01] is cut short"):
        strings.split("s", memoryview(chunk))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([b"a"], "data holds 1 values, shape \\[2\\] needs 2"),
        ([b"a", b"b\0"], "ends with NUL"),
        ([b"a", b"b" * (1 << 26)], "take over 64 MiB"),
    ],
)
def test_what_cannot_be_held(values: list[bytes], message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        strings.array("s", (2,), values)


def test_text_that_is_none() -> None:
    with pytest.raises(BadRequestError, match="no Unicode text"):
        strings.encoded("s", ["\ud800"])
    with pytest.raises(BadRequestError, match=r"output 's': .* no UTF-8"):
        strings.texts(Tensor("s", "BYTES", np.array([b"\xff"])))


def test_the_self_test_compares_strings() -> None:
    wanted = np.array(["a", "b"])
    assert self_test.largest_difference(wanted, np.array([b"a", b"b"])) == 0
    assert self_test.largest_difference(wanted, np.array([b"a", b"c"])) == float("inf")


def test_a_model_of_strings_says_bytes(texts) -> None:
    document = texts.get("/v2/models/m").json()
    assert document["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert document["outputs"][0] == {"name": "same", "datatype": "BYTES", "shape": [-1]}


def test_strings_in_json(texts) -> None:
    entry = {"name": "text", "datatype": "BYTES", "shape": [3], "data": ["a", "", "é🙂"]}
    document = texts.post("/v2/models/m/infer", json={"inputs": [entry]}).json()
    assert [output["data"] for output in document["outputs"]] == [["a", "", "é🙂"], [1, 0, 6]]


def test_strings_in_binary(texts) -> None:
    packed = strings.joined(np.array([b"\xff", b"ab"]))
    head = json.dumps(
        {
            "inputs": [
                {"name": "text", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(packed)}}
            ],
            "outputs": [{"name": "same", "parameters": {"binary_data": True}}],
        }
    ).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = texts.post("/v2/models/m/infer", data=head + packed, headers=headers)
    assert answer.status_code == 200
    assert answer.content.endswith(packed)
    head = head.replace(b', "parameters": {"binary_data": true}', b"")
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = texts.post("/v2/models/m/infer", data=head + packed, headers=headers)
    assert answer.status_code == 400 and "no UTF-8" in answer.json()["error"]


@pytest.mark.parametrize("data", [[1], ["a\x00"], ["a", "b"], "a", [None]])
def test_wrong_strings_are_400(texts, data: object) -> None:
    entry = {"name": "text", "datatype": "BYTES", "shape": [1], "data": data}
    answer = texts.post("/v2/models/m/infer", json={"inputs": [entry]})
    assert answer.status_code == 400 and "input 'text'" in answer.json()["error"]
