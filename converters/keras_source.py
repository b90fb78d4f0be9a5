"""Keras's own files: loaded in safe mode, run by Keras itself, and exported to a SavedModel to be converted."""

import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from converters import keras_config, openvino_source, tensorflow_source
from converters.datatypes import from_framework
from converters.opened import Array, Opened, Run
from converters.refusal import essence, explained
from converters.signature import Signature, Tensor
from nearedge.errors import InputError, UnsupportedError
from nearedge.release.sections import Format

ENDINGS: dict[Format, str] = {"keras": ".keras", "keras-h5": ".h5"}
"""Keras goes by the name of a file."""
IN, OUT = "input_{:04d}", "output_{:04d}"
"""Names of tensors in the SavedModel: Keras's own may hold letters that TensorFlow takes out."""

os.environ["KERAS_BACKEND"] = "tensorflow"  # read when keras is imported; a user's own file may say another


def inspect(path: Path, form: Format) -> Signature:
    """Names, shapes and element types; outputs have the names of the layers that give them. Raises as `load`."""
    return signature_of(load(path, form), path)


def open_keras(path: Path, form: Format, threads: int | None) -> Opened:
    """The model to run by Keras itself, compiled to a graph as `predict` does. Raises as `load`."""
    model = load(path, form, threads)
    return Opened(
        f"{tensorflow_source.label()}, Keras {_keras().__version__}", signature_of(model, path), _run(model, path)
    )


def read(path: Path, form: Format) -> tuple[Any, Signature]:  # openvino.Model
    """The ov.Model, by way of a SavedModel, its parameters and results in the order of the signature beside it.

    Raises as `load`, InputError where the model does not use one of its inputs.
    """
    import openvino as ov

    with exported(path, form) as (folder, signature):
        try:
            model = openvino_source.read(folder, "savedmodel")
            found = openvino_source.signature_of(model, folder, "savedmodel")
        except (InputError, UnsupportedError) as error:
            raise type(error)(str(error).replace(str(folder), str(path))) from error
    inputs = [tensor.name for tensor in found.inputs]
    outputs = [tensor.name for tensor in found.outputs or ()]
    for number, tensor in enumerate(signature.inputs):
        if IN.format(number) not in inputs:
            raise InputError(f"{path}: input {tensor.name!r} is not used by the model; save it without that input")
    parameters = [model.get_parameters()[inputs.index(IN.format(number))] for number in range(len(signature.inputs))]
    results = [model.get_results()[outputs.index(OUT.format(number))] for number in range(len(outputs))]
    return ov.Model(results, model.get_sinks(), parameters, "keras"), signature


@contextmanager
def exported(path: Path, form: Format) -> Iterator[tuple[Path, Signature]]:
    """A SavedModel of it, in a folder that goes with the block, with inputs and outputs called `IN` and `OUT`.

    Raises as `load`.
    """
    model = load(path, form)
    signature = signature_of(model, path)
    keras, tensorflow = _keras(), tensorflow_source.library()
    specs = [
        tensorflow.TensorSpec(tensor.shape, tensor.dtype, name=IN.format(number))
        for number, tensor in enumerate(model.inputs)
    ]
    archive = keras.export.ExportArchive()
    with tempfile.TemporaryDirectory(prefix="nearedge-keras-") as folder:
        with explained(path, "Keras cannot export it"), _quietly():
            archive.track(model)
            archive.add_endpoint(tensorflow_source.SIGNATURE, _call(model, named=True), input_signature=specs)
            archive.write_out(folder, verbose=False)
        yield Path(folder), signature


