"""One model in a process of its own: loads it, times it when told to, answers samples, says what memory it took.

Run as `python -m converters.timed_child SPEC` with SPEC the path of a JSON file. It reads one JSON command a line on
stdin and writes one JSON answer a line on stdout. An IR's child imports openvino and numpy and nothing else, so its
memory is the model's. `converters.timing` starts it and speaks with it.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from converters import telemetry

Predict = Callable[[Mapping[str, Any]], object]

FRAMEWORKS = {
    "torchscript": "torch", "pt2": "torch", "onnx": "onnxruntime",
    "savedmodel": "tensorflow", "frozen-pb": "tensorflow", "tflite": "tensorflow",
}  # fmt: skip
"""What runs a source of that format; an IR has none."""
MOST_LATENCIES = 5000
"""A slice ends at so many; more would only lengthen the answer."""


def load_ir(spec: Mapping[str, Any]) -> Predict:
    """An IR, compiled with the properties of the spec, and fed as a server would: no copy on the way in, one out."""
    import openvino

    compiled = openvino.Core().compile_model(spec["model"], "CPU", spec["config"])
    inputs = {port.get_any_name(): port for port in compiled.inputs}
    outputs = {port.get_any_name(): port for port in compiled.outputs}
    request = compiled.create_infer_request()

    def predict(feed: Mapping[str, Any]) -> object:
        for name, port in inputs.items():
            request.set_tensor(port, openvino.Tensor(feed[name], shared_memory=True))
        request.infer()
        return {name: np.array(request.get_tensor(port).data) for name, port in outputs.items()}

    return predict


def load_original(spec: Mapping[str, Any]) -> Predict:
    """The trained model in its own framework."""
    from converters import sources
    from nearedge.release import description

    described = description.read(Path(spec["description"]))
    source = sources.load_source(Path(spec["model"]), spec["format"], described, threads=spec["threads"])
    return source.predict


def rows_of(path: str) -> list[dict[str, Any]]:
    """The feeds in an .npz whose arrays have axis 0 the request."""
    with np.load(path, allow_pickle=False) as arrays:
        whole = {name: arrays[name] for name in arrays.files}
    count = len(next(iter(whole.values())))
    return [{name: np.array(array[at], order="C") for name, array in whole.items()} for at in range(count)]


def timed(predict: Predict, feeds: list[dict[str, Any]], seconds: float) -> list[float]:
    """Latencies in milliseconds of requests sent one after the other for so long; at least three."""
    latencies: list[float] = []
    until = time.perf_counter() + seconds
    while len(latencies) < 3 or (time.perf_counter() < until and len(latencies) < MOST_LATENCIES):
        feed = feeds[len(latencies) % len(feeds)]
        began = time.perf_counter()
        predict(feed)
        latencies.append((time.perf_counter() - began) * 1000)
    return latencies


def peak_mib() -> float:
    """Largest resident memory of this process so far. VmHWM, since ru_maxrss begins with the parent's."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


def answer(predict: Predict, feeds: list[dict[str, Any]], path: str) -> None:
    """Write the answers to all feeds to an .npz; axis 0 the request."""
    found: list[Any] = [predict(feed) for feed in feeds]
    whole: dict[str, Any] = {name: np.stack([one[name] for one in found]) for name in found[0]}
    np.savez(path, **whole)


def main() -> int:
    """Load, report, then obey until `quit` or the end of stdin."""
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what frameworks print must not get between the answers

    def say(**values: object) -> None:
        print(json.dumps(values), file=answers, flush=True)

    feeds = rows_of(spec["feeds"])
    telemetry.off()
    importlib.import_module(FRAMEWORKS.get(spec["format"], "openvino"))  # Python's import is not the model's load
    os.sched_setaffinity(0, spec["cores"])
    began = time.perf_counter()
    predict = (load_ir if spec["kind"] == "ir" else load_original)(spec)
    loaded = time.perf_counter()
    predict(feeds[0])
    say(load_ms=(loaded - began) * 1000, first_ms=(time.perf_counter() - loaded) * 1000)
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "quit":
            break
        if command["do"] == "answer":
            answer(predict, feeds, command["path"])
            say(done=True)
        else:
            say(latencies=timed(predict, feeds, command["seconds"]), peak_mib=peak_mib())
    return 0


if __name__ == "__main__":
    sys.exit(main())
