"""The timings as the record and a person have them."""

from converters.measured import Measured
from converters.workspace import Work
from nearedge.release.sections import Format, Framework, OptimizationSection, SourceSection, Timing

SPOKEN: dict[Framework, str] = {"pytorch": "PyTorch", "onnx": "ONNX Runtime", "tensorflow": "TensorFlow"}
OTHERS: dict[Format, str] = {
    "openvino-ir": "OpenVINO", "tflite": "TensorFlow Lite", "keras": "Keras", "keras-h5": "Keras",
}  # fmt: skip
"""What runs a source that its framework's step image holds, but not the framework itself."""


def source_runs_on(source: SourceSection) -> str:
    """What the source is timed with, by its name."""
    return OTHERS.get(source.format, SPOKEN[source.framework])


def onnxruntime(work: Work) -> str:
    """Whether ONNX Runtime is among the timings, or why not."""
    if work.source.format == "onnx":
        return "ONNX Runtime runs the source itself"
    return (
        f"not timed: the source is {source_runs_on(work.source)}'s, and an ONNX of it would be a conversion of its "
        "own that nothing has proven"
    )


def timings(measured: dict[str, Measured], work: Work, optimization: OptimizationSection) -> list[Timing]:
    """The section's entries in the order a person reads them; the deployed model's is the last."""
    source = measured["source"]
    steps = any(one.preprocessing is not None for one in work.description.inputs)
    said = source_runs_on(work.source) + (", preprocessing in numpy before it" if steps else "")
    return [
        source.timing("source", said),
        measured["f32"].timing("f32", "OpenVINO, f32 weights and f32 execution", source),
        measured["deployed"].timing("deployed", executed(optimization), source),
    ]


def speedup(timing: Timing) -> float:
    """How many times as fast as the source: the figure that the interval is about, so that a page tells one story."""
    return timing.faster.value if timing.faster else 1.0


def executed(optimization: OptimizationSection) -> str:
    """What is deployed, as a person would say it."""
    rest = optimization.runtime.inference_precision
    if optimization.precision == "int8":
        return f"OpenVINO, int8 weights and execution, the rest in {rest}"
    if optimization.precision == "int8-accuracy-aware":
        return f"OpenVINO, int8 weights and execution where the accuracy bears it, the rest in {rest}"
    if optimization.precision == "int8-weights":
        return f"OpenVINO, int8 weights and {rest} execution"
    return f"OpenVINO, {optimization.precision} weights and {rest} execution"
