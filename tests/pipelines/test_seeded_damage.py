"""Damage on purpose, and what verify-model and optimize-model say of it; the same models undamaged pass.

The models are small and really trained (tests/unit/conftest.py), one for each seed. Where a damage is put into the
IR, the section vouches for it, as a converter that went wrong would. What a whole Pipeline does with damage is in
test_gates_and_faults.py.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from converters import convert, execution, instruction_set, study, telemetry
from converters.timing import Measured, Subject
from nearedge.files import sha256_file, size_of
from nearedge.release import description, sections
from nearedge.release.sections import ConversionSection, OptimizationSection, RuntimeConfiguration
from scripts import convert_model, optimize_model, verify_model
from tests.unit import conftest as digits

SEEDS = (0, 1)
STEPS = "mean: [8.0, 2.0, 12.0], scale: [8.0, 4.0, 6.0]"


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """The workspace of a seed after fetch-model and convert-model; not to be changed."""
    made: dict[int, Path] = {}

    def make(seed: int) -> Path:
        if seed not in made:
            made[seed] = digits.converted(tmp_path_factory.mktemp(f"digits{seed}"), seed=seed)
        return made[seed]

    return make


@pytest.fixture(params=SEEDS)
def release(request: pytest.FixtureRequest, whole: Callable[[int], Path], tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return shutil.copytree(whole(request.param), tmp_path / "release")


@pytest.fixture
def first(whole: Callable[[int], Path], tmp_path: Path) -> Path:
    """The same of the first seed alone, where each seed would cost seconds."""
    return shutil.copytree(whole(SEEDS[0]), tmp_path / "release")


def verify(root: Path, stage: str) -> int:
    return verify_model.main([f"--workspace={root}", f"--stage={stage}"])


def optimize(root: Path, precision: str) -> int:
    return optimize_model.main([f"--workspace={root}", f"--precision={precision}", "--budget-seconds=60"])


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


def yaml_of(root: Path) -> str:
    return (root / "source/model.yaml").read_text()


def converted(root: Path, before: str = "", after: str = ""):
    """The IR that convert-model makes of the model, by a model.yaml that is wrong in one place."""
    text = yaml_of(root)
    assert before in text
    return convert.convert(root / "source/model.onnx", "onnx", description.parse(text.replace(before, after), "wrong"))


def constant(model, rank: int):
    """The kernel (rank 4), or the last layer's weights (2)."""
    return next(
        op for op in model.get_ordered_ops()
        if op.get_type_name() == "Constant" and len(op.get_output_shape(0)) == rank and op.data.size > 100
    )  # fmt: skip


def replaced(model, node, values: np.ndarray):
    from openvino import opset13

    fresh = opset13.constant(values.astype(np.float32))
    for target in node.output(0).get_target_inputs():
        target.replace_source_output(fresh.output(0))
    return model


def swapped_channels(root: Path):
    from openvino import Layout
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(converted(root))
    steps.input("image").tensor().set_layout(Layout("NCHW"))
    steps.input("image").preprocess().reverse_channels()
    return steps.build()


def wrong_mean(root: Path):
    return converted(root, STEPS, "mean: [0.0], scale: [8.0, 4.0, 6.0]")


def wrong_scale(root: Path):
    return converted(root, STEPS, "mean: [8.0, 2.0, 12.0], scale: [1.0]")


def nchw_fed_as_nhwc(root: Path):
    """The values in the order they came, read as if channels were last: the shape fits, the values do not."""
    from openvino import opset13

    model = converted(root)
    image = model.input("image")
    consumers = image.get_target_inputs()
    pixels = opset13.reshape(image, opset13.constant(np.array([0, 8, 8, 3])), special_zero=True)
    seen = opset13.transpose(pixels, opset13.constant(np.array([0, 3, 1, 2])))
    for target in consumers:
        target.replace_source_output(seen.output(0))
    return model


def zeroed_layer(root: Path):
    model = converted(root)
    kernel = constant(model, 4)
    return replaced(model, kernel, np.zeros_like(kernel.data))


def permuted_classes(root: Path):
    model = converted(root)
    weights = constant(model, 2)
    return replaced(model, weights, np.roll(weights.data, 1, axis=int(np.argmin(weights.data.shape))))


def permuted_outputs(root: Path):
    import openvino

    from converters.canonical import canonical

    model = converted(root)
    swapped = openvino.Model(model.get_results()[::-1], model.get_parameters(), "wrong")
    return canonical(swapped, description.parse(yaml_of(root), "model.yaml"))


def lost_bias(root: Path):
    """As small as rounding to bf16: what stage f32 is there for."""
    model = converted(root)
    bias = [
        op for op in model.get_ordered_ops()
        if op.get_type_name() == "Constant" and op.data.size == 10 and op.data.dtype == np.float32
    ][-1]  # fmt: skip
    return replaced(model, bias, np.zeros_like(bias.data))


