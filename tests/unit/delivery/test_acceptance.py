"""A running server is held against the release in a workspace; the server here is the real one."""

import importlib.util
import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from nearedge.delivery import acceptance, serving_client
from nearedge.delivery.serving_client import ServingClient, decode, encode, from_bytes, to_bytes
from nearedge.errors import GateError, InputError
from nearedge.release import record, sections

SPEC = importlib.util.spec_from_file_location(
    "serving_fixtures", Path(__file__).parents[1] / "serving_image" / "conftest.py"
)
serving = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(serving)
released, server, start = serving.released, serving.server, serving.start


@pytest.mark.parametrize(("name", "samples"), [("digits", 3), ("mixed", 1)])
def test_a_good_image_is_accepted(released, server, name: str, samples: int) -> None:
    outcome = acceptance.accept(released.workspaces[name], server.port, 30)
    assert (outcome.samples, outcome.decisions_held) == (samples, samples)
    assert outcome.largest_difference <= 1e-3
    assert 0 < outcome.ready_ms < 60_000


def test_a_release_without_golden_samples_gets_a_synthetic_request(tmp_path: Path, start: Callable, capsys) -> None:
    release = serving.digits()
    release.samples = []
    serving.write_workspace(tmp_path / "w", release)
    serving.write_folder(tmp_path / "models", tmp_path / "w", release)
    outcome = acceptance.accept(tmp_path / "w", start(tmp_path / "models").port, 30)
    assert (outcome.samples, outcome.decisions_held, outcome.largest_difference) == (0, 0, 0.0)
    assert "synthetic" in capsys.readouterr().err


def test_the_reason_of_a_server_that_never_gets_ready_is_told_at_once(
    released, tmp_path: Path, start: Callable
) -> None:
    shutil.copytree(released.models / "digits", tmp_path / "models/digits")
    with (tmp_path / "models/digits/1/model.bin").open("r+b") as file:
        file.write(b"\xff\xff")
    with pytest.raises(GateError, match=r"model\.bin is damaged"):
        acceptance.accept(released.workspaces["digits"], start(tmp_path / "models").port, 30)


def test_another_release_on_the_port_is_noticed(released, server, tmp_path: Path) -> None:
    shutil.copytree(released.workspaces["digits"], tmp_path / "w")
    path = tmp_path / "w/release/optimization.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"bin_sha256": "0" * 64}))
    with pytest.raises(GateError, match="another release: ir differ"):
        acceptance.accept(tmp_path / "w", server.port, 30)


def test_another_model_on_the_port_is_noticed(released, server, tmp_path: Path) -> None:
    shutil.copytree(released.workspaces["digits"], tmp_path / "w")
    path = tmp_path / "w/release/source.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"name": "other"}))
    with pytest.raises(GateError, match=r"no model 'other'.*another server"):
        acceptance.accept(tmp_path / "w", server.port, 30)


def test_nothing_on_the_port(released) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(GateError, match="nothing answers"):
        acceptance.accept(released.workspaces["digits"], port, 0.2)


@pytest.fixture
def web() -> Iterator[Callable[[int, bytes], int]]:
    """A function that starts a web server which always answers the same; its port."""
    servers = []

    def begin(status: int, body: bytes) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815 - the name that http.server looks for

            def log_message(self, *_: object) -> None:
                """Quiet."""

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1].server_port

    yield begin
    for one in servers:
        one.shutdown()
        one.server_close()


def test_a_server_of_something_else_on_the_port(released, web: Callable[[int, bytes], int]) -> None:
    with pytest.raises(GateError, match=r"404.*another server"):
        acceptance.accept(released.workspaces["digits"], web(404, b"nothing here"), 0.1)


def test_a_server_of_something_else_is_not_waited_out(web: Callable[[int, bytes], int], monkeypatch) -> None:
    monkeypatch.setattr(serving_client, "FOREIGN_S", 0.2)
    with pytest.raises(GateError, match=r"another server on this port\? \(waited 0 s\)"):
        ServingClient(web(404, b"nothing here")).wait_ready(15)


def test_a_server_that_says_ready_to_everything(released, web: Callable[[int, bytes], int]) -> None:
    with pytest.raises(GateError, match="another server"):
        acceptance.accept(released.workspaces["digits"], web(200, b"ok"), 1)


def test_a_server_that_answers_malformed_requests_is_refused(released, web: Callable[[int, bytes], int]) -> None:
    expected = record.identity(released.workspaces["digits"], "")
    with pytest.raises(GateError, match="an empty body was answered with status 200"):
        acceptance.check_refusals(ServingClient(web(200, b"{}")), "/v2/models/digits", expected)


