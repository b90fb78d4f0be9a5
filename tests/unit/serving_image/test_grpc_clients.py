"""The gRPC port as clients see it: Triton's, grpcio's, the health and reflection services' own, unmodified."""

import gzip
import json
import time

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

IMAGE = np.random.default_rng(3).random((2, 1, 8, 8), dtype=np.float32)


@pytest.fixture(scope="module")
def client(server):
    with triton.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as made:
        yield made


@pytest.fixture(scope="module")
def expected(server):
    body = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [2, 1, 8, 8], "data": IMAGE.ravel().tolist()}]}
    outputs = server.post("/v2/models/digits/infer", json=body).json()["outputs"]
    return {output["name"]: np.array(output["data"], np.float32).reshape(output["shape"]) for output in outputs}


def test_tritons_client_infers_with_raw_contents_both_ways(client, expected) -> None:
    given = triton.InferInput("image", [2, 1, 8, 8], "FP32")
    given.set_data_from_numpy(IMAGE)
    answer = client.infer("digits", [given], model_version="1", request_id="seven", client_timeout=20)
    assert answer.get_response().id == "seven" and answer.get_response().model_version == "1"
    assert len(answer.get_response().raw_output_contents) == 2
    for name, array in expected.items():
        np.testing.assert_allclose(answer.as_numpy(name), array, rtol=1e-5)


def test_tritons_client_picks_outputs(client, expected) -> None:
    given = triton.InferInput("image", [2, 1, 8, 8], "FP32")
    given.set_data_from_numpy(IMAGE)
    answer = client.infer("digits", [given], outputs=[triton.InferRequestedOutput("probabilities")])
    assert [output.name for output in answer.get_response().outputs] == ["probabilities"]
    np.testing.assert_allclose(answer.as_numpy("probabilities"), expected["probabilities"], rtol=1e-5)


def test_tritons_client_with_compression_and_several_inputs(client) -> None:
    ids, mask = triton.InferInput("ids", [1, 4], "INT64"), triton.InferInput("mask", [1, 4], "BOOL")
    ids.set_data_from_numpy(np.array([[1, 2, 3, -4]], np.int64))
    mask.set_data_from_numpy(np.array([[True, False, True, True]]))
    answer = client.infer("mixed", [ids, mask], compression_algorithm="gzip")
    assert answer.as_numpy("total").tolist() == [0]


def test_tritons_client_is_told_of_server_and_models(client) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("digits") and client.is_model_ready("digits", "1")
    assert client.get_server_metadata().name == "nearedge"
    told = client.get_model_metadata("digits", as_json=True)
    assert told["versions"] == ["1"] and told["platform"] == "openvino"
    assert told["inputs"] == [{"name": "image", "datatype": "FP32", "shape": ["-1", "1", "8", "8"]}]
    assert [output["name"] for output in told["outputs"]] == ["logits", "probabilities"]


@pytest.mark.parametrize(
    ("model", "version", "shape", "code", "words"),
    [
        ("absent", "", [2, 1, 8, 8], "NOT_FOUND", "no model 'absent'"),
        ("digits", "9", [2, 1, 8, 8], "NOT_FOUND", "no version '9'"),
        ("digits", "1", [2, 8, 8], "INVALID_ARGUMENT", "input 'image': shape is [2, 8, 8]"),
    ],
)
def test_tritons_client_hears_what_is_wrong(client, model, version, shape, code, words) -> None:
    given = triton.InferInput("image", shape, "FP32")
    given.set_data_from_numpy(IMAGE.reshape(shape))
    with pytest.raises(triton.InferenceServerException) as caught:
        client.infer(model, [given], model_version=version)
    assert caught.value.status() == f"StatusCode.{code}" and words in caught.value.message()


def test_tritons_stubs_take_typed_contents(server, expected) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = triton.service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = triton.service_pb2.ModelInferRequest(model_name="digits")
        request.inputs.add(name="image", datatype="FP32", shape=[2, 1, 8, 8]).contents.fp32_contents.extend(
            IMAGE.ravel()
        )
        answer = stub.ModelInfer(request)
        assert not answer.raw_output_contents
        for output in answer.outputs:
            np.testing.assert_allclose(
                np.reshape(output.contents.fp32_contents, output.shape), expected[output.name], rtol=1e-5
            )


def test_the_request_may_say_how_its_outputs_come(channel, call, oip) -> None:
    request = oip.ModelInferRequest(model_name="digits")
    request.inputs.add(name="image", datatype="FP32", shape=IMAGE.shape).contents.fp32_contents.extend(IMAGE.ravel())
    request.parameters["binary_data_output"].bool_param = True
    assert len(call(channel, "ModelInfer", request).raw_output_contents) == 2
    request.parameters["binary_data_output"].string_param = "yes"
    with pytest.raises(grpc.RpcError, match="binary_data_output must be true or false"):
        call(channel, "ModelInfer", request)


