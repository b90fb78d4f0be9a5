"""Environments of the peers: each its own, made once under the cache folder from the versions named here."""

import subprocess
import sys
from pathlib import Path

PACKAGES = {
    "mlserver": ("mlserver==1.7.1", "openvino==2026.4.1"),
    "kserve": ("kserve==0.21.0", "openvino==2026.4.1"),
}


def python(name: str, cache: Path) -> Path:
    """The interpreter of a peer's environment; made where it is not there yet, which takes a minute and the network."""
    folder = cache / f"environment-{name}"
    done = folder / ".installed"
    wanted = "\n".join(PACKAGES[name])
    if not done.exists() or done.read_text() != wanted:
        print(f"making the environment of {name} (once)", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PACKAGES[name]], check=True)
        done.write_text(wanted)
    return folder / "bin/python"
