"""A source model to OpenVINO IR: model.yaml's names, shapes and element types, with its preprocessing folded in."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from converters import factory, keras_source, openvino_source, preprocessing, pytorch, tensorflow_source
from converters.canonical import canonical
from converters.datatypes import from_openvino
from converters.fed import fed, partial
from converters.formats import WEIGHTS
from converters.openvino_source import shape_of, signature_of
from converters.own_code import OwnCode
from converters.refusal import essence, explained
from converters.signature import Tensor, match_inputs, match_outputs
from nearedge.errors import MachineError, UnsupportedError
from nearedge.release.description import Description
from nearedge.release.sections import Format, TensorSpec

XML, BIN = "model.xml", "model.bin"
OPENVINO_READS: tuple[Format, ...] = ("onnx", "savedmodel", "frozen-pb", "tflite", "openvino-ir")
Converted = tuple[Any, list[Any]]
"""An openvino.Model and its parameters in model.yaml's order."""
TORCH: dict[Format, Callable[[Path, Description], Converted]] = {
    "torchscript": pytorch.convert_scripted,
    "pt2": pytorch.convert_exported,
}


def convert(path: Path, form: Format, description: Description, code: OwnCode | None = None) -> Any:  # openvino.Model
    """The ov.Model of the source, f32 weights uncompressed; `code` holds its factory, where it has one.

    Raises InputError where the source is damaged or model.yaml contradicts it, UnsupportedError where OpenVINO lacks
    an operator; the message names it.
    """
    import openvino as ov

    named: tuple[Tensor, ...] = ()
    if form in TORCH:
        model, parameters = TORCH[form](path, description)
    elif form in OPENVINO_READS:
        model, parameters = _read(path, form, description)
    elif form in WEIGHTS:
        model, parameters = factory.convert_module(path, form, description, code)
    else:
        (model, parameters), named = _keras(path, form, description)
    named = named or signature_of(model, path, form).outputs or ()
    results = [model.get_results()[place] for place in match_outputs(description, named, str(path))]
    ordered = canonical(ov.Model(results, model.get_sinks(), parameters, description.name), description)
    with explained(path, "OpenVINO cannot fold in the preprocessing of model.yaml"):
        ready = preprocessing.folded(ordered, description)
    return canonical(ready, description)


def save(model: Any, folder: Path) -> None:  # openvino.Model
    """Write `model.xml` and `model.bin` into `folder`, with the weights as they are.

    Raises MachineError where they cannot be written: OpenVINO says only that its stream failed.
    """
    import openvino as ov

    try:
        ov.save_model(model, folder / XML, compress_to_fp16=False)
    except RuntimeError as error:
        raise MachineError(
            f"{folder}: the IR cannot be written ({essence(str(error))}); is the disk full or a limit reached?"
        ) from error


def version() -> str:
    """OpenVINO's version, such as `2026.4.1`."""
    import openvino as ov

    return str(ov.get_version()).partition("-")[0]


def specs(model: Any, what: str) -> tuple[list[TensorSpec], list[TensorSpec]]:  # openvino.Model
    """Inputs and outputs of a converted model, as the release record has them; `what` names it in messages."""
    return [_spec(port, what) for port in model.inputs], [_spec(port, what) for port in model.outputs]


def _spec(port: Any, what: str) -> TensorSpec:  # openvino.Output
    """One tensor. Raises UnsupportedError where not even its number of dimensions, or its type, is known."""
    name = port.get_any_name()
    shape, element = shape_of(port.get_partial_shape()), port.get_element_type()
    if shape is None or element.is_dynamic():
        raise UnsupportedError(f"{what}: the shape or type of {name!r} depends on its content; such cannot be served")
    return TensorSpec(name=name, datatype=from_openvino(element.get_type_name(), what), shape=list(shape))


def _keras(path: Path, form: Format, description: Description) -> tuple[Converted, tuple[Tensor, ...]]:
    """Keras's own file by way of a SavedModel, in model.yaml's shapes, and its outputs by Keras's names."""
    model, signature = keras_source.read(path, form)
    return _reshaped(model, signature.inputs, path, description), signature.outputs or ()


def _read(path: Path, form: Format, description: Description) -> Converted:
    """What OpenVINO reads by itself, in model.yaml's shapes."""
    if form == "savedmodel":
        tensorflow_source.check_signature(path)
    model = openvino_source.read(path, form)
    return _reshaped(model, signature_of(model, path, form).inputs, path, description)


def _reshaped(model: Any, inputs: Sequence[Tensor], path: Path, description: Description) -> Converted:
    """The model, whose `inputs` are in its own order, in model.yaml's shapes."""
    positions = match_inputs(description, inputs, str(path))
    parameters = [model.get_parameters()[place] for place in positions]
    shapes = [partial(fed(one).shape) for one in description.inputs]
    with explained(path, "OpenVINO cannot give it the shapes of model.yaml"):
        model.reshape({node.output(0): shape for node, shape in zip(parameters, shapes, strict=True)})
    return model, parameters
