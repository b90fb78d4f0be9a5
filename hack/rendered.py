"""Render the example's release in every combination, and build each with kustomize, into a folder for a checker.

`make check` holds what comes of it against the platforms' schemas: manifests that a program writes lie in no file of
the tree. The folder gets one file a combination, `FLAVOUR-EXPOSE-MONITORING.yaml`, with all objects of a site.
"""

import argparse
import itertools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from nearedge.delivery.gitops import render
from nearedge.delivery.gitops.choices import Choices, Expose, Flavour
from nearedge.release import profile, record
from nearedge.release.record import Record
from nearedge.release.sections import ImageSection

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "tests" / "unit" / "delivery" / "data" / "release.json"
SITE, PROFILE, OWN = "edge-1", "sno-small", "microshift-small"


def combinations() -> Iterator[tuple[str, Record, Choices]]:
    """A name, the release and what is chosen, for each; a modelcar is for KServe alone."""
    serving = record.read(RECORD)
    for flavour, expose, monitoring in itertools.product(get_args(Flavour), get_args(Expose), (True, False)):
        host = "" if expose == "none" else "{site}.example.com"
        choices = Choices(flavour, expose, host, monitoring)
        name = f"{flavour}-{expose}-{'monitored' if monitoring else 'plain'}"
        yield name, serving, choices
        if flavour == "kserve" and not monitoring:
            yield f"modelcar-{expose}", modelcar(serving), choices


def modelcar(serving: Record) -> Record:
    """The same release with an image that holds the model alone."""
    image = serving.evidence.image
    assert isinstance(image, ImageSection), "the example has an image"
    evidence = serving.evidence.model_copy(update={"image": image.model_copy(update={"flavour": "modelcar"})})
    return serving.model_copy(update={"evidence": evidence})


def build(release: Record, choices: Choices) -> str:
    """All objects that a site gets, as kustomize builds them of the rendered tree; the site's node is a smaller one."""
    tree = render.render(release, profile.read(PROFILE), [SITE], choices, {SITE: profile.read(OWN)})
    with tempfile.TemporaryDirectory(prefix="nearedge-rendered-") as folder:
        for path, text in tree.items():
            (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / path).write_text(text)
        argv = ["kubectl", "kustomize", f"{folder}/sites/{SITE}/{release.identity.name}"]
        return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> int:
    """Write the files; the exit status."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path, help="where the files go")
    folder: Path = options.parse_args().folder
    if shutil.which("kubectl") is None:
        print("hack/rendered.py: needs kubectl, whose kustomize builds what is rendered", file=sys.stderr)
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    for name, release, choices in combinations():
        (folder / f"{name}.yaml").write_text(build(release, choices))
    return 0


if __name__ == "__main__":
    sys.exit(main())
