"""What benchmark-model measured, and the size of the deployment that follows from it."""

from typing import ClassVar, Literal

from pydantic import Field

from nearedge.release.profile import InstructionSet
from nearedge.release.sections.base import Section
from nearedge.release.sections.optimization import RuntimeConfiguration
from nearedge.release.strict import Strict


class Histogram(Strict):
    """How latencies are spread: `counts[i]` of them are from `edges_ms[i]` up to `edges_ms[i + 1]`."""

    edges_ms: list[float]
    counts: list[int]


class Ratio(Strict):
    """How many times faster one thing is than another, with the 95 % confidence interval over the repeats."""

    value: float
    low: float
    high: float


class Timing(Strict):
    """One thing that benchmark-model timed, batch 1."""

    name: Literal["source", "onnxruntime", "f32", "deployed"]
    detail: str = Field(description="framework or precision, as a person would say it")
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    throughput_per_s: float
    repeats: int
    spread: float = Field(description="(largest - smallest) / median of the repeats' medians")
    histogram: Histogram | None = None
    inference_ms: float | None = Field(
        default=None, description="the median that OpenVINO itself counts, without handing tensors over and copying out"
    )
    faster: Ratio | None = Field(
        default=None, description="than the source, in the same run; null for the source itself"
    )


class Machine(Strict):
    """Where figures were measured."""

    cpu: str
    instruction_set: InstructionSet
    cores: int
    memory_mib: int
    limited_by: str = Field(description="how the profile's share was held: cgroup, affinity, threads")
    measured_cpu: float | None = Field(default=None, description="most CPU that was had while measuring, in cores")


class Trial(Strict):
    """One runtime configuration that was measured under `clients` requests at a time."""

    runtime: RuntimeConfiguration
    clients: int
    p50_ms: float
    p99_ms: float
    p99_low_ms: float | None = Field(default=None, description="95 % confidence interval of p99_ms")
    p99_high_ms: float | None = None
    throughput_per_s: float
    outcome: str = Field(description="chosen, or why it was not")


class SiteFit(Strict):
    """Whether the release fits one site beside the other models that git says it runs."""

    site: str
    others: list[str] = Field(description="names of the other models")
    used_mib: int = Field(description="sum of the others' memory requests")
    used_cpu_m: int | None = Field(default=None, description="sum of their CPU requests; null: not recorded")
    free_mib: int = Field(description="what the profile's node has left for this model")
    fits: bool
    because: str


class Regression(Strict):
    """The release beside an earlier one, both timed in turns in this run."""

    release: str = Field(description="version and precision of the earlier release, and where its IR came from")
    faster: Ratio = Field(description="this release over the earlier one; below 1: slower")
    memory_mib: float = Field(description="peak memory of this release less the earlier one's")
    retimed: bool = Field(default=True, description="false: the earlier figures are its record's, so nothing is gated")
    allowed: float = Field(description="share by which it may be slower")


class BenchmarkSection(Section):
    """What benchmark-model measured."""

    section: ClassVar[str] = "benchmark"
    profile: str
    machine: Machine
    threads: int
    timings: list[Timing]
    onnxruntime: str = Field(default="", description="why ONNX Runtime is not among the timings, or that it is")
    speedup_f32: float = Field(description="how many times as fast as the source the f32 IR is, turn by turn")
    speedup_deployed: float = Field(description="the same of the deployed IR")
    goal: str = Field(default="latency", description="what the runtime configuration was chosen for")
    goal_met: bool = Field(default=True, description="false: no configuration kept the latency that was asked for")
    runtime: RuntimeConfiguration | None = Field(
        default=None, description="the one to deploy; null: as optimize-model says"
    )
    reused: bool = Field(default=False, description="true: the previous release's configuration, nothing was searched")
    trials: list[Trial] = Field(default=[], description="runtime configurations in the order they were tried")
    load_ms: float = Field(description="reading the IR and compiling it")
    compile_ms: float | None = Field(default=None, description="the compilation alone")
    first_inference_ms: float
    peak_rss_mib: int = Field(description="of a fresh process that loads and runs the deployed IR alone")
    server_rss_mib: int | None = Field(default=None, description="predicted peak of the server with this model")
    memory_request_mib: int
    memory_limit_mib: int
    cpu_request_m: int | None = Field(default=None, description="thousandths of a core; null: from the profile alone")
    cpu_limit_m: int | None = Field(default=None, description="thousandths of a core; null: from the profile alone")
    fits: bool
    fits_because: str
    sites: list[SiteFit] = Field(default=[], description="empty: no site was named, or git knows of none")
    against: Regression | None = None
