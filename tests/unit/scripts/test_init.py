"""`nearedge init`: what it writes parses and converts without an edit, for every format."""

import re

import numpy as np
import pytest

from converters import convert, formats, starter_data
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


def test_labels_that_are_boxes_get_mean_average_precision():
    boxes = np.zeros((6, 2, 5), "f4")
    assert (
        "{name: map, detection: {boxes: found_boxes, scores: conf, classes: labels, format: xyxy}, allowed_drop: 0.01}"
        in starter_data._metric(boxes, ["labels", "found_boxes", "conf"])
    )
    assert "detection: {boxes: first, format" in starter_data._metric(boxes, ["first", "second"])
    assert "CHECK" in starter_data._metric(boxes, ["first"])


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


def written(model, *options):
    """What init writes of data and metric, given these options."""
    assert init.main([str(model), *options]) == 0
    described = descriptions.read(model.parent / "model.yaml")
    metric = None if described.metric is None else described.metric.name
    return described.data.model_dump(exclude_none=True, exclude={"path"}), metric


@pytest.fixture
def table_model(tmp_path):
    """An ONNX model of three features, where CSV files and its model.yaml can lie beside it."""
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    node = helper.make_node("Relu", ["x"], ["y"])
    ends = [value("x", TensorProto.FLOAT, ["n", 3])], [value("y", TensorProto.FLOAT, ["n", 3])]
    onnx.save(helper.make_model(helper.make_graph([node], "g", *ends), ir_version=9), tmp_path / "three.onnx")
    return tmp_path / "three.onnx"


