"""The sections of a release record: what each Task found out, one file each under `release/`.

Inside a section every field is required and unknown ones are refused. A section that is absent was not measured.
Shapes use -1 for a dimension that may vary; times are in milliseconds, sizes in bytes unless the name says otherwise.
"""

import json
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from pydantic import Field, ValidationError

from nearedge.errors import InputError, UnsupportedError
from nearedge.files import write_text
from nearedge.release.description import first_fault
from nearedge.release.inputs import Datatype
from nearedge.release.profile import InstructionSet
from nearedge.release.strict import Strict

RECORD_VERSION: Literal[1] = 1
FOLDER = "release"

Format = Literal["torchscript", "pt2", "onnx", "savedmodel", "frozen-pb", "keras", "keras-h5", "tflite", "openvino-ir"]
Framework = Literal["pytorch", "onnx", "tensorflow"]
Precision = Literal["f32", "fp16", "bf16", "int8-weights", "int8", "int8-accuracy-aware"]


class Section(Strict):
    """Base of the sections; `section` is the file's stem under `release/`."""

    section: ClassVar[str]


class TensorSpec(Strict):
    """A tensor as clients see it."""

    name: str
    datatype: Datatype
    shape: list[int]


class SourceSection(Section):
    """What fetch-model found."""

    section: ClassVar[str] = "source"
    name: str
    version: str
    format: Format
    framework: Framework = Field(description="which step image can run it")
    sha256: str = Field(description="of the model file, or of a folder's names and contents")
    size_bytes: int
    description_sha256: str = Field(description="of model.yaml's meaning: its values, not its comments")
    data_sha256: str = Field(description="of the data, empty where there are none")
    origin: str = Field(description="where it was fetched from, without credentials")


class ConversionSection(Section):
    """What convert-model made: `ir/f32/model.xml` and `.bin`."""

    section: ClassVar[str] = "conversion"
    openvino: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    xml_sha256: str
    bin_sha256: str
    size_bytes: int
    seconds: float


class OutputParity(Strict):
    """How one output of the IR differs from the source's on the same samples."""

    name: str
    max_abs: float
    mean_abs: float
    max_relative: float = Field(description="largest difference over the largest magnitude of the source's output")
    cosine: float = Field(description="lowest over the samples")
    top1_agreement: float | None = Field(description="share of samples with the same top-1; null: no class axis")


class Thresholds(Strict):
    """What parity is held to."""

    max_relative: float
    min_cosine: float
    min_top1_agreement: float


class MetricResult(Strict):
    """The task's metric for the source and for the IR on the evaluation rows."""

    name: str
    source: float
    converted: float
    drop: float = Field(description="how much worse the IR is, in the metric's own unit; negative: better")
    allowed_drop: float
    rows: int


class VerificationSection(Section):
    """What verify-model found; one for f32 execution, one as deployed."""

    precision: Precision
    instruction_set: InstructionSet = Field(description="of the machine it ran on")
    samples: int
    synthetic: bool = Field(description="true: samples derived from the model's signature, no data were given")
    outputs: list[OutputParity]
    thresholds: Thresholds
    metric: MetricResult | None


class VerificationF32Section(VerificationSection):
    """The conversion alone."""

    section: ClassVar[str] = "verification-f32"


class VerificationDeployedSection(VerificationSection):
    """What will run at the site."""

    section: ClassVar[str] = "verification-deployed"


class RuntimeConfiguration(Strict):
    """How the server runs the model. Chosen once for a model and a profile, then kept."""

    inference_precision: Literal["f32", "bf16"]
    performance_hint: Literal["LATENCY", "THROUGHPUT"]
    streams: int
    threads: int


DOES_NOT_HOLD = "does not hold"
"""How the outcome of a candidate begins that a gate refused."""


class Candidate(Strict):
    """One precision that optimize-model considered."""

    precision: Precision
    metric: float | None = Field(description="the task's metric, null without labels")
    drop: float | None
    top1_agreement: float | None
    max_relative: float | None
    p50_ms: float | None = Field(description="null where it was not measured")
    size_bytes: int | None
    outcome: str = Field(description="chosen, or why it was not")


class OptimizationSection(Section):
    """What optimize-model chose: `ir/deployed/model.xml` and `.bin`."""

    section: ClassVar[str] = "optimization"
    requested: str
    precision: Precision
    runtime: RuntimeConfiguration
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    xml_sha256: str
    bin_sha256: str
    size_bytes: int
    candidates: list[Candidate]
    reused: bool = Field(description="true: the choice of the previous release was kept, nothing was measured")


