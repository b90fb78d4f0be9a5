"""What clients send becomes what the model takes: in the IR, and for the original model, which is fed the same."""

import numpy as np
import pytest
import yaml

from converters import convert, preprocessing, sources, synthetic
from converters.fed import fed
from nearedge.errors import InputError
from nearedge.release.description import parse
from serving_image import model as served
from serving_image import tensors
from serving_image.faults import BadRequestError
from tests.models import FORMS, described

CLOSE = 2e-5
NHWC_ANY = {"shape": [-1, -1, -1, 3], "dtype": "UINT8", "layout": "NHWC"}
RESIZE = {"height": 8, "width": 8, "algorithm": "linear"}
ALGORITHMS = sorted(preprocessing.ALGORITHMS)


def described_as(models, name, given):
    """The path of a model of tests.models, and its description with changes to its only input."""
    path, form = models.path(name), FORMS[name]
    plain = described(path, form, name)
    return path, described(path, form, name, inputs=[{"name": plain.inputs[0].name} | given])


def both(models, name, given, values):
    """The original's outputs and the IR's, for the same raw values; the original is checked to see something."""
    import openvino as ov

    path, description = described_as(models, name, given)
    feed = {description.inputs[0].name: values}
    source = sources.load_source(path, FORMS[name], description, threads=1)
    expected = source.predict(preprocessing.preprocess(description, feed))
    model = convert.convert(path, FORMS[name], description)
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(feed)
    return next(iter(expected.values())), found[0], model


def pictures(*shape, dtype="u1", seed=0):
    """Seeded whole numbers from 0 to 255."""
    return np.random.default_rng(seed).integers(0, 256, shape).astype(dtype)


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        *(("onnx", algorithm) for algorithm in ALGORITHMS),
        ("torchscript", "linear"),
        ("pt2", "cubic"),
        ("openvino-ir", "nearest"),
        ("tflite", "bilinear-pillow"),
        ("savedmodel-keras", "linear"),
    ],
)
def test_raw_pictures_of_any_size_for_every_framework(models, name, algorithm):
    steps = {"resize": RESIZE | {"algorithm": algorithm}, "channel_order": "BGR-to-RGB"}
    steps |= {"mean": [120.0, 100.0, 90.0], "scale": [60.0, 50.0, 40.0]}
    if name not in ("tflite", "savedmodel-keras"):
        steps["layout"] = "NCHW"
    for height, width in ((8, 8), (21, 13), (5, 30)):
        given = NHWC_ANY | {"preprocessing": steps}
        expected, found, _ = both(models, name, given, pictures(2, height, width, 3))
        assert np.abs(expected - found).max() < CLOSE * max(1.0, np.abs(expected).max())
        assert np.abs(expected).max() > 0.01, "an output of nothing proves nothing"


@pytest.mark.parametrize(("dtype", "array"), [("FP32", "f4"), ("FP16", "f2"), ("INT32", "i4"), ("UINT16", "u2")])
def test_other_element_types(dtype, array):
    given = {"name": "x", "layout": "NHWC", "shape": [1, 4, 4, 3], "dtype": dtype}
    text = {"schema": 1, "name": "m", "source": {"path": "x"}, "outputs": [{"name": "y"}]}
    steps = {"layout": "NCHW", "channel_order": "RGB-to-BGR", "mean": [1, 2, 3]}
    description = parse(yaml.safe_dump(text | {"inputs": [given | {"preprocessing": steps}]}), "model.yaml")
    values = pictures(1, 4, 4, 3, dtype=array)
    found = preprocessing.preprocess(description, {"x": values})["x"]
    wanted = values[..., ::-1].transpose(0, 3, 1, 2).astype("f4") - np.reshape(np.array([1, 2, 3], "f4"), (3, 1, 1))
    assert found.dtype == ("f2" if dtype == "FP16" else "f4") and found.flags["C_CONTIGUOUS"]
    assert np.array_equal(found, wanted)