def test_unreadable_answers_are_refused(released, web: Callable[[int, bytes], int]) -> None:
    inputs = record.identity(released.workspaces["digits"], "").ir.inputs
    for body in (b"[]", b"{}", b'{"outputs": [{"name": "y"}]}'):
        with pytest.raises(GateError, match="cannot be read"):
            ServingClient(web(200, body)).infer("/m", inputs, acceptance.synthetic(inputs), binary=False)
    with pytest.raises(GateError, match="status 500: no reason"):
        ServingClient(web(500, b"")).infer("/m", inputs, acceptance.synthetic(inputs), binary=True)


def test_json_too_large_for_the_server_is_left_to_binary(released, start: Callable, capsys) -> None:
    running = start(released.models, "--max-json-mib=0.001")
    outcome = acceptance.accept(released.workspaces["digits"], running.port, 30)
    assert outcome.samples == 3
    assert "binary only" in capsys.readouterr().err


def test_changed_golden_samples_are_the_workspaces_fault(released, server, tmp_path: Path) -> None:
    shutil.copytree(released.workspaces["digits"], tmp_path / "w")
    (tmp_path / "w/golden/golden.npz").write_bytes(b"changed")
    with pytest.raises(InputError, match="run verify-model again"):
        acceptance.accept(tmp_path / "w", server.port, 30)


def test_a_golden_file_of_something_else(released, tmp_path: Path) -> None:
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden/golden.npz").write_bytes(b"no archive")
    golden = sections.read(released.workspaces["digits"], sections.GoldenSection).model_copy(
        update={"sha256": serving.sha256(tmp_path / "golden/golden.npz")}
    )
    with pytest.raises(InputError, match="no set of plain arrays"):
        acceptance.golden_arrays(tmp_path, golden)


def test_metadata_of_other_tensors_is_refused(released) -> None:
    expected = record.identity(released.workspaces["digits"], "")
    with pytest.raises(GateError, match="other inputs"):
        acceptance.check_metadata(expected, {"inputs": [], "outputs": []})


def test_a_failed_self_test_is_told() -> None:
    with pytest.raises(GateError, match="too far"):
        acceptance.check_self_test({"passed": False, "reason": "too far"})


TOP1 = sections.Tolerance(output="y", kind="top1", value=0.0, close=0.1)
VALUE = sections.Tolerance(output="y", kind="value", value=0.5, close=0.1)


@pytest.mark.parametrize(
    ("tolerance", "got", "same", "message"),
    [
        (TOP1, [[0.0, 1.05]], True, ""),
        (TOP1, [[0.0, 1.2]], True, "instruction set"),
        (TOP1, [[0.0, 1.2]], False, ""),
        (TOP1, [[1.0, 0.0]], False, "another class"),
        (TOP1, [[np.nan, 1.0]], False, "NaN"),
        (VALUE, [[0.0, 1.4]], False, ""),
        (VALUE, [[0.0, 1.6]], False, "allowed 0.5"),
        (VALUE, [[0.0, 1.4]], True, "allowed 0.1"),
        (VALUE, [0.0, 1.0], True, "expected \\[1, 2\\]"),
        (VALUE, None, True, "missing"),
    ],
)
def test_an_output_is_held_to_its_tolerance(tolerance, got, same: bool, message: str) -> None:
    wanted = np.array([[0.0, 1.0]])
    answer = None if got is None else np.array(got)
    if message:
        with pytest.raises(GateError, match=message):
            acceptance.held("here", tolerance, wanted, answer, same=same)
    else:
        assert acceptance.held("here", tolerance, wanted, answer, same=same) == pytest.approx(
            np.abs(wanted - answer).max()
        )


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("datatype", list(acceptance.DTYPES))
def test_a_request_holds_what_a_response_gives_back(datatype, binary: bool) -> None:
    spec = sections.TensorSpec(name="x", datatype=datatype, shape=[2, 3])
    dtype = "<f4" if datatype == "BF16" else acceptance.DTYPES[datatype]
    array = np.array([[0, 1, 0], [1, 1, 0]], dtype)
    body, headers = encode([spec], {"x": array}, binary=binary)
    length = headers.get("Inference-Header-Content-Length")
    echoed = body.replace(b'"inputs"', b'"outputs"')
    found = decode(echoed, length and str(int(length) + 1))
    assert found["x"].dtype == array.dtype
    assert (found["x"] == array).all()
    assert (from_bytes(datatype, to_bytes(datatype, array)) == array.ravel()).all()
