"""optimize-model: the choice, the IR, what is kept from the previous release, and what is refused."""

import json
import shutil

import pytest

from converters import accuracy_control, candidates, samples, study
from converters.timing import Measured
from nearedge.files import sha256_file
from nearedge.release import record, sections
from nearedge.release.record import Evidence, Identity, IrIdentity, SourceIdentity
from nearedge.release.sections import ConversionSection, OptimizationSection, SourceSection, Thresholds
from scripts import optimize_model, verify_model


@pytest.fixture(autouse=True)
def quick(request, monkeypatch):
    """Timing takes seconds: only the test marked so times anything, in the others every candidate is as fast."""
    monkeypatch.setattr(study, "SECONDS", 0.1)
    if "timed" not in request.fixturenames:
        monkeypatch.setattr(
            study.timing, "interleaved",
            lambda subjects, *_: {one.name: Measured(1.0, 1.0, [[1.0]]) for one in subjects},
        )  # fmt: skip


@pytest.fixture
def timed():
    """Names the test that really times."""


def optimize(release, *more):
    return optimize_model.main([f"--workspace={release}", *more])


def deployed(release):
    section = sections.read(release, OptimizationSection)
    xml = release / "ir/deployed/model.xml"
    assert section.xml_sha256 == sha256_file(xml) and section.bin_sha256 == sha256_file(xml.with_suffix(".bin"))
    assert section.size_bytes == sum(file.stat().st_size for file in xml.parent.iterdir())
    assert not list(release.glob(".optimize.*"))
    return section


@pytest.mark.usefixtures("timed")
def test_auto_judges_and_times_every_candidate(release, tmp_path, capsys):
    assert optimize(release, "--precision=", f"--result-precision={tmp_path / 'precision'}") == 0
    section = deployed(release)
    assert section.requested == "auto" and not section.reused
    assert (tmp_path / "precision").read_text() == section.precision in ("fp16", "int8-weights", "int8", "f32")
    found = {one.precision: one for one in section.candidates}
    assert set(found) == set(candidates.PRECISIONS)
    assert all(
        found[name].p99_ms >= found[name].p50_ms > 0 and found[name].metric > 0.95
        for name in ("f32", "fp16", "int8-weights", "int8")
    )
    assert all(found[name].peak_rss_mib > 20 for name in ("f32", "fp16", "int8-weights", "int8"))
    assert found["int8-accuracy-aware"].outcome == "not tried: int8 holds without it"
    assert found["bf16"].outcome.startswith("not possible: bf16 needs") and found["bf16"].p50_ms is None
    assert [one.precision for one in section.candidates if one.outcome.startswith("chosen")] == [section.precision]
    assert section.runtime.model_dump() == {
        "inference_precision": "f32", "performance_hint": "LATENCY", "streams": 1, "threads": 1,
        "max_batch": 1, "max_wait_ms": 0.0,
    }  # fmt: skip
    said = capsys.readouterr()
    assert said.out == "" and all(f"{name}: " in said.err for name in found)


@pytest.mark.parametrize("precision", ["f32", "int8-weights", "int8"])
def test_an_explicit_precision_is_made_and_verified(release, precision):
    assert optimize(release, f"--precision={precision}") == 0
    section = deployed(release)
    assert (section.requested, section.precision) == (precision, precision)
    assert "chosen: asked for" in next(one.outcome for one in section.candidates if one.precision == precision)
    assert verify_model.main([f"--workspace={release}", "--stage=deployed"]) == 0


def test_auto_takes_the_mended_one_where_plain_int8_does_not_hold(outlier_release, tmp_path, monkeypatch):
    times = {"f32": 1.0, "fp16": 1.0, "int8-weights": 1.0, "int8": 0.3, "int8-accuracy-aware": 0.5}
    monkeypatch.setattr(
        study.timing, "interleaved",
        lambda subjects, *_: {one.name: Measured(1.0, 1.0, [[times[one.name]]]) for one in subjects},
    )  # fmt: skip
    monkeypatch.setattr(accuracy_control, "MOST_SAMPLES", 200)
    root = shutil.copytree(outlier_release, tmp_path / "release")
    assert optimize(root, "--budget-seconds=300") == 0
    section = deployed(root)
    found = {one.precision: one for one in section.candidates}
    assert section.precision == "int8-accuracy-aware" and found["int8-accuracy-aware"].drop <= 0.01
    assert found["int8"].outcome.startswith("does not hold") and found["int8"].p50_ms == 0.3
    assert verify_model.main([f"--workspace={root}", "--stage=deployed"]) == 0


