"""What an image has to be to be the base of serving images, checked before it is pushed as one.

The manifests that render-gitops writes count on it: a uid that is not root, the server as entry point, no privilege to
be had by a file of it.
"""

import json
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from nearedge.delivery.building.buildah import Build, Engine
from nearedge.delivery.image import RUNTIME_LABEL
from nearedge.errors import InputError, OutsideError

SERVER = ["-m", "serving_image"]
NAMED = {"NEAREDGE_MODELS": "/models"}
"""Variables that the layers of a model count on."""
SETUID, CAPABILITY = 0o6000, "SCHILY.xattr.security.capability"
ANSWERS_S = 300.0
CPU = "import openvino, serving_image.app; assert 'CPU' in openvino.Core().available_devices, 'no CPU device'"


def check(build: Build, scratch: Path) -> None:
    """Hold a built image against the contract. Raises InputError with each fault, OutsideError where buildah fails."""
    image = inspected(build.engine, build.name)
    faults = config_faults(image.get("config") or {})
    faults += layer_faults(build, image, scratch)
    if not faults:
        faults += answer_faults(build, image["config"])
    if faults:
        raise InputError(f"{build.file.name}: what it builds is no runtime base: {'; '.join(faults)}")


def inspected(engine: Engine, name: str) -> dict[str, Any]:
    """The config of an image in buildah's store, as the OCI image specification has it."""
    asked = engine.output("inspect", "--type=image", name)
    if asked.returncode != 0:
        raise OutsideError(f"{name}: {' '.join(asked.stderr.split())[-300:]}")
    found: dict[str, Any] = json.loads(asked.stdout)["OCIv1"]
    return found


def config_faults(config: dict[str, Any]) -> list[str]:
    """What is wrong with entry point, user, label and variables."""
    faults = []
    entrypoint, user = config.get("Entrypoint") or [], str(config.get("User") or "")
    if entrypoint[-2:] != SERVER:
        faults.append(f"its entry point is {json.dumps(entrypoint)} and has to end with {json.dumps(SERVER)}")
    if not re.fullmatch(r"0*[1-9][0-9]*(:[0-9]+)?", user):
        faults.append(f"its user is {user or 'root'!r} and has to be a number other than 0, such as 1001")
    if (config.get("Labels") or {}).get(RUNTIME_LABEL) != "1":
        faults.append(f'it lacks the label {RUNTIME_LABEL}="1"')
    known = dict(one.partition("=")[::2] for one in config.get("Env") or [])
    faults += [f"variable {name} has to be {value}" for name, value in NAMED.items() if known.get(name) != value]
    if config.get("Cmd"):
        faults.append(f"its CMD is {json.dumps(config['Cmd'])} and has to be empty: arguments come from the manifests")
    return faults


def layer_faults(build: Build, image: dict[str, Any], scratch: Path) -> list[str]:
    """Files with setuid, setgid or capabilities that the build added to what its base has."""
    base = inspected(build.engine, build.pinned)["rootfs"]["diff_ids"]
    layout = scratch / "layout"
    asked = build.engine.output("push", "--disable-compression", build.name, f"oci:{layout}:1")
    if asked.returncode != 0:
        raise OutsideError(f"{build.name}: cannot be read: {' '.join(asked.stderr.split())[-300:]}")
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads(blob(layout, entry["digest"]).read_text())
    names = [
        name
        for diff_id, layer in zip(image["rootfs"]["diff_ids"], manifest["layers"], strict=True)
        if diff_id not in base
        for name in privileged(blob(layout, layer["digest"]))
    ]
    return [f"/{name} is setuid, setgid or has capabilities, and the base has it not so" for name in names[:3]]


def blob(layout: Path, digest: str) -> Path:
    """The file of a blob in a layout."""
    return layout / "blobs" / Path(*digest.split(":"))


def privileged(layer: Path) -> list[str]:
    """The files of a layer that give whoever runs them another user, group or capability."""
    with tarfile.open(layer) as tar:
        return [
            one.name.removeprefix("./")
            for one in tar
            if one.isreg() and (one.mode & SETUID or CAPABILITY in one.pax_headers)
        ]


def answer_faults(build: Build, config: dict[str, Any]) -> list[str]:
    """Whether the server tells its options, and OpenVINO finds the processor, run as the image's user."""
    made = build.engine.output("from", build.name)
    container = made.stdout.strip()
    if made.returncode != 0:
        raise OutsideError(f"{build.name}: {' '.join(made.stderr.split())[-300:]}")
    try:
        for argv in ([*config["Entrypoint"], "--help"], ["python3", "-c", CPU]):
            try:
                done = build.engine.output("run", "--isolation=chroot", container, "--", *argv, timeout_s=ANSWERS_S)
            except subprocess.TimeoutExpired:
                return [f"{argv[0]} {argv[1]} {argv[2][:40]} gives no answer in {ANSWERS_S:.0f} s"]
            if done.returncode != 0:
                return [f"{' '.join(argv)[:60]} fails in it: {' '.join(done.stderr.split())[-200:]}"]
    finally:
        build.engine.output("rm", container)
    return []
