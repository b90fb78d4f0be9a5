"""The gRPC port under load and at its end: deadlines, sizes, tokens, TLS, draining."""

import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.unit.serving_image.test_grpc_connection import Client


@pytest.fixture(scope="module")
def busy(slow, tools, tmp_path_factory):
    """A server of the slow model, of which one request may wait."""
    with tools.started(slow, tmp_path_factory.mktemp("busy") / "log", "--queue=1") as running:
        yield running.wait_ready()


@pytest.fixture(scope="module")
def guarded(released, tools, tmp_path_factory):
    """A server with TLS, a token and a low limit of sizes; its certificate."""
    folder = tmp_path_factory.mktemp("guarded")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*make, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    (folder / "token").write_text("s3cret\n")
    options = (f"--tls-cert={certificate}", f"--tls-key={key}", f"--token-file={folder / 'token'}")
    with tools.started(released.models, folder / "log", *options, "--max-body-mib=0.1") as running:
        running.wait_for("server ready", 60)
        yield running, certificate


@pytest.fixture
def safe(guarded):
    """A channel to it."""
    running, certificate = guarded
    credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
    with grpc.secure_channel(
        f"127.0.0.1:{running.grpc_port}", credentials, [("grpc.max_send_message_length", -1)]
    ) as made:
        yield made


TOKEN = [("authorization", "Bearer s3cret")]


def numbers(oip, model="slow", name="x", shape=(1,)):
    request = oip.ModelInferRequest(model_name=model)
    request.inputs.add(name=name, datatype="FP32", shape=shape)
    request.raw_input_contents.append(np.full(shape, 0.001, np.float32).tobytes())
    return request


def opened(server, **more):
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0), ("grpc.max_send_message_length", -1)]
    return grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options=options, **more)


