"""verify-model: sections, golden samples, results, and gates that stop the release."""

import json
import subprocess
import sys

import numpy as np
import pytest

from converters import execution, instruction_set, thresholds
from nearedge.release import record, sections
from nearedge.release.sections import (
    ConversionSection,
    GoldenSection,
    OptimizationSection,
    RuntimeConfiguration,
    VerificationDeployedSection,
    VerificationF32Section,
)
from scripts import verify_model


def deploy(release, precision="f32", source="ir/f32"):
    """The f32 IR (or that of `source`) as what will be deployed, as optimize-model leaves it."""
    from nearedge.files import sha256_file, size_of

    folder = release / "ir" / "deployed"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("model.xml", "model.bin"):
        (folder / name).write_bytes((release / source / name).read_bytes())
    converted = sections.read(release, ConversionSection)
    runtime = RuntimeConfiguration(inference_precision="f32", performance_hint="LATENCY", streams=1, threads=1)
    section = OptimizationSection(
        requested=precision, precision=precision, runtime=runtime, inputs=converted.inputs, outputs=converted.outputs,
        xml_sha256=sha256_file(folder / "model.xml"), bin_sha256=sha256_file(folder / "model.bin"),
        size_bytes=size_of(folder), candidates=[], reused=False,
    )  # fmt: skip
    sections.write(release, section)


def verify(release, stage, *more):
    return verify_model.main([f"--workspace={release}", f"--stage={stage}", *more])


def test_f32_is_proven_and_told(release, tmp_path, capsys):
    results = [f"--result-{name}={tmp_path / name}" for name in ("largest-difference", "metric-drop")]
    assert verify(release, "f32", *results) == 0
    section = sections.read(release, VerificationF32Section)
    assert section.samples == 300 and not section.synthetic and section.instruction_set == instruction_set.here()
    assert [one.name for one in section.outputs] == ["logits", "probabilities"]
    assert section.thresholds == thresholds.THRESHOLDS["f32"] and section.metric.source > 0.95
    assert 0 < float((tmp_path / "largest-difference").read_text()) < 1e-5
    assert float((tmp_path / "metric-drop").read_text()) == 0.0
    said = capsys.readouterr().err
    assert "accuracy 0.9" in said and "f32 IR against ONNX Runtime" in said
    assert not (release / "golden").exists()


def test_deployed_is_proven_and_gives_golden_samples(release):
    deploy(release)
    assert verify(release, "deployed") == 0
    assert sections.read(release, VerificationDeployedSection).metric.drop == 0.0
    section = sections.read(release, GoldenSection)
    path = release / "golden" / "golden.npz"
    assert section.count == 8 and section.size_bytes == path.stat().st_size
    assert {one.output: one.kind for one in section.tolerances} == {"logits": "top1", "probabilities": "top1"}
    with np.load(path) as arrays:
        assert arrays["input/image"].shape == (8, 1, 3, 8, 8) and arrays["output/logits"].shape == (8, 1, 10)
        assert len(set(arrays["output/logits"].argmax(-1).ravel())) == 8
    first = path.read_bytes()
    assert verify(release, "deployed") == 0
    assert path.read_bytes() == first


def test_the_drift_reference_is_made_where_it_is_asked_for(release):
    deploy(release)
    assert verify(release, "deployed") == 0
    assert sections.read(release, VerificationDeployedSection).drift == []
    path = release / "source" / "model.yaml"
    path.write_text(path.read_text() + "drift: true\n")
    assert verify(release, "deployed") == 0
    found = sections.read(release, VerificationDeployedSection).drift
    assert [(one.tensor, one.of, one.summary, one.rows) for one in found] == [
        ("image", "input", "mean", 300), ("logits", "output", "top1", 300), ("probabilities", "output", "top1", 300),
    ]  # fmt: skip
    assert found[1].expected == found[2].expected and len(found[1].expected) == 10
    assert record.identity(release, "microshift-small").drift == found


