"""The proof on a real model: what a right IR gives, and every damage that must not pass."""

import numpy as np
import pytest

from converters import convert, execution, preprocessing, proof, samples, sources, workspace
from converters.thresholds import THRESHOLDS
from nearedge.errors import GateError, InputError
from nearedge.release import description

PLAIN = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}


def prove(release, xml=None, described=None):
    described = described or description.read(release / "source" / "model.yaml")
    source = sources.load_source(release / "source" / "model.onnx", "onnx", described, threads=1)
    runner = execution.Runner(xml or release / workspace.F32, PLAIN)
    evaluation = samples.evaluation(described, release / "source")

    def original(feed):
        return source.predict(preprocessing.preprocess(described, feed))

    return proof.compare(described, evaluation, original, runner.predict, "test")


def test_a_right_conversion_holds(digits_release):
    found = prove(digits_release)
    found.gate(THRESHOLDS["f32"], "f32")
    assert found.kinds == {"logits": "class", "probabilities": "probabilities"}
    assert found.metric.source > 0.95 and found.metric.drop == 0.0 and found.metric.rows == 300
    assert 0 < found.largest() < 1e-5 and not found.faults(THRESHOLDS["f32"])


STEPS = "preprocessing: {mean: [8.0, 2.0, 12.0], scale: [8.0, 4.0, 6.0]}"
SENT = "shape: [-1, 3, 8, 8], dtype: FP32, layout: NCHW, " + STEPS
RAW = (
    "shape: [-1, [8, 64], [8, 64], 3], dtype: UINT8, layout: NHWC, preprocessing: {layout: NCHW, channel_order: "
    "BGR-to-RGB, resize: {height: 8, width: 8, algorithm: linear}, mean: [8.0, 2.0, 12.0], scale: [8.0, 4.0, 6.0]}"
)


@pytest.fixture
def raw_release(release):
    """The same model for clients that send pictures as cameras do: bytes, blue first, 16 by 24, channels last."""
    path = release / "source" / "data.npz"
    with np.load(path) as arrays:
        image, label = arrays["image"], arrays["label"]
    large = image.transpose(0, 2, 3, 1)[..., ::-1].repeat(2, axis=1).repeat(3, axis=2)
    np.savez(path, image=large.round().astype("u1"), label=label)
    lie(release, SENT, RAW)
    return release


def lie(release, before, after):
    """Replace text of model.yaml, which has to be there."""
    path = release / "source" / "model.yaml"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


def prove_anew(release, tmp_path, damage=lambda text: text):
    """Convert by a damaged copy of model.yaml, prove by model.yaml itself."""
    import openvino

    text = damage((release / "source" / "model.yaml").read_text())
    model = convert.convert(release / "source" / "model.onnx", "onnx", description.parse(text, "damaged"))
    openvino.save_model(model, tmp_path / "new.xml", compress_to_fp16=False)
    return prove(release, tmp_path / "new.xml")


def test_pictures_as_cameras_send_them_are_proven(raw_release, tmp_path):
    found = prove_anew(raw_release, tmp_path)
    found.gate(THRESHOLDS["f32"], "f32")
    assert found.metric.source > 0.9 and found.metric.drop == 0.0 and found.largest() < 1e-5


RAW_DAMAGE = {
    "channels not swapped": (" channel_order: BGR-to-RGB,", ""),
    "wrong mean": ("[8.0, 2.0, 12.0]", "[12.0, 2.0, 8.0]"),
    "wrong scale": ("[8.0, 4.0, 6.0]", "[6.0, 4.0, 8.0]"),
    "NHWC taken for NWHC": ("layout: NHWC", "layout: NWHC"),
    "another algorithm": ("algorithm: linear", "algorithm: bilinear-pillow"),
}


@pytest.mark.parametrize("damage", RAW_DAMAGE)
def test_a_wrong_preprocessing_in_the_ir_is_caught(raw_release, tmp_path, damage):
    before, after = RAW_DAMAGE[damage]
    found = prove_anew(raw_release, tmp_path, lambda text: text.replace(before, after))
    for precision in ("f32",) if damage == "another algorithm" else ("f32", "fp16", "bf16", "int8"):
        with pytest.raises(GateError, match=r"output 'logits'"):
            found.gate(THRESHOLDS[precision], precision)


def test_a_layout_that_lies_about_the_shape_is_refused_before(raw_release, tmp_path):
    for before, after, text in (
        ("layout: NHWC", "layout: NCHW", r"for 3 channels, NCHW of shape \[-1, \[8, 64\], \[8, 64\], 3\]"),
        ("layout: NCHW,", "layout: NHWC,", r"after preprocessing \[-1, 8, 8, 3\], the model has \[-1, 3, 8, 8\]"),
        ("[-1, [8, 64], [8, 64], 3]", "[-1, 3, 8, 8]", r"for 3 channels, NHWC of shape \[-1, 3, 8, 8\] has 8"),
    ):
        with pytest.raises(InputError, match=text):
            prove_anew(raw_release, tmp_path, lambda yaml, before=before, after=after: yaml.replace(before, after))


def test_a_missing_output_is_caught(digits_release):
    described = description.read(digits_release / "source" / "model.yaml")
    evaluation = samples.evaluation(described, digits_release / "source")

    def one(_):
        return {"logits": np.zeros((1, 10))}

    with pytest.raises(GateError, match="output 'probabilities': the source has none of that name; it has logits"):
        proof.compare(described, evaluation, one, one, "test")


def test_without_labels_only_parity_is_proven(digits_release):
    described = description.read(digits_release / "source" / "model.yaml")
    described = described.model_copy(update={"metric": None})
    found = prove(digits_release, described=described)
    found.gate(THRESHOLDS["f32"], "f32")
    assert found.metric is None and found.source is None


def test_decisions_count_by_their_share():
    described = description.Description.model_validate({
        "schema": 1, "name": "m", "source": {"path": "m"}, "outputs": [{"name": "y"}],
        "inputs": [{"name": "x", "shape": [1], "dtype": "FP32"}],
    })  # fmt: skip
    feeds = [{"x": np.array([number], "f4")} for number in range(4)]
    evaluation = samples.Samples(feeds, None, 4, 1, synthetic=True)
    found = proof.compare(
        described, evaluation, lambda feed: {"y": feed["x"].astype(int)},
        lambda feed: {"y": np.minimum(feed["x"].astype(int), 2)}, "test",
    )  # fmt: skip
    assert found.largest() == 0.25
