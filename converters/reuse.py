"""Keeping the choice of the previous release, so that the same model for the same site gives the same digest."""

from converters.workspace import Work
from nearedge.release.record import Record
from nearedge.release.sections import Precision, RuntimeConfiguration, SourceIdentity


def kept(
    previous: Record | None,
    work: Work,
    openvino: str,
    requested: str,
    made_up: bool = False,
    max_drop: float | None = None,
) -> tuple[tuple[Precision, RuntimeConfiguration] | None, str]:
    """The previous precision and runtime configuration, or None; and a sentence that says why.

    `made_up`: whether INT8 would be calibrated with made-up samples now. `max_drop`: the param, None where not given.
    """
    if previous is None:
        return None, "no previous release is known: candidates are measured"
    before = previous.identity
    now = work.source.identity
    changed = [name for name in SourceIdentity.model_fields if getattr(before.source, name) != getattr(now, name)]
    if changed:
        return None, f"the source differs from the previous release's ({', '.join(changed)}): candidates are measured"
    if before.ir.openvino != openvino:
        return None, f"OpenVINO was {before.ir.openvino} and is {openvino}: candidates are measured"
    if before.profile not in (work.profile.name, work.description.target.profile):
        return None, f"the profile was {before.profile} and is {work.profile.name}: candidates are measured"
    asked = previous.evidence.optimization.requested if previous.evidence.optimization else requested
    if asked != requested:
        return None, f"the precision asked for was {asked} and is {requested}: candidates are measured"
    section = previous.evidence.optimization
    if section and section.synthetic_calibration != made_up:
        allowed = "" if made_up else "not "
        return None, f"made-up samples to calibrate with are {allowed}taken now: candidates are measured"
    if section and section.max_drop != max_drop:
        return None, f"max-drop was {section.max_drop} and is {max_drop}: candidates are measured"
    return (
        before.precision,
        before.runtime,
    ), f"{before.precision} is kept from the previous release of the same source"
