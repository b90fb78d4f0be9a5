"""Nothing is reported: not on import, not on conversion, not on quantisation, whatever the home folder says."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from converters import telemetry

WATCHED = """
import socket, sys, time

def refused(what):  # into a file: telemetry is sent by a forked process
    with open(sys.argv[2], "a") as log:
        log.write(f"{what} ")
    raise OSError("no network in this test")

socket.socket.connect = socket.socket.connect_ex = lambda self, address, *rest: refused(address)
socket.getaddrinfo = lambda host, *rest, **more: refused(host)
%s
import openvino as ov, nncf, numpy as np
model = ov.convert_model(sys.argv[1])
nncf.quantize(model, nncf.Dataset([np.zeros((1, 3, 8, 8), "f4")]), subset_size=1)
try:
    ov.convert_model(sys.argv[1] + ".none")
except Exception:
    pass
time.sleep(0.5)
"""
OFF = "import converters\n"


def asked_for(models, tmp_path, before):
    """What a process that converts and quantises tried to reach, with a home folder that agreed to telemetry."""
    home = tmp_path / "home"
    (home / "intel").mkdir(parents=True)
    (home / "intel" / "openvino_telemetry").write_text("1")
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}  # neither CI nor anything else that would stop it
    log = tmp_path / "asked"
    log.touch()
    command = [sys.executable, "-c", WATCHED % before, str(models.path("onnx")), str(log)]
    subprocess.run(command, capture_output=True, check=True, env=environment)
    return log.read_text()


def test_no_host_is_asked_for(models, tmp_path):
    assert asked_for(models, tmp_path, OFF) == ""


def test_the_watch_sees_what_openvino_sends_where_it_is_on(models, tmp_path):
    assert "google" in asked_for(models, tmp_path, "")


def test_off_makes_the_import_fail(monkeypatch):
    monkeypatch.delitem(sys.modules, telemetry.PACKAGE, raising=False)
    telemetry.off()
    with pytest.raises(ImportError):
        __import__(telemetry.PACKAGE)
    telemetry.off()


def test_off_drops_what_an_imported_package_sends(monkeypatch):
    class TelemetrySender:
        def send(self, *message):
            raise AssertionError(message)

    monkeypatch.setitem(sys.modules, telemetry.PACKAGE, ModuleType(telemetry.PACKAGE))
    sender = SimpleNamespace(TelemetrySender=TelemetrySender)
    monkeypatch.setitem(sys.modules, f"{telemetry.PACKAGE}.utils.sender", sender)
    telemetry.off()
    TelemetrySender().send("backend", "message")
    monkeypatch.delitem(sys.modules, f"{telemetry.PACKAGE}.utils.sender")
    telemetry.off()


def test_onnx_runtime_is_told_by_the_variable_that_it_knows(monkeypatch):
    """Seen without it: CONNECT mobile.events.data.microsoft.com:443, by version 1.32 on Linux."""
    monkeypatch.delenv(telemetry.OF_ONNX_RUNTIME, raising=False)
    telemetry.off()
    assert os.environ[telemetry.OF_ONNX_RUNTIME] == "1"
    folder = Path(importlib.util.find_spec("onnxruntime").origin).parent / "capi"
    assert any(telemetry.OF_ONNX_RUNTIME.encode() in path.read_bytes() for path in folder.glob("*.so*"))
