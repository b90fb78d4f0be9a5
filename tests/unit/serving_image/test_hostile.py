"""Malformed and hostile requests of the real server: one table, a fuzzer, and what they leave in its memory."""

import gzip
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

INFER = "/v2/models/digits/infer"
HEADER = "Inference-Header-Content-Length"
IMAGE = {"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.0] * 64}
VALUES = np.zeros(64, np.float32).tobytes()
BINARY = {"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "parameters": {"binary_data_size": 256}}


def of(**more: Any) -> bytes:
    """A JSON request whose input is IMAGE but for `more`."""
    return json.dumps({"inputs": [IMAGE | more]}).encode()


def without(key: str) -> bytes:
    """A JSON request whose input lacks a field."""
    return json.dumps({"inputs": [{name: value for name, value in IMAGE.items() if name != key}]}).encode()


def nested(depth: int) -> bytes:
    return b'{"inputs": ' + b"[" * depth + b"]" * depth + b"}"


def text(name: str) -> bytes:
    """A JSON request with `name`, JSON as it is, in place of the input's name."""
    return of().replace(b'"image"', name.encode("latin-1"))


JSON: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not JSON"),
    "no JSON": (b"\xff\xfe\x00", "not JSON"),
    "cut short": (of()[:-3], "not JSON"),
    "more behind it": (of() + b"{}", "not JSON"),
    "no object": (b"[1]", "must be a JSON object"),
    "null": (b"null", "must be a JSON object"),
    "bad UTF-8 in the name": (text('"ima\xffge"'), "not JSON"),
    "half a surrogate pair in the name": (text('"\\ud800"'), "not JSON"),
    "NUL in the name": (text('"a\\u0000"'), r"input 'image': missing"),
    "a name of a megabyte": (text(f'"{"n" * 1_000_000}"'), r"input 'image': missing"),
    "NaN": (of().replace(b"0.0]", b"NaN]"), "not JSON"),
    "Infinity": (of().replace(b"0.0]", b"-Infinity]"), "not JSON"),
    "lists 100,000 deep": (nested(100_000), "not JSON|list of objects"),
    "objects 100,000 deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "not JSON"),
    "data 900 deep": (of(data=0).replace(b'"data": 0', b'"data": ' + b"[" * 900 + b"]" * 900), "nested otherwise"),
    "a list of a million numbers": (of(data=[0] * 1_000_000), "input 'image': data holds 1000000 values.* needs 64"),
    "a list of a million lists": (of(data=[[]] * 1_000_000), "input 'image': data is nested otherwise"),
    "100,000 keys": (json.dumps({str(at): at for at in range(100_000)}).encode(), "inputs must be a list"),
    "1,025 inputs": (json.dumps({"inputs": [IMAGE] * 1025}).encode(), "1025 entries, at most 1024"),
    "100,000 keys in an input": (
        of().replace(b'"name"', b", ".join(b'"%d": 1' % at for at in range(100_000)) + b', "name"', 1)[:-3],
        "not JSON",
    ),
    "no inputs": (b"{}", "inputs must be a list"),
    "inputs null": (b'{"inputs": null}', "inputs must be a list"),
    "an input that is a number": (b'{"inputs": [1]}', "list of objects"),
    "an id that is a number": (json.dumps({"id": 1, "inputs": [IMAGE]}).encode(), "id must be a string"),
    "parameters that are a list": (json.dumps({"inputs": [IMAGE], "parameters": []}).encode(), "must be an object"),
    "empty inputs": (b'{"inputs": []}', "input 'image': missing; the model expects 'image'"),
    "an input twice": (json.dumps({"inputs": [IMAGE, IMAGE]}).encode(), "input 'image': given twice"),
    "one input too many": (
        json.dumps({"inputs": [IMAGE, IMAGE | {"name": "x"}]}).encode(),
        "input 'x': the model has none of that name; it expects 'image'",
    ),
    "wrong name": (of(name="picture"), "input 'image': missing"),
    "no name": (without("name"), "input 0: has no name"),
    "a name that is a number": (of(name=7), "input 0: has no name"),
    "no datatype": (without("datatype"), "input 'image': datatype is missing.*expected one of BOOL"),
    "an unknown datatype": (of(datatype="FP8"), "input 'image': datatype is 'FP8', expected one of"),
    "wrong datatype": (of(datatype="FP64"), "input 'image': datatype is FP64, the model expects FP32"),
    "no shape": (without("shape"), "input 'image': shape must be a list of integers"),
    "a shape of text": (of(shape="1,1,8,8"), "input 'image': shape must be a list of integers"),
    "a shape of fractions": (of(shape=[1.0, 1, 8, 8]), "input 'image': shape must be a list of integers"),
    "a shape of true": (of(shape=[True, 1, 8, 8]), "input 'image': shape must be a list of integers"),
    "wrong rank": (of(shape=[1, 64]), r"input 'image': shape is \[1, 64\], the model expects \[-1, 1, 8, 8\]"),
    "wrong dimension": (of(shape=[1, 1, 4, 16]), r"input 'image': shape is .* the model expects \[-1, 1, 8, 8\]"),
    "33 dimensions": (of(shape=[1] * 33), "input 'image': shape has 33 dimensions, at most 32"),
    "a huge shape": (of(shape=[2**31 - 1] * 32), "input 'image': data holds 64 values"),
    "a shape over 2**31": (of(shape=[2**62] * 30), r"input 'image': every dimension.*below 2\*\*31"),
    "a shape over 2**64": (of(shape=[10**30, 1, 8, 8]), "shape must be a list of integers|not JSON"),
    "a negative shape": (of(shape=[-1, 1, 8, 8]), "input 'image': every dimension of shape must be at least 1"),
    "an empty dimension": (of(shape=[0, 1, 8, 8], data=[]), "input 'image': every dimension of shape"),
    "too few values": (of(data=[0.0] * 63), r"input 'image': data holds 63 values, shape \[1, 1, 8, 8\] needs 64"),
    "more rows than values": (of(shape=[2, 1, 8, 8]), "input 'image': data holds 64 values.* needs 128"),
    "no data": (without("data"), "input 'image': data must be a list of numbers"),
    "data null": (of(data=None), "input 'image': data must be a list of numbers"),
    "data that is text": (of(data="AAAA"), "input 'image': data must be a list of numbers"),
    "text among the data": (of(data=["0"] * 64), "input 'image': data of FP32 must be numbers"),
    "true among the data": (of(data=[True] * 64), "input 'image': data of FP32 must be numbers"),
    "null among the data": (of(data=[None] * 64), "input 'image': data of FP32 must be numbers"),
    "ragged lists": (of(data=[[0.0] * 32, [0.0] * 31]), "input 'image': data is nested otherwise"),
    "a number over FP32": (of(data=[1e39] + [0] * 63), "input 'image': data holds a number that FP32 cannot hold"),
    "a number over FP64": (of(data=[0] * 64).replace(b"[0, 0,", b"[1e400, 0,"), "cannot hold|not JSON"),
    "an integer of 400 digits": (of(data=[10**400] + [0] * 63), "cannot hold|not JSON"),
    "an integer of 5,000 digits": (of(data=[0] * 64).replace(b"[0, 0,", b"[" + b"9" * 5000 + b", 0,"), "hold|not JSON"),
    "an unknown output": (
        json.dumps({"inputs": [IMAGE], "outputs": [{"name": "scores"}]}).encode(),
        "output 'scores': the model has none of that name; it has 'logits', 'probabilities'",
    ),
    "an output twice": (
        json.dumps({"inputs": [IMAGE], "outputs": [{"name": "logits"}] * 2}).encode(),
        "output 'logits': asked for twice",
    ),
    "an output without a name": (json.dumps({"inputs": [IMAGE], "outputs": [{}]}).encode(), "output 0: has no name"),
    "binary_data_output of text": (
        json.dumps({"inputs": [IMAGE], "parameters": {"binary_data_output": "yes"}}).encode(),
        "binary_data_output must be true or false",
    ),
    "binary data without the header": (json.dumps({"inputs": [BINARY]}).encode(), f"input 'image'.* 0 bytes.*{HEADER}"),
}  # fmt: skip


def binary(values: bytes = VALUES, **more: Any) -> tuple[bytes, str]:
    """Body and header of a binary request whose input is BINARY but for `more`."""
    head = json.dumps({"inputs": [BINARY | more]}).encode()
    return head + values, str(len(head))


def sized(size: Any) -> tuple[bytes, str]:
    return binary(parameters={"binary_data_size": size})


OCTETS: dict[str, tuple[tuple[bytes, str], str]] = {
    "an empty header": ((binary()[0], ""), HEADER),
    "a negative header": ((binary()[0], "-1"), HEADER),
    "a header of text": ((binary()[0], "abc"), HEADER),
    "a header over the body": ((binary()[0], "99999999"), f"{HEADER} is 99999999, the body has only"),
    "a header of 30 digits": ((binary()[0], "1" * 30), HEADER),
    "a header too small": ((binary()[0], "10"), "not JSON"),
    "a header too large": ((binary()[0], str(int(binary()[1]) + 8)), "not JSON"),
    "a header of 0": ((binary()[0], "0"), "not JSON"),
    "an empty body": ((b"", "0"), "not JSON"),
    "data cut short": (binary(VALUES[:-3]), "input 'image': binary_data_size is 256, only 253 bytes"),
    "no data": (binary(b""), "input 'image': binary_data_size is 256, only 0 bytes"),
    "more data than inputs": (binary(VALUES + b"\0"), "1 bytes behind the last input"),
    "a size that does not fit the shape": (sized(255), "input 'image': binary_data_size is 255, FP32 of shape.*256"),
    "a negative size": (sized(-256), "input 'image': binary_data_size is -256"),
    "a huge size": (sized(2**63), "input 'image': binary_data_size is 9223372036854775808"),
    "a size of text": (sized("256"), "input 'image': binary_data_size is no integer"),
    "a size of true": (sized(True), "input 'image': binary_data_size is no integer"),
    "a size of null": (sized(None), "input 'image': binary_data_size is no integer"),
    "data and a size": (binary(data=[0]), "input 'image': has both data and binary_data_size"),
    "wrong datatype": (binary(datatype="INT32"), "input 'image': datatype is INT32, the model expects FP32"),
    "wrong shape": (binary(shape=[64]), r"input 'image': shape is \[64\], the model expects \[-1, 1, 8, 8\]"),
    "wrong name": (binary(name="x"), "input 'image': missing"),
    "strings cut short": (
        binary(b"\xff\xff\xff\xff", datatype="BYTES", parameters={"binary_data_size": 4}), "input 'image': string 0"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", JSON)
def test_json_that_is_wrong_is_400_and_says_where(server, case: str) -> None:
    body, message = JSON[case]
    refused(server.post(INFER, data=body), message)


@pytest.mark.parametrize("case", OCTETS)
def test_binary_data_that_are_wrong_are_400_and_say_where(server, case: str) -> None:
    (body, header), message = OCTETS[case]
    refused(server.post(INFER, data=body, headers={HEADER: header}), message)


def refused(answer, message: str) -> None:
    """Status 400 and a short reason."""
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    assert set(answer.json()) == {"error"} and len(answer.text) < 1000
    assert re.search(message, answer.json()["error"]), answer.text


def test_of_a_key_that_is_twice_the_last_one_counts(server) -> None:
    for padding in (b"", b" " * 2000):  # both parsers
        body = of().replace(b'{"inputs"', b'{"inputs": [1], ' + padding + b'"inputs"')
        assert server.post(INFER, data=body).status_code == 200
        body = of()[:-1] + padding + b', "inputs": []}'
        refused(server.post(INFER, data=body), "input 'image': missing")


def test_nan_is_refused_where_that_is_set(released, start) -> None:
    server = start(released.models, "--nan=refuse").wait_ready()
    for at, value in ((0, np.nan), (63, np.inf), (9, -np.inf)):
        values = np.zeros(64, np.float32)
        values[at] = value
        body, header = binary(values.tobytes())
        answer = server.post(INFER, data=body, headers={HEADER: header})
        refused(answer, rf"input 'image': holds NaN or infinity at \[0, 0, {at // 8}, {at % 8}\]")
    body, header = binary()
    assert server.post(INFER, data=body, headers={HEADER: header}).status_code == 200


WHOLE = binary()
EDIT = st.tuples(st.integers(0, len(WHOLE[0])), st.integers(0, 40), st.binary(max_size=12))
HEADERS = st.sampled_from([WHOLE[1]]) | st.integers(0, 400).map(str) | st.text("0123456789-+x ", max_size=5)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(edits=st.lists(EDIT, max_size=3), header=HEADERS)
def test_any_bytes_are_answered_or_refused(server, edits: list[tuple[int, int, bytes]], header: str) -> None:
    body = WHOLE[0]
    for at, length, put in edits:
        body = body[:at] + put + body[at + length :]
    answer = server.post(INFER, data=body, headers={HEADER: header.strip()})
    assert answer.status_code in (200, 400), answer.text
    assert answer.status_code == 200 or answer.json()["error"]


PROTOCOL = st.sampled_from(["image", "FP32", "BYTES", "BF16", "BOOL", 1, 8, 64, -1, 2**40, 0.5, None, True, ""])
VALUE = st.recursive(PROTOCOL, lambda inner: st.lists(inner, max_size=4), max_leaves=6)
FIELDS = st.fixed_dictionaries(
    {"name": st.just("image") | VALUE, "datatype": st.sampled_from(["FP32", "BYTES", "BOOL"]) | VALUE},
    optional={
        "shape": st.lists(st.integers(0, 9), max_size=4) | VALUE,
        "data": VALUE,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 300) | VALUE}) | VALUE,
    },
)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(inputs=st.lists(FIELDS, max_size=3) | VALUE, values=st.binary(max_size=40))
def test_any_inputs_are_answered_or_refused(server, inputs: Any, values: bytes) -> None:
    head = json.dumps({"inputs": inputs}).encode()
    answer = server.post(INFER, data=head + values, headers={HEADER: str(len(head))})
    assert answer.status_code in (200, 400), answer.text


