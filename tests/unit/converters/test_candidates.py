"""Candidates: which are possible, made the same every time, judged beside the f32 IR."""

import subprocess
import sys

import numpy as np
import pytest

from converters import candidates, execution, quantize, samples, workspace
from nearedge.errors import InputError
from nearedge.files import sha256_file


@pytest.fixture(scope="module")
def work(digits_release):
    return workspace.read(digits_release)


@pytest.fixture(scope="module")
def calibration(work):
    return samples.calibration(work.description, work.folder)


@pytest.mark.parametrize("precision,site,here,data,said", [
    ("f32", "sse42", "sse42", False, ""), ("fp16", "avx2", "avx2", False, ""), ("int8", "avx2", "avx2", True, ""),
    ("int8", "amx", "amx", False, "real samples to calibrate with"),
    ("bf16", "avx2", "amx", True, "the site's profile has avx2"),
    ("bf16", "amx", "avx512_vnni", True, "on this machine, which has avx512_vnni"),
    ("bf16", "amx", "avx512_bf16", True, ""),
])  # fmt: skip
def test_what_is_possible(precision, site, here, data, said, calibration):
    found = candidates.refusal(precision, site, here, calibration if data else None)
    assert said in found and bool(said) == bool(found)


def made(work, precision, calibration, folder):
    return candidates.make(work.description, precision, work.f32(), calibration, folder)


@pytest.mark.parametrize("precision", ["f32", "fp16", "int8-weights", "int8"])
def test_the_same_bytes_twice_in_one_process_and_in_another(work, calibration, precision, tmp_path):
    files = [made(work, precision, calibration, tmp_path / str(turn)) for turn in range(2)]
    code = (
        "import sys; from pathlib import Path; from converters import candidates, samples, telemetry, workspace\n"
        "telemetry.off(); w = workspace.read(Path(sys.argv[1])); c = samples.calibration(w.description, w.folder)\n"
        "candidates.make(w.description, sys.argv[2], w.f32(), c, Path(sys.argv[3]))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(work.root), precision, str(tmp_path / "2")], check=True)
    files.append(tmp_path / "2" / precision / "model.xml")
    for suffix in (".xml", ".bin"):
        assert len({sha256_file(file.with_suffix(suffix)) for file in files}) == 1


def test_int8_computes_in_integers_with_weights_in_half_their_range(work, calibration, tmp_path):
    model = execution.read(made(work, "int8", calibration, tmp_path))
    weights = [
        op.data
        for op in model.get_ops()
        if op.get_type_name() == "Constant" and op.get_element_type().to_string() == "i8"
    ]
    assert len(weights) == 2 and all(
        one.min() >= -64 and one.max() <= 63 and np.unique(one).size > 20 for one in weights
    )
    assert [port.get_any_name() for port in model.outputs] == ["logits", "probabilities"]


def test_fp16_weights_are_half(work, tmp_path):
    sizes = [made(work, one, None, tmp_path).with_suffix(".bin").stat().st_size for one in ("f32", "fp16")]
    assert sizes[1] < 0.6 * sizes[0]


@pytest.mark.parametrize("precision,relative", [("f32", 0.0), ("fp16", 2e-2), ("int8-weights", 0.05), ("int8", 0.35)])
def test_candidates_are_judged(work, calibration, precision, relative, tmp_path):
    evaluation = samples.evaluation(work.description, work.folder)
    xml = made(work, precision, calibration, tmp_path)
    found = candidates.judge(work, precision, xml, work.f32(), evaluation, None)
    assert not found.faults and found.max_relative() <= relative and found.metric > 0.95 and abs(found.drop) <= 0.01
    better = candidates.judge(work, precision, xml, work.f32(), evaluation, before=1.0)
    assert better.drop == pytest.approx(1.0 - found.metric)
    assert better.faults == [f"accuracy drops by {better.drop:.4g}, more than the allowed 0.01"]


def test_a_candidate_that_answers_nonsense_is_at_fault(work, tmp_path):
    import openvino
    from openvino import opset13

    model = work_model = execution.read(work.f32())
    [node] = [op for op in work_model.get_ops() if op.get_type_name() == "Relu"]
    broken = opset13.divide(node.output(0), opset13.constant(np.zeros(1, "f4")))
    for target in node.output(0).get_target_inputs():
        if target.get_node().get_type_name() != "Divide":
            target.replace_source_output(broken.output(0))
    openvino.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)
    evaluation = samples.evaluation(work.description, work.folder)
    found = candidates.judge(work, "int8", tmp_path / "model.xml", work.f32(), evaluation, None)
    assert found.faults[0].startswith("output 'logits': the IR answers with NaN") and found.metric is None


def test_calibration_is_capped_and_spread_over_the_rows(calibration):
    assert len(calibration.feeds) == 1200
    picked = quantize.chosen(calibration, 5)
    for one, at in zip(picked, (0, 299, 599, 899, 1199), strict=True):
        assert np.array_equal(one["image"], calibration.feeds[at]["image"])


def test_a_model_nncf_refuses_is_said_in_one_line(work):
    wrong = samples.Samples([{"picture": np.zeros((1, 3, 8, 8), "f4")}], None, 1, 1, synthetic=False)
    with pytest.raises(InputError, match="precision int8: NNCF cannot quantise this model"):
        quantize.int8(execution.read(work.f32()), wrong)
