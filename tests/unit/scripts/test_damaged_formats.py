"""A model of any format that was cut short, or lost a part: status 1 from fetch-model or convert-model, in one line."""

import shutil

import pytest
import yaml

from scripts import convert_model, fetch_model
from tests.models import FORMS, described, net, shared

CODE = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.c = torch.nn.Conv2d(3, 4, 3)
        self.d = torch.nn.Linear(4 * 36, 5)

    def forward(self, image):
        return self.d(torch.relu(self.c(image)).flatten(1))
"""
WEIGHTS = """
{schema: 1, name: m, code: code, source: {path: given, factory: "net:Net"}, outputs: [{name: logits}],
 inputs: [{name: image, shape: [-1, 3, 8, 8], dtype: FP32}]}"""
FILES = {
    "torchscript": ["net.pt"],
    "pt2": ["net.pt2"],
    "state-dict": ["given"],
    "safetensors": ["given"],
    "onnx": ["net.onnx"],
    "onnx-external": ["weights.bin"],
    "savedmodel": [
        "scorer/saved_model.pb",
        "scorer/variables/variables.index",
        "scorer/variables/variables.data-00000-of-00001",
    ],
    "frozen-pb": ["scorer.pb"],
    "keras": ["net.keras"],
    "keras-h5": ["net.h5"],
    "tflite": ["net.tflite"],
    "openvino-ir": ["ir.xml", "ir.bin"],
}
CASES = [(name, file) for name, files in FILES.items() for file in files]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Small models of every format."""
    return shared(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def whole(models, tmp_path_factory):
    """A function that gives a folder with a good model of that name and its model.yaml, made once."""
    import torch
    from safetensors.torch import save_file

    made = {}

    def folder(name):
        if name in made:
            return made[name]
        made[name] = at = tmp_path_factory.mktemp(name)
        if name not in FORMS:
            (torch.save if name == "state-dict" else save_file)(net().state_dict(), at / "given")
            (at / "code").mkdir()
            (at / "code" / "net.py").write_text(CODE)
            (at / "model.yaml").write_text(WEIGHTS)
            return at
        path = models.path(name)
        if path.is_dir():
            shutil.copytree(path, at / path.name)
        else:
            for file in path.parent.iterdir():
                if file.is_file():
                    shutil.copyfile(file, at / file.name)
        document = described(path, FORMS[name], name).model_dump(by_alias=True, mode="json", exclude_none=True)
        (at / "model.yaml").write_text(yaml.safe_dump(document))
        return at

    return folder


def run(given, root):
    """Fetch and convert; the first status that is not 0, or 0."""
    options = [f"--workspace={root}"]
    return fetch_model.main([*options, f"--source={given}", "--allow-code=true"]) or convert_model.main(options)


@pytest.mark.parametrize("share", [0.3, 0.99])
@pytest.mark.parametrize(("name", "file"), CASES)
def test_a_file_that_was_cut_short(whole, tmp_path, capsys, name, file, share):
    given = shutil.copytree(whole(name), tmp_path / "given")
    content = (given / file).read_bytes()
    (given / file).write_bytes(content[: int(len(content) * share)])
    capsys.readouterr()
    assert run(given, tmp_path / "release") == 1, capsys.readouterr().err
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("nearedge ")]
    assert len(said) == 1 and "Traceback" not in said[0]
    assert not (tmp_path / "release" / "ir").exists()


@pytest.mark.parametrize(
    "missing", ["variables", "variables/variables.index", "variables/variables.data-00000-of-00001"]
)
def test_a_saved_model_without_its_weights(whole, tmp_path, capsys, missing):
    given = shutil.copytree(whole("savedmodel"), tmp_path / "given")
    path = given / "scorer" / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert run(given, tmp_path / "release") == 1
    assert "weights are missing (variables/" in capsys.readouterr().err


@pytest.mark.parametrize("name", FILES)
def test_it_was_not_the_model_that_was_refused(whole, tmp_path, name):
    assert run(whole(name), tmp_path / "release") == 0
