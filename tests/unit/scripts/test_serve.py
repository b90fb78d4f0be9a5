"""`nearedge serve` on folders, layouts and what is neither."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import openvino
import pytest
from openvino import opset13 as ops

from nearedge.errors import InputError, MachineError, UsageError
from scripts import serve


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of models with one in it: y = x + 1."""
    x = ops.parameter([1, 2], openvino.Type.f32, name="x")
    y = ops.add(x, ops.constant([[1.0, 1.0]], openvino.Type.f32))
    y.output(0).set_names({"y"})
    x.output(0).set_names({"x"})
    folder = tmp_path_factory.mktemp("models")
    (folder / "plus" / "1").mkdir(parents=True)
    openvino.save_model(openvino.Model([y], [x], "plus"), folder / "plus" / "1" / "model.xml")
    return folder


def infer(url):
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
    request = urllib.request.Request(f"{url}/v2/models/plus/infer", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["outputs"][0]["data"]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_folder_is_served_until_ctrl_c(models, tmp_path, ending):
    log = tmp_path / "logs" / "serve.log"
    argv = [sys.executable, "-m", "scripts.serve", str(models), "--port=0", "--grpc-port=0", f"--log={log}"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        url = program.stdout.readline().strip()
        assert infer(url) == [2.0, 3.0]
        program.send_signal(ending)
        _, said = program.communicate(timeout=30)
    assert program.returncode == 0
    assert f"serving at {url}, gRPC at 127.0.0.1:" in said and f"(log: {log})" in said
    assert "Traceback" not in said + log.read_text()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{url}/v2", timeout=30)


def test_a_second_ctrl_c_leaves_no_server_behind(models, tmp_path):
    argv = [
        sys.executable,
        "-m",
        "scripts.serve",
        str(models),
        "--port=0",
        "--grpc-port=0",
        f"--log={tmp_path / 'serve.log'}",
    ]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        url = program.stdout.readline().strip()
        while program.poll() is None:
            program.send_signal(signal.SIGINT)
            time.sleep(0.001)
        _, said = program.communicate(timeout=30)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{url}/v2", timeout=30)
    assert program.returncode == 0
    assert "interrupted" not in said


def test_what_names_an_image(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "release" / "image").mkdir(parents=True)
    (tmp_path / "release" / "image" / "index.json").write_text("{}")
    layout = tmp_path / "release" / "image"
    digest = "sha256:" + "1" * 64
    assert serve.reference("oci:release/image:t") == (f"oci:{layout}:t", (layout,))
    assert serve.reference(f"oci:{layout}:t@{digest}") == (f"oci:{layout}:t@{digest}", (layout,))
    assert serve.reference(f"oci:{layout}@{digest}") == (f"oci:{layout}@{digest}", (layout,))
    assert serve.reference("release") == (f"oci:{layout}", (layout,))
    assert serve.reference("release/image") == (f"oci:{layout}", (layout,))
    assert serve.reference(f"registry.example.com/a@{digest}") == (f"registry.example.com/a@{digest}", ())


def test_a_release_is_no_folder_of_models(models, tmp_path):
    (tmp_path / "ir" / "deployed").mkdir(parents=True)
    (tmp_path / "ir" / "deployed" / "model.xml").write_text("<net/>")
    assert not serve.holds_models(tmp_path)
    assert not serve.holds_models(tmp_path / "absent")
    assert serve.holds_models(models)


@pytest.mark.parametrize("what", [".", "./absent", "/absent"])
def test_what_is_nothing_to_serve(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="neither a layout"):
        serve.reference(what)


def test_a_taken_port_is_told_before_anything_starts(models, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(MachineError, match=f"port {port}: cannot be used"):
            serve.run(str(models), port, None, tmp_path / "log")
    with pytest.raises(UsageError, match="port 70000"):
        serve.free_port(70000)
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(("given", "error"), [("x", UsageError), ("70000", UsageError)])
def test_what_is_no_port_for_grpc(models, tmp_path, given, error):
    with pytest.raises(error, match="--grpc-port"):
        serve.run(str(models), 0, None, tmp_path / "log", given)


def test_a_server_that_ends_or_is_never_ready_is_told_with_its_last_words(models, tmp_path, monkeypatch):
    monkeypatch.setenv("NEAREDGE_QUEUE", "many")
    with pytest.raises(MachineError, match=r"ended with status 2: .*many.* \(see "):
        serve.run(str(models), 0, None, tmp_path / "log")
    monkeypatch.delenv("NEAREDGE_QUEUE")
    broken = tmp_path / "broken"
    (broken / "m" / "1").mkdir(parents=True)
    (broken / "m" / "1" / "model.xml").write_text("<no-model/>")
    monkeypatch.setattr(serve, "READY_S", 3.0)
    with pytest.raises(MachineError, match=r"not ready after 3 s: .*model.* \(see "):
        serve.run(str(broken), 0, None, tmp_path / "log2")


def test_main_says_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(serve.signal, "signal", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    assert serve.main(["./absent", "--port=0", "--grpc-port=0"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert serve.default_log() == Path.cwd() / ".nearedge" / "serve.log"
