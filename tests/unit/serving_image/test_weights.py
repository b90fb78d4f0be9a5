"""A model whose image carries its weights in pieces: the same answers, and one line for whatever is damaged."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from nearedge.delivery import weights as delivery
from serving_image import ir, model, weights
from serving_image.faults import LoadError


def in_pieces(folder: Path) -> Path:
    """Replace model.bin in `folder` by model.shards/."""
    delivery.split(folder / "model.xml", folder / "model.bin", folder / "model.shards")
    (folder / "model.bin").unlink()
    return folder


@pytest.fixture(scope="module")
def core():
    import openvino as ov

    return ov.Core()


@pytest.fixture(scope="module")
def many(tools, tmp_path_factory) -> Path:
    """A folder with a model of many tensors, small and large, without release.json."""
    import openvino as ov
    from openvino import opset13 as op

    random = np.random.default_rng(3)
    given = tools.named(op.parameter([1, 64], ov.Type.f32), "x")
    node = given
    for width in (700, 64, 1500, 64, 64, 300):
        kernel = random.normal(size=(int(node.output(0).shape[1]), width)).astype(np.float32) / 8
        bias = random.normal(size=(1, width)).astype(np.float32)
        node = op.tanh(op.add(op.matmul(node, op.constant(kernel), False, False), op.constant(bias)))
    return tools.plain(tmp_path_factory.mktemp("many"), "many", ov.Model([tools.named(node, "y")], [given], "many"))


@pytest.fixture
def folder(many, tmp_path) -> Path:
    return in_pieces(shutil.copytree(many, tmp_path / "1"))


def answers(core, folder: Path, cache: Path | None = None) -> bytes:
    loaded = model.load(core, folder, 1, cache)
    return loaded.slots[0].run([np.linspace(-1, 1, 64, dtype=np.float32)[None]])[0].tobytes()


def test_the_answers_are_those_of_one_file(core, many, folder, tmp_path):
    assert len(list((folder / "model.shards").iterdir())) > 3
    expected = answers(core, many)
    assert answers(core, folder) == expected
    for _ in range(2):  # written to the cache, then read from it
        assert answers(core, folder, tmp_path) == expected


def test_one_file_is_taken_where_both_are_there(many, folder):
    shutil.copy(many / "model.bin", folder)
    assert ir.files(folder)[1].name == "model.bin"


def test_a_model_without_weights(core, tools, tmp_path):
    import openvino as ov
    from openvino import opset13 as op

    given = tools.named(op.parameter([1, 64], ov.Type.f32), "x")
    folder = tools.plain(tmp_path, "none", ov.Model([tools.named(op.relu(given), "y")], [given], "none"))
    assert answers(core, folder) == answers(core, in_pieces(folder))


def piece(folder: Path) -> Path:
    return folder / json.loads((folder / "index.json").read_text())["shards"][1]["file"]


def flipped(folder):
    with piece(folder).open("r+b") as file:
        byte = file.read(1)[0]
        file.seek(0)
        file.write(bytes([byte ^ 1]))


def edited(**changes):
    """A damage that sets fields of the index."""

    def edit(folder):
        path = folder / "index.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return edit


def second(**changes):
    """A damage that sets fields of the index's second piece."""

    def edit(folder):
        listed = json.loads((folder / "index.json").read_text())["shards"]
        edited(shards=[listed[0], listed[1] | changes, *listed[2:]])(folder)

    return edit


def exchanged(folder):
    """Two pieces of one size under each other's names."""
    one, two = folder / "a.bin", folder / "b.bin"
    one.write_bytes(b"1" * 8)
    two.write_bytes(b"2" * 8)
    shards = [{"file": "b.bin", "offset": 0, "size": 8}, {"file": "a.bin", "offset": 8, "size": 8}]
    edited(shards=shards, size=16)(folder)


