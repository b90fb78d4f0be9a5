"""What is deployed, in words."""

import pytest

from converters import timing_entries
from nearedge.release.sections import OptimizationSection, RuntimeConfiguration, SourceSection


@pytest.mark.parametrize("precision,said", [
    ("int8", "OpenVINO, int8 weights and execution, the rest in f32"),
    ("int8-weights", "OpenVINO, int8 weights and f32 execution"),
    (
        "int8-accuracy-aware",
        "OpenVINO, int8 weights and execution where the accuracy bears it, the rest in f32",
    ),
    ("fp16", "OpenVINO, fp16 weights and f32 execution"),
])  # fmt: skip
def test_what_is_deployed_is_said_rightly(precision, said):
    runtime = RuntimeConfiguration(inference_precision="f32", performance_hint="LATENCY", streams=1, threads=1)
    section = OptimizationSection(
        requested="auto", precision=precision, runtime=runtime, inputs=[], outputs=[], xml_sha256="", bin_sha256="",
        size_bytes=1, candidates=[], reused=False,
    )  # fmt: skip
    assert timing_entries.executed(section) == said


@pytest.mark.parametrize("form,framework,said", [
    ("openvino-ir", "onnx", "OpenVINO"),
    ("onnx", "onnx", "ONNX Runtime"),
    ("tflite", "tensorflow", "TensorFlow Lite"),
    ("keras", "tensorflow", "Keras"),
    ("keras-h5", "tensorflow", "Keras"),
    ("savedmodel", "tensorflow", "TensorFlow"),
    ("pt2", "pytorch", "PyTorch"),
])  # fmt: skip
def test_the_source_is_said_to_run_on_what_it_runs_on(form, framework, said):
    source = SourceSection.model_construct(format=form, framework=framework)
    assert timing_entries.source_runs_on(source) == said