def test_mean_and_scale_are_the_models_channels_whatever_clients_send(models):
    """Four ways to send the same picture give the same answer."""
    image = pictures(1, 3, 8, 8)
    steps = {"mean": [10.0, 100.0, 200.0], "scale": [20.0, 50.0, 90.0]}
    plain = {"shape": [-1, 3, 8, 8], "dtype": "UINT8", "layout": "NCHW", "preprocessing": steps}
    nhwc = {"shape": [-1, 8, 8, 3], "dtype": "UINT8", "layout": "NHWC", "preprocessing": steps | {"layout": "NCHW"}}
    swapped = {"channel_order": "BGR-to-RGB"}
    first, _, _ = both(models, "onnx", plain, image)
    for given, values in (
        (nhwc, image.transpose(0, 2, 3, 1)),
        (plain | {"preprocessing": steps | swapped}, image[:, ::-1]),
        (nhwc | {"preprocessing": nhwc["preprocessing"] | swapped}, image[:, ::-1].transpose(0, 2, 3, 1)),
    ):
        for answer in both(models, "onnx", given, np.ascontiguousarray(values))[:2]:
            assert np.abs(answer - first).max() < CLOSE * np.abs(first).max()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_algorithms_are_what_their_names_say(algorithm):
    """PyTorch has the same four, and agrees with Pillow where antialiasing is on."""
    import torch

    mode, more = {
        "linear": ("bilinear", {}), "cubic": ("bicubic", {}), "nearest": ("nearest-exact", {}),
        "bilinear-pillow": ("bilinear", {"antialias": True}), "bicubic-pillow": ("bicubic", {"antialias": True}),
    }[algorithm]  # fmt: skip
    text = f"""{{schema: 1, name: m, source: {{path: x}}, outputs: [{{name: y}}], inputs: [{{
      name: x, shape: [-1, 3, -1, -1], dtype: FP32, layout: NCHW,
      preprocessing: {{resize: {{height: 9, width: 16, algorithm: {algorithm}}}}}}}]}}"""
    for size in ((23, 41), (5, 7), (9, 16)):
        values = pictures(2, 3, *size, dtype="f4")
        found = preprocessing.preprocess(parse(text, "model.yaml"), {"x": values})["x"]
        wanted = torch.nn.functional.interpolate(torch.from_numpy(values), (9, 16), mode=mode, **more).numpy()
        assert np.abs(found - wanted).max() < 2e-3, size


def test_bounds_reach_the_ir_and_the_server_holds_clients_to_them(models, tmp_path):
    steps = {"layout": "NCHW", "resize": RESIZE}
    given = {"shape": [[1, 8], [4, 64], -1, 3], "dtype": "UINT8", "layout": "NHWC", "preprocessing": steps}
    expected, found, model = both(models, "onnx", given, pictures(3, 40, 17, 3))
    assert np.abs(expected - found).max() < CLOSE * np.abs(expected).max()
    inputs, outputs = convert.specs(model, "onnx")
    assert (inputs[0].shape, inputs[0].datatype, outputs[0].shape) == ([-1, -1, -1, 3], "UINT8", [-1, 5])
    convert.save(model, tmp_path)
    import openvino as ov

    [spec] = served.load(ov.Core(), tmp_path, 1, None).inputs
    assert spec.bounds[:2] == ((1, 8), (4, 64)) and spec.bounds[3] == (3, 3) and spec.shape == [-1, -1, -1, 3]
    spec.check(tensors.Tensor(spec.name, "UINT8", pictures(8, 64, 999, 3)))
    with pytest.raises(BadRequestError, match="dimension 0 from 1 to 8, dimension 1 from 4 to 64"):
        spec.check(tensors.Tensor(spec.name, "UINT8", pictures(9, 64, 5, 3)))


def test_the_same_preprocessing_gives_the_same_bytes(models, tmp_path):
    steps = {"layout": "NCHW", "resize": RESIZE, "channel_order": "BGR-to-RGB", "mean": [1.0, 2.0, 3.0]}
    path, description = described_as(models, "onnx", NHWC_ANY | {"preprocessing": steps})
    found = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        convert.save(convert.convert(path, "onnx", description), folder)
        found.append([(folder / name).read_bytes() for name in (convert.XML, convert.BIN)])
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["torchscript", "pt2", "onnx", "openvino-ir", "tflite", "savedmodel-keras"])
def test_a_bounded_batch_for_every_framework(models, name):
    path, form = models.path(name), FORMS[name]
    sizes = described(path, form, name).inputs[0].shape[1:]
    given = {"shape": [[2, 8], *sizes], "dtype": "FP32"}
    expected, found, model = both(models, name, given, np.random.default_rng(0).random((3, *sizes), "f4"))
    assert np.abs(expected - found).max() < CLOSE
    size = model.inputs[0].get_partial_shape()[0]
    assert (size.min_length, size.max_length) == (2, 8)


