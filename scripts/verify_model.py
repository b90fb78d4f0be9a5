"""verify-model: prove that the IR predicts what the trained model predicts."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters import (
    confidence,
    drift,
    execution,
    golden,
    held_to_less,
    instruction_set,
    preprocessing,
    proof,
    samples,
    source_answers,
    sources,
    telemetry,
    thresholds,
    workspace,
)
from converters.own_code import OwnCode
from converters.proof import Proof
from converters.quantities import share
from converters.workspace import Work
from nearedge.files import new_directory, sha256_file, write_bytes
from nearedge.program import add_results, guarded, new_parser, write_results
from nearedge.progress import say
from nearedge.release import sections
from nearedge.release.sections import (
    GoldenSection,
    Precision,
    RuntimeConfiguration,
    VerificationDeployedSection,
    VerificationF32Section,
    VerificationSection,
)

NAME = "verify-model"
STAGES: dict[str, type[VerificationSection]] = {"f32": VerificationF32Section, "deployed": VerificationDeployedSection}
GOLDEN_FILE = Path("golden/golden.npz")
MOST_GOLDEN_CANDIDATES = 256
"""Golden rows looked at; enough to find 64 sure ones, few enough to run twice in seconds."""


@dataclass(frozen=True)
class Outcome:
    """What the Task gives as results."""

    largest_difference: float
    metric_drop: float | None


@dataclass(frozen=True)
class Subject:
    """The IR of a stage and how it is run."""

    xml: Path
    precision: Precision
    runtime: RuntimeConfiguration


def parser() -> argparse.ArgumentParser:
    """The options of verify-model."""
    options = new_parser(NAME, "Prove that the IR predicts what the trained model predicts.")
    options.add_argument("--workspace", type=Path, required=True, help="the release's workspace")
    options.add_argument(
        "--stage", choices=tuple(STAGES), required=True,
        help="f32: ir/f32 executed in f32; deployed: ir/deployed as the site will run it, and the accuracy gate",
    )  # fmt: skip
    add_results(
        options,
        largest_difference="largest relative difference of any output",
        metric_drop="how much worse the IR is by the metric, empty without labels",
    )
    return options


def subject_of(work: Work, stage: str) -> Subject:
    """The IR that a stage is about. Raises InputError where it is missing or was changed since."""
    if stage == "f32":
        return Subject(work.f32(), "f32", workspace.runtime(work.profile, "f32"))
    xml, section = work.deployed()
    return Subject(xml, section.precision, section.runtime)


def run(root: Path, stage: str) -> Outcome:
    """Prove one stage; write its section, and the golden samples in stage deployed.

    Raises GateError where parity or the accuracy does not hold, InputError where something does not fit.
    """
    kind = STAGES[stage]
    sections.clear(root, kind, *((GoldenSection,) if stage == "deployed" else ()))
    telemetry.off()
    work = workspace.read(root)
    subject = subject_of(work, stage)
    evaluation = samples.evaluation(work.description, work.folder)
    code = work.code()
    framework, predict = source_of(work, evaluation, stage, code)
    keeping = source_answers.Keeping(predict)
    runner = execution.Runner(subject.xml, execution.properties(subject.runtime, work.threads))
    watched = drift.Watched(runner.predict, evaluation.rows_each)
    wanted = stage == "deployed" and work.description.drift
    found = proof.compare(
        work.description,
        evaluation,
        keeping.predict if stage == "f32" else predict,
        watched.predict if wanted else runner.predict,
        f"{stage}: samples compared",
        code,
        sure=True,
    )
    tell(found, subject.precision, framework, evaluation)
    limits = thresholds.of(work.description, subject.precision)
    if weaker := thresholds.weaker(limits, subject.precision):
        say(f"warning: model.yaml holds parity in {subject.precision} to less than nearedge does: {weaker}")
    found.gate(limits, subject.precision)
    if stage == "deployed":
        write_golden(work, subject, found, runner)
    own: dict[str, Any] = {"answers": keeping.write(root, work.folder, framework)} if stage == "f32" else {}
    if wanted:
        own["drift"] = watched.references(found.kinds, evaluation.rows)
    section = kind(
        precision=subject.precision,
        instruction_set=instruction_set.here(),
        samples=evaluation.rows,
        synthetic=evaluation.synthetic,
        outputs=found.outputs,
        thresholds=limits,
        metric=found.metric,
        **own,
    )
    sections.write(root, section)
    return Outcome(found.largest(), found.metric.drop if found.metric else None)


def source_of(work: Work, evaluation: samples.Samples, stage: str, code: OwnCode | None) -> tuple[str, proof.Predict]:
    """The trained model's framework and what answers for it: its answers of stage f32, kept, or the model itself."""
    proven = sections.read_optional(work.root, VerificationF32Section) if stage == "deployed" else None
    kept = source_answers.read(work.root, work.folder, proven.answers, len(evaluation.feeds)) if proven else None
    if kept is not None:
        say(f"the answers of {kept.framework} are those of stage f32: model, description and data are the same")
        return kept.framework, kept.predict
    source = sources.load_source(work.model, work.source.format, work.description, threads=work.threads, code=code)
    return source.framework, lambda feed: source.predict(preprocessing.preprocess(work.description, feed))


