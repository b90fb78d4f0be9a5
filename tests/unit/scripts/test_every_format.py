"""Every format of the README: init, fetch, convert and verify in f32, as the Pipeline runs them; misnamed as well."""

import shutil

import numpy as np
import pytest

from converters import convert, execution, formats, sources
from converters.own_code import OwnCode
from nearedge.release import description as descriptions
from nearedge.release import sections
from nearedge.release.sections import ConversionSection, SourceSection, VerificationF32Section
from scripts import convert_model, fetch_model, init, verify_model
from tests.models import net, shared

CODE = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.c = torch.nn.Conv2d(3, 4, 3)
        self.d = torch.nn.Linear(4 * 36, 5)

    def forward(self, image, scale=1.0):
        from shapes import flattened  # found only while the folder is on the path

        return {"logits": scale * self.d(flattened(torch.relu(self.c(image))))}
"""
SHAPES = "def flattened(x):\n    return x.view(x.shape[0], -1)\n"
FACTORY = ["--factory=own.net:build", "--allow-code", "--shape=image=-1,3,8,8"]
FORMATS = {
    "torchscript": ("torchscript", "pytorch", "PyTorch", ["--shape=image=-1,3,8,8"]),
    "pt2": ("pt2", "pytorch", "PyTorch", []),
    "state-dict": ("state-dict", "pytorch", "PyTorch", FACTORY),
    "safetensors": ("safetensors", "pytorch", "PyTorch", FACTORY),
    "onnx": ("onnx", "onnx", "ONNX Runtime", []),
    "onnx-external": ("onnx", "onnx", "ONNX Runtime", []),
    "savedmodel-keras": ("savedmodel", "tensorflow", "TensorFlow", []),
    "frozen-pb": ("frozen-pb", "tensorflow", "TensorFlow", []),
    "keras": ("keras", "tensorflow", "Keras 3", []),
    "keras-h5": ("keras-h5", "tensorflow", "Keras 3", []),
    "tflite": ("tflite", "tensorflow", "TensorFlow", []),
    "openvino-ir": ("openvino-ir", "onnx", "OpenVINO", []),
}
INPUTS = {"frozen-pb": ["features", "offset"], "savedmodel-keras": ["image"], "tflite": ["serving_default_image"]}
OUTPUTS = {
    "torchscript": ["output"],
    "state-dict": ["output"],
    "safetensors": ["output"],
    "pt2": ["linear"],
    "frozen-pb": ["Identity", "Identity_1"],
    "savedmodel-keras": ["output_0"],
    "tflite": ["StatefulPartitionedCall_1"],
}
"""The names that a format keeps, where they are not the image and logits of the others."""


def write_code(folder):
    """A folder with the Python that makes `Net`: a package, and a module beside it."""
    (folder / "own").mkdir(parents=True)
    (folder / "own" / "__init__.py").write_text("")
    (folder / "own" / "net.py").write_text(f"{CODE}\n\ndef build():\n    return Net()\n")
    (folder / "shapes.py").write_text(SHAPES)


def put(models, name, folder, called=None):
    """The model of that name with what belongs to it in an empty folder, under another file name where `called`."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    if name in ("state-dict", "safetensors"):
        path = folder / (called or f"weights.{name}")
        (torch.save if name == "state-dict" else save_file)(net().state_dict(), path)
        write_code(folder / "code")
        return path
    source = models.path(name)
    path = folder / (called or source.name)
    if source.is_dir():
        shutil.copytree(source, path)
        return path
    for file in source.parent.iterdir():
        if file.is_file() and file != source:
            shutil.copyfile(file, folder / (path.with_suffix(".bin").name if file.name == "ir.bin" else file.name))
    shutil.copyfile(source, path)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Small models of every format."""
    return shared(tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("name", FORMATS)
def test_it_is_recognised_converted_and_verified(models, tmp_path, capsys, name):
    form, framework, label, options = FORMATS[name]
    model = put(models, name, tmp_path / "given")
    assert init.main([str(model), *options]) == 0, capsys.readouterr().err
    described = descriptions.read(model.parent / "model.yaml")
    root, image = tmp_path / "release", tmp_path / "image"
    allow = ["--allow-code=true"] if options is FACTORY else []
    given = [f"--workspace={root}", f"--source={model.parent}", f"--step-image-{framework}=reg/{framework}"]
    assert fetch_model.main([*given, f"--result-step-image={image}", *allow]) == 0, capsys.readouterr().err
    source = sections.read(root, SourceSection)
    assert (source.format, source.framework, image.read_text()) == (form, framework, f"reg/{framework}")
    assert bool(source.code_sha256) == (options is FACTORY)
    assert convert_model.main([f"--workspace={root}"]) == 0, capsys.readouterr().err
    assert verify_model.main([f"--workspace={root}", "--stage=f32"]) == 0, capsys.readouterr().err
    found = sections.read(root, VerificationF32Section)
    assert all(one.max_relative < 1e-4 for one in found.outputs)
    assert label in capsys.readouterr().err
    held(root, described, name)


def held(root, described, name):
    """The IR has model.yaml's names, which are the model's own, and takes any batch, giving each row the same."""
    converted = sections.read(root, ConversionSection)
    names = [one.name for one in converted.inputs], [one.name for one in converted.outputs]
    assert names == ([one.name for one in described.inputs], [one.name for one in described.outputs])
    assert (sorted(names[0]), names[1]) == (INPUTS.get(name, ["image"]), OUTPUTS.get(name, ["logits"]))
    assert [one.shape[0] for one in converted.inputs + converted.outputs] == [-1] * len(
        converted.inputs + converted.outputs
    )
    runner = execution.Runner(root / "ir" / "f32" / "model.xml", {"INFERENCE_PRECISION_HINT": "f32"})
    random = np.random.default_rng(0)
    feed = {
        one.name: random.integers(0, 5, [3, *one.shape[1:]]).astype("int32" if one.datatype == "INT32" else "float32")
        for one in converted.inputs
    }
    whole, single = runner.predict(feed), runner.predict({key: value[1:2] for key, value in feed.items()})
    for key, value in whole.items():
        assert value.shape[0] == 3
        assert np.allclose(value[1:2], single[key], atol=1e-4)


@pytest.mark.parametrize("name", FORMATS)
def test_the_file_s_name_tells_nothing(models, tmp_path, name):
    import torch

    model = put(models, name, tmp_path / "given", "model.dat")
    assert init.main([str(model), *FORMATS[name][3]]) == 0
    described, code = descriptions.read(model.parent / "model.yaml"), OwnCode(model.parent / "code")
    form = formats.recognise(model, factory=described.source.factory is not None)
    assert form == FORMATS[name][0]
    assert sources.load_source(model, form, described, 1, code).framework
    convert.save(convert.convert(model, form, described, code), tmp_path)
    if FORMATS[name][1] == "tensorflow":
        return
    feed = {"image": np.random.default_rng(1).standard_normal((4, 3, 8, 8)).astype(np.float32)}
    found = execution.Runner(tmp_path / "model.xml", {"INFERENCE_PRECISION_HINT": "f32"}).predict(feed)
    with torch.no_grad():
        expected = net()(torch.from_numpy(feed["image"])).numpy()
    assert np.allclose(next(iter(found.values())), expected, atol=1e-5), "they all hold the same weights"
