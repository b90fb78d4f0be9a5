"""Whether benchmark-model's figures hold: medians beside benchmark_app's, predicted memory beside the server's.

    python benchmarks/sizing.py [--rounds 8] [NAME ...]

For each example and a network of dense layers with 100 MB of weights: a release is made as the Pipeline makes it, up
to benchmark-model. Then turns of benchmark-model's own timing and of OpenVINO's benchmark_app (the same hint and
threads, one request after the other, on the same processors) are interleaved on the deployed IR, and a server of its
own is put under a longer and heavier load than benchmark-model uses. benchmark_app shows what OpenVINO counts for an
inference, so that is what its median is compared with; a request is that and handing tensors over, as a client has it.
Prints Markdown for RESULTS.md.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from converters import execution, intervals, machine, samples, server_memory, workspace
from converters.timed_process import Subject, child
from converters.workspace import Work
from nearedge.release import record, sections
from nearedge.release.sections import BenchmarkSection, RuntimeConfiguration

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ("digits", "diabetes", "filetypes")
LARGE = "dense-100mb"
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
TURN_S = 1.0
MEDIAN = re.compile(r"Median:\s+([\d.]+) (us|ms)")
LOAD_S = 5.0
CLIENTS = 8
WIDTH, LAYERS = 2280, 5
"""4 * 2280 * 2280 * 5 bytes of weights: 104 MB."""


def done(command: list[str]) -> str:
    """Standard output of a command; leaves with its errors where it fails."""
    found = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{found.stderr}")
    return found.stdout


def dense(folder: Path) -> None:
    """An ONNX model of dense layers with random weights, and its model.yaml."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng, nodes, weights, last = np.random.default_rng(0), [], [], "x"
    for layer in range(LAYERS):
        array = rng.normal(0, WIDTH**-0.5, (WIDTH, WIDTH)).astype(np.float32)
        weights.append(numpy_helper.from_array(array, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{layer}"], [f"m{layer}"]))
        nodes.append(helper.make_node("Relu", [f"m{layer}"], [last := f"y{layer}" if layer < LAYERS - 1 else "y"]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "dense", ends[:1], ends[1:], weights)
    folder.mkdir()
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    (folder / "model.yaml").write_text(
        f"schema: 1\nname: {LARGE}\nsource: {{path: model.onnx}}\n"
        f"inputs: [{{name: x, shape: [-1, {WIDTH}], dtype: FP32}}]\n"
        "outputs: [{name: y}]\nprecision: f32\n"
    )


def release(name: str, folder: Path) -> Path:
    """A workspace of that model after benchmark-model."""
    trained, root = folder / "trained", folder / "release"
    if name == LARGE:
        dense(trained)
    else:
        done([sys.executable, str(ROOT / "examples" / name / "train.py"), f"--out={trained}"])
    program = [sys.executable, "-m", "scripts.nearedge"]
    done([*program, "fetch-model", f"--workspace={root}", f"--source={trained}", "--model=model.yaml"])
    for step in (["convert-model"], ["optimize-model"], ["verify-model", "--stage=deployed"], ["benchmark-model"]):
        done([*program, *step, f"--workspace={root}"])
    return root


def app(work: Work, xml: Path, runtime: RuntimeConfiguration, cores: list[int], folder: Path) -> float:
    """benchmark_app's median in milliseconds."""
    feed = samples.evaluation(work.description, work.folder).feeds[0]
    shapes = ",".join(f"{name}[{','.join(map(str, array.shape))}]" for name, array in feed.items())
    config = folder / "app.json"
    config.write_text(json.dumps({"CPU": {"INFERENCE_NUM_THREADS": runtime.threads}}))
    options = {
        "-m": xml, "-d": "CPU", "-hint": runtime.performance_hint.lower(), "-load_config": config, "-api": "sync",
        "-infer_precision": runtime.inference_precision, "-t": 1, "-data_shape": shapes,
    }  # fmt: skip
    words = [str(word) for pair in options.items() for word in pair]
    command = ["taskset", "-c", ",".join(map(str, cores)), str(Path(sys.executable).parent / "benchmark_app")]
    [(value, unit)] = MEDIAN.findall(done([*command, *words]))  # -json_stats has two digits of a millisecond
    return float(value) / (1000 if unit == "us" else 1)


def medians(work: Work, rounds: int, folder: Path) -> list[tuple[float, float, float]]:
    """In turns: benchmark-model's median, the one that OpenVINO counts in it, and benchmark_app's, in milliseconds."""
    xml, _ = work.deployed()
    runtime = sections.read(work.root, BenchmarkSection).runtime
    feeds = samples.evaluation(work.description, work.folder).feeds[:16]
    cores = machine.pinned(work.profile)
    subject = Subject("deployed", "ir", xml, list(feeds), execution.properties(runtime, work.threads))
    found = []
    with child(subject, cores, {}, folder) as one:
        one.hear()
        one.tell(do="time", seconds=TURN_S, lead=0.0)
        for _ in range(rounds):
            ours = one.tell(do="time", seconds=TURN_S, lead=0.0)
            theirs = app(work, xml, runtime, cores, folder)
            found.append((float(np.median(ours["latencies"])), float(np.median(ours["inner"])), theirs))
    return found


def server_mib(work: Work, folder: Path) -> float:
    """Peak of a server with this release under a longer and heavier load, in MiB."""
    xml, _ = work.deployed()
    identity = record.identity(work.root, work.profile.name)
    feeds = samples.evaluation(work.description, work.folder).feeds[:64]
    cores, held = machine.pinned(work.profile), machine.share(work.profile)
    return server_memory.peak_mib(
        work.description, xml, identity, list(feeds), cores, held, folder, seconds=LOAD_S, clients=CLIENTS
    )


def row(name: str, rounds: int, folder: Path) -> str:
    """One line of the table."""
    work = workspace.read(release(name, folder))
    section = sections.read(work.root, BenchmarkSection)
    _, optimization = work.deployed()
    for part in ("app", "server"):
        (folder / part).mkdir()
    turns = medians(work, rounds, folder / "app")
    columns = list(zip(*turns, strict=True))
    client, ours, theirs = (statistics.median(times) for times in columns)
    ratio = intervals.faster(columns[1], columns[2])
    took = server_mib(work, folder / "server")
    predicted = section.server_rss_mib or 0
    times = f"{client:.4f} | {ours:.4f} | {theirs:.4f} | {ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
    memory = f"{predicted} MiB | {took:.0f} MiB | {predicted / took:.2f}"
    return f"| {name} | {optimization.precision} | {times} | {memory} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rounds", type=int, default=8, help="turns of each; medians, and the 95 %% interval of the ratio"
    )
    parser.add_argument(
        "names", nargs="*", default=[*EXAMPLES, LARGE], metavar="NAME", help=", ".join((*EXAMPLES, LARGE))
    )
    options = parser.parse_args()
    print(f"{machine.cpu_name(Path('/proc/cpuinfo').read_text())}, {os.cpu_count()} cores; {options.rounds} turns\n")
    print("| model | precision | request ms | inference ms | benchmark_app ms | ratio | predicted | server | ratio |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    for name in options.names:
        with tempfile.TemporaryDirectory() as folder:
            print(row(name, options.rounds, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
