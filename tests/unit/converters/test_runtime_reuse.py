"""When the previous release's runtime configuration is kept, and the sentence that says why not."""

import pytest

from converters import runtime_reuse, workspace
from nearedge.release import record, sections
from nearedge.release.sections import ConversionSection, OptimizationSection, RuntimeConfiguration
from tests.unit.converters.test_regression import RECORD

RUNTIME = RuntimeConfiguration(inference_precision="f32", performance_hint="THROUGHPUT", streams=2, threads=2)


@pytest.fixture
def made(digits_release):
    """A workspace's work, what is deployed, and a previous record of the very same."""
    work = workspace.read(digits_release)
    conversion = sections.read(digits_release, ConversionSection)
    optimization = OptimizationSection(
        requested="f32", precision="f32", runtime=RUNTIME.model_copy(update={"streams": 1}), inputs=conversion.inputs,
        outputs=conversion.outputs, xml_sha256=conversion.xml_sha256, bin_sha256=conversion.bin_sha256, size_bytes=1,
        candidates=[], reused=True,
    )  # fmt: skip
    source = RECORD.identity.source.model_copy(update={"description_sha256": work.source.description_sha256})
    hashes = {"xml_sha256": conversion.xml_sha256, "bin_sha256": conversion.bin_sha256}
    ir = RECORD.identity.ir.model_copy(update={"openvino": conversion.openvino, **hashes})
    changes = {"source": source, "ir": ir, "precision": "f32", "runtime": RUNTIME, "profile": "microshift-small"}
    return work, optimization, RECORD.model_copy(update={"identity": RECORD.identity.model_copy(update=changes)})


def changed(previous: record.Record, part: str | None, **changes: str) -> record.Record:
    identity = previous.identity
    if part:
        changes = {part: getattr(identity, part).model_copy(update=changes)}
    return previous.model_copy(update={"identity": identity.model_copy(update=changes)})


def test_kept_where_all_is_the_same(made):
    work, optimization, previous = made
    runtime, why = runtime_reuse.kept(previous, work, optimization)
    assert runtime == RUNTIME and why.startswith("kept from the previous release")


def test_nothing_is_known(made):
    assert runtime_reuse.kept(None, *made[:2])[0] is None


@pytest.mark.parametrize("part,changes,said", [
    ("source", {"description_sha256": "0"}, "model.yaml differs"),
    (None, {"precision": "int8"}, "the precision differs"),
    ("ir", {"openvino": "2020.1"}, "OpenVINO differs"), ("ir", {"bin_sha256": "0"}, "the deployed IR differs"),
    (None, {"profile": "sno-small"}, "the profile was sno-small and is microshift-small"),
])  # fmt: skip
def test_measured_where_something_is_another(made, part, changes, said):
    work, optimization, previous = made
    runtime, why = runtime_reuse.kept(changed(previous, part, **changes), work, optimization)
    assert runtime is None and why.startswith(said)
