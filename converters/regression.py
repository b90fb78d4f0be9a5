"""The release beside an earlier one, and the gate on being slower.

The earlier release's own IR is timed again, in turns with this one: figures of two runs cannot be compared. Of the
release that git says is deployed (`previous`) fetch-model may have brought the IR. Where only its record is at hand,
the recorded figures are shown beside the new ones, and nothing is gated.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from converters import execution, intervals
from converters.measured import Measured
from converters.quantities import pace
from nearedge.errors import GateError, InputError
from nearedge.files import inside
from nearedge.progress import say
from nearedge.release import record
from nearedge.release.description import first_fault
from nearedge.release.record import Identity, Record
from nearedge.release.sections import Ratio, Regression, Timing

PREVIOUS = "previous"


@dataclass(frozen=True)
class Earlier:
    """An earlier release whose IR is at hand."""

    xml: Path
    identity: Identity
    where: str


def find(root: Path, path: str, name: str, inputs: list[str]) -> Earlier:
    """The release in the folder `path` of the workspace: model.xml, model.bin and release.json, as /models has them.

    Raises InputError where it is not there, damaged, of another model, or takes other inputs.
    """
    folder = inside(root, path)
    identity = read_identity(folder / record.IDENTITY_FILE)
    if identity.name != name:
        raise InputError(f"--against={path}: is a release of {identity.name}, not of {name}")
    theirs = [one.name for one in identity.ir.inputs]
    if sorted(theirs) != sorted(inputs):
        raise InputError(f"--against={path}: takes the inputs {theirs}, this release {inputs}; they cannot be compared")
    xml = folder / "model.xml"
    execution.check_hashes(xml, identity.ir.xml_sha256, identity.ir.bin_sha256, "the earlier release")
    return Earlier(xml, identity, path)


def deployed(root: Path, name: str, inputs: list[str]) -> Earlier | None:
    """The release that git says is deployed, where fetch-model brought its model and it is the one in the record.

    None where it is not, or where it cannot be compared; a line says why.
    """
    previous = record.read_previous(root)
    if previous is None or not (root / record.PREVIOUS_MODEL).is_dir():
        return None
    try:
        found = find(root, record.PREVIOUS_MODEL, name, inputs)
    except InputError as error:
        say(f"{error}; its recorded figures are taken")
        return None
    if found.identity != previous.identity:
        say(f"{record.PREVIOUS_MODEL}: is not the release in {record.PREVIOUS}; its recorded figures are taken")
        return None
    return found


def read_identity(path: Path) -> Identity:
    """The identity in a release.json, whether it is that alone or a whole record. Raises InputError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Identity.model_validate(document.get("identity", document))
    except FileNotFoundError as error:
        missing = "missing; --against takes a folder with model.xml, model.bin and release.json"
        raise InputError(f"{path}: {missing}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, AttributeError) as error:
        raise InputError(f"{path}: is no release record ({type(error).__name__})") from error
    except ValidationError as error:
        raise InputError(f"{path}: {first_fault(error)}") from error


def retimed(earlier: Earlier, theirs: Measured, ours: Measured, allowed: float) -> Regression:
    """Both timed in turns in this run."""
    return Regression(
        release=f"version {earlier.identity.version}, {earlier.identity.precision}, from {earlier.where}",
        faster=intervals.faster(theirs.medians(), ours.medians()),
        memory_mib=ours.peak_mib - theirs.peak_mib,
        allowed=allowed,
    )


def recorded(previous: Record, ours: Timing, peak_mib: float, allowed: float) -> Regression | None:
    """Beside the figures of a record, None where it has none. The interval is as wide as both runs' own spreads."""
    benchmark = previous.evidence.benchmark
    theirs = next((one for one in benchmark.timings if one.name == "deployed"), None) if benchmark else None
    if benchmark is None or theirs is None:
        return None
    ratio = theirs.p50_ms / ours.p50_ms
    wide = 1 + (theirs.spread + ours.spread) / 2
    return Regression(
        release=f"version {previous.identity.version}, {previous.identity.precision}, as recorded on "
        f"{benchmark.machine.cpu}",
        faster=Ratio(value=ratio, low=ratio / wide, high=ratio * wide),
        memory_mib=peak_mib - benchmark.peak_rss_mib,
        allowed=allowed,
        retimed=False,
    )


def said(found: Regression) -> str:
    """The comparison as a sentence."""
    span = f"{found.faster.low:.2f} to {found.faster.high:.2f}"
    how = "" if found.retimed else "; another run, perhaps another machine, so nothing is gated"
    return (
        f"{pace(found.faster.value)} as {found.release} (95 % interval {span}), "
        f"{found.memory_mib:+.0f} MiB of memory{how}"
    )


def gate(found: Regression) -> None:
    """Raise GateError where the release is surely slower than is allowed: the whole interval lies beyond."""
    if found.retimed and found.faster.high < 1 / (1 + found.allowed):
        raise GateError(
            f"regression: {said(found)}; {found.allowed:.0%} slower is allowed; see report/ or raise --allowed-slowdown"
        )
