"""A release to build on: the serving image of ours in a registry, as the model.yaml, IR and samples that it holds.

Only the model's layers are pulled, from the topmost down, and the files have to have the hashes that the identity in
the image says. The model.yaml written of it names the IR as it is deployed, which needs no framework to be converted.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from nearedge.delivery import oci, weights
from nearedge.delivery.image import CONFIG_LIMIT, MODEL_LABEL, VERSION_LABEL
from nearedge.delivery.sources.previous_model import unpack
from nearedge.delivery.store import Store
from nearedge.errors import InputError, UnsupportedError
from nearedge.files import sha256_file, write_text
from nearedge.release import record
from nearedge.release.description import FILE_NAME, Description, first_fault
from nearedge.release.record import Identity
from nearedge.release.sections import RECORD_VERSION, Rebuilt

MOST_MEMBERS = 20_000
"""Of a layer with the weights in pieces."""
GOLDEN, DATA = "golden.npz", "data.npz"
INPUT = "input/"
KEPT_PRECISIONS = ("f32", "fp16", "bf16")
"""What is asked for again of a release that has it; the weights of others are kept as they are, in f32."""


def is_image(manifest: oci.Manifest) -> bool:
    """Whether a manifest is of an image, not of an artifact of files."""
    return manifest.config.media_type in (oci.CONFIG, oci.DOCKER_CONFIG)


def bring(store: Store, manifest: oci.Manifest, into: Path, max_bytes: int) -> Rebuilt:
    """Fill the new folder `into` with model.yaml, model.xml, model.bin, and data.npz where golden samples are shipped;
    what the release was made of.

    Raises InputError where the image is no release of ours, its files are not those its identity says, or it holds more
    than `max_bytes`, UnsupportedError for a newer release record, OutsideError where the store fails.
    """
    where = str(store.where)
    folder = model_folder(oci.decode(store.read(manifest.config, CONFIG_LIMIT), f"{where}: config"), where)
    into.mkdir()
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".layers-") as scratch:
        found = gathered(store, manifest, folder, Path(scratch), max_bytes)
        identity = identity_in(found / record.IDENTITY_FILE, where)
        if not (found / "model.bin").is_file() and (found / weights.FOLDER).is_dir():
            weights.join(found / weights.FOLDER, found / "model.bin", max_bytes)
        for name, sha256 in (("model.xml", identity.ir.xml_sha256), ("model.bin", identity.ir.bin_sha256)):
            if not (found / name).is_file() or sha256_file(found / name) != sha256:
                raise InputError(f"{where}: holds no {name} with the sha256 that its {record.IDENTITY_FILE} says")
            (found / name).replace(into / name)
        count = 0
        if identity.golden is not None:
            count = samples(found / GOLDEN, identity, into / DATA, where)
    write_text(into / FILE_NAME, yaml.safe_dump(described(identity, count), sort_keys=False))
    return Rebuilt(
        source=identity.source,
        xml_sha256=identity.ir.xml_sha256,
        bin_sha256=identity.ir.bin_sha256,
        precision=identity.precision,
        drift=identity.drift,
    )


def model_folder(config: dict[str, Any], where: str) -> str:
    """Where the model lies in the image, by its labels. Raises InputError where it is no serving image of ours."""
    settings = config.get("config")
    labels = oci.texts(settings.get("Labels")) if isinstance(settings, dict) else {}
    name, version = labels.get(MODEL_LABEL, ""), labels.get(VERSION_LABEL, "")
    if not name or not version or "/" in name + version or ".." in (name, version):
        raise InputError(
            f"{where}: is an image without a release of nearedge; give one, or what `make examples` pushes"
        )
    return f"models/{name}/{version}"


def gathered(store: Store, manifest: oci.Manifest, folder: str, scratch: Path, max_bytes: int) -> Path:
    """The files of the model's folder, from the topmost layer down to the one with model.xml, which is the lowest."""
    whole, left = scratch / "whole", max_bytes
    whole.mkdir()
    for number, layer in enumerate(reversed(manifest.layers)):
        if layer.size > left:
            raise InputError(f"{store.where}: its model takes more than {max_bytes} bytes (max-bytes)")
        left -= layer.size
        place = scratch / str(number)
        place.mkdir()
        unpacked = unpack(store, layer, place, max_bytes, MOST_MEMBERS) / folder
        if not unpacked.is_dir():
            break
        shutil.copytree(unpacked, whole, dirs_exist_ok=True, copy_function=shutil.move)
        shutil.rmtree(place)
        if (whole / "model.xml").is_file():
            return whole
    raise InputError(f"{store.where}: its labels name a model that none of its topmost layers holds")


def identity_in(path: Path, where: str) -> Identity:
    """The identity that lies in the image. Raises InputError, UnsupportedError."""
    try:
        text = path.read_text(encoding="utf-8")
        identity = Identity.model_validate_json(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: holds no {record.IDENTITY_FILE} beside its model") from error
    except ValidationError as error:
        newer = next((e["input"] for e in error.errors() if e["loc"] == ("schema_version",)), None)
        if isinstance(newer, int) and newer > RECORD_VERSION:
            raise UnsupportedError(
                f"{where}: schema_version {newer} is newer than {RECORD_VERSION}, which this nearedge reads; upgrade"
            ) from error
        raise InputError(f"{where}: {record.IDENTITY_FILE}: {first_fault(error)}") from error
    return identity


def samples(golden: Path, identity: Identity, data: Path, where: str) -> int:
    """Write the inputs of the golden samples as data of a model.yaml: axis 0 is the request; how many there are."""
    assert identity.golden is not None, "asked only where the release ships golden samples"
    if not golden.is_file() or sha256_file(golden) != identity.golden.sha256:
        raise InputError(f"{where}: holds no {GOLDEN} with the sha256 that its {record.IDENTITY_FILE} says")
    with np.load(golden, allow_pickle=False) as arrays:
        inputs = {name.removeprefix(INPUT): arrays[name] for name in arrays.files if name.startswith(INPUT)}
    np.savez(data, **inputs)
    return identity.golden.count


def described(identity: Identity, golden: int) -> dict[str, Any]:
    """The model.yaml of a release: the IR as it is, judged by as many golden samples as it ships."""
    document: dict[str, Any] = {
        "schema": 1,
        "name": identity.name,
        "version": identity.version,
        "source": {"path": "model.xml"},
        "inputs": [{"name": one.name, "shape": one.shape, "dtype": one.datatype} for one in identity.ir.inputs],
        "outputs": [{"name": one.name} for one in identity.ir.outputs],
        "precision": identity.precision if identity.precision in KEPT_PRECISIONS else "f32",
        "target": {"profile": identity.profile},
    }
    if identity.precision in KEPT_PRECISIONS:
        limits = identity.thresholds.model_dump(exclude_none=True)
        document["parity"] = {identity.precision: limits}
    if golden and identity.golden is not None:
        document["data"] = {"path": DATA, "evaluation": [0, golden]}
        document["golden"] = {"rows": [0, golden], "count": golden, "max_bytes": max(identity.golden.size_bytes, 1)}
    Description.model_validate(document)
    return document
