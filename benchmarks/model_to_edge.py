"""How long model-to-edge takes on the examples, Task by Task, and what each program costs before it does anything.

    python benchmarks/model_to_edge.py [--rounds 3] [EXAMPLE ...]

Environment and base layer are there already, as in a second demo; each round has a release workspace and a GitOps
repository of its own. Prints Markdown for RESULTS.md; the first line says which machine the seconds are of.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from converters import machine

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ("digits", "diabetes", "filetypes")
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


def seconds(command: list[str], cwd: Path) -> tuple[float, str]:
    """Wall time and standard output of a command; leaves with its errors where it fails."""
    started = time.monotonic()
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return time.monotonic() - started, done.stdout


def took(status: dict[str, str]) -> float:
    """Seconds between start and end of a status."""
    begin, end = (datetime.fromisoformat(status[key]) for key in ("startTime", "completionTime"))
    return (end - begin).total_seconds()


def one_round(source: Path, home: Path) -> dict[str, float]:
    """Seconds of the whole run and of each Task."""
    (home / "release").mkdir(parents=True)
    command = [sys.executable, "-m", "scripts.nearedge", "run", "model-to-edge", "--name=round", "--json", "--quiet"]
    command += ["-p=image=oci:image:bench", "-p=allow-layout=true", "-p=base-image=host", "-p=test-port=18099"]
    command += [f"-w=source={source}", f"-w=release={home / 'release'}"]
    whole, _ = seconds(command, home)
    tasks = sorted((home / ".nearedge/runs/round/taskruns").glob("*.json"))
    documents = [json.loads(path.read_text()) for path in tasks]
    spent = {path.stem: took(document["status"]) for path, document in zip(tasks, documents, strict=True)}
    return {"whole run": whole, **spent}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each example; medians are printed")
    parser.add_argument("examples", nargs="*", default=EXAMPLES, metavar="EXAMPLE", help=", ".join(EXAMPLES))
    options = parser.parse_args()
    processor = machine.cpu_name(Path("/proc/cpuinfo").read_text())
    print(f"{processor}, {os.cpu_count()} cores; medians of {options.rounds} runs, seconds\n")
    help_s = [seconds([sys.executable, "-m", "scripts.nearedge", "--help"], ROOT)[0] for _ in range(5)]
    print(f"`nearedge --help`: {statistics.median(help_s):.2f}\n")
    columns: dict[str, dict[str, float]] = {}
    for example in options.examples:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "trained"
            training, _ = seconds(
                [sys.executable, str(ROOT / "examples" / example / "train.py"), f"--out={source}"], ROOT
            )
            rounds = [one_round(source, Path(folder) / str(number)) for number in range(options.rounds)]
        medians = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
        columns[example] = {"training": training, **medians}
    rows = list(columns[options.examples[0]])
    print(f"| | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for row in rows:
        print(f"| {row} | {' | '.join(f'{column[row]:.1f}' for column in columns.values())} |")


if __name__ == "__main__":
    main()
