"""The study: a model that plain INT8 ruins is mended, the budget is kept, calibration with noise is noticed."""

import math
import shutil
import time

import numpy as np
import pytest

from converters import accuracy_control, candidates, execution, samples, workspace
from converters.accuracy_control import OutOfTimeError
from converters.quantize import ignored_scope
from converters.study import Study
from nearedge.errors import InputError
from nearedge.files import sha256_file
from nearedge.release.quantization import Quantization


def study_of(root, folder):
    work = workspace.read(root)
    return Study(
        work=work,
        f32=work.f32(),
        evaluation=samples.evaluation(work.description, work.folder),
        calibration=samples.calibration(work.description, work.folder),
        before=None,
        folder=folder,
    )


@pytest.fixture(scope="module", autouse=True)
def few():
    """Only the candidates that the tests are about, and fewer samples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "PRECISIONS", ("f32", "int8-weights", "int8", "int8-accuracy-aware"))
        patch.setattr(accuracy_control, "MOST_SAMPLES", 200)
        yield


@pytest.fixture(scope="module")
def tried(outlier_release, tmp_path_factory):
    """What becomes of the model with an outlier where there is time enough."""
    return study_of(outlier_release, tmp_path_factory.mktemp("study")).try_all(600.0)


def integers(xml):
    """How many constants of an IR are INT8."""
    found = [
        op.get_element_type().to_string() for op in execution.read(xml).get_ops() if op.get_type_name() == "Constant"
    ]
    return found.count("i8")


def test_accuracy_aware_mends_what_plain_int8_ruins(tried):
    made = {one.precision: one for one in tried.made}
    plain, mended = made["int8"], made["int8-accuracy-aware"]
    assert plain.drop > 0.1 and plain.faults
    assert mended.drop <= 0.01 and not mended.faults
    assert integers(plain.xml) == 2 and integers(mended.xml) == 1
    assert not tried.left_out


def test_accuracy_aware_gives_the_same_bytes_again(tried, outlier_release, tmp_path):
    again = study_of(outlier_release, tmp_path).make("int8-accuracy-aware")
    before = next(one.xml for one in tried.made if one.precision == "int8-accuracy-aware")
    assert sha256_file(again.xml) == sha256_file(before)
    assert sha256_file(again.xml.with_suffix(".bin")) == sha256_file(before.with_suffix(".bin"))


def test_no_budget_leaves_f32(outlier_release, tmp_path):
    tried = study_of(outlier_release, tmp_path).try_all(0.0)
    assert [one.precision for one in tried.made] == ["f32"]
    assert tried.left_out["int8"] == "not tried: the budget of 0 s was used up"
    assert tried.left_out["int8-accuracy-aware"] == "not tried: int8, which it would mend, was not made"


def test_accuracy_aware_stops_at_the_deadline(outlier_release, tmp_path):
    study = study_of(outlier_release, tmp_path)
    with pytest.raises(OutOfTimeError):
        study.make("int8-accuracy-aware", deadline=time.monotonic())


def test_a_budget_that_ends_in_the_midst_is_said(outlier_release, tmp_path, monkeypatch):
    study = study_of(outlier_release, tmp_path)
    real = study.make

    def late(precision, deadline=None):
        return real(precision, -math.inf if precision == "int8-accuracy-aware" else deadline)

    monkeypatch.setattr(study, "make", late)
    monkeypatch.setattr(candidates, "PRECISIONS", ("f32", "int8", "int8-accuracy-aware"))
    assert study.try_all(60.0).left_out["int8-accuracy-aware"] == "not finished: the budget of 60 s was used up"


class Counting:
    """A compiled model that counts how often it is asked."""

    def __init__(self, f32):
        import openvino

        self.request = openvino.Core().compile_model(execution.read(f32), "CPU").create_infer_request()
        self.asked = 0

    def create_infer_request(self):
        return self

    def infer(self, feed):
        self.asked += 1
        return self.request.infer(feed)


@pytest.fixture
def followed(outlier_release, tmp_path):
    return accuracy_control.Followed(study_of(outlier_release, tmp_path).control)


@pytest.fixture(scope="module")
def whole(outlier_release):
    """The f32 model, and how often it is asked."""
    return Counting(outlier_release / "ir/f32/model.xml")


def test_validation_runs_no_more_than_it_is_asked_for(followed, whole):
    whole.asked = 0
    value, each = followed(whole, iter([3, 5, 8]))
    assert whole.asked == len(each) == 3 and 0 <= value <= 1
    fitted, judging = accuracy_control.parted(1200)
    assert len(fitted) == len(judging) == 600 and sorted(fitted + judging) == list(range(1200))
    assert len(followed.control.places) == 200 and set(followed.control.places) <= set(judging)
    assert accuracy_control.parted(1) == ([0], [0]) and accuracy_control.parted(3) == accuracy_control.parted(3)


def test_layers_are_ranked_by_how_near_the_answers_come(followed, whole):
    value, each = followed(whole, range(200))
    assert value > 0.95 and each == [0.0] * 200
    assert followed(whole, range(20)) == (0.0, [0.0] * 20)

    class Scaled(Counting):
        def infer(self, feed):
            return {"logits": 1.1 * super().infer(feed)["logits"]}

    scaled = Scaled.__new__(Scaled)
    scaled.request, scaled.asked = whole.request, 0
    nearness, each = followed(scaled, range(20))
    assert nearness == pytest.approx(-0.01, rel=1e-3) and each == pytest.approx([-0.01] * 20, rel=1e-3)
    assert followed(scaled, range(200))[0] == pytest.approx(value)


def test_answers_too_large_to_keep_leave_the_metric_to_rank_by(followed, whole, monkeypatch):
    monkeypatch.setattr(accuracy_control, "MOST_BYTES", 200 * 40 - 1)
    followed(whole, range(200))
    value, each = followed(whole, range(20))
    assert not followed.reference and value == np.mean(each) and set(each) <= {0.0, 1.0}


def test_a_variant_that_is_not_good_enough_is_never_told_to_be_worse_than_one_before(followed):
    followed.wanted = 0.92
    told = [followed.rising(value) for value in (0.5, 0.4, 0.6, 0.55, 0.91, 0.92, 0.93)]
    assert told == [0.5, 0.5, 0.6, 0.6, 0.91, 0.92, 0.93]


def test_how_far_it_is_stands_in_the_log(followed, whole, monkeypatch, capsys):
    followed(whole, [1, 2])
    assert not capsys.readouterr().err
    monkeypatch.setattr(accuracy_control.progress, "LINE_EVERY_S", 0.0)
    followed(whole, [1])
    assert capsys.readouterr().err == "int8-accuracy-aware: 2 variants judged\n"


def without_metric(root):
    text = (root / "source/model.yaml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("metric:")]
    (root / "source/model.yaml").write_text("\n".join(lines))


def spoil(root, change):
    """Exchange the pictures of the calibration rows."""
    path = root / "source/data.npz"
    with np.load(path) as arrays:
        image, label = arrays["image"], arrays["label"]
    image[:1200] = change(image[:1200])
    np.savez(path, image=image, label=label)


def noise(images):
    return np.random.default_rng(0).normal(0, 400, images.shape).astype(np.float32)


def test_noise_under_the_labels_is_refused(release, tmp_path):
    spoil(release, noise)
    study = study_of(release, tmp_path)
    for precision in candidates.CALIBRATED:
        assert study.refusal(precision).startswith("calibration rows: the source's own accuracy is")
    tried = study.try_all(60.0)
    assert "int8" in tried.left_out and "int8-weights" in {one.precision for one in tried.made}


def test_noise_without_labels_is_caught_by_the_gate(release, tmp_path):
    spoil(release, noise)
    without_metric(release)
    study = study_of(release, tmp_path)
    assert study.control.metric == "accuracy" and study.control.allowed == pytest.approx(
        0.05 - math.sqrt(0.05 * 0.95 / 200)
    )
    tried = study.try_all(60.0)
    made = {one.precision: one for one in tried.made}
    plain, mended = made["int8"], made["int8-accuracy-aware"]
    assert plain.faults and (mended.faults or integers(mended.xml) < integers(plain.xml))


def test_without_a_metric_agreement_is_what_is_held(outlier_release, tmp_path):
    root = shutil.copytree(outlier_release, tmp_path / "release")
    without_metric(root)
    study = study_of(root, tmp_path)
    assert study.make("int8").top1_agreement() < 0.9
    assert study.make("int8-accuracy-aware").top1_agreement() >= 0.95


def test_values_without_a_metric_hold_nothing(release, tmp_path, monkeypatch):
    without_metric(release)
    monkeypatch.setattr(accuracy_control.parity, "kind_of", lambda *_: "value")
    study = study_of(release, tmp_path)
    assert study.refusal("int8-accuracy-aware").startswith("int8-accuracy-aware needs a metric")
    assert not study.refusal("int8")


def test_a_metric_that_layers_cannot_be_turned_back_by_is_named(release, tmp_path, monkeypatch):
    monkeypatch.setattr(accuracy_control, "prepare", lambda *_: None)
    assert "by the metric accuracy here" in study_of(release, tmp_path).refusal("int8-accuracy-aware")


def test_errors_are_held_from_the_other_side(release, tmp_path, edit_yaml):
    edit_yaml(release, "name: accuracy, output: logits", "name: mae, output: logits")
    path = release / "source/data.npz"
    with np.load(path) as arrays:
        image, label = arrays["image"], arrays["label"]
    np.savez(path, image=image, label=np.where(np.eye(10)[label] > 0, 10.0, -1.0))
    control = study_of(release, tmp_path).control
    value, _ = accuracy_control.Followed(control)(Counting(release / "ir/f32/model.xml"), range(len(control.places)))
    assert control.metric == "mae" and -5 < value < 0


def test_ignored_nodes_stay_as_they_are(outlier_release, tmp_path, edit_yaml):
    root = shutil.copytree(outlier_release, tmp_path / "release")
    edit_yaml(root, "target:", 'quantization: {preset: mixed, subset: 20, ignored: ["MatMul_.*"]}\ntarget:')
    made = study_of(root, tmp_path).make("int8")
    assert not made.faults and integers(made.xml) == 1


def test_an_ignored_node_that_is_not_there_is_refused(outlier_release):
    model = execution.read(outlier_release / "ir/f32/model.xml")
    with pytest.raises(InputError, match=r"'head' is no node of ir/f32/model.xml; there are Conv\w+, MatMul_\d+"):
        ignored_scope(model, Quantization(ignored=["head"]))


def test_labels_that_are_not_there(outlier_release, tmp_path):
    study = study_of(outlier_release, tmp_path)
    unlabelled = samples.Samples(study.calibration.feeds, None, 1200, 1, synthetic=False)
    with pytest.raises(InputError, match="no labels"):
        accuracy_control.prepare(study.work.description, study.f32, unlabelled)
