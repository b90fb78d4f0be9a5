"""PyTorch weights with the user's own function that makes the module: put together, run, converted.

The weights are not trusted with the code: a state_dict is loaded with weights_only, safetensors are data.
"""

import inspect as python
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from converters import exported, pytorch
from converters.datatypes import TO_NUMPY
from converters.fed import fed
from converters.opened import Opened
from converters.own_code import OwnCode
from converters.refusal import essence, explained
from converters.signature import Signature, Tensor, match_inputs
from nearedge.errors import InputError, UnsupportedError
from nearedge.release.description import Description
from nearedge.release.inputs import bounds_of
from nearedge.release.sections import Format

KEY = "source.factory"
SHOWN = 3
VARYING = {"H": 64, "W": 64}
"""Sizes that the module is traced with where they may vary: convolutions need a picture to shrink."""
OTHER_SIZE = 8
BATCH = 2
"""Not 1, which PyTorch would take for a dimension to be broadcast."""


def load(path: Path, form: Format, function: str, code: OwnCode | None) -> Any:  # torch.nn.Module
    """The module that `function` makes, with the weights in `path`, on the CPU, in evaluation mode.

    Raises InputError where the code is not allowed or fails, gives no module, or the weights are not the module's.
    """
    import torch

    if code is None:
        raise InputError(f"{path}: {KEY} {function} is Python of the model's own, and none is allowed here")
    make = code.function(function, KEY)
    module = make()
    if not isinstance(module, torch.nn.Module):
        given = "the class itself, not an instance" if isinstance(module, type) else f"a {type(module).__name__}"
        raise InputError(f"{KEY} {function}: gives {given}; it has to return a torch.nn.Module without its weights")
    weights = read(path, form)
    try:
        found = module.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise InputError(f"{path}: does not fit what {function} makes: {essence(str(error))}") from error
    wrong = [
        f"{kind} {', '.join(names[:SHOWN])}{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}"
        for kind, names in (("lacks", found.missing_keys), ("has besides", found.unexpected_keys))
        if names
    ]
    if wrong:
        raise InputError(f"{path}: is not of the module that {function} makes: it {'; it '.join(wrong)}")
    return module.to("cpu").eval()


def read(path: Path, form: Format) -> Mapping[str, Any]:
    """The tensors by name; nothing is unpickled but tensors. Raises InputError where there is anything else."""
    import torch

    with explained(path, "PyTorch cannot read the weights"), exported.quietly():
        if form == "safetensors":
            from safetensors.torch import load_file

            found = load_file(path, device="cpu")
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        keys = f" with {', '.join(map(str, list(found)[:SHOWN]))}" if isinstance(found, Mapping) else ""
        raise InputError(
            f"{path}: a checkpoint{keys}, no state_dict; save that alone: torch.save(model.state_dict(), path)"
        )
    return found


def signature_of(module: Any, what: str) -> Signature:  # torch.nn.Module
    """The names that forward() takes; a module tells neither shapes nor types, nor how many outputs it gives.

    Arguments with a default are the module's own affair. Raises UnsupportedError for *args and the like.
    """
    names = []
    for one in python.signature(module.forward).parameters.values():
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.KEYWORD_ONLY) and one.default is one.empty:
            raise UnsupportedError(
                f"{what}: forward() takes {one}; give each input an argument of its own, by position"
            )
        if one.default is one.empty:
            names.append(one.name)
    return Signature(tuple(Tensor(name, None, None) for name in names), None)


def inspect(path: Path, form: Format, function: str, code: OwnCode | None) -> Signature:
    """The names of the inputs. Raises as `load` and `signature_of`."""
    return signature_of(load(path, form, function, code), f"{KEY} {function}")


def open_module(
    path: Path, form: Format, description: Description, threads: int | None, code: OwnCode | None
) -> Opened:
    """The module to run eagerly. Raises as `load` and `signature_of`."""
    function = description.source.factory or ""
    module = load(path, form, function, code)
    signature = signature_of(module, f"{KEY} {function}")
    return Opened(pytorch.label(), signature, pytorch.runner(within(module, code), path, threads))


def within(module: Any, code: OwnCode | None) -> Callable[..., Any]:
    """The module's call with its own folder importable, since a forward() may import something only then."""

    def call(*tensors: Any) -> Any:
        with nullcontext() if code is None else code.active():
            return module(*tensors)

    return call


def convert_module(path: Path, form: Format, description: Description, code: OwnCode | None) -> tuple[Any, list[Any]]:
    """The ov.Model with model.yaml's shapes and types, and its parameters in that order.

    The module is traced, as OpenVINO would do it, and its results made flat. Raises as `load`, and InputError where the
    module refuses model.yaml's shapes.
    """
    import torch

    function = description.source.factory or ""
    module = load(path, form, function, code)
    positions = match_inputs(description, signature_of(module, f"{KEY} {function}").inputs, f"{KEY} {function}")
    called = within(module, code)

    class Flat(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
        """The module with its results as one tuple of tensors."""

        def __init__(self) -> None:
            """Hold the module, so that its weights are this one's."""
            super().__init__()
            self.inner = module

        def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            """Its results for inputs by position."""
            return tuple(pytorch.flat(called(*tensors), path))

    with explained(path, "PyTorch cannot trace the module"), exported.quietly(), torch.no_grad():
        try:
            traced = torch.jit.trace(Flat().eval(), example(description, positions), check_trace=False)
        except pytorch.REFUSALS as error:
            raise pytorch.refused_inputs(path, description, error) from error
    return pytorch.converted(traced, description, positions, path)


def example(description: Description, positions: Sequence[int]) -> tuple[Any, ...]:
    """Zeros to trace the module with, in its own order."""
    import torch

    zeros: list[Any] = [None] * len(positions)
    for one, position in zip((fed(one) for one in description.inputs), positions, strict=True):
        sizes = []
        for place, size in enumerate(one.shape):
            least, most = bounds_of(size)
            wanted = BATCH if place == 0 else VARYING.get(one.layout[place] if one.layout else "", OTHER_SIZE)
            sizes.append(max(least, wanted if most is None else min(wanted, most)))
        zeros[position] = torch.zeros(sizes, dtype=getattr(torch, TO_NUMPY[one.datatype]))
    return tuple(zeros)