class Tolerance(Strict):
    """How near an answer on a golden sample must be."""

    output: str
    kind: Literal["top1", "value"] = Field(description="the decision that must hold on every instruction set")
    value: float = Field(description="for kind value: largest absolute difference anywhere; 0 for top1")
    close: float = Field(description="largest absolute difference on the same instruction set")


class GoldenSection(Section):
    """Golden samples, `golden/golden.npz`: arrays `input/NAME` and `output/NAME`, axis 0 the sample.

    Each sample is one whole request; expected outputs are the deployed IR's on `instruction_set`.
    """

    section: ClassVar[str] = "golden"
    sha256: str
    count: int
    size_bytes: int
    instruction_set: InstructionSet
    tolerances: list[Tolerance]


class Timing(Strict):
    """One thing that benchmark-model timed, batch 1."""

    name: Literal["source", "f32", "deployed"]
    detail: str = Field(description="framework or precision, as a person would say it")
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    throughput_per_s: float
    repeats: int
    spread: float = Field(description="(largest - smallest) / median of the repeats' medians")


class Machine(Strict):
    """Where figures were measured."""

    cpu: str
    instruction_set: InstructionSet
    cores: int
    memory_mib: int
    limited_by: str = Field(description="how the profile's CPU share was held: affinity, threads")


class BenchmarkSection(Section):
    """What benchmark-model measured."""

    section: ClassVar[str] = "benchmark"
    profile: str
    machine: Machine
    threads: int
    timings: list[Timing]
    speedup_f32: float = Field(description="source's median over the f32 IR's, in the same run")
    speedup_deployed: float = Field(description="source's median over the deployed IR's, in the same run")
    load_ms: float
    first_inference_ms: float
    peak_rss_mib: int = Field(description="of a fresh process that loads and runs the deployed IR alone")
    memory_request_mib: int
    memory_limit_mib: int
    fits: bool
    fits_because: str


class Layer(Strict):
    """One layer of an image."""

    digest: str
    size_bytes: int
    title: str


class ImageSection(Section):
    """What build-serving-image made."""

    section: ClassVar[str] = "image"
    url: str = Field(description="reference without digest")
    digest: str
    size_bytes: int = Field(description="sum of the compressed layers, config and manifest")
    layers: list[Layer]
    base: str
    base_kind: Literal["registry", "layout", "host"]
    uploaded_bytes: int
    upgrade_bytes: int | None = Field(description="what a site that runs the previous release pulls; null: none known")


class TestSection(Section):
    """What test-serving-image saw."""

    __test__: ClassVar[bool] = False
    section: ClassVar[str] = "test"
    image: str
    backend: str = Field(description="what ran the sidecar: kubelet, podman, chroot or process")
    ready_ms: float
    samples: int
    largest_difference: float
    decisions_held: int


Kind = TypeVar("Kind", bound=Section)


def write(workspace: Path, section: Section) -> Path:
    """Write `section` under `workspace/release` by rename; return the file."""
    path = workspace / FOLDER / f"{section.section}.json"
    body = {"schema_version": RECORD_VERSION, **section.model_dump(mode="json")}
    write_text(path, json.dumps(body, indent=2, sort_keys=True, allow_nan=False) + "\n")
    return path


def read(workspace: Path, kind: type[Kind]) -> Kind:
    """The section of that kind. Raises InputError where it is missing or damaged, UnsupportedError where newer."""
    section = read_optional(workspace, kind)
    if section is None:
        path = workspace / FOLDER / f"{kind.section}.json"
        raise InputError(f"{path}: missing; the Task that writes it has to run first on this workspace")
    return section


def read_optional(workspace: Path, kind: type[Kind]) -> Kind | None:
    """As `read`, None where the section is missing."""
    path = workspace / FOLDER / f"{kind.section}.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not JSON: {error}; run the Task that writes it again") from error
    return load(document, kind, str(path))


def load(document: object, kind: type[Kind], where: str) -> Kind:
    """A section from its JSON value; `where` names it in messages."""
    if not isinstance(document, dict):
        raise InputError(f"{where}: is no JSON object")
    version = document.get("schema_version")
    if isinstance(version, int) and version > RECORD_VERSION:
        raise UnsupportedError(
            f"{where}: schema_version {version} is newer than this nearedge reads ({RECORD_VERSION}); upgrade nearedge"
        )
    body = {key: value for key, value in document.items() if key != "schema_version"}
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise InputError(f"{where}: {first_fault(error)}") from error


def clear(workspace: Path, *kinds: type[Section]) -> None:
    """Remove sections that a Task is about to write anew, so that a failed Task leaves none of an earlier run."""
    for kind in kinds:
        (workspace / FOLDER / f"{kind.section}.json").unlink(missing_ok=True)
