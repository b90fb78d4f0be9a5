"""What keeps the server from being ready, seen from outside: the process stays, and says why everywhere."""

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from serving_image import loader

BODY = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.0] * 64}]}


def flip(path: Path) -> None:
    """Change one byte in the middle."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0xFF]))


def edit(path: Path, change: Callable[[dict], object]) -> None:
    """Change release.json."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def wrong_answers(folder: Path) -> None:
    """Golden answers of another model, with the right checksum."""
    import hashlib

    with np.load(folder / "golden.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["output/logits"] = -arrays["output/logits"]
    with (folder / "golden.npz").open("wb") as file:
        np.savez(file, **arrays)
    digest = hashlib.sha256((folder / "golden.npz").read_bytes()).hexdigest()
    edit(folder / "release.json", lambda document: document["golden"].update(sha256=digest))


DAMAGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "bin-flipped": (lambda folder: flip(folder / "model.bin"), "damaged", "model.bin is damaged: its sha256 is"),
    "xml-flipped": (lambda folder: flip(folder / "model.xml"), "damaged", "model.xml is damaged"),
    "bin-gone": (lambda folder: (folder / "model.bin").unlink(), "missing", "model.bin is missing"),
    "xml-gone": (lambda folder: (folder / "model.xml").unlink(), "missing", "no .xml files"),
    "golden-gone": (lambda folder: (folder / "golden.npz").unlink(), "missing", "golden.npz cannot be read"),
    "golden-flipped": (lambda folder: flip(folder / "golden.npz"), "damaged", "golden.npz is damaged"),
    "wrong-answers": (wrong_answers, "self-test", "failed its self-test: output 'logits': 0 of 3 decisions held"),
    "no-json": (lambda folder: (folder / "release.json").write_text("{"), "record", "release.json is not JSON"),
    "no-object": (lambda folder: (folder / "release.json").write_text("[]"), "record", "is no JSON object"),
    "no-inputs": (
        lambda folder: edit(folder / "release.json", lambda document: document["ir"].pop("inputs")),
        "record",
        "ir.inputs is missing",
    ),
    "other-inputs": (
        lambda folder: edit(
            folder / "release.json", lambda document: document["ir"]["inputs"][0].update(name="picture")
        ),
        "record",
        "names the inputs ['picture'], the model has ['image']",
    ),
    "json-is-a-folder": (
        lambda folder: ((folder / "release.json").unlink(), (folder / "release.json").mkdir()),
        "record",
        "release.json cannot be read: Is a directory",
    ),
}


@pytest.fixture(scope="module")
def damaged(released, tools, tmp_path_factory: pytest.TempPathFactory):
    """A server of a good model and of one for each damage."""
    root = tmp_path_factory.mktemp("damaged")
    shutil.copytree(released.models / "mixed", root / "models/mixed")
    for name, (damage, _, _) in DAMAGES.items():
        shutil.copytree(released.models / "digits", root / "models" / name)
        damage(root / "models" / name / "1")
    with tools.started(root / "models", root / "log") as server:
        server.wait_settled()
        yield server


@pytest.mark.parametrize(("name", "kind", "message"), [(name, *rest) for name, (_, *rest) in DAMAGES.items()])
def test_a_model_at_fault_says_why_everywhere(damaged, name: str, kind: str, message: str) -> None:
    document = damaged.get("/v2/health/ready").json()
    assert (document["ready"], document["state"]) == (False, "failed")
    assert message in document["error"]
    (model,) = [model for model in document["models"] if model["name"] == name]
    assert model["state"] == "failed" and message in model["reason"]
    answer = damaged.get(f"/v2/models/{name}/ready")
    assert answer.status_code == 503 and message in answer.json()["error"]
    answer = damaged.post(f"/v2/models/{name}/infer", json=BODY)
    assert answer.status_code == 503 and message in answer.json()["error"]
    lines = [line for line in damaged.lines() if line.get("model") == name]
    assert any(line["level"] == "error" and message in line["message"] for line in lines)
    text = damaged.get("/metrics").text
    assert f'nearedge_model_failed{{model="{name}",version="1",reason="{kind}"}} 1' in text
    assert f'nearedge_model_ready{{model="{name}",version="1"}} 0' in text
    tested = kind == "self-test" or name.startswith("golden-")
    assert (f'nearedge_self_test_passed{{model="{name}",version="1"}} 0' in text) == tested
    answer = damaged.get(f"/v2/models/{name}/self-test")
    assert answer.status_code == 503 and message.removeprefix("failed its self-test: ") in answer.text


def test_samples_that_are_lost_later_fail_the_self_test_then(tmp_path: Path, released, start) -> None:
    shutil.copytree(released.models / "digits", tmp_path / "models/digits")
    server, metric = start(tmp_path / "models").wait_ready(), 'nearedge_self_test_passed{model="digits",version="1"}'
    samples, kept = tmp_path / "models/digits/1/golden.npz", tmp_path / "kept"
    samples.rename(kept)
    answer = server.get("/v2/models/digits/self-test")
    assert answer.status_code == 503 and "golden.npz cannot be read" in answer.json()["error"]
    assert f"{metric} 0" in server.get("/metrics").text and server.get("/v2/health/ready").status_code == 503
    kept.rename(samples)
    assert server.get("/v2/models/digits/self-test").json()["passed"] is True
    assert f"{metric} 1" in server.get("/metrics").text and server.get("/v2/health/ready").status_code == 200


def test_without_openvino_it_says_so(released, start, tmp_path: Path) -> None:
    (tmp_path / "openvino").mkdir()
    (tmp_path / "openvino/__init__.py").write_text("raise ImportError('libopenvino.so.2640: cannot open')")
    server = start(released.models, PYTHONPATH=str(tmp_path))
    document = server.wait_settled()
    assert document["state"] == "failed" and not document["ready"]
    assert "OpenVINO cannot be used: ImportError: libopenvino.so.2640: cannot open" in document["error"]
    assert any(line["level"] == "error" and "OpenVINO cannot be used" in line["message"] for line in server.lines())


