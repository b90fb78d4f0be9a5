"""`make install`: the Tasks and Pipelines with the images of a registry, by digest, for `kubectl apply`.

python hack/install.py --registry=HOST[/PATH] [--plain-http] [--out=FILE] [--images=FILE]

Reads `.nearedge/images.json`, which `make images` and `make examples` write, and changes nothing else of the YAML but,
with --plain-http, the default of the params of that name.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from nearedge import catalog
from nearedge.delivery import reference
from nearedge.errors import InputError
from nearedge.files import write_text
from nearedge.program import EXIT_STATUSES, guarded
from nearedge.progress import say

HOME = Path(os.environ.get("NEAREDGE_HOME") or ".nearedge")
SHORT = re.compile(r"(?<![\w./-])nearedge/([a-z][a-z0-9-]*):[0-9][\w.-]*")
"""An image as the tree names it, such as nearedge/core:0.1.0."""
PLAIN_HTTP = re.compile(r'(^ +- name: plain-http\n(?: +(?!- ).*\n)*? +default: )"false"$', re.MULTILINE)
RUNTIME = "runtime"
FRAMEWORKS = frozenset({"pytorch", "tensorflow"})
"""Images that only models of that framework run in: whoever has none of those need not build it."""
BUILDER = "build"
"""The image of build-runtime-image, for who changes the runtime's Containerfile."""


def main(argv: Sequence[str] | None = None) -> int:
    """Write the rendered catalog to a file, or to standard output for `-`."""
    made = argparse.ArgumentParser(prog="make install", description=__doc__, epilog=EXIT_STATUSES, allow_abbrev=False)
    made.add_argument("--registry", required=True, help="host[:port][/path] that make images pushed to")
    made.add_argument("--plain-http", action="store_true", help="the registry speaks http: Tasks do so by default")
    made.add_argument("--images", type=Path, default=HOME / "images.json", help="references by digest, by name")
    made.add_argument("--out", type=Path, default=HOME / "install.yaml", help="file to write, - for standard output")
    options = made.parse_args(argv)

    def action() -> None:
        text = render(catalog_files(catalog.root()), known_images(options.images, options.registry.rstrip("/")))
        text = PLAIN_HTTP.sub(r'\1"true"', text) if options.plain_http else text
        if str(options.out) == "-":
            print(text, end="")
            return
        write_text(options.out, text)
        say(f"{options.out} written; kubectl apply -f {options.out}")

    return guarded("install", action)


def known_images(path: Path, registry: str) -> dict[str, str]:
    """The images of that registry by name, without tag. Raises InputError where there are none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; run make images REGISTRY={registry} first") from error
    except ValueError as error:
        raise InputError(f"{path}: is no JSON; run make images REGISTRY={registry} again") from error
    parsed = {name.removeprefix("nearedge/"): reference.parse(text) for name, text in document.items()}
    there = {name: one for name, one in parsed.items() if f"{one.registry}/{one.name}".startswith(f"{registry}/")}
    if undigested := [str(one) for one in there.values() if not one.digest]:
        raise InputError(f"{path}: {undigested[0]} has no digest; run make images REGISTRY={registry} again")
    return {name: one.by_digest for name, one in there.items()}


def catalog_files(root: Path) -> list[Path]:
    """The Tasks and the Pipelines, each sorted by name."""
    return [path for kind in ("tasks", "pipelines") for path in sorted((root / kind).glob("*/*.yaml")) if own(path)]


def own(path: Path) -> bool:
    """Whether a file is the Task or Pipeline that its folder is named after."""
    return path.stem == path.parent.name


def render(files: Sequence[Path], images: dict[str, str]) -> str:
    """The files as one stream of documents. Raises InputError where an image that they name is not known."""
    missing: set[str] = set()

    def by_digest(found: re.Match[str]) -> str:
        if found[1] not in images:
            missing.add(found[1])
        return images.get(found[1], found[0])

    documents = [SHORT.sub(by_digest, path.read_text(encoding="utf-8")) for path in files]
    for path, text in zip(files, documents, strict=True):
        if not isinstance(yaml.safe_load(text), dict):
            raise InputError(f"{path}: holds no Task or Pipeline")
    if needed := missing - FRAMEWORKS - {RUNTIME, BUILDER}:
        raise InputError(f"no image of this registry for {', '.join(sorted(needed))}; run make images first")
    if RUNTIME in missing:
        say("no runtime base of this registry: make examples pushes one; until then give the param base-image")
    if BUILDER in missing:
        say("no image build of this registry: build-runtime-image needs it (make images TARGETS=build)")
    for name in sorted(missing & FRAMEWORKS):
        say(f"no {name} image of this registry: models of {name} cannot be converted until make images pushes one")
    return "".join(f"---\n{text.removeprefix('---').lstrip()}" for text in documents)


if __name__ == "__main__":
    sys.exit(main())
