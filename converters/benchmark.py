"""What the deployed model costs: latency beside the source and the f32 IR, load, memory, and the fit.

Everything is held to the profile's share of this machine. A request is what a client sends: the source's preprocessing,
which is part of the IR, is done in numpy before it and timed with it.
"""

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

from converters import (
    configurations,
    execution,
    machine,
    regression,
    runtime_reuse,
    samples,
    search,
    server_memory,
    sizing,
    timing,
    timing_entries,
    workspace,
)  # fmt: skip
from converters.choice import Choice
from converters.confinement import Share
from converters.measured import Measured
from converters.regression import Earlier
from converters.samples import Feed
from converters.search import Question
from converters.timed_process import Subject
from converters.workspace import SOURCE, Work
from nearedge.errors import InputError, MachineError
from nearedge.progress import say
from nearedge.release import record
from nearedge.release.description import FILE_NAME
from nearedge.release.sections import (
    BenchmarkSection,
    OptimizationSection,
    Regression,
    RuntimeConfiguration,
    Timing,
)  # fmt: skip

TIMED_SAMPLES = 16
SERVER_MIB = 48
"""What the server takes beside the model where it cannot be started here. Measured: 35 to 45."""
PART_OF_A_CORE = 0.2
"""What reading the clock and handing requests over takes beside inference."""


@dataclass(frozen=True)
class Asked:
    """What a run was asked for: seconds for the comparison and as many for the search, and how to treat what was."""

    seconds: float
    remeasure: bool = False
    against: str = ""
    allowed_slowdown: float = 0.1


@dataclass(frozen=True)
class Setting:
    """What is timed and where: both IRs, the requests, the processors and the share of the machine."""

    work: Work
    f32: Path
    deployed: Path
    optimization: OptimizationSection
    feeds: list[Feed]
    cores: list[int]
    held: Share
    folder: Path


def measure(work: Work, asked: Asked) -> BenchmarkSection:
    """Choose the runtime configuration, then time all in turns under the profile's share of this machine.

    optimize-model holds its candidates to the site's instruction set; here that would be unfair, since only some of
    the frameworks can be held (ONNX Runtime cannot), and the ratio to the source would be of two machines.

    Raises InputError where an IR is missing or was changed, or something cannot be loaded; GateError where the
    deployed model takes more memory than the profile has for it.
    """
    f32 = work.f32()
    deployed, optimization = work.deployed()
    held = machine.share(work.profile)
    where = machine.describe(work.profile, held)
    say(f"timing on {where.cpu}: {where.limited_by}")
    feeds = samples.evaluation(work.description, work.folder).feeds[:TIMED_SAMPLES]
    earlier = before(work, optimization, asked.against)
    with tempfile.TemporaryDirectory() as name:
        setting = Setting(
            work, f32, deployed, optimization, list(feeds), machine.pinned(work.profile), held, Path(name)
        )
        choice, kept = chosen(setting, asked)
        say(f"deployed with {configurations.described(choice.runtime)}")
        every = subjects(setting, choice.runtime, earlier)
        measured = timing.interleaved(every, setting.cores, asked.seconds, setting.folder, {}, held)
        server_mib = server(setting, choice.runtime, measured["deployed"])
    entries = timing_entries.timings(measured, work, optimization)
    ours = measured["deployed"]
    needs = sizing.memory(server_mib)
    cpu = sizing.cpu(busy(ours, choice.runtime), work.profile, work.description.target.goal)
    fits, because = sizing.fit(work.profile, needs)
    return BenchmarkSection(
        profile=work.profile.name,
        machine=where,
        threads=min(work.threads, choice.runtime.threads),
        timings=entries,
        onnxruntime=timing_entries.onnxruntime(work),
        speedup_f32=timing_entries.speedup(entries[-2]),
        speedup_deployed=timing_entries.speedup(entries[-1]),
        goal=search.wish(work.description.target),
        goal_met=choice.goal_met,
        runtime=choice.runtime,
        reused=kept,
        trials=choice.trials,
        load_ms=ours.load_ms,
        compile_ms=ours.compile_ms,
        first_inference_ms=ours.first_ms,
        peak_rss_mib=math.ceil(ours.peak_mib),
        server_rss_mib=math.ceil(server_mib),
        memory_request_mib=needs.request_mib,
        memory_limit_mib=needs.limit_mib,
        cpu_request_m=cpu.request_m,
        cpu_limit_m=cpu.limit_m,
        fits=fits,
        fits_because=because,
        against=compared(work, earlier, measured, entries[-1], asked),
    )