def load(path: Path, form: Format, threads: int | None = None) -> Any:  # keras.Model
    """The model, not compiled, in safe mode.

    Raises InputError where the file is damaged or tells no inputs, UnsupportedError where it needs code of its own.
    """
    keras_config.check(keras_config.read(path, form), path)
    tensorflow = tensorflow_source.library()
    if threads is not None:
        with suppress(
            RuntimeError
        ):  # set once a process, before the first operation; timed ones have it from their env
            tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
            tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    with tempfile.TemporaryDirectory(prefix="nearedge-keras-") as folder:
        named = Path(folder) / f"model{ENDINGS[form]}"
        named.symlink_to(path.resolve())
        try:
            with _quietly():
                model = _keras().saving.load_model(named, compile=False, safe_mode=True)
        except (MemoryError, OSError) as error:
            raise InputError(f"{path}: damaged or truncated ({essence(str(error))}); fetch or save it again") from error
        except Exception as error:  # Keras raises ValueError and TypeError for what it lacks and what it forbids alike
            raise _refusal(path, str(error)) from error
    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        raise InputError(
            f"{path}: does not tell its inputs; give the first layer a keras.Input, or call it before saving"
        )
    return model


def _refusal(path: Path, text: str) -> InputError | UnsupportedError:
    """The error for what Keras says of a file whose configuration is Keras's own."""
    if "Could not locate" in text or "Unknown layer" in text or "lambda" in text.lower():
        return UnsupportedError(f"{path}: needs Python of its own ({essence(text)}); {keras_config.EXPORT}")
    return InputError(f"{path}: Keras cannot load it ({essence(text)}); {keras_config.EXPORT}")


def signature_of(model: Any, path: Path) -> Signature:  # keras.Model
    """The tensors of a model, in Keras's flat order."""
    inputs, outputs = model.inputs, model.outputs
    names = [model.layers[-1].name] if _is_sequential(model) else list(getattr(model, "output_names", []))
    if len(set(names)) != len(outputs):  # one layer may give several outputs
        names = [f"output-{number}" for number in range(1, len(outputs) + 1)] if len(outputs) > 1 else ["output"]
    return Signature(
        tuple(_tensor(tensor.name, tensor, path) for tensor in inputs),
        tuple(_tensor(name, tensor, path) for name, tensor in zip(names, outputs, strict=True)),
    )


def _is_sequential(model: Any) -> bool:  # keras.Model
    """Whether the layers are a chain; such a model has one input and, before it is called, no nesting of its own."""
    return isinstance(model, _keras().Sequential)


def _tensor(name: str, tensor: Any, path: Path) -> Tensor:  # keras.KerasTensor
    """A symbolic tensor; None in its shape may vary."""
    shape = tuple(-1 if size is None else int(size) for size in tensor.shape)
    return Tensor(name, from_framework(str(tensor.dtype), f"{path}: {name!r}"), shape)


def _call(model: Any, named: bool) -> Any:  # a function of tensors in the signature's order
    """The model as a function of its flat inputs; its flat outputs, by the names of `OUT` where `named`."""
    tree = _keras().tree
    nesting = model.inputs[0] if _is_sequential(model) else model.input

    def call(*tensors: Any) -> Any:
        found = tree.flatten(model(tree.pack_sequence_as(nesting, list(tensors)), training=False))
        return {OUT.format(number): value for number, value in enumerate(found)} if named else found

    return call


def _run(model: Any, path: Path) -> Run:
    """Feed arrays, give arrays."""
    tensorflow = tensorflow_source.library()
    graph = tensorflow.function(_call(model, named=False), reduce_retracing=True)

    def run(feed: Sequence[Array]) -> list[Array]:
        with explained(path, "Keras cannot run it on these inputs"):
            return [value.numpy() for value in graph(*(tensorflow.constant(array) for array in feed))]

    return run


@contextmanager
def _quietly() -> Iterator[None]:
    """What Keras warns of when it loads or writes is not about what a user of ours can change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _keras() -> Any:  # the module keras, untyped
    """Keras, imported after TensorFlow, which is then as silent as it can be made."""
    tensorflow_source.library()
    import keras  # type: ignore[import-untyped]  # it has no stubs

    return keras