def test_golden_samples_hold_under_avx2(release):
    deploy(release)
    assert verify(release, "deployed") == 0
    code = (
        "import sys, numpy as np, openvino as ov\n"
        "m = ov.Core().compile_model(sys.argv[1], 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})\n"
        "g = np.load(sys.argv[2]); a = [m(x)['logits'] for x in g['input/image']]\n"
        "print(float(np.abs(np.stack(a) - g['output/logits']).max()), (np.stack(a).argmax(-1) == "
        "g['output/logits'].argmax(-1)).all())\n"
    )
    paths = [str(release / "ir/deployed/model.xml"), str(release / "golden/golden.npz")]
    environment = instruction_set.limit("avx2", instruction_set.here())
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], env={**environment, "PATH": "/usr/bin"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    difference, same = done.stdout.split()
    close = next(one.close for one in sections.read(release, GoldenSection).tolerances if one.output == "logits")
    assert same == "True" and float(difference) <= close


def test_golden_samples_only_where_allowed(release, edit_yaml):
    deploy(release)
    assert verify(release, "deployed") == 0
    edit_yaml(release, "golden: {rows: [1200, 1500], count: 8}", "")
    assert verify(release, "deployed") == 0
    assert sections.read_optional(release, GoldenSection) is None and not (release / "golden").exists()


def test_no_golden_sample_is_sure_enough(release, monkeypatch, capsys):
    deploy(release)
    monkeypatch.setattr(verify_model.golden, "is_sure", lambda *_: False)
    assert verify(release, "deployed") == 0
    assert "none are shipped" in capsys.readouterr().err
    assert sections.read_optional(release, GoldenSection) is None and not (release / "golden").exists()


def test_a_wrong_conversion_stops_the_release(release, rewrite_ir, capsys):
    assert verify(release, "f32") == 0
    from converters import convert
    from nearedge.release import description

    text = (release / "source" / "model.yaml").read_text().replace("[8.0, 4.0, 6.0]", "[8.0, 4.0, 60.0]")
    wrong = description.parse(text, "wrong")
    rewrite_ir(release, convert.convert(release / "source" / "model.onnx", "onnx", wrong))
    assert verify(release, "f32") == 3
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("nearedge verify-model: output 'logits': max_relative") and "is over 0.001 for f32" in said
    assert sections.read_optional(release, VerificationF32Section) is None


def test_a_drop_of_accuracy_stops_the_release(release, monkeypatch, capsys):
    import openvino
    from openvino import opset13

    model = execution.read(release / "ir/f32/model.xml")
    [logits] = [op for op in model.get_ops() if op.get_type_name() == "Result" and "logits" in op.get_friendly_name()]
    noise = np.random.default_rng(0).normal(scale=1.2, size=(1, 10)).astype("f4")
    moved = opset13.add(logits.input_value(0), opset13.constant(noise))
    moved.output(0).get_tensor().set_names({"logits"})
    probabilities = model.output("probabilities").get_node().input_value(0)
    same = opset13.result(probabilities)
    wrong = openvino.Model([opset13.result(moved.output(0)), same], model.get_parameters(), "wrong")
    (release / "ir" / "wrong").mkdir()
    openvino.save_model(wrong, release / "ir/wrong/model.xml", compress_to_fp16=False)
    deploy(release, "int8", "ir/wrong")
    loose = thresholds.THRESHOLDS["int8"].model_copy(
        update={"max_relative": 9.0, "min_cosine": -1.0, "min_top1_agreement": 0.0}
    )
    monkeypatch.setitem(thresholds.THRESHOLDS, "int8", loose)
    assert verify(release, "deployed") == 3
    assert "accuracy went from" in capsys.readouterr().err


@pytest.mark.parametrize("damage,status,said", [
    ("no ir", 1, "model.xml: missing"),
    ("no section", 1, "conversion.json: missing"),
    ("data", 1, "no array 'image'"),
    ("rows", 1, "ends after the data"),
])  # fmt: skip
def test_damage_is_one_line(release, damage, status, said, capsys, edit_yaml):
    if damage == "no ir":
        (release / "ir/f32/model.xml").unlink()
    elif damage == "no section":
        sections.clear(release, ConversionSection)
    elif damage == "data":
        np.savez(release / "source/data.npz", picture=np.zeros(3))
    else:
        edit_yaml(release, "evaluation: [1200, 1500]", "evaluation: [1200, 9500]")
    assert verify(release, "f32") == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0]


def test_synthetic_samples_where_there_are_no_data(release, tmp_path, capsys):
    text = (release / "source/model.yaml").read_text()
    kept = [line for line in text.splitlines() if not line.startswith(("data:", "metric:", "golden:"))]
    (release / "source/model.yaml").write_text("\n".join(kept))
    assert verify(release, "f32", f"--result-metric-drop={tmp_path / 'drop'}") == 0
    section = sections.read(release, VerificationF32Section)
    assert section.synthetic and section.samples == 16 and section.metric is None
    assert " on 16 synthetic samples: " in capsys.readouterr().err
    assert (tmp_path / "drop").read_text() == ""


@pytest.mark.parametrize("stage", ["f32", "deployed"])
def test_made_up_pictures_of_a_size_that_clients_may_send(release, edit_yaml, stage):
    from scripts import convert_model

    text = (release / "source/model.yaml").read_text()
    kept = [line for line in text.splitlines() if not line.startswith(("data:", "metric:", "golden:"))]
    (release / "source/model.yaml").write_text("\n".join(kept))
    edit_yaml(
        release, "[-1, 3, 8, 8], dtype: FP32, layout: NCHW", "[[1, 4], [9, 40], -1, 3], dtype: UINT8, layout: NHWC"
    )
    edit_yaml(
        release, "preprocessing: {", "preprocessing: {layout: NCHW, channel_order: BGR-to-RGB, "
        "resize: {height: 8, width: 8, algorithm: bicubic-pillow}, ",
    )  # fmt: skip
    assert convert_model.main([f"--workspace={release}"]) == 0
    [image] = sections.read(release, ConversionSection).inputs
    assert (image.datatype, image.shape) == ("UINT8", [-1, -1, -1, 3])
    deploy(release)
    assert verify(release, stage) == 0
    assert sections.read(release, verify_model.STAGES[stage]).synthetic


def test_what_was_expected_of_the_source_stops_the_release(release, edit_yaml, capsys):
    edit_yaml(release, "allowed_drop: 0.01", "allowed_drop: 0.01, expected: 0.99")
    assert verify(release, "f32") == 3
    assert "the source's own accuracy is 0.9667, metric.expected is 0.99" in capsys.readouterr().err


def test_the_section_is_plain_json(release):
    assert verify(release, "f32") == 0
    body = json.loads((release / "release/verification-f32.json").read_text())
    assert body["schema_version"] == 1 and body["precision"] == "f32"


def test_wrong_usage():
    with pytest.raises(SystemExit) as stop:
        verify_model.main(["--workspace=/nowhere", "--stage=f64"])
    assert stop.value.code == 2
