"""What verify-model found: parity, the task's metric, golden samples."""

from typing import ClassVar, Literal

from pydantic import Field

from nearedge.release.parity import Precision, Thresholds
from nearedge.release.profile import InstructionSet
from nearedge.release.sections.base import Section
from nearedge.release.strict import Strict


class OutputParity(Strict):
    """How one output of the IR differs from the source's on the same samples."""

    name: str
    max_abs: float
    mean_abs: float
    max_relative: float = Field(description="largest difference over the largest magnitude of the source's output")
    cosine: float = Field(description="lowest over the samples")
    top1_agreement: float | None = Field(description="share of samples with the same top-1; null: no class axis")
    top5_agreement: float | None = Field(
        default=None,
        description="share of samples whose top-1 in the source is among the IR's five largest; null: up to 5 classes",
    )


class MetricResult(Strict):
    """The task's metric for the source and for the IR on the evaluation rows."""

    name: str
    own: bool = Field(default=False, description="whether the user's own Python gave the figures")
    source: float
    converted: float
    drop: float = Field(description="how much worse the IR is, in the metric's own unit; negative: better")
    allowed_drop: float
    rows: int
    drop_low: float | None = Field(default=None, description="of the 95 % interval of the drop; null: not computed")
    drop_high: float | None = None

    def certain(self) -> bool | None:
        """Whether the whole interval lies on one side of the allowed drop; None where there is no interval."""
        if self.drop_low is None or self.drop_high is None:
            return None
        return self.drop_high <= self.allowed_drop or self.drop_low > self.allowed_drop


class VerificationSection(Section):
    """What verify-model found; one for f32 execution, one as deployed."""

    precision: Precision
    instruction_set: InstructionSet = Field(description="of the machine it ran on")
    samples: int
    synthetic: bool = Field(description="true: samples derived from the model's signature, no data were given")
    outputs: list[OutputParity]
    thresholds: Thresholds
    metric: MetricResult | None


class KeptAnswers(Strict):
    """The source's answers on the evaluation rows, `answers/source.npz`, not asked for again in stage deployed."""

    sha256: str = Field(description="of the file")
    of: str = Field(description="sha256 of all in the workspace's folder source: model, description, data, code")
    framework: str


class VerificationF32Section(VerificationSection):
    """The conversion alone."""

    section: ClassVar[str] = "verification-f32"
    answers: KeptAnswers | None = Field(default=None, description="null: none were kept")


DriftSummary = Literal["mean", "top1"]


class DriftReference(Strict):
    """How one number for each row of a tensor falls into bins on the evaluation rows."""

    tensor: str
    of: Literal["input", "output"]
    summary: DriftSummary = Field(description="mean: of a row's values; top1: the place of the largest")
    batched: bool = Field(description="whether axis 0 is the row; false: a request is one row")
    edges: list[float] = Field(description="lower edges of the bins but the first, rising")
    expected: list[float] = Field(description="share of the rows in each bin; one more than edges")
    rows: int


class VerificationDeployedSection(VerificationSection):
    """What will run at the site."""

    section: ClassVar[str] = "verification-deployed"
    drift: list[DriftReference] = Field(default=[], description="empty: model.yaml does not ask for it")


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