HOSTILE: list[Callable[[], dict[str, Any]]] = [
    *[lambda body=body: {"data": body} for body, _ in JSON.values() if len(body) < 100_000],
    *[
        lambda body=body, header=header: {"data": body, "headers": {HEADER: header}}
        for (body, header), _ in OCTETS.values()
    ],
    lambda: {"data": gzip.compress(of(data=[0] * 100_000), 1), "headers": {"Content-Encoding": "gzip"}},
    lambda: {"data": b"no gzip", "headers": {"Content-Encoding": "gzip"}},
    lambda: {"data": iter([b"{", b" " * 1000, b"]"])},
]  # fmt: skip
BOMB = gzip.compress(bytes(40 << 20), 1)
LARGE: list[Callable[[], dict[str, Any]]] = [
    lambda: {"data": JSON["a list of a million numbers"][0]},
    lambda: {"data": JSON["a list of a million lists"][0]},
    lambda: {"data": JSON["100,000 keys"][0]},
    lambda: {"data": nested(100_000)},
    lambda: {"data": BOMB, "headers": {"Content-Encoding": "gzip"}},
    lambda: {"data": bytes(20 << 20), "headers": {HEADER: "100"}},
    lambda: {"data": bytes(17 << 20)},
]


def test_two_thousand_of_them_leave_no_memory_behind(released, start) -> None:
    server = start(released.models, "--access-log=off").wait_ready()

    def send(count: int) -> None:
        for at in range(count):
            made = LARGE[at // 100 % len(LARGE)] if at % 100 == 99 else HOSTILE[at % len(HOSTILE)]
            assert server.post(INFER, **made()).status_code in (400, 413)

    def resident() -> float:
        found = re.search(r"^process_resident_memory_bytes (\d+)$", server.get("/metrics").text, re.MULTILINE)
        assert found is not None
        return int(found[1]) / 1e6

    send(700)
    before = resident()
    send(2000)
    assert resident() - before < 25, (before, resident())
    body, header = binary()
    assert server.post(INFER, data=body, headers={HEADER: header}).status_code == 200


def test_nothing_here_was_an_internal_error(server) -> None:
    assert server.process.poll() is None
    assert not [line for line in server.lines() if line.get("status") == 500 or "exception" in line]
