"""The previous choice is kept only for the same source, OpenVINO, profile and request."""

import pytest

from converters import reuse, workspace
from nearedge.release import sections
from nearedge.release.record import Evidence, Identity, IrIdentity, Record, SourceIdentity
from nearedge.release.sections import OptimizationSection, RuntimeConfiguration, SourceSection, Thresholds

RUNTIME = RuntimeConfiguration(inference_precision="f32", performance_hint="LATENCY", streams=1, threads=1)


def previous(work, requested="auto", openvino="1", profile="microshift-small", section=(), **source):
    source_section = sections.read(work.root, SourceSection)
    fields = {name: getattr(source_section, name) for name in SourceIdentity.model_fields} | source
    identity = Identity(
        schema_version=1, name="digits", version="1", profile=profile, source=SourceIdentity(**fields),
        ir=IrIdentity(openvino=openvino, inputs=[], outputs=[], xml_sha256="", bin_sha256=""), precision="int8",
        runtime=RUNTIME, thresholds=Thresholds(max_relative=1, min_cosine=0, min_top1_agreement=0), golden=None,
    )  # fmt: skip
    optimization = requested and OptimizationSection(
        requested=requested, precision="int8", runtime=RUNTIME, inputs=[], outputs=[], xml_sha256="", bin_sha256="",
        size_bytes=1, candidates=[], reused=False, **dict(section),
    )  # fmt: skip
    evidence = Evidence(
        conversion=None, verification_f32=None, verification_deployed=None, optimization=optimization or None,
        benchmark=None, image=None, test=None, origin="x",
    )  # fmt: skip
    return Record(identity=identity, evidence=evidence)


@pytest.fixture(scope="module")
def work(digits_release):
    return workspace.read(digits_release)


@pytest.mark.parametrize("changes", [{}, {"requested": ""}])
def test_the_same_is_kept(work, changes):
    found, why = reuse.kept(previous(work, **changes), work, "1", "auto")
    assert found == ("int8", RUNTIME) and "int8 is kept" in why


@pytest.mark.parametrize("changes,said", [
    ({"sha256": "x"}, "differs from the previous release's (sha256)"), ({"data_sha256": "x"}, "(data_sha256)"),
    ({"description_sha256": "x"}, "(description_sha256)"), ({"openvino": "2"}, "OpenVINO was 2 and is 1"),
    ({"profile": "sno-small"}, "the profile was sno-small"), ({"requested": "int8"}, "asked for was int8 and is auto"),
])  # fmt: skip
def test_anything_else_is_measured_anew(work, changes, said):
    found, why = reuse.kept(previous(work, **changes), work, "1", "auto")
    assert found is None and said in why


def test_a_first_release_is_measured(work):
    assert reuse.kept(None, work, "1", "auto") == (None, "no previous release is known: candidates are measured")


@pytest.mark.parametrize("before,now,said", [
    ({"synthetic_calibration": True}, {}, "made-up samples to calibrate with are not taken now"),
    ({}, {"made_up": True}, "made-up samples to calibrate with are taken now"),
    ({"max_drop": 0.1}, {}, "max-drop was 0.1 and is None"), ({}, {"max_drop": 0.2}, "max-drop was None and is 0.2"),
])  # fmt: skip
def test_other_options_are_measured_anew(work, before, now, said):
    found, why = reuse.kept(previous(work, section=before), work, "1", "auto", **now)
    assert found is None and said in why


def test_the_same_options_are_kept(work):
    before = previous(work, section={"synthetic_calibration": True, "max_drop": 0.1})
    assert reuse.kept(before, work, "1", "auto", made_up=True, max_drop=0.1)[0] == ("int8", RUNTIME)
