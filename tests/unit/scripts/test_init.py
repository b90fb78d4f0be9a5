"""`nearedge init`: what it writes parses and converts without an edit, for every format."""

import re

import numpy as np
import pytest

from converters import convert, formats
from nearedge.release import description as descriptions
from scripts import init
from tests.models import FORMS, SHAPES, shared


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Small models of every format."""
    return shared(tmp_path_factory.getbasetemp())


@pytest.fixture
def place(models, tmp_path):
    """A function that puts a model and what belongs to it into an empty folder."""

    def put(name):
        source = models.path(name)
        if source.is_dir():
            (tmp_path / source.name).symlink_to(source)
            import shutil

            (tmp_path / source.name).unlink()
            shutil.copytree(source, tmp_path / source.name)
        else:
            for file in source.parent.iterdir():
                if file.is_file():
                    (tmp_path / file.name).write_bytes(file.read_bytes())
        return tmp_path / source.name

    return put


def shape_options(name):
    """The --shape and --dtype options that a TorchScript model needs."""
    shapes = [f"--shape={one}={','.join(map(str, shape))}" for one, shape in SHAPES.get(name, {}).items()]
    return shapes + (["--dtype=ids=INT64"] if "ids" in SHAPES.get(name, {}) else [])


@pytest.mark.parametrize("name", FORMS)
def test_what_init_writes_converts_without_an_edit(place, capsys, name):
    model = place(name)
    assert init.main([str(model), *shape_options(name)]) == 0
    written = model.parent / "model.yaml"
    described = descriptions.read(written)
    assert described.source.path == model.name
    converted = convert.convert(model, formats.recognise(model), described)
    inputs, outputs = convert.specs(converted, name)
    assert [(one.name, one.shape, one.datatype) for one in inputs] == [
        (one.name, one.shape, one.dtype) for one in described.inputs
    ]
    assert [one.name for one in outputs] == [one.name for one in described.outputs]
    said = capsys.readouterr().out
    assert f"wrote {written}" in said
    assert "nearedge run model-to-edge" in said
    assert "-p image=oci:image:mine -p allow-layout=true -p base-image=host" in said
    assert f"-w source={written.parent}" in said


def test_every_comment_is_an_example_that_parses(place):
    model = place("onnx")
    init.main([str(model)])
    text = (model.parent / "model.yaml").read_text()
    assert "layout: NCHW" in text
    opened = re.sub(
        r"^( *)# (data|metric|golden|  path|  labels|  calibration|  evaluation)", r"\1\2", text, flags=re.M
    )
    opened = opened.replace("    # preprocessing:", "    preprocessing:")
    described = descriptions.parse(opened, "opened")
    assert described.data is not None
    assert described.metric is not None
    assert described.golden is not None
    assert described.inputs[0].preprocessing is not None


def test_init_refuses_to_overwrite(place, capsys):
    model = place("onnx")
    target = model.parent / "model.yaml"
    target.write_text("mine")
    assert init.main([str(model)]) == 2
    assert "give --force" in capsys.readouterr().err
    assert target.read_text() == "mine"
    assert init.main([str(model), "--force", "--name=other"]) == 0
    assert descriptions.read(target).name == "other"


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        (
            [],
            2,
            "does not tell the shape of ids, weight; give it, as in --shape ids=1,3,224,224 --shape weight=1,3,224",
        ),
        (["--shape=ids=2,6"], 2, "the shape of weight; give it"),
        (["--shape=idz=2,6"], 2, "--shape idz: the model's inputs are ids, weight"),
        (["--dtype=idz=INT64"], 2, "--dtype idz: the model's inputs are ids, weight"),
        (["--shape=ids=2,6", "--shape=weight=2,6", "--labels=y"], 2, "--labels needs --data"),
        (["--shape=ids=2,6", "--shape=weight=2,6", "--data=none.npz"], 1, "none.npz: no such data"),
        (["--shape=ids=2,6", "--shape=weight=2,6", "--name=A B"], 1, "name: String should match"),
    ],
)
def test_what_init_cannot_know_it_asks_for(place, capsys, options, status, text):
    model = place("torchscript-two")
    assert init.main([str(model), *options]) == status
    said = capsys.readouterr().err
    assert text in said
    assert said.count("\n") == 1
    assert not (model.parent / "model.yaml").exists()


@pytest.mark.parametrize("option", ["--shape=1,2", "--shape=x=a", "--shape=x=-2", "--dtype=FP32", "--dtype=x=float"])
def test_a_malformed_option_is_wrong_usage(option, capsys):
    with pytest.raises(SystemExit) as caught:
        init.main(["model.pt", option])
    assert caught.value.code == 2
    assert "is not INPUT=" in capsys.readouterr().err


def data(folder, rows=30, **arrays):
    """An .npz with pictures for `Net`."""
    random = np.random.default_rng(0)
    values = {"image": random.standard_normal((rows, 3, 8, 8)).astype("f4")} | arrays
    np.savez(folder / "data.npz", **values)
    return folder / "data.npz"


def test_init_says_which_data_it_writes_no_block_for(place, capsys):
    model = place("onnx")
    (model.parent / "d.csv").write_text("a\n1\n")
    assert init.main([str(model), f"--data={model.parent / 'd.csv'}"]) == 1
    assert "write `data` as docs/model-yaml.md says" in capsys.readouterr().err
    assert not (model.parent / "model.yaml").exists()


def test_data_are_checked_and_split(place, capsys):
    model = place("onnx")
    found = data(model.parent, label=np.arange(30) % 5)
    assert init.main([str(model), f"--data={found}"]) == 0
    described = descriptions.read(model.parent / "model.yaml")
    assert described.data is not None
    assert described.data.model_dump(exclude_none=True) == {
        "path": "data.npz", "labels": "label", "calibration": (0, 10), "evaluation": (10, 30),
    }  # fmt: skip
    assert described.metric is not None
    assert described.metric.model_dump(exclude_none=True) == {
        "name": "accuracy", "output": "logits", "allowed_drop": 0.01,
    }  # fmt: skip
    assert "INT8 is not tried" not in capsys.readouterr().out


def test_labels_of_a_regression_get_an_error_to_lose(place):
    model = place("onnx")
    found = data(model.parent, score=np.linspace(0, 100, 30), other=np.zeros(30))
    assert init.main([str(model), f"--data={found}", "--labels=score"]) == 0
    described = descriptions.read(model.parent / "model.yaml")
    assert described.metric is not None
    assert described.metric.name == "mae"
    assert described.metric.allowed_drop == pytest.approx(0.30, abs=0.01)


def test_a_folder_of_arrays_without_labels(place):
    model = place("onnx")
    (model.parent / "data").mkdir()
    np.save(model.parent / "data" / "image.npy", np.zeros((1000, 3, 8, 8), "f4"))
    assert init.main([str(model), f"--data={model.parent / 'data'}"]) == 0
    described = descriptions.read(model.parent / "model.yaml")
    assert described.data is not None
    assert described.data.labels is None
    assert described.data.calibration == (0, 300)
    assert described.metric is None


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"image": np.zeros((30, 3, 8, 9), "f4")}, "the input takes [-1, 3, 8, 8]"),
        ({"image": np.zeros((30, 3, 8, 8), "f4"), "label": np.zeros(29, "i8")}, "it has image 30, label 29"),
        ({"image": np.zeros((1, 3, 8, 8), "f4")}, "at least 2; it has image 1"),
        ({"image": np.zeros((30, 3, 8, 8), "c8")}, "the input takes FP32"),
    ],
)
def test_data_that_do_not_fit_are_refused(place, capsys, arrays, text):
    model = place("onnx")
    found = data(model.parent, **arrays)
    assert init.main([str(model), f"--data={found}"]) == 1
    assert text in capsys.readouterr().err
    assert not (model.parent / "model.yaml").exists()


@pytest.mark.parametrize("content", [b"", b"no numpy data"])
def test_damaged_data_are_refused(place, capsys, content):
    model = place("onnx")
    (model.parent / "d.npz").write_bytes(content)
    assert init.main([str(model), f"--data={model.parent / 'd.npz'}"]) == 1
    assert "d.npz" in capsys.readouterr().err


def test_the_model_has_to_lie_below_model_yaml(place, tmp_path, capsys):
    model = place("onnx")
    (tmp_path / "elsewhere").mkdir()
    assert init.main([str(model), "-o", str(tmp_path / "elsewhere" / "model.yaml")]) == 1
    assert "has to lie beside or below" in capsys.readouterr().err


def test_what_is_no_model_has_its_own_status(tmp_path, capsys):
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 64)
    assert init.main([str(tmp_path / "m.h5")]) == 5
    assert init.main([str(tmp_path / "none.onnx")]) == 1
    said = capsys.readouterr().err.splitlines()
    assert "model.export(dir)" in said[0]
    assert "no such file" in said[1]
