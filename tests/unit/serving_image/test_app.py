"""The REST interface of the real server, request by request, also bytes that are no HTTP."""

import asyncio
import json
import re
import socket
from pathlib import Path

import numpy as np
import pytest

from serving_image import logs, settings
from serving_image.app import App
from serving_image.dataplane import DataPlane
from serving_image.faults import UnavailableError
from serving_image.repository import Entry, Loaded, Repository
from serving_image.telemetry import Telemetry

DIGITS = "/v2/models/digits"
IMAGE = {"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.0] * 64}
BODY = {"inputs": [IMAGE]}


def expected(released, name: str) -> dict[str, np.ndarray]:
    with np.load(released.models / name / "1/golden.npz") as archive:
        return {key: archive[key] for key in archive.files}


def test_server_metadata(server) -> None:
    extensions = ["binary_tensor_data", "logging"]
    assert server.get("/v2").json() == {"name": "nearedge", "version": "0.1.0", "extensions": extensions}


def test_health(server) -> None:
    assert server.get("/v2/health/live").json() == {"live": True}
    document = server.get("/v2/health/ready").json()
    assert document["ready"] is True and document["ready_after_ms"] > 0


@pytest.mark.parametrize("path", [DIGITS, f"{DIGITS}/versions/1"])
def test_model_metadata(server, path: str) -> None:
    assert server.get(path).json() == {
        "name": "digits",
        "versions": ["1"],
        "platform": "openvino",
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 8, 8]}],
        "outputs": [
            {"name": "logits", "datatype": "FP32", "shape": [-1, 10]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
        ],
    }
    assert server.get(f"{path}/ready").json() == {"name": "digits", "version": "1", "ready": True}


def test_the_release_is_the_file(server, released) -> None:
    assert server.get(f"{DIGITS}/release").json() == json.loads((released.models / "digits/1/release.json").read_text())


def test_the_self_test_can_be_repeated(server) -> None:
    document = server.get(f"{DIGITS}/self-test").json()
    assert (document["passed"], document["samples"]) == (True, 3)


def test_an_inference_in_json(server, released) -> None:
    golden = expected(released, "digits")
    entry = IMAGE | {"data": golden["input/image"][0].tolist()}
    answer = server.post(f"{DIGITS}/infer", json={"id": "42", "inputs": [entry]}, headers={"x-request-id": "abc"})
    assert answer.status_code == 200 and answer.headers["x-request-id"] == "abc"
    document = answer.json()
    assert (document["model_name"], document["model_version"], document["id"]) == ("digits", "1", "42")
    assert [output["shape"] for output in document["outputs"]] == [[1, 10], [1, 10]]
    for output in document["outputs"]:
        assert np.abs(np.array(output["data"]) - golden[f"output/{output['name']}"][0].ravel()).max() < 1e-3


def test_a_batch_gives_what_its_rows_give(server, released) -> None:
    golden = expected(released, "digits")
    images = golden["input/image"].reshape(3, 1, 8, 8)
    entry = {"name": "image", "datatype": "FP32", "shape": [3, 1, 8, 8], "data": images.ravel().tolist()}
    document = server.post(f"{DIGITS}/infer", json={"inputs": [entry], "outputs": [{"name": "logits"}]}).json()
    (logits,) = document["outputs"]
    assert np.abs(np.array(logits["data"]).reshape(3, 10) - golden["output/logits"].reshape(3, 10)).max() < 1e-3


def binary(arrays: dict[str, tuple[str, np.ndarray]], **more: object) -> dict:
    """Body and headers of a binary request."""
    chunks = [array.tobytes() for _, array in arrays.values()]
    inputs = [
        {"name": name, "datatype": kind, "shape": list(array.shape), "parameters": {"binary_data_size": array.nbytes}}
        for name, (kind, array) in arrays.items()
    ]
    head = json.dumps({"inputs": inputs, **more}).encode()
    return {
        "data": head + b"".join(chunks),
        "headers": {
            "Inference-Header-Content-Length": str(len(head)),
            "Content-Type": "application/octet-stream",
        },
    }


