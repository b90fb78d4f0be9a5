"""The files of an IR in a model's folder: found, held against the record, and read by OpenVINO."""

import hashlib
from pathlib import Path
from typing import Any

from serving_image import record, weights
from serving_image.faults import LoadError, one_line
from serving_image.record import Record

CHUNK = 1 << 20


def read(core: Any, xml: Path, weights_at: Path, identity: Record | None) -> Any:  # openvino's classes carry no types
    """OpenVINO's model of the IR, whose files are those of the record. Raises LoadError."""
    if identity is not None:
        check_sum(xml, identity.xml_sha256)
    try:
        if weights_at.is_dir():
            whole = weights.assemble(weights_at, identity.bin_sha256 if identity else "")
            return core.read_model(xml.read_text(encoding="utf-8"), whole)
        if identity is not None:
            check_sum(weights_at, identity.bin_sha256)
        return core.read_model(str(xml))
    except (RuntimeError, UnicodeDecodeError) as error:
        raise LoadError("damaged", f"{xml.name} cannot be read: {one_line(error)}") from None
    except MemoryError:
        raise LoadError("memory", f"there is no memory for the weights in {weights_at.name}") from None


def files(folder: Path) -> tuple[Path, Path]:
    """model.xml, or the only .xml there is, and what holds its weights: the .bin beside it, or model.shards/.

    Raises LoadError.
    """
    found = sorted(folder.glob("*.xml"))
    xml = folder / "model.xml"
    if xml not in found:
        if len(found) != 1:
            raise LoadError("missing", f"{folder} holds {len(found) or 'no'} .xml files; expected model.xml")
        xml = found[0]
    whole, shards = xml.with_suffix(".bin"), folder / weights.FOLDER
    if whole.is_file():
        return xml, whole
    if shards.is_dir():
        return xml, shards
    raise LoadError("missing", f"{whole} is missing")


def check_sum(path: Path, expected: str) -> None:
    """Raise LoadError where the file is not the one that the record names."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise LoadError("missing", f"{path} cannot be read: {error.strerror}") from None
    if digest.hexdigest() != expected:
        raise LoadError(
            "damaged", f"{path.name} is damaged: its sha256 is {digest.hexdigest()}, {record.FILE} says {expected}"
        )
