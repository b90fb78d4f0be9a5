"""The precisions that could be deployed: which are possible here, made as IRs, judged on the evaluation samples."""

from dataclasses import dataclass
from pathlib import Path

from converters import execution, instruction_set, proof, quantize, thresholds, workspace
from converters.accuracy_control import Control
from converters.canonical import canonical
from converters.metrics import drop
from converters.samples import Samples
from converters.workspace import Work
from nearedge.errors import GateError
from nearedge.files import size_of
from nearedge.release.description import Description
from nearedge.release.profile import INSTRUCTION_SETS, InstructionSet
from nearedge.release.sections import OutputParity, Precision

PRECISIONS: tuple[Precision, ...] = ("f32", "fp16", "bf16", "int8-weights", "int8", "int8-accuracy-aware")
"""From the cheapest to make to the dearest."""
CALIBRATED: tuple[Precision, ...] = ("int8", "int8-accuracy-aware")


@dataclass(frozen=True)
class Made:
    """A candidate's IR with what it does to the answers; `faults` says why it does not hold, empty where it does."""

    precision: Precision
    xml: Path
    size_bytes: int
    outputs: list[OutputParity]
    metric: float | None
    drop: float | None
    faults: list[str]

    def max_relative(self) -> float:
        """The largest of the outputs."""
        return max((one.max_relative for one in self.outputs), default=0.0)

    def top1_agreement(self) -> float | None:
        """The least of the outputs that have a top-1."""
        return min((one.top1_agreement for one in self.outputs if one.top1_agreement is not None), default=None)


def refusal(precision: Precision, site: InstructionSet, here: InstructionSet, calibration: Samples | None) -> str:
    """Why a precision is no candidate; empty where it is one."""
    if precision in CALIBRATED and calibration is None:
        return (
            f"{precision} needs real samples to calibrate with; name data with calibration rows in model.yaml "
            "(allow-synthetic-calibration takes made-up ones)"
        )
    if precision == "bf16" and not instruction_set.has_bf16(site):
        return f"bf16 needs a processor that computes in it; the site's profile has {site}"
    if precision == "bf16" and not instruction_set.has_bf16(here):
        return f"bf16 cannot be judged on this machine, which has {here}; use one with avx512_bf16"
    return ""


def make(
    description: Description,
    precision: Precision,
    f32: Path,
    calibration: Samples | None,
    folder: Path,
    control: Control | None = None,
    site: InstructionSet = INSTRUCTION_SETS[0],
) -> Path:
    """Write the IR of that precision to `folder/PRECISION/model.xml`, the same bytes every time.

    All but f32 keep what is not quantised in FP16, unless model.yaml has `compress_to_fp16: false`.
    int8-accuracy-aware needs a `control`, and takes all eight bits for weights where `site` and this machine have VNNI.
    Raises InputError where NNCF refuses the model, OutOfTimeError where the
    control's time is up.
    """
    import openvino

    model = execution.read(f32)
    settings = description.quantization
    if precision == "int8-weights":
        model = canonical(quantize.weights(model, settings), description)
    elif precision == "int8" and calibration is not None:
        model = canonical(quantize.int8(model, calibration, settings), description)
    elif precision == "int8-accuracy-aware" and calibration is not None and control is not None:
        whole = instruction_set.has_vnni(site) and instruction_set.has_vnni(instruction_set.here())
        model = canonical(quantize.accuracy_aware(model, calibration, control, settings, whole), description)
    xml = folder / precision / "model.xml"
    xml.parent.mkdir(parents=True)
    openvino.save_model(model, xml, compress_to_fp16=precision != "f32" and description.compress_to_fp16)
    return xml


def judge(work: Work, precision: Precision, xml: Path, f32: Path, evaluation: Samples, before: float | None) -> Made:
    """Run a candidate beside the f32 IR, which verify-model proved, on the evaluation samples.

    `before` is the source's metric where it is known, else the f32 IR's is taken.
    """
    config = execution.properties(workspace.runtime(work.profile, precision), work.threads)
    plain = execution.properties(workspace.runtime(work.profile, "f32"), work.threads)
    reference, candidate = execution.Runner(f32, plain), execution.Runner(xml, config)
    try:
        found = proof.compare(
            work.description,
            evaluation,
            reference.predict,
            candidate.predict,
            f"{precision}: samples judged",
            work.code(),
        )
    except GateError as error:
        return Made(precision, xml, size_of(xml.parent), [], None, None, [str(error)])
    faults = found.faults(thresholds.of(work.description, precision))
    metric = lost = None
    if found.metric is not None and work.description.metric is not None:
        name, allowed = work.description.metric.name, work.description.metric.allowed_drop
        rises = work.description.metric.rises
        metric = found.metric.converted
        lost = drop(rises, found.metric.source if before is None else before, metric)
        if lost > allowed + 1e-9:
            faults.append(f"{name} drops by {lost:.4g}, more than the allowed {allowed:g}")
    return Made(precision, xml, size_of(xml.parent), found.outputs, metric, lost, faults)
