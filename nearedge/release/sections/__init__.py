"""The sections of a release record: what each Task found out, one file each under `release/`.

Inside a section every field is required and unknown ones are refused; a field that came later has a default, which says
what records without it meant. A section that is absent was not measured. Shapes use -1 for a dimension that may vary;
times are in milliseconds, sizes in bytes unless the name says otherwise.
"""

from nearedge.release.parity import Precision, Thresholds
from nearedge.release.sections.base import (
    FOLDER,
    RECORD_VERSION,
    Section,
    TensorSpec,
    clear,
    load,
    read,
    read_optional,
    write,
)
from nearedge.release.sections.benchmark import (
    BenchmarkSection,
    Histogram,
    Machine,
    Ratio,
    Regression,
    SiteFit,
    Timing,
    Trial,
)
from nearedge.release.sections.image import ImageSection, Layer, SiteTransfer, TestSection
from nearedge.release.sections.optimization import DOES_NOT_HOLD, Candidate, OptimizationSection, RuntimeConfiguration
from nearedge.release.sections.source import (
    ConversionSection,
    Format,
    Framework,
    Rebuilt,
    SourceIdentity,
    SourceSection,
)
from nearedge.release.sections.verification import (
    DriftReference,
    DriftSummary,
    GoldenSection,
    KeptAnswers,
    MetricResult,
    OutputParity,
    Tolerance,
    VerificationDeployedSection,
    VerificationF32Section,
    VerificationSection,
)

__all__ = [
    "DOES_NOT_HOLD",
    "FOLDER",
    "RECORD_VERSION",
    "BenchmarkSection",
    "Candidate",
    "ConversionSection",
    "DriftReference",
    "DriftSummary",
    "Format",
    "Framework",
    "GoldenSection",
    "Histogram",
    "ImageSection",
    "KeptAnswers",
    "Layer",
    "Machine",
    "MetricResult",
    "OptimizationSection",
    "OutputParity",
    "Precision",
    "Ratio",
    "Rebuilt",
    "Regression",
    "RuntimeConfiguration",
    "Section",
    "SiteFit",
    "SiteTransfer",
    "SourceIdentity",
    "SourceSection",
    "TensorSpec",
    "TestSection",
    "Thresholds",
    "Timing",
    "Tolerance",
    "Trial",
    "VerificationDeployedSection",
    "VerificationF32Section",
    "VerificationSection",
    "clear",
    "load",
    "read",
    "read_optional",
    "write",
]
