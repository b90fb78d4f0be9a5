"""What a model takes and gives, and whether model.yaml says the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from converters.fed import fed
from nearedge.errors import InputError
from nearedge.release.description import Description
from nearedge.release.inputs import Datatype, Input, shown

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """One tensor of a model: -1 in `shape` may vary; what the file does not tell is None, a missing name empty."""

    name: str
    datatype: Datatype | None
    shape: Shape | None


@dataclass(frozen=True)
class Signature:
    """All tensors in the model's own order. `outputs` is None where only running it would tell how many there are."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...] | None


def match_inputs(description: Description, inputs: Sequence[Tensor], where: str) -> list[int]:
    """For each input of model.yaml its position in the model.

    Raises InputError, saying both sides, where names, count, shape or element type contradict the model.
    """
    names = [tensor.name for tensor in inputs]
    wanted = [one.name for one in description.inputs]
    for name in wanted:
        if name not in names:
            raise InputError(f"{where}: model.yaml names an input {name!r}, the model's are {listed(names)}")
    for name in names:
        if name not in wanted:
            raise InputError(f"{where}: the model has an input {name!r}, model.yaml names only {listed(wanted)}")
    positions = [names.index(name) for name in wanted]
    for one, position in zip(description.inputs, positions, strict=True):
        _check(one, inputs[position], where)
    return positions


def _check(one: Input, tensor: Tensor, where: str) -> None:
    """Raise InputError where the input of model.yaml cannot be the model's tensor."""
    taken = fed(one)
    if tensor.shape is not None and not _fits(taken.sizes, tensor.shape):
        after = "" if shown(taken.shape) == shown(one.shape) else f", after preprocessing {shown(taken.shape)}"
        raise InputError(
            f"{where}: model.yaml gives input {one.name!r} the shape {shown(one.shape)}{after}, the model has "
            f"{list(tensor.shape)}; a dimension may be fixed where the model's varies (-1), not the other way round"
        )
    if tensor.datatype is not None and taken.datatype != tensor.datatype:
        raise InputError(
            f"{where}: model.yaml gives input {one.name!r} the dtype {one.dtype}, the model takes {tensor.datatype}"
        )


def _fits(wanted: Sequence[int], shape: Shape) -> bool:
    """Whether a tensor of the wanted shape may be given to one of `shape`."""
    return len(wanted) == len(shape) and all(b in (-1, a) for a, b in zip(wanted, shape, strict=True))


def match_outputs(description: Description, outputs: Sequence[Tensor], where: str) -> list[int]:
    """For each output of model.yaml its position in the model: by name where the names are the model's, else in order.

    Raises InputError where the numbers differ, or where only some of the names are the model's.
    """
    names = [tensor.name for tensor in outputs]
    wanted = [one.name for one in description.outputs]
    if len(names) != len(wanted):
        raise InputError(
            f"{where}: model.yaml names {len(wanted)} outputs ({listed(wanted)}), the model has {len(names)}"
            + (f" ({listed(names)})" if any(names) else "")
        )
    if set(wanted) == set(names):
        return [names.index(name) for name in wanted]
    moved = [name for position, name in enumerate(wanted) if name in names and names[position] != name]
    if moved:
        raise InputError(
            f"{where}: model.yaml lists output {moved[0]!r} at another place than the model, whose order is "
            f"{listed(names)}; use the model's names for all outputs, or its order"
        )
    return list(range(len(names)))


def listed(names: Sequence[str]) -> str:
    """Names for a message."""
    return ", ".join(repr(name) for name in names)
