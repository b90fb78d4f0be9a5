"""A model whose data are a CSV file goes by the programs from where it lies to a proven INT8 model."""

import numpy as np
import pytest

from converters import study
from nearedge.release import sections
from nearedge.release.sections import (
    OptimizationSection,
    SourceSection,
    VerificationDeployedSection,
    VerificationF32Section,
)
from scripts import convert_model, fetch_model, optimize_model, verify_model

ROWS, CALIBRATION, HIDDEN, PIXELS = 240, 60, 96, 64
MODEL_YAML = f"""\
schema: 1
name: digits-table
source: {{path: model.onnx}}
inputs: [{{name: pixels, shape: [-1, {PIXELS}], dtype: FP32}}]
outputs: [{{name: logits}}]
data: {{path: digits.csv, labels: digit, calibration: [0, {CALIBRATION}]}}
metric: {{name: accuracy, output: logits, allowed_drop: 0.03}}
target: {{profile: microshift-small}}
"""


def model_of(images, labels, path):
    """Gemm, Relu and Gemm: a random layer, and one fitted to it by ridge regression. `images` are [rows, PIXELS]."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    first = np.random.default_rng(1).normal(0, 1 / 64, (PIXELS, HIDDEN))
    found = np.maximum(images @ first, 0)
    second = np.linalg.solve(found.T @ found + 20 * np.eye(HIDDEN), found.T @ np.where(np.eye(10)[labels], 10.0, -10.0))
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["pixels", "first"], ["sum"]),
            helper.make_node("Relu", ["sum"], ["hidden"]),
            helper.make_node("MatMul", ["hidden", "second"], ["logits"]),
        ],
        "digits",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", PIXELS])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in (("first", first), ("second", second))],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture
def given(tmp_path):
    """A folder with model.yaml, the model, and a table of digits that it was not trained on."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images, labels = digits.data[order], digits.target[order]
    folder = tmp_path / "given"
    folder.mkdir()
    model_of(images[:-ROWS], labels[:-ROWS], folder / "model.onnx")
    lines = [",".join(["digit", *(f"p{number}" for number in range(PIXELS))])]
    lines += [f"{y}," + ",".join(f"{x:g}" for x in row) for row, y in zip(images[-ROWS:], labels[-ROWS:], strict=True)]
    (folder / "digits.csv").write_text("\n".join(lines))
    (folder / "model.yaml").write_text(MODEL_YAML)
    return folder


def test_a_table_goes_all_the_way_to_int8(given, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "SECONDS", 0.1)
    release = tmp_path / "release"
    workspace = f"--workspace={release}"
    assert fetch_model.main([workspace, f"--source={given}"]) == 0
    assert (release / "source" / "digits.csv").read_bytes() == (given / "digits.csv").read_bytes()
    assert sections.read(release, SourceSection).data_sha256
    assert convert_model.main([workspace]) == 0
    assert verify_model.main([workspace, "--stage=f32"]) == 0
    proven = sections.read(release, VerificationF32Section)
    assert proven.samples == ROWS - CALIBRATION and not proven.synthetic and proven.metric.source > 0.85
    assert optimize_model.main([workspace, "--precision=int8"]) == 0
    made = sections.read(release, OptimizationSection)
    assert made.precision == "int8" and not made.synthetic_calibration
    assert b'element_type="i8"' in (release / "ir" / "deployed" / "model.xml").read_bytes()
    assert verify_model.main([workspace, "--stage=deployed"]) == 0
    deployed = sections.read(release, VerificationDeployedSection)
    assert deployed.samples == proven.samples and deployed.metric.converted > 0.85


def test_a_damaged_row_stops_the_step_in_one_line(given, tmp_path, capsys):
    text = (given / "digits.csv").read_text().splitlines()
    text[100] = text[100].replace(",0,", ",zero,", 1)
    (given / "digits.csv").write_text("\n".join(text))
    workspace = f"--workspace={tmp_path / 'release'}"
    assert fetch_model.main([workspace, f"--source={given}"]) == 0
    assert convert_model.main([workspace]) == 0
    assert verify_model.main([workspace, "--stage=f32"]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert "digits.csv: line 101, column 'p0': 'zero'" in said[-1] and "Traceback" not in "".join(said)
    assert not (tmp_path / "release" / "release" / "verification-f32.json").exists()