def test_request_ids_come_back_and_are_logged(server, channel, oip) -> None:
    path = "/inference.GRPCInferenceService/ServerLive"
    live = channel.unary_unary(path, oip.ServerLiveRequest.SerializeToString, oip.ServerLiveResponse.FromString)
    answer, done = live.with_call(oip.ServerLiveRequest(), metadata=[("x-request-id", "grpc-17")])
    assert answer.live and dict(done.initial_metadata())["x-request-id"] == "grpc-17"
    deadline = time.monotonic() + 60
    while not (lines := logged(server, "grpc-17")) and time.monotonic() < deadline:
        time.sleep(0.01)  # the line is written behind the answer
    assert [(line["path"], line["status"]) for line in lines] == [(path, "OK")]


def logged(server, request_id: str) -> list[dict]:
    """Whole lines of the log about a request."""
    text = server.log.read_text()
    lines = map(json.loads, text[: text.rfind("\n") + 1].splitlines())
    return [line for line in lines if line.get("request_id") == request_id]


def test_calls_are_counted_by_code(server, channel, call, oip) -> None:
    with pytest.raises(grpc.RpcError):
        call(channel, "ModelInfer", oip.ModelInferRequest(model_name="digits"))
    text = server.get("/metrics").text
    assert 'nearedge_requests_total{model="digits",version="1",protocol="grpc",code="INVALID_ARGUMENT"}' in text
    assert 'nearedge_request_duration_seconds_count{model="digits",version="1",protocol="grpc"}' in text


def test_health(channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", "inference.GRPCInferenceService"):
        assert stub.Check(health_pb2.HealthCheckRequest(service=name)).status == 1
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="other"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    watched = stub.Watch(health_pb2.HealthCheckRequest(service="other"))
    assert next(watched).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watched.cancel()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection(channel, version) -> None:
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    request, response = reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse
    method = channel.stream_stream(path, request.SerializeToString, response.FromString)
    asked = [
        request(list_services=""),
        request(file_containing_symbol="inference.GRPCInferenceService"),
        request(file_containing_symbol="inference.ModelInferRequest.InferInputTensor"),
        request(file_by_filename=f"grpc/reflection/{version}/reflection.proto"),
        request(file_by_filename="absent.proto"),
        request(all_extension_numbers_of_type="x"),
    ]
    answers = list(method(iter(asked), timeout=10))
    names = {service.name for service in answers[0].list_services_response.service}
    assert names >= {"inference.GRPCInferenceService", "grpc.health.v1.Health"}
    assert f"grpc.reflection.{version}.ServerReflection" in names
    for answer in answers[1:4]:
        assert len(answer.file_descriptor_response.file_descriptor_proto) == 1
    assert [answer.error_response.error_code for answer in answers[4:]] == [5, 5]
    assert answers[1].original_request == asked[1]


def test_reflections_own_client_knows_the_service(channel) -> None:
    from google.protobuf.descriptor_pool import DescriptorPool
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    database = ProtoReflectionDescriptorDatabase(channel)
    service = DescriptorPool(database).FindServiceByName("inference.GRPCInferenceService")
    assert {method.name for method in service.methods} >= {"ServerLive", "ModelInfer", "ModelMetadata"}
    assert reflection_pb2_grpc.ServerReflectionStub is not None


def raw(channel, method: str, payload: bytes, **more):
    return channel.unary_unary(method)(payload, timeout=10, **more)


@pytest.mark.parametrize(
    ("method", "payload", "code", "words"),
    [
        ("/inference.GRPCInferenceService/Absent", b"", "UNIMPLEMENTED", "no method"),
        ("/x", b"", "UNIMPLEMENTED", "no method"),
        ("/inference.GRPCInferenceService/ModelInfer", b"\xff" * 30, "INVALID_ARGUMENT", "cannot be read"),
        ("/inference.GRPCInferenceService/ModelInfer", b"", "NOT_FOUND", "no model ''"),
        ("/inference.GRPCInferenceService/ModelInfer", b"\x0a\x02\xff\xfe", "INVALID_ARGUMENT", "not UTF-8"),
        ("/inference.GRPCInferenceService/ModelReady", b"\x0a\x7f", "INVALID_ARGUMENT", "127 bytes, 0 are left"),
        ("/inference.GRPCInferenceService/ModelMetadata", b"\x08\x01", "INVALID_ARGUMENT", "wire type 0"),
        ("/grpc.health.v1.Health/Check", b"\x0b", "INVALID_ARGUMENT", "wire type 3"),
    ],
)
def test_what_cannot_be_read_has_a_status(channel, method, payload, code, words) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        raw(channel, method, payload)
    assert caught.value.code().name == code and words in caught.value.details()


def test_gzip_is_read_and_bounded(channel) -> None:
    method = "/inference.GRPCInferenceService/ServerLive"
    assert raw(channel, method, b"", compression=grpc.Compression.Gzip) == b"\x08\x01"
    with pytest.raises(grpc.RpcError) as caught:
        raw(channel, method, bytes(65 << 20), compression=grpc.Compression.Gzip)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and "unpacks to over" in caught.value.details()
    with pytest.raises(grpc.RpcError) as caught:
        raw(channel, method, b"\x0a\x05abcde" * 40, compression=grpc.Compression.Deflate)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert len(gzip.compress(bytes(65 << 20), 1)) < 1 << 20  # what made it a bomb


def test_nothing_unforeseen_was_logged(server) -> None:
    assert not [line for line in server.lines() if "exception" in line], json.dumps(server.lines()[-3:])