def before(work: Work, optimization: OptimizationSection, against: str) -> Earlier | None:
    """The earlier release to time again; None where none was named, or only its record is at hand."""
    if not against:
        return None
    inputs = [one.name for one in optimization.inputs]
    if against == regression.PREVIOUS:
        return regression.deployed(work.root, work.description.name, inputs)
    return regression.find(work.root, against, work.description.name, inputs)


def chosen(setting: Setting, asked: Asked) -> tuple[Choice, bool]:
    """The runtime configuration: the previous release's where all that it was chosen for is the same, else by search.

    The second value is whether it was kept.
    """
    work = setting.work
    if asked.remeasure:
        kept, why = None, "remeasure is set: configurations are measured"
    else:
        kept, why = runtime_reuse.kept(record.read_previous(work.root), work, setting.optimization)
    say(f"runtime configuration: {why}")
    question = Question(
        setting.deployed, setting.optimization, work.description.target, work.threads, setting.feeds, setting.cores,
        setting.held, setting.folder,
    )  # fmt: skip
    if kept is not None:
        return search.check(question, kept, asked.seconds), True
    found = search.choose(question, asked.seconds)
    return Choice(configurations.for_site(found.runtime, work), found.trials, found.goal_met), False


def subjects(setting: Setting, runtime: RuntimeConfiguration, earlier: Earlier | None) -> list[Subject]:
    """What is timed in turns, all fed the same requests one after the other."""
    work, feeds = setting.work, setting.feeds
    plain = execution.properties(workspace.runtime(work.profile, "f32"), work.threads)
    found = [
        Subject(
            "source", "source", work.model, feeds, {"INFERENCE_NUM_THREADS": work.threads},
            format=work.source.format, description=work.root / SOURCE / FILE_NAME,
        ),
        Subject("f32", "ir", setting.f32, feeds, plain),
        Subject("deployed", "ir", setting.deployed, feeds, configured(work, runtime), at_site=True),
    ]  # fmt: skip
    if earlier is not None:
        found.append(Subject("earlier", "ir", earlier.xml, feeds, configured(work, earlier.identity.runtime)))
    return found


def configured(work: Work, runtime: RuntimeConfiguration) -> dict[str, object]:
    """OpenVINO's properties, with no more threads than this machine has."""
    return execution.properties(runtime, min(work.threads, runtime.threads))


def server(setting: Setting, runtime: RuntimeConfiguration, alone: Measured) -> float:
    """Peak memory of the server in MiB: measured where it can be started, else the model's own and what it adds.

    A server that does not start is not this Task's to judge: test-serving-image does.
    """
    work = setting.work
    try:
        if not server_memory.available():
            raise MachineError("it is not installed here")
        say("measuring the server's memory under load")
        identity = record.identity(work.root, work.profile.name).model_copy(update={"runtime": runtime})
        return server_memory.peak_mib(
            work.description, setting.deployed, identity, setting.feeds, setting.cores, setting.held, setting.folder
        )
    except (InputError, MachineError) as error:
        say(f"the server's memory could not be measured ({error}): taken as the model's and {SERVER_MIB} MiB")
        return alone.peak_mib + SERVER_MIB


def busy(ours: Measured, runtime: RuntimeConfiguration) -> int:
    """Cores that are busy under full load: those of one client, times the streams that may be so at once.

    Whole ones: a thread at full load takes a core, and one that seems to take less shared it while it was timed.
    """
    return max(1, math.ceil(max(ours.cores) - PART_OF_A_CORE)) * runtime.streams


def compared(
    work: Work, earlier: Earlier | None, measured: dict[str, Measured], deployed: Timing, asked: Asked
) -> Regression | None:
    """The comparison that --against asked for."""
    ours = measured["deployed"]
    if earlier is not None:
        return regression.retimed(earlier, measured["earlier"], ours, asked.allowed_slowdown)
    previous = record.read_previous(work.root) if asked.against == regression.PREVIOUS else None
    if previous is None:
        if asked.against == regression.PREVIOUS:
            say("--against=previous: no release is known to be deployed, so there is nothing to compare with")
        return None
    return regression.recorded(previous, deployed, ours.peak_mib, asked.allowed_slowdown)
