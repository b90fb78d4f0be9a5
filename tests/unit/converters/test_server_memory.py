"""The server as a program under load; what is sent to it, and what is said where it cannot answer."""

import json
import os

import numpy as np
import pytest

from converters import confinement, server_memory
from nearedge.errors import InputError, MachineError
from nearedge.files import sha256_file
from nearedge.release import description, record
from nearedge.release.sections import RuntimeConfiguration
from tests.unit.converters.test_regression import RECORD

HELD = confinement.Share(1.0, 512, None, None)
RUNTIME = RuntimeConfiguration(inference_precision="f32", performance_hint="LATENCY", streams=1, threads=1)


def described(dtype="FP32", shape="[-1, 3, 8, 8]"):
    text = (
        f"schema: 1\nname: digits\nsource: {{path: m.onnx}}\n"
        f"inputs: [{{name: image, shape: {shape}, dtype: {dtype}}}]\n"
        "outputs: [{name: logits}, {name: probabilities}]\n"
    )
    return description.parse(text, "model.yaml")


def identity(folder):
    ports = [one.model_copy(update={"name": name}) for name, one in
             zip(("image", "logits", "probabilities"), RECORD.identity.ir.inputs * 3, strict=True)]  # fmt: skip
    ir = RECORD.identity.ir.model_copy(
        update={
            "inputs": ports[:1],
            "outputs": ports[1:],
            **{f"{kind}_sha256": sha256_file(folder / f"model.{kind}") for kind in ("xml", "bin")},
        }
    )
    return RECORD.identity.model_copy(update={"name": "digits", "ir": ir, "runtime": RUNTIME})


def peak(release, folder, feed):
    xml = release / "ir/f32/model.xml"
    cores = [max(os.sched_getaffinity(0))]
    return server_memory.peak_mib(described(), xml, identity(xml.parent), [feed], cores, HELD, folder, 0.1, 2)


def test_the_servers_peak_under_load(digits_release, tmp_path):
    assert 50 < peak(digits_release, tmp_path, {"image": np.zeros((1, 3, 8, 8), "f4")}) < 1000


def test_samples_that_the_server_refuses_are_one_line(digits_release, tmp_path):
    with pytest.raises(InputError, match=r"does not answer the samples of .* data: 400"):
        peak(digits_release, tmp_path, {"image": np.zeros((1, 3, 9, 9), "f4")})


def test_a_server_that_ends_says_why(tmp_path):
    folder = tmp_path / "none"
    folder.write_text("")
    with (
        server_memory.started(folder, 1, list(os.sched_getaffinity(0)), HELD, tmp_path / "log") as (process, port),
        pytest.raises(MachineError, match="did not become ready"),
    ):
        process.kill()
        process.wait()
        server_memory.wait_ready(process, port, tmp_path / "log")
    with pytest.raises(MachineError, match="ended under load"):
        server_memory.high_water_mib(process.pid)


@pytest.mark.parametrize("dtype,array,sent", [
    ("FP32", np.array([[1.5]], "f4"), np.array([1.5], "<f4").tobytes()),
    ("BF16", np.array([[1.0]], "f4"), b"\x80\x3f"),
    ("INT64", np.array([[2]], "i8"), np.array([2], "<i8").tobytes()),
])  # fmt: skip
def test_requests_are_binary_tensors(dtype, array, sent):
    first, second = server_memory.requests(described(dtype, "[-1, 1]"), [{"image": array}])
    head = json.loads(first.body[: first.header])
    assert first.body[first.header :] == sent and head["parameters"] == {"binary_data_output": True}
    [given] = head["inputs"]
    assert given["datatype"] == dtype and given["parameters"]["binary_data_size"] == len(sent)
    assert json.loads(second.body[: second.header])["parameters"] == {"binary_data_output": False}


def test_the_layout_is_the_images(digits_release, tmp_path):
    xml = digits_release / "ir/f32/model.xml"
    server_memory.lay_out(tmp_path / "models", xml, identity(xml.parent))
    [folder] = (tmp_path / "models/digits").iterdir()
    assert {one.name for one in folder.iterdir()} == {"model.xml", "model.bin", record.IDENTITY_FILE}
    assert json.loads((folder / record.IDENTITY_FILE).read_text())["golden"] is None
