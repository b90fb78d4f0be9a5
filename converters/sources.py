"""Running the original model in its original framework: what the IR is held against."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from converters import factory, keras_source, onnx_source, openvino_source, pytorch, tensorflow_source
from converters.arrays import Array
from converters.formats import WEIGHTS
from converters.opened import Opened, Run
from converters.own_code import OwnCode
from converters.signature import match_inputs, match_outputs
from nearedge.errors import InputError
from nearedge.release.description import Description
from nearedge.release.sections import Format

Opener = Callable[[Path, int | None], Opened]

OPENERS: dict[Format, Opener] = {
    "torchscript": pytorch.open_scripted,
    "pt2": pytorch.open_exported,
    "onnx": onnx_source.open_onnx,
    "openvino-ir": openvino_source.open_ir,
    "savedmodel": tensorflow_source.open_savedmodel,
    "frozen-pb": tensorflow_source.open_frozen,
    "tflite": tensorflow_source.open_lite,
    "keras": lambda path, threads: keras_source.open_keras(path, "keras", threads),
    "keras-h5": lambda path, threads: keras_source.open_keras(path, "keras-h5", threads),
}
"""For all but weights alone, which need the description and the user's own code besides."""


@dataclass(frozen=True)
class SourceModel:
    """The original model. `framework` is a label for people, such as `PyTorch 2.13.0`."""

    framework: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    order: tuple[int, ...]
    run: Run
    places: tuple[int, ...] | None

    def predict(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """Its outputs by model.yaml's names, for arrays by model.yaml's input names; no preprocessing is applied.

        Raises InputError where it gives another number of outputs than model.yaml names.
        """
        found = self.run([feed[self.inputs[index]] for index in self.order])
        if len(found) != len(self.outputs):
            raise InputError(f"model.yaml names {len(self.outputs)} outputs, the model gives {len(found)}")
        places = self.places or range(len(found))
        return {name: found[place] for name, place in zip(self.outputs, places, strict=True)}


def load_source(
    path: Path, form: Format, description: Description, threads: int | None = None, code: OwnCode | None = None
) -> SourceModel:
    """The model in `path`, loaded by its own framework, which may use so many threads (None: as it likes).

    `code` holds its factory, where it has one. Raises InputError where it is damaged or contradicts `description`,
    UnsupportedError where it cannot be run.
    """
    if form in WEIGHTS:
        opened = factory.open_module(path, form, description, threads, code)
    else:
        opened = OPENERS[form](path, threads)
    positions = match_inputs(description, opened.signature.inputs, str(path))
    outputs = opened.signature.outputs
    return SourceModel(
        framework=opened.framework,
        inputs=tuple(one.name for one in description.inputs),
        outputs=tuple(one.name for one in description.outputs),
        order=tuple(positions.index(place) for place in range(len(positions))),
        run=opened.run,
        places=None if outputs is None else tuple(match_outputs(description, outputs, str(path))),
    )
