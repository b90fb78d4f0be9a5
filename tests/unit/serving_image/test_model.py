"""Files, properties and the inference requests of one model, with OpenVINO itself."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from serving_image import ir, model, tensors
from serving_image.faults import LoadError
from serving_image.record import Runtime


@pytest.fixture(scope="module")
def core():
    import openvino as ov

    return ov.Core()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no .xml files; expected model.xml"),
        (["a.xml", "b.xml"], "2 .xml files"),
        (["model.xml"], "model.bin is missing"),
    ],
)
def test_missing_files(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).write_text("")
    with pytest.raises(LoadError, match=message) as caught:
        ir.files(tmp_path)
    assert caught.value.kind == "missing"


def test_the_only_xml_will_do(tmp_path: Path) -> None:
    for name in ("other.xml", "other.bin"):
        (tmp_path / name).write_text("")
    assert ir.files(tmp_path)[0].name == "other.xml"


@pytest.mark.parametrize(
    ("runtime", "cap", "expected"),
    [
        (Runtime(), 4, {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 4}),
        (
            Runtime("bf16", "LATENCY", 1, 8),
            2,
            {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": 2, "NUM_STREAMS": 1},
        ),
        (Runtime("f32", "THROUGHPUT", 4, 2), 8, {"INFERENCE_NUM_THREADS": 2, "NUM_STREAMS": 2}),
    ],
)
def test_properties(runtime: Runtime, cap: int, expected: dict[str, object]) -> None:
    found = model.configuration(runtime, cap, "amx")
    assert found.items() >= {**expected, "PERFORMANCE_HINT": runtime.performance_hint}.items()
    assert ("NUM_STREAMS" in found) == (runtime.streams > 0)


@pytest.mark.parametrize(
    ("recorded", "machine", "expected"),
    [
        ("bf16", "amx", "bf16"),
        ("bf16", "avx512_bf16", "bf16"),
        ("bf16", "avx512_vnni", "f32"),
        ("bf16", "avx2", "f32"),
        ("f32", "amx", "f32"),
        ("f32", "avx2", "f32"),
    ],
)
def test_bfloat16_only_where_the_processor_has_it(recorded: str, machine: str, expected: str) -> None:
    found = model.configuration(Runtime(recorded), 1, machine)
    assert found["INFERENCE_PRECISION_HINT"] == expected


def test_the_record_decides_how_it_runs(released, core) -> None:
    found = model.load(core, released.models / "digits/1", 1, None)
    assert found.execution == model.Execution("f32", "LATENCY", 1, 1, 1)
    assert [spec.name for spec in found.outputs] == ["logits", "probabilities"]
    assert found.inputs[0].shape == [-1, 1, 8, 8]


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize(("element", "datatype"), list(tensors.OPENVINO.items()))
def test_every_datatype_is_computed(tmp_path: Path, core, tools, element: str, datatype: str, static: bool) -> None:
    import openvino as ov
    from openvino import opset13 as op

    given = tools.named(op.parameter([2, 3] if static else [-1, 3], getattr(ov.Type, element)), "x")
    given_back = tools.named(op.concat([given, given], 0), "y")
    tools.plain(tmp_path, "m", ov.Model([given_back], [given], "m"))
    found = model.load(core, tmp_path / "m/1", 1, None)
    array = np.array([[1, 0, 1], [0, 1, 1]], tensors.DTYPES[datatype])
    array.flags.writeable = False
    if datatype == "BF16":
        array = tensors.bf16_bits(np.array([[1.5, -2, 3], [0, 0.25, 7]], np.float32))
    for _ in range(2):
        (output,) = found.slots[0].run([array])
        assert output.dtype.type is tensors.DTYPES[datatype].type
        assert (output == np.concatenate([array, array])).all()
    assert found.record is None and found.inputs[0].datatype == datatype


def test_outputs_stay_when_the_request_is_used_again(released, core) -> None:
    slot = model.load(core, released.models / "mixed/1", 1, None).slots[0]
    mask = np.ones((1, 4), bool)
    (first,) = slot.run([np.array([[1, 2, 3, 4]]), mask])
    (second,) = slot.run([np.array([[10, 20, 30, 40]]), mask])
    assert (first.tolist(), second.tolist()) == ([10], [100])


def test_a_running_inference_can_be_cancelled_and_the_next_one_works(tmp_path: Path, core, tools) -> None:
    import openvino as ov
    from openvino import opset13 as op

    given = tools.named(op.parameter([500, 500], ov.Type.f32), "x")
    node = given
    for _ in range(150):
        node = op.matmul(node, given, False, False)
    tools.plain(tmp_path, "m", ov.Model([tools.named(node, "y")], [given], "m"))
    slot = model.load(core, tmp_path / "m/1", 1, None).slots[0]
    zeros = np.zeros((500, 500), np.float32)
    start = time.monotonic()
    slot.run([zeros])
    whole = time.monotonic() - start
    timer = threading.Timer(whole / 5, slot.cancel)
    timer.start()
    with pytest.raises(RuntimeError):
        slot.run([zeros])
    timer.join()
    assert slot.run([zeros])[0].shape == (500, 500)


def test_what_cannot_be_served(tmp_path: Path, core, tools) -> None:
    import openvino as ov
    from openvino import opset13 as op

    narrow = tools.named(op.parameter([2], ov.Type.u4), "x")
    tools.plain(tmp_path, "narrow", ov.Model([op.result(narrow)], [narrow], "m"))
    with pytest.raises(LoadError, match="input 'x' is of type u4"):
        model.load(core, tmp_path / "narrow/1", 1, None)
    folder = tmp_path / "damaged/1"
    folder.mkdir(parents=True)
    (folder / "model.xml").write_text("<net")
    (folder / "model.bin").write_bytes(b"")
    with pytest.raises(LoadError, match=r"model\.xml cannot be read") as caught:
        model.load(core, folder, 1, None)
    assert caught.value.kind == "damaged"


def test_a_damaged_cache_does_not_stop_us(tmp_path: Path, core, released) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    model.load(core, released.models / "digits/1", 1, cache)
    blobs = [path for path in cache.rglob("*") if path.is_file()]
    assert blobs
    for blob in blobs:
        blob.write_bytes(b"damaged" + blob.read_bytes()[: blob.stat().st_size // 2])
    found = model.load(core, released.models / "digits/1", 1, cache)
    assert found.slots[0].run([np.zeros((2, 1, 8, 8), np.float32)])[0].shape == (2, 10)
