"""What the deployed model costs: latency beside the source and the f32 IR, load, memory, and the fit."""

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

from converters import execution, machine, preprocessing, samples, timing, workspace
from converters.quantities import counted
from converters.timing import Measured, Subject
from converters.workspace import SOURCE, Work
from nearedge.progress import say
from nearedge.release.description import FILE_NAME
from nearedge.release.profile import Profile
from nearedge.release.sections import BenchmarkSection, Framework, OptimizationSection, Timing

TIMED_SAMPLES = 16
ROUNDED_TO_MIB = 64
SERVER_MIB = 48
"""What the server takes beside the model: its HTTP parts and requests in flight. Measured: 35 to 45."""
REQUEST_HEADROOM = 1.1
LIMIT_HEADROOM = 1.4
"""Over what was measured: allocators, larger requests and other library builds differ; a limit too near kills."""
SPOKEN: dict[Framework, str] = {"pytorch": "PyTorch", "onnx": "ONNX Runtime", "tensorflow": "TensorFlow"}


@dataclass(frozen=True)
class Memory:
    """Kubernetes memory request and limit in MiB."""

    request_mib: int
    limit_mib: int


def rounded(mib: float) -> int:
    """Up to the next 64 MiB."""
    return math.ceil(mib / ROUNDED_TO_MIB) * ROUNDED_TO_MIB


def memory(peak_mib: float) -> Memory:
    """What to ask for, from the peak of a process that has the model alone."""
    whole = peak_mib + SERVER_MIB
    return Memory(rounded(whole * REQUEST_HEADROOM), rounded(whole * LIMIT_HEADROOM))


def fit(site: Profile, needs: Memory) -> tuple[bool, str]:
    """Whether the model fits the profile's share for one model, and the reason as a sentence."""
    share = site.model.memory_mib
    if needs.limit_mib > share:
        return False, (
            f"the memory limit of {needs.limit_mib} MiB is over the {share} MiB that {site.name} leaves for a model; "
            "choose a smaller precision or a larger site"
        )
    left = share - needs.limit_mib
    return True, (
        f"the memory limit of {needs.limit_mib} MiB leaves {left} of the {share} MiB that {site.name} has for a model; "
        f"{counted(site.threads, 'inference thread')} on its CPU share of {site.model.cpu:g}"
    )


def subjects(work: Work, f32: Path, deployed: Path, optimization: OptimizationSection) -> list[Subject]:
    """The three things that are timed, fed the same samples."""
    feeds = samples.evaluation(work.description, work.folder).feeds[:TIMED_SAMPLES]
    ready = [preprocessing.preprocess(work.description, feed) for feed in feeds]
    plain = execution.properties(workspace.runtime(work.profile, "f32"), work.threads)
    chosen = execution.properties(optimization.runtime, work.threads)
    return [
        Subject(
            "source",
            "source",
            work.model,
            ready,
            format=work.source.format,
            description=work.root / SOURCE / FILE_NAME,
        ),
        Subject("f32", "ir", f32, feeds, plain),
        Subject("deployed", "ir", deployed, feeds, chosen),
    ]


def measure(work: Work, seconds: float) -> BenchmarkSection:
    """Time all three in turns under the profile's share of this machine, with all the instructions that it has.

    optimize-model holds its candidates to the site's instruction set; here that would be unfair, since only some of
    the frameworks can be held (ONNX Runtime cannot), and the ratio to the source would be of two machines.

    Raises InputError where an IR is missing or was changed, or something cannot be loaded.
    """
    f32 = work.f32()
    deployed, optimization = work.deployed()
    where = machine.describe(work.profile)
    say(f"timing batch 1 on {where.cpu}: {where.limited_by}")
    cores = machine.usable_cores()[-work.threads :]
    with tempfile.TemporaryDirectory() as folder:
        measured = timing.interleaved(subjects(work, f32, deployed, optimization), cores, seconds, Path(folder), {})
    needs = memory(measured["deployed"].peak_mib)
    fits, because = fit(work.profile, needs)
    base = measured["source"].p50_ms()
    return BenchmarkSection(
        profile=work.profile.name,
        machine=where,
        threads=work.threads,
        timings=timings(measured, SPOKEN[work.source.framework], optimization),
        speedup_f32=base / measured["f32"].p50_ms(),
        speedup_deployed=base / measured["deployed"].p50_ms(),
        load_ms=measured["deployed"].load_ms,
        first_inference_ms=measured["deployed"].first_ms,
        peak_rss_mib=math.ceil(measured["deployed"].peak_mib),
        memory_request_mib=needs.request_mib,
        memory_limit_mib=needs.limit_mib,
        fits=fits,
        fits_because=because,
    )


def timings(measured: dict[str, Measured], framework: str, optimization: OptimizationSection) -> list[Timing]:
    """The section's entries in the order a person reads them."""
    return [
        measured["source"].timing("source", framework),
        measured["f32"].timing("f32", "OpenVINO, f32 weights and f32 execution"),
        measured["deployed"].timing(
            "deployed",
            executed(optimization),
        ),
    ]


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
