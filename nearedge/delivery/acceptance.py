"""Hold a running serving image against the release in the workspace: what test-serving-image does."""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nearedge.delivery.serving_client import DTYPES, Array, Arrays, ServingClient, encode, json_object
from nearedge.errors import GateError, InputError
from nearedge.files import sha256_file
from nearedge.progress import say, track
from nearedge.release import record
from nearedge.release.record import Identity
from nearedge.release.sections import GoldenSection, TensorSpec, Tolerance

GOLDEN_FILE = "golden/golden.npz"


@dataclass(frozen=True)
class Outcome:
    """What was seen. Times in milliseconds."""

    ready_ms: float
    samples: int
    largest_difference: float
    decisions_held: int


def accept(workspace: Path, port: int, timeout: float) -> Outcome:
    """Hold the server on `port` against the release in `workspace`.

    Raises GateError for whatever does not hold, InputError where the workspace lacks a section or its samples.
    """
    client = ServingClient(port)
    expected = expected_release(workspace)
    ready_ms = client.wait_ready(timeout)
    say(f"ready {ready_ms:.0f} ms after its start")
    path = f"/v2/models/{expected.name}/versions/{expected.version}"
    check_identity(expected, client.document(f"{path}/release"))
    check_metadata(expected, client.document(path))
    machine = check_self_test(client.document(f"{path}/self-test"))
    if expected.golden is None:
        check_synthetic(client, path, expected)
        say("the release carries no golden samples: one synthetic request gave outputs of the right shapes")
        largest, samples = 0.0, 0
    else:
        found = golden_arrays(workspace, expected.golden)
        largest = repeat(
            client, path, expected, expected.golden, found, same=machine == expected.golden.instruction_set
        )
        samples = expected.golden.count
        say(f"{samples} golden samples held over JSON and binary, largest difference {largest:g}")
    check_refusals(client, path, expected)
    return Outcome(ready_ms, samples, largest, samples)


def expected_release(workspace: Path) -> Identity:
    """The release that the image has to carry: the one that fetch-release brought, else that of the sections.

    Raises InputError where there is neither.
    """
    fetched = workspace / record.FETCHED
    return record.read(fetched).identity if fetched.is_file() else record.identity(workspace, profile="")


def check_identity(expected: Identity, served: dict[str, Any]) -> None:
    """Raise GateError unless the server carries this very release. The profile is known only to the image."""
    wanted = expected.model_dump(mode="json") | {"profile": served.get("profile")}
    differing = sorted(key for key in wanted.keys() | served.keys() if wanted.get(key) != served.get(key))
    if differing:
        raise GateError(
            f"the server carries another release: {', '.join(differing)} differ from the workspace's; "
            "is another server on this port, or was the image not built again?"
        )


def check_metadata(expected: Identity, served: dict[str, Any]) -> None:
    """Raise GateError unless names, datatypes and shapes are those of the record, in its order."""
    for kind, wanted in (("inputs", expected.ir.inputs), ("outputs", expected.ir.outputs)):
        if served.get(kind) != [spec.model_dump(mode="json") for spec in wanted]:
            raise GateError(
                f"the server describes other {kind} than the record: {json.dumps(served.get(kind))[:300]}, "
                f"expected {json.dumps([spec.model_dump() for spec in wanted])[:300]}"
            )


def check_self_test(result: dict[str, Any]) -> str:
    """The instruction set of the machine the server runs on. Raises GateError where the self-test failed."""
    if result.get("passed") is False:
        raise GateError(f"the server's own self-test failed: {result.get('reason')}")
    return str(result.get("instruction_set"))


def golden_arrays(workspace: Path, golden: GoldenSection) -> dict[str, Array]:
    """The arrays of the golden samples. Raises InputError where the file is not the one the section names."""
    path = workspace / GOLDEN_FILE
    if not path.is_file() or sha256_file(path) != golden.sha256:
        raise InputError(f"{path}: missing or changed since verify-model wrote it; run verify-model again")
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: no set of plain arrays ({error}); run verify-model again") from error


def repeat(
    client: ServingClient, path: str, expected: Identity, golden: GoldenSection, found: Arrays, *, same: bool
) -> float:
    """Repeat every golden sample over JSON and binary; the largest difference. Raises GateError where one fails."""
    largest = 0.0
    for at in track(range(golden.count), "golden samples", golden.count):
        inputs = {spec.name: found[f"input/{spec.name}"][at] for spec in expected.ir.inputs}
        for form in ("JSON", "binary"):
            outputs = client.infer(path, expected.ir.inputs, inputs, binary=form == "binary")
            if outputs is None:
                say(f"golden sample {at} is too large for the server's JSON limit: repeated in binary only")
                continue
            for tolerance in golden.tolerances:
                wanted = found[f"output/{tolerance.output}"][at]
                where = f"golden sample {at} over {form}: output {tolerance.output!r}"
                largest = max(largest, held(where, tolerance, wanted, outputs.get(tolerance.output), same=same))
    return largest


