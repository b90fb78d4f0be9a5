"""What verify-model, optimize-model and benchmark-model find in the workspace, read once and checked."""

from dataclasses import dataclass
from pathlib import Path

from converters import execution, machine, own_code
from converters.own_code import OwnCode
from nearedge.files import inside
from nearedge.release import description, profile, sections
from nearedge.release.description import Description
from nearedge.release.profile import Profile
from nearedge.release.sections import ConversionSection, OptimizationSection, RuntimeConfiguration, SourceSection

SOURCE = "source"
F32 = Path("ir/f32/model.xml")
DEPLOYED = Path("ir/deployed/model.xml")


@dataclass(frozen=True)
class Work:
    """The description, the source and the profile of one workspace."""

    root: Path
    description: Description
    source: SourceSection
    profile: Profile

    @property
    def folder(self) -> Path:
        """Where model.yaml lies."""
        return self.root / SOURCE

    @property
    def model(self) -> Path:
        """The trained model."""
        return inside(self.folder, self.description.source.path)

    def code(self) -> OwnCode | None:
        """The user's own Python, None where there is none. Raises InputError where it is not what was allowed."""
        return own_code.allowed(self.description, self.source.code_sha256, self.folder)

    @property
    def threads(self) -> int:
        """The profile's inference threads, or as many as this process may use."""
        return machine.threads_here(self.profile)

    def f32(self) -> Path:
        """The f32 IR, checked against what convert-model wrote. Raises InputError where it differs."""
        conversion = sections.read(self.root, ConversionSection)
        execution.check_hashes(self.root / F32, conversion.xml_sha256, conversion.bin_sha256, "convert-model")
        return self.root / F32

    def deployed(self) -> tuple[Path, OptimizationSection]:
        """The IR to deploy and its section, checked alike."""
        section = sections.read(self.root, OptimizationSection)
        execution.check_hashes(self.root / DEPLOYED, section.xml_sha256, section.bin_sha256, "optimize-model")
        return self.root / DEPLOYED, section


def read(root: Path) -> Work:
    """The workspace that fetch-model filled. Raises InputError for what is missing or damaged."""
    described = description.read(root / SOURCE / description.FILE_NAME)
    source = sections.read(root, SourceSection)
    return Work(root, described, source, profile.read(described.target.profile, root / SOURCE))


def runtime(site: Profile, precision: sections.Precision) -> RuntimeConfiguration:
    """How the server runs a model of that precision at a site: one request at a time, all of the site's threads."""
    return RuntimeConfiguration(
        inference_precision="bf16" if precision == "bf16" else "f32",
        performance_hint="LATENCY",
        streams=1,
        threads=site.threads,
    )
