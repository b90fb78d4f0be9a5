"""TensorFlow's SavedModels, frozen graphs and TFLite files, run by TensorFlow itself."""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from converters import formats
from converters.datatypes import from_framework
from converters.opened import Array, Opened, Run
from converters.openvino_source import read, signature_of
from converters.refusal import explained
from converters.signature import Signature, Tensor
from nearedge.errors import InputError

ERROR_STREAM = 2
SIGNATURE, TAG = "serving_default", "serve"

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when tensorflow is imported; errors come as exceptions
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")


def open_savedmodel(path: Path, threads: int | None) -> Opened:
    """The signature serving_default of a SavedModel, to run. Raises InputError where there is none.

    It is run in a session, as TensorFlow Serving does: the loader that makes Python objects refuses what older versions
    of Keras wrote, and threads can only be set for a session.
    """
    tensorflow = library()
    check_signature(path)
    session = _session(threads)
    with explained(path, "TensorFlow cannot load the SavedModel"), session.graph.as_default():
        found = tensorflow.compat.v1.saved_model.load(session, [TAG], str(path)).signature_def[SIGNATURE]
    inputs, outputs = sorted(found.inputs.items()), sorted(found.outputs.items())
    signature = Signature(
        tuple(_tensor(name, info, path) for name, info in inputs),
        tuple(_tensor(name, info, path) for name, info in outputs),
    )
    run = _runner(session, [info.name for _, info in inputs], [info.name for _, info in outputs], path)
    return Opened(label(), signature, run)


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
    tensorflow = library()
    signature = signature_of(read(path, "frozen-pb"), path, "frozen-pb")
    session = _session(threads)
    definition = tensorflow.compat.v1.GraphDef()
    with explained(path, "TensorFlow cannot load the frozen graph"), session.graph.as_default():
        definition.ParseFromString(path.read_bytes())
        tensorflow.import_graph_def(definition, name="")
    inputs, outputs = signature.inputs, signature.outputs or ()
    run = _runner(session, [_place(tensor) for tensor in inputs], [_place(tensor) for tensor in outputs], path)
    return Opened(label(), signature, run)


def _place(tensor: Tensor) -> str:
    """TensorFlow's name of a tensor in a graph: the operation's, a colon, and which of its outputs."""
    return tensor.name if ":" in tensor.name else f"{tensor.name}:0"


def open_lite(path: Path, threads: int | None) -> Opened:
    """A TFLite file to run. Raises InputError where it is damaged."""
    tensorflow = library()
    with warnings.catch_warnings(), _silence(), explained(path, "TensorFlow Lite cannot load it"):
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

    return Opened(f"{label()} Lite", signature, run)


def library() -> Any:  # the module tensorflow, untyped
    """TensorFlow, imported with the error stream closed: it writes greetings there that no setting turns off."""
    with _silence():
        import tensorflow
    return tensorflow


@contextmanager
def _silence() -> Iterator[None]:
    """What native code writes to the error stream inside the block goes nowhere; exceptions are not affected."""
    sys.stderr.flush()
    kept, nowhere = os.dup(ERROR_STREAM), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, ERROR_STREAM)
        yield
    finally:
        os.dup2(kept, ERROR_STREAM)
        os.close(kept)
        os.close(nowhere)


def label() -> str:
    """`TensorFlow 2.21.0`, as a person would say it."""
    tensorflow = library()
    return f"TensorFlow {tensorflow.__version__}"


def _session(threads: int | None) -> Any:  # tensorflow.compat.v1.Session
    """A session with a graph of its own, held to so many threads."""
    tensorflow = library()
    tensorflow.get_logger().setLevel("ERROR")  # it says that sessions are of version 1, which we know
    options = tensorflow.compat.v1.ConfigProto()
    if threads is not None:
        options.intra_op_parallelism_threads = threads
        options.inter_op_parallelism_threads = 1
    return tensorflow.compat.v1.Session(graph=tensorflow.Graph(), config=options)


def _runner(session: Any, inputs: list[str], outputs: list[str], path: Path) -> Run:  # as _session
    """Run a session's graph from these tensors to those."""
    with explained(path, "TensorFlow cannot find the model's own tensors"):
        call = session.make_callable(
            [session.graph.get_tensor_by_name(name) for name in outputs],
            feed_list=[session.graph.get_tensor_by_name(name) for name in inputs],
        )

    def run(feed: Sequence[Array]) -> list[Array]:
        with explained(path, "TensorFlow cannot run it on these inputs"):
            return list(call(*feed))

    return run


def _tensor(name: str, info: Any, path: Path) -> Tensor:  # a TensorInfo of meta_graph.proto
    """A tensor of a signature; -1 in its shape is a dimension that may vary."""
    tensorflow = library()
    shape = None if info.tensor_shape.unknown_rank else tuple(int(size.size) for size in info.tensor_shape.dim)
    return Tensor(name, from_framework(tensorflow.dtypes.as_dtype(info.dtype).name, f"{path}: {name!r}"), shape)


def _lite_tensor(one: Any, path: Path) -> Tensor:  # a dict of tensorflow.lite's
    """A tensor of a TFLite file, by the name that OpenVINO gives it too."""
    shape = tuple(int(size) for size in one["shape_signature"])
    name = one["name"].removesuffix(":0")
    return Tensor(name, from_framework(one["dtype"].__name__, f"{path}: {name!r}"), shape)
