"""Weights with a factory: what does not fit is one line, and weights stay untrusted."""

import pickle

import numpy as np
import pytest

from converters import convert, factory, formats, sources
from converters.own_code import OwnCode
from nearedge.errors import InputError, UnsupportedError
from nearedge.release.description import parse

MODULE = """
import torch

class Net(torch.nn.Module):
    def __init__(self, size=5):
        super().__init__()
        self.d = torch.nn.Linear(4, size)

    def forward(self, x, y):
        return {"sum": self.d(x) + y, "pair": [x, y * 2]}

class Keyword(Net):
    def forward(self, *xs):
        return self.d(xs[0])

class Odd(Net):
    def forward(self, x, y):
        return "text"

class Picky(Net):
    def forward(self, x, y):
        raise ValueError("never")

def build(): return Net()
def larger(): return Net(6)
def more():
    net = Net()
    net.e = torch.nn.Linear(1, 1)
    return net
def nothing(): return None
def itself(): return Net
def keyword(): return Keyword()
def odd(): return Odd()
def picky(): return Picky()
"""
MODEL = """
{{schema: 1, name: m, code: code, source: {{path: w.pt, factory: "net:{name}"}},
 inputs: [{{name: y, shape: [-1, 5], dtype: FP32}}, {{name: x, shape: [[1, 4], 4], dtype: FP32}}],
 outputs: [{{name: sum}}, {{name: first}}, {{name: second}}]}}"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Weights in several states, and the code beside them."""
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("factory")
    (folder / "code").mkdir()
    (folder / "code" / "net.py").write_text(MODULE)
    torch.manual_seed(0)
    weights = torch.nn.Linear(4, 5).state_dict()
    weights = {f"d.{name}": value for name, value in weights.items()}
    torch.save(weights, folder / "w.pt")
    torch.save(weights, folder / "old.pt", _use_new_zipfile_serialization=False)
    torch.save({"model": weights, "epoch": 3}, folder / "checkpoint.pt")
    torch.save({**weights, "e.weight": torch.zeros(1), "f": torch.zeros(1)}, folder / "besides.pt")
    save_file(weights, folder / "w.safetensors")
    content = (folder / "w.safetensors").read_bytes()
    (folder / "damaged.safetensors").write_bytes(content.replace(b'"F32"', b'"F99"'))
    return folder


def described(name="build"):
    """The description of a model that the function `name` makes."""
    return parse(MODEL.format(name=name), "model.yaml")


@pytest.mark.parametrize("file", ["w.pt", "old.pt", "w.safetensors"])
def test_nested_results_bounds_and_the_order_of_inputs(place, file):
    import openvino as ov

    path, code = place / file, OwnCode(place / "code")
    form = formats.recognise(path, factory=True)
    source = sources.load_source(path, form, described(), 1, code)
    model = convert.convert(path, form, described(), code)
    inputs, outputs = convert.specs(model, file)
    assert [(one.name, one.shape) for one in inputs] == [("y", [-1, 5]), ("x", [-1, 4])]
    assert str(model.inputs[1].get_partial_shape()) == "[1..4,4]"
    assert [one.name for one in outputs] == ["sum", "first", "second"]
    random = np.random.default_rng(0)
    for rows in (1, 3):
        feed = {"x": random.standard_normal((rows, 4)), "y": random.standard_normal((rows, 5))}
        feed = {name: array.astype(np.float32) for name, array in feed.items()}
        expected = source.predict(feed)
        compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = compiled(feed)
        for output in outputs:
            assert np.allclose(found[output.name], expected[output.name], atol=1e-5)
    assert np.abs(expected["sum"] - feed["y"]).max() > 0.1


FAULTS = {
    "missing": (
        "w.pt",
        "more",
        InputError,
        r"w.pt: is not of the module that net:more makes: it lacks e.weight, e.bias",
    ),
    "unexpected": ("besides.pt", "build", InputError, r"it has besides e.weight, f"),
    "shape": ("w.pt", "larger", InputError, r"w.pt: does not fit what net:larger makes: size mismatch for d.bias"),
    "checkpoint": (
        "checkpoint.pt",
        "build",
        InputError,
        r"a checkpoint with model, epoch, no state_dict; save that alone",
    ),
    "damaged": ("damaged.safetensors", "build", (InputError, UnsupportedError), r"damaged.safetensors: .*F99"),
    "none": ("w.pt", "nothing", InputError, r"net:nothing: gives a NoneType; it has to return a torch.nn.Module"),
    "class": ("w.pt", "itself", InputError, r"net:itself: gives the class itself, not an instance"),
    "keyword": ("w.pt", "keyword", UnsupportedError, r"net:keyword: forward\(\) takes \*xs; give each input"),
    "text": ("w.pt", "odd", InputError, r"gives a str; only tensors can be served"),
    "picky": ("w.pt", "picky", InputError, r"refuses the inputs of model.yaml \(y \[-1, 5\] FP32.*never"),
    "absent": ("w.pt", "absent", InputError, r"source.factory net:absent: net has none of that name"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_does_not_fit_is_one_line(place, name):
    file, function, error, text = FAULTS[name]
    form = formats.recognise(place / file, factory=True)
    with pytest.raises(error, match=text) as caught:
        convert.convert(place / file, form, described(function), OwnCode(place / "code"))
    assert "\n" not in str(caught.value)


class Evil:
    """A pickle that writes a file when it is loaded."""

    def __reduce__(self):
        return (open, ("/nowhere/at/all", "w"))


def test_code_that_is_allowed_does_not_make_a_pickle_trusted(tmp_path):
    import torch

    torch.save({"d.weight": Evil()}, tmp_path / "w.pt")
    with pytest.raises(UnsupportedError, match="never opened"):
        formats.recognise(tmp_path / "w.pt", factory=True)
    with pytest.raises(UnsupportedError, match="cannot read the weights"):
        factory.read(tmp_path / "w.pt", "state-dict")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UnsupportedError, match="never opened"):
        formats.recognise(tmp_path / "plain.pt", factory=True)


def test_a_whole_model_needs_no_factory(models):
    with pytest.raises(InputError, match="this is a whole onnx model; leave it out"):
        formats.recognise(models.path("onnx"), factory=True)
