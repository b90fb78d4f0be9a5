"""How many outputs a model has where its file does not say: found by converting it."""

from pathlib import Path

from converters import factory, openvino_source, pytorch
from converters.formats import WEIGHTS
from converters.own_code import OwnCode
from converters.signature import Signature, Tensor
from nearedge.errors import UnsupportedError
from nearedge.release.description import Description, Output, Source
from nearedge.release.inputs import Input
from nearedge.release.sections import Format


def outputs(
    path: Path, form: Format, signature: Signature, function: str | None = None, code: OwnCode | None = None
) -> tuple[Tensor, ...]:
    """The outputs of `signature`, whose inputs are complete; those of the converted model where it has none.

    A TorchScript module that gives a list or a dict has a number of outputs that only its graph tells, and a module
    that `function` in `code` makes has it in any case.
    """
    if signature.outputs is not None:
        return signature.outputs
    if form != "torchscript" and form not in WEIGHTS:
        raise UnsupportedError(f"{path}: a {form} model that does not tell its outputs cannot be described")
    description = Description(
        schema=1,
        name="probe",
        source=Source(path=path.name, factory=function),
        code=None if function is None else "code",
        inputs=[
            Input(name=tensor.name, shape=list(tensor.shape or ()), dtype=tensor.datatype or "FP32")
            for tensor in signature.inputs
        ],
        outputs=[Output(name="unknown")],
    )
    if form in WEIGHTS:
        model, _ = factory.convert_module(path, form, description, code)
    else:
        model, _ = pytorch.convert_scripted(path, description)
    found = openvino_source.signature_of(model, path, form).outputs or ()
    return tuple(Tensor("", tensor.datatype, tensor.shape) for tensor in found)
