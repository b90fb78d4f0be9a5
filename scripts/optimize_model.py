"""optimize-model: choose the precision and runtime configuration to deploy, and make that IR."""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from converters import candidates, choose, reuse, samples, telemetry
from converters import workspace as works
from converters.candidates import Made
from converters.choose import Choice
from converters.study import Study
from converters.timing import Measured
from converters.workspace import DEPLOYED
from nearedge.errors import InputError, MachineError
from nearedge.files import new_directory, sha256_file, size_of
from nearedge.program import add_results, boolean, guarded, new_parser, write_results
from nearedge.progress import say
from nearedge.release import record, sections
from nearedge.release.sections import (
    ConversionSection,
    OptimizationSection,
    Precision,
    RuntimeConfiguration,
    VerificationF32Section,
)

NAME = "optimize-model"
BUDGET_S = 600.0
"""Candidates are begun for so long where the precision is chosen; int8-accuracy-aware is the one that may take it."""


def seconds(text: str) -> float:
    """Type of an option that takes a time in seconds, 0 or more."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: give seconds, 0 or more")
    return value


def drop(text: str) -> float | None:
    """Type of an option that takes how much a metric may drop, 0 or more; None for the empty text."""
    return seconds(text) if text else None


def parser() -> argparse.ArgumentParser:
    """The options of optimize-model."""
    options = new_parser(NAME, "Choose the precision and runtime configuration to deploy, and make that IR.")
    options.add_argument("--workspace", type=Path, required=True, help="the release's workspace")
    options.add_argument(
        "--precision", choices=("", "auto", *candidates.PRECISIONS), default="", help="empty: as model.yaml says"
    )
    options.add_argument(
        "--remeasure", type=boolean, default=False, help="true: measure again, even where the previous choice holds"
    )
    options.add_argument(
        "--budget-seconds", type=seconds, default=BUDGET_S, help="auto: begin no candidate after so many seconds"
    )
    options.add_argument(
        "--allow-synthetic-calibration",
        type=boolean,
        default=False,
        help="true: calibrate INT8 with made-up samples where model.yaml names none; the gates judge what comes of it",
    )
    options.add_argument(
        "--max-drop",
        type=drop,
        default=None,
        help="most that int8-accuracy-aware may lose on the calibration rows; empty: as model.yaml says",
    )
    add_results(options, precision="the precision that was chosen")
    return options


@dataclass(frozen=True)
class Request:
    """What was asked for. `max_drop` is None where model.yaml or the gate says it."""

    precision: str = ""
    remeasure: bool = False
    budget_s: float = BUDGET_S
    allow_synthetic: bool = False
    max_drop: float | None = None


@dataclass(frozen=True)
class Result:
    """The precision to deploy with everything the section says about it."""

    choice: Choice
    runtime: RuntimeConfiguration
    made: list[Made]
    measured: Mapping[str, Measured]
    left_out: dict[Precision, str]
    reused: bool

    def chosen(self) -> Made:
        """The candidate to deploy."""
        return next(one for one in self.made if one.precision == self.choice.precision)


def run(root: Path, request: Request) -> str:
    """Choose, write `ir/deployed` and the section; return the precision.

    Raises InputError where an explicit precision is not possible, GateError where no candidate holds.
    """
    sections.clear(root, OptimizationSection)
    telemetry.off()
    work = works.read(root)
    conversion = sections.read(root, ConversionSection)
    requested = request.precision or work.description.precision
    proven = sections.read_optional(root, VerificationF32Section)
    with tempfile.TemporaryDirectory(dir=root, prefix=".optimize.") as folder:
        study = Study(
            work=work,
            f32=work.f32(),
            evaluation=samples.evaluation(work.description, work.folder),
            calibration=samples.calibration(work.description, work.folder, request.allow_synthetic),
            before=proven.metric.source if proven and proven.metric else None,
            folder=Path(folder),
            max_drop=request.max_drop,
        )
        result = decide(study, replace(request, precision=requested), conversion)
        deploy(root, result.chosen().xml)
    write_section(root, replace(request, precision=requested), result, conversion, study.made_up)
    return result.choice.precision


def decide(study: Study, request: Request, conversion: ConversionSection) -> Result:
    """Keep the previous choice where it is for the same thing, else try what was asked for; say each outcome."""
    result = found(study, request, conversion)
    if study.made_up:
        noted = result.choice.noting("; calibrated with made-up samples", candidates.CALIBRATED)
        result = replace(result, choice=noted)
    for name, outcome in (result.choice.outcomes | result.left_out).items():
        say(f"{name}: {outcome}")
    return result


def found(study: Study, request: Request, conversion: ConversionSection) -> Result:
    """The previous choice where it is for the same thing, else what comes of trying what was asked for."""
    if request.remeasure:
        previous, why = None, "remeasure is set: candidates are measured"
    else:
        last = record.read_previous(study.work.root)
        previous, why = reuse.kept(
            last, study.work, conversion.openvino, request.precision, study.made_up, request.max_drop
        )
    say(why)
    if previous is not None and not study.refusal(previous[0]):
        return keep(study, *previous)
    if request.precision == "auto":
        return automatic(study, request.budget_s)
    return explicit(study, cast(Precision, request.precision))


def keep(study: Study, precision: Precision, runtime: RuntimeConfiguration) -> Result:
    """Make the previous precision again and check it; nothing is timed."""
    made = study.make(precision)
    held = f"but {made.faults[0]}" if made.faults else "holds as before"
    outcome = f"chosen: kept from the previous release, not timed; {held}"
    return Result(Choice(precision, {precision: outcome}), runtime, [made], {}, {}, reused=True)


def explicit(study: Study, precision: Precision) -> Result:
    """Make what was asked for, beside f32 to compare with. verify-model is the gate for it.

    Raises InputError or MachineError where it is not possible.
    """
    why = study.refusal(precision)
    if why:
        raise (MachineError if "this machine" in why else InputError)(f"precision {precision}: {why}")
    made = [study.make(one) for one in dict.fromkeys(("f32", precision))]
    measured = study.time(made)
    wanted = made[-1]
    held = f"though {wanted.faults[0]}" if wanted.faults else choose.praise(precision, wanted, measured)
    outcomes: dict[Precision, str] = {"f32": "made to compare with", precision: f"chosen: asked for; {held}"}
    return Result(
        Choice(precision, outcomes), works.runtime(study.work.profile, precision), made, measured, {}, reused=False
    )


def automatic(study: Study, budget_s: float) -> Result:
    """Try the precisions within the time there is, time them, take the fastest of those that hold and are worth it."""
    tried = study.try_all(budget_s)
    measured = study.time(tried.made)
    choice = choose.fastest(tried.made, measured)
    runtime = works.runtime(study.work.profile, choice.precision)
    return Result(choice, runtime, tried.made, measured, tried.left_out, reused=False)


def deploy(root: Path, xml: Path) -> None:
    """Put a candidate's IR to where the next Tasks take it from."""
    with new_directory((root / DEPLOYED).parent) as folder:
        for file in (xml, xml.with_suffix(".bin")):
            file.replace(folder / file.name)


def write_section(root: Path, request: Request, result: Result, conversion: ConversionSection, made_up: bool) -> None:
    """Say what was chosen; the tensors are as converted, since no precision changes what clients see."""
    xml = root / DEPLOYED
    section = OptimizationSection(
        requested=request.precision,
        precision=result.choice.precision,
        runtime=result.runtime,
        inputs=conversion.inputs,
        outputs=conversion.outputs,
        xml_sha256=sha256_file(xml),
        bin_sha256=sha256_file(xml.with_suffix(".bin")),
        size_bytes=size_of(xml.parent),
        candidates=choose.table(result.made, result.measured, result.left_out, result.choice.outcomes),
        reused=result.reused,
        synthetic_calibration=made_up,
        max_drop=request.max_drop,
    )
    sections.write(root, section)


def main(argv: Sequence[str] | None = None) -> int:
    """Read the options, choose, write the result."""
    options = parser().parse_args(argv)

    def action() -> None:
        request = Request(
            precision=options.precision,
            remeasure=options.remeasure,
            budget_s=options.budget_seconds,
            allow_synthetic=options.allow_synthetic_calibration,
            max_drop=options.max_drop,
        )
        write_results(options, precision=run(options.workspace, request))

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())