def test_what_the_model_is_fed_is_held_against_it(models):
    for steps, text in (
        ({"layout": "NCHW", "resize": RESIZE | {"height": 9}}, r"after preprocessing \[-1, 3, 9, 8\], the model has"),
        ({"resize": RESIZE}, r"after preprocessing \[-1, 8, 8, 3\], the model has \[-1, 3, 8, 8\]"),
    ):
        path, description = described_as(models, "onnx", NHWC_ANY | {"preprocessing": steps})
        with pytest.raises(InputError, match=text):
            convert.convert(path, "onnx", description)
        with pytest.raises(InputError, match=text):
            sources.load_source(path, "onnx", description)


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        (NHWC_ANY | {"preprocessing": {"layout": "NCHW", "resize": RESIZE}}, (1, 64, 64, 3)),
        ({"shape": [[2, 4], 3, [80, 90], [8, 32]], "dtype": "FP32", "layout": "NCHW"}, (2, 3, 80, 32)),
        ({"shape": [[1, 4], [2, 5]], "dtype": "FP32"}, (1, 5)),
    ],
)
def test_synthetic_samples_are_what_clients_may_send(models, given, shape):
    _, description = described_as(models, "onnx", given)
    assert {one["image"].shape for one in synthetic.feeds(description.inputs)} == {shape}


def test_synthetic_values_are_normal_to_the_model_in_its_own_channel_order(models):
    steps = {"channel_order": "RGB-to-BGR", "mean": [0, 1000, 5000], "scale": [1, 10, 100]}
    _, description = described_as(
        models, "onnx", {"shape": [-1, 3, 64, 64], "dtype": "FP32", "layout": "NCHW", "preprocessing": steps}
    )
    [sample] = synthetic.feeds(description.inputs, 1)
    for values in preprocessing.preprocess(description, sample)["image"][0]:
        assert abs(values.mean()) < 0.1 and abs(values.std() - 1) < 0.1


def test_what_the_model_is_fed(models):
    steps = {"layout": "CNHW", "resize": RESIZE}
    _, description = described_as(
        models, "onnx", {"shape": [[1, 4], -1, [8, 16], 3], "dtype": "UINT8", "layout": "NHWC", "preprocessing": steps}
    )
    found = fed(description.inputs[0])
    assert found.shape == (3, (1, 4), 8, 8) and found.sizes == [3, -1, 8, 8]
    assert (found.datatype, found.layout) == ("FP32", "CNHW")


@pytest.mark.parametrize("layout", ["HW", "HWC", "NHWC", "NWHC", "CHWN"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_resizing_in_any_layout_is_resizing_by_planes(layout, algorithm):
    """OpenVINO's own Pillow algorithms give garbage for some of these."""
    import openvino as ov
    from openvino import opset13

    sizes = {"N": 2, "C": 3, "H": 20, "W": 12}
    shape = [sizes[letter] for letter in layout]
    text = f"""{{schema: 1, name: m, source: {{path: x}}, outputs: [{{name: y}}], inputs: [{{
      name: x, shape: {shape}, dtype: UINT8, layout: {layout},
      preprocessing: {{resize: {{height: 8, width: 9, algorithm: {algorithm}}}}}}}]}}"""
    description = parse(text, "model.yaml")
    values = pictures(*shape)
    x = opset13.parameter(list(fed(description.inputs[0]).sizes), np.float32, "x")
    x.output(0).get_tensor().set_names({"x"})
    model = preprocessing.folded(ov.Model([opset13.result(opset13.multiply(x, np.float32(2)))], [x]), description)
    found = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(values)[0]
    expected = preprocessing.preprocess(description, {"x": values})["x"]
    assert np.abs(found - 2 * expected).max() < 1e-3
    order = [layout.index(letter) for letter in "NCHW" if letter in layout]
    planes = values.transpose(order).reshape(-1, 20, 12)
    plane = parse(text.replace(str(shape), "[-1, 20, 12]").replace(f"layout: {layout}", "layout: NHW"), "model.yaml")
    separate = preprocessing.preprocess(plane, {"x": planes})["x"]
    assert np.abs(expected.transpose(order).reshape(-1, 8, 9) - separate).max() < 1e-3
