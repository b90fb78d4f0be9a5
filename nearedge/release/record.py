"""The release record: identity, which lies in the image and is a pure function of the inputs, and evidence.

The server reads `identity.json` as plain JSON beside the model; git and the APIs hold the whole record.
"""

import json
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from nearedge.errors import InputError, UnsupportedError
from nearedge.release import sections
from nearedge.release.description import first_fault
from nearedge.release.sections import (
    RECORD_VERSION,
    BenchmarkSection,
    ConversionSection,
    DriftReference,
    GoldenSection,
    ImageSection,
    OptimizationSection,
    Precision,
    RuntimeConfiguration,
    SourceIdentity,
    SourceSection,
    TensorSpec,
    TestSection,
    Thresholds,
    VerificationDeployedSection,
    VerificationF32Section,
)
from nearedge.release.strict import Strict

IDENTITY_FILE = "release.json"
PREVIOUS = "previous/release.json"
"""Where fetch-model puts the record that git says is deployed, relative to the workspace."""
FETCHED = "fetched/release.json"
"""Where fetch-release puts the record of a release whose image exists, relative to the workspace."""
PREVIOUS_MODEL = "previous/model"
"""Where fetch-model puts that release's own model.xml, model.bin and release.json, where it was asked to."""


class IrIdentity(Strict):
    """The deployed IR."""

    openvino: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    xml_sha256: str
    bin_sha256: str


class Identity(Strict):
    """What the release is: no time, host, commit or measured figure."""

    schema_version: Literal[1]
    name: str
    version: str
    profile: str
    source: SourceIdentity
    ir: IrIdentity
    precision: Precision
    runtime: RuntimeConfiguration
    thresholds: Thresholds
    golden: GoldenSection | None
    drift: list[DriftReference] = Field(default=[])


class Evidence(Strict):
    """What was measured about the release; a part that is null was not measured."""

    conversion: ConversionSection | None
    verification_f32: VerificationF32Section | None
    verification_deployed: VerificationDeployedSection | None
    optimization: OptimizationSection | None
    benchmark: BenchmarkSection | None
    image: ImageSection | None
    test: TestSection | None
    origin: str


class Record(Strict):
    """A whole release record."""

    identity: Identity
    evidence: Evidence


def identity(workspace: Path, profile: str) -> Identity:
    """The identity from the sections of `workspace`.

    Raises InputError where a section that it needs is missing.
    """
    source = sections.read(workspace, SourceSection)
    conversion = sections.read(workspace, ConversionSection)
    optimization = sections.read(workspace, OptimizationSection)
    verification = sections.read(workspace, VerificationDeployedSection)
    return Identity(
        schema_version=RECORD_VERSION,
        name=source.name,
        version=source.version,
        profile=profile,
        source=source.identity,
        ir=IrIdentity(
            openvino=conversion.openvino,
            inputs=optimization.inputs,
            outputs=optimization.outputs,
            xml_sha256=optimization.xml_sha256,
            bin_sha256=optimization.bin_sha256,
        ),
        precision=optimization.precision,
        runtime=runtime(workspace, optimization),
        thresholds=verification.thresholds,
        golden=sections.read_optional(workspace, GoldenSection),
        drift=drift(source, optimization, verification),
    )


def drift(
    source: SourceSection, optimization: OptimizationSection, verification: VerificationDeployedSection
) -> list[DriftReference]:
    """What was seen of requests and answers; of a release built again unchanged, what was seen when it was made."""
    again = source.rebuilt
    now = (optimization.precision, optimization.xml_sha256, optimization.bin_sha256)
    if again is not None and (again.precision, again.xml_sha256, again.bin_sha256) == now:
        return again.drift
    return verification.drift


def runtime(workspace: Path, optimization: OptimizationSection) -> RuntimeConfiguration:
    """How the server runs the model: as benchmark-model chose, or as optimize-model did where nothing was measured."""
    benchmark = sections.read_optional(workspace, BenchmarkSection)
    return optimization.runtime if benchmark is None or benchmark.runtime is None else benchmark.runtime


def assemble(workspace: Path, profile: str) -> Record:
    """The whole record from the sections of `workspace`; sections that are absent stay absent."""
    evidence = Evidence(
        conversion=sections.read_optional(workspace, ConversionSection),
        verification_f32=sections.read_optional(workspace, VerificationF32Section),
        verification_deployed=sections.read_optional(workspace, VerificationDeployedSection),
        optimization=sections.read_optional(workspace, OptimizationSection),
        benchmark=sections.read_optional(workspace, BenchmarkSection),
        image=sections.read_optional(workspace, ImageSection),
        test=sections.read_optional(workspace, TestSection),
        origin=sections.read(workspace, SourceSection).origin,
    )
    return Record(identity=identity(workspace, profile), evidence=evidence)


def dump(document: Identity | Record) -> str:
    """JSON text, the same for the same values."""
    return json.dumps(document.model_dump(mode="json"), indent=2, sort_keys=True, allow_nan=False) + "\n"


def read(path: Path) -> Record:
    """The record in `path`. Raises InputError where it is missing or damaged, UnsupportedError where newer."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such release record") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no release record ({type(error).__name__})") from error


def parse(text: str, where: str) -> Record:
    """The record in `text`; `where` is named in what is raised: InputError, UnsupportedError where it is newer."""
    try:
        document = json.loads(text)
        version = document["identity"]["schema_version"]
    except (json.JSONDecodeError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{where}: is no release record ({type(error).__name__})") from error
    if isinstance(version, int) and version > RECORD_VERSION:
        raise UnsupportedError(
            f"{where}: schema_version {version} is newer than this nearedge reads ({RECORD_VERSION}); upgrade nearedge"
        )
    try:
        return Record.model_validate(document)
    except ValidationError as error:
        raise InputError(f"{where}: {first_fault(error)}") from error


def read_previous(workspace: Path) -> Record | None:
    """The record of the release that git says is deployed, None where there is none."""
    path = workspace / PREVIOUS
    return read(path) if path.is_file() else None