def held(where: str, tolerance: Tolerance, wanted: Array, got: Array | None, *, same: bool) -> float:
    """The largest absolute difference of one output. Raises GateError where it is not near enough."""
    if got is None or got.shape != wanted.shape:
        raise GateError(f"{where}: {'missing' if got is None else list(got.shape)}, expected {list(wanted.shape)}")
    difference = largest_difference(wanted, got)
    if not np.isfinite(difference):
        raise GateError(f"{where}: NaN or infinite where the golden answer is not, or the reverse")
    if tolerance.kind == "top1" and not same_top1(wanted, got):
        raise GateError(f"{where}: another class is first than in the golden answer")
    if tolerance.kind == "value" and not difference <= tolerance.value:
        raise GateError(f"{where}: differs by {difference:g}, allowed {tolerance.value:g}")
    if same and not difference <= tolerance.close:
        raise GateError(
            f"{where}: differs by {difference:g}, allowed {tolerance.close:g} on the golden samples' instruction set"
        )
    return difference


def largest_difference(wanted: Array, got: Array) -> float:
    """Largest absolute difference of two arrays of one shape; infinite where only one of two is NaN or infinite."""
    left, right = wanted.astype(np.float64), got.astype(np.float64)
    equal = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore"):
        difference = np.where(equal, 0.0, np.abs(left - right))
    return float(np.nan_to_num(difference, nan=np.inf, posinf=np.inf).max(initial=0.0))


def same_top1(wanted: Array, got: Array) -> bool:
    """Whether the same class is first everywhere: along axis 1 of four dimensions or more, else along the last."""
    axis = 1 if wanted.ndim >= 4 else -1
    return bool((np.atleast_1d(wanted).argmax(axis) == np.atleast_1d(got).argmax(axis)).all())


def synthetic(inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Zeros of every input's shape, one where a dimension may vary."""
    return {
        spec.name: np.zeros(
            [1 if size == -1 else size for size in spec.shape],
            "<f4" if spec.datatype == "BF16" else DTYPES[spec.datatype],
        )
        for spec in inputs
    }


def check_synthetic(client: ServingClient, path: str, expected: Identity) -> None:
    """Raise GateError unless a request of zeros gives every output, of a shape that the record allows."""
    outputs = client.infer(path, expected.ir.inputs, synthetic(expected.ir.inputs), binary=True) or {}
    for spec in expected.ir.outputs:
        shape = list(outputs[spec.name].shape) if spec.name in outputs else None
        fits = (
            shape is not None
            and len(shape) == len(spec.shape)
            and all(size in (-1, found) for size, found in zip(spec.shape, shape, strict=True))
        )
        if not fits:
            raise GateError(f"output {spec.name!r}: shape {shape}, the record says {spec.shape}")


def check_refusals(client: ServingClient, path: str, expected: Identity) -> None:
    """Raise GateError unless malformed requests are refused with 400 and a reason, and the server goes on."""
    body, headers = encode(expected.ir.inputs, synthetic(expected.ir.inputs), binary=True)
    first = expected.ir.inputs[0]
    other = "INT8" if first.datatype != "INT8" else "INT16"
    nothing = {"name": first.name, "datatype": first.datatype, "shape": first.shape, "data": []}
    cases: list[tuple[str, bytes, dict[str, str]]] = [
        ("an empty body", b"", {}),
        ("text that is no JSON", b"{nearedge", {}),
        ("a truncated binary tensor", body[:-1], headers),
        ("a request without inputs", b'{"inputs": []}', {}),
        ("a tensor without data", json.dumps({"inputs": [nothing]}).encode(), {}),
        ("a wrong datatype", json.dumps({"inputs": [{**nothing, "datatype": other}]}).encode(), {}),
        ("an unknown input", json.dumps({"inputs": [{**nothing, "name": "no-such-input"}]}).encode(), {}),
    ]
    for what, content, given in cases:
        answer = client.call("POST", f"{path}/infer", content, given)
        if answer.status_code != 400 or not (json_object(answer) or {}).get("error"):
            raise GateError(f"{what} was answered with status {answer.status_code}, expected 400 with a reason")
    client.document(path)
