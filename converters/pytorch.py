"""TorchScript and exported programs: their signatures, running them eagerly, and converting them.

`torch.jit.load` reads TorchScript with an unpickler of its own that makes tensors and the archive's own classes only.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converters import exported
from converters.datatypes import TO_NUMPY, TO_OPENVINO, from_framework
from converters.fed import fed, partial
from converters.opened import Array, Opened, Run
from converters.refusal import essence, explained
from converters.signature import Signature, Tensor, match_inputs
from nearedge.errors import InputError, UnsupportedError
from nearedge.release.description import Description
from nearedge.release.inputs import bounds_of, shown

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle OpenMP threads must not spin; read when torch is imported


REFUSALS = (RuntimeError, IndexError, ValueError)
"""What PyTorch's operators raise for tensors of a shape or type that they cannot take."""


def inspect_scripted(path: Path) -> Signature:
    """The signature of a TorchScript module: names of inputs; shapes and element types are not in the file."""
    return _scripted_signature(_load_scripted(path), path)


def inspect_exported(path: Path) -> Signature:
    """The signature of an exported program: names, shapes and element types."""
    return _exported_signature(exported.load(path), path)


def open_scripted(path: Path, threads: int | None) -> Opened:
    """A TorchScript module to run. Raises InputError where it is damaged."""
    module = _load_scripted(path)
    return Opened(label(), _scripted_signature(module, path), runner(module, path, threads))


def open_exported(path: Path, threads: int | None) -> Opened:
    """An exported program to run eagerly, without the guards on shapes. Raises as `exported.load`."""
    from torch.utils import _pytree as pytree

    program = exported.load(path)
    signature = _exported_signature(program, path)
    with explained(path, "PyTorch cannot run the exported program"), exported.quietly():
        module = program.module(check_guards=False)
    layout = program.call_spec.in_spec

    def call(*tensors: Any) -> Any:  # torch tensors, in whatever nesting the program gives
        args, kwargs = pytree.tree_unflatten(list(tensors), layout)
        return module(*args, **kwargs)

    return Opened(label(), signature, runner(call, path, threads))


def convert_scripted(path: Path, description: Description) -> tuple[Any, list[Any]]:
    """The ov.Model of a TorchScript module with model.yaml's shapes and types, and its parameters in that order."""
    module = _load_scripted(path)
    positions = match_inputs(description, _scripted_signature(module, path).inputs, str(path))
    _try(module, description, positions, path)
    return converted(module, description, positions, path)


def converted(module: Any, description: Description, positions: Sequence[int], path: Path) -> tuple[Any, list[Any]]:
    """The ov.Model of a torch.jit.ScriptModule, whose inputs at `positions` are model.yaml's, and its parameters."""
    import openvino as ov

    places = [value.debugName() for value in module.inlined_graph.inputs()][1:]  # the first is the module itself
    given = [
        (
            places[position],
            partial(fed(one).shape),
            getattr(ov.Type, TO_OPENVINO[fed(one).datatype]),
        )
        for one, position in zip(description.inputs, positions, strict=True)
    ]
    with explained(path, "OpenVINO cannot convert it"), exported.quietly():
        model = ov.convert_model(module, input=sorted(given, key=lambda item: places.index(item[0])))
    return model, _parameters(model, [places[position] for position in positions], path)


def _try(module: Any, description: Description, positions: Sequence[int], path: Path) -> None:  # module
    """Run a TorchScript module once on zeros, since the file does not tell which shapes and types it takes.

    Raises InputError where it refuses those of model.yaml. Only where no dimension but the first may vary: there is no
    telling what other sizes it can do with.
    """
    import torch

    taken = [fed(one) for one in description.inputs]
    if any(-1 in one.sizes[1:] for one in taken):
        return
    zeros: list[Any] = [None] * len(positions)
    for one, position in zip(taken, positions, strict=True):
        least = [1 if size == -1 else bounds_of(size)[0] for size in one.shape]
        zeros[position] = torch.zeros(least, dtype=getattr(torch, TO_NUMPY[one.datatype]))
    try:
        with torch.inference_mode(), exported.quietly():
            module(*zeros)
    except REFUSALS as error:
        raise refused_inputs(path, description, error) from error


def refused_inputs(path: Path, description: Description, error: Exception) -> InputError:
    """The error for a module that raised what it raises for inputs that it cannot take."""
    given = ", ".join(f"{one.name} {shown(one.shape)} {one.dtype}" for one in description.inputs)
    return InputError(f"{path}: the model refuses the inputs of model.yaml ({given}): {essence(str(error))}")


