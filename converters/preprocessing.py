"""The preprocessing of model.yaml: folded into the IR, and done for the original model, which has none of it.

Both work in float32 (float64 for FP64), in the order that `Preprocessing` gives. What the original model is fed is
computed with numpy, so that a fault in what was folded in shows up as a difference; resizing alone is OpenVINO's own
in both, as each library rounds and weighs in its own way.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from converters.arrays import Array
from converters.datatypes import FLOATS, TO_OPENVINO
from converters.fed import fed, partial
from nearedge.release.description import Description
from nearedge.release.inputs import Algorithm, Input, Preprocessing, Resize

ALGORITHMS: dict[Algorithm, str] = {
    "linear": "RESIZE_LINEAR", "cubic": "RESIZE_CUBIC", "nearest": "RESIZE_NEAREST",
    "bilinear-pillow": "RESIZE_BILINEAR_PILLOW", "bicubic-pillow": "RESIZE_BICUBIC_PILLOW",
}  # fmt: skip
"""OpenVINO's names, members of openvino.preprocess.ResizeAlgorithm."""


def folded(model: Any, description: Description) -> Any:  # openvino.Model
    """The model with its preprocessing before it, for the inputs that ask for it. Raises RuntimeError as OpenVINO."""
    from openvino.preprocess import PrePostProcessor

    if all(one.preprocessing is None for one in description.inputs):
        return model
    steps = PrePostProcessor(model)
    for one in description.inputs:
        if one.preprocessing is not None:
            _fold(steps.input(one.name), one, one.preprocessing)
    return steps.build()


def _fold(steps: Any, one: Input, given: Preprocessing) -> None:  # openvino.preprocess.InputInfo
    """The steps of one input."""
    import openvino as ov

    model = fed(one)
    steps.tensor().set_element_type(getattr(ov.Type, TO_OPENVINO[one.dtype]))
    process = steps.preprocess().convert_element_type(ov.Type.f64 if one.dtype == "FP64" else ov.Type.f32)
    if one.layout is not None:
        steps.tensor().set_layout(ov.Layout(one.layout)).set_shape(partial(one.shape))
        steps.model().set_layout(ov.Layout(model.layout))
        if given.resize is not None:
            process = _resize(process.convert_layout(ov.Layout(planar(one.layout))), given.resize)
        process = process.convert_layout(ov.Layout(model.layout))
    if given.channel_order is not None:
        process = process.reverse_channels()
    if given.mean is not None:
        process = process.mean(given.mean if len(given.mean) > 1 else given.mean[0])
    if given.scale is not None:
        process = process.scale(given.scale if len(given.scale) > 1 else given.scale[0])
    process.convert_element_type(getattr(ov.Type, TO_OPENVINO[model.datatype]))


def planar(layout: str) -> str:
    """The layout with H and W last, which is how resizing is done.

    OpenVINO's Pillow algorithms answer HWC and NWHC with what happens to be in memory (seen with 2026.4).
    """
    return "".join(letter for letter in layout if letter not in "HW") + "HW"


def _resize(process: Any, wanted: Resize) -> Any:  # openvino.preprocess.PreProcessSteps
    """The step that brings the axes H and W to the model's size."""
    from openvino.preprocess import ResizeAlgorithm

    return process.resize(getattr(ResizeAlgorithm, ALGORITHMS[wanted.algorithm]), wanted.height, wanted.width)


def preprocess(description: Description, feed: Mapping[str, Array]) -> dict[str, Array]:
    """What the original model is fed where clients send `feed`. Whole numbers become float32."""
    return {one.name: _preprocess(one, one.preprocessing, feed[one.name]) for one in description.inputs}


def _preprocess(one: Input, given: Preprocessing | None, array: Array) -> Array:
    """One input, as `preprocess` says; unchanged where model.yaml asks for nothing."""
    if given is None:
        return array
    work = np.dtype(np.float64 if one.dtype == "FP64" else np.float32)
    values, layout = array.astype(work), fed(one).layout or ""
    if one.layout is not None:
        values = _resized(values, one.layout, layout, given.resize)
    axis = max(layout.find("C"), 0)
    if given.channel_order is not None:
        values = np.flip(values, axis)
    for factors, apply in ((given.mean, np.subtract), (given.scale, np.divide)):
        if factors is not None:
            shape = [1] * values.ndim
            if len(factors) > 1:
                shape[axis] = len(factors)
            values = apply(values, np.asarray(factors, work).reshape(shape))
    return values.astype(array.dtype if one.dtype in FLOATS else work, order="C")


def _resized(values: Array, have: str, want: str, wanted: Resize | None) -> Array:
    """The values, whose layout is `have`, in the layout `want` and of the wanted size."""
    if wanted is not None:
        between = planar(have)
        ready = np.ascontiguousarray(values.transpose([have.index(letter) for letter in between]))
        values, have = _resizer(between, wanted, values.dtype.name)(ready)[0], between
    return values.transpose([have.index(letter) for letter in want])


@lru_cache(maxsize=8)
def _resizer(layout: str, wanted: Resize, work: str) -> Any:  # openvino.CompiledModel
    """OpenVINO's resizing alone, of arrays of any size in `layout` and of numpy's type `work`; never in bf16."""
    import openvino as ov
    from openvino import opset13
    from openvino.preprocess import PrePostProcessor

    sizes = [{"H": wanted.height, "W": wanted.width}.get(letter, -1) for letter in layout]
    picture = opset13.parameter(ov.PartialShape(sizes), np.dtype(work), "picture")
    steps = PrePostProcessor(ov.Model([opset13.result(picture)], [picture], "resize"))
    steps.input().model().set_layout(ov.Layout(layout))
    steps.input().tensor().set_layout(ov.Layout(layout)).set_shape(ov.PartialShape([-1] * len(layout)))
    _resize(steps.input().preprocess(), wanted)
    return ov.Core().compile_model(steps.build(), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
