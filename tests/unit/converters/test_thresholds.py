"""Thresholds of model.yaml in the place of ours: checked, applied, and recorded as they were applied."""

import pytest

from converters import thresholds
from converters.thresholds import THRESHOLDS
from nearedge.errors import InputError
from nearedge.release import description, sections
from nearedge.release.sections import VerificationF32Section
from scripts import verify_model

TEXT = """
schema: 1
name: m
source: {path: m}
inputs: [{name: x, shape: [1], dtype: FP32}]
outputs: [{name: y}]
"""


def parsed(parity):
    return description.parse(f"{TEXT}parity: {parity}\n", "model.yaml")


def test_what_is_named_replaces_ours_of_that_precision_alone():
    described = parsed("{int8: {max_relative: 0.5, min_top5_agreement: 0.9}, bf16: {min_cosine: 0.5}}")
    ours = THRESHOLDS["int8"]
    assert thresholds.of(described, "int8") == ours.model_copy(update={"max_relative": 0.5, "min_top5_agreement": 0.9})
    assert thresholds.of(described, "bf16").min_cosine == 0.5
    for precision in ("f32", "fp16", "int8-weights", "int8-accuracy-aware"):
        assert thresholds.of(described, precision) == THRESHOLDS[precision]


@pytest.mark.parametrize("parity,said", [
    ("{int4: {max_relative: 1}}", "parity.int4"), ("{int8: {}}", "names no threshold; those there are: max_relative"),
    ("{int8: {max_relative: -1}}", "greater than or equal to 0"),
    ("{int8: {min_cosine: 2}}", "less than or equal to 1"),
    ("{int8: {min_top1_agreement: 95}}", "less than or equal to 1"), ("{int8: {max_abs: 1}}", "unknown key"),
    ("{int8: {max_relative: .inf}}", "finite"), ("{int8: {max_relative: .nan}}", "finite"), ("[int8]", "parity"),
])  # fmt: skip
def test_what_cannot_be_meant_is_refused(parity, said):
    with pytest.raises(InputError, match=r"model\.yaml: parity") as caught:
        parsed(parity)
    assert said in str(caught.value)


def test_what_was_applied_is_recorded_and_gates(release, edit_yaml, capsys):
    edit_yaml(release, "target:", "parity: {f32: {max_relative: 0.25}}\ntarget:")
    assert verify_model.main([f"--workspace={release}", "--stage=f32"]) == 0
    section = sections.read(release, VerificationF32Section)
    assert section.thresholds == THRESHOLDS["f32"].model_copy(update={"max_relative": 0.25})
    assert all(one.top5_agreement == 1.0 for one in section.outputs)
    edit_yaml(release, "max_relative: 0.25", "max_relative: 0.0")
    assert verify_model.main([f"--workspace={release}", "--stage=f32"]) == 3
    said = capsys.readouterr().err
    assert " is over 0 for f32" in said.strip().splitlines()[-1]
    assert "top-5 agreement 100.00%" in said and "absolute difference at most" in said and ", mean " in said


@pytest.mark.parametrize("parity,said", [
    ("{int8: {max_relative: 100.0, min_cosine: -1}}", "max_relative 100 instead of 0.35, min_cosine -1 instead of 0.9"),
    ("{int8: {min_top1_agreement: 0, min_top5_agreement: 0.5}}",
     "min_top1_agreement 0 instead of 0.95, min_top5_agreement 0.5 instead of 0.98"),
    ("{int8: {max_relative: 0.1, min_cosine: 0.99}}", ""),
    ("{f32: {max_relative: 1}}", ""),
])  # fmt: skip
def test_what_weakens_the_gate_is_named(parity, said):
    assert thresholds.weaker(thresholds.of(parsed(parity), "int8"), "int8") == said


def test_a_limit_that_an_older_record_lacks_is_not_called_weaker():
    older = THRESHOLDS["int8"].model_copy(update={"min_top5_agreement": None})
    assert thresholds.weaker(older, "int8") == ""
