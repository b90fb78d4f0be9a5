"""Keeping the runtime configuration of the previous release, so that the same inputs give the same digest."""

from converters.workspace import Work
from nearedge.release import sections
from nearedge.release.record import Record
from nearedge.release.sections import ConversionSection, OptimizationSection, RuntimeConfiguration


def kept(
    previous: Record | None, work: Work, optimization: OptimizationSection
) -> tuple[RuntimeConfiguration | None, str]:
    """The previous configuration, or None; and a sentence that says why.

    It is kept where model.yaml (and so the goal), the profile, the IR's bytes and OpenVINO are the same.
    """
    if previous is None:
        return None, "no previous release is known: configurations are measured"
    before = previous.identity
    openvino = sections.read(work.root, ConversionSection).openvino
    for what, then, now in (
        ("model.yaml", before.source.description_sha256, work.source.description_sha256),
        ("the precision", before.precision, optimization.precision),
        ("OpenVINO", before.ir.openvino, openvino),
        ("the deployed IR", (before.ir.xml_sha256, before.ir.bin_sha256),
         (optimization.xml_sha256, optimization.bin_sha256)),
    ):  # fmt: skip
        if then != now:
            return None, f"{what} differs from the previous release's: configurations are measured"
    if before.profile not in (work.profile.name, work.description.target.profile):
        return None, f"the profile was {before.profile} and is {work.profile.name}: configurations are measured"
    return before.runtime, "kept from the previous release of the same model for the same profile"
