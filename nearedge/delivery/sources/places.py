"""The kinds of places a model can be fetched from, told apart by the reference's scheme."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from nearedge.delivery import access, git
from nearedge.delivery import reference as references
from nearedge.delivery.sources import bucket, bucket_place, git_place, release_image
from nearedge.delivery.sources.archives import Limits, extract, is_archive
from nearedge.delivery.sources.artifact import pull_artifact
from nearedge.delivery.sources.download import Client
from nearedge.delivery.sources.fetch import MAX_DESCRIPTION, Place, find_description
from nearedge.delivery.store import open_store
from nearedge.errors import InputError, OutsideError, UnsupportedError
from nearedge.files import inside, size_of

SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


@dataclass(frozen=True)
class Access:
    """What reaches the outside: git, registries, web servers and S3, and the cap on what is brought, in bytes."""

    max_bytes: int
    repository: git.Access = field(default_factory=git.Access)
    registry: access.Access = field(default_factory=access.Access)
    web: Client = field(default_factory=Client)
    store: bucket.Access = field(default_factory=bucket.Access)


def locate(reference: str, source: Path | None, scratch: Path, reach: Access) -> Place:
    """Where model.yaml is; what is not on this machine is brought to the empty folder `scratch`.

    `source` is the workspace that paths are relative to. Raises InputError, UnsupportedError for a scheme we do not
    read, OutsideError where the place cannot be reached.
    """
    scratch = scratch.resolve()  # paths inside it are compared with resolved ones
    found = SCHEME.match(reference)
    if found is None:
        return local(reference, source, scratch, reach)
    scheme = found[1].lower()
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise UnsupportedError(f"{scheme}://: models are not fetched from there; give a path or one of {known}")
    try:
        _ = scheme == "s3" or urlsplit(reference).port
    except ValueError as error:
        raise InputError(f"model: is no URL ({error})") from error
    return SCHEMES[scheme](reference, scratch, reach)


def local(reference: str, source: Path | None, scratch: Path, reach: Access) -> Place:
    """A model.yaml, a folder or an archive in the workspace `source`."""
    if source is None:
        raise InputError(f"model {reference!r} is a path, and no workspace source is bound; bind it or give a URL")
    path = inside(source, reference)
    if not path.exists():
        raise InputError(f"{reference}: no such file in the workspace source; `nearedge init MODEL` writes one")
    root = source.resolve()
    return described(root, str(path.relative_to(root)), reference, scratch, reach)


def described(root: Path, subpath: str, origin: str, scratch: Path, reach: Access) -> Place:
    """The model.yaml at `subpath` of the folder `root`, or in the archive there."""
    path = inside(root, subpath) if subpath else root
    if path.is_file() and is_archive(path):
        return unpacked(path, origin, scratch, reach)
    return Place(root, find_description(root, subpath, origin), origin)


def unpacked(archive: Path, origin: str, scratch: Path, reach: Access) -> Place:
    """A model.yaml at the top of a tar or zip, or in the only folder there."""
    root = scratch / "unpacked"
    root.mkdir()
    extract(archive, root, Limits(reach.max_bytes))
    return Place(root, find_description(root, "", origin), origin)


def from_git(reference: str, scratch: Path, reach: Access) -> Place:
    """`git+URL[@ref][#subpath]`, one commit deep. The origin names the commit.

    The ref is what follows the last `@` of the URL's path; a branch, a tag or a whole commit id.
    """
    parts = urlsplit(reference[len("git+") :])
    path, at, ref = parts.path.rpartition("@")
    if not at:
        path, ref = parts.path, ""
    url = parts._replace(path=path, fragment="").geturl()
    subpath = unquote(parts.fragment)
    root = scratch / "clone"
    with git.session(reach.repository) as client:
        commit = git_place.bring(client, git_place.Wanted(url, ref, root, reach.max_bytes), reach.web)
    origin = f"git+{git.without_credentials(url)}@{commit}" + (f"#{subpath}" if subpath else "")
    return described(root, subpath, origin, scratch, reach)


def from_web(reference: str, scratch: Path, reach: Access) -> Place:
    """An http(s) URL of an archive, or of a model.yaml whose model and data are fetched relative to it."""
    url = urlsplit(reference)._replace(fragment="").geturl()
    root = scratch / "web"
    root.mkdir()
    origin = git.without_credentials(url)
    first = root / "model.yaml"
    yaml = urlsplit(url).path.endswith((".yaml", ".yml"))
    reach.web.download(url, first, MAX_DESCRIPTION if yaml else reach.max_bytes)
    if is_archive(first):
        return unpacked(first, origin, scratch, reach)
    if first.stat().st_size > MAX_DESCRIPTION:
        raise InputError(f"{origin}: is neither a model.yaml nor a tar or zip; give the URL of one of them")
    return Place(root, first, origin, bring=Relative(url, root, reach).bring)


@dataclass
class Relative:
    """Downloads files by their path relative to the URL of a model.yaml."""

    url: str
    root: Path
    reach: Access

    def bring(self, relative: str) -> None:
        """Download one file, unless it is there. What all files together may take is shared among them."""
        path = inside(self.root, relative)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if relative.endswith(".xml"):  # an OpenVINO IR is no model without its weights
            self.bring(relative.removesuffix(".xml") + ".bin")
        try:
            self.reach.web.download(urljoin(self.url, relative), path, self.reach.max_bytes - size_of(self.root))
        except OutsideError as error:
            raise OutsideError(f"{error} (a folder cannot be fetched over http: pack it as tar or zip)") from error


def from_registry(reference: str, scratch: Path, reach: Access) -> Place:
    """`oci://registry/name[:tag][@digest]`: an artifact whose layers are files with titles. The origin is by digest.

    Where it holds one file only, that may be an archive. A serving image of ours is the release in it.
    """
    parsed = references.parse(reference)
    root = scratch / "artifact"
    store = open_store(parsed, Path(), reach.registry)
    manifest = store.resolve(parsed.which)
    if release_image.is_image(manifest):
        rebuilt = release_image.bring(store, manifest, root, reach.max_bytes)
        origin = f"oci://{parsed.registry}/{parsed.name}@{manifest.descriptor.digest}"
        return Place(root, find_description(root, "", origin), origin, rebuilt=rebuilt)
    digest = pull_artifact(parsed, root, reach.registry, max_bytes=reach.max_bytes)
    origin = f"oci://{parsed.registry}/{parsed.name}@{digest}"
    files = [path for path in root.rglob("*") if path.is_file()]
    only = str(files[0].relative_to(root)) if len(files) == 1 and is_archive(files[0]) else ""
    return described(root, only, origin, scratch, reach)


def from_bucket(reference: str, scratch: Path, reach: Access) -> Place:
    """`s3://bucket/key` of a model.yaml or an archive, or of the prefix that a model.yaml lies below."""
    name, key = bucket_place.parse(reference)
    root = scratch / "bucket"
    root.mkdir()
    first = root / "model.yaml"
    with bucket.opened(name, reach.store) as store:
        key = bucket_place.bring_first(store, key, first, reach.max_bytes)
    origin = f"s3://{name}/{key}"
    if is_archive(first):
        return unpacked(first, origin, scratch, reach)
    beside = bucket_place.Beside(name, key[: key.rfind("/") + 1], root, reach.store, reach.max_bytes)
    return Place(root, first, origin, bring=beside.bring)


SCHEMES: dict[str, Callable[[str, Path, Access], Place]] = {
    "oci": from_registry,
    "s3": from_bucket,
    "git+https": from_git,
    "git+ssh": from_git,
    "git+http": from_git,
    "git+git": from_git,
    "git+file": from_git,
    "https": from_web,
    "http": from_web,
}
