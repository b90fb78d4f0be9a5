"""The files of a release that may be put into an image: those that have passed the accuracy gate."""

from pathlib import Path

from nearedge.delivery.model_layers import ModelFiles
from nearedge.errors import GateError
from nearedge.release import description, profile, record, sections
from nearedge.release.sections import GoldenSection, OptimizationSection, VerificationDeployedSection

SOURCE, DEPLOYED, GOLDEN = "source", "ir/deployed", "golden/golden.npz"


def proven(workspace: Path) -> ModelFiles:
    """The model's files with the sha256 they were proven with, and the identity that lies beside them.

    Raises GateError where no proof of what will be deployed is there, or where it did not hold.
    """
    gate = sections.read_optional(workspace, VerificationDeployedSection)
    if gate is None:
        raise GateError(
            f"{workspace}: no section verification-deployed: the accuracy gate has not been passed; run verify-model "
            "with stage deployed"
        )
    if gate.metric is not None and gate.metric.drop > gate.metric.allowed_drop:
        raise GateError(
            f"{workspace}: {gate.metric.name} drops by {gate.metric.drop:g}, allowed are {gate.metric.allowed_drop:g}; "
            "no image is built of it"
        )
    wanted = description.read(workspace / SOURCE / description.FILE_NAME)
    name = profile.read(wanted.target.profile, workspace / SOURCE).name
    identity = record.identity(workspace, name)
    optimization = sections.read(workspace, OptimizationSection)
    golden = sections.read_optional(workspace, GoldenSection)
    return ModelFiles(
        name=identity.name,
        version=identity.version,
        xml=workspace / DEPLOYED / "model.xml",
        xml_sha256=optimization.xml_sha256,
        bin=workspace / DEPLOYED / "model.bin",
        bin_sha256=optimization.bin_sha256,
        golden=workspace / GOLDEN if golden else None,
        golden_sha256=golden.sha256 if golden else "",
        identity=record.dump(identity),
    )
