"""`nearedge init MODEL`: a commented model.yaml from the model file itself."""

import argparse
import dataclasses
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from converters import archive, arrays, companions, factory, formats, inspection, probe, starter, starter_data
from converters.own_code import OwnCode
from converters.signature import Shape, Signature, Tensor
from nearedge.errors import InputError, UsageError
from nearedge.files import write_text
from nearedge.program import guarded, new_parser
from nearedge.release import description as descriptions
from nearedge.release.inputs import Datatype
from nearedge.release.metric import OWN_FUNCTION
from nearedge.release.sections import Format

NAME = "init"
ASSUMED: Datatype = "FP32"
CODE = "code"
"""Folder beside the model where the Python of --factory is looked for."""


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What the person said beside the model: where to write, data, and what the file itself does not tell."""

    output: Path | None = None
    data: Path | None = None
    labels: str | None = None
    name: str | None = None
    shapes: Mapping[str, Shape] = dataclasses.field(default_factory=dict)
    dtypes: Mapping[str, Datatype] = dataclasses.field(default_factory=dict)
    force: bool = False
    factory: str | None = None
    code: Path | None = None
    allow_code: bool = False


def parser() -> argparse.ArgumentParser:
    """The options of the program."""
    options = new_parser(NAME, "Write a commented model.yaml from a model file; the Pipeline needs nothing else.")
    options.add_argument("model", type=Path, metavar="MODEL", help=f"a file or folder: {formats.FORMATS}")
    options.add_argument("-o", "--output", type=Path, help="file to write; beside MODEL as model.yaml where absent")
    options.add_argument("--data", type=Path, help="data to judge by: .npz, folder of .npy, .csv, folder of pictures")
    options.add_argument(
        "--labels", help="where the right answers are: an array, a column, folders, or a .csv in the folder of pictures"
    )
    options.add_argument("--name", help="the model's name; from the file's name where absent")
    options.add_argument(
        "--shape", action="append", default=[], type=shape, metavar="INPUT=1,3,224,224",
        help="shape of an input, -1 for a dimension that may vary; needed for TorchScript and weights with a factory, "
        "which do not keep it",
    )  # fmt: skip
    options.add_argument(
        "--dtype", action="append", default=[], type=dtype, metavar="INPUT=INT64",
        help="element type of an input that the file does not tell, FP32 where absent",
    )  # fmt: skip
    options.add_argument(
        "--factory", metavar="PACKAGE.MODULE:FUNCTION",
        help="of a state_dict or safetensors: the Python function that makes the torch.nn.Module; needs --allow-code",
    )  # fmt: skip
    options.add_argument("--code", type=Path, help="folder with that Python, beside MODEL or below; absent: code")
    options.add_argument("--allow-code", action="store_true", help="run the factory, to learn inputs and outputs of it")
    options.add_argument("--force", action="store_true", help="replace the file where there is one")
    return options


def shape(text: str) -> tuple[str, Shape]:
    """`NAME=1,3,224,224` as name and shape."""
    name, equals, sizes = text.rpartition("=")
    try:
        found = tuple(int(size) for size in sizes.split(","))
    except ValueError:
        found = (-2,)
    if not equals or not name or min(found) < -1:
        raise argparse.ArgumentTypeError(f"{text!r} is not INPUT=1,3,224,224 with -1 for what may vary")
    return name, found


def dtype(text: str) -> tuple[str, Datatype]:
    """`NAME=INT64` as name and element type."""
    name, _, given = text.rpartition("=")
    for known in get_args(Datatype):
        if name and given == known:
            return name, known
    raise argparse.ArgumentTypeError(f"{text!r} is not INPUT=TYPE with one of {', '.join(get_args(Datatype))}")


def run(model: Path, wishes: Wishes) -> str:
    """Write model.yaml; what to say about it.

    Raises InputError or UnsupportedError for the model or the data, UsageError where an option is missing or wrong.
    """
    form = formats.form_of(model)
    own = own_code_of(model, form, wishes)
    companions.check(model, form)
    output = wishes.output or model.resolve().parent / descriptions.FILE_NAME
    if output.exists() and not wishes.force:
        raise UsageError(f"{output}: is there already; give --force to replace it, or -o another file")
    source = starter.relative_to(model, output, "the model")
    if own is None or wishes.factory is None:
        signature = inspection.inspect(model, form)
    else:
        signature = factory.inspect(model, form, wishes.factory, own)
    inputs = complete(signature.inputs, wishes, model)
    whole = Signature(inputs, signature.outputs)
    outputs = starter.name_outputs(probe.outputs(model, form, whole, wishes.factory, own))
    text = starter.text(
        name=wishes.name or starter.name_of(model),
        source=source,
        form=form,
        framework=formats.framework_of(form),
        inputs=inputs,
        outputs=outputs,
        data=data_block(wishes, output, inputs, outputs),
        factory=wishes.factory,
        code=None if own is None else starter.relative_to(own.folder, output, "the code"),
    )
    described = descriptions.parse(text, str(output))
    if described.data is not None:
        arrays.read(described, output.resolve().parent)
    write_text(output, text)
    return summary(output, inputs, outputs, wishes.data is not None, own is not None)


def own_code_of(model: Path, form: Format, wishes: Wishes) -> OwnCode | None:
    """The folder of Python that makes a module for weights alone, None for a whole model.

    Raises InputError where the one or the other is missing, UsageError where it may not run: nothing else tells what
    the module takes.
    """
    if wishes.factory is None:
        if form in formats.WEIGHTS:
            raise InputError(
                f"{model}: holds weights ({formats.WEIGHTS[form]}) and no model; say which Python function makes the "
                f"module: --factory package.module:function --code FOLDER --allow-code, or {archive.SAVE_TORCH}"
            )
        return None
    formats.recognise(model, factory=True)
    if not re.fullmatch(OWN_FUNCTION, wishes.factory):
        raise UsageError(f"--factory {wishes.factory}: is not PACKAGE.MODULE:FUNCTION")
    folder = wishes.code or model.resolve().parent / CODE
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; --code names the one that holds the Python of --factory")
    if not wishes.allow_code:
        raise UsageError(f"--factory: has to run to tell what it takes; read {folder}, then give --allow-code as well")
    return OwnCode(folder)


def complete(inputs: Sequence[Tensor], wishes: Wishes, model: Path) -> tuple[Tensor, ...]:
    """The inputs with what the options say. Raises UsageError where a shape is missing or a name is none of theirs."""
    names = [tensor.name for tensor in inputs]
    for option, given in (("--shape", wishes.shapes), ("--dtype", wishes.dtypes)):
        for name in given:
            if name not in names:
                raise UsageError(f"{option} {name}: the model's inputs are {', '.join(names)}")
    missing = [tensor.name for tensor in inputs if tensor.shape is None and tensor.name not in wishes.shapes]
    if missing:
        wanted = " ".join(f"--shape {name}=1,3,224,224" for name in missing)
        raise UsageError(f"{model}: the file does not tell the shape of {', '.join(missing)}; give it, as in {wanted}")
    return tuple(
        Tensor(
            tensor.name,
            wishes.dtypes.get(tensor.name, tensor.datatype or ASSUMED),
            wishes.shapes.get(tensor.name, tensor.shape),
        )
        for tensor in inputs
    )


def data_block(wishes: Wishes, output: Path, inputs: Sequence[Tensor], outputs: Sequence[str]) -> str | None:
    """The blocks of data and metric, None without data. Raises UsageError for labels without data."""
    if wishes.data is None:
        if wishes.labels is not None:
            raise UsageError("--labels needs --data: it names one of its arrays")
        return None
    if not wishes.data.exists():
        raise InputError(f"{wishes.data}: no such data")
    relative = starter.relative_to(wishes.data, output, "the data")
    return starter_data.block(wishes.data, relative, inputs, wishes.labels, outputs)


def summary(output: Path, inputs: Sequence[Tensor], outputs: Sequence[str], with_data: bool, with_code: bool) -> str:
    """What was written and what to do next."""
    taken = ", ".join(f"{tensor.name} {list(tensor.shape or ())} {tensor.datatype}" for tensor in inputs)
    folder = output.resolve().parent
    lines = [f"wrote {output}", f"  inputs:  {taken}", f"  outputs: {', '.join(outputs)}", "next:"]
    lines.append("  1. check it: layout, preprocessing, names; every line says what it is for")
    if not with_data:
        lines.append("     without data (init --data FILE) accuracy is not judged and INT8 is not tried")
    named = "" if output.name == descriptions.FILE_NAME else f" -p model={shlex.quote(output.name)}"
    lines += [
        "  2. on this machine, into the folder release:",
        f"     nearedge run model-to-edge -w source={shlex.quote(str(folder))} -w release=release{named} \\",
        "       -p image=oci:image:mine -p allow-layout=true -p base-image=host"
        + (" -p allow-code=true" if with_code else ""),
        "     nearedge serve oci:release/image:mine",
        "     on a cluster only the image is needed besides: -p image=REGISTRY/NAME:TAG",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; its exit status."""
    options = parser().parse_args(argv)
    wishes = Wishes(
        output=options.output,
        data=options.data,
        labels=options.labels,
        name=options.name,
        shapes=dict(options.shape),
        dtypes=dict(options.dtype),
        force=options.force,
        factory=options.factory,
        code=options.code,
        allow_code=options.allow_code,
    )
    return guarded(NAME, lambda: print(run(options.model, wishes)))


if __name__ == "__main__":
    sys.exit(main())
