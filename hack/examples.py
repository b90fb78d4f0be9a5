"""`make examples`: push the runtime base, and each example as an OCI artifact of model, data and model.yaml.

python hack/examples.py --registry=HOST[/PATH] [--plain-http] [--seed=N] [EXAMPLE ...]

Examples are trained where that was not done yet. The references by digest are printed as JSON and kept in
`.nearedge/examples.json`; `fetch-model` takes `oci://` before one of them. The runtime base is the one that
`make images` pushed to that registry, else one assembled from this machine's Python.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hack.install import HOME, RUNTIME, known_images
from nearedge import __version__
from nearedge.delivery import image, reference
from nearedge.delivery.access import Access
from nearedge.delivery.host.host_base import host_base
from nearedge.delivery.host.host_image import TAG
from nearedge.delivery.sources.artifact import push_artifact
from nearedge.delivery.store import open_store
from nearedge.errors import InputError, OutsideError
from nearedge.files import new_directory, write_text
from nearedge.program import EXIT_STATUSES, guarded
from nearedge.progress import say
from nearedge.release import description

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
IMAGES = HOME / "images.json"
QUIET = {"OMP_WAIT_POLICY": "PASSIVE", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


def main(argv: Sequence[str] | None = None) -> int:
    """Push the base and the examples."""
    there = sorted(path.parent.name for path in EXAMPLES.glob("*/train.py"))
    made = argparse.ArgumentParser(prog="make examples", description=__doc__, epilog=EXIT_STATUSES, allow_abbrev=False)
    made.add_argument("--registry", required=True, help="where to push: host[:port][/path]")
    made.add_argument("--plain-http", action="store_true", help="the registry speaks http, not https")
    made.add_argument("--seed", type=int, default=1, help="another seed trains other models")
    made.add_argument("examples", nargs="*", default=there, metavar="EXAMPLE", help=" ".join(there))
    options = made.parse_args(argv)
    if unknown := set(options.examples) - set(there):
        made.error(f"no example {', '.join(sorted(unknown))}; there are {', '.join(there)}")

    def action() -> None:
        registry, access = options.registry.rstrip("/"), Access(plain_http=options.plain_http)
        pushed = {RUNTIME: push_base(registry, access)}
        for name in options.examples:
            pushed[name] = push_example(registry, access, name, trained(name, options.seed))
            say(f"{name}: oci://{pushed[name]}")
        keep(HOME / "examples.json", {name: text for name, text in pushed.items() if name != RUNTIME})
        print(json.dumps(pushed, indent=2))

    return guarded("examples", action)


def push_base(registry: str, access: Access) -> str:
    """The runtime base in the registry, by digest; assembled from this machine where `make images` pushed none."""
    known = known_images(IMAGES, registry) if IMAGES.is_file() else {}
    target = reference.parse(f"{registry}/nearedge/{RUNTIME}:{__version__}")
    store = open_store(target, Path(), access)
    if RUNTIME in known:
        parsed = reference.parse(known[RUNTIME])
        if open_store(parsed, Path(), access).find(parsed.digest) is not None:
            say(f"{RUNTIME}: {known[RUNTIME]} is there")
            return known[RUNTIME]
    layout = host_base()
    base = image.open_base(layout, TAG)
    for blob in (*base.manifest.layers, base.manifest.config):
        store.adopt(blob, layout)
    store.publish(base.manifest, target.tag)
    pushed = replace(target, digest=base.manifest.descriptor.digest)
    keep(IMAGES, {RUNTIME: str(pushed)})
    say(f"{RUNTIME}: {pushed}")
    return pushed.by_digest


def trained(name: str, seed: int) -> Path:
    """The folder of the trained example; an earlier run's is taken as it is."""
    folder = HOME / "examples" / f"{name}-{seed}"
    if (folder / description.FILE_NAME).is_file():
        return folder
    say(f"training {name}")
    with new_directory(folder) as building:
        argv = [sys.executable, str(EXAMPLES / name / "train.py"), f"--out={building}", f"--seed={seed}"]
        done = subprocess.run(argv, env={**os.environ, **QUIET}, capture_output=True, text=True, check=False)
        if done.returncode:
            last = " ".join(done.stderr.strip().splitlines()[-1:])
            raise InputError(f"examples/{name}/train.py failed: {last} (make examples installs what it needs)")
    return folder


def push_example(registry: str, access: Access, name: str, folder: Path) -> str:
    """Push one example under the version in its model.yaml; its reference by digest."""
    version = description.read(folder / description.FILE_NAME).version
    target = reference.parse(f"{registry}/nearedge/examples/{name}:{version}")
    digest = push_artifact(target, folder, access)
    if open_store(target, Path(), access).find(digest) is None:
        raise OutsideError(f"{target}: the registry took the artifact {digest} and does not have it; try again")
    return replace(target, digest=digest).by_digest


def keep(path: Path, pushed: Mapping[str, str]) -> None:
    """Add what was pushed to a file, beside what it holds."""
    known = json.loads(path.read_text()) if path.is_file() else {}
    write_text(path, json.dumps({**known, **pushed}, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    sys.exit(main())
