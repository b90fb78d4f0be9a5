"""Image references: `registry/name[:tag][@sha256:…]`, or `oci:DIR:tag[@sha256:…]` for a layout on disk.

The grammar is the one of github.com/distribution/reference, but the registry has to be named: an image that a site
pulls must not depend on a default that differs from engine to engine.
"""

import re
from dataclasses import dataclass, replace

from nearedge.delivery import digest as digests
from nearedge.errors import InputError

HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")
NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
LAYOUT = "oci:"
LONGEST_NAME = 255


@dataclass(frozen=True)
class Reference:
    """Where an image is. For a layout `registry` is empty and `name` is its folder, relative to the workspace."""

    registry: str
    name: str
    tag: str = ""
    digest: str = ""

    @property
    def is_layout(self) -> bool:
        """Whether this names a layout on disk."""
        return not self.registry

    @property
    def which(self) -> str:
        """What to ask for: the digest where there is one, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    @property
    def without_digest(self) -> str:
        """The text without the digest."""
        start = f"{LAYOUT}{self.name}" if self.is_layout else f"{self.registry}/{self.name}"
        return f"{start}:{self.tag}" if self.tag else start

    @property
    def by_digest(self) -> str:
        """The text with the digest in the place of the tag: what a manifest on a cluster names."""
        start = f"{LAYOUT}{self.name}" if self.is_layout else f"{self.registry}/{self.name}"
        return f"{start}@{self.digest}"

    def with_tag(self, tag: str) -> "Reference":
        """The same place with another tag and no digest."""
        return replace(self, tag=tag, digest="")

    def __str__(self) -> str:
        """The text, as `parse` reads it."""
        return self.without_digest + (f"@{self.digest}" if self.digest else "")


def parse(text: str, *, allow_layout: bool = False) -> Reference:
    """The reference that `text` writes. Raises InputError for what is none, or for `oci:` where it is not allowed."""
    rest, at, digest = text.partition("@")
    if at and not digests.is_digest(digest):
        raise InputError(f"{text}: {digest!r} is no digest; write @sha256: and 64 hex digits")
    if text.startswith(LAYOUT) and not text.startswith(LAYOUT + "//"):
        return layout_reference(text, rest.removeprefix(LAYOUT), digest, allow_layout)
    host, slash, path = rest.removeprefix("oci://").partition("/")
    if not slash or not names_registry(host):
        raise InputError(f"{text}: names no registry; write registry/name:tag, such as quay.io/team/model:1")
    if not HOST.fullmatch(host):
        raise InputError(f"{text}: {host!r} is no registry host; write host or host:port")
    name, colon, tag = path.partition(":")
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise InputError(f"{text}: {name!r} is no image name; use lower-case letters, digits, '.', '_', '-' and '/'")
    return Reference(host, name, checked_tag(text, colon, tag), digest)


def layout_reference(text: str, rest: str, digest: str, allow_layout: bool) -> Reference:
    """`oci:DIR:tag`, `rest` being what follows `oci:`."""
    if not allow_layout:
        raise InputError(f"{text}: a layout on disk is not allowed here (allow-layout); a node pulls from a registry")
    folder, colon, tag = rest.partition(":")
    if not folder:
        raise InputError(f"{text}: names no folder; write oci:DIR:tag with DIR relative to the workspace")
    return Reference("", folder, checked_tag(text, colon, tag), digest)


def names_registry(host: str) -> bool:
    """Whether the part before the first slash can be a host: it has a dot or a port, or is localhost."""
    return "." in host or ":" in host or host == "localhost"


def checked_tag(text: str, colon: str, tag: str) -> str:
    """`tag` where it is one, or where there is no colon; InputError otherwise."""
    if colon and not TAG.fullmatch(tag):
        raise InputError(f"{text}: {tag!r} is no tag; use up to 128 letters, digits, '.', '_' and '-'")
    return tag
