"""What the report is made of: the sections of a workspace."""

from dataclasses import dataclass
from pathlib import Path

from nearedge.release import sections
from nearedge.release.description import Description
from nearedge.release.profile import Profile
from nearedge.release.sections import (
    BenchmarkSection,
    ConversionSection,
    GoldenSection,
    OptimizationSection,
    SourceSection,
    VerificationDeployedSection,
    VerificationF32Section,
)


@dataclass(frozen=True)
class Findings:
    """Everything the report is made of."""

    description: Description
    profile: Profile
    source: SourceSection
    conversion: ConversionSection
    f32: VerificationF32Section | None
    deployed: VerificationDeployedSection | None
    optimization: OptimizationSection
    golden: GoldenSection | None
    benchmark: BenchmarkSection


def gather(root: Path, description: Description, profile: Profile) -> Findings:
    """The sections in a workspace. Raises InputError where one that the report needs is missing."""
    return Findings(
        description=description,
        profile=profile,
        source=sections.read(root, SourceSection),
        conversion=sections.read(root, ConversionSection),
        f32=sections.read_optional(root, VerificationF32Section),
        deployed=sections.read_optional(root, VerificationDeployedSection),
        optimization=sections.read(root, OptimizationSection),
        golden=sections.read_optional(root, GoldenSection),
        benchmark=sections.read(root, BenchmarkSection),
    )
