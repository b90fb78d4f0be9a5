"""The release record: identity is a function of the inputs, evidence is what was measured, damage is named."""

import json
from pathlib import Path

import pytest

from nearedge.errors import InputError, UnsupportedError
from nearedge.release import record, sections
from nearedge.release.sections import (
    Candidate,
    ConversionSection,
    GoldenSection,
    OptimizationSection,
    RuntimeConfiguration,
    Section,
    SourceSection,
    TensorSpec,
    Thresholds,
    Tolerance,
    VerificationDeployedSection,
)

TENSOR = TensorSpec(name="x", datatype="FP32", shape=[-1, 4])
SECTIONS: tuple[Section, ...] = (
    SourceSection(
        name="digits",
        version="1",
        format="pt2",
        framework="pytorch",
        sha256="a" * 64,
        size_bytes=10,
        description_sha256="b" * 64,
        data_sha256="c" * 64,
        origin="model.yaml",
    ),
    ConversionSection(
        openvino="2026.4.1",
        inputs=[TENSOR],
        outputs=[TENSOR],
        xml_sha256="d" * 64,
        bin_sha256="e" * 64,
        size_bytes=20,
        seconds=1.5,
    ),
    OptimizationSection(
        requested="auto",
        precision="int8",
        runtime=RuntimeConfiguration(inference_precision="f32", performance_hint="LATENCY", streams=1, threads=1),
        inputs=[TENSOR],
        outputs=[TENSOR],
        xml_sha256="f" * 64,
        bin_sha256="0" * 64,
        size_bytes=15,
        candidates=[
            Candidate(
                precision="int8",
                metric=0.99,
                drop=0.0,
                top1_agreement=1.0,
                max_relative=0.1,
                p50_ms=0.5,
                size_bytes=15,
                outcome="chosen: holds",
            )
        ],
        reused=False,
    ),
    VerificationDeployedSection(
        precision="int8",
        instruction_set="avx2",
        samples=10,
        synthetic=False,
        outputs=[],
        thresholds=Thresholds(max_relative=0.35, min_cosine=0.9, min_top1_agreement=0.95),
        metric=None,
    ),
    GoldenSection(
        sha256="1" * 64,
        count=2,
        size_bytes=100,
        instruction_set="avx2",
        tolerances=[Tolerance(output="x", kind="top1", value=0, close=0.1)],
    ),
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for section in SECTIONS:
        sections.write(tmp_path, section)
    return tmp_path


def test_what_was_measured_changes_the_evidence_and_not_the_identity(workspace: Path) -> None:
    first = record.assemble(workspace, "microshift-small")
    slower = sections.read(workspace, ConversionSection).model_copy(update={"seconds": 99.0})
    sections.write(workspace, slower)
    again = record.assemble(workspace, "microshift-small")
    assert again.identity == first.identity
    assert again.evidence != first.evidence
    assert record.dump(again.identity) == record.dump(first.identity)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (SourceSection, {"sha256": "9" * 64}),
        (SourceSection, {"data_sha256": ""}),
        (SourceSection, {"description_sha256": "9" * 64}),
        (ConversionSection, {"openvino": "2027.0"}),
        (OptimizationSection, {"bin_sha256": "9" * 64}),
        (OptimizationSection, {"precision": "fp16"}),
        (GoldenSection, {"sha256": "9" * 64}),
    ],
)
def test_another_input_is_another_release(workspace: Path, kind: type[Section], change: dict[str, object]) -> None:
    first = record.identity(workspace, "microshift-small")
    sections.write(workspace, sections.read(workspace, kind).model_copy(update=change))
    assert record.identity(workspace, "microshift-small") != first
    assert record.identity(workspace, "sno-small") != record.identity(workspace, "microshift-small")


def test_sections_that_are_absent_stay_absent(workspace: Path) -> None:
    sections.clear(workspace, GoldenSection)
    whole = record.assemble(workspace, "microshift-small")
    assert whole.identity.golden is None
    assert whole.evidence.benchmark is None
    assert whole.evidence.image is None
    sections.clear(workspace, OptimizationSection)
    with pytest.raises(InputError, match=r"optimization\.json: missing"):
        record.identity(workspace, "microshift-small")


def test_what_is_dumped_is_read(workspace: Path) -> None:
    whole = record.assemble(workspace, "microshift-small")
    assert record.read_previous(workspace) is None
    path = workspace / record.PREVIOUS
    path.parent.mkdir()
    path.write_text(record.dump(whole))
    assert record.read_previous(workspace) == whole


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (None, InputError, "no such release record"),
        ("", InputError, "is no release record"),
        ("[]", InputError, "is no release record"),
        ('{"identity": {}}', InputError, "is no release record"),
        ('{"identity": {"schema_version": 1}, "evidence": {}}', InputError, "Field required"),
        ('{"identity": {"schema_version": 2}}', UnsupportedError, "schema_version 2 is newer"),
    ],
)
def test_records_that_cannot_be_read(tmp_path: Path, text: str | None, error: type[Exception], words: str) -> None:
    path = tmp_path / "release.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=words):
        record.read(path)


def test_an_unknown_key_is_refused(workspace: Path) -> None:
    path = workspace / "release.json"
    document = json.loads(record.dump(record.assemble(workspace, "microshift-small")))
    document["identity"]["when"] = "today"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"identity\.when: unknown key"):
        record.read(path)
