"""Part quantization of model.yaml: defaults, what is refused, and that leaving it out changes no digest."""

import pytest

from nearedge.errors import InputError
from nearedge.release import description
from nearedge.release.quantization import Quantization
from nearedge.release.sections import Precision

MODEL = """
schema: 1
name: m
source: {path: m.onnx}
inputs: [{name: x, shape: [1], dtype: FP32}]
outputs: [{name: y}]
"""


def test_left_out_it_is_the_default() -> None:
    read = description.parse(MODEL, "model.yaml")
    assert read.quantization == Quantization(preset="performance", subset=300, ignored=[])
    assert "quantization" not in read.model_dump(by_alias=True, exclude_defaults=True)


def test_given_it_is_read() -> None:
    read = description.parse(MODEL + 'quantization: {preset: mixed, subset: 20, ignored: ["MatMul_.*"]}', "model.yaml")
    assert read.quantization == Quantization(preset="mixed", subset=20, ignored=["MatMul_.*"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{preset: accuracy}", "quantization.preset"),
        ("{subset: 0}", "quantization.subset"),
        ("{ignored: ['Conv(']}", "quantization: ignored: 'Conv(' is no name and no regular expression"),
        ("{ignored: MatMul_1}", "quantization.ignored"),
        ("{overflow: fix}", "quantization.overflow: unknown key"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        description.parse(f"{MODEL}quantization: {text}", "model.yaml")
    assert words in str(caught.value)


def test_every_precision_can_be_asked_for() -> None:
    assert set(description.PrecisionRequest.__args__) == {"auto", *Precision.__args__}