IN_THE_IR = (
    swapped_channels, wrong_mean, wrong_scale, nchw_fed_as_nhwc, zeroed_layer, permuted_classes, permuted_outputs,
    lost_bias,
)  # fmt: skip


def put(root: Path, model, folder: str) -> Path:
    """Write the IR to an empty folder: the file there may be mapped."""
    shutil.rmtree(root / folder, ignore_errors=True)
    (root / folder).mkdir(parents=True)
    convert.save(model, root / folder)
    return root / folder / "model.xml"


def vouch_f32(root: Path, model) -> None:
    xml = put(root, model, "ir/f32")
    found = sections.read(root, ConversionSection)
    changes = {"xml_sha256": sha256_file(xml), "bin_sha256": sha256_file(xml.with_suffix(".bin"))}
    sections.write(root, found.model_copy(update=changes))


def vouch_deployed(root: Path, model, precision: str) -> None:
    xml = put(root, model, "ir/deployed")
    found = sections.read(root, ConversionSection)
    runtime = RuntimeConfiguration(inference_precision="f32", performance_hint="LATENCY", streams=1, threads=1)
    sections.write(root, OptimizationSection(
        requested=precision, precision=precision, runtime=runtime, inputs=found.inputs, outputs=found.outputs,
        xml_sha256=sha256_file(xml), bin_sha256=sha256_file(xml.with_suffix(".bin")), size_bytes=size_of(xml.parent),
        candidates=[], reused=False,
    ))  # fmt: skip