DAMAGES = {
    "gone": (lambda folder: piece(folder).unlink(), "missing", "cannot be read: No such file"),
    "folder": (
        lambda folder: (piece(folder).unlink(), piece(folder).mkdir()),
        "damaged",
        "it has .* bytes, index.json",
    ),
    "short": (lambda folder: os.truncate(piece(folder), 9), "damaged", "it has 9 bytes, index.json says"),
    "long": (
        lambda folder: os.truncate(piece(folder), piece(folder).stat().st_size + 1),
        "damaged",
        "bytes, index.json says",
    ),
    "flipped": (flipped, "damaged", "the weights in model.shards are damaged: their sha256 is .*index.json says"),
    "exchanged": (exchanged, "damaged", "their sha256 is"),
    "no-index": (lambda folder: (folder / "index.json").unlink(), "missing", "index.json is missing"),
    "index-is-a-folder": (
        lambda folder: ((folder / "index.json").unlink(), (folder / "index.json").mkdir()),
        "missing",
        "index.json cannot be read: Is a directory",
    ),
    "no-json": (lambda folder: (folder / "index.json").write_text("{"), "damaged", "it is not JSON"),
    "list": (lambda folder: (folder / "index.json").write_text("[]"), "damaged", "a field is missing"),
    "no-pieces": (edited(shards=None), "damaged", "a field is missing"),
    "newer": (edited(schema=2), "damaged", "is of schema 2; this server reads 1"),
    "size": (edited(size=5), "damaged", "model.bin has 5"),
    "gap": (second(offset=1), "damaged", "no piece takes model.bin on from byte"),
    "negative": (second(size=-1), "damaged", "no piece takes model.bin on"),
    "text": (second(size="1"), "damaged", "no piece takes model.bin on"),
    "outside": (second(file="../model.xml"), "damaged", "no piece takes model.bin on"),
    "absolute": (second(file="/etc/passwd"), "damaged", "no piece takes model.bin on"),
    "number": (second(file=1), "damaged", "no piece takes model.bin on"),
}


@pytest.mark.parametrize(("damage", "kind", "words"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_pieces_are_one_line(core, folder, damage, kind, words):
    damage(folder / "model.shards")
    with pytest.raises(LoadError, match=words) as caught:
        model.load(core, folder, 1, None)
    assert caught.value.kind == kind
    assert "\n" not in str(caught.value)


def test_a_piece_that_ends_while_it_is_read(tmp_path):
    import hashlib

    (tmp_path / "piece").write_bytes(b"12")
    with pytest.raises(LoadError, match="ends at byte 2 of 3"):
        weights.fill(tmp_path / "piece", memoryview(bytearray(3)), hashlib.sha256())


def test_a_released_model_in_pieces_is_served_and_tested(released, server, start, tmp_path):
    """The server's self-test and answers, JSON for JSON, are those of the image with one file."""
    models = shutil.copytree(released.models, tmp_path / "models")
    in_pieces(models / "digits" / "1")
    flipped_folder = in_pieces(models / "mixed" / "1") / "model.shards"
    for path in flipped_folder.glob("*.bin"):
        path.write_bytes(bytes(path.stat().st_size))
    running = start(models)
    state = running.wait_settled()
    body = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.25] * 64}]}
    told, expected = (one.post("/v2/models/digits/infer", json=body).json() for one in (running, server))
    assert told["outputs"] == expected["outputs"]
    metrics = running.get("/metrics").text
    assert 'nearedge_model_ready{model="digits",version="1"} 1' in metrics
    assert "the weights in model.shards are damaged" in json.dumps(state)


def test_the_peak_that_the_fit_is_judged_by_does_not_grow(tools, start, tmp_path):
    """VmHWM counts mapped weights, too: in pieces they are the process's own memory instead, and count once."""
    import openvino as ov
    from openvino import opset13 as op

    given = tools.named(op.parameter([1, 1024], ov.Type.f32), "x")
    node, random = given, np.random.default_rng(1)
    for _ in range(8):
        node = op.tanh(op.matmul(node, op.constant(random.random((1024, 1024), dtype=np.float32)), False, False))
    tools.plain(tmp_path / "whole", "large", ov.Model([tools.named(node, "y")], [given], "large"))
    in_pieces(shutil.copytree(tmp_path / "whole", tmp_path / "pieces") / "large" / "1")
    peaks = []
    for models in ("whole", "pieces"):
        status = Path(f"/proc/{start(tmp_path / models).wait_ready().process.pid}/status").read_text()
        peaks.append(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
    assert peaks[1] < peaks[0] + 8, "less than a quarter of the 32 MiB of weights"