ROWS = {"calibration": (0, 2), "evaluation": (2, 6)}
TABLES = {
    "without labels": ("a,b,c\n", "1,2,{n}\n", [], ROWS, None),
    "a column called so": ("a,Label,b,c\n", "1,{n},2,3\n", [], ROWS | {"labels": "Label"}, "accuracy"),
    "named": ("a,b,c,price\n", "1,2,3,{n}.5\n", ["--labels=price"], ROWS | {"labels": "price"}, "mae"),
    "names are classes": (
        "a,b,c,class\n", "1,2,3,k-{n}\n", [],
        ROWS | {"labels": "class", "classes": [f"k-{n}" for n in range(6)]}, "accuracy",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLES)
def test_a_csv_file_is_described(table_model, case):
    head, row, options, data_block, metric = TABLES[case]
    (table_model.parent / "d.csv").write_text(head + "".join(row.format(n=n) for n in range(6)))
    assert written(table_model, f"--data={table_model.parent / 'd.csv'}", *options) == (data_block, metric)


REFUSED_TABLES = {
    "too few columns": ("a,b\n1,2\n3,4\n", [], "the input takes [-1, 3]"),
    "one row": ("a,b,c\n1,2,3\n", [], "holds 1 rows"),
    "a column too many": ("a,b,c,ill\n1,2,3,0\n1,2,3,1\n", [], "name it: --labels COLUMN (the last is 'ill')"),
    "no such column": ("a,b,c\n1,2,3\n1,2,3\n", ["--labels=z"], "no column 'z'"),
    "a word": ("a,b,c\n1,2,3\n1,x,3\n", [], "line 3, column 'b'"),
    "names that are no classes": (
        "a,b,c,label\n" + "".join(f"1,2,3,k{n}\n" for n in range(1001)), [], "1001 different names",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED_TABLES)
def test_a_csv_file_that_does_not_fit_is_refused(table_model, capsys, case):
    text, options, words = REFUSED_TABLES[case]
    (table_model.parent / "d.csv").write_text(text)
    assert init.main([str(table_model), f"--data={table_model.parent / 'd.csv'}", *options]) == 1
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert sorted(path.name for path in table_model.parent.iterdir()) == ["d.csv", "three.onnx"]


def picture(path, size=8):
    """A small picture under `path`."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), "red").save(path)


def test_folders_of_pictures_are_classes(place):
    model = place("onnx")
    for name in ("cat", "dog"):
        for number in range(3):
            picture(model.parent / "data" / name / f"{number}.png", 9)
    found = written(model, f"--data={model.parent / 'data'}")
    assert found == (ROWS | {"labels": "folders", "classes": ["cat", "dog"], "resize": "crop"}, "accuracy")
    assert (model.parent / "model.yaml").read_text().count("# CHECK") == 2


def test_pictures_with_a_list_of_labels_and_without(place):
    model = place("onnx")
    for number in range(6):
        picture(model.parent / "data" / f"{number}.png")
    found = written(model, f"--data={model.parent / 'data'}")
    assert found == (ROWS, None)
    (model.parent / "data" / "labels.csv").write_text("file,label\n" + "".join(f"{n}.png,{n % 2}\n" for n in range(6)))
    found = written(model, f"--data={model.parent / 'data'}", "--force")
    assert found == (ROWS | {"labels": "labels.csv"}, "accuracy")


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (lambda folder: folder.mkdir(), [], "neither .npy files nor pictures"),
        (lambda folder: picture(folder / "a.png"), ["--labels=none.csv"], "no such file"),
        (lambda folder: picture(folder / "a.png"), ["--labels=label"], "of pictures they are folders, or a .csv"),
        (lambda folder: (picture(folder / "a" / "x.png"), (folder / "b").write_text("")), [], "is no folder"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(place, capsys, make, options, words):
    model = place("onnx")
    make(model.parent / "data")
    assert init.main([str(model), f"--data={model.parent / 'data'}", *options]) == 1
    assert words in capsys.readouterr().err and not (model.parent / "model.yaml").exists()


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
    import torch

    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 64)
    torch.save(torch.nn.Linear(1, 1), tmp_path / "pickled.pt")
    assert init.main([str(tmp_path / "m.h5")]) == 1
    assert init.main([str(tmp_path / "none.onnx")]) == 1
    assert init.main([str(tmp_path / "pickled.pt")]) == 5
    said = capsys.readouterr().err.splitlines()
    assert "save the whole model" in said[0]
    assert "no such file" in said[1]
    assert "never opened" in said[2]


OWN = ["--factory=net:build", "--allow-code", "--shape=x=-1,2"]
WITH_A_FACTORY = {
    "bare": ([], 1, "say which Python function makes the module: --factory package.module:function"),
    "not allowed": (OWN[:1] + OWN[2:], 2, "then give --allow-code as well"),
    "no name": (["--factory=net.build", *OWN[1:]], 2, "is not PACKAGE.MODULE:FUNCTION"),
    "no folder": ([*OWN, "--code=elsewhere"], 1, "elsewhere: no such folder"),
    "no shape": (OWN[:2], 2, "does not tell the shape of x; give it, as in --shape x="),
    "no such function": (["--factory=net:other", *OWN[1:]], 1, "net has none of that name"),
    "of another module": (
        ["--factory=net:larger", *OWN[1:]],
        1,
        "does not fit what net:larger makes: size mismatch for",
    ),
}


@pytest.fixture
def weights(tmp_path):
    """A state_dict and the code beside it."""
    import torch

    (tmp_path / "code").mkdir()
    text = "import torch\n\ndef build():\n    print('built')\n    return torch.nn.Linear(2, 3)\n"
    larger = "\n\nclass L(torch.nn.Linear):\n    def forward(self, x):\n        return super().forward(x)\n"
    text = text.replace("torch.nn.Linear(2, 3)", "L(2, 3)") + larger + "\n\ndef larger():\n    return L(2, 4)\n"
    (tmp_path / "code" / "net.py").write_text(text)
    torch.save(torch.nn.Linear(2, 3).state_dict(), tmp_path / "w.pt")
    return tmp_path / "w.pt"


@pytest.mark.parametrize("name", WITH_A_FACTORY)
def test_weights_need_a_factory_and_leave_to_run_it(weights, capsys, name):
    options, status, text = WITH_A_FACTORY[name]
    assert init.main([str(weights), *options]) == status
    said = capsys.readouterr()
    assert text in said.err
    assert not (weights.parent / "model.yaml").exists()
    assert ("built" in said.out) == (name == "no shape"), "nothing ran that was not allowed"


def test_a_factory_is_written_into_model_yaml(weights, capsys):
    assert init.main([str(weights), *OWN]) == 0
    described = descriptions.read(weights.parent / "model.yaml")
    assert (described.source.factory, described.code) == ("net:build", "code")
    assert [(one.name, one.shape) for one in described.inputs] == [("x", [-1, 2])]
    assert "-p allow-code=true" in capsys.readouterr().out


def test_a_whole_model_takes_no_factory(place, capsys):
    model = place("onnx")
    assert init.main([str(model), *OWN]) == 1
    assert "this is a whole onnx model" in capsys.readouterr().err
