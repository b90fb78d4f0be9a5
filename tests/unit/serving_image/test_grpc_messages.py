"""The messages by hand against protobuf's own: every datatype, both kinds of contents, whatever bytes there may be."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving_image.faults import BadRequestError, RequestError, TooLargeError
from serving_image.grpc import wire
from serving_image.grpc.contents import FIELDS, NAMES
from serving_image.grpc.inference import decode, encode
from serving_image.messages import InferenceResponse
from serving_image.tensors import DTYPES, Tensor

LIMIT = 1 << 20
LIMITS = {name: np.iinfo(dtype) for name, dtype in DTYPES.items() if dtype.kind in "iu" and name != "BF16"}


def sample(datatype: str) -> np.ndarray:
    """An array [2, 3] with the least and the largest value of the datatype."""
    if datatype in LIMITS:
        limits = LIMITS[datatype]
        return np.array([[0, 1, limits.max], [limits.min, limits.max // 2, 128 % limits.max]], DTYPES[datatype])
    if datatype == "BOOL":
        return np.array([[True, False, True], [False, False, True]])
    if datatype == "BYTES":
        return np.array([[b"a", b"", b"\xff\0x"], [b"long" * 9, b"b", b"c"]])
    if datatype == "BF16":
        return np.array([[0, 1, 0x7FC0], [0xFF80, 0x3F80, 2]], np.uint16)
    return np.array([[0, -1.5, np.inf], [np.nan, 1e-3, 6e4]], DTYPES[datatype])


def of_strings(array: np.ndarray) -> bytes:
    return b"".join(len(one).to_bytes(4, "little") + one for one in array.ravel().tolist())


def request(oip, datatype: str, array: np.ndarray, raw: bool):
    made = oip.ModelInferRequest(model_name="m", model_version="2", id="i")
    tensor = made.inputs.add(name="x", datatype=datatype, shape=array.shape)
    made.outputs.add(name="y")
    if raw:
        made.raw_input_contents.append(of_strings(array) if datatype == "BYTES" else array.tobytes())
    else:
        getattr(tensor.contents, NAMES[FIELDS[datatype]]).extend(array.ravel().tolist())
    return made


KINDS = [(datatype, raw) for datatype in DTYPES for raw in (True, False) if raw or datatype in FIELDS]


@pytest.mark.parametrize(("datatype", "raw"), KINDS)
def test_requests_of_every_datatype(oip, datatype, raw) -> None:
    array = sample(datatype)
    read, as_raw = decode(memoryview(request(oip, datatype, array, raw).SerializeToString()), LIMIT)
    assert (read.model, read.version, read.id, read.outputs, as_raw) == ("m", "2", "i", ["y"], raw)
    assert read.tensors[0].datatype == datatype and read.tensors[0].array.shape == (2, 3)
    np.testing.assert_array_equal(read.tensors[0].array, array)


@pytest.mark.parametrize(("datatype", "raw"), KINDS)
def test_responses_of_every_datatype(oip, datatype, raw) -> None:
    array = sample(datatype)
    response = InferenceResponse("m", "2", "i", [Tensor("y", datatype, array)])
    read = oip.ModelInferResponse.FromString(encode(response, raw=raw))
    assert (read.model_name, read.model_version, read.id) == ("m", "2", "i")
    (output,) = read.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("y", datatype, [2, 3])
    if raw:
        assert read.raw_output_contents[0] == (of_strings(array) if datatype == "BYTES" else array.tobytes())
    else:
        np.testing.assert_array_equal(getattr(output.contents, NAMES[FIELDS[datatype]]), array.ravel())


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_without_typed_contents_outputs_are_raw(oip, datatype) -> None:
    tensors = [Tensor("a", "FP32", np.ones(2, np.float32)), Tensor("b", datatype, sample(datatype))]
    read = oip.ModelInferResponse.FromString(encode(InferenceResponse("m", "1", "", tensors), raw=False))
    assert [len(content) for content in read.raw_output_contents] == [8, 12]


def test_numbers_may_come_one_by_one_and_contents_in_parts(oip) -> None:
    one = oip.ModelInferRequest(model_name="m")
    one.inputs.add(name="x", datatype="INT64", shape=[3]).contents.int64_contents.extend([-1])
    head = wire.string(1, "x") + wire.string(2, "INT64") + b"\x18\x03"  # the shape is not packed
    first = wire.block(5, b"\x18\x05\x18" + wire.small(1 << 64 - 1))
    second = wire.block(5, wire.block(3, b"\x07"))
    payload = wire.string(1, "m") + wire.block(5, head + first + second)
    assert oip.ModelInferRequest.FromString(payload).inputs[0].contents.int64_contents == [5, -(2**63), 7]
    read, _ = decode(memoryview(payload), LIMIT)
    assert read.tensors[0].array.tolist() == [5, -(2**63), 7]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.inputs[0].ClearField("name"), "input 0: has no name"),
        (lambda r: setattr(r.inputs[0], "datatype", "FP31"), "datatype is 'FP31'"),
        (lambda r: setattr(r.inputs[0], "datatype", ""), "input 'x': datatype is ''"),
        (lambda r: r.inputs[0].shape.append(0), "every dimension"),
        (lambda r: r.inputs[0].shape.append(-1), "every dimension"),
        (lambda r: r.inputs[0].shape.extend([1] * 40), "more than 32 dimensions"),
        (lambda r: r.inputs[0].shape.append(2), "must hold 8 values"),
        (lambda r: r.inputs[0].contents.int_contents.append(300), "holds a number that UINT8 cannot hold"),
        (
            lambda r: r.inputs[0].contents.fp32_contents.append(1),
            "UINT8 belongs in uint_contents, not in fp32_contents",
        ),
        (lambda r: r.inputs[0].contents.bytes_contents.append(b"1"), "not in bytes_contents"),
        (lambda r: r.raw_input_contents.append(b"1234"), "both contents and raw_input_contents"),
        (lambda r: r.raw_input_contents.extend([b"1", b"2"]), "holds 2 entries, there are 1 inputs"),
        (lambda r: r.outputs.add(name="y"), "output 'y': asked for twice"),
        (lambda r: r.outputs.add(), "output 1: has no name"),
        (lambda r: setattr(r.inputs[0], "datatype", "FP16"), "no typed contents"),
    ],
)
def test_what_does_not_fit_is_said(oip, change, words) -> None:
    made = request(oip, "UINT8", np.arange(4, dtype=np.uint8), raw=False)
    change(made)
    if "cannot hold" in words:
        made.inputs[0].contents.uint_contents[0] = 300
        made.inputs[0].contents.ClearField("int_contents")
    with pytest.raises(BadRequestError) as caught:
        decode(memoryview(made.SerializeToString()), LIMIT)
    assert words in str(caught.value)


def test_raw_contents_have_the_size_of_the_shape(oip) -> None:
    made = request(oip, "FP32", np.zeros(3, np.float32), raw=True)
    made.inputs[0].shape[0] = 2**31 - 1
    with pytest.raises(BadRequestError, match="raw_input_contents has 12 bytes, FP32 of shape"):
        decode(memoryview(made.SerializeToString()), LIMIT)


def test_typed_contents_are_bounded(oip) -> None:
    made = request(oip, "INT32", np.arange(5000, dtype=np.int32), raw=False)
    with pytest.raises(TooLargeError, match="--max-json-mib"):
        decode(memoryview(made.SerializeToString()), 1000)


def test_the_number_of_fields_is_bounded() -> None:
    with pytest.raises(BadRequestError, match="more than 131072 fields"):
        decode(memoryview(b"\x78\x01" * (wire.MAX_FIELDS + 1)), LIMIT)


@pytest.mark.parametrize(
    "payload",
    [
        b"\x0a", b"\x0a\x05ab", b"\x0b", b"\x0c", b"\x0e\x01", b"\x00\x01", b"\xff" * 11, b"\x0d\x00\x00",
        b"\x09" + bytes(7), b"\x2a\x02\x1a\x80", b"\x08\x01", b"\x15abcd", b"\x38\x01", b"\x2a\x04\x2a\x02\x35\x01",
        b"\x2a\x05\x1a\x03\x80\x80\x80",
    ],
)  # fmt: skip
def test_bytes_that_are_no_message(payload) -> None:
    with pytest.raises(BadRequestError, match="cannot be read"):
        decode(memoryview(payload), LIMIT)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=40))
def test_varints_both_ways(numbers) -> None:
    array = np.array(numbers, np.uint64)
    packed = wire.packed(array)
    assert packed == b"".join(map(wire.small, numbers))
    read = wire.varints(memoryview(packed), len(numbers))
    assert read is not None and read.tolist() == numbers
    assert wire.varints(memoryview(packed), len(numbers) + 1) is None


def test_varints_across_chunks(monkeypatch) -> None:
    monkeypatch.setattr(wire, "CHUNK", 16)
    numbers = [3, 2**63, 0, 1, 300, 2**35, 127, 128] * 5
    packed = wire.packed(np.array(numbers, np.uint64))
    read = wire.varints(memoryview(packed), len(numbers))
    assert read is not None and read.tolist() == numbers
    with pytest.raises(BadRequestError, match="more than 10 bytes"):
        wire.varints(memoryview(b"\x80" * 40 + b"\x01"), 1)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 255), st.sampled_from(sorted(KINDS)))
def test_whatever_comes_is_read_or_refused(oip, junk, at, byte, kind) -> None:
    """Junk, and good messages with a byte changed: RequestError or a request; what is read, protobuf reads alike."""
    good = bytearray(request(oip, kind[0], sample(kind[0]), kind[1]).SerializeToString())
    good[at % len(good)] = byte
    for payload in (junk, bytes(good), bytes(good[: at % len(good)])):
        try:
            read, _ = decode(memoryview(payload), LIMIT)
        except RequestError:
            continue
        same = oip.ModelInferRequest.FromString(payload)
        assert (read.model, read.version or "", read.id) == (same.model_name, same.model_version, same.id)
        assert [tensor.name for tensor in read.tensors] == [tensor.name for tensor in same.inputs]
        assert [list(tensor.array.shape) for tensor in read.tensors] == [list(tensor.shape) for tensor in same.inputs]
        assert read.outputs == [output.name for output in same.outputs]
