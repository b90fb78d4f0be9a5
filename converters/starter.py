"""The commented model.yaml that `nearedge init` writes from a model file."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from converters.datatypes import FLOATS
from converters.layouts import guess
from converters.signature import Tensor
from nearedge.errors import InputError
from nearedge.release.sections import Format, Framework

UNTELLING = {"model", "saved-model", "best", "last", "final", "export", "exported"}
LONGEST_NAME = 53

DATA_HINT = """\
# Data to calibrate INT8 with and to judge by. Without them accuracy is not judged, and parity only on made-up samples.
# data:
#   path: data.npz              # one array for each input, by its name; axis 0 is the sample
#   labels: label               # the array with the right answers, if there are any
#   calibration: [0, 300]       # rows [first, after last] that INT8 is calibrated with ...
#   evaluation: [300, 1000]     # ... and others that accuracy is measured on"""
METRIC_HINT = """\
# How the labels are compared, and how much of it the deployed model may lose: accuracy, f1, mae or
# rmse; for boxes map or map50, which docs/model-yaml.md explains.
# metric: {name: accuracy, output: OUTPUT, allowed_drop: 0.01}   # expected: 0.97, what it scored in training"""
GOLDEN_HINT = """\
# Samples that may be shipped in the image, so that a site can repeat the proof. They are your data: absent, none are.
# golden: {rows: [FIRST, AFTER], count: 8}"""
PREPROCESSING_HINT = """\
    # preprocessing: {mean: [0.0], scale: [255.0]}   # folded into the IR: the model is fed (value - mean) / scale"""
PICTURE_HINT = """\
    # Clients may send pictures of other sizes, as bytes, or blue first: then shape, dtype and layout are theirs, and
    # preprocessing has layout, resize and channel_order: docs/model-yaml.md, Inputs."""
NO_LAYOUT_HINT = "    # layout: NC         # a letter a dimension; needed where mean or scale differ by channel (C)"


def name_of(path: Path) -> str:
    """A model's name from its file's: small letters, digits and dashes; its folder's where the file's says nothing."""
    for part in (path.stem if path.is_file() else path.name, path.resolve().parent.name):
        name = re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-")[:LONGEST_NAME].strip("-")
        if name and name not in UNTELLING:
            return name
    return "model"


def name_outputs(outputs: Sequence[Tensor]) -> list[str]:
    """The outputs' own names; `output`, or `output-1` and so on, where the file has none."""
    if len(outputs) == 1:
        return [outputs[0].name or "output"]
    return [tensor.name or f"output-{number}" for number, tensor in enumerate(outputs, 1)]


def text(
    name: str,
    source: str,
    form: Format,
    framework: Framework,
    inputs: Sequence[Tensor],
    outputs: Sequence[str],
    data: str | None,
    factory: str | None = None,
    code: str | None = None,
) -> str:
    """The text of model.yaml. `inputs` are complete: names, shapes with -1, element types.

    `source` is relative to model.yaml; `data` is the block of data and metric, None for comments that explain them.
    `factory` is the function in the folder `code`, relative to model.yaml, for weights alone.
    """
    rows = "300, 1000" if data is None else _rows(data)
    parts = [
        f"# What nearedge has to know about {scalar(source)} ({form}). Written by `nearedge init`; check every line.",
        "schema: 1",
        f"name: {name}",
        'version: "1"                   # raise it when clients have to tell the new model from the old one',
        'description: ""',
        "source:",
        f"  path: {scalar(source)}",
        *([f'  factory: "{factory}"         # makes the module that the weights are loaded into'] if factory else []),
        *(
            [f"code: {scalar(code)}                     # its folder; it runs only with the param allow-code=true"]
            if code
            else []
        ),
        "inputs:                        # in shape, -1 may vary, [1, 8] within bounds; fixed ones run faster",
        *(line for tensor in inputs for line in _input(tensor, framework)),
        "outputs:                       # in the model's own order; these are the names that clients see",
        *(f"  - name: {scalar(output)}" for output in outputs),
        data if data is not None else f"{DATA_HINT}\n{METRIC_HINT.replace('OUTPUT', scalar(outputs[0]))}",
        "precision: auto                # or f32, fp16, bf16, int8-weights, int8, int8-accuracy-aware",
        "target: {profile: microshift-small}   # or sno-small, sno-medium, or the path of a profile of your own",
        GOLDEN_HINT.replace("FIRST, AFTER", rows),
    ]
    return "\n".join(parts) + "\n"


def _rows(data: str) -> str:
    """The rows of evaluation in a block of data, as `first, after last`."""
    return ", ".join(str(row) for row in yaml.safe_load(data)["data"]["evaluation"])


def _input(tensor: Tensor, framework: Framework) -> list[str]:
    """The lines of one input, its layout guessed and said to be a guess."""
    shape = list(tensor.shape or ())
    lines = [f"  - name: {scalar(tensor.name)}", f"    shape: {shape}", f"    dtype: {tensor.datatype}"]
    layout = guess(shape, framework)
    if layout is not None:
        lines += [f"    layout: {layout}         # guessed from the shape: a letter a dimension, C the channels"]
    elif tensor.datatype in FLOATS:
        lines += [NO_LAYOUT_HINT]
    if layout is not None or tensor.datatype in FLOATS:
        lines += [PREPROCESSING_HINT]
    if layout is not None:
        lines += [PICTURE_HINT]
    return lines


def scalar(value: str) -> str:
    """A YAML scalar that reads back as this very text."""
    try:
        plain = bool(re.fullmatch(r"[A-Za-z_][\w./-]*", value)) and yaml.safe_load(value) == value
    except yaml.YAMLError:
        plain = False
    return value if plain else yaml.safe_dump(value, default_style='"', width=sys.maxsize).strip()


def relative_to(path: Path, description: Path, what: str) -> str:
    """`path` relative to the folder of model.yaml. Raises InputError where it does not lie there or below."""
    folder = description.resolve().parent
    try:
        return path.resolve().relative_to(folder).as_posix()
    except ValueError:
        raise InputError(f"{path}: {what} has to lie beside or below {description}; give -o a path beside it") from None
