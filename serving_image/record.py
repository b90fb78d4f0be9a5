"""The release record's identity, `release.json`, read as plain JSON: only what the server acts on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson

from serving_image.faults import LoadError
from serving_image.instruction_set import INSTRUCTION_SETS

FILE = "release.json"
SCHEMA_VERSION = 1
PRECISIONS = ("f32", "bf16")
HINTS = ("LATENCY", "THROUGHPUT")

Value = TypeVar("Value", bound=object)


@dataclass(frozen=True)
class Runtime:
    """How to run the model. `streams` and `threads` 0: as many as OpenVINO and the CPU limit give.

    Up to `max_batch` rows are gathered into one inference; none of them waits longer than `max_wait_ms` for the others.
    """

    inference_precision: str = "f32"
    performance_hint: str = "THROUGHPUT"
    streams: int = 0
    threads: int = 0
    max_batch: int = 1
    max_wait_ms: float = 0.0


@dataclass(frozen=True)
class Tolerance:
    """How near an output must be: `top1` or within `value` everywhere, within `close` on equal instruction sets."""

    output: str
    kind: str
    value: float
    close: float


@dataclass(frozen=True)
class Golden:
    """What the record says of golden.npz."""

    sha256: str
    count: int
    instruction_set: str
    tolerances: tuple[Tolerance, ...]


@dataclass(frozen=True)
class DriftReference:
    """How the rows of one input or output are distributed where all is well: edges of bins, and the share in each."""

    tensor: str
    of: str
    summary: str
    batched: bool
    edges: tuple[float, ...]
    expected: tuple[float, ...]


@dataclass(frozen=True)
class Record:
    """An identity; `document` is all of it, as `GET /v2/models/{model}/release` gives it back."""

    document: dict[str, Any]
    name: str
    version: str
    precision: str
    openvino: str
    source_sha256: str
    xml_sha256: str
    bin_sha256: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    runtime: Runtime
    golden: Golden | None
    drift: tuple[DriftReference, ...] = ()


def read(path: Path) -> Record | None:
    """The record in `path`, None where there is no such file. Raises LoadError where it is not as it should be."""
    try:
        document = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except orjson.JSONDecodeError as error:
        raise LoadError("record", f"{FILE} is not JSON: {error}") from None
    except OSError as error:
        raise LoadError("record", f"{FILE} cannot be read: {error.strerror}") from None
    return parse(document)


def parse(document: object) -> Record:
    """A record from its JSON value. Raises LoadError, with the path of what is wrong."""
    if not isinstance(document, dict):
        raise LoadError("record", f"{FILE} is no JSON object")
    version = at(document, "schema_version", int)
    if version > SCHEMA_VERSION:
        raise LoadError(
            "record", f"{FILE}: schema_version {version} is newer than this server reads ({SCHEMA_VERSION})"
        )
    golden = document.get("golden")
    return Record(
        document=document,
        name=at(document, "name", str),
        version=at(document, "version", str),
        precision=at(document, "precision", str),
        openvino=at(document, "ir.openvino", str),
        source_sha256=at(document, "source.sha256", str),
        xml_sha256=at(document, "ir.xml_sha256", str),
        bin_sha256=at(document, "ir.bin_sha256", str),
        inputs=names(document, "ir.inputs"),
        outputs=names(document, "ir.outputs"),
        runtime=runtime(document),
        golden=None if golden is None else golden_of(document),
        drift=drift_of(document),
    )


def names(document: dict[str, Any], path: str) -> tuple[str, ...]:
    """The names of a list of tensors."""
    return tuple(at(entry, "name", str) for entry in at(document, path, list))


def runtime(document: dict[str, Any]) -> Runtime:
    """The runtime configuration. Records of older releases say nothing of batching: there is none."""
    given = {"max_batch": 1, "max_wait_ms": 0.0} | at(document, "runtime", dict)
    document = {"runtime": given}
    return Runtime(
        inference_precision=choice(document, "runtime.inference_precision", PRECISIONS),
        performance_hint=choice(document, "runtime.performance_hint", HINTS),
        streams=at(document, "runtime.streams", int),
        threads=at(document, "runtime.threads", int),
        max_batch=at(document, "runtime.max_batch", int),
        max_wait_ms=float(at(document, "runtime.max_wait_ms", float)),
    )


def golden_of(document: dict[str, Any]) -> Golden:
    """The golden samples' part."""
    return Golden(
        sha256=at(document, "golden.sha256", str),
        count=at(document, "golden.count", int),
        instruction_set=choice(document, "golden.instruction_set", INSTRUCTION_SETS),
        tolerances=tuple(
            Tolerance(
                output=at(entry, "output", str),
                kind=choice(entry, "kind", ("top1", "value")),
                value=float(at(entry, "value", float)),
                close=float(at(entry, "close", float)),
            )
            for entry in at(document, "golden.tolerances", list)
        ),
    )


def drift_of(document: dict[str, Any]) -> tuple[DriftReference, ...]:
    """The drift references; records of older releases have none."""
    found = tuple(
        DriftReference(
            tensor=at(entry, "tensor", str),
            of=choice(entry, "of", ("input", "output")),
            summary=choice(entry, "summary", ("mean", "top1")),
            batched=at(entry, "batched", bool),
            edges=numbers(entry, "edges"),
            expected=numbers(entry, "expected"),
        )
        for entry in document.get("drift") or ()
    )
    if any(len(one.expected) != len(one.edges) + 1 or list(one.edges) != sorted(one.edges) for one in found):
        raise LoadError("record", f"{FILE}: drift: edges have to rise, with one share more than edges")
    return found


def numbers(document: object, path: str) -> tuple[float, ...]:
    """The list of numbers at `path`."""
    return tuple(float(at({"number": value}, "number", float)) for value in at(document, path, list))


def choice(document: object, path: str, choices: tuple[str, ...]) -> str:
    """The string at `path`, one of `choices`."""
    value = at(document, path, str)
    if value not in choices:
        raise LoadError("record", f"{FILE}: {path} is {value!r}, expected one of {', '.join(choices)}")
    return value


def at(document: object, path: str, kind: type[Value]) -> Value:
    """The value at a dotted path. JSON writes 0.0 as 0.0 or 0: an integer will do for a float, true will not."""
    value = document
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    fits = isinstance(value, int | float if kind is float else kind) and (kind is bool or not isinstance(value, bool))
    if not fits:
        raise LoadError("record", f"{FILE}: {path} is missing or no {kind.__name__}")
    return value  # type: ignore[return-value]  # isinstance above; mypy cannot follow the conditional type