def test_an_inference_in_binary_both_ways(server) -> None:
    ids = np.array([[5, 6, 7, 2**20]])
    mask = np.array([[True, True, False, True]])
    request = binary({"mask": ("BOOL", mask), "ids": ("INT64", ids)}, parameters={"binary_data_output": True})
    answer = server.post("/v2/models/mixed/infer", **request)
    length = int(answer.headers["Inference-Header-Content-Length"])
    assert answer.headers["content-type"] == "application/octet-stream"
    assert json.loads(answer.content[:length])["outputs"][0]["parameters"] == {"binary_data_size": 8}
    assert np.frombuffer(answer.content[length:], "<i8").tolist() == [11 + 2**20]


def test_binary_in_json_out_and_the_reverse(server) -> None:
    image = np.zeros((1, 1, 8, 8), np.float32)
    answer = server.post(f"{DIGITS}/infer", **binary({"image": ("FP32", image)}))
    assert [len(output["data"]) for output in answer.json()["outputs"]] == [10, 10]
    wanted = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    answer = server.post(f"{DIGITS}/infer", json={**BODY, "outputs": wanted})
    length = int(answer.headers["Inference-Header-Content-Length"])
    assert np.frombuffer(answer.content[length:], "<f4").sum() == pytest.approx(1.0, abs=1e-5)


def test_nan_goes_through_in_binary_and_is_refused_in_json(tmp_path: Path, start, tools) -> None:
    import openvino as ov
    from openvino import opset13 as op

    given = tools.named(op.parameter([2], ov.Type.f32), "x")
    tools.plain(tmp_path, "m", ov.Model([tools.named(op.concat([given, given], 0), "y")], [given], "m"))
    server = start(tmp_path).wait_ready()
    values = {"x": ("FP32", np.array([np.nan, np.inf], np.float32))}
    answer = server.post("/v2/models/m/infer", **binary(values))
    assert answer.status_code == 400 and "output 'y': holds NaN" in answer.json()["error"]
    answer = server.post("/v2/models/m/infer", **binary(values, parameters={"binary_data_output": True}))
    assert answer.status_code == 200
    assert np.isnan(np.frombuffer(answer.content[-16:], "<f4")).tolist() == [True, False, True, False]


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 2**62])
def test_integers_that_openvino_would_cut_off_are_refused(server, value: int) -> None:
    ids = {"name": "ids", "datatype": "INT64", "shape": [1, 4], "data": [0, 0, 0, value]}
    mask = {"name": "mask", "datatype": "BOOL", "shape": [1, 4], "data": [True] * 4}
    answer = server.post("/v2/models/mixed/infer", json={"inputs": [ids, mask]})
    assert answer.status_code == 400 and "input 'ids': holds a value outside" in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/", 404, "no such path '/'"),
        ("GET", "/v1/models/digits", 404, "start at /v2"),
        ("GET", "/v2/models", 404, "no such path"),
        ("GET", f"{DIGITS}/nonsense", 404, "no such path"),
        ("GET", "/v2/models/none", 404, "no model 'none'; there are digits, mixed"),
        ("POST", "/v2/models/none/infer", 404, "no model 'none'"),
        ("POST", f"{DIGITS}/versions/7/infer", 404, "no version '7' of model 'digits'; there are 1"),
        ("GET", f"{DIGITS}/versions/x/ready", 404, "no version 'x'"),
        ("GET", "/v2/models/%2e%2e%2fetc/release", 404, ""),
        ("GET", "/v2/models/%ff%fe", 404, "no model"),
        ("GET", f"{DIGITS}/infer", 405, "use POST"),
        ("DELETE", DIGITS, 405, "use GET, HEAD"),
        ("POST", "/v2/health/ready", 405, "use GET"),
        ("PUT", "/metrics", 405, "use GET"),
    ],
)
def test_paths_and_methods(server, method: str, path: str, status: int, message: str) -> None:
    answer = server.session.request(method, server.url(path), timeout=30)
    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert ("allow" in answer.headers) == (status == 405)


def test_head_is_get_without_a_body(server) -> None:
    answer = server.session.head(server.url("/v2/health/ready"), timeout=30)
    assert (answer.status_code, answer.content) == (200, b"")


