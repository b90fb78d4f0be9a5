"""What pip on this machine needs to reach its index, in a form that a build can be lent and does not keep.

pip's own configuration (files and PIP_* variables) becomes one pip.conf, lent as a build secret as is the CA bundle.
Folders of this machine that it names are mounted for the build at neutral places.
"""

import ast
import configparser
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nearedge.errors import InputError

LENT = (
    "index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "proxy", "timeout", "retries", "pre",
    "prefer-binary", "only-binary", "no-binary",
)  # fmt: skip
MOUNTS = "/run/secrets/pip"
CA_IN_BUILD = "/run/secrets/ca.crt"
CA_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
LINE = re.compile(r"^(?P<section>[^.]+)\.(?P<name>[a-z-]+)=(?P<value>.*)$")


@dataclass(frozen=True)
class Lent:
    """pip.conf for the build, the CA bundle to lend it, and this machine's folders by their place in the build."""

    conf: str
    ca: Path | None
    folders: Mapping[str, Path]


def settings(given: Path | None = None) -> dict[str, str]:
    """The settings for `pip install` as they are in force here: those of files, then PIP_* variables.

    `given` is a pip.conf to take in the place of this machine's files; without pip there are no others.
    """
    if given is not None or not has_pip():
        return read_conf(given) if given is not None else {}
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listing.splitlines():
        match = LINE.match(line)
        if match and match["section"] in found:
            found[match["section"]][match["name"]] = str(ast.literal_eval(match["value"]))
    return found["global"] | found["install"] | found[":env:"]


def has_pip() -> bool:
    """Whether pip is installed beside us, from what is written there: to look for the module runs setuptools' hooks."""
    try:
        return bool(metadata.version("pip"))
    except metadata.PackageNotFoundError:
        return False


def read_conf(path: Path) -> dict[str, str]:
    """The settings for `pip install` in a pip.conf. Raises InputError where it is none."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise InputError(f"{path}: is no pip.conf ({' '.join(str(error).split())})") from error
    there = [dict(parser[name]) for name in ("global", "install") if parser.has_section(name)]
    return {name.replace("_", "-"): value for section in there for name, value in section.items()}


def lend(given: Mapping[str, str], environment: Mapping[str, str]) -> Lent:
    """The form of pip's settings that a build can use."""
    folders: dict[str, Path] = {}
    lines = ["[global]"]
    for name in LENT:
        if name in given:
            words = [inside_build(word, folders) for word in given[name].split()]
            lines.append(f"{name} = " + "\n    ".join(words))
    ca = ca_bundle(given, environment)
    if ca is not None:
        lines.append(f"cert = {CA_IN_BUILD}")
    return Lent("\n".join(lines) + "\n", ca, folders)


def ca_bundle(given: Mapping[str, str], environment: Mapping[str, str]) -> Path | None:
    """The file of CAs that pip trusts here, where one is set."""
    names = [given.get("cert", ""), *(environment.get(name, "") for name in CA_VARIABLES)]
    return next((Path(name) for name in names if name and Path(name).is_file()), None)


def inside_build(word: str, folders: dict[str, Path]) -> str:
    """A word of pip's settings as the build sees it; a folder of this machine gets a place in `folders`.

    Of a local index the folder above is lent: its pages link to files beside them.
    """
    url = urlsplit(word)
    path = Path(unquote(url.path) if url.scheme == "file" else word)
    if url.scheme not in ("file", "") or not path.is_absolute() or not path.exists():
        return word
    folder = path if path.is_dir() and not url.scheme else path.parent
    place = next((place for place, known in folders.items() if known == folder), f"{MOUNTS}/{len(folders) + 1}")
    folders[place] = folder
    lent = f"{place}/{os.path.relpath(path, folder)}".removesuffix("/.")
    return f"file://{lent}" if url.scheme == "file" else lent
