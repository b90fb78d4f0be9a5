"""TensorFlow's SavedModels, frozen graphs and TFLite files, run by TensorFlow itself."""

import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from converters import formats
from converters.datatypes import from_framework
from converters.opened import Array, Opened
from converters.openvino_source import read, signature_of
from converters.refusal import explained
from converters.signature import Signature, Tensor
from nearedge.errors import InputError

SIGNATURE = "serving_default"

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when tensorflow is imported; errors come as exceptions
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")


def open_savedmodel(path: Path, threads: int | None) -> Opened:
    """The signature serving_default of a SavedModel, to run. Raises InputError where there is none."""
    import tensorflow

    check_signature(path)
    _limit(threads)
    with explained(path, "TensorFlow cannot load the SavedModel"):
        loaded = tensorflow.saved_model.load(str(path))
    function = loaded.signatures[SIGNATURE]
    specs = function.structured_input_signature[1]
    signature = Signature(
        tuple(_tensor(name, spec, path) for name, spec in specs.items()),
        tuple(_tensor(name, spec, path) for name, spec in sorted(function.structured_outputs.items())),
    )
    names, dtypes = list(specs), [spec.dtype for spec in specs.values()]
    keys = sorted(function.structured_outputs)

    def run(feed: Sequence[Array]) -> list[Array]:
        tensors = {n: tensorflow.constant(a, d) for n, a, d in zip(names, feed, dtypes, strict=True)}
        with explained(path, "TensorFlow cannot run it on these inputs"):
            found = function(**tensors)
            return [found[key].numpy() for key in keys]

    return _keeping(loaded, Opened(_label(), signature, run))


def check_signature(path: Path) -> None:
    """Raise InputError where a SavedModel has no signature serving_default, which is the one that is converted."""
    names = [name for name in formats.signatures_of(path) if not name.startswith("__")]
    if SIGNATURE not in names:
        raise InputError(
            f"{path}: has no signature {SIGNATURE} (it has {', '.join(names) or 'none'}); save the model with "
            f"tf.saved_model.save(model, dir, signatures={{'{SIGNATURE}': function}}) or Keras's model.export(dir)"
        )


def open_frozen(path: Path, threads: int | None) -> Opened:
    """A frozen GraphDef to run: its placeholders are the inputs, the tensors that nothing reads the outputs."""
    import tensorflow

    _limit(threads)
    signature = signature_of(read(path, "frozen-pb"), path)
    graph = tensorflow.compat.v1.GraphDef()
    with explained(path, "TensorFlow cannot load the frozen graph"):
        graph.ParseFromString(path.read_bytes())
        wrapped = tensorflow.compat.v1.wrap_function(lambda: tensorflow.import_graph_def(graph, name=""), [])
        function = wrapped.prune(
            [f"{tensor.name}:0" for tensor in signature.inputs], [f"{t.name}:0" for t in signature.outputs or ()]
        )

    def run(feed: Sequence[Array]) -> list[Array]:
        with explained(path, "TensorFlow cannot run it on these inputs"):
            found = function(*(tensorflow.constant(array) for array in feed))
            return [tensor.numpy() for tensor in found]

    return _keeping(wrapped, Opened(_label(), signature, run))


def open_lite(path: Path, threads: int | None) -> Opened:
    """A TFLite file to run. Raises InputError where it is damaged."""
    import tensorflow

    with warnings.catch_warnings(), explained(path, "TensorFlow Lite cannot load it"):
        warnings.simplefilter("ignore")  # it announces that the interpreter is to move to another package
        interpreter = tensorflow.lite.Interpreter(str(path), num_threads=threads)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    signature = Signature(
        tuple(_lite_tensor(one, path) for one in inputs), tuple(_lite_tensor(one, path) for one in outputs)
    )

    def run(feed: Sequence[Array]) -> list[Array]:
        with explained(path, "TensorFlow Lite cannot run it on these inputs"):
            for one, array in zip(inputs, feed, strict=True):
                interpreter.resize_tensor_input(one["index"], array.shape)
            interpreter.allocate_tensors()
            for one, array in zip(inputs, feed, strict=True):
                interpreter.set_tensor(one["index"], array)
            interpreter.invoke()
            return [interpreter.get_tensor(one["index"]) for one in outputs]

    return Opened(f"{_label()} Lite", signature, run)


def _label() -> str:
    """`TensorFlow 2.21.0`, as a person would say it."""
    import tensorflow

    return f"TensorFlow {tensorflow.__version__}"


def _limit(threads: int | None) -> None:
    """Hold TensorFlow to so many threads; what it has once started with in a process, it keeps."""
    import tensorflow

    if threads is not None:
        with suppress(RuntimeError):  # already started: a process runs one source, so with the same number
            tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
            tensorflow.config.threading.set_inter_op_parallelism_threads(1)


def _keeping(owner: object, opened: Opened) -> Opened:
    """The same, holding on to the object that owns the variables, which a function alone does not keep alive."""
    run: Callable[[Sequence[Array]], list[Array]] = opened.run
    setattr(run, "owner", owner)  # noqa: B010  # a function takes attributes, which its type does not say
    return opened


def _tensor(name: str, spec: Any, path: Path) -> Tensor:  # noqa: ANN401  # tensorflow.TensorSpec
    """A tensor of a signature; None in its shape is a dimension that may vary."""
    shape = None if spec.shape.rank is None else tuple(-1 if size is None else int(size) for size in spec.shape)
    return Tensor(name, from_framework(spec.dtype.name, f"{path}: {name!r}"), shape)


def _lite_tensor(one: Any, path: Path) -> Tensor:  # noqa: ANN401  # a dict of tensorflow.lite's
    """A tensor of a TFLite file, by the name that OpenVINO gives it too."""
    shape = tuple(int(size) for size in one["shape_signature"])
    name = one["name"].removesuffix(":0")
    return Tensor(name, from_framework(one["dtype"].__name__, f"{path}: {name!r}"), shape)
