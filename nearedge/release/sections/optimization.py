"""What optimize-model chose, and what it tried."""

from typing import ClassVar, Literal

from pydantic import Field

from nearedge.release.parity import Precision
from nearedge.release.sections.base import Section, TensorSpec
from nearedge.release.strict import Strict


class RuntimeConfiguration(Strict):
    """How the server runs the model. Chosen once for a model and a profile, then kept."""

    inference_precision: Literal["f32", "bf16"]
    performance_hint: Literal["LATENCY", "THROUGHPUT"]
    streams: int
    threads: int
    max_batch: int = Field(default=1, description="most rows that the server gathers into one inference; 1: none")
    max_wait_ms: float = Field(default=0.0, description="longest that a request waits for others to join it")


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
    p99_ms: float | None = Field(default=None, description="null where it was not measured")
    peak_rss_mib: float | None = Field(default=None, description="of a process that runs it alone; null: not measured")
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
    synthetic_calibration: bool = Field(
        default=False, description="true: what there is of INT8 was calibrated with made-up samples"
    )
    max_drop: float | None = Field(
        default=None, description="param max-drop, most that int8-accuracy-aware may lose; null: as model.yaml says"
    )
