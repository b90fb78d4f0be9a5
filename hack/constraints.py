"""Writes step_images/constraints.txt: the exact version of every package of every image, as installed here.

Run it in an environment that has all of `nearedge[dev]`, after tests have passed with it.
"""

import importlib.metadata
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("serve", "core", "onnx", "pytorch", "tensorflow")
TREE = Path(__file__).resolve().parent.parent
PLACE = TREE / "step_images" / "constraints.txt"
HEADING = "# The exact versions in our images. Written by hack/constraints.py; never edit it by hand.\n"


def roots() -> list[Requirement]:
    """What pyproject.toml asks for, for all images."""
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(text for extra in EXTRAS for text in project["optional-dependencies"][extra])]
    return [Requirement(text) for text in texts if not text.startswith("nearedge[")]


def versions() -> dict[str, str]:
    """Name and version of all that the images need, as installed here, without a build's local label (+cpu)."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    waiting = roots()
    while waiting:
        wanted = waiting.pop()
        if str(wanted) in seen:
            continue
        seen.add(str(wanted))
        distribution = importlib.metadata.distribution(wanted.name)
        found[canonicalize_name(wanted.name)] = distribution.version.partition("+")[0]
        waiting += [
            below
            for below in map(Requirement, distribution.requires or ())
            if below.marker is None or any(below.marker.evaluate({"extra": one}) for one in ("", *wanted.extras))
        ]
    return dict(sorted(found.items()))


def text() -> str:
    """The file's content."""
    return HEADING + "".join(f"{name}=={version}\n" for name, version in versions().items())


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(0 if PLACE.read_text() == text() else f"{PLACE}: not what is installed; run hack/constraints.py")
    PLACE.write_text(text())