def convert_exported(path: Path, description: Description) -> tuple[Any, list[Any]]:
    """The ov.Model of an exported program with model.yaml's shapes, and its parameters in that order."""
    import openvino as ov

    program = exported.load(path)
    inputs = _exported_signature(program, path).inputs
    positions = match_inputs(description, inputs, str(path))
    shapes = dict(zip(positions, (partial(fed(one).shape) for one in description.inputs), strict=True))
    with explained(path, "OpenVINO cannot convert it"), exported.quietly():
        model = ov.convert_model(program, input=[shapes[place] for place in range(len(inputs))])
    return model, _parameters(model, [inputs[position].name for position in positions], path)


def _parameters(model: Any, names: Sequence[str], path: Path) -> list[Any]:  # openvino.Model
    """The model's parameters by the names of their tensors; InputError where one was dropped, as nothing reads it."""
    found = {name: node for node in model.get_parameters() for name in node.output(0).get_names()}
    for name in names:
        if name not in found:
            raise InputError(f"{path}: input {name!r} is not used by the model; save it without that input")
    return [found[name] for name in names]


def label() -> str:
    """`PyTorch 2.13.0`, as a person would say it."""
    import torch

    return f"PyTorch {torch.__version__.partition('+')[0]}"


def _load_scripted(path: Path) -> Any:  # torch.jit.ScriptModule
    """The module on the CPU, in evaluation mode."""
    import torch

    with explained(path, "PyTorch cannot load the TorchScript module"), exported.quietly():
        return torch.jit.load(str(path), map_location="cpu").eval()


def _scripted_signature(module: Any, path: Path) -> Signature:  # torch.jit.ScriptModule
    """Names of inputs; how many outputs, where the type of the result tells."""
    schema = module.forward.schema
    for argument in schema.arguments[1:]:
        if argument.type.kind() != "TensorType":
            raise UnsupportedError(
                f"{path}: forward() takes {argument.name!r}, a {argument.type}; only tensors can be served"
            )
    kinds = [returned.type for returned in schema.returns]
    kinds = kinds[0].elements() if len(kinds) == 1 and kinds[0].kind() == "TupleType" else kinds
    flat = all(kind.kind() == "TensorType" for kind in kinds)
    return Signature(
        tuple(Tensor(argument.name, None, None) for argument in schema.arguments[1:]),
        tuple(Tensor("", None, None) for _ in kinds) if flat else None,
    )


def _exported_signature(program: Any, path: Path) -> Signature:  # torch.export.ExportedProgram
    """Names, shapes and element types of what a user gives and gets; the graph's own names for the results."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    signature = program.graph_signature
    found = []
    for names in (signature.user_inputs, signature.user_outputs):
        for name in names:
            if not hasattr(values.get(name), "shape"):
                raise UnsupportedError(
                    f"{path}: takes or gives {name!r}, which is no tensor; only tensors can be served"
                )
        found.append(tuple(_tensor(name, values[name], path) for name in names))
    return Signature(found[0], found[1])


def _tensor(name: str, value: Any, path: Path) -> Tensor:  # torch.Tensor without data
    """A tensor of the exported graph; a symbolic size may vary."""
    shape = tuple(size if isinstance(size, int) else -1 for size in value.shape)
    return Tensor(name, from_framework(str(value.dtype), f"{path}: {name}"), shape)


def runner(call: Callable[..., Any], path: Path, threads: int | None) -> Run:  # takes and gives torch tensors
    """Feed arrays, run without gradients, give arrays."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)

    def run(feed: Sequence[Array]) -> list[Array]:
        with torch.inference_mode(), explained(path, "PyTorch cannot run it on these inputs"):
            result = call(*(torch.from_numpy(np.require(array, requirements=["C", "W"])) for array in feed))
        return [tensor.numpy() for tensor in flat(result, path)]

    return run


def flat(result: object, path: Path) -> Iterator[Any]:
    """The tensors of a nested result, in order; a dict's in its own order."""
    if isinstance(result, Mapping):
        result = list(result.values())
    if isinstance(result, list | tuple):
        for one in result:
            yield from flat(one, path)
    elif hasattr(result, "numpy"):
        yield result
    else:
        raise InputError(f"{path}: gives a {type(result).__name__}; only tensors can be served")