def tell(found: Proof, precision: Precision, framework: str, evaluation: samples.Samples) -> None:
    """Say what was found, before a gate may stop the run."""
    where = f"{evaluation.rows} {'synthetic ' if evaluation.synthetic else ''}samples"
    for one in found.outputs:
        agreements = (("top-1", one.top1_agreement), ("top-5", one.top5_agreement))
        told = "".join(f", {name} agreement {value:.2%}" for name, value in agreements if value is not None)
        say(
            f"output {one.name}: {precision} IR against {framework} on {where}: absolute difference at "
            f"most {one.max_abs:.2g}, mean {one.mean_abs:.2g}; at most {one.max_relative:.2g} of the output's largest "
            f"magnitude; cosine {one.cosine:.6f}{told}"
        )
    if found.metric:
        sure = confidence.words(found.metric)
        say(
            f"{found.metric.name} {found.metric.source:.4f} in {framework}, {found.metric.converted:.4f} in the "
            f"{precision} IR: drop {share(found.metric.drop)}, allowed {found.metric.allowed_drop:g}"
            f"{', by the function of the user' if found.metric.own else ''}"
        )
        if sure:
            say(f"warning: {found.metric.name}: {sure}" if found.metric.certain() is False else sure)


def write_golden(work: Work, subject: Subject, found: Proof, runner: execution.Runner) -> None:
    """Choose golden samples from the rows that model.yaml allows; write them and their section."""
    pool = samples.golden(work.description, work.folder)
    allowed = work.description.golden
    shutil.rmtree(work.root / GOLDEN_FILE.parent, ignore_errors=True)
    if pool is None or allowed is None:
        return
    feeds = pool.feeds[:MOST_GOLDEN_CANDIDATES]
    feeds = [one for one in feeds if {k: v.shape for k, v in one.items()} == {k: v.shape for k, v in feeds[0].items()}]
    whole = held_to_less.whole_range(subject.precision, work.profile.instruction_set)
    least = thresholds.of(work.description, subject.precision).min_top1_agreement if whole else None
    less = held_to_less.tried(subject.xml, subject.runtime, feeds, whole)
    candidates = [golden.Candidate(feed, runner.predict(feed), ()) for feed in feeds]
    candidates = held_to_less.to_hold(candidates, less, found.kinds, subject.precision, least)
    picked = golden.choose(candidates, found.kinds, allowed, subject.precision)
    if not picked:
        say(f"golden: none of {len(feeds)} samples decides so clearly that every processor must; none are shipped")
        return
    with new_directory(work.root / GOLDEN_FILE.parent) as folder:
        write_bytes(folder / GOLDEN_FILE.name, golden.archive(picked))
    path = work.root / GOLDEN_FILE
    section = GoldenSection(
        sha256=sha256_file(path),
        count=len(picked),
        size_bytes=path.stat().st_size,
        instruction_set=instruction_set.here(),
        tolerances=golden.tolerances(work.description, picked, found.kinds, subject.precision),
    )
    sections.write(work.root, section)
    say(f"golden: {len(picked)} of {len(feeds)} allowed samples will be shipped, {section.size_bytes} bytes")


def main(argv: Sequence[str] | None = None) -> int:
    """Read the options, prove, write the results."""
    options = parser().parse_args(argv)

    def action() -> None:
        outcome = run(options.workspace, options.stage)
        drop = "" if outcome.metric_drop is None else f"{outcome.metric_drop:.6g}"
        write_results(options, largest_difference=f"{outcome.largest_difference:.6g}", metric_drop=drop)

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())
