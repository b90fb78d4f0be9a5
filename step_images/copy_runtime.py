"""Inside the build of the serving image: copy what the server needs, and nothing else, out of an installed nearedge.

`python copy_runtime.py DIR` fills DIR/packages and DIR/server and lists them in DIR/sbom.cdx.json. Which files those
are is nearedge's own list, the same that makes a base from a machine's own Python.
"""

import compileall
import py_compile
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from nearedge.delivery.host import host_packages


def copy(files: Iterable[tuple[str, Path]], folder: Path) -> None:
    """Copy each file to its name under `folder`."""
    for name, path in files:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
        place.chmod(0o755 if ".so" in place.name else 0o644)


def main() -> None:
    """Copy, then compile: the server's root is read-only, and the files' times change on the way to the image."""
    target = Path(sys.argv[1])
    for distribution in host_packages.serving_distributions().values():
        copy(host_packages.files(distribution), target / "packages")
    copy(host_packages.server_files(), target / "server")
    (target / "sbom.cdx.json").write_bytes(host_packages.bill())
    for name in ("packages", "server"):
        compileall.compile_dir(
            target / name,
            quiet=1,
            stripdir=target.parent,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


if __name__ == "__main__":
    main()
