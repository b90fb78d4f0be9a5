"""One version of a model: check its files, compile it as its record says, run it."""

import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serving_image import instruction_set, ir, record
from serving_image.faults import LoadError, one_line
from serving_image.logs import event
from serving_image.record import Record, Runtime
from serving_image.tensors import OPENVINO, Array, Spec, quoted

LONG_S = 0.02
"""An inference that takes longer is run so that it can be cancelled."""


@dataclass(frozen=True)
class Execution:
    """How the model is run in truth, as OpenVINO says after compiling it."""

    inference_precision: str
    performance_hint: str
    streams: int
    threads: int
    requests: int


@dataclass(frozen=True)
class Model:
    """A compiled model. `slots` are its inference requests."""

    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    record: Record | None
    execution: Execution
    slots: list["InferSlot"]


class InferSlot:
    """One InferRequest. Inputs of static models are written straight into its tensors: 10 us instead of 50."""

    def __init__(
        self, request: Any, inputs: Sequence[Any], outputs: Sequence[Spec], *, static: bool
    ) -> None:  # openvino's classes carry no types
        """`inputs` are the OpenVINO element types in order, `outputs` what the model gives."""
        self.request = request
        self.types = inputs
        self.outputs = range(len(outputs))
        self.strings = any(spec.datatype == "BYTES" for spec in outputs)
        self.seconds = float("inf")
        self.views = [request.get_input_tensor(at).data for at in range(len(inputs))] if static else []

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Outputs, copied out of the request's memory. Raises RuntimeError where OpenVINO cannot compute."""
        if self.views:
            for view, array in zip(self.views, arrays, strict=True):
                np.copyto(view.view(array.dtype), array)
        else:
            for at, array in enumerate(arrays):
                self.request.set_input_tensor(at, self.tensor(at, array))
        self.compute()
        return [bits(self.request.get_output_tensor(at)) for at in self.outputs]

    def compute(self) -> None:
        """Run it. Only start_async can be cancelled, and costs 100 us more: it is for what took long the last time.

        It is for strings as well: `infer` copies them into a dictionary that nobody reads, and warns each time that it
        does. Where warnings are errors, OpenVINO 2026.4 goes on with one pending: SystemError, TypeError and the like.
        """
        start = time.perf_counter()
        if self.strings or self.seconds > LONG_S:
            self.request.start_async()
            self.request.wait()
        else:
            self.request.infer(share_outputs=True, decode_strings=False)
        self.seconds = time.perf_counter() - start

    def tensor(self, at: int, array: Array) -> Any:  # openvino's classes carry no types
        """An OpenVINO tensor of its own memory; a client's buffer may be unaligned and not writable."""
        import openvino as ov

        made = ov.Tensor(self.types[at], ov.Shape(list(array.shape)))
        if array.dtype.kind == "S":
            made.bytes_data = array
            return made
        np.copyto(made.data.view(array.dtype), array)
        return made

    def cancel(self) -> None:
        """Make a running inference stop between two layers, where it is a long one."""
        self.request.cancel()


def bits(tensor: Any) -> Array:  # openvino's classes carry no types
    """A copy of a tensor's values; bfloat16 as UINT16 bits (OpenVINO shows them as float16)."""
    kind = tensor.element_type.get_type_name()
    if kind == "string":
        return np.array(tensor.bytes_data)
    array = np.array(tensor.data)
    return array.view(np.uint16) if kind == "bf16" else array


