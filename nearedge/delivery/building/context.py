"""The build context of our Containerfiles: the project's wheel, a pip to install it with, and the files they use.

From a checkout it is put together by pip; the step image `build` brings one along and names it in NEAREDGE_CONTEXT.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

from nearedge import catalog
from nearedge.delivery.building import pip_settings
from nearedge.errors import InputError, MachineError, OutsideError
from nearedge.files import inside

KEPT = "NEAREDGE_CONTEXT"
"""Environment variable: a folder that is the context."""
NEEDED = ("step_images/Containerfile", "step_images/install.sh", "step_images/copy_runtime.py", "constraints.txt")
RUNTIME_FILE = "Containerfile.runtime"
"""The name that serving_image/Containerfile has in the context."""


def fill(context: Path) -> None:
    """Make the folder `context`. Raises MachineError where there is nothing to make it of, OutsideError by pip."""
    kept = os.environ.get(KEPT)
    if kept:
        shutil.copytree(kept, context)
        return
    tree = catalog.root()
    if not (tree / "pyproject.toml").is_file():
        raise MachineError("no build context here: run it in the step image build, or from a clone of nearedge")
    context.mkdir()
    for name in NEEDED:
        shutil.copyfile(tree / name, context / Path(name).name)
    shutil.copyfile(tree / "serving_image" / "Containerfile", context / RUNTIME_FILE)
    pip("wheel", "--no-deps", "--wheel-dir", str(context), str(tree))
    pip("download", "--no-deps", "--dest", str(context), f"pip=={importlib.metadata.version('pip')}")


def pip(command: str, *arguments: str) -> None:
    """Run this environment's pip. Raises OutsideError with its last words."""
    argv = [sys.executable, "-m", "pip", command, "--quiet", *arguments]
    result = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        raise OutsideError(f"pip {command}: {' '.join(result.stdout.split()[-60:])}")


def add(source: Path, context: Path) -> None:
    """Put the files of a user's folder into the context, over ours of the same name.

    Raises InputError where there is no such folder, and for links that lead out of it. What begins with two dots is how
    a ConfigMap's volume is made, and is passed over.
    """
    root = source.resolve()
    if not root.is_dir():
        raise InputError(f"{source}: no such folder; bind a workspace source that holds the Containerfile")
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if any(part.startswith("..") for part in relative.parts):
            continue
        real = path.resolve()
        if not real.is_relative_to(root) or (path.is_symlink() and real.is_dir()) or not real.exists():
            raise InputError(f"{relative}: is a link that leads out of the workspace source, or to a folder")
        place = context / relative
        if real.is_dir():
            place.mkdir(exist_ok=True)
        elif real.is_file():
            place.unlink(missing_ok=True)
            shutil.copy(real, place)
        else:
            raise InputError(f"{relative}: is neither a file nor a folder")


def containerfile(context: Path, name: str) -> Path:
    """The Containerfile `name` in the context. Raises InputError where it is none or leads out."""
    path = inside(context, name)
    if not path.is_file():
        raise InputError(f"containerfile {name!r}: no such file in the workspace source")
    return path


def lend(folder: Path, given: Path | None, ca: Path | None) -> pip_settings.Lent:
    """Write pip.conf to the new folder `folder`, which only this user reads; what else a build is lent.

    `given` is a pip.conf of the user's, else this machine's settings hold; `ca` is a file of certificates to trust.
    """
    folder.mkdir(mode=0o700)
    there = pip_settings.settings(given)
    settings = pip_settings.lend(there | ({"cert": str(ca)} if ca else {}), os.environ)
    (folder / "pip.conf").write_text(settings.conf)
    return settings