@pytest.mark.parametrize("damage", IN_THE_IR, ids=lambda one: one.__name__)
def test_a_wrong_conversion(release: Path, damage: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.off()
    vouch_f32(release, damage(release))
    assert verify(release, "f32") == 3
    said = last_line(capsys)
    assert said.startswith("nearedge verify-model: output 'logits': ") and said.endswith("predicts")
    assert not (release / "release/verification-f32.json").exists()


@pytest.mark.parametrize("damage", [one for one in IN_THE_IR if one is not lost_bias], ids=lambda one: one.__name__)
def test_the_widest_thresholds_catch_it_as_well(
    first: Path, damage: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.off()
    root = first
    vouch_deployed(root, damage(root), "int8")
    assert verify(root, "deployed") == 3
    assert " for int8; the IR does not predict what the source predicts" in last_line(capsys)
    assert not (root / "golden").exists()


def relabel(root: Path, change: Callable, name: str = "label") -> None:
    with np.load(root / "source/data.npz") as found:
        arrays = dict(found)
    arrays[name] = change(arrays[name])
    np.savez(root / "source/data.npz", **arrays)


@pytest.mark.parametrize("shift", [lambda one: np.roll(one, 1), lambda one: (one + 1) % 10], ids=["row", "class"])
def test_labels_shifted_by_one(release: Path, shift: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    relabel(release, shift)
    assert verify(release, "f32") == 3
    assert "the source's own accuracy is " in last_line(capsys)


LIES = {
    "swapped channels": ("layout: NCHW, preprocessing: {", "layout: NCHW, preprocessing: {channel_order: RGB-to-BGR, "),
    "wrong mean": ("mean: [8.0, 2.0, 12.0]", "mean: [0.0]"),
    "wrong scale": ("scale: [8.0, 4.0, 6.0]", "scale: [255.0]"),
    "NCHW taken for NCWH": ("layout: NCHW, preprocessing: {", "layout: NCWH, preprocessing: {layout: NCHW, "),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_model_yaml_that_lies(release: Path, lie: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The source and the IR agree, both fed the same wrong values; what the model is known to do tells."""
    text = yaml_of(release).replace("allowed_drop: 0.01", "allowed_drop: 0.01, expected: 0.95")
    assert LIES[lie][0] in text
    (release / "source/model.yaml").write_text(text.replace(*LIES[lie]))
    shutil.rmtree(release / "ir")
    assert convert_model.main([f"--workspace={release}"]) == 0
    assert verify(release, "f32") == 3
    assert "the source's own accuracy is " in last_line(capsys)


@pytest.mark.parametrize("stage", ["f32", "deployed"])
@pytest.mark.parametrize("size", [0, 100, -1])
def test_a_truncated_bin(first: Path, stage: str, size: int, capsys: pytest.CaptureFixture[str]) -> None:
    root = first
    vouch_deployed(root, execution.read(root / "ir/f32/model.xml"), "f32")
    weights = root / "ir" / stage / "model.bin"
    weights.write_bytes(weights.read_bytes()[:size])
    assert verify(root, stage) == 1
    writer = "convert-model" if stage == "f32" else "optimize-model"
    assert f"model.bin: is not what {writer} wrote (its sha256 differs); run {writer} again" in last_line(capsys)


def noise(images: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """The calibration rows as noise of the same range, or of one `scale` times as wide."""
    rows = digits.TRAINED
    random = scale * np.random.default_rng(0).uniform(images.min(), images.max(), images[:rows].shape)
    return np.concatenate([random.astype(images.dtype), images[rows:]])


def test_int8_calibrated_with_noise_that_has_labels(release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    relabel(release, noise, "image")
    assert optimize(release, "int8") == 1
    assert "calibration rows: the source's own accuracy" in last_line(capsys)
    assert not (release / "ir/deployed").exists()


@pytest.mark.usefixtures("quick")
def test_int8_calibrated_with_noise_that_nothing_tells_of(first: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a metric nobody can tell before; what noise spoils is seen afterwards."""
    kept = [line for line in yaml_of(first).splitlines() if not line.startswith("metric:")]
    (first / "source/model.yaml").write_text("\n".join(kept))
    relabel(first, lambda images: noise(images, 400), "image")
    assert optimize(first, "int8") == 0
    assert verify(first, "deployed") == 3
    assert " for int8; the IR does not predict what the source predicts" in last_line(capsys)


OFFSET = 3000.0
"""bf16 tells 3000 from 3016, but not from 3008; the model's own values are about 1."""


def offset_model(seed: int, path: Path) -> None:
    """Digits whose values ride on a large offset from the convolution to the pooling, which is taken away then.

    The last layer is fitted by ridge regression to the pooled values.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    kernel = np.random.default_rng(seed).normal(0, 0.3, (12, 3, 3, 3))
    images, labels = digits.pictures()
    values = digits.features(images[: digits.TRAINED], np.asarray(kernel)).reshape(digits.TRAINED, 12, 6, 6)
    pooled = values.reshape(-1, 12, 3, 2, 3, 2).max((3, 5)).reshape(digits.TRAINED, -1)
    ones = np.hstack([pooled, np.ones((digits.TRAINED, 1))])
    wanted = np.where(np.eye(10)[labels[: digits.TRAINED]] > 0, 10.0, -1.0)
    weights = np.linalg.solve(ones.T @ ones + 10 * np.eye(ones.shape[1]), ones.T @ wanted)
    arrays = {"kernel": kernel, "weights": weights[:-1], "bias": weights[-1], "offset": np.array(OFFSET)}
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["conv"]), helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("Add", ["relu", "offset"], ["high"]),
        helper.make_node("MaxPool", ["high"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Sub", ["pooled", "offset"], ["low"]), helper.make_node("Flatten", ["low"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "offset", [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture
def offset_release(request: pytest.FixtureRequest, whole: Callable[[int], Path], tmp_path: Path) -> Path:
    """A release of that model for a site with bf16."""
    if not instruction_set.has_bf16(instruction_set.here()):
        pytest.skip("this processor has no bf16, so nothing can be judged in it")
    root = shutil.copytree(whole(request.param), tmp_path / "release")
    text = yaml_of(root).replace("  - name: probabilities\n", "").replace("microshift-small", "sno-medium")
    (root / "source/model.yaml").write_text(text)
    offset_model(request.param, root / "source/model.onnx")
    shutil.rmtree(root / "ir")
    assert convert_model.main([f"--workspace={root}"]) == 0
    return root


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed: every candidate is as fast, so that what holds decides alone."""

    def alike(subjects: list[Subject], *_: object) -> dict[str, Measured]:
        return {one.name: Measured(1.0, 1.0, [[1.0]]) for one in subjects}

    monkeypatch.setattr(study.timing, "interleaved", alike)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("offset_release", SEEDS, indirect=True)
def test_bf16_where_the_model_cannot_bear_it(offset_release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(offset_release, "f32") == 0
    assert optimize(offset_release, "bf16") == 0
    assert verify(offset_release, "deployed") == 3
    assert " for bf16; the IR does not predict what the source predicts" in last_line(capsys)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("offset_release", SEEDS[:1], indirect=True)
def test_auto_does_not_choose_what_the_model_cannot_bear(offset_release: Path) -> None:
    assert optimize(offset_release, "auto") == 0
    found = sections.read(offset_release, OptimizationSection)
    assert found.precision != "bf16"
    assert next(one for one in found.candidates if one.precision == "bf16").outcome.startswith("does not hold")
    assert verify(offset_release, "deployed") == 0


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_undamaged_models_pass(first: Path, precision: str) -> None:
    """The control: the same programs, models and thresholds."""
    if precision == "bf16" and not instruction_set.has_bf16(instruction_set.here()):
        pytest.skip("this processor has no bf16, so nothing can be judged in it")
    (first / "source/model.yaml").write_text(yaml_of(first).replace("microshift-small", "sno-medium"))
    assert verify(first, "f32") == 0
    assert optimize(first, precision) == 0
    assert verify(first, "deployed") == 0
