"""Whether a request fits a model: its inputs, the outputs it asks for, and what a failure of OpenVINO says of it."""

from serving_image.faults import BadRequestError, one_line
from serving_image.model import Model
from serving_image.protocol_json import FLOATS
from serving_image.tensors import Array, Tensor, check_finite, quoted


def matched(model: Model, tensors: list[Tensor], *, refuse_nan: bool = False) -> list[Array]:
    """The arrays of a request in the model's order.

    Raises BadRequestError where one is missing, given twice, unknown or unfit, or with `refuse_nan` not finite.
    """
    given = {tensor.name: tensor for tensor in tensors}
    expected = ", ".join(quoted(spec.name) for spec in model.inputs)
    if len(given) != len(tensors):
        twice = next(tensor.name for tensor in tensors if given[tensor.name] is not tensor)
        raise BadRequestError(f"input {quoted(twice)}: given twice; the model expects {expected}")
    arrays = []
    for spec in model.inputs:
        if spec.name not in given:
            raise BadRequestError(f"input {quoted(spec.name)}: missing; the model expects {expected}")
        spec.check(given[spec.name])
        if refuse_nan:
            check_finite(given[spec.name])
        arrays.append(given[spec.name].array)
    if len(given) != len(arrays):
        unknown = next(name for name in given if name not in {spec.name for spec in model.inputs})
        raise BadRequestError(f"input {quoted(unknown)}: the model has none of that name; it expects {expected}")
    return arrays


def chosen(model: Model, names: list[str]) -> list[int]:
    """Which outputs to give back, in the order asked for; all where none is named. Raises BadRequestError."""
    if not names:
        return list(range(len(model.outputs)))
    known = {spec.name: at for at, spec in enumerate(model.outputs)}
    for name in names:
        if name not in known:
            raise BadRequestError(
                f"output {quoted(name)}: the model has none of that name; it has {', '.join(map(quoted, known))}"
            )
    return [known[name] for name in names]


def refused(model: Model, error: RuntimeError) -> Exception:
    """What a failure of OpenVINO means: sizes that do not go together, or values that stand for places or sizes.

    A model of floats in fixed shapes takes neither: there it is our fault.
    """
    if any(not spec.static for spec in model.inputs):
        return BadRequestError(f"the model cannot compute with these shapes: {one_line(error, 200)}")
    if any(spec.datatype not in FLOATS for spec in model.inputs):
        return BadRequestError(f"the model cannot compute with these values: {one_line(error, 200)}")
    return error