def status_of(call, channel, *given, **more) -> grpc.StatusCode:
    try:
        call(channel, *given, **more)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_deadlines_queues_and_pushback(busy, call, oip) -> None:
    with opened(busy) as channel:
        late = status_of(call, channel, "ModelInfer", numbers(oip), timeout=0.05)
        assert late == grpc.StatusCode.DEADLINE_EXCEEDED
        assert call(channel, "ModelInfer", numbers(oip)).outputs[0].name == "y"
        with ThreadPoolExecutor(12) as clients:
            asked = [clients.submit(call, channel, "ModelInfer", numbers(oip)) for _ in range(12)]
            refused = [one.exception() for one in asked if one.exception() is not None]
        assert {one.code() for one in refused} == {grpc.StatusCode.UNAVAILABLE} and len(refused) < 12
        assert dict(refused[0].trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
    until, statuses = time.monotonic() + 30, []
    while not ("UNAVAILABLE" in statuses and len(statuses) >= 2):  # lines are written behind the answers
        assert time.monotonic() < until, statuses
        found = [line.get("status") for line in busy.lines()]
        statuses = [one for one in found if one in ("DEADLINE_EXCEEDED", "CANCELLED", "UNAVAILABLE")]


def test_a_call_over_the_servers_own_limit_of_time(slow, start, call, oip) -> None:
    server = start(slow, "--request-timeout-seconds=0.05").wait_ready()
    with opened(server) as channel:
        for _ in range(2):
            with pytest.raises(grpc.RpcError, match=r"within 0\.05 s") as caught:
                call(channel, "ModelInfer", numbers(oip))
            assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert call(channel, "ServerReady").ready


def test_a_deadline_ends_the_computing(busy, oip) -> None:
    """Were they not cancelled, they would soon be too many for a queue of one."""
    path = "/inference.GRPCInferenceService/ModelInfer"
    made, before = Client(busy.grpc_port), computed(busy)
    for stream in range(1, 13, 2):
        made.send(made.call(stream, path, numbers(oip).SerializeToString(), **{"grpc-timeout": "30m"}))
        trailers = made.trailers(stream)
        assert (trailers["grpc-status"], trailers["grpc-message"]) == ("4", "no answer within the call's deadline")
        busy.wait_in_flight("slow", 0)
    made.close()
    assert computed(busy) == before


def computed(server) -> list[str]:
    """The metric that counts inferences."""
    lines = server.get("/metrics").text.splitlines()
    return [line for line in lines if line.startswith("nearedge_compute_duration_seconds_count")]


def test_messages_over_the_limit(safe, call, oip) -> None:
    for count in (200_000, 20_000_000):
        request = oip.ModelInferRequest(model_name="digits", raw_input_contents=[bytes(count)])
        with pytest.raises(grpc.RpcError, match="--max-body-mib") as caught:
            call(safe, "ModelInfer", request, metadata=TOKEN)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    answer = call(safe, "ModelInfer", numbers(oip, "digits", "image", (300, 1, 8, 8)), metadata=TOKEN)
    assert len(answer.raw_output_contents[0]) == 300 * 10 * 4


def test_large_answers_and_messages_fit_the_windows(server, call, oip) -> None:
    with opened(server) as channel:
        with ThreadPoolExecutor(4) as clients:
            request = numbers(oip, "digits", "image", (40_000, 1, 8, 8))
            asked = [clients.submit(call, channel, "ModelInfer", request) for _ in range(4)]
            answers = [one.result() for one in asked]
        assert [len(answer.raw_output_contents[1]) for answer in answers] == [1_600_000] * 4


def test_nobody_is_dropped_while_it_drains(released, start, oip) -> None:
    server = start(released.models, "--drain-seconds=3").wait_ready()
    path, stopping, failures, answered = "/inference.GRPCInferenceService/ModelInfer", threading.Event(), [], []

    def load(lasting: bool) -> None:
        payload = numbers(oip, "digits", "image", (1, 1, 8, 8)).SerializeToString()
        channel = opened(server)
        while not stopping.is_set():
            begun = time.monotonic()
            try:
                channel.unary_unary(path)(payload, timeout=60)
                answered.append(begun)
            except grpc.RpcError as error:
                failures.append((begun, error))
            if not lasting:
                channel.close()
                channel = opened(server)
        channel.close()

    clients = [threading.Thread(target=load, args=(lasting,)) for lasting in (True, True, False)]
    with opened(server) as channel:
        watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        for client in clients:
            client.start()
        time.sleep(0.4)
        signalled = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING
        time.sleep(0.4)
        stopping.set()
        for client in clients:
            client.join(60)
        watched.cancel()
    assert failures == [] and any(begun > signalled for begun in answered)
    assert server.process.wait(30) == 0


def test_what_was_begun_is_finished(slow, start, call, oip) -> None:
    server = start(slow).wait_ready()
    with opened(server) as channel, ThreadPoolExecutor(2) as clients:
        call(channel, "ServerLive")
        pending = [clients.submit(call, channel, "ModelInfer", numbers(oip)) for _ in range(2)]
        server.wait_in_flight("slow", 2)
        server.process.send_signal(signal.SIGTERM)
        assert [one.result(60).model_name for one in pending] == ["slow", "slow"]
    assert server.process.wait(30) == 0


def test_it_ends_with_a_watch_open_and_idle_clients(released, start) -> None:
    server = start(released.models).wait_ready()
    with opened(server) as channel, socket.create_connection(("127.0.0.1", server.grpc_port)):
        watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        next(watched)
        assert server.stop(seconds=15) == 0
        with pytest.raises(grpc.RpcError) as caught:
            list(watched)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_a_token_is_asked_for_and_tls_spoken(guarded, safe, call, oip) -> None:
    server, _ = guarded
    request = oip.ModelMetadataRequest(name="digits")
    assert call(safe, "ServerReady").ready
    assert health_pb2_grpc.HealthStub(safe).Check(health_pb2.HealthCheckRequest()).status == 1
    for metadata in ([], [("authorization", "Bearer other")]):
        code = status_of(call, safe, "ModelMetadata", request, metadata=metadata)
        assert code == grpc.StatusCode.UNAUTHENTICATED
    assert call(safe, "ModelMetadata", request, metadata=TOKEN).name == "digits"
    assert "s3cret" not in server.log.read_text()
    with opened(server) as plain:
        assert status_of(call, plain, "ServerReady", timeout=5) != grpc.StatusCode.OK


def test_it_can_be_off_and_a_taken_port_is_one_line(released, start, tools, tmp_path) -> None:
    server = start(released.models, "--grpc-port=off")
    assert server.grpc_port is None
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(AssertionError) as caught,
            tools.started(released.models, tmp_path / "log", f"--grpc-port={port}"),
        ):
            pass
    text = (tmp_path / "log").read_text()
    assert len(text.splitlines()) == 1 and f"port {port}" in text and "set --host and --grpc-port" in text
    assert "no 'listening'" in str(caught.value)
