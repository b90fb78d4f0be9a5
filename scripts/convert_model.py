"""`nearedge convert-model`: the model that fetch-model brought, as OpenVINO IR in f32."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from converters import convert, own_code
from nearedge.errors import InputError
from nearedge.files import inside, new_directory, sha256_file, size_of
from nearedge.program import add_results, guarded, new_parser, write_results
from nearedge.progress import say
from nearedge.release import description as descriptions
from nearedge.release import sections
from nearedge.release.sections import ConversionSection, SourceSection

NAME = "convert-model"
SOURCE = Path("source")
IR = Path("ir/f32")


def parser() -> argparse.ArgumentParser:
    """The options of the program."""
    options = new_parser(NAME, "Convert the fetched model to OpenVINO IR in f32, as its model.yaml describes it.")
    options.add_argument("--workspace", type=Path, required=True, help="folder of the release")
    add_results(options, ir_sha256="sha256 of the IR's weights file")
    return options


def run(workspace: Path) -> ConversionSection:
    """Write `ir/f32` and the section; an earlier section is removed first, an earlier IR replaced at the end.

    Raises InputError where the model is damaged or model.yaml contradicts it, UnsupportedError where OpenVINO lacks an
    operator.
    """
    sections.clear(workspace, ConversionSection)
    found = sections.read(workspace, SourceSection)
    folder = workspace / SOURCE
    description = descriptions.read(folder / descriptions.FILE_NAME)
    path = inside(folder, description.source.path)
    if not path.exists():
        raise InputError(f"{path}: the model that fetch-model brought is gone; run fetch-model again")
    say(f"converting {description.source.path} ({found.format}, {size_of(path) / 1e6:.1f} MB) to OpenVINO IR")
    started = time.monotonic()
    code = own_code.allowed(description, found.code_sha256, folder)
    model = convert.convert(path, found.format, description, code)
    inputs, outputs = convert.specs(model, str(path))
    with new_directory(workspace / IR) as building:
        convert.save(model, building)
    section = ConversionSection(
        openvino=convert.version(),
        inputs=inputs,
        outputs=outputs,
        xml_sha256=sha256_file(workspace / IR / convert.XML),
        bin_sha256=sha256_file(workspace / IR / convert.BIN),
        size_bytes=size_of(workspace / IR),
        seconds=round(time.monotonic() - started, 3),
    )
    sections.write(workspace, section)
    say(f"wrote {IR}: {section.size_bytes / 1e6:.1f} MB in {section.seconds:.1f} s")
    return section


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; its exit status."""
    options = parser().parse_args(argv)

    def action() -> None:
        section = run(options.workspace)
        write_results(options, ir_sha256=section.bin_sha256)

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())