def test_no_budget_leaves_f32_and_says_so(release):
    assert optimize(release, "--budget-seconds=0") == 0
    section = deployed(release)
    outcome = {one.precision: one.outcome for one in section.candidates}
    assert section.precision == "f32" and outcome["fp16"] == "not tried: the budget of 0 s was used up"


def test_the_precision_of_model_yaml_is_taken(release, edit_yaml):
    edit_yaml(release, "target:", "precision: fp16\ntarget:")
    assert optimize(release) == 0
    assert deployed(release).precision == "fp16"


@pytest.mark.parametrize("precision,yaml,status,said", [
    ("bf16", ("", ""), 1, "precision bf16: bf16 needs a processor that computes in it; the site's profile has avx2"),
    ("int8", ("calibration: [0, 1200], ", ""), 1, "precision int8: int8 needs real samples to calibrate with"),
])  # fmt: skip
def test_what_is_not_possible_is_refused(release, precision, yaml, status, said, capsys, edit_yaml):
    edit_yaml(release, *yaml)
    assert optimize(release, f"--precision={precision}") == status
    assert said in capsys.readouterr().err
    assert not (release / "ir/deployed").exists() and sections.read_optional(release, OptimizationSection) is None


@pytest.fixture
def without_calibration(release, edit_yaml):
    """Data and labels, but no rows to calibrate with."""
    edit_yaml(release, "calibration: [0, 1200], ", "")
    return release


def test_made_up_samples_are_taken_where_that_is_asked_for_and_said_everywhere(without_calibration, capsys):
    assert optimize(without_calibration, "--precision=int8", "--allow-synthetic-calibration=true") == 0
    section = deployed(without_calibration)
    outcome = {one.precision: one.outcome for one in section.candidates}
    assert section.synthetic_calibration and section.precision == "int8"
    assert outcome["int8"].endswith("; calibrated with made-up samples") and "made-up" not in outcome["f32"]
    assert "; calibrated with made-up samples" in capsys.readouterr().err


def test_what_made_up_samples_spoil_is_not_chosen(without_calibration, monkeypatch):
    monkeypatch.setattr(samples.synthetic, "feeds", spoilt(samples.synthetic.feeds))
    assert optimize(without_calibration, "--allow-synthetic-calibration=true") == 0
    section = deployed(without_calibration)
    found = {one.precision: one.outcome for one in section.candidates}
    assert section.precision not in ("int8", "int8-accuracy-aware")
    assert found["int8"].startswith("does not hold: ") and found["int8"].endswith("; calibrated with made-up samples")


def spoilt(real):
    """Samples a hundred times as large as what the model takes: ranges in which real answers drown."""

    def feeds(*given):
        return [{name: array * 100 for name, array in one.items()} for one in real(*given)]

    return feeds


def test_real_rows_are_taken_where_there_are_some(release):
    assert optimize(release, "--precision=int8", "--allow-synthetic-calibration=true") == 0
    section = deployed(release)
    assert not section.synthetic_calibration and not any("made-up" in one.outcome for one in section.candidates)


def test_what_may_be_lost_is_the_params_then_model_yamls_then_the_gates(outlier_release, tmp_path, edit_yaml):
    root = shutil.copytree(outlier_release, tmp_path / "release")
    work = optimize_model.works.read(root)
    rows = samples.calibration(work.description, work.folder)
    assert accuracy_control.prepare(work.description, work.f32(), rows).allowed == 0.01
    edit_yaml(root, "target:", "quantization: {max_drop: 0.004}\ntarget:")
    work = optimize_model.works.read(root)
    assert accuracy_control.prepare(work.description, work.f32(), rows).allowed == 0.004
    assert accuracy_control.prepare(work.description, work.f32(), rows, 0.5).allowed == 0.5


def test_max_drop_does_not_move_the_gate(outlier_release, tmp_path, monkeypatch):
    monkeypatch.setattr(accuracy_control, "MOST_SAMPLES", 200)
    root = shutil.copytree(outlier_release, tmp_path / "release")
    assert optimize(root, "--precision=int8-accuracy-aware", "--max-drop=1") == 0
    section = deployed(root)
    assert section.max_drop == 1 and "though " in section.candidates[-1].outcome and section.candidates[-1].drop > 0.1
    assert verify_model.main([f"--workspace={root}", "--stage=deployed"]) == 3


def test_bf16_where_only_the_site_has_it_is_this_machines_fault(release, monkeypatch, edit_yaml, capsys):
    edit_yaml(release, "microshift-small", "sno-medium")
    monkeypatch.setattr(study.instruction_set, "here", lambda: "avx512_vnni")
    assert optimize(release, "--precision=bf16") == 6
    assert "cannot be judged on this machine" in capsys.readouterr().err


