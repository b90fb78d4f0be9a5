"""Take magika's ONNX model out of its package and make data from files whose kind their name tells.

Nothing is trained: the model is one of those that come to a site ready made. The data are files of this Python
installation, so they differ between machines. Features follow magika's published scheme, version 2: the first and last
1024 bytes after white space is stripped, 256 where a file is shorter.
"""

import argparse
import json
import shutil
import sysconfig
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np

WINDOW = 1024
BLOCK = 4096
PADDING = 256
ROWS = 240
SMALLEST = 200
KINDS = {
    ".py": "python",
    ".so": "elf",
    ".json": "json",
    ".css": "css",
    ".npz": "npz",
    ".pyc": "pythonbytecode",
}


def features(content: bytes) -> np.ndarray:
    """The 2048 values int32 that magika looks at."""
    head = content[:BLOCK].lstrip()[:WINDOW]
    tail = content[-BLOCK:].rstrip()[-WINDOW:]
    values = np.full(2 * WINDOW, PADDING, dtype=np.int32)
    values[: len(head)] = np.frombuffer(head, dtype=np.uint8)
    if tail:
        values[-len(tail) :] = np.frombuffer(tail, dtype=np.uint8)
    return values


def candidates() -> Iterator[tuple[str, Path]]:
    """Files of this Python installation with the kind their ending tells, in a fixed order."""
    for folder in dict.fromkeys(sysconfig.get_paths()[key] for key in ("stdlib", "platlib")):
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix in KINDS and path.is_file() and path.stat().st_size >= SMALLEST:
                yield KINDS[path.suffix], path


def pick(kinds: list[str]) -> list[tuple[str, Path]]:
    """ROWS files, as many of each kind as there are, shuffled the same way every time."""
    found: dict[str, list[Path]] = {}
    for kind, path in candidates():
        if kind in kinds:
            found.setdefault(kind, []).append(path)
    random = np.random.default_rng(0)
    picked: list[tuple[str, Path]] = []
    for kind, paths in sorted(found.items()):
        order = random.permutation(len(paths))[:ROWS]
        picked += [(kind, paths[number]) for number in order[: ROWS // 2 if kind == "python" else ROWS // 4]]
    return [picked[number] for number in random.permutation(len(picked))[:ROWS]]


def main() -> None:
    """Copy the model and write `data.npz`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=1, help="without effect: nothing is trained")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    (model,) = Path(str(resources.files("magika"))).glob("models/*/model.onnx")
    labels: list[str] = json.loads(model.with_name("config.min.json").read_text())["target_labels_space"]
    files = pick(labels)
    rows = np.stack([features(path.read_bytes()) for _, path in files])
    kinds = np.array([labels.index(kind) for kind, _ in files], dtype=np.int64)
    shutil.copy(model, options.out / "model.onnx")
    np.savez_compressed(options.out / "data.npz", bytes=rows, label=kinds)
    shutil.copy(Path(__file__).with_name("model.yaml"), options.out)


if __name__ == "__main__":
    main()
