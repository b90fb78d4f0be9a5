"""Running an IR with every property said, so that nothing depends on what OpenVINO would pick by itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.arrays import Array
from nearedge.errors import InputError, MachineError
from nearedge.files import sha256_file
from nearedge.release.sections import RuntimeConfiguration

if TYPE_CHECKING:
    import openvino

DEVICE = "CPU"


def properties(runtime: RuntimeConfiguration, threads: int | None = None) -> dict[str, Any]:
    """OpenVINO's properties of a runtime configuration; `threads` where this machine may use fewer."""
    return {
        "INFERENCE_PRECISION_HINT": runtime.inference_precision,
        "PERFORMANCE_HINT": runtime.performance_hint,
        "NUM_STREAMS": runtime.streams,
        "INFERENCE_NUM_THREADS": threads or runtime.threads,
    }


def read(xml: Path) -> "openvino.Model":
    """The model in an IR. Raises InputError where it is missing, damaged or cut short."""
    import openvino

    weights = xml.with_suffix(".bin")
    for file in (xml, weights):
        if not file.is_file():
            raise InputError(f"{file}: missing; run the Task that writes it again")
    try:
        return openvino.Core().read_model(str(xml), str(weights))
    except RuntimeError as error:
        raise InputError(f"{xml}: OpenVINO cannot read it ({reason(error)}); make it again") from None


def reason(error: Exception) -> str:
    """The last line that OpenVINO's message has to say, cut to be read."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]


def check_hashes(xml: Path, xml_sha256: str, bin_sha256: str, writer: str) -> None:
    """Raise InputError where the IR's files are not what `writer` wrote: cut short, exchanged, edited."""
    for file, wanted in ((xml, xml_sha256), (xml.with_suffix(".bin"), bin_sha256)):
        if not file.is_file():
            raise InputError(f"{file}: missing; run {writer} again")
        if sha256_file(file) != wanted:
            raise InputError(f"{file}: is not what {writer} wrote (its sha256 differs); run {writer} again")


class Runner:
    """A compiled IR that answers feeds."""

    def __init__(self, xml: Path, config: Mapping[str, Any]) -> None:
        """Read and compile. Raises InputError for an IR that cannot be read or compiled."""
        import openvino

        model = read(xml)
        try:
            self.compiled = openvino.Core().compile_model(model, DEVICE, dict(config))
        except RuntimeError as error:
            raise InputError(f"{xml}: OpenVINO cannot compile it ({reason(error)})") from None
        self.names = [port.get_any_name() for port in self.compiled.outputs]
        self.request = self.compiled.create_infer_request()

    def predict(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """The answers to one request, by output name. Raises InputError where the feed does not fit."""
        try:
            found = self.request.infer(dict(feed))
        except RuntimeError as error:
            if "alloc" in str(error):
                raise MachineError(f"inference ran out of memory ({reason(error)})") from None
            raise InputError(f"the IR does not take the sample ({reason(error)})") from None
        return {name: np.array(found[port]) for name, port in zip(self.names, self.compiled.outputs, strict=True)}