def test_auto_without_calibration_says_so(release, edit_yaml):
    edit_yaml(release, "calibration: [0, 1200], ", "")
    assert optimize(release) == 0
    outcome = {one.precision: one.outcome for one in deployed(release).candidates}
    assert "int8 needs real samples" in outcome["int8"]


def test_a_model_nncf_refuses_leaves_the_others(release, monkeypatch):
    def refuse(*_):
        raise optimize_model.InputError("precision int8: NNCF cannot quantise this model (x); choose fp16")

    monkeypatch.setattr(candidates.quantize, "int8", refuse)
    assert optimize(release) == 0
    outcome = {one.precision: one.outcome for one in deployed(release).candidates}
    assert outcome["int8"].startswith("not possible: precision int8: NNCF cannot")


def remember(release, precision, requested="auto", **changes):
    """A previous record of the same source with that choice."""
    source = sections.read(release, SourceSection)
    runtime = optimize_model.works.runtime(optimize_model.works.read(release).profile, precision)
    identity = Identity(
        schema_version=1, name="digits", version="1", profile="microshift-small",
        source=SourceIdentity(**({name: getattr(source, name) for name in SourceIdentity.model_fields} | changes)),
        ir=IrIdentity(openvino=sections.read(release, ConversionSection).openvino, inputs=[], outputs=[],
                      xml_sha256="", bin_sha256=""),
        precision=precision, runtime=runtime.model_copy(update={"threads": 3}),
        thresholds=Thresholds(max_relative=1, min_cosine=0, min_top1_agreement=0), golden=None,
    )  # fmt: skip
    nothing = dict.fromkeys(Evidence.model_fields)
    document = record.Record(identity=identity, evidence=Evidence(**(nothing | {"origin": requested})))
    (release / "previous").mkdir(exist_ok=True)
    (release / record.PREVIOUS).write_text(record.dump(document))


def test_the_previous_choice_is_kept(release, monkeypatch, capsys):
    remember(release, "int8")
    monkeypatch.setattr(study.timing, "interleaved", lambda *_: pytest.fail("something was timed"))
    assert optimize(release) == 0
    section = deployed(release)
    assert section.reused and section.precision == "int8" and section.runtime.threads == 3
    [only] = section.candidates
    assert only.p50_ms is None and only.metric > 0.95 and "kept from the previous release" in only.outcome
    assert "int8 is kept from the previous release of the same source" in capsys.readouterr().err
    first = section.xml_sha256, section.bin_sha256
    assert optimize(release) == 0
    assert (deployed(release).xml_sha256, deployed(release).bin_sha256) == first


def test_remeasure_and_another_source_are_measured(release, capsys):
    remember(release, "int8")
    assert optimize(release, "--remeasure=true", "--precision=f32") == 0
    assert not deployed(release).reused and "remeasure is set" in capsys.readouterr().err
    remember(release, "int8", data_sha256="other")
    assert optimize(release, "--precision=f32") == 0
    assert not deployed(release).reused and "(data_sha256)" in capsys.readouterr().err


def test_a_previous_choice_that_is_not_possible_any_more_is_measured(release):
    remember(release, "bf16")
    assert optimize(release) == 0
    assert deployed(release).precision != "bf16"


def test_nothing_that_holds_is_a_gate(release, capsys):
    before = json.loads((release / "release/source.json").read_text())
    assert optimize(release, "--precision=f32") == 0
    sections.write(release, sections.VerificationF32Section(
        precision="f32", instruction_set="avx2", samples=1, synthetic=False, outputs=[],
        thresholds=Thresholds(max_relative=1, min_cosine=0, min_top1_agreement=0),
        metric=sections.MetricResult(name="accuracy", source=1.0, converted=1.0, drop=0, allowed_drop=0.01, rows=1),
    ))  # fmt: skip
    assert optimize(release) == 3
    assert "no candidate holds" in capsys.readouterr().err
    assert sections.read_optional(release, OptimizationSection) is None
    assert json.loads((release / "release/source.json").read_text()) == before


@pytest.mark.parametrize(
    "option",
    [
        "--precision=f16",
        "--remeasure=yes",
        "--budget-seconds=-1",
        "--budget-seconds=long",
        "--max-drop=-0.1",
        "--allow-synthetic-calibration=yes",
    ],
)
def test_wrong_usage(option):
    with pytest.raises(SystemExit) as stop:
        optimize_model.main(["--workspace=/nowhere", option])
    assert stop.value.code == 2