def load(core: Any, folder: Path, cap: int, cache: Path | None) -> Model:  # openvino's classes carry no types
    """The model in `folder`, compiled with at most `cap` threads. Raises LoadError."""
    xml, weights_at = ir.files(folder)
    identity = record.read(folder / record.FILE)
    model = ir.read(core, xml, weights_at, identity)
    inputs = tuple(spec(port, "input", identity.inputs if identity else ()) for port in model.inputs)
    outputs = tuple(spec(port, "output", identity.outputs if identity else ()) for port in model.outputs)
    check_names(identity, inputs, outputs)
    properties = configuration(identity.runtime if identity else Runtime(), cap, instruction_set.detect())
    compiled = compile_model(core, model, properties, cache)
    count = max(1, int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")))
    static = all(port.static and port.datatype != "BYTES" for port in inputs)
    types = [port.get_element_type() for port in compiled.inputs]
    slots = [InferSlot(compiled.create_infer_request(), types, outputs, static=static) for _ in range(count)]
    return Model(inputs, outputs, identity, execution(compiled, count), slots)


def spec(port: Any, kind: str, recorded: tuple[str, ...]) -> Spec:  # openvino's classes carry no types
    """What clients are told of an input or output: the name that the record knows, or the first of its own."""
    known = set(port.get_names())
    name = next((name for name in recorded if name in known), None)
    if name is None:
        name = min(known, key=lambda name: (len(name), name)) if known else port.get_node().get_friendly_name()
    element = port.get_element_type().get_type_name()
    if element not in OPENVINO:
        raise LoadError("unsupported", f"{kind} {quoted(name)} is of type {element}, which the protocol cannot carry")
    bounds = tuple((int(size.min_length), int(size.max_length)) for size in port.get_partial_shape())
    return Spec(name, OPENVINO[element], bounds)


def check_names(identity: Record | None, inputs: Sequence[Spec], outputs: Sequence[Spec]) -> None:
    """Raise LoadError where the record speaks of other tensors than the model has."""
    if identity is None:
        return
    for kind, recorded, found in (("inputs", identity.inputs, inputs), ("outputs", identity.outputs, outputs)):
        names = [port.name for port in found]
        if set(recorded) != set(names):
            raise LoadError("record", f"{record.FILE} names the {kind} {list(recorded)}, the model has {names}")


def configuration(runtime: Runtime, cap: int, machine: str) -> dict[str, object]:
    """OpenVINO's properties for a runtime configuration on a processor with the instruction set `machine`.

    The precision is always said: on some processors OpenVINO would choose bfloat16 by itself. Threads are not pinned to
    cores: several models and pods share them.
    """
    threads = min(runtime.threads, cap) if runtime.threads > 0 else cap
    properties: dict[str, object] = {
        "INFERENCE_PRECISION_HINT": precision(runtime, machine),
        "PERFORMANCE_HINT": runtime.performance_hint,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
    }
    if runtime.streams > 0:
        properties["NUM_STREAMS"] = min(runtime.streams, threads)
    return properties


def precision(runtime: Runtime, machine: str) -> str:
    """The recorded precision; f32 for bf16 where the processor has none.

    OpenVINO emulates it slowly with AVX512 alone; held below that by ONEDNN_MAX_CPU_ISA it gives empty outputs
    (seen with 2026.4).
    """
    order = instruction_set.INSTRUCTION_SETS
    if runtime.inference_precision == "bf16" and order.index(machine) < order.index("avx512_bf16"):
        event(logging.WARNING, f"the record says bf16, which this processor ({machine}) lacks: computing in f32")
        return "f32"
    return runtime.inference_precision


def compile_model(
    core: Any, model: Any, properties: dict[str, object], cache: Path | None
) -> Any:  # openvino's classes carry no types
    """The compiled model, from the cache where that helps. Raises LoadError."""
    if cache is not None:
        with contextlib.suppress(RuntimeError):  # a damaged or full cache must not stop us: compile without it
            return core.compile_model(model, "CPU", {**properties, "CACHE_DIR": str(cache)})
        event(logging.WARNING, "the compile cache is of no use; compiling without it", cache=str(cache))
    try:
        return core.compile_model(model, "CPU", properties)
    except RuntimeError as error:
        raise LoadError("unsupported", f"OpenVINO cannot compile the model: {one_line(error)}") from None


def execution(compiled: Any, requests: int) -> Execution:  # openvino's classes carry no types
    """What OpenVINO made of the properties."""
    precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    return Execution(
        inference_precision=precision,
        performance_hint=str(compiled.get_property("PERFORMANCE_HINT")).rpartition(".")[2],
        streams=int(compiled.get_property("NUM_STREAMS")),
        threads=int(compiled.get_property("INFERENCE_NUM_THREADS")),
        requests=requests,
    )