def raw(server, request: bytes, half_close: bool = False) -> bytes:
    """Bytes sent as they are; all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(request)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET /v2/models/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_400(server, request_bytes: bytes) -> None:
    head, _, body = raw(server, request_bytes).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert json.loads(body) == {"error": "this is no HTTP request"}
    assert (headers[b"content-type"], headers[b"connection"]) == (b"application/json", b"close")
    assert int(headers[b"content-length"]) == len(body)
    line = next(line for line in server.lines() if line.get("request_id") == headers[b"x-request-id"].decode())
    assert (line["message"], line["status"], line["level"]) == ("request", 400, "info")


def test_an_inference_whose_body_is_no_http_is_logged_and_counted(server) -> None:
    series = 'nearedge_requests_total{model="digits",version="1",protocol="rest",code="400"} '

    def counted() -> int:
        lines = server.get("/metrics").text.splitlines()
        return sum(int(line.removeprefix(series)) for line in lines if line.startswith(series))

    before = counted()
    head = b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nX-Request-Id: no-chunk\r\n"
    assert b"x-request-id: no-chunk\r\n" in raw(server, head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
    found = [line for line in server.lines() if line.get("request_id") == "no-chunk"]
    assert [(line["path"], line["model"], line["status"]) for line in found] == [(f"{DIGITS}/infer", "digits", 400)]
    assert counted() == before + 1


def test_chunked_and_pipelined_requests(server) -> None:
    content = json.dumps(BODY).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (content[:50], content[50:])) + b"0\r\n\r\n"
    head = b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n%s\r\n"
    asked = (head % b"" + chunks) * 2 + head % b"Connection: close\r\n" + chunks
    assert raw(server, asked).count(b"HTTP/1.1 200") == 3


def test_a_client_that_leaves_in_the_middle_harms_nobody(server) -> None:
    head = b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
    raw(server, head, half_close=True)
    assert server.post(f"{DIGITS}/infer", json=BODY).status_code == 200


def test_the_log_says_who_and_what_but_no_payload(server) -> None:
    secret = 0.123456789
    entry = IMAGE | {"data": [secret] * 64}
    server.post(f"{DIGITS}/infer", json={"inputs": [entry]}, headers={"x-request-id": "find-me"})
    server.post(f"{DIGITS}/infer", json=BODY, headers={"x-request-id": "a b\tc" * 50})
    line = next(line for line in server.lines() if line.get("request_id") == "find-me")
    assert (line["status"], line["model"], line["version"], line["level"]) == (200, "digits", "1", "info")
    assert line["path"] == f"{DIGITS}/infer" and line["duration_ms"] > 0
    assert str(secret) not in server.log.read_text()
    assert "a b" not in server.log.read_text()


def test_requests_are_counted_by_what_exists(server) -> None:
    server.post(f"{DIGITS}/infer", json=BODY)
    server.post("/v2/models/made-up-by-a-client/infer", json=BODY)
    server.post(f"{DIGITS}/infer", data=b"x", headers={"Inference-Header-Content-Length": "1"})
    text = server.get("/metrics").text
    assert re.search(r'nearedge_requests_total{model="digits",version="1",protocol="rest",code="200"} \d+', text)
    assert re.search(r'nearedge_requests_total{model="digits",version="1",protocol="rest-binary",code="400"} \d+', text)
    assert re.search(r'nearedge_requests_total{model="",version="",protocol="rest",code="404"} \d+', text)
    assert "made-up-by-a-client" not in text
    assert 'nearedge_requests_in_flight{model="digits",version="1"} 0' in text


def test_large_answers_arrive_whole(tmp_path: Path, start, tools) -> None:
    import openvino as ov
    from openvino import opset13 as op

    given = tools.named(op.parameter([-1, 1000], ov.Type.f32), "x")
    tools.plain(tmp_path, "m", ov.Model([tools.named(op.concat([given, given], 0), "y")], [given], "m"))
    server = start(tmp_path).wait_ready()
    values = np.random.default_rng(5).random((400, 1000), dtype=np.float32)
    answer = server.post("/v2/models/m/infer", **binary({"x": ("FP32", values)}))
    found = np.array(answer.json()["outputs"][0]["data"], np.float32).reshape(800, 1000)
    assert (found == np.concatenate([values, values])).all()
    answer = server.post(
        "/v2/models/m/infer", **binary({"x": ("FP32", values)}, parameters={"binary_data_output": True})
    )
    assert answer.content.endswith(values.tobytes() * 2)


def test_shapes_that_the_model_cannot_compute_with_are_400(tmp_path: Path, start, tools) -> None:
    import openvino as ov
    from openvino import opset13 as op

    left = tools.named(op.parameter([-1, -1], ov.Type.f32), "left")
    right = tools.named(op.parameter([-1, -1], ov.Type.f32), "right")
    product = tools.named(op.matmul(left, right, False, False), "product")
    tools.plain(tmp_path, "m", ov.Model([product], [left, right], "m"))
    server = start(tmp_path).wait_ready()

    def post(inner: int):
        matrices = {"left": ("FP32", np.ones((2, 3), np.float32)), "right": ("FP32", np.ones((inner, 2), np.float32))}
        return server.post("/v2/models/m/infer", **binary(matrices))

    answer = post(4)
    assert answer.status_code == 400 and "cannot compute with these shapes" in answer.json()["error"]
    assert post(3).json()["outputs"][0]["data"] == [3.0] * 4


@pytest.mark.parametrize("scope", [{"type": "lifespan"}, {"type": "websocket"}])
def test_what_is_no_request_is_left_alone(scope: dict) -> None:
    asyncio.run(App(dataplane())(scope, None, None))


def dataplane() -> DataPlane:
    """A data plane of no models."""
    given = settings.parse(["--models=/nonexistent"], {})
    return DataPlane(Repository(given.models), given, Telemetry())


def test_what_nobody_foresaw_is_500_and_a_line_in_the_log(monkeypatch, caplog) -> None:
    plane = dataplane()
    monkeypatch.setattr(plane, "server_metadata", lambda: 1 / 0)
    monkeypatch.setattr(logs.LOGGER, "propagate", True)
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(App(plane)({"type": "http", "method": "GET", "path": "/v2", "headers": []}, None, send))
    assert sent[0]["status"] == 500
    assert json.loads(sent[1]["body"]) == {"error": "internal error; the server's log says more"}
    assert "internal error" in caplog.text


def test_a_self_test_that_runs_already_is_not_begun_again(released) -> None:
    plane = dataplane()
    entry = Entry("digits", "1", released.models / "digits/1", "ready", "", Loaded(None, None), None, testing=True)
    plane.repository.models["digits"] = {"1": entry}
    with pytest.raises(UnavailableError, match="runs already"):
        asyncio.run(plane.self_test("digits", None))
    assert plane.model_readiness("digits", None)["ready"]
    plane.draining = True
    assert plane.model_readiness("digits", None)["error"] == "shutting down"


def test_nothing_here_was_an_internal_error(server) -> None:
    assert not [line for line in server.lines() if line.get("status") == 500 or line["message"] == "internal error"]


def test_values_that_the_model_cannot_compute_with_are_400(tmp_path: Path, start, tools) -> None:
    import openvino as ov
    from openvino import opset13 as op

    sizes = tools.named(op.parameter([2], ov.Type.i32), "sizes")
    shaped = tools.named(op.reshape(op.constant(np.arange(6, dtype=np.float32)), sizes, False), "y")
    tools.plain(tmp_path, "m", ov.Model([shaped], [sizes], "m"))
    server = start(tmp_path).wait_ready()
    for _ in range(3):
        answer = server.post("/v2/models/m/infer", **binary({"sizes": ("INT32", np.array([4, 4], np.int32))}))
        assert answer.status_code == 400 and "cannot compute with these values" in answer.json()["error"]
    answer = server.post("/v2/models/m/infer", **binary({"sizes": ("INT32", np.array([2, 3], np.int32))}))
    assert answer.json()["outputs"][0]["shape"] == [2, 3]