def test_one_model_at_fault_leaves_the_others_and_the_process(damaged) -> None:
    assert damaged.get("/v2/health/ready").status_code == 503
    assert damaged.get("/v2/health/live").status_code == 200
    assert damaged.get("/v2/models/mixed/ready").status_code == 200
    assert "nearedge_server_ready 0" in damaged.get("/metrics").text
    assert damaged.get("/v2/models/bin-flipped").status_code == 503
    assert damaged.process.poll() is None


def test_an_empty_folder(tmp_path: Path, start) -> None:
    server = start(tmp_path)
    document = server.wait_settled()
    assert (document["ready"], document["state"], document["models"]) == (False, "failed", [])
    assert "holds no models" in document["error"]


def test_a_version_that_one_model_lacks_keeps_the_server_unready(released, tmp_path: Path, start) -> None:
    for name, version in (("digits", "1"), ("mixed", "2")):
        shutil.copytree(released.models / name / "1", tmp_path / name / version)
    server = start(tmp_path, "--versions=1")
    document = server.wait_settled()
    assert (document["ready"], document["state"]) == (False, "failed")
    assert document["error"] == "model 'mixed' has no version 1; there are 2"
    assert server.get("/v2/health/ready").status_code == 503
    assert server.get("/v2/models/digits/ready").json()["ready"] is True
    assert "nearedge_server_ready 0" in server.get("/metrics").text


def test_a_folder_as_openvino_model_server_has_it(tmp_path: Path, start, tools) -> None:
    tools.plain(tmp_path, "digits", tools.digits().model)
    tools.plain(tmp_path, "digits", tools.digits().model, "2")
    server = start(tmp_path).wait_ready()
    assert server.get("/v2/models/digits").json()["versions"] == ["1", "2"]
    assert server.post("/v2/models/digits/infer", json=BODY).json()["model_version"] == "2"
    assert server.post("/v2/models/digits/versions/1/infer", json=BODY).json()["model_version"] == "1"
    assert server.get("/v2/models/digits/release").status_code == 404
    result = server.get("/v2/models/digits/self-test")
    assert (result.status_code, result.json()["passed"], result.json()["samples"]) == (200, None, 0)
    assert any("no release.json" in line["message"] for line in server.lines())


def test_a_release_under_another_name_is_said(released, tmp_path: Path, start) -> None:
    shutil.copytree(released.models / "mixed", tmp_path / "other")
    server = start(tmp_path).wait_ready()
    assert any("of mixed version 1, served under another name" in line["message"] for line in server.lines())


def test_a_self_test_that_fails_later_takes_the_model_out_of_service(released, tmp_path: Path, start) -> None:
    shutil.copytree(released.models / "digits", tmp_path / "digits")
    server = start(tmp_path).wait_ready()
    good = (tmp_path / "digits/1/golden.npz").read_bytes()
    flip(tmp_path / "digits/1/golden.npz")
    answer = server.get("/v2/models/digits/self-test")
    assert answer.status_code == 503 and "damaged" in answer.json()["error"]
    assert server.get("/v2/health/ready").status_code == 503
    (tmp_path / "digits/1/golden.npz").write_bytes(good)
    assert server.get("/v2/models/digits/self-test").status_code == 200
    assert server.get("/v2/health/ready").status_code == 200
    assert "nearedge_model_failed{" not in server.get("/metrics").text


def test_a_bf16_release_is_served_by_a_processor_without_it(released, tmp_path: Path, start) -> None:
    shutil.copytree(released.models / "digits", tmp_path / "digits")
    edit(tmp_path / "digits/1/release.json", lambda document: document["runtime"].update(inference_precision="bf16"))
    server = start(tmp_path, ONEDNN_MAX_CPU_ISA="AVX2").wait_ready()
    assert server.get("/v2/models/digits/self-test").json()["instruction_set"] in ("avx2", "sse42")
    assert 'inference_precision="f32"' in server.get("/metrics").text
    assert any("computing in f32" in line["message"] for line in server.lines())


def test_the_compile_cache_is_filled_and_used(released, tmp_path: Path, start) -> None:
    cache = tmp_path / "cache"
    first = start(released.models, NEAREDGE_CACHE_DIR=str(cache)).wait_ready()
    (folder,) = cache.iterdir()
    assert folder.name.startswith("openvino-2")
    blobs = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(blobs) == 2 and first.stop() == 0
    start(released.models, NEAREDGE_CACHE_DIR=str(cache)).wait_ready()
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == blobs


def test_a_cache_that_cannot_be_written_is_left_alone(released, tmp_path: Path, start) -> None:
    (tmp_path / "file").write_text("")
    server = start(released.models, NEAREDGE_CACHE_DIR=str(tmp_path / "file")).wait_ready()
    assert any("NEAREDGE_CACHE_DIR is not used" in line["message"] for line in server.lines())


def test_the_cache_folder_names_no_path(tmp_path: Path) -> None:
    assert loader.writable(tmp_path, "key") == tmp_path / "key"
    assert list((tmp_path / "key").iterdir()) == []


def test_openvino_reports_to_nobody(released, tools, tmp_path) -> None:
    """Where its telemetry is installed, as in the environment of these tests, importing it would ask a host."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), address)
        with tools.started(released.models, tmp_path / "log", **proxies) as running:
            running.wait_ready()
        proxy.settimeout(1)
        with contextlib.suppress(TimeoutError):
            asked.append(proxy.accept()[0].recv(100))
    assert not asked
