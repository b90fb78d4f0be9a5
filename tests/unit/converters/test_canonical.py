"""Names depend on the model alone, in the graphs inside If and Loop too, and every output keeps its own."""

import warnings

import numpy as np
import pytest

from converters import convert, sources
from converters.canonical import canonical
from nearedge.release.description import parse

ONE = """
{schema: 1, name: tested, source: {path: x}, inputs: [{name: x, shape: [2, 3], dtype: FP32}], outputs: [%s]}
"""


def scripted(module, path):
    """Save a module as TorchScript, whose compiler says that it is deprecated."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(path)
    return path


def branching(path):
    """A module with an If inside a Loop."""
    import torch

    class Branching(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for _ in range(int(x.abs().sum()) + 2):
                x = x * 0.5 if bool(x.sum() > 10.0) else x + 1.0
            return x

    return scripted(Branching(), path)


def texts(model, folder):
    """The .xml of a model."""
    folder.mkdir()
    convert.save(model, folder)
    return (folder / "model.xml").read_text()


def test_bodies_of_if_and_loop_are_named_too(tmp_path):
    path = branching(tmp_path / "branching.pt")
    description = parse(ONE % "{name: y}", "model.yaml")
    first = texts(convert.convert(path, "torchscript", description), tmp_path / "a")
    assert first == texts(convert.convert(path, "torchscript", description), tmp_path / "b")
    assert 'type="Loop"' in first
    assert 'type="If"' in first
    import openvino as ov

    compiled = ov.Core().compile_model(tmp_path / "a" / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    x = np.full((2, 3), 0.5, "f4")
    expected = sources.load_source(path, "torchscript", description).predict({"x": x})["y"]
    assert np.allclose(compiled({"x": x})["y"], expected)


def test_a_tensor_iterator_is_named_too(tmp_path):
    """A bidirectional LSTM with a sequence length of its own becomes one after reading; here one is made by hand."""
    import openvino as ov
    from openvino import opset13

    def made():
        x = opset13.parameter([2, 3], ov.Type.f32, name="x")
        inner = opset13.parameter([2, 1], ov.Type.f32)
        body = ov.Model([opset13.relu(inner)], [inner], "body")
        node = opset13.tensor_iterator()
        node.set_body(body)
        node.set_sliced_input(inner, x.output(0), 0, 1, 1, -1, 1)
        node.get_concatenated_slices(body.get_results()[0].input_value(0), 0, 1, 1, -1, 1)
        model = ov.Model([node.output(0)], [x], "made")
        model.set_rt_info(str(tmp_path), ["conversion_parameters", "input_model"])
        return model

    described = parse(ONE % "{name: y}", "model.yaml")
    first, second = (texts(canonical(made(), described), tmp_path / name) for name in "ab")
    assert first == second
    assert "TensorIterator_1.0/Relu_1" in first
    assert str(tmp_path) not in first


@pytest.mark.parametrize("names", [["p", "q", "r", "s"], ["s", "r", "q", "p"]])
def test_outputs_that_share_a_tensor_keep_their_own_names(tmp_path, names):
    import openvino as ov
    import torch

    class Same(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
            y = x + 1
            return y, y, x, x * 2

    path = scripted(Same(), tmp_path / "same.pt")
    description = parse(ONE % ", ".join(f"{{name: {name}}}" for name in names), "model.yaml")
    texts(convert.convert(path, "torchscript", description), tmp_path / "o")
    compiled = ov.Core().compile_model(tmp_path / "o" / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    x = np.arange(6, dtype="f4").reshape(2, 3)
    found = compiled({"x": x})
    assert [port.get_any_name() for port in compiled.outputs] == names
    for name, expected in zip(names, (x + 1, x + 1, x, x * 2), strict=True):
        assert np.array_equal(found[name], expected)
