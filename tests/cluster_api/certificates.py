"""A certificate of a server on loopback, which is its own authority."""

import subprocess
from pathlib import Path

MAKE = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=fake"
ADD = ("subjectAltName=IP:127.0.0.1,DNS:localhost", "keyUsage=critical,digitalSignature,keyCertSign")


def made(folder: Path) -> tuple[Path, Path]:
    """Certificate and key, as PEM files in `folder`."""
    certificate, key = folder / "fake.crt", folder / "fake.key"
    adds = [word for add in ADD for word in ("-addext", add)]
    files = ["-out", str(certificate), "-keyout", str(key)]
    subprocess.run([*MAKE.split(), *adds, *files], check=True, capture_output=True)
    return certificate, key
