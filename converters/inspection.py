"""What a model file says about its own inputs and outputs."""

from pathlib import Path

from converters import keras_source, openvino_source, pytorch, tensorflow_source
from converters.signature import Signature
from nearedge.release.sections import Format


def inspect(path: Path, form: Format) -> Signature:
    """The inputs and outputs of the model in `path`, in its own order.

    Raises InputError or UnsupportedError where the file is damaged or cannot be converted.
    """
    if form == "torchscript":
        return pytorch.inspect_scripted(path)
    if form == "pt2":
        return pytorch.inspect_exported(path)
    if form in keras_source.ENDINGS:
        return keras_source.inspect(path, form)
    if form == "savedmodel":
        tensorflow_source.check_signature(path)
    return openvino_source.signature_of(openvino_source.read(path, form), path, form)
