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

from converters import crowd, telemetry

Predict = Callable[[Mapping[str, Any]], dict[str, Any]]

FRAMEWORKS = {
    "torchscript": "torch", "pt2": "torch", "onnx": "onnxruntime",
    "state-dict": "torch", "safetensors": "torch",
    "savedmodel": "tensorflow", "frozen-pb": "tensorflow", "tflite": "tensorflow",
    "keras": "keras", "keras-h5": "keras",
}  # fmt: skip
"""What runs a source of that format; an IR has none."""


def join(groups: list[str]) -> None:
    """Become a member of these control groups."""
    for file in groups:
        Path(file).write_text(str(os.getpid()), encoding="ascii")


def compiled(spec: Mapping[str, Any]) -> tuple[Any, float]:  # openvino.CompiledModel
    """The IR, compiled with the properties of the spec, and the seconds that compiling took."""
    import openvino

    core = openvino.Core()
    model = core.read_model(spec["model"])
    began = time.perf_counter()
    return core.compile_model(model, "CPU", spec["config"]), time.perf_counter() - began


class Requester:
    """Requests to a compiled model, one at a time, fed as a server would: no copy on the way in, one out.

    `inner` gathers the milliseconds that OpenVINO itself counts for each, which are what benchmark_app shows.
    """

    def __init__(self, model: Any, keep: int) -> None:  # openvino.CompiledModel
        """Make an inference request. Tensors of so many feeds are kept."""
        import openvino

        self.tensor = openvino.Tensor
        self.inputs = [port.get_any_name() for port in model.inputs]
        self.outputs = [port.get_any_name() for port in model.outputs]
        self.request = model.create_infer_request()
        self.inner: list[float] = []
        self.keep = keep
        self.made: dict[int, tuple[object, list[Any]]] = {}

    def tensors(self, feed: Mapping[str, Any]) -> list[Any]:
        """The feed's arrays as OpenVINO's tensors, made once for those that come again and again."""
        known = self.made.get(id(feed))
        if known is not None:
            return known[1]
        found = [self.tensor(feed[name], shared_memory=True) for name in self.inputs]
        if len(self.made) < self.keep:
            self.made[id(feed)] = (feed, found)  # with the feed, so that its id is not given to another
        return found

    def __call__(self, feed: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request."""
        for at, tensor in enumerate(self.tensors(feed)):
            self.request.set_input_tensor(at, tensor)
        self.request.infer(share_outputs=True)
        self.inner.append(self.request.latency)
        return {name: np.array(self.request.get_output_tensor(at).data) for at, name in enumerate(self.outputs)}


def load_original(spec: Mapping[str, Any]) -> Predict:
    """The trained model in its own framework, with its preprocessing: it is fed what the IR is fed."""
    from converters import preprocessing, sources, workspace
    from nearedge.release import description

    at = Path(spec["description"])
    described = description.read(at)
    code = None if described.code is None else workspace.read(at.parent.parent).code()
    source = sources.load_source(Path(spec["model"]), spec["format"], described, threads=spec["threads"], code=code)
    return lambda feed: source.predict(preprocessing.preprocess(described, feed))


def rows_of(path: str) -> list[dict[str, Any]]:
    """The feeds in an .npz whose arrays have axis 0 the request."""
    with np.load(path, allow_pickle=False) as arrays:
        whole = {name: arrays[name] for name in arrays.files}
    count = len(next(iter(whole.values())))
    return [{name: np.array(array[at], order="C") for name, array in whole.items()} for at in range(count)]


def peak_mib() -> float:
    """Largest resident memory of this process so far. VmHWM, since ru_maxrss begins with the parent's."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


def answer(answers: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], feeds: list[Any], path: str) -> None:
    """Write the answers to all feeds to an .npz; axis 0 the request."""
    found = answers(feeds)
    whole: dict[str, Any] = {name: np.stack([one[name] for one in found]) for name in found[0]}
    np.savez(path, **whole)


def load(spec: Mapping[str, Any]) -> tuple[list[Predict], float | None]:
    """What answers requests, one for each worker, and the seconds that compiling took where that is a step."""
    if spec["kind"] == "source":
        return [load_original(spec)], None
    model, seconds = compiled(spec)
    keep = spec["feeds_kept"]
    return [Requester(model, keep) for _ in range(spec["workers"])], seconds


def main() -> int:
    """Load, report, then obey until `quit` or the end of stdin."""
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what frameworks print must not get between the answers

    def say(**values: object) -> None:
        print(json.dumps(values), file=answers, flush=True)

    join(spec["groups"])
    feeds = rows_of(spec["feeds"])
    telemetry.off()
    importlib.import_module(FRAMEWORKS.get(spec["format"], "openvino"))  # Python's import is not the model's load
    os.sched_setaffinity(0, spec["cores"])
    began = time.perf_counter()
    workers, compiling = load(spec)
    loaded = time.perf_counter()
    workers[0](feeds[0])
    first = time.perf_counter()
    compile_ms = None if compiling is None else compiling * 1000
    say(load_ms=(loaded - began) * 1000, compile_ms=compile_ms, first_ms=(first - loaded) * 1000, peak_mib=peak_mib())
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "quit":
            break
        if command["do"] == "answer":
            answer(crowd.batched(workers[0], spec["batch"]), feeds, command["path"])
            say(done=True)
        else:
            say(**crowd.turn(workers, feeds, spec["batch"], command["lead"], command["seconds"]), peak_mib=peak_mib())
    return 0


if __name__ == "__main__":
    sys.exit(main())
